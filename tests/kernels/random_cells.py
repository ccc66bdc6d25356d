"""Cells that nobody wrote: equations drawn at random, so that operations meet that people would not put together."""

import random

STATES = (("n",), ("n",), ("k",), ("n", "k"), ())
FUNCTIONS = ("tanh({})", "sigmoid({})", "sin({})", "relu({})", "softplus({})", "silu({})", "abs({})")
FORMS = ("({} + {})", "({} - {})", "({} * {})", "max({}, {})", "({} / (1 + {}**2))", "(exp(-softplus({})) * {})")
SUMS = ("sum({})", "dot({}, {})", "norm(1 + exp({}))")


def random_cell(seed):
    """Return the text of a cell with up to three states, each a vector, a matrix or a number."""
    draw = _Draw(random.Random(seed))
    states = {"hcp"[place]: draw.random.choice(STATES) for place in range(draw.random.randint(1, 3))}
    draw.known = {"x": ("m",), **states}
    lines = []
    for name in "uv"[: draw.random.randint(0, 2)]:
        shape = draw.random.choice([*STATES[1:3], (), ("m",)])
        lines.append(f"{name} = {draw.expression(shape, 2)}")
        draw.known[name] = shape
    lines += [f"{name} = tanh({draw.expression(shape, 3)})" for name, shape in states.items()]
    kinds = {"state": states, "param": draw.params}
    declared = [_declared(name, kind, shape) for kind, table in kinds.items() for name, shape in table.items()]
    return "\n".join(["x: input[m]", *declared, *lines, ""])


def _declared(name, kind, shape):
    return f"{name}: {kind}[{', '.join(shape)}]" if shape else f"{name}: {kind}"


class _Draw:
    """Draws expressions, and the parameters that they need."""

    def __init__(self, source):
        self.random, self.known, self.params = source, {}, {}

    def param(self, shape):
        name = f"{'abW'[len(shape)]}_{len(self.params)}"
        self.params[name] = shape
        return name

    def atom(self, shape):
        fitting = [name for name, one in {**self.known, **self.params}.items() if one == shape]
        return self.random.choice(fitting) if fitting and self.random.random() < 0.7 else self.param(shape)

    def filled(self, form, shape, depth):
        return form.format(*(self.expression(shape, depth - 1) for _ in range(form.count("{}"))))

    def expression(self, shape, depth):
        """Return an expression of a shape, with so many operations inside each other."""
        if depth == 0:
            return self.atom(shape)
        kind = self.random.random()
        if kind < 0.3:
            return self.filled(self.random.choice(FORMS), shape, depth)
        if kind < 0.5:
            return self.filled(self.random.choice(FUNCTIONS), shape, depth)
        if kind < 0.6:
            return f"({self.expression((), depth - 1)} * {self.expression(shape, depth - 1)})"
        if not shape:
            return self.filled(self.random.choice(SUMS), (self.random.choice("mnk"),), depth)
        if len(shape) == 2:
            left, right = (self.expression((size,), depth - 1) for size in shape)
            return f"outer({left}, {right})"
        if kind < 0.65:
            return f"softmax({self.expression(shape, depth - 1)})"
        inner = self.random.choice("mnk")
        if kind < 0.8:
            return f"({self.atom((inner, *shape))}.T @ {self.expression((inner,), depth - 1)})"
        return f"({self.atom((*shape, inner))} @ {self.expression((inner,), depth - 1)})"

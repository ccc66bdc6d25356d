"""Cells and models as modules of PyTorch and JAX: readable source that stands alone, from their own equations.

A step is written for one sequence, so that its lines are the author's lines; `vmap` carries it over the batch, a loop
or `lax.scan` over time, and the framework differentiates it.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

from sympy import Symbol

from ..derive.cell import Cell, Equation, previous
from ..derive.errors import Error
from ..derive.linear import Node
from ..derive.model import Model
from ..derive.model_derivation import derive
from ..derive.model_text import LAST, PARAM, STEP, WHOLE, Wire
from ..derive.program import quantities
from ..derive.shapes import dimension, size_from
from ..derive.syntax import closest
from .frameworks import JAX, TORCH, Framework, SourcePrinter
from .initial import is_bias
from .parts import Part, as_model, carried, parts

IN_STEP = {"torch", "jax", "jnp", "params", "inputs", "states", "like", "next", "iter"} | set(keyword.kwlist)
IN_RUN = IN_STEP | {
    "self",
    "dtype",
    "B",
    "values",
    "zeros",
    "key",
    "keys",
    "over_time",
    "name",
    "array",
    "dict",
    "super",
}
OF_MODULE = {
    *("add_module", "apply", "bfloat16", "buffers", "children", "compile", "cpu", "cuda", "double", "eval", "float"),
    *("forward", "half", "ipu", "loss", "modules", "mtia", "parameters", "shapes", "state_dict", "to", "train"),
    *("training", "type", "xpu", "zero_grad"),
}  # what a torch.nn.Module, and one of ours, calls its own
WIDTH = 112


def export(cell: Cell | Model, framework: str) -> str:
    """Return a cell or a model as a module in another framework's own terms, which imports nothing else.

    The PyTorch module holds `Cell`, a `torch.nn.Module` whose call takes inputs (T, B, ...) and gives each state after
    each step, and what else no line reads; the JAX module holds `init` and `run`, which does the same. Of a model
    they are `Model`, with a method `loss`, and `init`, `run` and `loss`: the call gives the states, what one block
    reads from another, and what the loss is computed from; the loss of each sample needs the targets too.

    Args:
        cell: any cell or model.
        framework: "torch" or "jax".

    Raises:
        Error: for another framework.

    >>> from ..derive import load, load_model
    >>> print("\\n".join(line for line in export(load("rnn"), "torch").splitlines() if " = torch.tanh" in line))
        h = torch.tanh(W_hh @ h_prev + W_xh @ x + b_h)
    >>> print("\\n".join(line for line in export(load_model("hello"), "jax").splitlines() if "return over" in line))
        return over_time(step, params, {"x": inputs["x"]}, {}, {"h": states["h"]}, T)
    """
    if framework not in WRITERS:
        raise Error(f"no framework is called '{framework}'. {closest(framework, WRITERS)}")
    return WRITERS[framework](_Plan(as_model(cell), isinstance(cell, Cell)))


@dataclass(frozen=True)
class _Plan:
    """What is written.

    Attributes:
        model: as which it is written.
        is_cell: whether it is a cell alone.
    """

    model: Model
    is_cell: bool

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return parts(self.model)

    @property
    def steps(self) -> list[Part]:
        """What predicts."""
        return [part for part in self.parts if not part.is_loss]

    @property
    def terms(self) -> list[Part]:
        """What is added to the loss."""
        return [part for part in self.parts if part.is_loss]

    @cached_property
    def read(self) -> dict[str, str]:
        """Input or index that a prediction needs -> its axis of time, "" for none."""
        return carried(self.model, self.steps)

    @cached_property
    def asked(self) -> dict[str, str]:
        """The same of the loss, the targets last."""
        return self.read | carried(self.model, self.parts)

    @property
    def free(self) -> dict[str, tuple[str, ...]]:
        """State whose first value can be given -> its shape."""
        blocks = self.model.blocks
        return {n: b.cell.states[n] for b in blocks for n, wire in b.starts.items() if wire is None}

    @property
    def stretching(self) -> dict[str, tuple[str, ...]]:
        """Those of them that have an entry for each step of a loop."""
        axes = set(self.model.axes)
        return {name: shape for name, shape in self.free.items() if not axes.isdisjoint(_symbols([shape]))}

    @property
    def sizes(self) -> dict[str, str]:
        """Dimension of a parameter or of a state that can be given, those of inputs first -> what it is called."""
        plain = [n for shape in self.model.inputs.values() for n in shape]
        plain += [dims[-1] for dims in self.model.indices.values()]
        fixed = [shape for name, shape in self.free.items() if name not in self.stretching]
        needed = [*_symbols([*fixed, *self.model.params.values()])]
        return {n: _free_name(n) for n in dict.fromkeys([*(n for n in plain if n in needed), *needed])}

    def length(self, size: str) -> str:
        """Return what a size is called, the number of steps among them."""
        return _free_name(size) if size.isidentifier() else "steps"

    def known(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return dimension -> where its size is read: from a parameter or an input, given with its axis of time."""
        arrays = [(f'params["{name}"]', shape) for name, shape in self.model.params.items()]
        for name, axis in given.items():
            shape = self.model.shapes[Symbol(name)]
            arrays.append((f'inputs["{name}"]', (*(axis,) * bool(axis), "", *map(str, shape))))
        found: dict[str, str] = {}
        for array, lengths in arrays:
            for place, length in enumerate(lengths):
                found.setdefault(length, f"{array}.shape[{place}]")
        return found

    def leads(self, some: Iterable[Part], given: Mapping[str, str]) -> dict[str, str]:
        """Return what says how many samples and steps there are, "" where no input does.

        Args:
            some: parts that run.
            given: inputs -> their axes of time.
        """
        some, known = list(some), self.known(given)
        asked = [part.axis for part in some if part.axis] + [size for part in some for size in part.sizes]
        found = {self.length(size): known.get(size, "") for size in asked}
        batch = next((f'inputs["{name}"].shape[{1 if axis else 0}]' for name, axis in given.items()), "")
        if not batch and self.free and not self.terms:
            batch = "next(iter(states.values())).shape[0]"
        starts = [part.block.starts[state] for part in some for state in part.cell.states]
        wanted = any(part.is_still for part in some) or any(wire is None or wire.part == PARAM for wire in starts)
        return ({"B": batch} if wanted else {}) | found


def _symbols(shapes: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Give the names of the dimensions in shapes."""
    for shape in shapes:
        for length in shape:
            yield from sorted(symbol.name for symbol in size_from(length).atoms(Symbol))


def _free_name(name: str, taken: Container[str] = IN_RUN) -> str:
    return f"{name}_" if name in taken else name


def _names(cell: Cell) -> dict[Symbol, str]:
    """Return what each quantity and size is called: its own name, with a line after it where that is taken."""
    values = [*map(Symbol, cell.indices), *cell.shapes, *map(previous, cell.states)]
    sizes = [size for line in cell.equations for size in line.written.atoms(Symbol) if size.is_integer]
    names = {symbol: _free_name(symbol.name, IN_STEP) for symbol in values}
    return names | {size: _free_name(size.name, IN_STEP | set(names.values())) for size in sorted(sizes, key=str)}


def _function(plan: _Plan, part: Part, framework: Framework) -> list[str]:
    """Return the lines of a part's function."""
    cell = part.cell
    names = _names(cell)
    printer = SourcePrinter(framework, names, cell.shapes)
    body = [f"{names[line.target]} = {_as_array(printer, line, cell, framework)}" for line in cell.equations]
    used = printer.shown | set(part.gives)
    given = {
        "params": [(name, Symbol(name)) for name in cell.params],
        "inputs": [(name, Symbol(name)) for name in part.wires],
        "states": [(name, previous(name)) for name in cell.states],
    }
    reads = {symbol: f'{table}["{name}"]' for table, entries in given.items() for name, symbol in entries}
    told = [dimension(size) for size in part.sizes]
    arguments = ", ".join(["params", "inputs", "states", *(names[size] for size in told)])
    lines = [f"def {part.name}({arguments}):", f'    """{_says(plan, part)}"""']
    lines += [f"    {names[symbol]} = {where}" for symbol, where in reads.items() if symbol in used]
    places = {symbol: names[symbol] if symbol in used else where for symbol, where in reads.items()}
    lines += [f"    {line}" for line in _lengths(cell, names, used.difference(told), places)]
    moved = set(places)
    for line in cell.equations:
        if not moved.isdisjoint(quantities(line.written)):
            moved.add(line.target)
    values = {symbol: names[symbol] for symbol in part.gives}
    for symbol in part.gives:
        if symbol not in moved and symbol.name in cell.states:  # a number, of which a batch is made
            values[symbol] = f'{framework.module}.zeros_like(states["{symbol}"]) + {values[symbol]}'
    if any("like." in line for line in [*body, *values.values()]):
        lines.append(f"    like = {_like(plan, part)}")
    return [*lines, *(f"    {line}" for line in body), *_wrapped("    return ", _table(values))]


def _as_array(printer: SourcePrinter, line: Equation, cell: Cell, framework: Framework) -> str:
    """Return a line's right side; a bare number as an array, since not every function takes it."""
    shown = printer.show(line.written)
    bare = not cell.shapes[line.target] and not quantities(line.written) and not line.written.atoms(Node)
    return framework.full.format("()", shown) if bare else shown


def _says(plan: _Plan, part: Part) -> str:
    if plan.is_cell:
        return "Return the states after one step of one sequence."
    what = "the terms of the loss" if part.is_loss else "the values"
    return f"Return {what} " + ("at one step of one sequence." if part.axis else "of one sample, which run once.")


def _like(plan: _Plan, part: Part) -> str:
    """Return an array that is at hand in a step and whose type is that of all numbers."""
    if part.cell.states:
        return "next(iter(states.values()))"
    floats = [name for name in part.wires if name in part.cell.inputs]
    return "next(iter(params.values()))" if plan.model.params or not floats else f'inputs["{floats[0]}"]'


def _lengths(cell: Cell, names: Mapping[Symbol, str], used: set[Symbol], places: Mapping[Symbol, str]) -> Iterator[str]:
    """Give lines that find the sizes which the equations name.

    Args:
        places: what a step is given -> where it stands.
    """
    for size in sorted((symbol for symbol in used if symbol.is_integer), key=str):
        found = [
            f"{place}.shape[{axis}]"
            for symbol, place in places.items()
            for axis, length in enumerate(cell.shapes.get(symbol, ()))
            if length == size
        ]
        if not found:
            raise Error(f"the size {size} can't be read from any parameter, input or state")
        yield f"{names[size]} = {found[0]}"


def _tuple(shape: Iterable[str]) -> str:
    """Return a shape as a tuple, its dimensions as they are called."""
    lengths = [_spelled(length) for length in shape]
    return f"({', '.join(lengths)}{',' * (len(lengths) == 1)})"


def _spelled(length: str) -> str:
    size = size_from(length)
    return str(size.xreplace({s: Symbol(_free_name(s.name), integer=True, positive=True) for s in size.atoms(Symbol)}))


def _table(entries: Mapping[Symbol, str] | Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in entries.items()) + "}"


def _wrapped(start: str, text: str) -> list[str]:
    """Return a line, or where it is too long one for each entry of the table or call that `text` is."""
    if len(start) + len(text) <= WIDTH:
        return [start + text]
    indent = " " * (len(start) - len(start.lstrip()))
    opened = _opening(text)
    inner = _entries(text[opened + 1 : -1])
    return [start + text[: opened + 1], *(f"{indent}    {entry}," for entry in inner), indent + text[-1]]


def _opening(text: str) -> int:
    """Return where the bracket opens that the last sign closes.

    >>> _opening("vmap(f)(a, {})")
    7
    """
    depth = 0
    for place in reversed(range(len(text))):
        depth += (text[place] in ")]}") - (text[place] in "([{")
        if not depth:
            break
    return place


def _entries(text: str) -> list[str]:
    """Return what commas separate that stand in no brackets.

    >>> _entries("f, {a: (1, 2)}")
    ['f', '{a: (1, 2)}']
    """
    depth, found = 0, [""]
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return [entry.strip() for entry in found]


def _calls(plan: _Plan, some: Iterable[Part], framework: Framework) -> Iterator[tuple[Part, str]]:
    """Give, for each part, the call that runs it over the batch and over time."""
    for part in some:
        if part.is_still:
            lead = ([plan.length(part.axis)] if part.axis else []) + ["B"]
            spread = framework.spread.format("array", f"({', '.join(lead)}, *array.shape)")
            arguments = ", ".join(["params", "{}", "{}", *map(plan.length, part.sizes)])
            yield part, f"{{name: {spread} for name, array in {part.name}({arguments}).items()}}"
            continue
        wired = {name: _wired(plan, wire) for name, wire in part.wires.items()}
        if not part.axis:
            yield part, f"{framework.batched.format(_with_sizes(plan, part))}(params, {_table(wired)}, {{}})"
            continue
        at_step = {name: where for name, where in wired.items() if part.wires[name].part == STEP}
        alike = {name: where for name, where in wired.items() if name not in at_step}
        starts = {name: _start(plan, name, part.block.starts[name], framework) for name in part.cell.states}
        reverse = ", reverse=True" * part.block.reverse
        tables = f"{_table(at_step)}, {_table(alike)}, {_table(starts)}"
        yield part, f"over_time({_with_sizes(plan, part)}, params, {tables}, {plan.length(part.axis)}{reverse})"


def _with_sizes(plan: _Plan, part: Part) -> str:
    """Return a part's function as one of parameters, inputs and states alone."""
    sizes = ", ".join(map(plan.length, part.sizes))
    return f"lambda *given: {part.name}(*given, {sizes})" if sizes else part.name


def _wired(plan: _Plan, wire: Wire) -> str:
    """Return what a wire carries: (T, B, ...) of a value at each step, else (B, ...)."""
    is_input = wire.source in plan.asked
    array = f'{"inputs" if is_input else "values"}["{wire.source}"]'
    if wire.part == WHOLE:
        return f"{array}.swapaxes(0, 1)"
    if wire.part == LAST:
        return f"{array}[{0 if plan.model.blocks[plan.model.home(wire.source)].reverse else -1}]"
    return array


def _start(plan: _Plan, state: str, wire: Wire | None, framework: Framework) -> str:
    """Return the first value of a state, (B, ...)."""
    if wire is None:
        return f'states["{state}"]'
    if wire.part == PARAM:
        array = f'params["{wire.source}"]'
        return framework.spread.format(array, f"(B, *{array}.shape)")
    return _wired(plan, wire)


def _predicting(plan: _Plan, framework: Framework) -> Iterator[str]:
    """Give the lines that run all steps and return what they give."""
    calls = list(_calls(plan, plan.steps, framework))
    if not calls:
        yield "return {}"
    for number, (part, call) in enumerate(calls):
        if len(calls) > 1:
            yield f"# {_loop(part)}"
        start = "return " if len(calls) == 1 else "values |= " if number else "values = "
        yield from _wrapped(start, call)
    if len(calls) > 1:
        yield "return values"


def _loop(part: Part) -> str:
    """Return how the model's text says when a part runs."""
    counted = f"range({part.axis})"
    order = f"reversed({counted})" if part.block.reverse else counted
    return f"for {part.block.variable} in {order}:" if part.axis else "once:"


def _adding(plan: _Plan, framework: Framework) -> Iterator[str]:
    """Give the lines that add up the loss of each sample."""
    sums = []
    for part, call in _calls(plan, plan.terms, framework):
        found = f"found{part.name.removeprefix('terms')}"
        yield from _wrapped(f"{found} = ", call)
        sums += [f'{found}["{symbol}"]' + ".sum(0)" * bool(part.axis) for symbol in part.gives]
    yield f"return {' + '.join(sums)}"


def _drawn(plan: _Plan, normal: str, zeros: str) -> Iterator[tuple[str, str]]:
    """Give (parameter, how it is drawn): a bias starts at 0, all else is Gaussian with variance 1 / columns.

    Args:
        normal, zeros: formats of a shape.
    """
    derivations = derive(plan.model).parts
    for name, shape in plan.model.params.items():
        columns = _spelled(shape[-1]) if shape else "1"
        scale = f" / {columns}**0.5" if (columns.isidentifier() or columns.isdigit()) else f" / ({columns}) ** 0.5"
        bias = all(is_bias(one, Symbol(name)) for one in derivations if name in one.cell.params)
        yield name, zeros.format(_tuple(shape)) if bias else normal.format(_tuple(shape)) + scale


def _title(plan: _Plan) -> str:
    """Return what a cell or model is called, as it may stand in a docstring."""
    return plan.model.title.replace("\\", "\\\\").replace('"', "'")


def _top(plan: _Plan, framework: Framework, imports: list[str], over_time: str) -> list[str]:
    """Return the module's beginning: what it is, and its functions of one sequence."""
    kind = "cell" if plan.is_cell else "model"
    lines = [
        f'"""{_title(plan)}.',
        "",
        f"Written for {framework.title} by bptt {version('bptt')} from the {kind}'s equations; "
        "it needs nothing of bptt.",
        '"""',
        "",
        *imports,
    ]
    for part in plan.parts:
        lines += ["", "", *_function(plan, part, framework)]
    looped = any(part.axis and not part.is_still for part in plan.parts)
    return [*lines, "", "", *(over_time.strip().splitlines() + ["", ""] if looped else [])]


def _told(plan: _Plan, names: Iterable[str]) -> str:
    """Return what inputs are, for a docstring."""
    model, given = plan.model, []
    for name in names:
        lead = [axis if axis.isidentifier() else "T"] if (axis := plan.asked[name]) else []
        shape = [] if name in model.indices else map(str, model.shapes[Symbol(name)])
        lengths = [*lead, "B", *shape]
        whole = " whole numbers" * (name in model.indices)
        given.append(f'"{name}": ({", ".join(lengths)}{"," * (len(lengths) == 1)}){whole}')
    return f"{{{', '.join(given)}}}"


def _doc_of_run(plan: _Plan, missing: Iterable[str]) -> list[str]:
    """Return the docstring of what predicts."""
    gives = "each state after each step, {name: (T, B, ...)}"
    if not plan.is_cell:
        gives = "values, {name: (T, B, ...)}, or (B, ...) of what runs once"
    lines = [f"inputs: {_told(plan, plan.read)};"]
    if plan.free:
        lines.append("states: those before the first step, {name: (B, ...)}, zeros where left out;")
    lines += [f"{name}: {'samples' if name == 'B' else 'steps'};" for name in missing]
    return [f'"""Return {gives}.', "", *lines[:-1], f"{lines[-1].removesuffix(';')}.", '"""']


def _doc_of_loss(plan: _Plan) -> list[str]:
    targets = [name for name in plan.asked if name not in plan.read]
    beside = f", and {_told(plan, targets)}" if targets else ""
    return ['"""Return the loss of each sample, (B,).', "", f"inputs: as above{beside}.", '"""']


def _arguments(plan: _Plan, missing: Iterable[str]) -> str:
    """Return the arguments of what runs, behind the first."""
    keywords = "".join(f", {name}" for name in missing)
    return "inputs" + ", states=None" * bool(plan.free) + ", *" * bool(keywords) + keywords


def _given(plan: _Plan, missing: Iterable[str]) -> str:
    """Return arguments as they are handed on."""
    return "inputs" + ", states" * bool(plan.free) + "".join(f", {name}={name}" for name in missing)


def _indented(lines: Iterable[str], by: int) -> list[str]:
    return [f"{' ' * by}{line}" if line else "" for line in lines]


def _assigned(leads: Mapping[str, str]) -> list[str]:
    return [f"{name} = {found}" for name, found in leads.items() if found]


TORCH_OVER_TIME = '''
def over_time(step, params, inputs, alike, states, steps, reverse=False):
    """Return what a step gives over time, {name: (T, B, ...)}.

    inputs: what it reads at each step, {name: (T, B, ...)};
    alike: what it reads at every step again, {name: (B, ...)};
    states: those before the first step, {name: (B, ...)}.
    """
    batched = torch.vmap(step, in_dims=(None, 0, 0))
    if inputs and not states:  # nothing goes from one step to the next: all of them at once
        return torch.vmap(lambda now: batched(params, {**now, **alike}, {}))(inputs)
    found = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        now = {name: array[t] for name, array in inputs.items()}
        found[t] = batched(params, {**now, **alike}, states)
        states = {name: found[t][name] for name in states}
    return {name: torch.stack([values[name] for values in found]) for name in found[0]}
'''

JAX_OVER_TIME = '''
def over_time(step, params, inputs, alike, states, steps, reverse=False):
    """Return what a step gives over time, {name: (T, B, ...)}.

    inputs: what it reads at each step, {name: (T, B, ...)};
    alike: what it reads at every step again, {name: (B, ...)};
    states: those before the first step, {name: (B, ...)}.
    """
    batched = jax.vmap(step, in_axes=(None, 0, 0))
    if inputs and not states:  # nothing goes from one step to the next: all of them at once
        return jax.vmap(lambda now: batched(params, {**now, **alike}, {}))(inputs)

    def one(states, now):
        values = batched(params, {**now, **alike}, states)
        return {name: values[name] for name in states}, values

    return jax.lax.scan(one, states, inputs, length=steps, reverse=reverse)[1]
'''


def _torch(plan: _Plan) -> str:
    lines = _top(plan, TORCH, ["import torch"], TORCH_OVER_TIME)
    kind = "Cell" if plan.is_cell else "Model"
    about = f"{_title(plan)}, over sequences" if plan.is_cell else _title(plan)
    lines += [f"class {kind}(torch.nn.Module):", f'    """{about}."""', ""]
    sizes = ", ".join(["self", *plan.sizes.values(), "dtype=None"])
    lines += [f"    def __init__({sizes}):", "        super().__init__()"]
    shapes = {name: _tuple(shape) for name, shape in plan.free.items() if name not in plan.stretching}
    lines += [f"        self.shapes = {_table(shapes)}"] if plan.free else []
    for name, drawn in _drawn(plan, "torch.randn({}, dtype=dtype)", "torch.zeros({}, dtype=dtype)"):
        made = f"torch.nn.Parameter({drawn})"
        plain = name not in OF_MODULE
        kept = f'self.register_parameter("{name}", {made})' if plain else f'self._parameters["{name}"] = {made}'
        lines.append(f"        {kept}")
    leads = plan.leads(plan.steps, plan.read)
    missing = [name for name, found in leads.items() if not found]
    known = ["params = dict(self.named_parameters(recurse=False))"]
    lines += ["", f"    def forward(self, {_arguments(plan, missing)}):"]
    body = [*_doc_of_run(plan, missing), *known, *_assigned(leads)]
    if plan.free:
        floats = [name for name in plan.read if name in plan.model.inputs]
        like = f'inputs["{floats[0]}"]' if floats else "next(iter(states.values()))"
        like = "next(iter(params.values()))" if plan.model.params else like
        kept = "self.shapes"
        if plan.stretching:
            kept = "shapes"
            body += [f"{name} = {found}" for name, found in _sizes_of_states(plan, plan.stretching, leads)]
            stretching = {name: _tuple(shape) for name, shape in plan.stretching.items()}
            body.append(f"shapes = {{**self.shapes, {_table(stretching)[1:]}")
        body.append(f"zeros = {{name: {like}.new_zeros((B, *shape)) for name, shape in {kept}.items()}}")
        body.append("states = {**zeros, **(states or {})}")
    lines += _indented([*body, *_predicting(plan, TORCH)], 8)
    if plan.terms:
        leads = plan.leads(plan.terms, plan.asked) | {n: plan.leads(plan.steps, plan.asked)[n] for n in missing}
        asked = [name for name, found in leads.items() if not found]
        lines += ["", f"    def loss(self, {_arguments(plan, asked)}):"]
        body = [*_doc_of_loss(plan), *known, *_assigned(leads), f"values = self({_given(plan, missing)})"]
        lines += _indented([*body, *_adding(plan, TORCH)], 8)
    return "\n".join(lines) + "\n"


def _jax(plan: _Plan) -> str:
    lines = _top(plan, JAX, ["import jax", "import jax.numpy as jnp"], JAX_OVER_TIME)
    lines += [
        f"def init({', '.join(['key', *plan.sizes.values(), 'dtype=jnp.float32'])}):",
        '    """Return parameters, drawn anew."""',
        f"    keys = iter(jax.random.split(key, {max(1, len(plan.model.params))}))",
        "    return {",
    ]
    drawn = _drawn(plan, "jax.random.normal(next(keys), {}, dtype)", "jnp.zeros({}, dtype)")
    lines += [f'        "{name}": {how},' for name, how in drawn]
    lines += ["    }", "", ""]
    leads = plan.leads(plan.steps, plan.read)
    missing = [name for name, found in leads.items() if not found]
    lines.append(f"def run(params, {_arguments(plan, missing)}):")
    body = [*_doc_of_run(plan, missing), *_assigned(leads), *_jax_zeros(plan, leads)]
    lines += _indented([*body, *_predicting(plan, JAX)], 4)
    if plan.terms:
        leads = plan.leads(plan.terms, plan.asked) | {n: plan.leads(plan.steps, plan.asked)[n] for n in missing}
        asked = [name for name, found in leads.items() if not found]
        lines += ["", "", f"def loss(params, {_arguments(plan, asked)}):"]
        body = [*_doc_of_loss(plan), *_assigned(leads), f"values = run(params, {_given(plan, missing)})"]
        lines += _indented([*body, *_adding(plan, JAX)], 4)
    return "\n".join(lines) + "\n"


def _sizes_of_states(
    plan: _Plan, shapes: Mapping[str, tuple[str, ...]], leads: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Give (name, where it is read) of the sizes of states that `leads` doesn't have."""
    known = plan.known(plan.read)
    for size in dict.fromkeys(_symbols(shapes.values())):
        if plan.length(size) not in leads:
            yield plan.length(size), known[size]


def _jax_zeros(plan: _Plan, leads: Mapping[str, str]) -> Iterator[str]:
    """Give the lines that make zeros of the states that weren't given, where their sizes are known."""
    known = plan.known(plan.read).keys() | plan.model.axes
    made = {n: shape for n, shape in plan.free.items() if known.issuperset(_symbols([shape]))}
    floats = [f'inputs["{name}"]' for name in plan.read if name in plan.model.inputs]
    like = ["next(iter(params.values()))"] * bool(plan.model.params) + floats
    if not made or not like:
        return
    yield f"dtype = {like[0]}.dtype"
    yield from (f"{name} = {found}" for name, found in _sizes_of_states(plan, made, leads))
    zeros = {name: f"jnp.zeros((B, *{_tuple(shape)}), dtype)" for name, shape in made.items()}
    yield from _wrapped("zeros = ", _table(zeros))
    yield "states = {**zeros, **(states or {})}"


WRITERS: dict[str, Callable[[_Plan], str]] = {"torch": _torch, "jax": _jax}

"""Cells and models as modules of PyTorch and JAX: readable source that stands alone, from their own equations.

A step is written for one sequence, so that its lines are the author's lines; `vmap` carries it over the batch, a loop
or `lax.scan` over time, and the framework differentiates it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version

from sympy import Symbol

from ..derive.cell import Cell
from ..derive.errors import Error, expect
from ..derive.model import Model
from ..derive.model_derivation import derive
from ..derive.syntax import closest
from .frameworks import JAX, TORCH, Framework
from .initial import is_bias
from .lines import opened_up, table
from .parts import as_model
from .source_plan import Plan, spelled_shape, spelled_size, symbols
from .source_run import adding, doc_of_loss, doc_of_run, handed_on, predicting, signature
from .source_step import function_of

OF_MODULE = {
    *("add_module", "apply", "bfloat16", "buffers", "children", "compile", "cpu", "cuda", "double", "eval", "float"),
    *("forward", "half", "ipu", "loss", "modules", "mtia", "parameters", "shapes", "state_dict", "to", "train"),
    *("training", "type", "xpu", "zero_grad"),
}  # what a torch.nn.Module, and one of ours, calls its own


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
    expect("the framework", framework, str)
    if framework not in WRITERS:
        raise Error(f"no framework is called '{framework}'. {closest(framework, WRITERS)}")
    return WRITERS[framework](Plan(as_model(cell), isinstance(cell, Cell)))


def _torch(plan: Plan) -> str:
    lines = _top(plan, TORCH, ["import torch"], TORCH_OVER_TIME)
    kind = "Cell" if plan.is_cell else "Model"
    about = f"{_title(plan)}, over sequences" if plan.is_cell else _title(plan)
    lines += [f"class {kind}(torch.nn.Module):", f'    """{about}."""', ""]
    sizes = ", ".join(["self", *plan.sizes.values(), "dtype=None"])
    lines += [f"    def __init__({sizes}):", "        super().__init__()"]
    shapes = {name: spelled_shape(shape) for name, shape in plan.free.items() if name not in plan.stretching}
    lines += [f"        self.shapes = {table(shapes)}"] if plan.free else []
    for name, drawn in _drawn(plan, "torch.randn({}, dtype=dtype)", "torch.zeros({}, dtype=dtype)"):
        made = f"torch.nn.Parameter({drawn})"
        plain = name not in OF_MODULE
        kept = f'self.register_parameter("{name}", {made})' if plain else f'self._parameters["{name}"] = {made}'
        lines.append(f"        {kept}")
    leads = plan.leads(plan.steps, plan.read)
    missing = [name for name, found in leads.items() if not found]
    known = ["params = dict(self.named_parameters(recurse=False))"]
    lines += ["", f"    def forward(self, {signature(plan, missing)}):"]
    body = [*doc_of_run(plan, missing), *known, *_assigned(leads)]
    if plan.free:
        floats = [name for name in plan.read if name in plan.model.inputs]
        like = f'inputs["{floats[0]}"]' if floats else "next(iter(states.values()))"
        like = "next(iter(params.values()))" if plan.model.params else like
        kept = "self.shapes"
        if plan.stretching:
            kept = "shapes"
            body += [f"{name} = {found}" for name, found in _sizes_of_states(plan, plan.stretching, leads)]
            stretching = {name: spelled_shape(shape) for name, shape in plan.stretching.items()}
            body.append(f"shapes = {{**self.shapes, {table(stretching)[1:]}")
        body.append(f"zeros = {{name: {like}.new_zeros((B, *shape)) for name, shape in {kept}.items()}}")
        body.append("states = {**zeros, **(states or {})}")
    lines += _indented([*body, *predicting(plan, TORCH)], 8)
    if plan.terms:
        leads = plan.leads(plan.terms, plan.asked) | {n: plan.leads(plan.steps, plan.asked)[n] for n in missing}
        asked = [name for name, found in leads.items() if not found]
        lines += ["", f"    def loss(self, {signature(plan, asked)}):"]
        body = [*doc_of_loss(plan), *known, *_assigned(leads), f"values = self({handed_on(plan, missing)})"]
        lines += _indented([*body, *adding(plan, TORCH)], 8)
    return "\n".join(lines) + "\n"


def _jax(plan: Plan) -> str:
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
    lines.append(f"def run(params, {signature(plan, missing)}):")
    body = [*doc_of_run(plan, missing), *_assigned(leads), *_jax_zeros(plan, leads)]
    lines += _indented([*body, *predicting(plan, JAX)], 4)
    if plan.terms:
        leads = plan.leads(plan.terms, plan.asked) | {n: plan.leads(plan.steps, plan.asked)[n] for n in missing}
        asked = [name for name, found in leads.items() if not found]
        lines += ["", "", f"def loss(params, {signature(plan, asked)}):"]
        body = [*doc_of_loss(plan), *_assigned(leads), f"values = run(params, {handed_on(plan, missing)})"]
        lines += _indented([*body, *adding(plan, JAX)], 4)
    return "\n".join(lines) + "\n"


def _top(plan: Plan, framework: Framework, imports: list[str], over_time: str) -> list[str]:
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
        lines += ["", "", *function_of(plan, part, framework)]
    looped = any(part.axis and not part.is_still for part in plan.parts)
    return [*lines, "", "", *(over_time.strip().splitlines() + ["", ""] if looped else [])]


def _title(plan: Plan) -> str:
    """Return what a cell or model is called, as it may stand in a docstring."""
    return plan.model.title.replace("\\", "\\\\").replace('"', "'")


def _drawn(plan: Plan, normal: str, zeros: str) -> Iterator[tuple[str, str]]:
    """Give (parameter, how it is drawn): a bias starts at 0, all else is Gaussian with variance 1 / columns.

    Args:
        normal, zeros: formats of a shape.
    """
    derivations = derive(plan.model).parts
    for name, shape in plan.model.params.items():
        columns = spelled_size(shape[-1]) if shape else "1"
        scale = f" / {columns}**0.5" if (columns.isidentifier() or columns.isdigit()) else f" / ({columns}) ** 0.5"
        bias = all(is_bias(one, Symbol(name)) for one in derivations if name in one.cell.params)
        yield name, zeros.format(spelled_shape(shape)) if bias else normal.format(spelled_shape(shape)) + scale


def _sizes_of_states(
    plan: Plan, shapes: Mapping[str, tuple[str, ...]], leads: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Give (name, where it is read) of the sizes of states that `leads` doesn't have."""
    known = plan.known(plan.read)
    for size in dict.fromkeys(symbols(shapes.values())):
        if plan.length(size) not in leads:
            yield plan.length(size), known[size]


def _jax_zeros(plan: Plan, leads: Mapping[str, str]) -> Iterator[str]:
    """Give the lines that make zeros of the states that weren't given, where their sizes are known."""
    known = plan.known(plan.read).keys() | plan.model.axes
    made = {n: shape for n, shape in plan.free.items() if known.issuperset(symbols([shape]))}
    floats = [f'inputs["{name}"]' for name in plan.read if name in plan.model.inputs]
    like = ["next(iter(params.values()))"] * bool(plan.model.params) + floats
    if not made or not like:
        return
    yield f"dtype = {like[0]}.dtype"
    yield from (f"{name} = {found}" for name, found in _sizes_of_states(plan, made, leads))
    zeros = {name: f"jnp.zeros((B, *{spelled_shape(shape)}), dtype)" for name, shape in made.items()}
    yield from opened_up("zeros = ", table(zeros))
    yield "states = {**zeros, **(states or {})}"


def _assigned(leads: Mapping[str, str]) -> list[str]:
    return [f"{name} = {found}" for name, found in leads.items() if found]


def _indented(lines: Iterable[str], by: int) -> list[str]:
    return [f"{' ' * by}{line}" if line else "" for line in lines]


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


WRITERS: dict[str, Callable[[Plan], str]] = {"torch": _torch, "jax": _jax}

"""The lines that run the parts of a cell or model over the batch and over time, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sympy import Symbol

from ..derive.model_text import LAST, PARAM, STEP, WHOLE, Wire
from .frameworks import Framework
from .lines import opened_up, table
from .parts import Part
from .source_plan import Plan


def predicting(plan: Plan, framework: Framework) -> Iterator[str]:
    """Give the lines that run all steps and return what they give."""
    calls = list(_calls(plan, plan.steps, framework))
    if not calls:
        yield "return {}"
    for number, (part, call) in enumerate(calls):
        if len(calls) > 1:
            yield f"# {_loop(part)}"
        start = "return " if len(calls) == 1 else "values |= " if number else "values = "
        yield from opened_up(start, call)
    if len(calls) > 1:
        yield "return values"


def adding(plan: Plan, framework: Framework) -> Iterator[str]:
    """Give the lines that add up the loss of each sample."""
    sums = []
    for part, call in _calls(plan, plan.terms, framework):
        found = f"found{part.name.removeprefix('terms')}"
        yield from opened_up(f"{found} = ", call)
        sums += [f'{found}["{symbol}"]' + ".sum(0)" * bool(part.axis) for symbol in part.gives]
    yield f"return {' + '.join(sums)}"


def _loop(part: Part) -> str:
    """Return how the model's text says when a part runs."""
    counted = f"range({part.axis})"
    order = f"reversed({counted})" if part.block.reverse else counted
    return f"for {part.block.variable} in {order}:" if part.axis else "once:"


def _calls(plan: Plan, some: Iterable[Part], framework: Framework) -> Iterator[tuple[Part, str]]:
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
            yield part, f"{framework.batched.format(_with_sizes(plan, part))}(params, {table(wired)}, {{}})"
            continue
        at_step = {name: where for name, where in wired.items() if part.wires[name].part == STEP}
        alike = {name: where for name, where in wired.items() if name not in at_step}
        starts = {name: _start(plan, name, part.block.starts[name], framework) for name in part.cell.states}
        reverse = ", reverse=True" * part.block.reverse
        tables = f"{table(at_step)}, {table(alike)}, {table(starts)}"
        yield part, f"over_time({_with_sizes(plan, part)}, params, {tables}, {plan.length(part.axis)}{reverse})"


def _with_sizes(plan: Plan, part: Part) -> str:
    """Return a part's function as one of parameters, inputs and states alone."""
    sizes = ", ".join(map(plan.length, part.sizes))
    return f"lambda *given: {part.name}(*given, {sizes})" if sizes else part.name


def _wired(plan: Plan, wire: Wire) -> str:
    """Return what a wire carries: (T, B, ...) of a value at each step, else (B, ...)."""
    is_input = wire.source in plan.asked
    array = f'{"inputs" if is_input else "values"}["{wire.source}"]'
    if wire.part == WHOLE:
        return f"{array}.swapaxes(0, 1)"
    if wire.part == LAST:
        return f"{array}[{0 if plan.model.blocks[plan.model.home(wire.source)].reverse else -1}]"
    return array


def _start(plan: Plan, state: str, wire: Wire | None, framework: Framework) -> str:
    """Return the first value of a state, (B, ...)."""
    if wire is None:
        return f'states["{state}"]'
    if wire.part == PARAM:
        array = f'params["{wire.source}"]'
        return framework.spread.format(array, f"(B, *{array}.shape)")
    return _wired(plan, wire)


def signature(plan: Plan, missing: Iterable[str]) -> str:
    """Return the arguments of what runs, behind the first."""
    keywords = "".join(f", {name}" for name in missing)
    return "inputs" + ", states=None" * bool(plan.free) + ", *" * bool(keywords) + keywords


def handed_on(plan: Plan, missing: Iterable[str]) -> str:
    """Return arguments as they are handed on."""
    return "inputs" + ", states" * bool(plan.free) + "".join(f", {name}={name}" for name in missing)


def doc_of_run(plan: Plan, missing: Iterable[str]) -> list[str]:
    """Return the docstring of what predicts."""
    gives = "each state after each step, {name: (T, B, ...)}"
    if not plan.is_cell:
        gives = "values, {name: (T, B, ...)}, or (B, ...) of what runs once"
    lines = [f"inputs: {_told(plan, plan.read)};"]
    if plan.free:
        lines.append("states: those before the first step, {name: (B, ...)}, zeros where left out;")
    lines += [f"{name}: {'samples' if name == 'B' else 'steps'};" for name in missing]
    return [f'"""Return {gives}.', "", *lines[:-1], f"{lines[-1].removesuffix(';')}.", '"""']


def doc_of_loss(plan: Plan) -> list[str]:
    targets = [name for name in plan.asked if name not in plan.read]
    beside = f", and {_told(plan, targets)}" if targets else ""
    return ['"""Return the loss of each sample, (B,).', "", f"inputs: as above{beside}.", '"""']


def _told(plan: Plan, names: Iterable[str]) -> str:
    """Return what inputs are, for a docstring."""
    model, given = plan.model, []
    for name in names:
        lead = [axis if axis.isidentifier() else "T"] if (axis := plan.asked[name]) else []
        shape = [] if name in model.indices else map(str, model.shapes[Symbol(name)])
        lengths = [*lead, "B", *shape]
        whole = " whole numbers" * (name in model.indices)
        given.append(f'"{name}": ({", ".join(lengths)}{"," * (len(lengths) == 1)}){whole}')
    return f"{{{', '.join(given)}}}"

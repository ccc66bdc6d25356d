"""What was inferred about a calling convention, in sentences."""

from __future__ import annotations

from collections.abc import Iterable

from ...derive.program import quantities
from .code_adapter import Calling
from .code_cells import Match
from .code_forms import Form

LOSSES = {"softmax": "the cross-entropy of a softmax", "square": "a squared error"}


def conventions(calling: Calling, form: Form, match: Match | None) -> tuple[str, ...]:
    """Return layout, orientation, order of gates, biases and states in sentences."""
    said = [form.says]
    told = [source for _, source in calling.passed if source[0] == "gradient"]
    roles = {calling.returned[int(index)].role for source in told for index in source[1:]}
    if any(place.role == "loss" for place in calling.returned):
        how = f": {LOSSES[match.readout]}" if match is not None and match.readout in LOSSES else ""
        targets = ", from targets" if calling.has_targets else ""
        said.append(f"The loss is computed inside{targets}{how}.")
    elif roles:
        kinds = {
            "states": "at every step",
            "final": "at the last step",
            "outputs": "at the outputs of every step",
            "output": "at the output",
        }
        said.append(f"Loss gradients come in {' and '.join(kinds[role] for role in sorted(roles, reverse=True))}.")
    if match is None:
        return tuple(said)
    turned = {block.turned for block in match.blocks if len(block.axes) == 2}
    said += ["Weights are (inputs, outputs), as in x @ W."] * (turned == {True})
    said += ["Weights are (outputs, inputs), as in W @ x."] * (turned == {False})
    if match.edit is not None and match.edit.convention:
        said.append(f"{match.edit.says} against the usual {match.cell.name}.")
    said += list(_stacks(match))
    said += list(_sums(match))
    given = set(match.starts.values())
    missing = [name for name in match.cell.states if name not in given]
    said += [f"{name} starts from 0." for name in missing]
    return tuple(said)


def gates(match: Match) -> dict[str, str]:
    """Return parameter -> the value whose equation reads it: W_hi -> i."""
    found: dict[str, str] = {}
    for equation in match.cell.equations:
        for symbol in quantities(equation.written):
            if symbol.name in match.cell.params:
                found.setdefault(symbol.name, equation.target.name)
    return found


def _stacks(match: Match) -> Iterable[str]:
    of = gates(match)
    orders: dict[str, list[str]] = {}
    whole: dict[str, list[str]] = {}
    for place in dict.fromkeys(block.place for block in match.blocks):
        blocks = [block for block in match.blocks if block.place == place]
        stacked = list(dict.fromkeys(of[block.param] for block in blocks))
        if len(stacked) > 1:
            orders.setdefault(", ".join(stacked), []).append(place)
        pairs = [b for b in blocks if of[b.param] == stacked[0]]
        if len(pairs) == 2 and len(pairs[0].axes) == 2 and len(blocks) == 2 * len(stacked):
            names = ["h" if block.axes[1] == "n" else "x" for block in pairs]
            whole.setdefault("; ".join(names), []).append(place)
    for names_in_order, places in whole.items():
        yield f"{_listed(places)} multipl{'y' if len(places) > 1 else 'ies'} [{names_in_order}]."
    for order, places in orders.items():
        yield f"The gates are stacked in the order {order} in {', '.join(places)}."


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _sums(match: Match) -> Iterable[str]:
    holders: dict[str, list[str]] = {}
    for block in match.blocks:
        holders.setdefault(block.param, []).append(block.place)
    for places in dict.fromkeys(tuple(found) for found in holders.values() if len(found) > 1):
        yield f"{' and '.join(places)} are added up."

"""What a name in somebody's backward pass may mean, from how it is spelled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...derive.functions import Elementwise
from .arithmetic import Array, Evaluator, apply_floats
from .exact import Residue, apply_arrays
from .jacobians import WAYS, jacobian_tree
from .jacobians import parts as jacobian_parts
from .probes import STEPS, Probes, Record, Subject, without
from .tree import Name, Tree, names

KINDS = {
    "value": "{0}",
    "total": "∂L/∂{0}",
    "loss": "the loss's own ∂L/∂{0} of step t",
    "incoming": "∂L/∂{0} without what reaches it through other values of step t",
    "carry": "what step t+1 sends back to {0}",
    "share": "step t's share of ∂L/∂{0}",
    "sum": "∂L/∂{0}, summed over t",
    "own": "a value of their own",
}
OF_SEED = ("total", "incoming", "carry", "loss")
PREFIX = re.compile(r"(?:d(?:[LJE]|[Ll]oss)_?d_?|dL_|dl_d|grad_|nabla_|delta_|Delta_|δ_?|∇_?|adj_|d_|d(?!elta))(.+)")
SUFFIX = re.compile(r"(.+?)_(?:bar|grad|delta|adj)((?:_[a-z]+)?)")
# names of an argument that the cell gives none
UNNAMED = re.compile(r"a|z|s|u|v|net|pre|raw|\w*_?(?:raw|pre|act|activation|net)|tanh|sum|in")
BARE = ("delta", "Delta", "grad")  # of the one argument that a cell has
OUTSIDE = ("out", "loss", "L", "external", "ext", "local", "direct", "y", "top", "up", "given", "yhat", "o", "logits")


class Meaning(NamedTuple):
    """`Meaning("carry", "h", -1)`: what step t sends back to h at t−1."""

    kind: str
    base: str
    offset: int = 0

    def __str__(self) -> str:
        if self.kind in WAYS and (found := jacobian_parts(self.base)):
            of, by, lag = found
            times = [f"t{self.offset - back:+d}".removesuffix("+0") for back in (0, lag)]
            return f"∂{of}_{{{times[0]}}}/∂{by}_{{{times[1]}}}{WAYS[self.kind]}".replace("_{t}", "_t")
        if self.kind == "carry" and self.offset == -1:
            return f"what step t sends back to {self.base}_{{t-1}}"
        time = {-1: "_{t-1}", 0: "_t", 1: "_{t+1}"}[self.offset]
        return KINDS[self.kind].format(self.base + ("" if self.kind in ("share", "sum", "own") else time))


class Answers:
    """The right arrays, with all probes along the first axis.

    Args:
        probes: of the cell.
        seeds: those that the loss depends on.
        turned: whether matrices of parameters are meant transposed.
    """

    def __init__(self, probes: Probes, seeds: Iterable[str], turned: bool) -> None:
        self.probes = probes
        self.subject = probes.subject
        self.turned = turned
        self.made: dict[Meaning, Array] = {}
        self.seeds = tuple(seeds)
        self.params = set(self.subject.cell.params)
        silent = set(self.subject.seeds) - set(self.seeds)
        self.records = (
            tuple(without(self.subject, record, silent) for record in probes.records) if silent else probes.records
        )

    def with_probes(self, probes: Probes) -> Answers:
        """Return the same on other probes."""
        return Answers(probes, self.seeds, self.turned)

    def has(self, meaning: Meaning) -> bool:
        """Return whether there is such a quantity."""
        if meaning.kind in WAYS:
            return self.jacobian(meaning) is not None
        first = self.records[0]
        tables = {"value": first.forward, "loss": first.loss, "incoming": first.loss, "carry": first.carry}
        return meaning.base in tables.get(meaning.kind, first.adjoint)

    def array(self, meaning: Meaning) -> Array:
        """Return (probes, *shape)."""
        if meaning not in self.made and meaning.kind in WAYS:
            self.made[meaning] = self._evaluated(meaning)
        if meaning not in self.made:
            pieces = [self._steps(record, meaning) for record in self.records]
            whole = np.concatenate(pieces)
            if self.turned and meaning.base in self.params and whole.ndim == 3:
                whole = np.swapaxes(whole, 1, 2)
            self.made[meaning] = whole
        return self.made[meaning]

    @cached_property
    def quantities(self) -> list[Meaning]:
        """All that a name of somebody's own may mean: adjoints first, then gradients and values; none that is 0."""
        first = self.records[0]
        found = [Meaning("total", name) for name in first.adjoint if name not in self.params and name[-5:] != "_prev"]
        found += [Meaning(kind, name) for kind in ("incoming", "carry", "loss") for name in first.loss]
        found += [Meaning("carry", name, -1) for name in first.carry]
        found += [Meaning("share", name) for name in self.subject.cell.params]
        found += [Meaning("value", name) for name in first.forward if name not in self.params]
        return [m for m in found if self.has(m) and np.abs(self.array(m)).max(initial=0) > 0]

    def jacobian(self, meaning: Meaning) -> Tree | None:
        """Return a Jacobian as a formula in the forward pass's own names; None where it has none."""
        return jacobian_tree(self.subject.cell.text, self.subject.cell.name, meaning.base, meaning.kind)

    def _evaluated(self, meaning: Meaning) -> Array:
        tree = self.jacobian(meaning)
        assert tree is not None
        moved = {n: n._replace(offset=0 if n.base in self.params else n.offset + meaning.offset) for n in names(tree)}
        straight = self if not self.turned else Answers(self.probes, self.seeds, False)
        values = {n: straight.array(Meaning("value", *at)) for n, at in moved.items()}
        exact = any(array.dtype == object for array in values.values())
        apply, one = (apply_arrays, Residue(1)) if exact else (apply_floats, 1.0)
        found = Evaluator(values, self.subject.sizes, STEPS, False, apply, one).plain(tree)
        length = len(self.records) * STEPS
        return np.broadcast_to(found, (length, *found.shape[1:]))

    def _steps(self, record: Record, meaning: Meaning) -> Array:
        kind, base, offset = meaning
        table = {"value": "forward", "loss": "loss", "carry": "carry"}.get(kind, "adjoint")
        found = record.loss[base] + record.carry.get(base, 0) if kind == "incoming" else getattr(record, table)[base]
        if kind == "sum":
            found = np.broadcast_to(found[1 : STEPS + 1].sum(axis=0), found.shape)
        return np.asarray(found[1 + offset : 1 + offset + STEPS])


def adjoint_of(name: str) -> str | None:
    """Return the quantity whose adjoint a name says it is.

    >>> adjoint_of("delta_a_f"), adjoint_of("h_bar"), adjoint_of("dL_dW"), adjoint_of("x")
    ('a_f', 'h', 'W', None)
    """
    if found := SUFFIX.fullmatch(name):
        return found[1] + found[2]
    found = PREFIX.fullmatch(name)
    return found[1] if found else None


def is_adjoint(name: Name) -> bool:
    """Return whether a name is spelled as an adjoint."""
    return adjoint_of(name.base) is not None


def style_of(names: Iterable[str]) -> str:
    """Return the pattern in which most adjoints of a text are written.

    >>> style_of(["delta_h", "delta_c", "x"]), style_of(["h_bar"]), style_of([])
    ('delta_{}', '{}_bar', 'd{}')
    """
    counts: dict[str, int] = {}
    for name in names:
        base = adjoint_of(name)
        if base and base in name:
            pattern = "{}" + name[len(base) :] if name.startswith(base) else name[: -len(base)] + "{}"
            counts[pattern] = counts.get(pattern, 0) + 1
    return max(counts, key=lambda pattern: counts[pattern], default="d{}")


def argument_of(subject: Subject) -> dict[str, list[str]]:
    """Return value -> arguments of the function that gives it, and of whose that are: f -> a_f."""
    found: dict[str, list[str]] = {}
    for step in subject.forward.steps:
        if isinstance(step.expr, Elementwise) and len(step.expr.args) == 1:
            found[step.target.name] = [str(argument) for argument in step.expr.args if argument.is_Symbol]
        elif functions := sorted(step.expr.atoms(Elementwise), key=str):
            inner = [str(f.args[0]) for f in functions if len(f.args) == 1 and str(f.args[0]).startswith("a")]
            found[step.target.name] = [name for name in inner if name in map(str, subject.forward.shapes)]
    return found


def candidates(name: Name, answers: Answers, assigned: Mapping[Name, bool], given: bool) -> list[Meaning]:
    """Return what a name may mean, most natural first; empty where its spelling says nothing.

    Args:
        name: with its time.
        answers: of the cell.
        assigned: the names that the text assigns -> whether with a sum over all times.
        given: whether this name is assigned.
    """
    base, offset = name
    if jacobian_parts(base):
        return [meaning for way in WAYS if answers.has(meaning := Meaning(way, base, offset))]
    value = Meaning("value", base, offset)
    if answers.has(value) and not base.endswith("_prev"):
        return [Meaning("value", base, 0) if base in answers.params else value]
    if base.startswith("incoming_") and answers.has(Meaning("incoming", base[9:])):
        return [Meaning("incoming", base[9:], offset)]
    of = adjoint_of(base)
    if of is None and given and offset and Name(base) in assigned:  # the same as at t, whatever that is
        return []
    if of is None and (base in BARE if given else UNNAMED.fullmatch(base)):
        arguments = _arguments(answers)
        kind = "total" if given else "value"
        return [Meaning(kind, argument, offset) for argument in arguments] if len(arguments) == 1 else []
    if of is None:
        return []
    if (param := of.removesuffix("_loss")) in answers.params:  # of ∂L_t/∂V too
        return [Meaning("sum" if assigned.get(name) else "share", param)]
    cell = answers.subject.cell
    exact = answers.has(Meaning("total", of))
    target = of if exact else _known_part(of, answers)
    arguments = _arguments(answers)
    if target is None and UNNAMED.fullmatch(of) and len(arguments) == 1:
        return [Meaning("total", argument, offset) for argument in arguments]
    if target is None:
        return []
    if target in answers.params:
        return []
    found: list[Meaning] = []
    if target in answers.subject.seeds:
        found += _of_seed(Name(base, offset), target, answers, assigned, given, of if not exact else "")
    elif target in cell.inputs or answers.has(Meaning("total", target)):
        found.append(Meaning("total", target, offset))
    outside = [meaning.kind for meaning in found] == ["loss"]
    told = exact and target in answers.subject.seeds and (offset != 0 or not given)  # dh that comes from outside
    literal = exact and base.startswith("dL_d")  # ∂L/∂f says what by; df may be of what f's function is given
    if not outside and not told and not literal and (offset == 0 or target not in answers.subject.seeds):
        found += [Meaning("total", argument, offset) for argument in argument_of(answers.subject).get(target, [])]
    return [meaning for meaning in dict.fromkeys(found) if answers.has(meaning)]


def carried(name: Name, answers: Answers) -> list[Meaning]:
    """Return what a variable that goes from step to step may mean where it is assigned: a carry, or a whole adjoint."""
    known, states = _known_part(adjoint_of(name.base) or name.base, answers), answers.subject.cell.states
    found = [Meaning("carry", state, -1) for state in states]
    found += [Meaning("total", base) for base in (*states, *_arguments(answers))]
    found = [meaning for meaning in found if answers.has(meaning)]
    return [meaning for meaning in found if meaning.base == known] or found


def _arguments(answers: Answers) -> dict[str, None]:
    return dict.fromkeys(a for found in argument_of(answers.subject).values() for a in found)


def _known_part(of: str, answers: Answers) -> str | None:
    """Return the longest known name among the words of `h_out` or `z_f`."""
    words = of.split("_")
    spans = [("_".join(words[i:j]), j - i) for i in range(len(words)) for j in range(i + 1, len(words) + 1)]
    known = [(size, text) for text, size in spans if answers.has(Meaning("total", text))]
    return max(known)[1] if known else None


def _of_seed(
    name: Name, state: str, answers: Answers, assigned: Mapping[Name, bool], given: bool, qualified: str
) -> list[Meaning]:
    base, offset = name
    words = set(qualified.split("_")) if qualified else set()
    if not given and words & set(OUTSIDE):
        return [Meaning("loss", state, offset)]
    if offset == 0:
        found = [Meaning(kind, state, 0) for kind in OF_SEED]
        return found[:2] + found[3:] + found[2:3] if not given else found
    if offset == -1:
        return [Meaning(kind, state, -1) for kind in ("carry", "total", "incoming", "loss")]
    carried, whole = Name(base, -1) in assigned, Name(base, 0) in assigned
    found = [Meaning("carry", state, 0)] * (carried or not whole)
    found += [Meaning("total", state, 1), Meaning("incoming", state, 1)] * (whole or not carried)
    return found

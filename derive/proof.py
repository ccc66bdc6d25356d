"""The proof of a derivation: exact agreement with `sympy.diff` on the expanded loss."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sympy import Expr, Symbol

from . import display
from .cell import Cell
from .derivation import Derivation
from .errors import Error
from .expansion import STEPS, Expansion, Leaves
from .functions import Elementwise, Rule, slope_residues
from .interpret import size
from .linear import entry, part, shape_of
from .model import Model, over_time
from .model_derivation import ModelDerivation
from .numerical import numerical_error
from .polynomials import POINTS, FiniteField, PolynomialRing, Terms, generators
from .sizes import size_from

LARGEST = 8
MOST_ENTRIES = 1000


@dataclass(frozen=True)
class Check:
    """One gradient, compared entry by entry.

    Attributes:
        name: the quantity differentiated by, such as "W_hh", "h_0" (the initial state) or "x" (all steps).
        entries: how many scalar entries were compared.
        holds: whether every one agrees exactly.
        method: 'polynomial' (multiplied out over the rationals) or 'field' (exact arithmetic at `POINTS` random points
            of the field of 2⁶¹ − 2373 elements, where multiplying out would take too many terms).
        counterexample: where one doesn't: the entry, what was derived, and what `sympy.diff` gives.
    """

    name: str
    entries: int
    holds: bool
    method: str = "polynomial"
    counterexample: str = ""


@dataclass(frozen=True)
class Proof:
    """What was proved of a cell's derivation, and how.

    Attributes:
        cell: name of the cell or model.
        sizes: dimension -> size used in the expansion, such as {"n": 2, "m": 3}; further axes of time among them.
        steps: number of time steps T.
        functions: elementwise functions whose slopes were proved from their definitions.
        checks: one per parameter, initial state and input.
        seconds: time spent.
        axis: the axis of time that has these steps; "" where nothing runs over time.
        error: of the gradients in float64 at random numbers; see `numerical.numerical_error`.
    """

    cell: str
    sizes: Mapping[str, int]
    steps: int
    functions: tuple[Check, ...]
    checks: tuple[Check, ...]
    seconds: float
    axis: str = "T"
    error: float = float("nan")

    @property
    def holds(self) -> bool:
        """Whether everything agrees exactly."""
        return all(check.holds for check in (*self.functions, *self.checks))

    @property
    def entries(self) -> int:
        """How many scalar entries of gradients were compared."""
        return sum(check.entries for check in self.checks)

    _repr_html_ = display.html

    def __str__(self) -> str:
        chosen = {**self.sizes, **({self.axis: self.steps} if self.axis else {})}
        sizes = ", ".join(f"{name} = {number}" for name, number in chosen.items())
        head = f"{self.entries} entries of {len(self.checks)} gradients against sympy.diff at {sizes}"
        wrong = [check.counterexample for check in (*self.functions, *self.checks) if not check.holds]
        return "\n  ".join([f"Not proved: {head}", *wrong]) if wrong else f"Proved: {head} ({self.seconds:.1f} s)"


def prove(derivation: Derivation | ModelDerivation, progress: Callable[[str], None] = lambda name: None) -> Proof:
    """Compare every gradient of a derivation with `sympy.diff` on the expanded loss, entry by entry and exactly.

    The author's equations are expanded to scalars over T = 3 steps at small, pairwise different sizes. The loss is the
    model's; for a cell it is L = Σ_t Σ_s ⟨g_{s,t}, s_t⟩ in free symbols g over every state s. The derived programs are
    run on the same symbols. Both results are polynomials in parameters, inputs, initial states, g and the values of the
    activations (and reciprocals and roots, where there are any), and are compared as such. Slopes of activations are
    proved apart, from their definitions.

    Args:
        derivation: what to prove, of a cell or of a model.
        progress: called with the name of each gradient before it is compared.

    Raises:
        Error: where sizes that the text states as numbers make the expansion too large, or no small sizes fit.

    >>> from .cell import load
    >>> from .derivation import derive
    >>> proof = prove(derive(load("rnn")))
    >>> proof.holds, proof.entries
    (True, 23)
    """
    start = time.perf_counter()
    if isinstance(derivation, Derivation):
        derivation = ModelDerivation(over_time(derivation.cell), (derivation,))
    model = derivation.model
    sizes = model_sizes(model)
    _check_extent(model, sizes)
    expansion = Expansion(derivation, sizes)
    pairs = expansion.pairs()
    comparison = _Comparison(
        [e for entries in pairs.values() for pair in entries.values() for e in pair], expansion.leaves
    )
    checks = []
    for name, entries in pairs.items():
        progress(name)
        checks.append(comparison.check(name, entries))
    functions = tuple(_check_slopes(rule) for rule in _rules(derivation.parts))
    shown = {name: number for name, number in sizes.items() if name not in model.axes[:1]}
    axis = next(iter(model.axes), "") if model.text else "T"
    error = numerical_error(derivation, sizes)
    return Proof(model.name, shown, STEPS, functions, tuple(checks), time.perf_counter() - start, axis, error)


class _Comparison:
    """Decides whether two expressions are the same polynomial."""

    def __init__(self, expressions: list[Expr], leaves: Leaves) -> None:
        inner = [argument for _, values in leaves.stands_for.values() for argument in values]
        atoms, powers = generators([*expressions, *inner, *leaves.tangents.values()])
        self.ring = PolynomialRing([a for a in atoms if leaves.tangent(a) is a], powers, leaves.tangent)
        self.most_terms = self.ring.most_terms
        self.terms = Terms(leaves.tangent)
        self.fields = [FiniteField(seed, leaves.opened) for seed in range(POINTS)]

    def check(self, name: str, entries: Mapping[tuple[int, ...], tuple[Expr, Expr]]) -> Check:
        methods = set()
        for index, (derived, expected) in entries.items():
            if self._is_same_polynomial(derived, expected):
                methods.add("polynomial")
                continue
            methods.add("field")
            if not all(field.equal(derived, expected) for field in self.fields):
                place = f"{name}{list(index) if index else ''}"
                difference = self._difference(derived, expected)
                return Check(name, len(entries), False, counterexample=f"{place}: derived − sympy.diff = {difference}")
        return Check(name, len(entries), True, "field" if "field" in methods else "polynomial")

    def _is_small(self, *expressions: Expr) -> bool:
        return max(map(self.terms.bound, expressions)) <= self.most_terms

    def _is_same_polynomial(self, derived: Expr, expected: Expr) -> bool:
        return self._is_small(derived, expected) and self.ring.convert(derived) == self.ring.convert(expected)

    def _difference(self, derived: Expr, expected: Expr) -> str:
        """Return what is left of the difference when it is multiplied out."""
        if not self._is_small(derived, expected):
            return "too many terms to print"
        return self.ring.shown(self.ring.convert(derived) - self.ring.convert(expected))


def small_sizes(cell: Cell) -> dict[str, int]:
    """Give the states' dimensions 2, then the others 3, 4, ...: pairwise different.

    >>> from .cell import load
    >>> small_sizes(load("rnn"))
    {'n': 2, 'm': 3}
    """
    model = over_time(cell)
    return {name: number for name, number in model_sizes(model).items() if name not in model.axes}


def model_sizes(model: Model) -> dict[str, int]:
    """Give axes of time 3, 2, 4, ... steps, the states' dimensions 2, then the others 3, 4, ..., pairwise different."""
    axes = dict(zip(model.axes, (STEPS, STEPS - 1, *range(STEPS + 1, STEPS + len(model.axes))), strict=False))
    states = [model.shapes[Symbol(name)] for block in model.blocks for name in block.starts]
    given = [model.whole_shape(name) for name in (*model.inputs, *model.params)]
    given += [(size_from(entries),) for *_, entries in model.indices.values()]
    symbols = [s for shape in (*states, *given) for part in shape for s in sorted(part.atoms(Symbol), key=str)]
    names = [name for name in dict.fromkeys(symbol.name for symbol in symbols) if name not in axes]
    for largest in range(len(names) + 1, len(names) + 1 + LARGEST):
        for numbers in itertools.permutations(range(2, largest + 1), len(names)):
            sizes = axes | dict(zip(names, numbers, strict=True))
            if (largest in numbers or not names) and all(_is_possible(block.cell, sizes) for block in model.blocks):
                return sizes
    raise Error(f"{model.name}: no small sizes of {', '.join(names)} fit the slices and indices of its equations")


def _check_extent(model: Model, sizes: Mapping[str, int]) -> None:
    """Refuse what would take hours: sizes that the text states as numbers can't be chosen small."""
    given = (*model.params, *model.inputs)
    entries = {name: math.prod(size(part, sizes) for part in model.whole_shape(name)) for name in given}
    if (count := sum(entries.values())) > MOST_ENTRIES:
        largest = max(entries, key=lambda name: entries[name])
        raise Error(
            f"{model.name}: a proof would expand {count} entries, more than {MOST_ENTRIES}; '{largest}' alone has "
            f"{entries[largest]}. Write names such as n for sizes that are numbers, and small ones are chosen."
        )


def _is_possible(cell: Cell, sizes: Mapping[str, int]) -> bool:
    """Return whether every shape has entries, and every slice and index lies within its vector."""
    least = [dimension - 1 for shape in cell.shapes.values() for dimension in shape]
    for equation in cell.equations:
        for node in equation.written.atoms(part, entry):
            start, stop = node.args[1], node.args[2] if isinstance(node, part) else node.args[1] + 1
            least += [start, stop - start - 1, shape_of(node.args[0], cell.shapes)[-1] - stop]
    return all(size(room, sizes) >= 0 for room in least)


def _rules(derivations: Iterable[Derivation]) -> list[Rule]:
    steps = [step for derivation in derivations for step in derivation.steps]
    used = {function.rule.name: function.rule for s in steps for function in s.expr.atoms(Elementwise)}
    return [used[name] for name in sorted(used)]


def _check_slopes(rule: Rule) -> Check:
    residues = slope_residues(rule)
    wrong = [str(residue) for residue in residues if residue != 0]
    return Check(rule.name, len(residues), not wrong, counterexample=f"slope off by {wrong[0]}" if wrong else "")

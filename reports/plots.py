"""A plot as data: panels with curves, from which the printed figure and the interactive one are both drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# Okabe and Ito (2008): colours that readers with any kind of colour vision tell apart; the pale yellow is left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
# From light to dark, for a number that grows from curve to curve; each is dark enough for white paper.
SHADES = ("#E08A1E", "#D1495B", "#A23B72", "#6A3D9A", "#3B4BA3", "#14303F")
DASHES = ("solid", "dash", "dot", "dashdot")
MOST_POINTS = 250
MOST_ENDS = 12  # triangles along an edge
MOST_TICKS = 7  # of an axis whose points are named

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A mean with its interval against x.

    Attributes:
        name: in the legend; curves of one name, in several panels, are shown and hidden together.
        x, mean, low, high: same length; nan bounds where there is no interval, infinite means at the panel's edge.
        colour: such as "#0072B2".
        dash: one of `DASHES`.
        theory: what is expected rather than measured: thin, without points.
        marks: points as well as the line, where there are few.
        end: why its means are infinite from some point on, such as an overflow; its last finite point is marked.
    """

    name: str
    x: Array
    mean: Array
    low: Array
    high: Array
    colour: str
    dash: str = "solid"
    theory: bool = False
    marks: bool = False
    end: str = ""

    @property
    def last(self) -> int | None:
        """Where its marked end is."""
        finite = np.flatnonzero(np.isfinite(self.mean))
        return int(finite[-1]) if self.end and finite.size and finite[-1] < len(self.mean) - 1 else None


@dataclass(frozen=True)
class Panel:
    """Attributes:
    title: above it; may be empty.
    curves: in the order of the legend.
    lines: heights of dotted horizontal lines, such as of a half.
    band: lowest and highest y of a shaded band, such as where a rule says "neither"; or nothing.
    least: the lowest y to show, where curves that fall farther would squeeze the others; or nothing.
    """

    title: str
    curves: tuple[Curve, ...]
    lines: tuple[float, ...] = ()
    band: tuple[float, float] | None = None
    least: float | None = None


@dataclass(frozen=True)
class Plot:
    """Attributes:
    panels: side by side, or below each other where it is narrow; they share their scales.
    x, y: labels of the axes.
    factor: label of a second scale in powers of ten, for y that is a natural logarithm; or nothing.
    log_x, log_y: whether x or y is on a logarithmic scale.
    """

    panels: tuple[Panel, ...]
    x: str
    y: str
    factor: str = ""
    log_x: bool = False
    log_y: bool = False

    @property
    def legend(self) -> dict[str, Curve]:
        """Name -> the first curve of that name."""
        found: dict[str, Curve] = {}
        for panel in self.panels:
            for curve in panel.curves:
                found.setdefault(curve.name, curve)
        return found


def colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each different name, by its place.

    >>> colours(["a", "b"])
    {'a': '#0072B2', 'b': '#D55E00'}
    """
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(dict.fromkeys(names))}


def shades(count: int) -> list[str]:
    """Return colours from light to dark.

    >>> shades(2)
    ['#E08A1E', '#14303F']
    """
    places = np.linspace(0, len(SHADES) - 1, max(count, 1)).round().astype(int)
    return [SHADES[place] for place in places[:count]]


def thinned(curve: Curve) -> Curve:
    """Return a curve of at most 250 points, its first and last among them."""
    if len(curve.x) <= MOST_POINTS:
        return curve
    keep = np.unique(np.linspace(0, len(curve.x) - 1, MOST_POINTS).round().astype(int))
    return replace(curve, x=curve.x[keep], mean=curve.mean[keep], low=curve.low[keep], high=curve.high[keep])


def limits(plot: Plot) -> tuple[float, float]:
    """Return the lowest and highest y to show: all means, and intervals as far as they don't squeeze these.

    Where intervals are wider than the means are apart, they get half of the height, or what three quarters of them
    exceed: what is farther out is cut at the frame. A margin keeps the edges free.

    >>> nothing = np.full(2, np.nan)
    >>> curve = Curve("a", np.arange(2.0), np.array([0.0, -np.inf]), nothing, nothing, "#000000")
    >>> limits(Plot((Panel("", (curve,), lines=(1.0,)),), "x", "y"))
    (-0.06, 1.06)
    >>> x = np.arange(5.0)
    >>> limits(Plot((Panel("", (Curve("a", x, x, x, x + np.array([0, 0, 1, 20, 40]), "#000000"),)),), "x", "y"))
    (-0.36, 6.36)
    """
    mean, low, high = (
        np.concatenate([np.zeros(0), *(_scaled(plot, p, getattr(c, part)) for p in plot.panels for c in p.curves)])
        for part in ("mean", "low", "high")
    )
    lines = [_scaled(plot, panel, np.array([*panel.lines, *(panel.band or ())])) for panel in plot.panels]
    choice = (np.concatenate([mean, *lines]), np.concatenate([low, high]), np.zeros(1))
    fixed = next(values for values in choice if np.isfinite(values).any())
    first, last = float(np.nanmin(fixed)), float(np.nanmax(fixed))
    bottom = max(first - _room(mean - low, last - first), float(np.nanmin([first, *low])))
    top = min(last + _room(high - mean, last - first), float(np.nanmax([last, *high])))
    margin = 0.06 * (top - bottom) or 1.0
    bottom, top = bottom - margin, top + margin
    return (10**bottom, 10**top) if plot.log_y else (bottom, top)


def _scaled(plot: Plot, panel: Panel, values: Array) -> Array:
    """Return values on the scale of y, not below the least that is shown; nan where they aren't finite there."""
    shown = np.where(np.isfinite(values), np.fmax(values, -np.inf if panel.least is None else panel.least), np.nan)
    return np.log10(np.where(shown > 0, shown, np.nan)) if plot.log_y else shown


def _room(widths: Array, apart: float) -> float:
    """Return how far intervals are shown beyond the means, which are so far apart."""
    known = widths[np.isfinite(widths)]
    return max(apart / 2, float(np.quantile(known, 0.25))) if known.size else 0.0


def ticks(plot: Plot) -> Array:
    """Return which of the x are named: all where they are few, some on a logarithmic scale, else none in particular.

    >>> layers = np.array([2.0, 3.0, 4.0])
    >>> ticks(Plot((Panel("", (Curve("a", layers, layers, layers, layers, "#000000"),)),), "layers", "y")).tolist()
    [2.0, 3.0, 4.0]
    """
    xs = np.unique(np.concatenate([curve.x for panel in plot.panels for curve in panel.curves]))
    return xs[:: -(-len(xs) // MOST_TICKS)] if plot.log_x or len(xs) <= MOST_TICKS else xs[:0]


def ends(curve: Curve) -> list[tuple[bool, Array]]:
    """Return where a mean is infinite: (whether it is +inf, the x of these points); such points stand at an edge.

    Nothing for a curve that has a marked end.
    """
    if curve.last is not None:
        return []
    found = [(bool(sign > 0), curve.x[curve.mean == sign * np.inf]) for sign in (-1, 1)]
    return [(up, x[:: -(-x.size // MOST_ENDS)]) for up, x in found if x.size]


def reading(curve: Curve, place: int, x: str, rounding: float = 0.0) -> str:
    """Return what a point says: its value with its interval; what is no larger than `rounding` is 0.

    >>> one = np.ones(1)
    >>> reading(Curve("a", 3 * one, -2 * one, -2.5 * one, -1.5 * one, "#000000"), 0, "lag")
    'a, lag 3: −2.00 (−2.50 to −1.50)'
    >>> reading(Curve("a", 0 * one, 7e-18 * one, -1e-17 * one, one, "#000000"), 0, "lag", rounding=1e-12)
    'a, lag 0: 0 (0 to 1.00)'
    """
    if curve.end and not np.isfinite(curve.mean[place]):
        return f"{curve.name}, {x} {curve.x[place]:g}: {curve.end}"
    there = [float(part[place]) for part in (curve.mean, curve.low, curve.high)]
    value, low, high = (number(0.0 if abs(entry) <= rounding else entry) for entry in there)
    interval = "" if low == high or np.isnan(curve.low[place]) else f" ({low} to {high})"
    return f"{curve.name}, {x} {curve.x[place]:g}: {value}{interval}".replace("-", "−")


def number(value: float, whole: bool = False) -> str:
    """Return a number with three figures and true signs.

    >>> number(-0.012345), number(12.0, whole=True), number(-np.inf), number(2e-9), number(123456.0)
    ('−0.0123', '12', '−∞', '2.0e−9', '1.2e5')
    """
    if np.isnan(value):
        return "unknown"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if whole and float(value).is_integer() and abs(value) < 1e6:
        return f"{value:.0f}".replace("-", "−")
    if value == 0:
        return "0"
    size = abs(value)
    if not 1e-3 <= size < 1e5:
        mantissa, power = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(power)}".replace("-", "−")
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.1 else 4
    shown = f"{value:.{digits}f}"
    return shown.replace("-", "−")

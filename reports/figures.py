"""Figures as SVG, drawn by matplotlib without its global state; the same numbers give the same bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from .document import Figure, Text
from .fonts import FAMILY, needed_fonts
from .interactive import MOST_LETTERS, specification
from .plots import Curve, Panel, Plot, colours, ends, limits, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import Dataset

LINES: dict[str, Any] = {"solid": "solid", "dash": (0, (6, 2)), "dot": (0, (2, 1.5)), "dashdot": (0, (6, 2, 1.5, 2))}
DEEPEST = -60.0  # curves of gradients that vanish altogether would squeeze all others flat
LETTER = 9.0  # points: the size of letters; what follows of a legend is in this size
HANDLE, BETWEEN, MARGIN, MOST_COLUMNS = 3.2, 2.0, 1.0, 5  # a line and the space after it; between columns; at both ends
LETTERS_PER_INCH = 13  # of a label along an axis
SIDES = 0.7  # inches beside a panel
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bptt",
    "svg.fonttype": "path",
    "font.family": "serif",
    "font.serif": ["DejaVu Serif"],
    "mathtext.fontset": "cm",
    "font.size": LETTER,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.direction": "out",
    "ytick.direction": "out",
}


def flow_plot(
    summary: Dataset,
    titles: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    paints: Mapping[str, str] | None = None,
    broken: Mapping[tuple[str, str], str] | None = None,
) -> Plot:
    """Return gradient flow as a plot: one panel per kind of data, one curve per cell with its interval.

    Args:
        summary: `mean`, `low`, `high` over (cell, data, lag), natural log, from `analysis.summarise`.
        titles: kind of data -> title of its panel; its own name by default.
        labels: "lag", "norm" and "times" -> labels of the axes, for another language.
        paints: cell -> colour; by default by its place.
        broken: (cell, kind of data) -> why its curve ends before the longest lag.
    """
    words = {"lag": "lag k (steps back)", "norm": "mean ln of gradient norm", "times": "factor", **(labels or {})}
    names = [str(name) for name in summary.cell.values]
    paints = {**colours(names), **(paints or {})}
    panels = []
    for kind in map(str, summary.data.values):
        curves = []
        for place, name in enumerate(names):
            at = summary.sel(data=kind, cell=name)
            mean, low, high = (at[part].values.astype(float) for part in ("mean", "low", "high"))
            dash = list(LINES)[place % len(LINES)]
            end = (broken or {}).get((name, kind), "")
            curves.append(Curve(name, at.lag.values.astype(float), mean, low, high, paints[name], dash, end=end))
        title = (titles or {}).get(kind, kind)
        panels.append(Panel(title, tuple(curves), lines=(-math.log(2),), least=DEEPEST))
    return Plot(tuple(panels), words["lag"], words["norm"], words["times"])


def flow_figure(
    summary: Dataset,
    titles: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    narrow: bool = False,
) -> bytes:
    """Draw gradient flow as SVG, in which text is paths; arguments as for `flow_plot` and `drawn`."""
    return drawn(flow_plot(summary, titles, labels), narrow)


def picture(plot: Plot, alt: str, caption: Text, height: float | None = None) -> Figure:
    """Return a plot as a figure of a document: drawn wide and narrow, and as data for a page that answers to hands."""
    return Figure(
        drawn(plot, height=height), alt, caption, narrow=drawn(plot, narrow=True), interactive=specification(plot)
    )


def drawn(plot: Plot, narrow: bool = False, height: float | None = None) -> bytes:
    """Draw a plot as SVG; text in it is paths.

    Args:
        plot: what to draw.
        narrow: put the panels below each other, for a narrow screen.
        height: of a row of panels, in inches, the whole being 7.2 wide; by default what suits a page of text.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    words = [plot.x, plot.y, plot.factor, *plot.legend, *(panel.title for panel in plot.panels)]
    with rc_context(STYLE | _family(words)):
        count = len(plot.panels)
        columns = 1 if narrow else min(count, 2)
        rows = math.ceil(count / columns)
        letters = MOST_LETTERS if height is None else int(LETTERS_PER_INCH * height)
        height = height or (2.6 if count == 1 else 2.9)
        wide = 4.2 if narrow else 7.2
        canvas = Canvas(figsize=(wide, height * rows + 0.35), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        low, high = limits(plot)
        across = _across(plot)
        for place, (axis, panel) in enumerate(zip(axes, plot.panels, strict=False)):
            if plot.log_x:
                axis.set_xscale("log", base=2)
            if (named := ticks(plot)).size:
                axis.set_xticks(named, minor=False)
                axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
            if plot.log_y:
                axis.set_yscale("log")
            _draw(axis, panel, low, high)
            if across and axis.get_xscale() == "linear":
                axis.set_xlim(*across)
            axis.set_title(panel.title, fontsize=9.5)
            if rows == 1 and place == 0:
                axis.set_ylabel(fill(plot.y, letters))
            if place + columns >= count:
                axis.set_xlabel(fill(plot.x, int(LETTERS_PER_INCH * (wide / columns - SIDES))))
                axis.tick_params(labelbottom=True)
            if plot.factor and (place % columns == columns - 1 or place == count - 1):
                _factors(axis, plot.factor)
        if rows > 1:
            canvas.supylabel(plot.y, fontsize=9)
        for axis in axes[count:]:
            axis.set_visible(False)
        shown = {name: handle for axis in axes for name, handle in _handles(axis)}
        canvas.legend(
            list(shown.values()),
            list(shown),
            loc="outside upper center",
            ncols=_columns(list(shown), wide),
            frameon=False,
            handlelength=2.4,
        )
        stream = io.BytesIO()
        canvas.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _columns(names: list[str], inches: float) -> int:
    """Return how many names of a legend stand side by side in so many inches.

    >>> _columns(["rnn", "linear"], 7.2), _columns(["a name that is rather long"] * 9, 7.2)
    (2, 3)
    """
    from matplotlib.textpath import TextPath

    widths = [TextPath((0, 0), name, size=LETTER).get_extents().width / LETTER if name else 0.0 for name in names]
    room = 72 * inches / LETTER - 2 * MARGIN
    for count in range(min(len(names), MOST_COLUMNS), 1, -1):
        columns = sum(float(column.max()) for column in np.array_split(np.array(widths), count))
        if columns + count * HANDLE + (count - 1) * BETWEEN <= room:
            return count
    return 1


def _handles(axis: Axes) -> list[tuple[str, Any]]:
    handles, names = axis.get_legend_handles_labels()
    return list(zip(names, handles, strict=True))


def _family(words: list[str]) -> dict[str, list[str]]:
    """Return the fonts of the labels, with one for Hangul where a label needs it."""
    folders = needed_fonts("".join(words))
    if not folders:
        return {}
    from matplotlib.font_manager import fontManager

    if FAMILY not in fontManager.get_font_names():
        fontManager.addfont(folders[0] / f"{FAMILY}.ttf")
    return {"font.family": [*STYLE["font.serif"], FAMILY]}


def _across(plot: Plot) -> tuple[float, float] | None:
    """Return the least and the largest x of all panels, which share their axis; None where they don't differ.

    >>> def curve(last): return Curve("a", np.arange(last + 1.0), *3 * [np.ones(last + 1)], "#000000")
    >>> _across(Plot((Panel("", (curve(30),)), Panel("", (curve(9),))), "x", "y"))
    (0.0, 30.0)
    """
    xs = np.concatenate([curve.x for panel in plot.panels for curve in panel.curves] or [np.zeros(1)])
    return (float(xs.min()), float(xs.max())) if xs.min() < xs.max() else None


def _draw(axis: Axes, panel: Panel, bottom: float, top: float) -> None:
    if panel.band:
        axis.axhspan(*panel.band, color="0.5", alpha=0.13, linewidth=0, zorder=0)
    for height in panel.lines:
        axis.axhline(height, color="0.45", linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
    for curve in panel.curves:
        _draw_curve(axis, curve, bottom, top)
    axis.set_ylim(bottom, top)
    axis.grid(axis="y", color="0.9", linewidth=0.5)
    axis.set_axisbelow(True)


def _draw_curve(axis: Axes, curve: Curve, bottom: float, top: float) -> None:
    mean = np.where(np.isfinite(curve.mean), curve.mean, np.nan)
    low, high = (np.where(np.isnan(side), mean, np.clip(side, bottom, top)) for side in (curve.low, curve.high))
    if curve.theory:
        axis.plot(curve.x, mean, color=curve.colour, linewidth=0.9, linestyle=(0, (3, 2)), label=curve.name, zorder=1)
        return
    axis.fill_between(curve.x, low, high, color=curve.colour, alpha=0.18, linewidth=0)
    marker: dict[str, Any] = {"marker": "o", "markersize": 3.2} if curve.marks else {}
    axis.plot(curve.x, mean, color=curve.colour, linestyle=LINES[curve.dash], linewidth=1.5, label=curve.name, **marker)
    if curve.last is not None:
        at = curve.x[[curve.last]], mean[[curve.last]]
        axis.plot(*at, color=curve.colour, linestyle="none", marker="x", markersize=7, mew=2, clip_on=False, zorder=3)
    for up, x in ends(curve):
        edge = np.full(len(x), top if up else bottom)
        sign = "^" if up else "v"
        axis.plot(x, edge, color=curve.colour, linestyle="none", marker=sign, markersize=5, clip_on=False, zorder=3)


def _factors(axis: Axes, label: str) -> None:
    """Add the same axis on the right in powers of ten: what is left of the gradient."""
    ten = math.log(10)
    scale: Any = (lambda y: y / ten, lambda y: y * ten)
    side = axis.secondary_yaxis("right", functions=scale)
    side.yaxis.set_major_locator(_integers())
    side.yaxis.set_major_formatter(lambda power, _: f"$10^{{{round(power)}}}$")
    side.set_ylabel(label)
    side.spines["right"].set_visible(True)


def _integers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=6, integer=True)

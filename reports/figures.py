"""Figures as SVG, drawn by matplotlib without its global state; the same numbers give the same bytes."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .fonts import FAMILY, needed_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from xarray import Dataset

# Okabe and Ito (2008): colours that readers with any kind of colour vision tell apart; the pale yellow is left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("solid", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bptt",
    "svg.fonttype": "path",
    "font.family": "serif",
    "font.serif": ["DejaVu Serif"],
    "mathtext.fontset": "cm",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.direction": "out",
    "ytick.direction": "out",
}


def flow_figure(
    summary: Dataset,
    titles: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    narrow: bool = False,
) -> bytes:
    """Draw gradient flow: one panel per kind of data, one line per cell with its interval as a band.

    Args:
        summary: `mean`, `low`, `high` over (cell, data, lag), natural log, from `analysis.summarise`.
        titles: kind of data -> title of its panel; its own name by default.
        labels: "lag", "norm" and "times" -> labels of the axes, for another language.
        narrow: put the panels below each other, for a narrow screen.

    Returns:
        SVG; text in it is paths.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    kinds = [str(kind) for kind in summary.data.values]
    words = {"lag": "lag k (steps back)", "norm": "mean ln of gradient norm", "times": "factor", **(labels or {})}
    with rc_context(STYLE | _family([*words.values(), *(titles or {}).values(), *map(str, summary.cell.values)])):
        columns = 1 if narrow else min(len(kinds), 2)
        rows = math.ceil(len(kinds) / columns)
        figure = Figure(figsize=(4.2 if narrow else 7.2, 2.9 * rows + 0.35), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        bottom = _bottom(summary)
        for place, (panel, kind) in enumerate(zip(panels, kinds, strict=False)):
            _draw(panel, summary.sel(data=kind), bottom)
            panel.set_title((titles or {}).get(kind, kind), fontsize=9.5)
            if place % columns == 0:
                panel.set_ylabel(words["norm"])
            if place + columns >= len(kinds):
                panel.set_xlabel(words["lag"])
            if place % columns == columns - 1 or place == len(kinds) - 1:
                _factors(panel, words["times"])
        for panel in panels[len(kinds) :]:
            panel.set_visible(False)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(
            handles,
            names,
            loc="outside upper center",
            ncols=min(len(names), 3 if narrow else 5),
            frameon=False,
            handlelength=2.4,
        )
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _family(words: list[str]) -> dict[str, list[str]]:
    """Return the fonts of the labels, with one for Hangul where a label needs it."""
    folders = needed_fonts("".join(words))
    if not folders:
        return {}
    from matplotlib.font_manager import fontManager

    if FAMILY not in fontManager.get_font_names():
        fontManager.addfont(folders[0] / f"{FAMILY}.ttf")
    return {"font.family": [*STYLE["font.serif"], FAMILY]}


def _bottom(summary: Dataset) -> float:
    """Return the smallest finite value to show: curves that vanish altogether would squeeze all others flat."""
    low = summary["low"].where(np.isfinite(summary["low"]), summary["mean"]).values
    finite = low[np.isfinite(low)]
    return float(max(finite.min(), -60.0)) if finite.size else -1.0


def _draw(panel: Axes, curves: Dataset, bottom: float) -> None:
    lag = curves.lag.values
    for place, name in enumerate(curves.cell.values):
        curve = curves.sel(cell=name)
        colour = PALETTE[place % len(PALETTE)]
        dash: Any = DASHES[place % len(DASHES)]
        mean = np.where(np.isfinite(curve["mean"]), curve["mean"], np.nan)
        low, high = (np.where(np.isfinite(curve[side]), curve[side], mean) for side in ("low", "high"))
        panel.fill_between(lag, low, high, color=colour, alpha=0.18, linewidth=0)
        panel.plot(lag, mean, color=colour, linestyle=dash, linewidth=1.5, label=str(name))
    panel.axhline(-math.log(2), color="0.45", linewidth=0.7, linestyle=(0, (1, 2)), zorder=0)
    panel.set_xlim(0, lag.max())
    panel.set_ylim(bottom=bottom * 1.05)
    panel.grid(axis="y", color="0.9", linewidth=0.5)
    panel.set_axisbelow(True)


def _factors(panel: Axes, label: str) -> None:
    """Add the same axis on the right in powers of ten: what is left of the gradient."""
    ten = math.log(10)
    scale: Any = (lambda y: y / ten, lambda y: y * ten)
    side = panel.secondary_yaxis("right", functions=scale)
    side.yaxis.set_major_locator(_integers())
    side.yaxis.set_major_formatter(lambda power, _: f"$10^{{{round(power)}}}$")
    side.set_ylabel(label)
    side.spines["right"].set_visible(True)


def _integers() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=6, integer=True)

"""A plot as data for Plotly, which draws it in a reader's browser; `templates/plots.js` does what Plotly leaves out."""

from __future__ import annotations

import json
import math
from importlib import resources
from textwrap import wrap
from typing import Any

import numpy as np

from .plots import Array, Curve, Plot, ends, limits, reading, thinned, ticks

MOST_LETTERS = 38  # in a line of a label
ROUNDING = 1e-12  # of what is highest: on a linear scale, what is no larger is 0
GAP = 0.07  # between panels, as a share of the whole
INK, SOFT, GRID = "#1c1c1e", "#5b5f66", "#e6e8ec"
FONT = 'Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif'


def specification(plot: Plot) -> str:
    """Return a plot as JSON: traces, layouts for a wide and a narrow page, and the legend.

    >>> one = np.zeros(1)
    >>> from .plots import Panel
    >>> found = json.loads(specification(Plot((Panel("", (Curve("a", one, one, one, one, "#000000"),)),), "x", "y")))
    >>> sorted(found), found["traces"][-1]["text"]
    (['legend', 'narrow', 'traces', 'wide'], ['a, x 0: 0'])
    """
    bottom, top = limits(plot)
    traces = [
        trace
        for place, panel in enumerate(plot.panels)
        for curve in panel.curves
        for trace in _traces(thinned(curve), place, plot, bottom, top)
    ]
    legend = [{"name": c.name, "colour": c.colour, "dash": _dash(c)} for c in plot.legend.values()]
    wide, narrow = (_layout(plot, columns, bottom, top) for columns in (min(len(plot.panels), 2), 1))
    found = {"traces": traces, "wide": wide, "narrow": narrow, "legend": legend}
    return json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def scripts() -> tuple[str, str]:
    """Return Plotly's basic bundle with its licence, and the code that uses it, as JavaScript."""
    vendor = resources.files(__package__) / "vendor"
    licence = (vendor / "plotly-basic.LICENSE").read_text(encoding="utf-8")
    bundle = (vendor / "plotly-basic.min.js").read_text(encoding="utf-8")
    own = (resources.files(__package__) / "templates" / "plots.js").read_text(encoding="utf-8")
    return f"/*\n{licence.strip()}\n*/\n{bundle}", own


def _dash(curve: Curve) -> str:
    return "4px,3px" if curve.theory else curve.dash


def _numbers(values: Array) -> list[float | None]:
    """Return finite numbers at six figures; what isn't finite leaves a gap."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


def _traces(curve: Curve, place: int, plot: Plot, bottom: float, top: float) -> list[dict[str, Any]]:
    axes = {"xaxis": f"x{place + 1}", "yaxis": f"y{place + 1}"}
    common = {"type": "scatter", "name": curve.name, "showlegend": False, **axes}
    found: list[dict[str, Any]] = []
    finite = np.isfinite(curve.mean) & ~np.isnan(curve.low) & ~np.isnan(curve.high)
    for piece in _stretches(finite) if not curve.theory else []:
        x, low, high = curve.x[piece], curve.low[piece].clip(bottom, top), curve.high[piece].clip(bottom, top)
        around = {"x": _numbers(np.concatenate([x, x[::-1]])), "y": _numbers(np.concatenate([high, low[::-1]]))}
        fill = {"fill": "toself", "fillcolor": f"{curve.colour}2e", "line": {"width": 0}, "hoverinfo": "skip"}
        found.append({**common, **around, **fill, "mode": "lines"})
    where = f"{plot.panels[place].title}, " if len(plot.panels) > 1 else ""
    rounding = 0.0 if plot.log_y else ROUNDING * max(abs(bottom), abs(top))
    title = plot.x.split("(")[0].strip()
    text = [where + reading(curve, index, title, rounding) for index in range(len(curve.x))]
    line = {"color": curve.colour, "width": 1.2 if curve.theory else 2.2, "dash": _dash(curve)}
    mode = "lines+markers" if curve.marks else "lines"
    body = {"x": _numbers(curve.x), "y": _numbers(curve.mean), "text": text, "hovertemplate": "%{text}<extra></extra>"}
    found.append({**common, **body, "mode": mode, "line": line, "marker": {"size": 6}, "meta": "read"})
    if curve.last is not None:
        cross = {"symbol": "x-thin", "size": 11, "line": {"width": 3, "color": curve.colour}}
        at = {"x": _numbers(curve.x[[curve.last]]), "y": _numbers(curve.mean[[curve.last]])}
        read = {"text": [f"{text[curve.last]}; {curve.end}"], "hovertemplate": "%{text}<extra></extra>"}
        found.append({**common, **at, **read, "mode": "markers", "marker": cross, "cliponaxis": False})
    for up, x in ends(curve):
        marker = {"symbol": "triangle-up" if up else "triangle-down", "size": 10, "color": curve.colour}
        said = [text[int(np.flatnonzero(curve.x == value)[0])] for value in x]
        edge = [top if up else bottom] * len(x)
        hover = {"text": said, "hovertemplate": "%{text}<extra></extra>", "cliponaxis": False}
        found.append({**common, "x": _numbers(x), "y": edge, "mode": "markers", "marker": marker, **hover})
    return found


def _stretches(mask: Any) -> list[slice]:
    """Return the unbroken stretches of two or more points.

    >>> _stretches(np.array([True, True, False, True, True, True]))
    [slice(0, 2, None), slice(3, 6, None)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 1]


def _layout(plot: Plot, columns: int, bottom: float, top: float) -> dict[str, Any]:
    """Return Plotly's layout with so many panels abreast."""
    rows = -(-len(plot.panels) // columns)
    gap = 0.0 if rows == 1 else (0.16 if columns > 1 else 0.2) / rows * 1.2
    height = (1 - gap * (rows - 1)) / rows
    width = (1 - GAP * (columns - 1)) / columns
    layout: dict[str, Any] = {
        "height": 300 * rows + 40,
        "margin": {"l": 72, "r": 14, "t": 30, "b": 48},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 13}, "align": "left"},
        "dragmode": False,
        "annotations": [],
        "shapes": [],
    }
    for place, panel in enumerate(plot.panels):
        row, column = divmod(place, columns)
        left, upper = column * (width + GAP), 1 - row * (height + gap)
        number = place + 1
        small = {"font": {"size": 13}}
        last = place + columns >= len(plot.panels)
        axis = {"zeroline": False, "linecolor": SOFT, "ticks": "outside", "tickcolor": SOFT, "automargin": True}
        layout[f"xaxis{number}"] = {
            **axis,
            "domain": [left, left + width],
            "anchor": f"y{number}",
            "title": {"text": _wrapped(plot.x) if last else "", "standoff": 8, **small},
            "showgrid": False,
            **_x_axis(plot),
        }
        layout[f"yaxis{number}"] = {
            **axis,
            "domain": [max(upper - height, 0), upper],
            "anchor": f"x{number}",
            "title": {"text": _wrapped(plot.y) if column == 0 else "", "standoff": 6, **small},
            "gridcolor": GRID,
            "exponentformat": "power",
            "type": "log" if plot.log_y else "linear",
            "range": [math.log10(bottom), math.log10(top)] if plot.log_y else [bottom, top],
            "showticklabels": column == 0,
        }
        if panel.title:
            where = {"x": left + width / 2, "y": upper, "xref": "paper", "yref": "paper"}
            over = {"xanchor": "center", "yanchor": "bottom", "showarrow": False, "font": {"size": 14}}
            layout["annotations"].append({"text": panel.title, **where, **over})
        across = {"xref": f"x{number} domain", "x0": 0, "x1": 1, "yref": f"y{number}", "layer": "below"}
        if panel.band:
            low, high = panel.band
            grey = {"fillcolor": "#80808022", "line": {"width": 0}}
            layout["shapes"].append({"type": "rect", **across, "y0": low, "y1": high, **grey})
        for line in panel.lines:
            dotted = {"color": SOFT, "width": 1, "dash": "dot"}
            layout["shapes"].append({"type": "line", **across, "y0": line, "y1": line, "line": dotted})
    return layout


def _wrapped(label: str) -> str:
    """Return a label in lines that are no longer than a panel is high."""
    return "<br>".join(wrap(label, MOST_LETTERS))


def _x_axis(plot: Plot) -> dict[str, Any]:
    xs = np.unique(np.concatenate([curve.x for panel in plot.panels for curve in panel.curves]))
    shown = ticks(plot)
    named = {"tickvals": _numbers(shown), "ticktext": [f"{value:g}" for value in shown]} if shown.size else {}
    if plot.log_x:
        edges = np.log10(xs[[0, -1]]) + np.array([-0.04, 0.04])
        return {"type": "log", "range": edges.tolist(), **named}
    low, high = float(xs[0]), float(xs[-1])
    margin = 0.0 if len(xs) > 30 else 0.04 * (high - low) or 1.0
    return {"range": [low - margin, high + margin], **named}

"""The report of a study: what was asked, every number with its interval, curves, and what failed and where."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sympy import Symbol

from ..analysis.claims.claim import over_seeds
from ..analysis.studies.measures import MEASURES
from ..analysis.studies.table import Row, rows
from .document import Block, Code, Document, Figure, Heading, Inline, Listing, Note, Paragraph, Table, Text
from .figures import picture
from .mathematics import Mathematics
from .overflow import Overflow, overflowed
from .phrases import Phrases
from .plots import DASHES, Curve, Panel, Plot, colours, number, shades

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

MOST_PANELS = 6
LEAST_POINTS = 3  # of a curve
LOG_FROM = 8.0
DEEPEST = -60.0  # of a log norm that is drawn
SPELLED = {"dL_T/ds_{T-k}": "the gradient", "ds_T/ds_{T-k}": "the product of Jacobians"}  # in measurements' own words
AXES = ("initialisation", "data", "seed")


def study_document(tree: DataTree, command: str = "bptt study", language: str = "en") -> Document:
    """Return the report of a study.

    Args:
        tree: from `Study.open`: a group for each cell, size and measure, whose variables have the axes
            initialisation, data and seed before their own; the file's text and settings in `attrs`.
        command: how a reader makes it again.
        language: which file of sentences to use.
    """
    report = _Report(tree, Phrases(language))
    phrases = report.phrases
    title = str(tree.attrs.get("title") or phrases.plain("study.title"))
    question = str(tree.attrs.get("question") or "")
    blocks: list[Block] = [Paragraph((question,))] if question else []
    blocks += [Heading(phrases.plain("comparison.setup")), report.setup(), *report.trouble()]
    for measure in report.measures:
        blocks += report.measure(measure)
    blocks += [
        Heading(phrases.plain("comparison.reproduce")),
        Paragraph(phrases.text("study.file", command=Code(command))),
    ]
    blocks.append(Listing(tuple(str(tree.attrs["text"]).rstrip().splitlines())))
    return Document(title, phrases.plain("kind.study"), (), tuple(blocks), language)


@dataclass(frozen=True)
class _Group:
    """What a study found for one cell, size and measure."""

    cell: str
    size: str
    measure: str
    found: Dataset


class _Report:
    def __init__(self, tree: DataTree, phrases: Phrases) -> None:
        self.phrases = phrases
        self.plan: Mapping[str, Any] = tree.attrs["study"]
        self.rows = rows(tree)
        self.groups = []
        for path in self.plan["groups"]:
            if f"/{path}" in tree.groups:
                cell, size, measure = path.split("/")
                self.groups.append(_Group(cell, size.replace(",", ", "), measure, tree[path].to_dataset().load()))
        self.sizes = _shared_sizes(self.rows)
        self.paints = colours(list(self.plan["cells"]))

    @property
    def measures(self) -> list[str]:
        return list(dict.fromkeys(group.measure for group in self.groups))

    def setup(self) -> Paragraph:
        plan = self.plan
        sizes = list(dict.fromkeys(path.split("/")[1].replace(",", ", ") for path in plan["groups"]))
        parts: dict[str, Inline | Text] = {
            "cells": self.phrases.join(list(plan["cells"])),
            "sizes": "; ".join(sizes),
            "starts": "; ".join(map(_said, plan["initialisation"])),
            "data": "; ".join(f"{label} ({source})" for label, source in plan["data"].items()),
            "seeds": str(len(plan["seeds"])),
            "batch": str(plan["batch"]),
        }
        return Paragraph(self.phrases.text("study.setup", **parts))

    def trouble(self) -> list[Block]:
        """Return a note for the points at which runs failed or exploded, each with where and why."""
        bad = [row for row in self.rows if row.trouble]
        if not bad:
            return []
        title = self.phrases.plain("study.trouble", count=len(bad), all=len(self.rows))
        header = tuple((self.phrases.plain(f"study.{key}"),) for key in ("point", "failed", "exploded", "why"))
        alike: dict[tuple[str, ...], list[str]] = {}
        for row in bad:
            counts = [f"{count}/{row.seeds}" for count in (row.failed, row.exploded)]
            alike.setdefault((self.point(row), *counts, self.why(row)), []).append(row.measure)
        body = []
        for (point, *told), measures in alike.items():
            said = [self.phrases.plain("study.all_measures")] if measures == self.measures else measures
            where = (", ".join([point] * bool(point) + said),)
            body.append((where, *((text,) for text in told)))
        return [Note("", (title,), bad=True), Table(header, tuple(body), "lrrl", wide=3)]

    def why(self, row: Row) -> str:
        if not row.overflowed:
            return row.message
        over = Overflow(row.cell, row.data, row.overflow_first, row.overflow_last, row.overflowed, row.runs)
        return overflowed(over, self.phrases)

    def point(self, row: Row) -> str:
        """Return what tells a point from others of its measure."""
        keys = ("cell", "size", "initialisation", "data")
        differing = [key for key in keys if len({getattr(other, key) for other in self.rows}) > 1]
        return ", ".join(getattr(row, key) for key in differing)

    def measure(self, measure: str) -> list[Block]:
        """Return the figures and the table of a measure."""
        groups = [group for group in self.groups if group.measure == measure]
        method = next((str(group.found.attrs["method"]) for group in groups if "method" in group.found.attrs), "")
        blocks: list[Block] = [Heading(self.phrases.plain("study.measure", measure=measure))]
        if method:
            blocks.append(Paragraph(_typeset(self.phrases.plain("study.method", method=method))))
        blocks += [*self.against_start(measure), *self.figures(groups), self.table(measure)]
        return blocks

    def table(self, measure: str) -> Table:
        """Return the numbers of a measure; axes along which nothing varies are left out."""
        of_measure = [row for row in self.rows if row.measure == measure]
        keys = [
            key for key in ("cell", "size", "initialisation", "data") if len({getattr(r, key) for r in of_measure}) > 1
        ]
        keys = keys or ["cell"]
        quantity = next((_with_unit(row.quantity, row.unit) for row in of_measure if row.quantity), measure)
        header: list[Text] = [(self.phrases.plain(f"study.{key}"),) for key in keys]
        header += [(self.phrases.plain("study.mean"),), (self.phrases.plain("study.interval"),)]
        body = []
        for row in of_measure:
            cells: list[Text] = [(str(getattr(row, key)),) for key in keys]
            ends = {"first": number(row.low), "last": number(row.high)}
            bounds = self.phrases.plain("claims.range", **ends) if row.has_interval else ""
            if 0 < row.kept < row.seeds:
                bounds += self.phrases.plain("study.kept", kept=row.kept, seeds=row.seeds)
            missing = self.phrases.plain("study.none" if row.failed == row.seeds else "overflow.short")
            cells += [(number(row.number) if row.kept else missing,), (bounds,)]
            body.append(tuple(cells))
        about = quantity[:1].upper() + quantity[1:]
        caption = self.phrases.text("study.caption", quantity=about, seeds=str(len(self.plan["seeds"])))
        return Table(tuple(header), tuple(body), "l" * len(keys) + "rr", caption)

    # figures

    def against_start(self, measure: str) -> list[Figure]:
        """Return the numbers of a measure against the only number in which initialisations differ, where it is one."""
        starts = self.plan["initialisation"]
        keys = [key for key in starts[0] if len({repr(start.get(key)) for start in starts}) > 1]
        xs = [start.get(keys[0]) for start in starts] if len(keys) == 1 else []
        if len(xs) < LEAST_POINTS or not all(isinstance(x, int | float) for x in xs):
            return []
        order = np.argsort(xs)
        of_measure = [row for row in self.rows if row.measure == measure]
        labels = list(dict.fromkeys(row.initialisation for row in of_measure))
        if len(labels) != len(xs):
            return []
        panels: dict[str, list[Curve]] = {}
        for key in dict.fromkeys((row.size, row.data, row.cell) for row in of_measure):
            found = {r.initialisation: r for r in of_measure if (r.size, r.data, r.cell) == key}
            line = [found.get(labels[place]) for place in order]
            mean, low, high = (
                np.array([math.nan if row is None else getattr(row, part) for row in line])
                for part in ("number", "low", "high")
            )
            x = np.array(xs, float)[order]
            dash = DASHES[list(self.paints).index(key[2]) % len(DASHES)]
            curve = Curve(key[2], x, mean, low, high, self.paints[key[2]], dash, marks=True)
            panels.setdefault(self.titled(self.sizes[key[2], key[0]], key[1]), []).append(curve)
        first = next((row for row in of_measure if row.quantity), of_measure[0])
        is_log = bool(min(xs) > 0 and max(xs) / min(xs) >= LOG_FROM)
        shown = tuple(Panel(title, tuple(curves)) for title, curves in list(panels.items())[:MOST_PANELS])
        return [self.figure(Plot(shown, keys[0], _with_unit(first.quantity, first.unit), log_x=is_log))]

    def titled(self, size: str, data: str, start: str = "") -> str:
        """Return the title of a panel: what distinguishes it from the others."""
        sizes, kinds = set(self.sizes.values()), {row.data for row in self.rows}
        return ", ".join([size] * (len(sizes) > 1) + [data] * (len(kinds) > 1) + [start] * bool(start)) or data

    def figures(self, groups: list[_Group]) -> Iterator[Block]:
        """Yield a figure for each variable that runs along one axis of numbers of its own."""
        for name, axis in self.along(groups):
            panels: dict[str, list[Curve]] = {}
            for group in groups:
                if name in group.found:
                    for title, curve in self.curves(group, name, axis):
                        panels.setdefault(title, []).append(curve)
            shown = [Panel(title, tuple(curves), least=DEEPEST) for title, curves in panels.items()]
            if shown:
                x, y = (_label(groups[0].found[part], part) for part in (axis, name))
                points = max((group.found[axis].values for group in groups if axis in group.found.dims), key=len)
                yield self.figure(Plot(tuple(shown[:MOST_PANELS]), x, y, log_x=_by_factors(points)))
            if more := shown[MOST_PANELS:]:
                left_out = "; ".join(panel.title for panel in more)
                yield Paragraph((self.phrases.plain("study.more", panels=left_out),))

    def along(self, groups: list[_Group]) -> list[tuple[str, str]]:
        """Return the variables that are drawn, each with its axis: numbers over seeds and one axis of numbers."""
        drawn = {}
        for group in groups:
            found, aside = group.found, MEASURES[group.measure].aside
            axes = {str(dim) for dim, size in found.sizes.items() if dim not in AXES and size >= LEAST_POINTS}
            axes = {dim for dim in axes if dim in found.coords and found[dim].dtype.kind in "if"}
            for name, variable in found.drop_vars(aside, errors="ignore").data_vars.items():
                own = [str(dim) for dim in variable.dims if dim not in AXES]
                if variable.dtype.kind == "f" and "seed" in variable.dims and len(own) == 1 and own[0] in axes:
                    drawn[str(name)] = own[0]
        return list(drawn.items())

    def curves(self, group: _Group, name: str, axis: str) -> Iterator[tuple[str, Curve]]:
        """Yield (panel, curve) for each initialisation and kind of data that is there.

        Where several cells are compared, each initialisation has panels of its own, so that a cell keeps its colour.
        """
        starts = [str(start) for start in group.found.initialisation.values]
        ramp = shades(len(starts))
        alone = len(self.plan["cells"]) == 1 and len(starts) > 1
        number_of_cell = list(self.plan["cells"]).index(group.cell)
        for place, start in enumerate(starts):
            for data in map(str, group.found.data.values):
                at = group.found.isel(initialisation=place).sel(data=data)
                status = at.status.values
                whole = np.flatnonzero((status != 1) & (status != 2))
                kept = at[name].isel(seed=whole if whole.size else np.flatnonzero(status == 2))
                if not bool(at.done) or not kept.sizes["seed"] or bool(kept.isnull().all()):
                    continue
                found = over_seeds(kept)
                mean, low, high = (found[part].values.astype(float) for part in ("value", "low", "high"))
                own_panel = "" if alone or len(starts) == 1 else start
                size = self.sizes[group.cell, group.size.replace(", ", " ")]
                title = self.titled(size, data, own_panel)
                colour, dash = (ramp[place], place) if alone else (self.paints[group.cell], number_of_cell)
                xs: NDArray[np.float64] = group.found[axis].values.astype(float)
                label = start if alone else group.cell
                row = self.row(group, start, data)
                end = self.why(row) if row.overflowed and not row.kept else ""
                if end:  # as far as all of its seeds are finite
                    mean = np.where(np.isfinite(kept.values).all(kept.get_axis_num("seed")), mean, np.inf)
                yield title, Curve(label, xs, mean, low, high, colour, DASHES[dash % len(DASHES)], end=end)

    def row(self, group: _Group, start: str, data: str) -> Row:
        at = (group.cell, group.size.replace(", ", " "), start, data, group.measure)
        return next(r for r in self.rows if (r.cell, r.size, r.initialisation, r.data, r.measure) == at)

    def figure(self, plot: Plot) -> Figure:
        said = [
            self.phrases.plain(
                "claims.alt_curve",
                curve=f"{curve.name} ({panel.title})",
                first=number(float(curve.mean[0])),
                last=number(float(curve.mean[-1])),
            )
            for panel in plot.panels
            for curve in panel.curves
        ]
        alt = self.phrases.plain("claims.alt", x=plot.x, y=plot.y, curves="; ".join(said))
        plan = self.plan
        parts: dict[str, Inline | Text] = {
            "sizes": "; ".join(dict.fromkeys(row.size for row in self.rows)),
            "seeds": str(len(plan["seeds"])),
            "batch": str(plan["batch"]),
        }
        return picture(plot, alt, self.phrases.text("study.figure", **parts))


def _shared_sizes(found: list[Row]) -> dict[tuple[str, str], str]:
    """Return for each (cell, size) what of it is drawn in one panel: the dimensions that all cells have.

    All its dimensions where a cell's sizes differ in others too.
    """
    sizes = {(row.cell, row.size): [entry.partition("=") for entry in row.size.split()] for row in found}
    common = set.intersection(*({name for name, *_ in size} for size in sizes.values())) if sizes else set()
    shared = {key: " ".join("".join(entry) for entry in size if entry[0] in common) for key, size in sizes.items()}
    told_apart = len({(cell, shared[cell, size]) for cell, size in sizes}) == len(sizes)
    return shared if told_apart else {key: key[1] for key in sizes}


def _said(start: Mapping[str, Any]) -> str:
    """Return the settings of an initialisation that are given.

    >>> _said({"rule": "gaussian", "gain": 1.0, "chrono": None})
    'rule=gaussian, gain=1.0'
    """
    return ", ".join(f"{key}={value}" for key, value in start.items() if value is not None)


def _by_factors(xs: NDArray[np.floating]) -> bool:
    """Return whether points lie evenly in their logs rather than by themselves.

    >>> _by_factors(np.array([0.1, 1, 10])), _by_factors(np.arange(1, 30)), _by_factors(np.array([0, 1, 10, 100]))
    (True, False, False)
    """
    return bool(xs[0] > 0 and xs[-1] - xs[-2] >= LOG_FROM * (xs[1] - xs[0]))


def _typeset(text: str) -> Text:
    """Return what a measurement says of itself, with its symbols typeset."""
    typeset = Mathematics({})
    shown = {spelled: typeset.call("lagged_sloped", spelled.startswith("dL")) for spelled in SPELLED}
    shown["s_T"] = typeset.call("stacked", Symbol("T"))
    pieces = re.split("|".join(rf"(?<!\w)({re.escape(spelled)})(?!\w)" for spelled in shown), text)
    return tuple(shown.get(piece, piece) for piece in pieces if piece)


def _label(variable: Any, name: str) -> str:
    """Return what a variable is, with its unit, for an axis."""
    quantity = str(variable.attrs.get("long_name", name))
    for spelled, words in SPELLED.items():
        quantity = quantity.replace(spelled, words)
    return _with_unit(quantity, str(variable.attrs.get("units", "")))


def _with_unit(quantity: str, unit: str) -> str:
    """Return a quantity with its unit in parentheses.

    >>> _with_unit("half-life", "steps"), _with_unit("ln of the norm", "natural log")
    ('half-life (steps)', 'ln of the norm')
    """
    said = unit in ("", "1") or unit == "natural log" and quantity.startswith("ln ")
    return quantity if said else f"{quantity} ({unit})"

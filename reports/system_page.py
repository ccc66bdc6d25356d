"""What a sequence system measured, as parts of a page: drawn by what each variable says of itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..derive.cell import zoo
from ..derive.model import parse_model
from ..derive.model_derivation import derive
from .document import (
    Block,
    Coloured,
    Emphasis,
    Equations,
    Figure,
    Heading,
    Listing,
    Paragraph,
    Sheet,
    Strong,
    Table,
    Text,
    breakable,
)
from .figures import picture
from .heatmaps import heatmaps
from .model import model_equations
from .phrases import Phrases
from .plots import DASHES, Curve, Panel, Plot, colours, number

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

MOST_PANELS = 6
DEEPEST = -40.0  # of a log norm that is drawn
LEAST_POINTS = 2  # of a curve
MOST_PICTURES = 2  # of a sheet, beside the flow
MOST_ROWS = 18  # of equations on a sheet
COURSE = "step"  # the axis of what is told of training itself
FLAT = 1.9  # inches: the height of panels
MOST_LISTED, MOST_LETTERS = 7, 88  # lines of a text on a sheet, and letters of each
MOST_ACROSS = 48  # letters of the columns of models that stand side by side in a table of numbers
NO_BREAK = "\N{NO-BREAK SPACE}"
LONGEST_ABBREVIATION = 4  # letters
FEW_ROWS = 8  # of equations that leave room for a table below them


class SystemPage:
    """The parts of a system's page.

    Attributes:
        found: from `System.run`.
        phrases: of the page's language.
    """

    def __init__(self, found: Dataset, phrases: Phrases) -> None:
        self.found = found = named(found)
        self.phrases = phrases
        self.models = [str(name) for name in found.model.values]
        self.paints = colours(self.models)

    def sheet(self, level: int) -> Sheet:
        """Return the page to be shown: question, outcome, data, equations, numbers, pictures and the gradient's flow.

        Args:
            level: of its title as a heading; 0 where the document's own title says the same.
        """
        attrs, plain = self.found.attrs, self.phrases.plain
        lead = (Paragraph((Emphasis(attrs["question"]), " ", Strong(attrs["learned"]))),)
        left: list[Block] = [Paragraph((Strong(plain("gallery.data")), " ", attrs["method"] + "."))]
        left += [*self.numbers(is_brief=True), *self.equations(self.fitting())]
        if others := [label for label in self.models_equations if label not in self.fitting()]:
            left.append(Paragraph((plain("gallery.others", models=", ".join(others)),)))
        pictures = [*self.images(is_brief=True), *self.coloured(is_brief=True)]
        pictures += self.curves(but=COURSE)
        pictures = pictures or [*self.curves(only=COURSE)]
        right: list[Block] = [*pictures[:MOST_PICTURES], *self.flow_of_models()]
        (left if self.rows_of(self.fitting()) < FEW_ROWS else right).extend(self.tables(is_brief=True))
        right += self.texts(is_brief=True)
        return Sheet(attrs["title"], level, lead, (tuple(left), tuple(right)))

    def details(self, level: int) -> list[Block]:
        """Return what was measured and isn't on the sheet, and the equations of the other models.

        Args:
            level: of the headings.
        """
        attrs = self.found.attrs
        sheet = self.sheet(level)
        on_it = [block for column in sheet.columns for block in column]
        measured = [*self.numbers(), *self.images(), *self.coloured(), *self.curves(), *self.flow(), *self.tables()]
        blocks: list[Block] = [Heading(self.phrases.plain("gallery.details"), level)]
        blocks += [*(block for block in measured if block not in on_it), *self.texts()]
        proved = [f"{capitals(label)}: {told}" for label, told in json.loads(attrs.get("proofs", "{}")).items()]
        if proved:
            blocks.append(Paragraph((self.phrases.plain("gallery.proved", models="; ".join(proved)),)))
        about = {key: str(attrs[key]) for key in ("scale", "seed", "seconds")}
        blocks.append(Paragraph((self.phrases.plain("gallery.method", **about),)))
        if others := [label for label in self.models_equations if label not in self.fitting()]:
            blocks += [Heading(self.phrases.plain("section.model"), level), *self.equations(others)]
        return blocks

    @cached_property
    def models_equations(self) -> dict[str, list[Block]]:
        """Label -> equations of the model; the labels of one text stand together."""
        labels: dict[str, list[str]] = {}
        for label, text in json.loads(self.found.attrs["texts"]).items():
            labels.setdefault(text, []).append(label)
        language = self.phrases.language
        return {
            "; ".join(several): model_equations(derive(parse_model(text, several[0])), language)
            for text, several in labels.items()
        }

    def fitting(self) -> list[str]:
        """Return the labels of the models whose equations a sheet has room for: the first at least."""
        labels = list(self.models_equations)
        several = range(len(labels), 1, -1)
        return labels[: next((count for count in several if self.rows_of(labels[:count]) <= MOST_ROWS), 1)]

    def rows_of(self, labels: Sequence[str]) -> int:
        """Return the rows that the equations of models take; a frame around some takes the room of another."""
        blocks = [block for label in labels for block in self.models_equations[label]]
        return sum(len(block.rows) + 1 for block in blocks if isinstance(block, Equations))

    def equations(self, labels: Sequence[str]) -> list[Block]:
        """Return the equations of models, each under its label."""
        blocks: list[Block] = []
        for label in labels:
            blocks.append(Paragraph((Strong(label[:1].upper() + label[1:]),)))
            blocks += self.models_equations[label]
        return blocks

    def of_kind(self, show: str, is_brief: bool = False) -> Iterator[tuple[str, DataArray]]:
        for name, variable in self.found.data_vars.items():
            about = variable.attrs
            is_bound = str(name).endswith(("_low", "_high"))
            if about.get("show", _kind(variable)) == show and name != "flow" and not is_bound:
                if is_brief and about.get("only") == "details":
                    continue
                yield str(name), variable

    def numbers(self, is_brief: bool = False) -> Iterator[Block]:
        """Yield the table of all numbers; an interval stands with its number, and many models below each other."""
        kept = list(self.of_kind("number", is_brief))
        if not kept:
            return
        model = self.phrases.plain("gallery.model")
        titles = [_label(one, name) for name, one in kept]
        cells = [[self.number(name, place) for place in range(len(self.models))] for name, _ in kept]
        widths = [max(map(len, (top, *column))) for top, *column in zip(self.models, *cells, strict=True)]
        if sum(widths) > MOST_ACROSS:
            cells, titles, tops = [list(row) for row in zip(*cells, strict=True)], self.models, titles
        else:
            tops = self.models
        header: tuple[Text, ...] = ((model,), *((top,) for top in tops))
        rows = [
            ((title,), *((cell,) for cell in row))
            for title, row in zip(titles, cells, strict=True)
            if not is_brief or any(row)
        ]
        yield Table(header, tuple(rows), "l" + "r" * len(tops), wide=0 if tops is self.models else -1)

    def number(self, name: str, *place: int) -> str:
        """Return a number of a model or table, with its interval."""
        value, low, high = (at(self.found, name + end, *place) for end in ("", "_low", "_high"))
        return shown(value) if math.isnan(low) else f"{shown(value)} [{number(low)},{NO_BREAK}{number(high)}]"

    def curves(self, only: str = "", but: str = "") -> Iterator[Block]:
        """Yield a figure for each variable that runs along an axis of numbers; one for those of one `figure`.

        Args:
            only, but: an axis that alone, or that isn't wanted.
        """
        groups: dict[str, list[DataArray]] = {}
        for name, one in self.of_kind("curve"):
            if one.dims[1] != but and only in ("", one.dims[1]):
                groups.setdefault(str(one.attrs.get("figure", name)), []).append(one)
        for title, group in groups.items():
            axis = str(group[0].dims[1])
            panels = []
            for one in group:
                curves = [
                    _curve(model, self.found[axis].values, one.values[place], self.paints[model], place)
                    for place, model in enumerate(self.models)
                ]
                kept = tuple(curve for curve in curves if len(curve.x) >= LEAST_POINTS)
                if kept:
                    panels.append(Panel(str(one.attrs["long_name"]) if len(group) > 1 else "", kept))
            if panels:
                y = _label(group[0], "") if len(group) == 1 else _united(title, group[0])
                is_log = group[0].attrs.get("scale") == "log"
                yield self.figure(Plot(tuple(panels), _label(self.found[axis], axis), y, log_y=is_log))

    def relative(self, model: str, state: str, moment: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return ln of the gradient's norm against lag, over that at the least lag; nan where there is none."""
        values = self.found.flow.sel(model=model, state=state, moment=moment).values.astype(float)
        values[np.isneginf(values)] = np.nan
        known = np.flatnonzero(~np.isnan(values))
        return values - values[known[0]] if known.size else values

    def flow_of_models(self) -> Iterator[Block]:
        """Yield the gradient's flow before and after training, side by side: for each model the state that passes most.

        That is the state of the longest reach, and of several such the one with the most gradient at its end.
        """
        if "flow" not in self.found:
            return
        moments = [str(moment) for moment in self.found.flow.moment.values]
        panels = []
        states = {model: self.widest(model, moments[-1]) for model in self.models}
        for place, moment in enumerate(moments):
            curves = []
            for count, (model, state) in enumerate(states.items()):
                values = self.relative(model, state, moment) if state else np.zeros(0)
                if np.sum(~np.isnan(values)) >= LEAST_POINTS:
                    curves.append(_curve(model, self.found.lag.values, values, self.paints[model], count))
            if curves:
                panels.append(Panel(self.phrases.plain(f"gallery.moment_{place}"), tuple(curves), least=DEEPEST))
        if panels:
            yield self.figure(Plot(tuple(panels), *self.axes()), "gallery.flow")

    def widest(self, model: str, moment: str) -> str:
        """Return the state of a model through which the gradient goes farthest back; "" where nothing was measured."""
        best, name = (0, -math.inf), ""
        for state in map(str, self.found.flow.state.values):
            values = self.relative(model, state, moment)
            known = np.flatnonzero(~np.isnan(values))
            if known.size and (len(known), float(values[known[-1]])) > best:
                best, name = (len(known), float(values[known[-1]])), state
        return name

    def axes(self) -> tuple[str, str]:
        return self.phrases.plain("gallery.lag"), self.phrases.plain("gallery.norm")

    def flow(self) -> Iterator[Block]:
        """Yield the gradient's flow through every state, before and after training."""
        if "flow" not in self.found:
            return
        moments = [str(moment) for moment in self.found.flow.moment.values]
        paints = colours(moments)
        panels = []
        for model in self.models:
            for state in map(str, self.found.flow.state.values):
                curves = []
                for place, moment in enumerate(moments):
                    values = self.relative(model, state, moment)
                    if np.sum(~np.isnan(values)) >= LEAST_POINTS:
                        title = self.phrases.plain(f"gallery.moment_{place}")
                        curves.append(_curve(title, self.found.lag.values, values, paints[moment], place))
                if curves:
                    name = _state(state) if len(self.models) == 1 else f"{model}, {_state(state)}"
                    panels.append(Panel(name, tuple(curves), least=DEEPEST))
        if panels:
            yield self.figure(Plot(tuple(panels[:MOST_PANELS]), *self.axes()))

    def figure(self, plot: Plot, caption: str = "") -> Figure:
        said = [
            self.phrases.plain(
                "claims.alt_curve",
                curve=f"{curve.name} ({panel.title})" if panel.title else curve.name,
                first=number(float(curve.mean[0])),
                last=number(float(curve.mean[-1])),
            )
            for panel in plot.panels
            for curve in panel.curves
        ]
        alt = self.phrases.plain("claims.alt", x=plot.x, y=plot.y, curves="; ".join(said))
        return picture(plot, alt, self.phrases.text(caption) if caption else (), FLAT)

    def images(self, is_brief: bool = False) -> Iterator[Block]:
        for name, one in self.of_kind("images", is_brief):
            behind = self.found[one.attrs["over"]] if "over" in one.attrs else None
            yield Figure(heatmaps(one, behind), _label(one, name), (_label(one, name),))

    def coloured(self, is_brief: bool = False) -> Iterator[Block]:
        """Yield each text that is coloured by series of numbers from -1 to 1; the first of them where brief."""
        for name, one in self.of_kind("coloured", is_brief):
            series, place = (str(dim) for dim in one.dims)
            pieces = tuple(map(str, self.found[one.attrs["pieces"]].values))
            values, names = one.values.tolist(), tuple(map(str, one[series].values))
            if is_brief:
                pieces, values = _first_lines(pieces, values)
                yield Coloured(pieces, values, names, (0,), (_label(one, name),))
            else:
                yield Coloured(pieces, values, names, tuple(range(len(names))), (_label(one, name),))

    def texts(self, is_brief: bool = False) -> Iterator[Block]:
        """Yield each text in full; where brief, the first lines of one of them."""
        for name, one in self.of_kind("text", is_brief):
            for place, model in enumerate(self.models):
                axis = str(one.dims[1]) if one.ndim > 1 else ""
                labels = [str(label) for label in one[axis].values] if axis else [""]
                for label, text in zip(labels, np.ravel(one.values[place]), strict=True):
                    lines = str(text).splitlines()
                    if is_brief:
                        lines = [_cut(line) for line in lines if line.strip()][:MOST_LISTED]
                    if lines:
                        several = model if len(self.models) > 1 else ""
                        title = ", ".join(filter(None, (_label(one, name), several, label)))
                        yield Paragraph((f"{title}:",))
                        yield Listing(tuple(map(breakable, lines)))
                        if is_brief:
                            return

    def tables(self, is_brief: bool = False) -> Iterator[Block]:
        """Yield each table; where brief, those that belong on the sheet."""
        for name, one in self.of_kind("table"):
            if is_brief and one.attrs.get("only") != "sheet":
                continue
            row, column = (str(dim) for dim in one.dims)
            header: tuple[Text, ...] = (("",), *((str(label),) for label in one[column].values))
            rows = [
                ((str(label),), *((self.number(name, place, across),) for across in range(len(one[column]))))
                for place, label in enumerate(one[row].values)
            ]
            yield Table(header, tuple(rows), "l" + "r" * len(one[column]), (_label(one, name),))


def named(found: Dataset) -> Dataset:
    """Return what a system measured with the names of cells in its labels and sentences as `capitals` writes them."""
    labels = {
        str(axis): [capitals(str(label)) for label in found[axis].values]
        for axis in found.dims
        if axis in found.coords and found[axis].dtype.kind in "UO" and found[axis].ndim == 1
    }
    texts = {capitals(label): text for label, text in json.loads(found.attrs["texts"]).items()}
    told = {key: capitals(found.attrs[key]) for key in ("question", "learned", "method")}
    axes = {axis: (axis, names, found[axis].attrs) for axis, names in labels.items()}
    return found.assign_coords(axes).assign_attrs(told | {"texts": json.dumps(texts)})


@cache
def _abbreviations() -> re.Pattern[str]:
    short = [name for name in zoo() if len(name) <= LONGEST_ABBREVIATION and name.isalnum()]
    return re.compile(rf"\b(?:{'|'.join(short)})\b")


def capitals(text: str) -> str:
    """Return a text with the short names of cells, which abbreviate, in capitals.

    >>> capitals("copying, rnn: as leaky as an rnn")
    'copying, RNN: as leaky as an RNN'
    """
    return _abbreviations().sub(lambda match: match[0].upper(), text)


def at(found: Dataset, name: str, *place: int) -> float:
    """Return a number of the model, or of a table, at a place; nan where it wasn't measured."""
    return float(found[name].values[place]) if name in found else math.nan


def shown(value: float) -> str:
    return "–" if math.isnan(value) else number(value, whole=True)


def _kind(variable: DataArray) -> str:
    """Return how a variable is shown that doesn't say so."""
    if variable.dtype.kind in "USO":
        return "text"
    if variable.dims == ("model",):
        return "number"
    return "curve" if variable.dims[:1] == ("model",) and variable.ndim == 2 else ""


def _label(variable: Any, name: str) -> str:
    """Return what a variable is, with its unit."""
    return _united(str(variable.attrs.get("long_name", name)), variable)


def _united(title: str, variable: Any) -> str:
    unit = str(variable.attrs.get("units", ""))
    return f"{title} ({unit})" if unit not in ("", "1") else title


def _cut(line: str) -> str:
    return line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS - 2]} …"


def _first_lines(
    pieces: tuple[str, ...], values: list[list[float]], count: int = 3 * MOST_LISTED
) -> tuple[tuple[str, ...], list[list[float]]]:
    """Return the pieces of the first lines of a text, and their values.

    >>> _first_lines(("a", "\\n", "b", "\\n"), [[0.1, 0.2, 0.3, 0.4]], 1)
    (('a',), [[0.1]])
    """
    ends = [place for place, piece in enumerate(pieces) if "\n" in piece]
    cut = ends[count - 1] if len(ends) >= count else len(pieces)
    return pieces[:cut], [row[:cut] for row in values]


def _state(name: str) -> str:
    """Return a state's name with its label in brackets.

    >>> _state("h__layer1")
    'h (layer1)'
    """
    base, _, label = name.partition("__")
    return f"{base} ({label})" if label else base


def _curve(name: str, x: Any, y: Any, colour: str, place: int) -> Curve:
    known = ~np.isnan(y)
    none = np.full(int(known.sum()), np.nan)
    return Curve(name, np.asarray(x, float)[known], y[known], none, none, colour, DASHES[place % len(DASHES)])

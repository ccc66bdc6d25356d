"""The gallery: a page for each sequence system, drawn from what was measured; and one document of all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..derive.errors import Error
from ..derive.model import parse_model
from ..derive.model_derivation import derive
from .document import Block, Document, Figure, Heading, Listing, Paragraph, Strong, Table, Text, breakable
from .figures import picture
from .files import save, write
from .heatmaps import heatmaps
from .model import model_equations
from .phrases import Phrases
from .plots import DASHES, Curve, Panel, Plot, colours, number

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

MOST_PANELS = 6
DEEPEST = -40.0  # of a log norm that is drawn
LEAST_POINTS = 2  # of a curve


def gallery_page(found: Dataset, command: str = "bptt gallery", language: str = "en") -> Document:
    """Return the page of one system.

    Args:
        found: from `System.run`.
        command: how a reader makes it again.
        language: of the sentences around it.
    """
    page = _Page(found, Phrases(language))
    blocks = [*page.blocks(), Heading(page.phrases.plain("gallery.reproduce")), Listing((command,))]
    return Document(found.attrs["title"], page.phrases.plain("gallery.kind"), (), tuple(blocks), language)


def gallery_document(all_found: Sequence[Dataset], command: str = "bptt gallery", language: str = "en") -> Document:
    """Return the gallery: how the gradient reaches the first step of each system, then each system's page."""
    phrases = Phrases(language)
    keys = ("system", "model", "before", "after")
    header = tuple((phrases.plain(f"gallery.{key}"),) for key in keys)
    rows: list[tuple[Text, ...]] = []
    for found in all_found:
        for place, name in enumerate(found.model.values):
            first: Text = (found.attrs["title"],) if not place else ("",)
            shares = [_at(found, key, place) for key in ("first_step_before", "first_step_after")]
            rows.append((first, (str(name),), *((_shown(share),) for share in shares)))
    blocks: list[Block] = [Table(header, tuple(rows), "llrr", phrases.text("gallery.overview"))]
    for found in all_found:
        blocks += [Heading(found.attrs["title"]), *_Page(found, phrases).blocks(level=2)]
    blocks += [Heading(phrases.plain("gallery.reproduce")), Listing((command,))]
    return Document(phrases.plain("gallery.title"), phrases.plain("gallery.kind"), (), tuple(blocks), language)


def _at(found: Dataset, name: str, place: int) -> float:
    return float(found[name].values[place]) if name in found else math.nan


def _shown(value: float) -> str:
    return "" if math.isnan(value) else number(value, whole=True)


class _Page:
    """The parts of a page, by what each variable says of itself."""

    def __init__(self, found: Dataset, phrases: Phrases) -> None:
        self.found = found
        self.phrases = phrases
        self.models = [str(name) for name in found.model.values]
        self.paints = colours(self.models)

    def blocks(self, level: int = 1) -> list[Block]:
        found, phrases = self.found, self.phrases
        blocks: list[Block] = [Paragraph((found.attrs["question"],)), Paragraph((Strong(found.attrs["learned"]),))]
        blocks += [*self.images(), *self.numbers(), *self.curves(), *self.flow(), *self.texts(), *self.tables()]
        blocks.append(Paragraph((phrases.plain("gallery.method", **self.about()),)))
        blocks += self.equations(level)
        return blocks

    def about(self) -> dict[str, str]:
        attrs = self.found.attrs
        return {key: str(attrs[key]) for key in ("method", "scale", "seed", "seconds")}

    def equations(self, level: int) -> list[Block]:
        """Return the equations of each model, under its label where there are several."""
        blocks: list[Block] = [Heading(self.phrases.plain("section.model"), level)]
        texts = json.loads(self.found.attrs["texts"])
        for label, text in texts.items():
            if len(texts) > 1:
                blocks.append(Paragraph((Strong(label),)))
            equations = model_equations(derive(parse_model(text, label)), self.phrases.language)
            blocks += [block for block in equations if not isinstance(block, Heading)]
        return blocks

    def of_kind(self, show: str) -> Iterator[tuple[str, DataArray]]:
        for name, variable in self.found.data_vars.items():
            if variable.attrs.get("show", _kind(variable)) == show and name != "flow":
                yield str(name), variable

    def numbers(self) -> Iterator[Block]:
        """Yield the table of all numbers, a column for each model; an interval stands with its number."""
        rows: list[tuple[Text, ...]] = []
        for name, one in self.of_kind("number"):
            if not name.endswith(("_low", "_high")):
                rows.append(((_label(one, name),), *((self.number(name, k),) for k in range(len(self.models)))))
        if rows:
            header: tuple[Text, ...] = ((self.phrases.plain("gallery.model"),), *((model,) for model in self.models))
            yield Table(header, tuple(rows), "l" + "r" * len(self.models))

    def number(self, name: str, place: int) -> str:
        """Return a number of a model, with its interval."""
        value, low, high = (_at(self.found, name + end, place) for end in ("", "_low", "_high"))
        return _shown(value) + ("" if math.isnan(low) else f" ({number(low)} – {number(high)})")

    def curves(self) -> Iterator[Block]:
        """Yield a figure for each variable that runs along an axis of numbers; one for those of one `figure`."""
        groups: dict[str, list[DataArray]] = {}
        for name, one in self.of_kind("curve"):
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

    def flow(self) -> Iterator[Block]:
        """Yield the gradient's flow at the start and after training: ln of its norm over that at the least lag."""
        if "flow" not in self.found:
            return
        flow = self.found.flow
        moments = [str(moment) for moment in flow.moment.values]
        paints = colours(moments)
        panels = []
        for model in self.models:
            for state in map(str, flow.state.values):
                curves = []
                for place, moment in enumerate(moments):
                    values = flow.sel(model=model, state=state, moment=moment).values.astype(float)
                    values[np.isneginf(values)] = np.nan
                    known = np.flatnonzero(~np.isnan(values))
                    if known.size >= LEAST_POINTS:
                        relative = values - values[known[0]]
                        title = self.phrases.plain(f"gallery.moment_{place}")
                        curves.append(_curve(title, flow.lag.values, relative, paints[moment], place))
                if curves:
                    shown = _state(state) if len(self.models) == 1 else f"{model}, {_state(state)}"
                    panels.append(Panel(shown, tuple(curves), least=DEEPEST))
        if panels:
            labels = (self.phrases.plain("gallery.lag"), self.phrases.plain("gallery.norm"))
            yield self.figure(Plot(tuple(panels[:MOST_PANELS]), *labels))

    def figure(self, plot: Plot) -> Figure:
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
        return picture(plot, alt, ())

    def images(self) -> Iterator[Block]:
        for name, one in self.of_kind("images"):
            behind = self.found[one.attrs["over"]] if "over" in one.attrs else None
            yield Figure(heatmaps(one, behind), _label(one, name), (_label(one, name),))

    def texts(self) -> Iterator[Block]:
        for name, one in self.of_kind("text"):
            for place, model in enumerate(self.models):
                axis = str(one.dims[1]) if one.ndim > 1 else ""
                labels = [str(label) for label in one[axis].values] if axis else [""]
                for label, text in zip(labels, np.ravel(one.values[place]), strict=True):
                    if str(text):
                        several = model if len(self.models) > 1 else ""
                        title = ", ".join(filter(None, (_label(one, name), several, label)))
                        yield Paragraph((f"{title}:",))
                        yield Listing(tuple(breakable(line) for line in str(text).splitlines()) or ("",))

    def tables(self) -> Iterator[Block]:
        for name, one in self.of_kind("table"):
            row, column = (str(dim) for dim in one.dims)
            header: tuple[Text, ...] = (("",), *((str(label),) for label in one[column].values))
            rows = [
                ((str(label),), *((_shown(float(value)),) for value in values))
                for label, values in zip(one[row].values, one.values, strict=True)
            ]
            yield Table(header, tuple(rows), "l" + "r" * len(one[column]), (_label(one, name),))


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


def write_gallery(folder: Path, all_found: Sequence[Dataset], command: str, whole: bool = True) -> list[Path]:
    """Write a page for each system as PDF and HTML, and where `whole`, a document of all."""
    pages = {found.attrs["system"]: gallery_page(found, f"{command} {found.attrs['system']}") for found in all_found}
    if whole:
        pages["gallery"] = gallery_document(all_found, command)
    return [save(page, folder / f"{name}{suffix}") for name, page in pages.items() for suffix in (".html", ".pdf")]


def write_docs(folder: Path, all_found: Sequence[Dataset], command: str) -> list[Path]:
    """Write a Markdown page for each system, with its pictures beside it as NAME-1.svg, and so on."""
    from .markdown import inlined, markdown_text

    written = []
    for found in all_found:
        name = found.attrs["system"]
        page = gallery_page(found, f"{command} {name}")
        text = markdown_text(page)
        for place, figure in enumerate((block for block in page.blocks if isinstance(block, Figure)), 1):
            picture_file = f"{name}-{place}.svg"
            write(folder / picture_file, figure.svg)
            text = text.replace(inlined(figure), picture_file)
        write(folder / f"{name}.md", text.encode())
        written.append(folder / f"{name}.md")
    return written


def keep(found: Dataset, path: Path) -> None:
    """Write what a system measured, as JSON."""
    write(path, json.dumps(found.to_dict(), ensure_ascii=False).encode())


def kept(path: Path) -> Dataset:
    """Read what a system measured.

    Raises:
        Error: where there is no such file, or it isn't one.
    """
    from xarray import Dataset

    try:
        found = Dataset.from_dict(json.loads(path.read_text("utf-8")))
        found.attrs["system"], found["model"]  # what every page needs
    except OSError as error:
        raise Error(f"{path}: can't be read: {(error.strerror or str(error)).lower()}. Run its system first.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Error(f"{path}: not the numbers of a system. Run its system again.") from None
    return found

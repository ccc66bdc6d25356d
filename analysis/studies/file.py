"""The file of a study: TOML, read strictly, with every mistake listed at its path."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, ValidationInfo, create_model

from ...derive.cell import Cell, load, zoo
from ...derive.errors import Error
from ...derive.syntax import closest
from .. import strict
from ..data import DATA, Characters, text
from ..strict import STRICT, shown
from .measures import MEASURES, draw_params, settings_of

T = TypeVar("T")


@dataclass(frozen=True)
class Data:
    """What cells read.

    Attributes:
        label: as the file names it.
        kind: 'noise', or a key of `bptt.analysis.DATA`.
        characters: what is read; for noise, the text whose vocabulary sets the size of the input.
    """

    label: str
    kind: str
    characters: Characters


def _several(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value,)


def _seeds(value: Any) -> Any:
    if isinstance(value, tuple):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Error("should be how many seeds there are, from 1 on, or a list of them")
    return tuple(range(value))


def _named(value: Any) -> Any:
    """Return ("flow", ...) as {"flow": {}, ...}."""
    return dict.fromkeys(_several(value), {}) if isinstance(value, str | tuple) else value


def _path(value: object, info: ValidationInfo, what: str) -> Path:
    if not isinstance(value, str):
        raise Error(f"should be {what}")
    return Path(str(info.context)) / value


def _cell(name: Any, info: ValidationInfo) -> Cell:
    path = _path(name, info, "the name of a cell or the path of a .cell file")
    if name not in zoo() and path.with_name(f"{path.name}.cell").is_file():
        raise Error(f"no cell is called '{name}'. There is a file '{name}.cell': give its whole name.")
    return load(path if path.suffix == ".cell" else name)


def _characters(name: Any, info: ValidationInfo) -> Characters:
    return text(_path(name, info, "the path of a text file"))


def _data(label: Any, info: ValidationInfo) -> Data:
    path = _path(label, info, "text, shuffled, noise or the path of a text file")
    kinds = [*DATA, "noise"]
    if label in kinds:
        return Data(label, label, info.data.get("text") or text())
    if not path.exists() and not path.suffix and path.name == label:
        raise Error(f"no kind of data is called '{label}'. {closest(label, kinds)} Or give the path of a text file.")
    return Data(label, "text", text(path))


Several = Annotated[tuple[T, ...], BeforeValidator(_several), Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


def _axes(model: type[BaseModel]) -> Any:
    """Return a model whose fields hold one value, or several, of what those of `model` hold."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        for extra in field.metadata:
            kind = Annotated[kind, extra]
        fields[name] = (Several[kind], (field.default,))
    return create_model(model.__name__, __config__=STRICT, **fields)


BOTH: Any = ("text", "shuffled")
Start: Any = _axes(settings_of(draw_params))
_known_measures: dict[str, Any] = {name: (measure.settings, None) for name, measure in MEASURES.items()}
Measures: Any = create_model("Measures", __config__=STRICT, **_known_measures)


class StudyFile(BaseModel):
    """What a study file says; where several values may stand, a single one is a list of one."""

    model_config = STRICT

    title: str = ""
    question: str = ""
    cells: Several[Annotated[Cell, PlainValidator(_cell)]]
    hidden: Several[Count] = (32,)
    sizes: dict[str, Several[Count]] = {}
    lengths: Several[Count] = (100,)
    batch: Count = 8
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(_seeds), Field(min_length=1)] = tuple(range(10))
    text: Annotated[Characters | None, PlainValidator(_characters)] = None
    data: Annotated[Several[Annotated[Data, PlainValidator(_data)]], Field(validate_default=True)] = BOTH
    initialisation: Several[Start] = (Start(),)
    measures: Annotated[Measures, BeforeValidator(_named)]

    @property
    def starts(self) -> tuple[dict[str, Any], ...]:
        """Each way in which parameters are drawn: keywords of `draw_params`."""
        return tuple(
            dict(zip(start.model_dump(), values, strict=True))
            for start in self.initialisation
            for values in itertools.product(*start.model_dump().values())
        )

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Measure -> its settings, in the order of the table of measures."""
        chosen = [name for name in MEASURES if name in self.measures.model_fields_set]
        return {name: getattr(self.measures, name).model_dump() for name in chosen}


def read(path: str | os.PathLike[str]) -> tuple[StudyFile, str]:
    """Read the file of a study.

    Returns:
        What it says, and its text.

    Raises:
        Error: where it can't be read or isn't TOML, or with a line for every mistake: its path, value and reason.
    """
    name = Path(path)
    found, string = strict.read(name, StudyFile, "bptt study")
    strict.refuse(name, _conflicts(found))
    return found, string


def _conflicts(found: StudyFile) -> list[str]:
    """Return what is wrong although each value by itself is right."""
    named: dict[str, Sequence[Any]] = {
        "cells": [cell.name for cell in found.cells],
        "data": [data.label for data in found.data],
        "hidden": found.hidden,
        "lengths": found.lengths,
        "seeds": found.seeds,
        "initialisation": found.starts,
        **{f"sizes.{name}": values for name, values in found.sizes.items()},
    }
    mistakes = [
        f"{path} holds {shown(value)} twice: once is enough"
        for path, values in named.items()
        for value in {str(v): v for v in values if list(values).count(v) > 1}.values()
    ]
    if not found.settings:
        mistakes.append(f"measures is empty: give at least one. Known: {', '.join(MEASURES)}.")
    for name, settings in found.settings.items():
        reach = MEASURES[name].reach(settings)
        if reach > min(found.lengths):
            own = getattr(found.measures, name).model_dump(exclude_unset=True) or settings
            given = ", ".join(f"{key} = {shown(value)}" for key, value in own.items() if value is not None)
            advice = f"and lengths = {shown(found.lengths)}. Give longer sequences or a shorter reach."
            mistakes.append(f"measures.{name}: {given} reach over {reach} steps, {advice}")
    for data in found.data:
        shortest = len(data.characters)
        if data.kind == "text" and shortest < max(found.lengths):
            mistakes.append(
                f"lengths = {shown(found.lengths)}: the text {data.characters.source} has {shortest} characters. "
                "Give a longer text or shorter sequences."
            )
    return mistakes

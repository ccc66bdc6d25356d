"""TOML files read strictly: every mistake is listed, with its path, its value and what to write instead."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ..derive.cell import text_of
from ..derive.errors import Error, unwritable
from ..derive.syntax import closest

Model = TypeVar("Model", bound=BaseModel)
# Pydantic's kinds of mistakes whose words are Python's, in TOML's.
KINDS = dict.fromkeys(("dict_type", "model_type"), "write a table, such as {name = value}")
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


def read(path: Path, model: type[Model], command: str) -> tuple[Model, str]:
    """Read a TOML file.

    Args:
        path: of the file.
        model: what it may say; validators get the file's folder as context.
        command: that reads it, and writes one to start from with --new.

    Returns:
        What it says, and its text.

    Raises:
        Error: where the file can't be read or isn't TOML, or with a line for every mistake.
    """
    hint = f"Give a .toml file that is there; to write one to start from: {command} --new mine.toml"
    string = text_of(path, hint)
    try:
        raw = _frozen(tomllib.loads(string))
    except tomllib.TOMLDecodeError as error:
        raise Error(f"{path}: not TOML: {error}") from None
    return check(path, model, raw), string


def write_new(path: Path, text: str) -> None:
    """Write a TOML file where there is none.

    Raises:
        Error: for another suffix, where something is there already, or it can't be written.
    """
    if path.suffix != ".toml":
        raise Error(f"{path}: what it will hold is TOML; try {path.with_suffix('.toml')}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Error(f"{path} is there already: give another name") from None
    except OSError as error:
        raise unwritable(path, error) from None


def check(path: Path, model: type[Model], raw: Any, under: str = "") -> Model:
    """Return what a table of a file says.

    Args:
        path: of the file.
        model: what the table may say.
        raw: the table.
        under: its name in the file.

    Raises:
        Error: with a line for every mistake.
    """
    try:
        return model.model_validate(raw, context=path.absolute().parent)
    except ValidationError as error:
        mistakes = [_mistake(model, raw, one, under) for one in error.errors()]
        refuse(path, mistakes)
        raise


def refuse(name: object, mistakes: Sequence[str]) -> None:
    """Raise an Error that lists mistakes, if there are any."""
    if len(mistakes) == 1:
        raise Error(f"{name}: {mistakes[0]}")
    if mistakes:
        raise Error(f"{name}: {len(mistakes)} mistakes\n" + "\n".join(f"  {line}" for line in mistakes))


def _frozen(value: Any) -> Any:
    """Return TOML with its lists as tuples."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return {name: _frozen(one) for name, one in value.items()} if isinstance(value, dict) else value


def _mistake(model: type[BaseModel], raw: Any, error: Any, under: str) -> str:
    """Return a line for one mistake: its path, the value there, and the reason."""
    place, value, path = error["loc"], raw, under
    for step in place:
        if isinstance(step, int) and isinstance(value, tuple):
            path, value = f"{path}[{step}]", value[step]
        elif not isinstance(step, int):
            path = f"{path}.{step}".removeprefix(".")
            value = value.get(step) if isinstance(value, dict) else value
    if error["type"] == "missing":
        return f"{path} is missing"
    if error["type"] == "too_short" and not value:
        return f"{path} = []: the list is empty: give at least one"
    cause = error.get("ctx", {}).get("error")
    reason = str(cause) if isinstance(cause, Exception) else KINDS.get(error["type"], str(error["msg"]))
    if error["type"] == "extra_forbidden":
        known = _keys(model, place[:-1])
        reason = f"no key is called '{place[-1]}'. {closest(str(place[-1]), known) if known else 'There are none.'}"
    return f"{path} = {shown(value)}: {reason[:1].lower()}{reason[1:]}"


def _keys(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """Return the keys that may stand in a table of the file."""
    found = model
    for step in place:
        if step in found.model_fields:
            inner = _model_in(found.model_fields[str(step)].annotation)
            found = inner or found
    return list(found.model_fields)


def _model_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return next(filter(None, map(_model_in, typing.get_args(kind))), None)


def shown(value: Any) -> str:
    """Return a value as it stands in a message."""
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."

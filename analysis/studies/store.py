"""Where a study keeps its numbers: a Zarr v3 store, one chunk for all seeds of a point, `done` written last."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.errors import MetadataValidationError
from zarr.storage import FsspecStore, LocalStore

from ...derive.errors import Error
from ..overflow import COUNTS
from .plan import Plan, Point, Task
from .task import Outcome, Variable

FORMAT = 2
AXES = ("initialisation", "data", "seed")
STATUS = {"flag_values": [0, 1, 2, 3], "flag_meanings": "nothing_wrong failed exploded partly_exploded"}
OVERFLOW = ("overflow_first", "overflow_last", "overflowed")  # of the sequences of a seed


class Store:
    """The store of a study; one process writes it, any may read it.

    The tree has a group for each group of the plan. There, each variable of the measure has the axes
    (initialisation, data, seed) before its own; `status` and `message` say what went wrong, `overflowed` and its like
    how many sequences overflow and when, and `done` over (initialisation, data) which points are there: all else of a
    point is written before.

    Raises:
        Error: for an address that nothing can be stored at.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._groups: dict[str, zarr.Group] = {}
        self._first: dict[str, Outcome] = {}
        self._arrays: dict[tuple[str, str], zarr.Array[Any]] = {}
        self.zarr: LocalStore | FsspecStore
        scheme, _, rest = url.rpartition("://")
        if scheme in ("", "file"):
            self.zarr = LocalStore(Path(rest).absolute())
            return
        try:
            self.zarr = FsspecStore.from_url(url)
        except (ImportError, ValueError, OSError) as error:
            raise Error(f"{url}: nothing can be stored there: {error}") from None

    def start(self, attrs: Mapping[str, Any]) -> None:
        """Begin a store, or go on with one.

        Raises:
            Error: where something else is there already, or nothing can be written.
        """
        with self._written():
            root = zarr.open_group(self.zarr, mode="a", zarr_format=3, use_consolidated=False)
            root.attrs.put(dict(attrs) | {"format": FORMAT})

    def attrs(self) -> dict[str, Any] | None:
        """Return what the store says of itself, or nothing where there is none.

        Raises:
            Error: where something else is there, or a store of another version.
        """
        with self._written():
            if isinstance(self.zarr, LocalStore):
                _refuse_other_things(self.zarr.root)
            try:
                found = dict(zarr.open_group(self.zarr, mode="r", use_consolidated=False).attrs)
            except FileNotFoundError:
                return None
        if "format" not in found or "study" not in found:
            raise Error(f"{self.url}: a Zarr group that is no study's. Choose another store.")
        if found["format"] != FORMAT:
            formats = f"a store of format {found['format']}, and this bptt reads format {FORMAT}"
            raise Error(f"{self.url}: {formats}. Choose another store, or remove this one")
        return found

    def done(self, plan: Plan, group: int) -> set[Point]:
        """Return the points of a group that are in the store."""
        with self._written():
            root = zarr.open_group(self.zarr, mode="r", use_consolidated=False)
            path = f"{plan.groups[group].path}/done"
            if path not in root:
                return set()
            flags = np.asarray(root[path])
        return {point for point in plan.points(group) if flags[point.start, point.data]}

    def write(self, plan: Plan, point: Point, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Write the outcomes of a point, one for each seed; return them, with those that can't be kept as failures."""
        with self._written():
            group = self._group(plan, point.group)
            kept = [self._fitting(plan, group, outcome) for outcome in outcomes]
            at = (point.start, point.data)
            for name, (_, first, _) in next((o.variables for o in kept if o.variables), {}).items():
                array = self._array(group, name)
                values = np.full((len(kept), *first.shape), array.fill_value, array.dtype)
                for seed, outcome in enumerate(kept):
                    if outcome.variables:
                        values[seed] = outcome.variables[name][1]
                self._set(array, at, values)
            if any(outcome.message for outcome in kept):
                self._array(group, "message")[at] = np.array([outcome.message for outcome in kept], "T")
                self._set(self._array(group, "status"), at, np.array([outcome.status for outcome in kept]))
            if any(outcome.overflow[2] for outcome in kept):
                for name, numbers in zip(OVERFLOW, np.array([outcome.overflow for outcome in kept]).T, strict=True):
                    self._set(self._array(group, name), at, numbers)
            self._set(self._array(group, "done"), at, np.array(True))
        return kept

    def finish(self) -> None:
        """Gather the metadata of all and of each measure's group, so that they open quickly and without a warning.

        Files that a killed process had begun are removed.
        """
        with self._written(), warnings.catch_warnings():
            if isinstance(self.zarr, LocalStore):
                for path in self.zarr.root.rglob("*.partial"):
                    path.unlink(missing_ok=True)
            warnings.simplefilter("ignore")  # of Zarr: other libraries may not read gathered metadata yet
            root = zarr.open_group(self.zarr, mode="r", use_consolidated=False)
            arrays = [name for name, member in root.members(max_depth=None) if isinstance(member, zarr.Array)]
            for group in dict.fromkeys(name.rpartition("/")[0] for name in arrays):
                zarr.consolidate_metadata(self.zarr, path=group, zarr_format=3)
            zarr.consolidate_metadata(self.zarr, zarr_format=3)

    def open(self) -> xr.DataTree:
        """Return the whole store; its numbers are read when they are used.

        Raises:
            Error: where there is no study.
        """
        if self.attrs() is None:
            raise Error(f"{self.url}: there is no study")
        return xr.open_datatree(self.zarr, engine="zarr", consolidated=False, chunks=None)  # type: ignore[arg-type]  # any store

    def _array(self, group: zarr.Group, name: str) -> zarr.Array[Any]:
        """Return an array of a group, whose metadata are read once."""
        key = group.path, name
        if key not in self._arrays:
            found = group[name]
            assert isinstance(found, zarr.Array)
            self._arrays[key] = found
        return self._arrays[key]

    def _set(self, array: zarr.Array[Any], at: tuple[int, ...], values: NDArray[Any]) -> None:
        """Write the chunk at a point: on a disk as a file of its own, since Zarr's way there takes 20 times as long."""
        if not isinstance(self.zarr, LocalStore):
            array[at] = values
            return
        key = array.metadata.encode_chunk_key((*at, *(0,) * (array.ndim - len(at))))
        path = os.path.join(self.zarr.root, array.path, key)
        with open(f"{path}.partial", "wb") as file:
            file.write(np.ascontiguousarray(values, array.dtype.newbyteorder("<")).tobytes())
        os.replace(f"{path}.partial", path)

    def _group(self, plan: Plan, number: int) -> zarr.Group:
        """Return a group with its axes and flags; what is there already is written again, and the same."""
        group, starts = plan.groups[number], plan.starts
        if group.path in self._groups:
            return self._groups[group.path]
        axes: dict[str, Variable] = {
            "initialisation": (AXES[:1], np.array(plan.labels, "T"), {}),
            "data": (AXES[1:2], np.array([data.label for data in plan.data], "T"), {}),
            "seed": (AXES[2:], np.array(plan.seeds, "i8"), {}),
            **{name: (AXES[:1], _column([start[name] for start in starts]), {}) for name in starts[0]},
        }
        found = zarr.open_group(self.zarr, mode="a", path=group.path, zarr_format=3, use_consolidated=False)
        if not found.attrs:
            found.attrs.put(_attrs(plan, number, Outcome(Task(Point(number, 0, 0), 0))))
        for name, variable in axes.items():
            _put(found, name, variable)
        shape = (len(starts), len(plan.data), len(plan.seeds))
        _require(found, "status", AXES, shape, "int8", STATUS)
        _require(found, "message", AXES, shape, "string", {})
        for name in OVERFLOW:
            _require(found, name, AXES, shape, "int32", {"long_name": COUNTS[name]})
        _require(found, "done", AXES[:2], shape[:2], "bool", {})
        self._groups[group.path] = found
        return found

    def _fitting(self, plan: Plan, group: zarr.Group, outcome: Outcome) -> Outcome:
        """Return an outcome, or a failure where its numbers don't lie as those of other points in its group do.

        The first outcome makes the group's variables and coordinates.
        """
        if not outcome.variables:
            return outcome
        if group.path not in self._first:
            self._first[group.path] = outcome
            group.attrs.put(_attrs(plan, outcome.task.point.group, outcome))
            for name, variable in outcome.coordinates.items():
                _put(group, name, variable)
            shape = self._array(group, "status").shape
            for name, (dims, values, attrs) in outcome.variables.items():
                _require(group, name, (*AXES, *dims), (*shape, *values.shape), values.dtype.name, attrs)
        first = self._first[group.path]
        for kind in ("variables", "coordinates"):
            expected, found = getattr(first, kind), getattr(outcome, kind)
            for name in sorted({*expected, *found}):
                if name not in expected or name not in found or not _alike(expected[name], found[name], kind):
                    return replace(outcome, variables={}, message=f"its {name} lies otherwise than at {first.task}")
        return outcome

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Error(f"{self.url}: can't be read or written: {reason}") from None
        except (json.JSONDecodeError, MetadataValidationError) as error:
            damaged = f"a zarr.json in it is damaged: {str(error).lower()}"
            raise Error(f"{self.url}: {damaged}. Choose another store, or remove this one") from None


def _column(values: Sequence[Any]) -> NDArray[Any]:
    """Return settings of all initialisations as a coordinate; one that isn't given is '' among texts, else nan."""
    if any(isinstance(value, str) for value in values):
        return np.array([value or "" for value in values], "T")
    return np.array([np.nan if value is None else value for value in values])


def _attrs(plan: Plan, number: int, outcome: Outcome) -> dict[str, Any]:
    """Return what a group says of itself; `coordinates` are those that xarray doesn't know as such by their names."""
    group = plan.groups[number]
    about: dict[str, Any] = {"cell": group.cell.name, "measure": group.measure, "sizes": dict(group.sizes)}
    about |= {"steps": group.length, "batch": plan.batch, **plan.settings[group.measure], **outcome.attrs}
    aside = {*plan.starts[0], *outcome.coordinates} - {*AXES, *_dims(outcome.coordinates)}
    return _json(about | ({"coordinates": " ".join(sorted(aside))} if aside else {}))


def _dims(variables: Mapping[str, Variable]) -> set[str]:
    return {name for dims, _, _ in variables.values() for name in dims}


def _alike(one: Variable, other: Variable, kind: str) -> bool:
    """Return whether variables have one shape, or coordinates are the same."""
    (dims, first, _), (others, second, _) = one, other
    if dims != others or first.shape != second.shape or first.dtype != second.dtype:
        return False
    return kind == "variables" or np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def _put(group: zarr.Group, name: str, variable: Variable) -> None:
    """Write a coordinate."""
    dims, values, attrs = variable
    text = values.dtype.kind in "TUO"
    kind = "string" if text else values.dtype.name
    array = _require(group, name, dims, values.shape, kind, attrs, values.shape)
    array[...] = values.astype("T") if text else values


def _require(
    group: zarr.Group,
    name: str,
    dims: Sequence[str],
    shape: tuple[int, ...],
    dtype: str,
    attrs: Mapping[str, Any],
    chunk: tuple[int, ...] = (),
) -> zarr.Array[Any]:
    """Return an array, made where it isn't there; a chunk holds all seeds of a point unless another is given."""
    if name in group:
        found = group[name]
        assert isinstance(found, zarr.Array)
        return found
    fill: dict[str, Any] = {"string": "", "bool": False}
    return group.create_array(
        name,
        shape=shape,
        chunks=tuple(max(1, size) for size in chunk or (1, 1, *shape[2:])),
        dtype=dtype,
        chunk_key_encoding={"name": "default", "separator": "."},  # no folders for the chunks of each point
        compressors=None,  # numbers of a measurement don't shrink, and a chunk is their bytes
        fill_value=fill.get(dtype, float("nan") if dtype.startswith("float") else 0),
        dimension_names=dims,
        attributes=_json(attrs),
    )


def _json(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes in types of JSON."""
    return {name: _value(value) for name, value in attrs.items()}


def _value(value: Any) -> Any:
    match value:
        case np.generic() | np.ndarray():
            return _value(value.tolist())
        case Mapping():
            return _json(value)
        case list() | tuple():
            return [_value(one) for one in value]
        case str() | bool() | int() | float() | None:
            return value
        case _:
            return str(value)


def _refuse_other_things(folder: Path) -> None:
    """Refuse a folder that holds anything but a store, or what an interrupted start leaves."""
    if folder.exists() and not folder.is_dir():
        raise Error(f"{folder}: a file is there already. Choose another store.")
    if (
        folder.exists()
        and not (folder / "zarr.json").exists()
        and any(p.suffix != ".partial" for p in folder.iterdir())
    ):
        raise Error(f"{folder}: something else is there already. Choose another store.")

"""Checkpoints: all that a training is, in one safetensors file that is written at once or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ...derive.cell import parse
from ...derive.errors import Error, nearest, unwritable
from ...derive.model import Model, parse_model
from ...kernels import ModelKernel, compile
from .batches import Array, digest
from .trainer import Plan, Training, judged_params

FORMAT = "bptt checkpoint 2"
WRITTEN = "`bptt train` writes best.safetensors and last.safetensors into its folder: give one of them."
PARAM, SLOT, STATE = "param", "slot", "state"  # a tensor is called param/W, slot/mean/W, state/h


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        path: of the file.
        model, cells: its text, and those of cells that it calls beside the zoo's.
        settings: what the training was told, as its file says it.
        task: name and what the task said of itself.
        done: steps taken.
        plan: how it was trained.
        params, slots, carried: as in `Training`.
    """

    path: Path
    model: str
    cells: Mapping[str, str]
    settings: str
    task: Mapping[str, Any]
    done: int
    plan: Mapping[str, Any]
    params: dict[str, Array]
    slots: dict[str, dict[str, Array]]
    carried: dict[str, Array]

    @property
    def judged(self) -> dict[str, Array]:
        """The parameters with which the model is used: averages, where the training took them."""
        return judged_params(self.params, self.slots)

    def kernel(self) -> ModelKernel:
        """Return the kernel of its model, in its dtype."""
        first = next(iter(self.params.values()))
        cells = {name: parse(text, name) for name, text in self.cells.items()}
        return compile(parse_model(self.model, self.path.stem, cells), first.dtype.name)


def write(training: Training, path: Path, settings: str = "") -> None:
    """Write a training to a file: under another name first, so that the file is always whole.

    Args:
        training: at any step.
        path: of the file; it is replaced.
        settings: text of the file that the training was told by.

    Raises:
        Error: where the file can't be written; the one that was there stays.
    """
    tensors = {f"{PARAM}/{name}": array for name, array in training.params.items()}
    tensors |= {f"{SLOT}/{s}/{name}": array for name, slots in training.slots.items() for s, array in slots.items()}
    tensors |= {f"{STATE}/{name}": array for name, array in training.carried.items()}
    tensors = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    about = {
        "format": FORMAT,
        "model": training.kernel.model.text,
        "cells": json.dumps(dict(training.kernel.model.cells)),
        "settings": settings,
        "task": json.dumps({"name": training.task.name, "about": dict(training.task.about)}),
        "done": str(training.done),
        "plan": json.dumps({**asdict(training.plan), "clip": repr(training.plan.clip)}),
    }
    about["digest"] = digest(tensors, about)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(_in_order(save(tensors, about)))
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise unwritable(path, error) from None


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint. Nothing in it is executed.

    Raises:
        Error: where there is no such file, or it isn't a whole checkpoint.
    """
    name = Path(path)
    if name.is_dir():
        inside = sorted(name.glob("*.safetensors"))
        raise Error(f"{name}: a folder. {f'Give the checkpoint in it: {inside[0]}' if inside else WRITTEN}")
    if not name.is_file():
        raise Error(f"{name}: there is no such checkpoint. {nearest(name) or WRITTEN}")
    try:
        with safe_open(name, framework="numpy") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        advice = "If it was cut off, take an earlier one." if name.suffix == ".safetensors" else WRITTEN
        raise Error(f"{name}: not a whole checkpoint of `bptt train` ({error}). {advice}") from None
    if about.get("format") != FORMAT:
        raise Error(f"{name}: a safetensors file, but no checkpoint of bptt: {FORMAT!r} is not in its metadata")
    if about.pop("digest", "") != digest(tensors, about):
        raise Error(f"{name}: what it holds isn't what was written. Take an earlier checkpoint.")
    plan = json.loads(about["plan"])
    slots: dict[str, dict[str, Array]] = {}
    for key, array in tensors.items():
        if key.startswith(f"{SLOT}/"):
            _, slot, param = key.split("/", 2)
            slots.setdefault(param, {})[slot] = array
    params = _under(tensors, PARAM)
    return Checkpoint(
        name,
        about["model"],
        json.loads(about["cells"]),
        about["settings"],
        json.loads(about["task"]),
        int(about["done"]),
        {**asdict(Plan()), **plan, "clip": float(plan["clip"])},
        params,
        {name: slots.get(name, {}) for name in params},
        _under(tensors, STATE),
    )


def _under(tensors: Mapping[str, Array], kind: str) -> dict[str, Array]:
    return {key.removeprefix(f"{kind}/"): array for key, array in tensors.items() if key.startswith(f"{kind}/")}


def _in_order(file: bytes) -> bytes:
    """Return a safetensors file with a sorted header, so that one training gives one file, byte for byte.

    The file is the header's length in 8 bytes, the header as JSON, and the tensors, from places that count from the
    header's end; see the safetensors documentation, "Format". Spaces after the JSON fill up to a multiple of 8.
    """
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[end:]


def take_up(training: Training, found: Checkpoint) -> None:
    """Continue a training, just begun, where a checkpoint stands: bit for bit as if it had never stopped.

    Raises:
        Error: where the checkpoint is of another model, task or plan, with what differs.
    """
    model: Model = training.kernel.model
    if (found.model, found.cells) != (model.text, model.cells):
        raise Error(
            f"{found.path}: of another model than {model.name}. Start again, or give the model it was made with."
        )
    here, there = ({n: array.shape for n, array in params.items()} for params in (training.params, found.params))
    if wrong := next((name for name in here if here[name] != there.get(name)), None):
        shapes = f"{there.get(wrong)} there, {here[wrong]} here"
        raise Error(f"{found.path}: of another size: {wrong} is {shapes}. Give the sizes it was made with.")
    told = asdict(training.plan)
    if changed := [
        f"{key} = {found.plan[key]} there, {told[key]} here" for key in told if found.plan[key] != told[key]
    ]:
        raise Error(f"{found.path}: trained otherwise: {'; '.join(changed)}. Give the same, or start again.")
    if found.task != {"name": training.task.name, "about": dict(training.task.about)}:
        raise Error(f"{found.path}: of another task or other data. Give the same, or start again.")
    if any(array.dtype != training.params[name].dtype for name, array in found.params.items()):
        raise Error(f"{found.path}: of another dtype. Give the one it was made with.")
    training.params = {name: found.params[name] for name in training.params}
    training.slots = {name: found.slots[name] for name in training.params}
    training.carried, training.done = found.carried, found.done

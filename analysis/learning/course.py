"""A training from its first step to its last: judged now and then, kept in a folder, taken up where it stopped."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ...derive.errors import Error, unwritable
from . import checkpoint
from .file import Order
from .trainer import Taken, Training, advance, held_out_loss, refuse_infinite

LAST, BEST, HISTORY, MODEL = "last.safetensors", "best.safetensors", "history.jsonl", "training.toml"


@dataclass(frozen=True)
class Judged:
    """A model judged on what is held out, after so many steps; `loss` is the mean, in nats for a cross-entropy."""

    number: int
    loss: float


def run(
    order: Order,
    folder: Path,
    *,
    resume: bool = False,
    progress: Callable[[Taken | Judged], None] = lambda what: None,
) -> Training:
    """Train as a file orders, and keep everything in a folder.

    The folder gets `last.safetensors` (where the training stands), `best.safetensors` (where the held-out loss was
    smallest), `history.jsonl` (a line for each step and judgement) and the file itself.

    Args:
        order: from `file.load`.
        folder: made if it isn't there.
        resume: go on where `last.safetensors` stands; the result is the same, bit for bit.
        progress: called after each step and judgement.

    Raises:
        Error: where the folder already holds a training and `resume` isn't given, or one of something else; where a
            loss, of a step or held out, isn't finite: `last.safetensors` is then that of the last good judgement.
    """
    last = folder / LAST
    training = order.begin()
    history: list[dict[str, float]] = []
    if resume:
        if not last.exists():
            raise Error(f"{last}: there is no such checkpoint to go on from. To begin, leave out --resume.")
        checkpoint.take_up(training, checkpoint.read(last))
        history = [line for line in _history(folder) if line["number"] <= training.done]
    elif last.exists():
        raise Error(f"{folder} already holds a training: go on with --resume, or give another folder with -o")
    steps = order.told.training
    best = min((line["loss"] for line in history if "norm" not in line), default=math.inf)
    _start(folder, order, history)
    if not resume:
        checkpoint.write(training, last, order.text)
    kept = training.done
    with (folder / HISTORY).open("a", encoding="utf-8") as file:

        def note(what: Taken | Judged) -> None:
            file.write(json.dumps(asdict(what)) + "\n")
            file.flush()
            progress(what)

        try:
            while training.done < steps.steps:
                note(advance(training))
                if training.done % steps.judge_every and training.done < steps.steps:
                    continue
                judged = Judged(training.done, held_out_loss(training))
                refuse_infinite(judged.number, "held-out loss", judged.loss)
                if judged.loss < best:
                    best = judged.loss
                    checkpoint.write(training, folder / BEST, order.text)
                checkpoint.write(training, last, order.text)
                kept = training.done
                note(judged)
        except Error as error:
            raise Error(
                f"{order.path}: {str(error).rstrip('.')}. {last} stands at step {kept}, the last that was good."
            ) from None
    return training


def judgements(folder: Path) -> list[Judged]:
    """Return how the model of a folder was judged, from its first judgement to its last."""
    return [Judged(int(line["number"]), line["loss"]) for line in _history(folder) if "norm" not in line]


def _start(folder: Path, order: Order, history: list[dict[str, float]]) -> None:
    """Write the file and the history so far, each at once or not at all."""
    lines = "".join(json.dumps(line) + "\n" for line in history)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((MODEL, order.text), (HISTORY, lines)):
            beside = folder / f".{name}.{os.getpid()}"
            beside.write_text(text, "utf-8")
            beside.replace(folder / name)
    except OSError as error:
        raise unwritable(folder, error) from None


def _history(folder: Path) -> list[dict[str, float]]:
    """Return the lines of a history; one that was cut off in the middle is dropped."""
    found = []
    path = folder / HISTORY
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found

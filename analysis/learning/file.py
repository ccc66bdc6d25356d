"""The file of a training, `bptt train FILE.toml`: which model learns what, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PlainValidator, ValidationInfo

from ...derive.errors import Error, ShapeError
from ...derive.model import Model, load_model
from ...derive.syntax import closest
from ...kernels import compile
from ..data import text
from ..strict import STRICT, check, read, write_new
from . import arrays, language
from .batches import Task
from .optimisers import OPTIMISERS, optimiser
from .trainer import Plan, Training, begin

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Text(BaseModel):
    """Windows of a text, one after the other in parallel streams.

    Attributes:
        text: path of a text file; by default the help topics that come with Python.
        window: steps through which gradients go back.
        batch: parallel streams.
        held_out: share of the text, its end, on which the model is judged.
        noised: share of what is read in training that is swapped for other tokens of the text.
    """

    model_config = STRICT
    text: str | None = None
    window: Count = 64
    batch: Count = 32
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    noised: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Words(Text):
    """Words of a text; `at_least`: how often one must occur to be told apart."""

    at_least: Count = 5


class Arrays(BaseModel):
    """Examples of one's own, for any model.

    Attributes:
        file: path of an .npz file, as `arrays.Examples` says.
        batch: examples of a step, in a new random order in each epoch.
        held_out: share of the examples, the last, on which the model is judged.
    """

    model_config = STRICT
    file: str
    batch: Count = 32
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.1


@dataclass(frozen=True)
class Kind:
    """A kind of task: what its data table may say, and how the task is made of the file and it, in a folder."""

    data: type[BaseModel]
    make: Callable[[TrainingFile, Any, Path], Task]


def _text_task(file: TrainingFile, data: Text, folder: Path) -> Task:
    chars = text(None if data.text is None else folder / data.text)
    tokens = language.of_words(chars, data.at_least) if isinstance(data, Words) else language.of_characters(chars)
    told = {name: getattr(data, name) for name in ("window", "batch", "held_out", "noised")}
    return language.next_token(file.model, tokens, **told)


def _arrays_task(file: TrainingFile, data: Arrays, folder: Path) -> Task:
    given = arrays.read(folder / data.file)
    return arrays.task(file.model, given, data.held_out, data.batch, file.training.dtype)


TASKS: Mapping[str, Kind] = {
    "characters": Kind(Text, _text_task),
    "words": Kind(Words, _text_task),
    "arrays": Kind(Arrays, _arrays_task),
}


def _model(name: Any, info: ValidationInfo[Path]) -> Model:
    if not isinstance(name, str):
        raise Error("should be the name of a model or the path of a .model file")
    return load_model(info.context / name if name.endswith(".model") else name)


def _optimiser(name: Any) -> str:
    if not isinstance(name, str):
        raise Error(f"should be one of {', '.join(OPTIMISERS)}")
    optimiser(name)
    return name


class Steps(BaseModel):
    """How to train: what `Plan` says, for how long, and in which numbers."""

    model_config = STRICT
    steps: Count = 1000
    optimiser: Annotated[str, PlainValidator(_optimiser)] = "adam"
    rate: Positive = 2e-3
    settings: dict[str, float] = {}
    clip: Positive = Plan.clip
    noise: Annotated[float, Field(ge=0)] = 0.0
    halve_every: Annotated[int, Field(ge=0)] = 0
    fall: Annotated[int, Field(ge=0)] = 0
    decay: Annotated[float, Field(ge=0)] = 0.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    gain: Positive = 1.0
    start: dict[str, float] = {}
    seed: Annotated[int, Field(ge=0)] = 0
    dtype: Literal["float32", "float64"] = "float32"
    threads: Count = 1
    judge_every: Count = 200

    @property
    def plan(self) -> Plan:
        """What the trainer needs to know."""
        return Plan(**{field.name: getattr(self, field.name) for field in fields(Plan)})


class TrainingFile(BaseModel):
    """What the file of a training says."""

    model_config = STRICT
    model: Annotated[Model, PlainValidator(_model)]
    task: str
    sizes: dict[str, Count] = {}
    data: dict[str, Any] = {}
    training: Steps = Steps()


@dataclass(frozen=True)
class Order:
    """A training as its file orders it.

    Attributes:
        path: of the file.
        text: of the file.
        told: what it says.
        task: what is learned.
    """

    path: Path
    text: str
    told: TrainingFile
    task: Task

    def begin(self) -> Training:
        """Return the training before its first step."""
        steps = self.told.training
        kernel = compile(self.told.model, steps.dtype, steps.threads)
        try:
            return begin(kernel, self.task, steps.plan, self.told.sizes)
        except ShapeError as error:
            raise Error(f"{self.path}, below [sizes]: {error}") from None


def load(path: Path) -> Order:
    """Read the file of a training.

    Raises:
        Error: with a line for every mistake; where data are missing or don't suit the model.
    """
    told, string = read(path, TrainingFile, "bptt train")
    if told.task not in TASKS:
        raise Error(f"{path}: task = {told.task!r}: no task is called so. {closest(told.task, TASKS)}")
    kind = TASKS[told.task]
    data = check(path, kind.data, told.data, "data")
    try:
        task = kind.make(told, data, path.absolute().parent)
    except Error as error:
        raise Error(f"{path}: {error}") from None
    return Order(path, string, told, task)


TEMPLATE = """# A training for `bptt train`: a character language model on Python's own help texts.
model = "character_language_model"      # a model that `bptt models` lists, or the path of a .model file
task = "characters"                     # or words; or arrays, for any model

[sizes]                                 # dimensions of the model that the data leave open
n = 128
m = 32

[data]
# text = "my.txt"                       # a text file in UTF-8, beside this one
window = 64                             # steps through which gradients go back (truncated BPTT)
batch = 32                              # parallel streams of the text
held_out = 0.1                          # the end of the text, on which the model is judged
# noised = 0.05                         # share of what is read that is swapped, against overfitting

[training]
steps = 2000
optimiser = "adam"                      # or sgd, momentum, rmsprop
rate = 4e-3
fall = 2000                             # steps in which the rate falls to zero
# decay = 0.03                          # weights shrink by rate * decay in each step, against overfitting
average = 0.998                         # decay of a moving average of the parameters, with which the model is judged
clip = 1.0                              # largest norm of the gradient
start = { b_f = 1.0 }                   # parameters that start from a number
seed = 0
"""


def write_template(path: Path) -> None:
    """Write the file of a training to start from, as `strict.write_new` does."""
    write_new(path, TEMPLATE)

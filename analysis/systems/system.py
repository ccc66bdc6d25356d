"""`System`: a sequence system as a lecture shows it, with what it asks and how it is measured.

What a system measures is a Dataset that says of itself how it is shown, so that one page serves every system:

- coordinate `model`: the models compared; a baseline is one of them, with nan where it has no number;
- a number over `model` is a row of the table; `<name>_low` and `<name>_high` are its interval;
- a number over `model` and one axis of numbers is a curve for each model (`attrs["scale"] = "log"`: a logarithmic y);
  those of one `attrs["figure"]`, the label of its y, stand side by side;
- text over `model` is a listing; text over `model` and another axis, a listing for each entry;
- `flow` is drawn last: `learn.gradient_flow` before and after training;
- `attrs["only"] = "details"`: not on the one page that is shown of the system, but below it; a table is on that page
  only with `"sheet"`;
- `attrs["show"] = "table"`: a table over (row, column); `"images"`: heat maps over (picture, row, column);
  `"coloured"`: numbers from -1 to 1 over (series, place) that colour the text in the coordinate `attrs["pieces"]`;
- every number has `long_name` and `units`; the Dataset has `method`, `learned` (a sentence on what came out), and
  `texts`: label -> text of the model, as JSON.
"""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import xarray as xr

from ...derive.model import parse_model
from ...derive.model_derivation import derive

Scale = Literal["small", "full"]
Progress = Callable[[str, int, int], None]
Settings = Mapping[str, Any]
Measure = Callable[[Settings, int, Progress], xr.Dataset]


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class System:
    """A sequence system.

    Attributes:
        name: of its module, command and page.
        title, question: what a lecturer writes above it.
        settings: scale -> sizes, cells and steps: data, from the .toml file beside the module.
        measure: (settings, seed, progress) -> what was measured.
    """

    name: str
    title: str
    question: str
    settings: Mapping[str, Settings] = field(repr=False)
    measure: Measure = field(repr=False)

    def run(self, scale: Scale = "small", seed: int = 0, progress: Progress = silent) -> xr.Dataset:
        """Train and measure.

        Args:
            scale: "small" takes seconds, "full" minutes.
            seed: of everything random.
            progress: called as progress(stage, done, total).

        Returns:
            What was measured, with name, title, question, scale, seed, settings and seconds in `attrs`; in full also
            `proofs`, as JSON, of the models' gradients.
        """
        began = time.perf_counter()
        found = self.measure(self.settings[scale], seed, progress)
        about = {"system": self.name, "title": self.title, "question": self.question, "scale": scale, "seed": seed}
        seconds = round(time.perf_counter() - began, 1)
        if scale == "full":
            progress("Proving the gradients", 0, 1)
            about["proofs"] = json.dumps(proofs(json.loads(found.attrs["texts"])))
            progress("Proving the gradients", 1, 1)
        return found.assign_attrs(**about, settings=json.dumps(self.settings[scale]), seconds=seconds)


def proofs(texts: Mapping[str, str]) -> dict[str, str]:
    """Return label -> how much of a model's gradients was proved, for those that hold; see `ModelDerivation.prove`.

    Args:
        texts: label -> text of a model.

    >>> from ...derive.model import load_model
    >>> proofs({"an RNN": load_model("hello").text})
    {'an RNN': '38 entries of 6 gradients'}
    """
    found = {text: derive(parse_model(text)).prove() for text in dict.fromkeys(texts.values())}
    return {
        label: f"{found[text].entries} entries of {len(found[text].checks)} gradients"
        for label, text in texts.items()
        if found[text].holds
    }


def system(name: str, measure: Measure) -> System:
    """Return the system that NAME.toml, beside the module of that name, describes.

    >>> from .hello import measure
    >>> sorted(system("hello", measure).settings)
    ['full', 'small']
    """
    told = tomllib.loads((resources.files(__package__) / f"{name}.toml").read_text(encoding="utf-8"))
    scales = {scale: {**told.get("both", {}), **told[scale]} for scale in ("small", "full")}
    return System(name, told["title"], told["question"], scales, measure)

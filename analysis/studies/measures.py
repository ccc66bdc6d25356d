"""The table of measures by name: what a study may measure, and how a starting point is drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, Field, create_model

from ... import kernels
from ..gradient_flow import half_life, measure_flow
from ..strict import STRICT


@dataclass(frozen=True)
class Measure:
    """One line of the table.

    Attributes:
        function: called as function(kernel, params, inputs, state, steps=, seed=, **settings); its other keywords are
            the settings of a study file, with their types and defaults.
        number: what a table of results says of it: a Dataset over seed and more -> a number for each seed.
        averaged: variables that are averaged over `sample`, the sequences of a seed.
        finite: variables in which an infinite or undefined value is an explosion.
    """

    function: Callable[..., xr.Dataset]
    number: Callable[[xr.Dataset], xr.DataArray]
    averaged: tuple[str, ...] = ()
    finite: tuple[str, ...] = ()

    @property
    def settings(self) -> type[BaseModel]:
        """The model of its settings."""
        return settings_of(self.function)


MEASURES: Mapping[str, Measure] = {
    "flow": Measure(measure_flow, lambda found: half_life(found.log_norm), averaged=("log_norm",), finite=("log_norm",))
}


def draw_params(
    kernel: kernels.Kernel,
    sizes: Mapping[str, int],
    seed: int,
    *,
    gain: Annotated[float, Field(allow_inf_nan=False)] = 1.0,
) -> dict[str, NDArray[np.floating]]:
    """Draw the parameters from which a study measures; its keywords are the keys of [initialisation]."""
    return kernel.init(sizes, seed=seed, gain=gain)


def settings_of(function: Callable[..., Any]) -> type[BaseModel]:
    """Return the pydantic model of a function's keywords, without `steps` and `seed`.

    >>> from pydantic import ValidationError
    >>> settings_of(draw_params)().model_dump()
    {'gain': 1.0}
    """
    hints = get_type_hints(function, include_extras=True)
    keywords = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    fields: dict[str, Any] = {p.name: (hints[p.name], p.default) for p in keywords if p.name not in ("steps", "seed")}
    return create_model(function.__name__, __config__=STRICT, **fields)

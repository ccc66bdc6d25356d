"""The table of measures by name: what a study may measure, and how a starting point is drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel, Field, create_model

from ... import kernels
from ..ablation import measure_ablation
from ..clipping import measure_clipping
from ..gradient_flow import half_life, measure_flow
from ..initialisation import initialise
from ..lyapunov_exponents import DOUBTS, measure_lyapunov
from ..noise import measure_noise
from ..paths import measure_paths
from ..precision import measure_precision
from ..singular_values import measure_spectrum
from ..strict import STRICT
from ..truncation import measure_truncation, recommended_window

Rule = Literal["gaussian", "xavier", "orthogonal", "identity"]
Number = Annotated[float, Field(allow_inf_nan=False)]
LIMITS: Mapping[str, Any] = {  # of settings, whatever the measure
    "level": Field(gt=0, lt=1),
    "tolerance": Field(gt=0),
    "transient": Field(ge=0),
    **dict.fromkeys(("window", "exponents"), Field(ge=1)),
}


@dataclass(frozen=True)
class Measure:
    """One line of the table.

    Attributes:
        function: called as function(kernel, params, inputs, state, steps=, seed=, **settings); its other keywords are
            the settings of a study file, with their types and defaults.
        number: what a table of results says of it: a Dataset over seed and more -> a number for each seed, whose
            attributes state its range.
        finite: variables in which inf or nan is an explosion.
        reach: settings -> how many steps a sequence must have.
        aside: variables that a report doesn't draw.
    """

    function: Callable[..., xr.Dataset]
    number: Callable[[xr.Dataset], xr.DataArray]
    finite: tuple[str, ...] = ()
    reach: Callable[[Mapping[str, Any]], int] = lambda settings: 1
    aside: tuple[str, ...] = ()

    @property
    def settings(self) -> type[BaseModel]:
        """The model of its settings."""
        return settings_of(self.function)


MEASURES: Mapping[str, Measure] = {
    "flow": Measure(measure_flow, lambda found: half_life(found.log_norm), ("log_norm",)),
    "spectrum": Measure(
        measure_spectrum,
        lambda found: found.entropy_rank.isel(lag=-1).assign_attrs(long_name="effective rank at the longest lag"),
        ("log_singular",),
        reach=lambda settings: max(settings["lags"] or [1]),
    ),
    "lyapunov": Measure(
        measure_lyapunov,
        lambda found: found.exponent.isel(index=0).assign_attrs(long_name="largest Lyapunov exponent"),
        ("exponent",),
        reach=lambda settings: (settings["transient"] or 0) + max(2, settings["window"] or 2),
        aside=("error", "low", "high", "block_length", *DOUBTS),
    ),
    "paths": Measure(
        measure_paths,
        lambda found: half_life(found.lane_log_norm.max("state")).assign_attrs(long_name="half-life on direct paths"),
        ("log_norm",),
    ),
    "ablation": Measure(measure_ablation, lambda found: half_life(found.log_norm), ("log_norm",)),
    "truncation": Measure(
        measure_truncation,
        lambda found: recommended_window(found.sel(parameter="all", drop=True)),
        reach=lambda settings: max(settings["windows"] or [1]),
    ),
    "clipping": Measure(
        measure_clipping, lambda found: found.fraction.sel(threshold=1, method="nearest"), aside=("low", "high")
    ),
    "noise": Measure(
        measure_noise,
        lambda found: found.ratio_in_all.sel(parameter="all"),
        reach=lambda settings: int(settings["lags"]),
    ),
    "precision": Measure(measure_precision, lambda found: found.lost),
}


def draw_params(
    kernel: kernels.Kernel,
    sizes: Mapping[str, int],
    seed: int,
    *,
    rule: Rule = "gaussian",
    gain: Number = 1.0,
    forget_bias: Number | None = None,
    chrono: Number | None = None,
) -> dict[str, NDArray[np.floating]]:
    """Draw the parameters from which a study measures; its keywords are the keys of [initialisation]."""
    dtype = kernel.dtype.name
    return initialise(
        kernel.derivation, sizes, rule, gain=gain, seed=seed, dtype=dtype, forget_bias=forget_bias, chrono=chrono
    )


def settings_of(function: Callable[..., Any]) -> type[BaseModel]:
    """Return the pydantic model of a function's keywords, without `steps` and `seed`.

    >>> settings_of(draw_params)().model_dump()
    {'rule': 'gaussian', 'gain': 1.0, 'forget_bias': None, 'chrono': None}
    """
    hints = get_type_hints(function, include_extras=True)
    keywords = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    keywords = [p for p in keywords if p.name not in ("steps", "seed")]
    limited = {p.name: Annotated[hints[p.name], LIMITS[p.name]] for p in keywords if p.name in LIMITS}
    fields: dict[str, Any] = {p.name: (limited.get(p.name, hints[p.name]), p.default) for p in keywords}
    return create_model(function.__name__, __config__=STRICT, **fields)

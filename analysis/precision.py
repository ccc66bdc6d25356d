"""What single precision loses of a gradient: rounding, and the floor below which nothing is left."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import xarray as xr

from .. import kernels
from .gradient_flow import LAG, LOG_NORM
from .running import Arrays, at_last_step, flat, log_norm, run_cell

ERROR = {
    "long_name": "distance of the float32 gradient from the float64 one, over the norm of the latter",
    "units": "1",
    "valid_min": 0,
}
LOST = {
    "long_name": "first lag from which on the float32 gradient is off by more than the tolerance",
    "units": "steps",
    "valid_min": 0,
}
ZERO = {"long_name": "first lag at which the float32 gradient is exactly zero", "units": "steps", "valid_min": 0}
METHOD = (
    "the same parameters, inputs and cotangent, rounded to float32, in two kernels, one of each precision; gradient "
    "over the full state from a random direction of unit norm at the last step"
)
FLOORS = {
    "floor_normal": float(np.log(np.finfo(np.float32).tiny)),
    "floor_subnormal": float(np.log(np.float64(np.finfo(np.float32).smallest_subnormal))),
}


def measure_precision(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    tolerance: float = 0.01,
) -> xr.Dataset:
    """Measure gradient flow in float32 beside float64, and the lags at which float32 loses it.

    Both start from the same numbers, rounded to float32: so the difference is due to the arithmetic alone. It has two
    causes: states that differ, the more so where the network is chaotic, and numbers too small for float32.

    Args:
        kernel: of the cell, in either precision; the other one is compiled.
        params, inputs, state, steps, seed: as `measure_flow` takes them, in either precision.
        tolerance: relative error from which a gradient counts as lost.

    Returns:
        `log_norm` over (precision, sample, lag), natural log, −inf for zero; `relative_error` over (sample, lag), inf
        where float32 overflows; `lost` and `zero` over (sample), in steps, inf where that doesn't happen.
        `attrs["floor_normal"]` and `attrs["floor_subnormal"]`: ln of the smallest normal and of the smallest positive
        float32.

    Raises:
        Error: as `measure_flow` does, in either precision.

    >>> from ..derive.cell import parse
    >>> kernel = kernels.compile(parse("h: state\\nh = a * h"))
    >>> found = measure_precision(kernel, {"a": np.array(0.5)}, {}, {"h": np.zeros(1)}, steps=160)
    >>> float(found.zero[0])  # 2⁻¹⁴⁹ is the smallest positive float32
    150.0
    """
    curves, vectors = [], []
    for precision in ("float32", "float64"):
        own = kernel if kernel.dtype.name == precision else _in(kernel, precision)
        own_params, own_inputs, own_state = (_rounded(arrays, precision) for arrays in (params, inputs, state or {}))
        run = run_cell(own, own_params, own_inputs, own_state, steps)
        start = _rounded(at_last_step({n: v.astype(np.float64) for n, v in run.states.items()}, seed), precision)
        grads = own.backward(run, start)
        path = [np.concatenate([grads.state[name][None], grads.states[name]]) for name in run.states]
        vectors.append(np.concatenate([flat(part) for part in path], axis=-1)[::-1].astype(np.float64))
        curves.append(log_norm(vectors[-1]).T)
    with np.errstate(invalid="ignore", over="ignore"):  # inf − a number, where float32 overflows
        distance = log_norm(vectors[0] - vectors[1]).T
        error = np.where(np.isneginf(distance), 0, np.exp(distance - curves[1]))
    error = np.where(np.isnan(error) | np.isinf(curves[0]) & (curves[0] > 0), np.inf, error)
    variables = {
        "log_norm": (("precision", "sample", "lag"), np.stack(curves), LOG_NORM),
        "relative_error": (("sample", "lag"), error, ERROR),
        "lost": ("sample", [_first(_from_here_on(row > tolerance)) for row in error], LOST),
        "zero": ("sample", [_first(np.isneginf(row)) for row in curves[0]], ZERO),
    }
    coordinates = {"precision": ["float32", "float64"], "lag": ("lag", np.arange(error.shape[1]), LAG)}
    return xr.Dataset(variables, coordinates, {"method": METHOD, "seed": seed, "tolerance": tolerance, **FLOORS})


@lru_cache(maxsize=32)
def _in(kernel: kernels.Kernel, precision: str) -> kernels.Kernel:
    """Return the kernel of the same cell in another precision."""
    return kernels.compile(kernel.derivation, precision)


def _rounded(arrays: Arrays, precision: str) -> dict[str, np.ndarray]:
    """Return arrays rounded to float32, in the given precision; whole numbers stay."""
    found = {name: np.asarray(values) for name, values in arrays.items()}
    return {
        name: values if values.dtype.kind in "iu" else values.astype(np.float32).astype(precision)
        for name, values in found.items()
    }


def _from_here_on(wrong: np.ndarray) -> np.ndarray:
    return np.logical_and.accumulate(wrong[::-1])[::-1]


def _first(where: np.ndarray) -> float:
    places = np.flatnonzero(where)
    return float(places[0]) if places.size else math.inf

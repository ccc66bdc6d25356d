"""Ablation: how a gradient changes where a value of the cell is detached, so that no gradient passes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import xarray as xr

from .. import kernels
from ..derive.lanes import gates, switched
from .gradient_flow import measure_flow
from .running import Arrays

DETACHED = {"long_name": "ln of the norm of the gradient with the value detached", "units": "natural log"}
CHANGE = {"long_name": "change of ln of the norm by detaching the value", "units": "natural log"}


def measure_ablation(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    values: Sequence[str] | None = None,
) -> xr.Dataset:
    """Measure gradient flow with values of the cell detached, one at a time.

    Detaching holds a value constant on the way back: its adjoint is dropped, and with it all paths that pass it. The
    forward pass stays as it is. So the difference to the whole gradient is what passes the value at least once.

    Args:
        kernel, params, inputs, state, steps, seed: as `measure_flow` takes them. One more kernel is compiled for all
            values together.
        values: named values of a step, other than states; by default the cell's gates (`bptt.derive.lanes.gates`).

    Returns:
        `log_norm` over (sample, lag), of the whole gradient; `log_norm_detached` and `change`, their difference, over
        (value, sample, lag), natural log; −inf where nothing is left.

    Raises:
        Error: for a name that is no such value, and as `measure_flow` does.

    >>> from ..derive.cell import parse
    >>> kernel = kernels.compile(parse("h: state\\nf = sigmoid(b)\\ng = tanh(w * h)\\nh = f * h + g"))
    >>> params, start = {"b": np.array(0.0), "w": np.array(0.5)}, {"h": np.ones(1)}
    >>> found = measure_ablation(kernel, params, {}, start, steps=3, values=["g"])
    >>> found.log_norm_detached.sel(value="g").isel(sample=0).diff("lag").values.round(4).tolist()
    [-0.6931, -0.6931, -0.6931]
    """
    names = list(gates(kernel.derivation) if values is None else dict.fromkeys(values))
    with_switches, switches = _detachable(kernel, tuple(names))
    whole = measure_flow(kernel, params, inputs, state, steps=steps, seed=seed)
    curves = np.empty((len(names), *whole.log_norm.shape))
    for row, detached in enumerate(names):
        numbers = {switches[name]: np.asarray(float(name != detached), kernel.dtype) for name in names}
        given = {**params, **numbers}
        curves[row] = measure_flow(with_switches, given, inputs, state, steps=steps, seed=seed).log_norm
    with np.errstate(invalid="ignore"):  # −inf − (−inf), where nothing arrives at all
        change = curves - whole.log_norm.values
    dims = ("value", "sample", "lag")
    variables = {"log_norm_detached": (dims, curves, DETACHED), "change": (dims, change, CHANGE)}
    method = f"{whole.attrs['method']}; detached: the adjoint of the value dropped at every step"
    return whole.assign(variables).assign_coords(value=names).assign_attrs(method=method)


@lru_cache(maxsize=32)
def _detachable(kernel: kernels.Kernel, names: tuple[str, ...]) -> tuple[kernels.Kernel, Mapping[str, str]]:
    """Return the kernel of a cell in which these values may be detached, and the switch of each."""
    derivation, switches = switched(kernel.derivation, names)
    return kernels.compile(derivation, kernel.dtype.name), switches

"""Clipping of gradients by their norm: how many are clipped at each threshold, and what is left of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from .. import kernels
from ..derive.errors import Error
from .lags import Array, loss_name, loss_of
from .running import Arrays, Loss, log_norm, run_cell
from .statistics import wilson

NORM = {"long_name": "ln of the norm of the gradient of all parameters", "units": "natural log"}
CLIPPED = {"long_name": "fraction of gradients that are clipped", "units": "1", "valid_min": 0, "valid_max": 1}
THRESHOLD = {"long_name": "threshold of the norm", "units": "1"}
METHOD = (
    "gradient of all parameters as one vector, of each sequence by itself; scaled down to the threshold where its norm "
    "is larger (Pascanu, R., Mikolov, T., Bengio, Y. (2013). ICML 2013)"
)


def measure_clipping(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    thresholds: Sequence[float] = (0.01, 0.1, 1.0, 10.0, 100.0),
    loss: str | Loss = "every",
) -> xr.Dataset:
    """Measure the norms of parameter gradients before and after clipping, sequence by sequence.

    Args:
        kernel, params, inputs, state, steps: as `measure_flow` takes them. Each sequence takes a backward pass.
        seed: of the loss.
        thresholds: of the norm, above 0.
        loss: 'last', 'every' (a random direction at the last or at every step), or a function of (states, seed).

    Returns:
        `log_norm` over (sample), natural log: −inf where it is zero, inf where it is past the largest float.
        `log_norm_clipped` over (sample, threshold): an overflowing gradient counts as scaled to the threshold, which
        floating point can't do. `fraction` over (threshold) of samples that are clipped, `low` and `high`, its Wilson
        interval of 95 %; `overflowed`, the number of gradients that aren't finite.

    Raises:
        Error: for a threshold that isn't above 0, an unknown loss, and as `measure_flow` does.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(load("rnn"))
    >>> x = np.random.default_rng(0).standard_normal((20, 3, 5))
    >>> found = measure_clipping(kernel, kernel.init({"m": 5, "n": 7}), {"x": x}, thresholds=[1e-6, 1e6])
    >>> found.fraction.values.tolist()
    [1.0, 0.0]
    """
    for threshold in thresholds:
        if not 0 < threshold < np.inf:
            raise Error(f"a threshold is {threshold}: give numbers above 0")
    found = [
        log_norm(np.concatenate([np.ravel(values) for values in gradient.values()]))
        for gradient in sequence_gradients(kernel, params, inputs, state, steps=steps, seed=seed, loss=loss)
    ]
    norms, bounds = np.array(found), np.log(np.array(sorted(thresholds), float))
    fraction = (norms[:, None] > bounds).mean(axis=0)
    low, high = wilson(fraction, len(norms))
    variables = {
        "log_norm": ("sample", norms, NORM),
        "log_norm_clipped": (("sample", "threshold"), np.minimum(norms[:, None], bounds), NORM),
        "fraction": ("threshold", fraction, CLIPPED),
        "low": ("threshold", low, CLIPPED),
        "high": ("threshold", high, CLIPPED),
        "overflowed": ((), int(np.isposinf(norms).sum()), {"long_name": "gradients that overflow", "units": "1"}),
    }
    coordinates = {"threshold": ("threshold", sorted(thresholds), THRESHOLD)}
    return xr.Dataset(variables, coordinates, {"method": f"{METHOD}; loss: {loss_name(loss)}", "seed": seed})


def sequence_gradients(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    loss: str | Loss = "every",
) -> Iterator[dict[str, Array]]:
    """Yield the gradient of the parameters for each sequence of the batch by itself.

    Args: as `measure_clipping`.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(load("rnn"))
    >>> params = kernel.init({"m": 5, "n": 7})
    >>> len(list(sequence_gradients(kernel, params, {"x": np.ones((4, 3, 5))})))
    3
    """
    whole = run_cell(kernel, params, inputs, state, steps)
    cotangents = loss_of(loss, whole.states, seed)
    for sample in range(whole.batch):
        one = slice(sample, sample + 1)
        given = {name: np.asarray(values)[:, one] for name, values in inputs.items()}
        start = {name: np.asarray(values)[one] for name, values in (state or {}).items()}
        run = kernel.forward(params, given, start, steps=whole.steps, batch=1)
        grads = kernel.backward(run, {name: values[:, one] for name, values in cotangents.items()})
        yield {name: np.array(values) for name, values in grads.params.items()}

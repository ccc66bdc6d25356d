"""Theory of products of random matrices: what a measured Lyapunov spectrum must give where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from scipy import special

from ..derive.errors import Error
from .lyapunov_exponents import INDEX, PER_STEP

METHOD = "products of independent matrices with entries N(0, gain^2 / n): closed form (Newman 1986)"


def gaussian_exponents(size: int, gain: float = 1.0) -> xr.Dataset:
    """Return the exact Lyapunov spectrum of products of independent Gaussian matrices.

    Newman, C. M. (1986). The distribution of Lyapunov exponents: exact results for random matrices. Communications in
    Mathematical Physics 103, 121-126.

    Args:
        size: rows and columns n of each matrix.
        gain: g; the entries are N(0, g²/n).

    Returns:
        `exponent`, natural log per step, and `variance` of the log stretching in one step, over index from 1 to n.

    Raises:
        Error: for a size below 1, or a gain that isn't a positive number.

    >>> [round(float(value), 4) for value in gaussian_exponents(2).exponent]
    [-0.2886, -0.9818]
    """
    if size < 1 or not 0 < gain < math.inf:
        raise Error(f"size is {size} and gain is {gain}: give a size from 1 on and a positive number")
    half = (size - np.arange(size)) / 2
    exponent = math.log(gain) + (math.log(2 / size) + special.digamma(half)) / 2
    variance = special.polygamma(1, half) / 4
    variables = {
        "exponent": ("index", exponent, {"long_name": "Lyapunov exponent", **PER_STEP}),
        "variance": ("index", variance, {"long_name": "variance of the log stretching in one step", "units": "1"}),
    }
    return xr.Dataset(variables, {"index": ("index", np.arange(1, size + 1), INDEX)}, {"method": METHOD})

"""Mean-field theory of driven random networks: the variance of the state, and how fast gradients grow or vanish.

The network is h_t = φ(W h_{t−1} + u_t) with W ~ N(0, gain²/N) and a drive u_t ~ N(bias, drive²), independent between
units and steps. For N → ∞ pre-activations are Gaussian with mean `bias` and variance q, which follows the variance map
q ↦ gain² ⟨φ(a)²⟩ + drive². At its fixed point q*, χ = gain² ⟨φ′(a)²⟩ is the slope of the map of correlations at 1, and
by what the mean square of a gradient is multiplied in one step back: the mean log norm changes by ½ ln χ per step, and
χ = 1 is the edge of chaos. (Molgedey, L., Schuchhardt, J., Schuster, H. G. (1992). Physical Review Letters 69, 3717;
Poole, B. et al. (2016). NIPS, arXiv:1606.05340; Schoenholz, S. et al. (2017). ICLR, arXiv:1611.01232.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from scipy import optimize, special

from ..derive.errors import Error
from ..derive.functions import FUNCTIONS, arity
from ..derive.syntax import closest
from ..kernels.functions import PLAIN

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]

VECTORISED: Mapping[str, Any] = {
    **PLAIN,
    "sin": np.sin,
    "cos": np.cos,
    "arctan": np.arctan,
    "erf": special.erf,
}
REACH = 12.0  # standard deviations: beyond, a Gaussian holds 4e-33
NODES, WEIGHTS = special.roots_legendre(24)
SCALE = math.sqrt(2 * math.pi)
HALVINGS = 12
SMALLEST, LARGEST = 1e-12, 1e12  # variances between which a fixed point is looked for
PER_DECADE = 4


@cache
def activation(name: str) -> tuple[Function, Function]:
    """Return an elementwise function of the table, and its slope, on arrays.

    Raises:
        Error: for what is no function of one argument in the table.

    >>> value, slope = activation("tanh")
    >>> slope(np.zeros(2)).tolist()
    [1.0, 1.0]
    """
    known = [function for function in FUNCTIONS if arity(function) == 1]
    if name not in known:
        raise Error(f"no function of one argument is called '{name}'. {closest(name, known)}")
    x, y = sympy.symbols("x y")
    stated = sympy.sympify(FUNCTIONS[name].rule.slopes[0](x, y))
    slope = sympy.lambdify((x, y), stated, [dict(VECTORISED), "numpy"])
    value = VECTORISED[name]

    def slope_at(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.broadcast_to(np.asarray(slope(points, value(points)), float), points.shape)

    return value, slope_at


def gaussian_mean(function: Function, mean: float, variance: float) -> float:
    """Return ⟨f(a)⟩ for a ~ N(mean, variance), to 1e-12 of ⟨|f(a)|⟩.

    At large variance an activation varies within a small fraction of a standard deviation, which a fixed Gauss–Hermite
    rule steps over. Here panels with 24 Gauss–Legendre nodes each shrink towards a = 0, down to steps of a of 1/4, and
    are halved until that changes nothing.

    Raises:
        Error: where f isn't defined everywhere, or still isn't resolved after many halvings.

    >>> round(gaussian_mean(np.square, mean=1.0, variance=9.0), 12)
    10.0
    """
    if variance == 0:
        return float(function(np.array([mean]))[0])
    width = math.sqrt(variance)
    centre = -mean / width
    finest = min(0.25 / width, 0.5)
    distances = finest * 2.0 ** np.arange(math.ceil(math.log2((2 * REACH + abs(centre)) / finest)) + 1)
    edges = np.concatenate([np.arange(-REACH, REACH + 1), [centre], centre + distances, centre - distances])
    edges = np.unique(np.clip(edges, -REACH, REACH))
    coarse = math.inf
    for _ in range(HALVINGS):
        half = np.diff(edges)[:, None] / 2
        points = edges[:-1, None] + half * (1 + NODES)
        with np.errstate(all="ignore"):
            terms = half * WEIGHTS * np.exp(-(points**2) / 2) * function(mean + width * points)
        if np.isnan(terms).any():
            raise Error("the function isn't defined everywhere, so it has no mean over a Gaussian")
        fine, size = float(terms.sum()) / SCALE, float(np.abs(terms).sum()) / SCALE
        if abs(fine - coarse) <= 1e-12 * size or math.isinf(size):
            return fine
        edges, coarse = np.sort(np.concatenate([edges, edges[:-1] + np.diff(edges) / 2])), fine
    raise Error(f"the function varies too fast for its mean over a Gaussian of variance {variance:.3g} to be found")


def variance_map(name: str, variance: float, gain: float, bias: float = 0.0, drive: float = 0.0) -> float:
    """Return the variance of pre-activations one step after they had the given one.

    Args:
        name: of the activation, a function of the table.
        variance: q, before.
        gain: of W ~ N(0, gain²/N).
        bias, drive: mean and standard deviation of the drive.

    >>> round(variance_map("relu", 2.0, gain=1.0), 12)  # half of it
    1.0
    """
    value, _ = activation(name)
    return gain**2 * gaussian_mean(lambda a: value(a) ** 2, bias, variance) + drive**2


def fixed_variance(name: str, gain: float, bias: float = 0.0, drive: float = 0.0) -> float:
    """Return q*, the largest stable fixed point of the variance map: that which is reached from large variances.

    Returns:
        The variance; 0 where it dies out, inf where it grows past 1e12.

    >>> round(fixed_variance("tanh", gain=2.0), 6), fixed_variance("tanh", gain=0.9)
    (2.121474, 0.0)
    """
    if not gain >= 0 or not drive >= 0 or not math.isfinite(gain + drive + bias):
        raise Error(f"gain, bias and drive are {gain}, {bias}, {drive}: give finite numbers, gain and drive from 0 on")

    def change(log_variance: float) -> float:
        """Return the relative growth of a variance, given by its log."""
        variance = math.exp(log_variance)
        return variance_map(name, variance, gain, bias, drive) / variance - 1

    tried = np.linspace(math.log(SMALLEST), math.log(LARGEST), PER_DECADE * 24 + 1)
    if change(tried[-1]) >= 0:
        return math.inf
    for above, below in zip(tried[::-1], tried[-2::-1], strict=False):
        if change(below) > 0:
            return math.exp(optimize.brentq(change, below, above, xtol=1e-14, rtol=1e-14))
    return 0.0


def chi(name: str, gain: float, bias: float = 0.0, drive: float = 0.0) -> float:
    """Return χ = gain² ⟨φ′(a)²⟩ at the fixed point of the variance; ½ ln χ is the change of the mean log norm per step.

    >>> round(chi("relu", gain=2.0, drive=1.0), 12), chi("tanh", gain=0.5)
    (2.0, 0.25)
    """
    _, slope = activation(name)
    variance = min(fixed_variance(name, gain, bias, drive), LARGEST)
    return gain**2 * gaussian_mean(lambda a: slope(a) ** 2, bias, variance)


def width_correction(name: str, gain: float, bias: float = 0.0, drive: float = 0.0, *, width: int) -> float:
    """Return the first correction to ½ ln χ for a finite number of units N: −(3 ⟨φ′⁴⟩/⟨φ′²⟩² − 1)/(4 N).

    It is −¼ of the relative variance of ‖Wᵀ (φ′ ⊙ δ)‖² for Gaussian W and δ: ⟨ln⟩ falls short of ln⟨ ⟩ by half of it.
    With φ′ = 1 this is −1/(2 N), the first term of Newman's ½ [ln(2/N) + ψ(N/2)].

    >>> round(width_correction("relu", gain=1.0, drive=1.0, width=100), 12)  # ⟨φ′⁴⟩/⟨φ′²⟩² = 2
    -0.0125
    """
    _, slope = activation(name)
    variance = min(fixed_variance(name, gain, bias, drive), LARGEST)
    square = gaussian_mean(lambda a: slope(a) ** 2, bias, variance)
    fourth = gaussian_mean(lambda a: slope(a) ** 4, bias, variance)
    return -(3 * fourth / square**2 - 1) / (4 * width) if square else math.nan


def edge(name: str, bias: float = 0.0, drive: float = 0.0, low: float = 0.01, high: float = 100.0) -> float:
    """Return the smallest gain at which χ = 1, between two gains; nan where there is none.

    >>> round(edge("relu", drive=1.0), 9), round(edge("tanh"), 9)
    (1.414213562, 1.0)
    """

    def log_chi(log_gain: float) -> float:
        found = chi(name, math.exp(log_gain), bias, drive)
        return math.log(found) if found > 0 else -math.inf

    tried = np.linspace(math.log(low), math.log(high), 25)
    heights = [log_chi(gain) for gain in tried]
    for place in range(len(tried) - 1):
        if heights[place] < 0 <= heights[place + 1] and math.isfinite(heights[place]):
            return math.exp(optimize.brentq(log_chi, tried[place], tried[place + 1], xtol=1e-12))
    return math.nan

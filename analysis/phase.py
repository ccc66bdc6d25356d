"""Phase diagrams: how fast gradients grow or vanish over gain, bias and drive, beside mean-field theory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import sympy
import xarray as xr
from sympy import Symbol

from .. import kernels
from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.errors import Error
from ..derive.functions import Elementwise
from ..derive.interpret import size
from ..derive.linear import product, transpose
from ..derive.syntax import closest
from ..derive.written import operands
from ..kernels.initial import is_bias
from .data import random_stream
from .gradient_flow import measure_flow
from .initialisation import initialise
from .mean_field import chi, edge, width_correction
from .statistics import t_interval

RATE = {"units": "natural log per step", "long_name": "change of the mean log norm of the gradient per step back"}
MOST_CORRECTED = 0.25  # by a first correction: that of three units in their slope
METHOD = (
    "slope of the mean log norm of the gradient over the full state between lag 0 and T − warmup, from a random "
    "direction of unit norm; matrices from N(0, gain²/columns), inputs Gaussian and independent at each step so that "
    "they drive pre-activations with standard deviation `drive`; theory: ½ ln χ of mean-field theory for infinite width"
)


def measure_phases(
    kernel: kernels.Kernel,
    sizes: Mapping[str, int],
    gains: Sequence[float],
    *,
    biases: Sequence[float] = (0.0,),
    drives: Sequence[float] = (1.0,),
    biased: Sequence[str] | None = None,
    steps: int = 60,
    warmup: int = 20,
    batch: int = 4,
    seeds: int = 5,
    level: float = 0.95,
) -> xr.Dataset:
    """Measure how fast gradients grow or vanish with the lag, over a grid of gains, biases and drives.

    Args:
        kernel: of any cell.
        sizes: dimension -> size.
        gains: of all matrices, above 0.
        biases: values for the parameters `biased`.
        drives: standard deviations of what the inputs add to pre-activations; inputs are scaled by drive/gain.
        biased: names of parameters; by default all that are only ever added, as biases are.
        steps: T.
        warmup: steps at the beginning that don't count, below T: the state there comes from zero.
        batch: sequences per seed.
        seeds: number of seeds; they are 0, 1, 2, ... Each draws parameters, inputs and directions of its own.
        level: coverage of the interval.

    Returns:
        Over (gain, bias, drive): `rate` over seeds too; `mean`, `low`, `high` of the t-interval over seeds, `error`,
        the standard error; natural log per step, −inf where gradients vanish altogether. For a cell
        h = φ(W h + V x + b), whose φ stands in `attrs`: `theory` = ½ ln χ, for infinite width; `theory_at_width`, with
        its first correction for N units, −(3 ⟨φ′⁴⟩/⟨φ′²⟩² − 1)/(4 N), nan where that is 0.25 or more, as so few units
        are in their slope that the next ones matter too; `z` = (mean − theory_at_width)/error; and `edge`,
        the gain at which χ = 1, over (bias, drive). nan for other cells.

    Raises:
        Error: for settings that can't be met, parameters that don't exist, and as `measure_flow` does.

    >>> from ..derive.cell import load
    >>> found = measure_phases(kernels.compile(load("rnn")), {"m": 30, "n": 30}, [0.5, 2.0], drives=[0.1], seeds=2)
    >>> np.sign(found["mean"]).values.ravel().tolist(), np.sign(found.theory).values.ravel().tolist()
    ([-1.0, 1.0], [-1.0, 1.0])
    """
    derivation = kernel.derivation
    named = _biased(derivation, biased)
    _check(gains, drives, {"steps": steps, "batch": batch, "seeds": seeds}, warmup, steps)
    grid = list(itertools.product(range(len(gains)), range(len(biases)), range(len(drives))))
    rates = np.empty((len(gains), len(biases), len(drives), seeds))
    for (row, column, layer), seed in itertools.product(grid, range(seeds)):
        setting = gains[row], dict.fromkeys(named, biases[column]), drives[layer]
        rates[row, column, layer, seed] = _rate(kernel, sizes, setting, steps, warmup, batch, seed)
    dims = ("gain", "bias", "drive")
    coordinates = {
        "gain": ("gain", list(gains), {"long_name": "gain of the matrices", "units": "1"}),
        "bias": ("bias", list(biases), {"long_name": f"value of {', '.join(named) or 'no bias'}", "units": "1"}),
        "drive": ("drive", list(drives), {"long_name": "standard deviation of the drive", "units": "1"}),
        "seed": np.arange(seeds),
    }
    found = xr.Dataset({"rate": ((*dims, "seed"), rates, RATE)}, coordinates)
    interval = t_interval(found.rate, "seed", level)
    found = found.assign(interval).assign(_theory(kernel, sizes, found))
    with np.errstate(invalid="ignore", divide="ignore"):  # rates of −inf, seeds that agree
        error = found.rate.std("seed", ddof=1) / math.sqrt(seeds) if seeds > 1 else interval["mean"] * np.nan
        found = found.assign(error=error)
        found["z"] = (found["mean"] - found.theory_at_width) / found.error
    for name in ("mean", "low", "high", "error", "theory", "theory_at_width"):
        found[name].attrs = dict(RATE)
    found.z.attrs = {"units": "1", "long_name": "measured mean − theory at this width, in standard errors"}
    found.edge.attrs = {"units": "1", "long_name": "gain at which χ = 1"}
    settings = {"steps": steps, "warmup": warmup, "batch": batch, "level": level, "sizes": dict(sizes)}
    return found.assign_attrs(method=METHOD, activation=network_function(derivation), **settings)


def _theory(kernel: kernels.Kernel, sizes: Mapping[str, int], grid: xr.Dataset) -> xr.Dataset:
    """Return what mean-field theory says over a grid of settings; nan where it doesn't apply."""
    dims = ("gain", "bias", "drive")
    values = [grid[dim].values for dim in dims]
    theory, at_width = np.full((2, *map(len, values)), np.nan)
    edges = np.full(theory.shape[1:], np.nan)
    if phi := network_function(kernel.derivation):
        width = math.prod(_lengths(kernel, next(iter(kernel.cell.states)), sizes))
        for place in np.ndindex(theory.shape):
            gain, bias, drive = (float(axis[index]) for axis, index in zip(values, place, strict=True))
            slope = chi(phi, gain, bias, drive)
            theory[place] = math.log(slope) / 2 if slope > 0 else -math.inf
            correction = width_correction(phi, gain, bias, drive, width=width)
            at_width[place] = theory[place] + correction if abs(correction) < MOST_CORRECTED else math.nan
        for place in np.ndindex(edges.shape):
            edges[place] = edge(phi, float(values[1][place[0]]), float(values[2][place[1]]))
    return xr.Dataset({"theory": (dims, theory), "theory_at_width": (dims, at_width), "edge": (dims[1:], edges)})


def network_function(derivation: Derivation) -> str:
    """Return φ for a cell that is h = φ(W h + V x + b) and no more, to which mean-field theory applies; else ''.

    >>> from ..derive import derive, load
    >>> network_function(derive(load("rnn"))), network_function(derive(load("lstm")))
    ('tanh', '')
    """
    cell = derivation.cell
    if len(cell.states) != 1 or cell.indices or derivation.prologue.steps:
        return ""
    [state] = cell.states
    before = previous(state)
    steps = {step.target: step.expr for step in derivation.forward.steps}
    whole = steps[Symbol(state)]
    if not (isinstance(whole, Elementwise) and len(whole.args) == 1):
        return ""
    recurrent = 0
    for term in operands(sympy.Add, steps.get(whole.args[0], whole.args[0])):
        if isinstance(term, product):
            matrix, vector = term.args
            inner = matrix.args[0] if isinstance(matrix, transpose) else matrix
            if str(inner) not in cell.params or vector not in {before, *map(Symbol, cell.inputs)}:
                return ""
            recurrent += vector == before
        elif not (term.is_Symbol and is_bias(derivation, term)):
            return ""
    return whole.func.__name__ if recurrent == 1 else ""


def _rate(
    kernel: kernels.Kernel,
    sizes: Mapping[str, int],
    setting: tuple[float, Mapping[str, float], float],
    steps: int,
    warmup: int,
    batch: int,
    seed: int,
) -> float:
    """Return the rate of one seed: the mean over sequences."""
    gain, biases, drive = setting
    cell, dtype = kernel.cell, kernel.dtype.name
    params = initialise(kernel.derivation, sizes, gain=gain, seed=seed, dtype=dtype, biases=biases)
    lengths = {name: _lengths(kernel, name, sizes) for name in (*cell.inputs, *cell.states)}

    def drawn(name: str, lead: tuple[int, ...]) -> np.ndarray:
        return random_stream(seed, f"phase {name}").standard_normal((*lead, *lengths[name])).astype(dtype)

    inputs = {name: drawn(name, (steps, batch)) * np.asarray(drive / gain, dtype) for name in cell.inputs}
    state = None if inputs else {name: drawn(name, (batch,)) for name in cell.states}
    curves = measure_flow(kernel, params, inputs, state, steps=steps, seed=seed).log_norm.values
    with np.errstate(invalid="ignore"):
        return float(np.mean((curves[:, steps - warmup] - curves[:, 0]) / (steps - warmup)))


def _lengths(kernel: kernels.Kernel, name: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(size(part, sizes) for part in kernel.cell.shapes[Symbol(name)])


def _biased(derivation: Derivation, biased: Sequence[str] | None) -> list[str]:
    params = derivation.cell.params
    for name in biased or ():
        if name not in params:
            raise Error(f"no parameter is called '{name}'. {closest(name, params)}")
    return [name for name in params if is_bias(derivation, Symbol(name))] if biased is None else list(biased)


def _check(gains: Sequence[float], drives: Sequence[float], counts: Mapping[str, int], warmup: int, steps: int) -> None:
    for gain in gains:
        if not 0 < gain < math.inf:
            raise Error(f"a gain is {gain}: give numbers above 0")
    for drive in drives:
        if not 0 <= drive < math.inf:
            raise Error(f"a drive is {drive}: give numbers from 0 on")
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < 1:
            raise Error(f"{name} is {count}: give a whole number from 1 on")
    if not 0 <= warmup < steps:
        raise Error(f"warmup is {warmup}: give a whole number from 0 on, below the {steps} steps")

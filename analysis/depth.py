"""Cells stacked in layers, and how much of a gradient reaches each layer."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import kernels
from ..derive.cell import Cell, parse
from ..derive.compose import MOST_LAYERS, identifier, output_state
from ..derive.errors import Error
from ..derive.model import parse_model
from ..derive.scope import LABEL, LOSS
from .course import Course, course, shortened
from .gradient_flow import LAG, OVERFLOW, curves_back
from .running import Arrays, Cotangents, directions, log_norm, run_cell

LOG_NORM = {"long_name": "ln of the norm of dL_T/ds_{T-k} over the states of a layer", "units": "natural log"}
PARAMS = {"long_name": "ln of the norm of the gradient of a layer's parameters over the batch", "units": "natural log"}
METHOD = (
    "one backward pass per sequence, from a random direction of unit norm on the states of the top layer at the last "
    "step; natural log of the Euclidean norm over the states of each layer, as the next step reads them; the gradient "
    "is scaled to norm 1 again on the way"
)


def stacked(cell: Cell, layers: int) -> Cell:
    """Return one cell whose step is that of `layers` cells on top of each other, each with parameters of its own.

    The first layer reads the input; each other reads the state of the layer below that is computed last, at the same
    step. Names carry the layer, as in `W_hh__layer2`.

    Args:
        cell: with one input, a vector.
        layers: from 1 to 50; one layer is the cell itself.

    Returns:
        A cell called `<cell>_<layers>_layers`, with the states of all layers, from the first layer on.

    Raises:
        Error: for a cell with several inputs or none, an input that isn't a vector, no state that is one, a state that
            can't be the input of the same cell, or a number of layers out of range.

    >>> from ..derive.cell import load
    >>> found = stacked(load("rnn"), 2)
    >>> print("\\n".join(found.text.splitlines()[-2:]))
    h__layer1 = tanh(W_hh__layer1 @ h__layer1 + W_xh__layer1 @ x + b_h__layer1)
    h__layer2 = tanh(W_hh__layer2 @ h__layer2 + W_xh__layer2 @ h__layer1 + b_h__layer2)
    """
    if not isinstance(layers, int) or not 1 <= layers <= MOST_LAYERS:
        raise Error(f"layers must be a whole number from 1 to {MOST_LAYERS}, not {layers!r}")
    if layers == 1:
        return cell
    if len(cell.inputs) != 1 or cell.indices or len(next(iter(cell.inputs.values()))) != 1:
        names = ", ".join((*cell.inputs, *cell.indices)) or "none"
        raise Error(f"{cell.name} can't be stacked: that takes one input, a vector, and its inputs are {names}")
    [(given, (size,))] = cell.inputs.items()
    called, output = identifier(cell.name), output_state(cell)
    lines = [f"{given}: input[T, {size}]", *(f"layer{number}: {called}" for number in range(1, layers + 1))]
    lines.append("for t in range(T):")
    source = f"{given}[t]"
    for number in range(1, layers + 1):
        states = ", ".join(f"{name}{LABEL}layer{number}" for name in cell.states)
        lines.append(f"    {states} = layer{number}({source})")
        source = f"{output}{LABEL}layer{number}"
    lines.append(f"    {LOSS} += sum({source})")  # a model has a loss; the cell made of it has none
    name = f"{called}_{layers}_layers"
    [block] = parse_model("\n".join(lines), name, {called: cell}).blocks
    text = "\n".join(line for line in block.cell.text.splitlines() if not line.startswith(f"{LOSS} = "))
    return parse(f'"""{layers} layers of {cell.name}."""\n{text}', name)


def measure_depth(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    layers: int = 1,
) -> xr.Dataset:
    """Measure how much of a gradient that starts at the top layer reaches each layer, against lag.

    Args:
        kernel: of a cell that `stacked` gives.
        params, inputs, state, steps: as `measure_flow` takes them.
        seed: of the direction at which the gradient starts.
        layers: of the cell; its states are as many for each.

    Returns:
        `log_norm` over (sample, layer, lag), natural log, float64; layers count from 1, the first. It is what steps
        after T − k send back to the states at T − k: at lag 0 nothing but the loss has, and it is −inf for all layers
        but the top one. Where a state of any layer overflows, `overflow` says so and all layers end, as in
        `measure_flow`. `param_log_norm` over (layer): of the gradient of the layer's parameters, over the sequences
        that stay finite; inf where none does.

    Raises:
        Error: for a number of layers by which the states can't be divided, and as `measure_flow` does.

    >>> from ..derive.cell import load
    >>> kernel = kernels.compile(stacked(load("rnn"), 2))
    >>> params = kernel.init({"m": 5, "n_1": 7, "n_2": 7})
    >>> x = np.random.default_rng(0).standard_normal((20, 3, 5))
    >>> dict(measure_depth(kernel, params, {"x": x}, layers=2).sizes)
    {'sample': 3, 'layer': 2, 'lag': 21}
    """
    names = list(kernel.cell.states)
    if layers < 1 or len(names) % layers:
        raise Error(f"{kernel.cell.name} has {len(names)} states, which aren't those of {layers} layers")
    each = len(names) // layers
    way = course(kernel, params, inputs, state, steps)

    def drawn(states: Arrays) -> Cotangents:
        zeros = {name: np.zeros_like(values[-1:]) for name, values in states.items()}
        return zeros | directions({name: states[name] for name in names[-each:]}, 1, seed)

    def split(norms: NDArray[np.float64], vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        ends = [place.stop for place in kernel.state_layout.values()][each - 1 : -1 : each]
        return np.stack([log_norm(part) for part in np.split(vectors, ends, axis=-1)], axis=-1)

    curves, overflow, start = curves_back(way, drawn, split, np.zeros(way.batch, int))
    variables = {
        "log_norm": (("sample", "layer", "lag"), np.moveaxis(curves, 0, -1), LOG_NORM),
        "param_log_norm": ("layer", _of_params(way, start, np.flatnonzero(overflow == 0), layers), PARAMS),
        "overflow": ("sample", overflow, OVERFLOW),
    }
    coordinates = {
        "layer": ("layer", np.arange(1, layers + 1), {"long_name": "layer, the first reads the input"}),
        "lag": ("lag", np.arange(len(curves)), LAG),
    }
    return xr.Dataset(variables, coordinates, {"method": METHOD, "seed": seed})


def _of_params(way: Course, start: Cotangents, finite: NDArray[np.int_], layers: int) -> list[float]:
    """Return the log norm of the gradient of each layer's parameters, over the sequences that stay finite."""
    if not finite.size:
        return [math.inf] * layers
    kept = shortened(way, way.steps, finite)
    run = run_cell(kept.kernel, kept.params, kept.inputs, kept.start, kept.steps)
    cotangents = {name: np.zeros_like(values) for name, values in run.states.items()}
    for name, values in start.items():
        cotangents[name][-1:] = values[:, finite]
    grads = kept.kernel.backward(run, cotangents).params
    ends = [f"{LABEL}layer{number}" if layers > 1 else "" for number in range(1, layers + 1)]
    own = [[np.ravel(values) for name, values in grads.items() if name.endswith(end)] for end in ends]
    return [float(log_norm(np.concatenate([np.zeros(1), *part]))) for part in own]

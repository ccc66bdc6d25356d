"""Path attribution: which share of a gradient runs along the states' own direct paths, and which through each gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .. import kernels
from ..derive.derivation import Derivation
from ..derive.errors import Error
from ..derive.lanes import gates, lanes, only_along, switched
from ..derive.syntax import closest
from ..kernels.kernel import layout
from .course import full_state
from .gradient_flow import LAG, LOG_NORM, going_back
from .lags import one_step, states_before
from .running import Arrays, at_last_step, log_norm, run_cell

Array = NDArray[np.floating]
Full = NDArray[np.float64]
Along = tuple[tuple[kernels.Kernel, tuple[str, ...]], ...]

SHARE = {"units": "1", "long_name": "share of the gradient: the part's component along the whole, over the whole"}
LANE = {"units": "natural log", "long_name": "ln of the norm of what never left the direct path of this state"}
PART = {"units": "natural log", "long_name": "ln of the norm of the part"}
RESIDUAL = {"units": "1", "valid_min": 0, "long_name": "norm of (sum of the parts − whole), over the norm of the whole"}
STATE = {"long_name": "state whose direct path it is"}
NO_GATE = "none"
KEPT = 32  # kernels whose parts stay compiled
METHOD = (
    "exact sum over all paths by dynamic programming over hops: a path takes one term of the Jacobian at each step, "
    "either the direct path of a state (elementwise, to itself) or the rest, which is a hop"
)


@dataclass(frozen=True)
class _Split:
    """What splits a step's transposed Jacobian into parts; kernels of derivations with edges cut or gates switched."""

    lanes: Along
    switched: kernels.Kernel
    gates: tuple[str, ...]
    switches: Mapping[str, str]


def measure_paths(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    hops: int = 4,
    read: Sequence[str] | None = None,
) -> xr.Dataset:
    """Split a gradient that starts at the last step into the paths along which it arrives, at each lag.

    The gradient k steps back is J₁ᵀ ⋯ J_kᵀ v, a sum over all ways to choose one term of the Jacobian at each step. At
    each step the terms are two: D, the direct path of each state to itself (`bptt.derive.lanes`: elementwise, linear
    where it can be, through no other state; f for c = f * c + ...), and J − D, everything else, a hop. A path is such a
    choice for all k steps. Paths are summed up by their number of hops, never one by one: the part with h hops, one
    step further back, is D times itself plus (J − D) times the part with h − 1 hops.

    Paths with a hop are split a second time, by the gate that they pass at their first hop, counted from the loss: of
    several gates passed in that step, the one that the step computes first, which is the one that reads the state. A
    gate is a function's value beside the direct path (`bptt.derive.lanes.gates`). 'none' are hops through no gate,
    such as from one state straight to another.

    Args:
        kernel, params, inputs, state, steps, seed: as `measure_flow` takes them. Small kernels with paths cut off are
            compiled first.
        hops: paths with so many hops or more are one part.
        read: the states at which the gradient starts, by default all.

    Returns:
        Over (sample, lag): `log_norm`, of the whole, natural log; `residual`, how far the parts are from summing to the
        whole, relative. `share` over (sample, lag, hops), `lane_share` over (sample, lag, state) and `gate_share` over
        (sample, lag, gate): the component of the part along the whole, relative to the whole, which may be negative.
        The shares by hops sum to 1; so do those of all lanes and all gates together. `log_part` over (sample, lag,
        hops) and `lane_log_norm` over (sample, lag, state): natural log of the norm of the part, −inf for none. nan
        shares where the whole is exactly zero.

    Raises:
        Error: for `hops` below 1, a state to read that the cell doesn't have, and as `measure_flow` does.

    >>> from ..derive.cell import parse
    >>> kernel = kernels.compile(parse("h: state[n]\\nh = a * h + W @ h"))
    >>> params, start = {"a": np.full(2, 0.5), "W": np.array([[0, 1.0], [0, 0]])}, {"h": np.ones((1, 2))}
    >>> found = measure_paths(kernel, params, {}, start, steps=3, hops=2)
    >>> found.share.isel(sample=0).sum("hops").values.round(12).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    if hops < 1:
        raise Error(f"hops is {hops}: give a whole number from 1 on")
    run = run_cell(kernel, params, inputs, state, steps)
    split = _split(kernel)
    before = states_before(run, state)
    whole = _joined({name: values[-1] for name, values in _start(run, read, seed).items()})
    direct = _direct(split.lanes, params, inputs, before)
    alone, alone_log = _alone(whole, direct)
    first_hops = _first_hops(split, params, inputs, before, run, alone[1:], direct)
    shape = {name: values.shape[2:] for name, values in run.states.items()}
    places = layout(kernel.cell, run.sizes)
    width = whole.shape[1]

    # Channels: the whole; paths by hops 0 ... `hops`; paths by the gate of their first hop. (B, channels, N)
    channels = np.zeros((run.batch, 2 + hops + len(split.gates) + 1, width))
    channels[:, 0] = channels[:, 1] = whole
    log_scale = np.zeros(run.batch)
    rows = [_row(channels, hops, log_scale, places)]
    for step in reversed(range(run.steps)):
        single = one_step(kernel, params, inputs, before, slice(step, step + 1), channels.shape[1])
        sent = _through(kernel, single, channels.reshape(-1, width), places, shape).reshape(channels.shape)
        kept = direct[step][:, None] * channels[:, 1 : 2 + hops]
        new = sent.copy()
        new[:, 1] = kept[:, 0]
        new[:, 2 : 2 + hops] = sent[:, 1 : 1 + hops] - kept[:, :-1] + kept[:, 1:]
        new[:, 1 + hops] += sent[:, 1 + hops] - kept[:, -1]  # the last part also keeps its own hops
        scale = np.exp(alone_log[step + 1] - log_scale)[:, None, None]
        new[:, 2 + hops :] += scale * first_hops[step].swapaxes(0, 1)
        norm = np.linalg.norm(new[:, 0], axis=-1)
        norm = np.where(np.isfinite(norm) & (norm > 0), norm, 1)
        channels = new / norm[:, None, None]
        log_scale = log_scale + np.log(norm)
        rows.append(_row(channels, hops, log_scale, places))
    return _dataset(rows, hops, list(shape), [*split.gates, NO_GATE], read, seed)


def measure_direct(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    state: Arrays | None = None,
    *,
    steps: int = 0,
    seed: int = 0,
    read: Sequence[str] | None = None,
) -> xr.Dataset:
    """Measure the part of a gradient that never leaves the direct paths: the first part of `measure_paths`.

    It takes one backward pass, where `measure_paths` goes back step by step.

    Args:
        kernel, params, inputs, state, steps, seed, read: as `measure_paths` takes them.

    Returns:
        Over (sample, lag): `share` of that part in the whole, as `measure_paths` gives it for no hops, and `log_norm`
        of the whole; `lane_log_norm` over (sample, lag, state).

    Raises:
        Error: as `measure_paths` does.

    >>> from ..derive.cell import parse
    >>> kernel = kernels.compile(parse("h: state[n]\\nh = a * h + W @ h"))
    >>> params, start = {"a": np.full(1, 0.5), "W": np.array([[0.5]])}, {"h": np.ones((1, 1))}
    >>> measure_direct(kernel, params, {}, start, steps=3).share.values.round(12).tolist()
    [[1.0, 0.5, 0.25, 0.125]]
    """
    run = run_cell(kernel, params, inputs, state, steps)
    start = {name: values[-1:] for name, values in _start(run, read, seed).items()}
    direct = _direct(_along(kernel), params, inputs, states_before(run, state))
    whole = full_state(start)
    alone, alone_log = _alone(whole[0].astype(np.float64), direct)
    units, logs = [whole], [np.zeros((1, run.batch))]
    for norms, vectors, _ in going_back(kernel, run, start):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # nan where nothing arrives
            units.append(vectors / np.exp(norms)[..., None])
        logs.append(logs[-1][-1] + norms)
    log_norms = np.concatenate(logs)
    with np.errstate(invalid="ignore", over="ignore"):
        along = np.einsum("tbn,tbn->tb", alone[::-1], np.concatenate(units))
        share = np.exp(alone_log[::-1] - log_norms) * along
    lane = [log_norm(alone[::-1, :, place]) + alone_log[::-1] for place in layout(kernel.cell, run.sizes).values()]
    variables = {
        "log_norm": (("sample", "lag"), log_norms.T, LOG_NORM),
        "share": (("sample", "lag"), share.T, SHARE),
        "lane_log_norm": (("sample", "lag", "state"), np.stack(lane, axis=2).swapaxes(0, 1), LANE),
    }
    coordinates = {"lag": ("lag", np.arange(run.steps + 1), LAG), "state": ("state", list(run.states), STATE)}
    return xr.Dataset(variables, coordinates, {"method": METHOD, "seed": seed, "read": list(read or run.states)})


@lru_cache(maxsize=KEPT)
def _split(kernel: kernels.Kernel) -> _Split:
    derivation: Derivation = kernel.derivation
    names = gates(derivation)
    with_switches, switches = switched(derivation, names)
    return _Split(_along(kernel), kernels.compile(with_switches, kernel.dtype.name), names, switches)


@lru_cache(maxsize=KEPT)
def _along(kernel: kernels.Kernel) -> Along:
    """Return kernels that send back along direct paths alone, each with the states whose these are."""
    found = lanes(kernel.derivation).values()
    groups = [[lane for lane in found if lane.linear is linear] for linear in (True, False)]
    return tuple(
        (kernels.compile(only_along(kernel.derivation, group), kernel.dtype.name), tuple(lane.state for lane in group))
        for group in groups
        if group
    )


def _start(run: kernels.Run, read: Sequence[str] | None, seed: int) -> dict[str, Array]:
    """Return a random direction of norm 1 at the last step, over the states that are read."""
    for name in read or ():
        if name not in run.states:
            raise Error(f"the cell has no state called '{name}' to read. {closest(name, run.states)}")
    chosen = {name: run.states[name] for name in run.states if read is None or name in read}
    if not chosen:
        raise Error("no state is read: name at least one")
    zeros = {name: np.zeros_like(values) for name, values in run.states.items()}
    return zeros | at_last_step(chosen, seed)


def _joined(parts: Arrays) -> Full:
    """(rows, ...) by state -> (rows, N), float64."""
    return np.concatenate([values.reshape(len(values), -1) for values in parts.values()], axis=1).astype(np.float64)


def _through(
    kernel: kernels.Kernel,
    single: kernels.Run,
    vectors: Full,
    places: Mapping[str, slice],
    shape: Mapping[str, tuple[int, ...]],
) -> Full:
    """Carry vectors (rows, N) one step back through the kernel."""
    parts = {name: vectors[:, place].reshape(1, -1, *shape[name]) for name, place in places.items()}
    grads = kernel.backward(single, {name: part.astype(kernel.dtype) for name, part in parts.items()})
    return _joined(grads.state)


def _direct(along: Along, params: Arrays, inputs: Arrays, before: Arrays) -> Full:
    """Return what the direct paths multiply the full state by: the diagonal of D, (T, B, N)."""
    found = {name: np.zeros(values.shape) for name, values in before.items()}
    for kernel, states in along:
        single = one_step(kernel, params, inputs, before, slice(None))
        for name in states:
            ones = {name: np.ones_like(single.states[name])}
            found[name] = np.array(kernel.backward(single, ones).state[name]).reshape(before[name].shape)
    steps, batch = next(iter(before.values())).shape[:2]
    return np.concatenate([values.reshape(steps, batch, -1) for values in found.values()], axis=2)


def _alone(start: Full, direct: Full) -> tuple[Full, Full]:
    """Return what never leaves its lane, at norm 1, and its log norm: after each step and before the first."""
    steps = len(direct)
    vectors, logs = np.empty((steps + 1, *start.shape)), np.empty((steps + 1, len(start)))
    now, log_scale = start, np.zeros(len(start))
    for step in range(steps, -1, -1):
        if step < steps:
            now = direct[step] * now
        norm = np.linalg.norm(now, axis=1)
        now = now / np.where(norm > 0, norm, 1)[:, None]
        with np.errstate(divide="ignore"):  # ln 0, where nothing is left
            log_scale = log_scale + np.log(norm)
        vectors[step], logs[step] = now, log_scale
    return vectors, logs


def _first_hops(
    split: _Split, params: Arrays, inputs: Arrays, before: Arrays, run: kernels.Run, alone: Full, direct: Full
) -> Full:
    """Return where a hop from what is alone on its lane leads, through each gate and through none: (T, gates, B, N).

    With the first j gates detached, paths are left that pass none of these: the difference between j − 1 and j is what
    passes gate j and none before it.
    """
    steps, batch, width = alone.shape
    shape = {name: values.shape[2:] for name, values in run.states.items()}
    places = layout(split.switched.cell, run.sizes)
    left = []
    for count in range(len(split.gates) + 1):
        numbers = {
            split.switches[gate]: np.asarray(float(place >= count), split.switched.dtype)
            for place, gate in enumerate(split.gates)
        }
        single = one_step(split.switched, {**params, **numbers}, inputs, before, slice(None))
        sent = _through(split.switched, single, alone.reshape(-1, width), places, shape)
        left.append(sent.reshape(steps, batch, width))
    parts = [here - further for here, further in zip(left, left[1:], strict=False)]
    return np.stack([*parts, left[-1] - direct * alone], axis=1)


def _row(channels: Full, hops: int, log_scale: Full, places: Mapping[str, slice]) -> dict[str, Full]:
    """Return what is measured at one lag."""
    whole, by_hops, by_gate = channels[:, 0], channels[:, 1 : 2 + hops], channels[:, 2 + hops :]
    square = np.einsum("bn,bn->b", whole, whole)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0, where nothing arrives
        share, gate_share = (np.einsum("bcn,bn->bc", part, whole) / square[:, None] for part in (by_hops, by_gate))
        alone = by_hops[:, 0]
        lane = [np.einsum("bn,bn->b", alone[:, p], whole[:, p]) / square for p in places.values()]
        sums = (by_hops.sum(axis=1), alone + by_gate.sum(axis=1))
        residual = np.max([np.linalg.norm(total - whole, axis=1) for total in sums], axis=0) / np.sqrt(square)
        return {
            "log_norm": log_norm(whole) + log_scale,
            "residual": residual,
            "share": share,
            "gate_share": gate_share,
            "lane_share": np.stack(lane, axis=1),
            "log_part": log_norm(by_hops) + log_scale[:, None],
            "lane_log_norm": np.stack([log_norm(alone[:, p]) for p in places.values()], axis=1) + log_scale[:, None],
        }


def _dataset(
    rows: list[dict[str, Full]],
    hops: int,
    states: list[str],
    names: list[str],
    read: Sequence[str] | None,
    seed: int,
) -> xr.Dataset:
    about = {
        "log_norm": ((), LOG_NORM),
        "residual": ((), RESIDUAL),
        "share": (("hops",), SHARE),
        "gate_share": (("gate",), SHARE),
        "lane_share": (("state",), SHARE),
        "log_part": (("hops",), PART),
        "lane_log_norm": (("state",), LANE),
    }
    variables = {
        name: (("sample", "lag", *dims), np.stack([row[name] for row in rows], axis=1), attrs)
        for name, (dims, attrs) in about.items()
    }
    counted = {"long_name": f"number of hops; {hops} stands for {hops} or more", "units": "1"}
    coordinates = {
        "lag": ("lag", np.arange(len(rows)), LAG),
        "hops": ("hops", np.arange(hops + 1), counted),
        "gate": ("gate", names, {"long_name": "gate passed at the first hop from the loss"}),
        "state": ("state", states, STATE),
    }
    return xr.Dataset(variables, coordinates, {"method": METHOD, "seed": seed, "read": list(read or states)})

"""The gradient of the parameters taken apart by lag: what losses send back exactly so many steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..derive.errors import Error
from .running import LOSSES, Arrays, Loss, Overflow

Array = NDArray[np.floating]


def lag_gradients(
    kernel: kernels.Kernel,
    params: Arrays,
    inputs: Arrays,
    run: kernels.Run,
    cotangents: Arrays,
    state: Arrays | None = None,
) -> Iterator[dict[str, Array]]:
    """Yield, for lag 0, 1, ..., the gradient of each parameter by its use exactly so many steps before the loss.

    Summed over all lags this is the gradient that `Kernel.backward` gives; summed over the first K it is what
    backpropagation truncated after K steps gives, with a window that slides from loss to loss. One lag takes one step
    back of all sequences and all steps from which something still goes back, at the same time: K lags of T losses cost
    as much as K passes over the sequence, and no more memory than one.

    Args:
        kernel: of the cell.
        params, inputs, state: as `Kernel.forward` takes them.
        run: of `Kernel.forward` on these.
        cotangents: state -> (T, B, ...), the derivative of the loss of each step by the state after it.

    Yields:
        Parameter -> array of its shape, summed over steps and sequences; nothing more once nothing goes back.

    >>> from ..derive.cell import parse
    >>> kernel = kernels.compile(parse("h: state\\nh = a * h + b"))
    >>> params, start = {"a": np.array(0.5), "b": np.array(1.0)}, {"h": np.zeros(1)}
    >>> run = kernel.forward(params, {}, start, steps=4, batch=1)
    >>> last = {"h": np.array([0.0, 0, 0, 1]).reshape(4, 1)}
    >>> [float(part["b"]) for part in lag_gradients(kernel, params, {}, run, last, start)]
    [1.0, 0.5, 0.25, 0.125]
    """
    before = states_before(run, state)
    first, arriving = _without_ends(0, {name: np.asarray(values) for name, values in cotangents.items()})
    while many := _length(arriving):
        single = one_step(kernel, params, inputs, before, slice(first, first + many))
        grads = kernel.backward(single, {name: _as_batch(values) for name, values in arriving.items()})
        yield {name: np.array(values) for name, values in grads.params.items()}
        sent = {name: values.reshape(many, run.batch, *values.shape[1:]) for name, values in grads.state.items()}
        start = 1 if first == 0 else 0  # what reaches the initial state goes no further
        sent = {name: values[start:] for name, values in sent.items()}
        first, arriving = _without_ends(first - 1 + start, sent)


def states_before(run: kernels.Run, state: Arrays | None = None) -> dict[str, Array]:
    """Return the states before each step of a run that began with `state`: name -> (T, B, ...)."""
    found = {}
    for name, values in run.states.items():
        found[name] = np.concatenate([np.zeros_like(values[:1]), values[:-1]])
        if state and name in state:
            found[name][0] = state[name]
    return found


def one_step(
    kernel: kernels.Kernel, params: Arrays, inputs: Arrays, before: Arrays, steps: slice, copies: int = 1
) -> kernels.Run:
    """Run a single step of the cell for several steps of a sequence at the same time, as sequences of one step.

    Args:
        before: the states before each step of the run, from `states_before`.
        steps: which.
        copies: how often each sequence is wanted: (steps, B, copies) is the order of the batch.
    """

    def chosen(values: Any) -> Any:
        part = _as_batch(np.asarray(values)[steps])
        return np.repeat(part, copies, axis=1) if copies > 1 else part

    given = {name: chosen(values) for name, values in inputs.items()}
    start = {name: chosen(values)[0] for name, values in before.items()}
    many = len(next(iter(start.values())))
    return kernel.forward(params, given, start, steps=1, batch=many)


def _as_batch(values: Array) -> Array:
    """(T, B, ...) -> (1, T·B, ...)."""
    return values.reshape(1, values.shape[0] * values.shape[1], *values.shape[2:])


def _length(arriving: Arrays) -> int:
    return len(next(iter(arriving.values()), ()))


def _without_ends(first: int, arriving: Arrays) -> tuple[int, Arrays]:
    """Cut off the steps at both ends at which nothing arrives; return which step is the first now, and the rest."""
    some = np.zeros(_length(arriving), bool)
    for values in arriving.values():
        some |= values.any(axis=tuple(range(1, values.ndim)))
    places = np.flatnonzero(some)
    begin, end = (places[0], places[-1] + 1) if places.size else (0, 0)
    return first + int(begin), {name: values[begin:end] for name, values in arriving.items()}


def loss_of(loss: str | Loss, states: Arrays, seed: int) -> dict[str, Array]:
    """Return the cotangents of a loss, given by its name in `LOSSES` or as a function of (states, seed).

    Raises:
        Error: for a name that isn't known.

    >>> sorted(loss_of("last", {"h": np.zeros((5, 1, 3))}, seed=0))
    ['h']
    """
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise Error(
                f"no loss is called '{loss}'. Known: {', '.join(LOSSES)}; or give a function of (states, seed)."
            )
        loss = LOSSES[loss]
    return loss(states, seed)


def loss_name(loss: str | Loss) -> str:
    """Return what a loss is called, for the record of how something was measured."""
    return loss if isinstance(loss, str) else getattr(loss, "__name__", "given")


def refuse_overflow(gradients: Mapping[str, Array]) -> None:
    """Refuse gradients of parameters that aren't finite.

    Raises:
        Overflow: naming the parameter.
    """
    for name, values in gradients.items():
        if not np.isfinite(values).all():
            advice = "Try a smaller gain, fewer steps or smaller inputs."
            raise Overflow(f"the gradient of '{name}' overflows on its way back through time. {advice}")

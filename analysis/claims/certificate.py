"""Checks of the very run whose numbers are reported: each a number beside its tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ... import kernels
from ..data import DATA, random_stream
from ..inputs import draw_inputs, draw_state, plan_feed
from .bench import Bench

TRANSPOSE = 1e-9  # of sums over hundreds of steps in float64


@dataclass(frozen=True)
class Check:
    """Attributes:
    name: what was checked, such as "transpose".
    cell: of which cell.
    error: what was found: how far apart two numbers are that should agree.
    tolerance: the largest error that passes.
    """

    name: str
    cell: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the error is within its tolerance; an error that is no number isn't."""
        return not math.isnan(self.error) and self.error <= self.tolerance


def certify(bench: Bench, compiled: Sequence[kernels.Kernel]) -> list[Check]:
    """Check the kernels of a run on its own data.

    >>> from ...derive.cell import load
    >>> [check.holds for check in certify(Bench(hidden=4, steps=9, batch=2, seeds=1), [kernels.compile(load("rnn"))])]
    [True]
    """
    return [check(bench, kernel) for kernel in compiled for check in CHECKS]


def transpose(bench: Bench, kernel: kernels.Kernel) -> Check:
    """Forward and backward pass are transposes: ⟨v, J u⟩ = ⟨Jᵀ v, u⟩ over all steps, for random u and v.

    J is the derivative of the last state by the first, u goes through the tangents and v through the gradients. The
    error is relative to ‖v‖ ‖J u‖, largest over the batch.
    """
    feed = plan_feed(kernel.cell, len(bench.chars.vocabulary), {}, bench.hidden)
    params = kernel.init(feed.sizes, seed=0)
    indices = DATA[bench.data](bench.chars, bench.steps, bench.batch, 0)
    inputs = draw_inputs(feed, indices, 0) if kernel.cell.inputs else {}
    start = draw_state(feed, bench.batch, 0)
    if inputs:
        run = kernel.forward(params, inputs, start)
    else:
        run = kernel.forward(params, inputs, start, steps=bench.steps, batch=bench.batch)
    ahead = {name: array[:, None] for name, array in _directions(start, "ahead").items()}
    moved = {name: array[-1, :, 0] for name, array in kernel.tangent(run, ahead).items()}
    back = _directions(start, "back")
    seeds = {name: np.zeros((bench.steps, *array.shape)) for name, array in back.items()}
    for name, array in back.items():
        seeds[name][-1] = array
    gradients = kernel.backward(run, seeds).state
    one = sum(_products(back[name], moved[name]) for name in back)
    other = sum(_products(gradients[name], ahead[name][:, 0]) for name in back)
    lengths = [np.sqrt(sum(_products(part[name], part[name]) for name in part)) for part in (back, moved)]
    error = np.abs(one - other) / np.maximum(lengths[0] * lengths[1], np.finfo(float).tiny)
    return Check("transpose", kernel.cell.name, float(error.max()), TRANSPOSE)


def _directions(like: dict[str, np.ndarray], purpose: str) -> dict[str, np.ndarray]:
    return {name: random_stream(0, f"{purpose} {name}").standard_normal(array.shape) for name, array in like.items()}


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the inner product of each sample, (B,)."""
    return np.asarray((left * right).reshape(len(left), -1).sum(axis=1))


CHECKS = (transpose,)

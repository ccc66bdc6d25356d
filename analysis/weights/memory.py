"""Gradient flow in layers that others have trained, beside the same layers as they may have begun."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from ...derive.errors import Error
from ..course import course
from ..data import random_stream
from ..gradient_flow import LAG, LOG_NORM, METHOD, OVERFLOW, flow_along
from ..overflow import over_batch
from .layers import Array, Stack, Trained, run_stack

TRAINED, DRAWN = "trained", "initial"


def trained_flow(
    trained: Trained,
    *,
    steps: int = 100,
    batch: int = 32,
    seeds: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Measure the gradient flow in each layer of a trained model, and in the same cells with weights newly drawn.

    The first layer of each stack reads rows of the model's embedding, each as likely as any other, where it has one
    that fits, else standard Gaussian noise; every layer above reads what those below it make of that.

    Args:
        trained: from `from_torch` or its like.
        steps: T.
        batch: sequences per seed, B.
        seeds: number of draws of inputs, cotangents and of the weights that are newly drawn; they are 0, 1, 2, ...
        progress: called as progress(done, total) after each measurement.

    Returns:
        `log_norm`, natural log, float64, over (cell, data, seed, lag), and `overflow`, as `flow_study` gives them:
        `cell` is a layer's name, `data` is "trained" or "initial". Where a layer overflows, so do those above it, which
        read it.

    Raises:
        Error: for counts below 1, or weights that aren't finite.

    >>> from .torch_names import from_torch
    >>> rng = np.random.default_rng(0)
    >>> arrays = {f"weight_{at}h_l0": rng.standard_normal((8, n)) for at, n in (("i", 3), ("h", 2))}
    >>> dict(trained_flow(from_torch(arrays), steps=6, batch=2, seeds=3).sizes)
    {'cell': 1, 'data': 2, 'seed': 3, 'lag': 7, 'sample': 2}
    """
    for name, count in {"steps": steps, "batch": batch, "seeds": seeds}.items():
        if count < 1:
            raise Error(f"{name} is {count}: give a whole number from 1 on")
    for layer in trained.layers:
        if wrong := [name for name, array in layer.params.items() if not np.isfinite(array).all()]:
            raise Error(f"{trained.source}: {wrong[0]} of layer {layer.name} holds NaN or infinity")
    names = [layer.name for layer in trained.layers]
    log_norm = np.empty((len(names), 2, seeds, steps + 1))
    overflow = np.zeros((*log_norm.shape[:-1], batch), int)
    done = 0
    for seed in range(seeds):
        for stack in trained.stacks:
            x = _inputs(trained, stack, steps, batch, seed)
            for layer, kernel, reads, lost, _ in run_stack(stack, x):
                [given] = layer.cell.inputs
                inputs = {given: np.ascontiguousarray(reads[::-1]) if layer.reverse else reads}
                drawn = kernel.init(layer.sizes, seed=seed)
                for place, params in enumerate((layer.params, drawn)):
                    found = flow_along(course(kernel, params, inputs, None, 0), lost, seed)
                    at = names.index(layer.name), place, seed
                    log_norm[at], overflow[at] = over_batch(found).log_norm, found.overflow
                done += 1
                if progress:
                    progress(done, seeds * len(names))
    coordinates = {
        "cell": names,
        "data": [TRAINED, DRAWN],
        "seed": np.arange(seeds),
        "lag": ("lag", np.arange(steps + 1), LAG),
    }
    settings = {
        "method": f"{METHOD}; mean over the batch",
        "sizes": {layer.name: layer.sizes for layer in trained.layers},
        "steps": steps,
        "batch": batch,
        "gain": 1.0,
        "weights": trained.source,
        "reads_embedding": int(trained.embedding is not None),
        "notes": list(trained.notes),
    }
    over = "cell", "data", "seed"
    variables = {
        "log_norm": ((*over, "lag"), log_norm, LOG_NORM),
        "overflow": ((*over, "sample"), overflow, OVERFLOW),
    }
    return xr.Dataset(variables, coordinates, settings)


def _inputs(trained: Trained, stack: Stack, steps: int, batch: int, seed: int) -> Array:
    """Return what the first layer of a stack reads, (T, B, m)."""
    width = stack.depths[0][0].width
    random = random_stream(seed, f"input of {stack.name}")
    if trained.embedding is not None and trained.embedding.shape[1] == width:
        return trained.embedding[random.integers(len(trained.embedding), size=(steps, batch))]
    return random.standard_normal((steps, batch, width))

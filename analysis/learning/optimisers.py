"""Optimisers as rules on NumPy arrays, clipping by the global norm, and gradient noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...derive.errors import Error
from ...derive.syntax import closest

Array = NDArray[np.floating]
Arrays = dict[str, Array]
Slots = dict[str, Array]


@dataclass(frozen=True)
class Optimiser:
    """How parameters follow their gradients.

    Attributes:
        slots: arrays of each parameter's shape that are carried from step to step, first zero.
        settings: name -> default, beside the rate.
        update: (gradient, slots, step from 1, rate, settings) -> what is taken off the parameter; changes the slots.
    """

    slots: tuple[str, ...]
    settings: Mapping[str, float]
    update: Callable[[Array, Slots, int, float, Mapping[str, float]], Array]


def _sgd(gradient: Array, slots: Slots, step: int, rate: float, settings: Mapping[str, float]) -> Array:
    return rate * gradient


def _momentum(gradient: Array, slots: Slots, step: int, rate: float, settings: Mapping[str, float]) -> Array:
    slots["velocity"] *= settings["momentum"]
    slots["velocity"] += gradient
    return rate * slots["velocity"]


def _rmsprop(gradient: Array, slots: Slots, step: int, rate: float, settings: Mapping[str, float]) -> Array:
    square = slots["square"]
    square *= settings["decay"]
    square += (1 - settings["decay"]) * gradient**2
    return rate * gradient / (np.sqrt(square) + settings["epsilon"])


def _adam(gradient: Array, slots: Slots, step: int, rate: float, settings: Mapping[str, float]) -> Array:
    mean, square = slots["mean"], slots["square"]
    mean *= settings["beta1"]
    mean += (1 - settings["beta1"]) * gradient
    square *= settings["beta2"]
    square += (1 - settings["beta2"]) * gradient**2
    unbiased = rate / (1 - settings["beta1"] ** step)
    return unbiased * mean / (np.sqrt(square / (1 - settings["beta2"] ** step)) + settings["epsilon"])


OPTIMISERS: Mapping[str, Optimiser] = {
    "sgd": Optimiser((), {}, _sgd),
    # Polyak, B. T. (1964). USSR Computational Mathematics and Mathematical Physics 4(5)
    "momentum": Optimiser(("velocity",), {"momentum": 0.9}, _momentum),
    # Tieleman, T. and Hinton, G. (2012). Lecture 6.5, COURSERA
    "rmsprop": Optimiser(("square",), {"decay": 0.99, "epsilon": 1e-8}, _rmsprop),
    # Kingma, D. P. and Ba, J. (2015). ICLR, algorithm 1
    "adam": Optimiser(("mean", "square"), {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}, _adam),
}


def optimiser(name: str) -> Optimiser:
    """Return an optimiser by its name.

    Raises:
        Error: for an unknown name, with the nearest one.

    >>> optimiser("adam").slots
    ('mean', 'square')
    """
    if name not in OPTIMISERS:
        raise Error(f"no optimiser is called '{name}'. {closest(name, OPTIMISERS)}")
    return OPTIMISERS[name]


def zeros(rule: Optimiser, params: Mapping[str, Array]) -> dict[str, Slots]:
    """Return the slots of each parameter, all zero."""
    return {name: {slot: np.zeros_like(array) for slot in rule.slots} for name, array in params.items()}


def step(
    rule: Optimiser,
    params: Arrays,
    gradients: Mapping[str, Array],
    slots: dict[str, Slots],
    number: int,
    rate: float,
    settings: Mapping[str, float] | None = None,
) -> None:
    """Take one step; parameters and slots are changed in place.

    Args:
        rule: one of `OPTIMISERS`.
        params, gradients: name -> array.
        slots: from `zeros`.
        number: of the step, from 1.
        rate: the learning rate.
        settings: of the rule, where they differ from its defaults.

    >>> params = {"w": np.array([1.0])}
    >>> step(OPTIMISERS["sgd"], params, {"w": np.array([2.0])}, {"w": {}}, 1, 0.1)
    >>> params["w"]
    array([0.8])
    """
    known = {**rule.settings, **(settings or {})}
    for name, param in params.items():
        param -= rule.update(gradients[name], slots[name], number, rate, known)


def global_norm(gradients: Mapping[str, Array]) -> float:
    """Return the Euclidean norm of all gradients taken together.

    >>> global_norm({"a": np.array([3.0]), "b": np.array([[4.0]])})
    5.0
    """
    return math.sqrt(sum(float(np.vdot(array, array)) for array in gradients.values()))


def clip(gradients: Arrays, limit: float) -> float:
    """Scale gradients, in place, so that their global norm is at most `limit`; return the norm they had.

    Pascanu, R., Mikolov, T. and Bengio, Y. (2013). On the difficulty of training recurrent neural networks. ICML.

    >>> gradients = {"a": np.array([3.0, 4.0])}
    >>> clip(gradients, 1.0), gradients["a"]
    (5.0, array([0.6, 0.8]))
    """
    norm = global_norm(gradients)
    if norm > limit:
        for array in gradients.values():
            array *= limit / norm
    return norm


def add_noise(gradients: Arrays, scale: float, number: int, random: np.random.Generator) -> None:
    """Add Gaussian noise of variance scale / (1 + number)^0.55 to gradients, in place.

    Neelakantan, A. et al. (2015). Adding gradient noise improves learning for very deep networks. arXiv:1511.06807.
    """
    deviation = math.sqrt(scale / (1 + number) ** 0.55)
    for array in gradients.values():
        array += (deviation * random.standard_normal(array.shape)).astype(array.dtype)

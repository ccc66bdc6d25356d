"""Cells to test with, their derivations and proofs (each made once), tensor maps, and arithmetic on NumPy arrays."""

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from sympy import Integer, Symbol

import bptt
from bptt.derive.adjoint import delta, incoming
from bptt.derive.cell import previous
from bptt.derive.interpret import evaluate, run, size
from bptt.derive.linear import (
    broadcast,
    concat,
    cross_entropy,
    entry,
    lookup,
    one_hot,
    ones,
    outer,
    pad,
    part,
    product,
    scatter,
    shape_of,
    softmax,
    tensor_arguments,
    total,
    transpose,
)
from bptt.derive.proof import prove, small_sizes
from bptt.derive.sizes import dimension

FOLDER = Path(__file__).parent / "cells"
NAMES = [*bptt.zoo(), *sorted(path.stem for path in FOLDER.glob("*.cell"))]
STEPS = 4

COMPLEX: dict[str, Callable[..., Any]] = {
    "step": lambda x: 1 if x.real > 0 else 0,
    "sign": lambda x: (x.real > 0) - (x.real < 0),
    "geq": lambda a, b: 1 if a.real >= b.real else 0,
    "tanh": cmath.tanh,
    "sigmoid": lambda x: 1 / (1 + cmath.exp(-x)),
    "relu": lambda x: x if x.real > 0 else 0,
    "exp": cmath.exp,
    "log": cmath.log,
    "sqrt": cmath.sqrt,
    "sin": cmath.sin,
    "cos": cmath.cos,
    "arctan": lambda x: complex(math.atan(x.real), x.imag / (1 + x.real**2)),  # to first order in the imaginary part
    "erf": lambda x: complex(math.erf(x.real), x.imag * math.exp(-(x.real**2)) * 2 / math.sqrt(math.pi)),
    "softplus": lambda x: cmath.log(1 + cmath.exp(x)),
    "silu": lambda x: x / (1 + cmath.exp(-x)),
    "abs": lambda x: x if x.real >= 0 else -x,
    "max": lambda a, b: a if a.real >= b.real else b,
    "min": lambda a, b: a if a.real <= b.real else b,
}


n, m, k = map(dimension, "nmk")
SHAPES = {
    Symbol("s"): (),
    Symbol("u"): (n,),
    Symbol("v"): (m,),
    Symbol("w"): (n,),
    Symbol("one"): (Integer(1),),
    Symbol("A"): (n, m),
    Symbol("B"): (m, k),
    Symbol("S"): (n, n),
}
s, u, v, w, one, A, B, S = SHAPES
INDEX = Symbol("i")
MAPS = [
    product(A, v),
    product(A, B),
    product(transpose(A), u),
    product(transpose(A), S),
    transpose(A),
    outer(u, v),
    outer(v, v + v),
    total(u),
    total(A),
    total(s),
    broadcast(s, n),
    broadcast(s, n, m),
    ones(n),
    ones(n, m),
    concat(u, v),
    concat(v, u, w),
    part(u, Integer(1), Integer(4)),
    part(u, Integer(0), m),
    pad(v, Integer(2), n),
    pad(v, Integer(0), n),
    entry(u, Integer(0)),
    entry(u, n - 1),
    softmax(u),
    lookup(A, INDEX),
    lookup(u, INDEX),
    scatter(v, INDEX, n),
    scatter(s, INDEX, n),
    cross_entropy(u, w),
    cross_entropy(u, one_hot(INDEX, n)),
]


@cache
def load(name):
    return bptt.load(name if name in bptt.zoo() else FOLDER / f"{name}.cell")


@cache
def derived(name):
    return bptt.derive(load(name))


@cache
def proved(name):
    return prove(derived(name))


def complex_apply(function, *entries):
    """What an elementwise function, a fractional power or a number such as pi means in complex arithmetic."""
    if isinstance(function, sympy.NumberSymbol):
        return complex(function)
    if function is sympy.Pow:
        return complex(entries[0]) ** float(entries[1])
    return complex(COMPLEX[function.rule.name](*map(complex, entries)))


@dataclass
class Numbers:
    """Random numbers for everything a cell reads, in complex arithmetic, over `STEPS` steps."""

    derivation: bptt.Derivation

    def __post_init__(self):
        random = np.random.default_rng(1)
        cell = self.derivation.cell
        self.sizes = small_sizes(cell)
        draw = {symbol: self._draw(random, shape) for symbol, shape in cell.shapes.items()}
        self.params = {Symbol(name): draw[Symbol(name)] for name in cell.params}
        self.start = {previous(name): draw[previous(name)] for name in cell.states}
        names = map(Symbol, cell.inputs)
        self.inputs = {name: np.stack([self._draw(random, cell.shapes[name]) for _ in range(STEPS)]) for name in names}
        states = map(Symbol, cell.states)
        self.weights = {name: [self._draw(random, cell.shapes[name]) for _ in range(STEPS)] for name in states}

    def _draw(self, random, shape):
        return np.asarray(random.uniform(-1, 1, [size(part, self.sizes) for part in shape]), dtype=complex)

    def run(self, program, values):
        made = run(program, values, self.sizes, complex_apply, 1.0)
        return {symbol: np.asarray(array, dtype=complex) for symbol, array in made.items()}

    def step(self, time, states):
        """Run one step and return all its values."""
        once = self.run(self.derivation.prologue, self.params)
        given = {name: array[time] for name, array in self.inputs.items()}
        return self.run(self.derivation.forward, {**once, **given, **states})

    def forward(self):
        """Return the values of every step and the loss."""
        states, steps, loss = self.start, [], 0
        for time in range(STEPS):
            steps.append(self.step(time, states))
            states = {previous(name): steps[-1][Symbol(name)] for name in self.derivation.cell.states}
            loss += sum(np.sum(weights[time] * steps[-1][name]) for name, weights in self.weights.items())
        return steps, complex(loss)

    def written_loss(self):
        """Return the loss from the author's equations, without any program made from them."""
        states, loss = self.start, 0
        for time in range(STEPS):
            values = {**self.params, **states, **{name: array[time] for name, array in self.inputs.items()}}
            for line in self.derivation.cell.equations:
                value = evaluate(line.written, values, self.sizes, complex_apply, 1.0)
                shape = [size(part, self.sizes) for part in self.derivation.cell.shapes[line.target]]
                values[line.target] = np.broadcast_to(value, shape)
            states = {previous(name): values[Symbol(name)] for name in self.derivation.cell.states}
            loss += sum(np.sum(weights[time] * values[name]) for name, weights in self.weights.items())
        return complex(loss)

    def gradients(self):
        """Run the derived programs backwards and return the gradient of every parameter, input and initial state."""
        derivation = self.derivation
        steps, _ = self.forward()
        once = self.run(derivation.prologue, self.params)
        fixed = (*self.params, *derivation.prologue.outputs)
        sums = dict.fromkeys(fixed, 0)
        carried = dict.fromkeys(self.weights, 0)
        found = {name: np.empty_like(array) for name, array in self.inputs.items()}
        for time in reversed(range(STEPS)):
            arriving = {incoming(name): self.weights[name][time] + carried[name] for name in carried}
            values = self.run(derivation.backward, {**steps[time], **arriving})
            carried = {name: values[delta(previous(name.name))] for name in carried}
            sums = {symbol: total + values[delta(symbol)] for symbol, total in sums.items()}
            for name in found:
                found[name][time] = values[delta(name)]
        last = self.run(derivation.epilogue, {**once, **{incoming(v): sums[v] for v in derivation.prologue.outputs}})
        found |= {symbol: sums[symbol] + last.get(delta(symbol), 0) for symbol in self.params}
        return found | {previous(name.name): array for name, array in carried.items()}


def complex_step(array, value, width=1e-30):
    """Return d value() / d (each entry of array), where value() reads the array, which is changed in place."""
    slopes = []
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + 1j * width
        slopes.append(np.imag(np.asarray(value(), dtype=complex)) / width)
        array[index] = kept
    return slopes


class Tensors:
    """Random numbers for the symbols of `MAPS`, and what expressions come to with them."""

    maps, shapes, sizes = MAPS, SHAPES, {"n": 5, "m": 3, "k": 4}

    def __init__(self):
        drawn = {symbol: self.draw(shape, number) for number, (symbol, shape) in enumerate(SHAPES.items())}
        self.values = {INDEX: np.asarray(2), **drawn}

    def draw(self, shape, seed):
        return np.random.default_rng(seed).standard_normal([size(part, self.sizes) for part in shape]).astype(complex)

    def value(self, expr, more=None):
        values = {**self.values, **(more or {})}
        return np.asarray(evaluate(expr, values, self.sizes, complex_apply, 1.0), dtype=complex)

    def arguments(self, at):
        """The shape of each tensor argument of a map."""
        return [shape_of(argument, SHAPES) for argument in tensor_arguments(at)]

    def pushed(self, at, directions):
        """The derivative of a map along {index of an argument: its direction}, by the complex step."""
        bent = {index: Symbol(f"bent {index}") for index in directions}
        values = {bent[i]: self.value(at.args[i]) + 1e-30j * direction for i, direction in directions.items()}
        moved = at.func(*(bent.get(index, argument) for index, argument in enumerate(at.args)))
        return self.value(moved, values).imag / 1e-30


@pytest.fixture
def tensors():
    return Tensors()


@pytest.fixture(params=MAPS, ids=str)
def tensor_map(request):
    return request.param


@pytest.fixture
def change_rule(monkeypatch):
    """Change what the table says of a function or a tensor map, for the length of a test."""

    def change(function, **changes):
        monkeypatch.setattr(function, "rule", replace(function.rule, **changes))

    return change


@pytest.fixture(scope="session", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="session")
def cell(name):
    return load(name)


@pytest.fixture(scope="session")
def derivation(name):
    return derived(name)


@pytest.fixture(scope="session")
def proof(name):
    return proved(name)


@pytest.fixture
def numbers(derivation):
    return Numbers(derivation)


@pytest.fixture(scope="session")
def differentiate():
    return complex_step


@pytest.fixture(scope="session")
def apply():
    return complex_apply

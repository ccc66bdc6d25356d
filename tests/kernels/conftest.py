"""Cases to test kernels on, and a reference that shares no code with them: the author's lines run as plain Python."""

import ast
import builtins
import runpy
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import special
from sympy import Symbol

import bptt
from bptt.derive import derive
from bptt.derive.cell import ZOO
from bptt.derive.interpret import size
from bptt.kernels import compile

collect_ignore = ["golden"]
HOME_MADE = runpy.run_path(str(Path(__file__).parent / "cells.py"))["HOME_MADE"]
NAMES = [*bptt.zoo(), *HOME_MADE]
SIZES = {"n": 4, "m": 3, "k": 2, "d": 2, "L": 5, "D": 6, "ñ": 4}  # pairwise different within each cell
FUNCTIONS = {
    **{name: getattr(np, name) for name in ("tanh", "exp", "log", "sqrt", "sin", "cos", "arctan")},
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "erf": lambda a: special.erf(a.real) + 1j * a.imag * 2 / np.sqrt(np.pi) * np.exp(-(a.real**2)),
    "softplus": lambda a: np.log(1 + np.exp(a)),
    "silu": lambda a: a / (1 + np.exp(-a)),
    "relu": lambda a: np.where(a.real > 0, a, 0),
    "abs": lambda a: np.where(a.real < 0, -a, a),
    "max": lambda a, b: np.where(np.real(a) >= np.real(b), a, b),
    "min": lambda a, b: np.where(np.real(a) <= np.real(b), a, b),
    "sign": lambda a: np.sign(a.real),
    "step": lambda a: np.where(a.real > 0, 1.0, 0.0),
    "geq": lambda a, b: np.where(np.real(a) >= np.real(b), 1.0, 0.0),
    "sum": np.sum,
    "dot": lambda a, b: np.sum(a * b),
    "norm": lambda a: np.sqrt(np.sum(a * a)),
    "softmax": lambda a: np.exp(a) / np.sum(np.exp(a)),
    "ones": lambda *shape: np.ones(shape),
    "outer": np.multiply.outer,
    "concat": lambda *pieces: np.concatenate(pieces),
}
TINY = 1e-40  # an imaginary step whose square vanishes beside any number here


@dataclass(frozen=True)
class Case:
    """A cell, what it is run on, and what its kernel makes of that."""

    name: str
    steps: int = 5
    batch: int = 2
    sizes: tuple = ()
    dtype: str = "float64"

    @cached_property
    def text(self):
        return HOME_MADE.get(self.name) or (ZOO / f"{self.name}.cell").read_text(encoding="utf-8")

    @cached_property
    def kernel(self):
        return kernel_of(self.name, self.dtype)

    @property
    def cell(self):
        return self.kernel.cell

    @cached_property
    def size(self):
        used = {symbol.name for shape in self.cell.shapes.values() for part in shape for symbol in part.atoms(Symbol)}
        return {name: {**SIZES, **dict(self.sizes)}[name] for name in sorted(used)}

    def draw(self, table, lead=(), seed=0, scale=1.0):
        rng = np.random.default_rng(seed)
        shapes = {n: (*lead, *(size(part, self.size) for part in self.cell.shapes[Symbol(n)])) for n in table}
        return {name: np.asarray(scale * rng.standard_normal(shape), self.dtype) for name, shape in shapes.items()}

    @cached_property
    def params(self):
        return self.draw(self.cell.params, seed=1, scale=0.6)

    @cached_property
    def inputs(self):
        return self.draw(self.cell.inputs, (self.steps, self.batch), seed=2)

    @cached_property
    def state(self):
        return self.draw(self.cell.states, (self.batch,), seed=3, scale=0.5)

    @cached_property
    def cotangents(self):
        return self.draw(self.cell.states, (self.steps, self.batch), seed=4)

    def forward(self, **changed):
        given = {"params": self.params, "inputs": self.inputs, "state": self.state, **changed}
        return self.kernel.forward(**given, steps=self.steps, batch=self.batch)

    @cached_property
    def run(self):
        return self.forward()

    @cached_property
    def grads(self):
        return self.kernel.backward(self.run, self.cotangents)

    @cached_property
    def reference(self):
        return Reference(self.text, self.size)


class Reference:
    """The author's equations on real or complex numbers, one sample and one step at a time."""

    def __init__(self, text, sizes):
        equations: list[ast.stmt] = [line for line in ast.parse(text).body if isinstance(line, ast.Assign)]
        self.code = builtins.compile(ast.Module(equations, []), "cell", "exec")
        self.sizes = sizes

    def values(self, params, inputs, state):
        scope = {**self.sizes, **FUNCTIONS, **params, **inputs, **state}
        with np.errstate(all="ignore"):
            exec(self.code, scope)
        return scope

    def states(self, params, inputs, state, steps):
        """Return state -> (T, B, *shape)."""
        batch = len(next(iter(state.values())))
        found: dict[str, list[list[Any]]] = {name: [[] for _ in range(steps)] for name in state}
        for b in range(batch):
            now = {name: array[b] for name, array in state.items()}
            for t in range(steps):
                scope = self.values(params, {name: array[t, b] for name, array in inputs.items()}, now)
                now = {name: np.broadcast_to(scope[name], state[name].shape[1:]) for name in state}
                for name in state:
                    found[name][t].append(now[name])
        return {name: np.array(rows) for name, rows in found.items()}

    def gradients(self, params, inputs, state, cotangents):
        """Return gradients of params, inputs and initial state of Σ ⟨cotangent, state⟩, by complex step."""
        groups = {"params": params, "inputs": inputs, "state": state}
        steps = len(next(iter(cotangents.values())))
        found: dict[str, dict[str, Any]] = {}
        for group, arrays in groups.items():
            found[group] = {}
            for name, array in arrays.items():
                slopes = np.empty(array.shape)
                for index in np.ndindex(array.shape):
                    bent = array.astype(complex)
                    bent[index] += TINY * 1j
                    states = self.states(**{**groups, group: {**arrays, name: bent}}, steps=steps)
                    slopes[index] = sum(np.sum(cotangents[s] * states[s]).imag for s in states) / TINY
                found[group][name] = slopes
        return SimpleNamespace(**found)


@cache
def kernel_of(name, dtype="float64"):
    return compile(derivation_of(name), dtype)


@cache
def derivation_of(name):
    return derive(bptt.parse(HOME_MADE[name], name) if name in HOME_MADE else bptt.load(name))


case_of = cache(Case)


@pytest.fixture(scope="session")
def make_case():
    """Case(name, steps, batch, sizes, dtype); equal ones are made once."""
    return case_of


@pytest.fixture(params=NAMES)
def case(request):
    return case_of(request.param)


@pytest.fixture(scope="session")
def assert_close():
    def check(found, expected, tolerance, scale=None):
        """Compare {name: array}, relative to the largest entry of each expected array, or to `scale`."""
        assert set(found) == set(expected)
        for name, array in expected.items():
            assert found[name].shape == array.shape, name
            size = np.max(np.abs(array), initial=0) if scale is None else scale
            error = np.max(np.abs(found[name] - array), initial=0)
            assert error <= tolerance * size, f"{name}: off by {error:.3g}, with entries up to {size:.3g}"

    return check

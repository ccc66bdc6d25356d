"""A slow kernel that any test can trust: equations run as the Python they are, Jacobians by complex step."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.where(a.real > 0, a, 0),
    **{name: getattr(np, name) for name in ("exp", "sin", "cos", "sqrt")},
    "softplus": lambda a: np.log(1 + np.exp(a)),
    "abs": lambda a: np.where(a.real < 0, -a, a),
    "max": lambda a, b: np.where(np.real(a) >= np.real(b), a, b),
    "softmax": lambda a: np.exp(a) / np.sum(np.exp(a)),
    "sum": np.sum,
    "outer": np.multiply.outer,
    "concat": lambda *pieces: np.concatenate(pieces),
}


class _PlainKernel:
    """Has the interface of a kernel, and shares no code with it."""

    def __init__(self, cell):
        self.cell = cell
        lines = replace(cell, doc="").text.splitlines()
        self.code = compile("\n".join(line for line in lines if " = " in line), cell.name, "exec")

    def init(self, sizes, seed=0, gain=1.0):
        rng = np.random.default_rng(seed)
        shapes = {name: self.shape(dims, sizes) for name, dims in self.cell.params.items()}
        return {name: gain * rng.standard_normal(s) / np.sqrt(s[-1] if s else 1) for name, s in shapes.items()}

    @staticmethod
    def shape(dims, sizes):
        return tuple(sum(int(p) if p.isdigit() else sizes[p] for p in d.split(" + ")) for d in dims)

    def step(self, params, inputs, vector, shapes):
        """The full state after a step, from the full state before it; both are flat vectors."""
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes.values()])
        parts = np.split(vector, ends[:-1])
        state = {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}
        scope = {**FUNCTIONS, **params, **inputs, **state}
        with np.errstate(over="ignore", invalid="ignore"):
            exec(self.code, scope)
        return np.concatenate([np.ravel(scope[name]) for name in shapes])

    def forward(self, params, inputs, state=None, *, steps=None, batch=None):
        if inputs:
            steps, batch = next(iter(inputs.values())).shape[:2]
        given = [
            (self.cell.params, params, 0),
            (self.cell.inputs, inputs, 2),
            (self.cell.states, state or {}, 1),
        ]
        sizes = {
            dim: size
            for kind, arrays, skip in given
            for name in arrays
            for dim, size in zip(kind[name], np.shape(arrays[name])[skip:], strict=True)
        }
        shapes = {name: self.shape(dims, sizes) for name, dims in self.cell.states.items()}
        path = np.zeros((steps + 1, batch, sum(np.prod(s, dtype=int) for s in shapes.values())))
        if state:
            path[0] = np.concatenate([np.reshape(state[name], (batch, -1)) for name in shapes], axis=1)
        for t, b in np.ndindex(steps, batch):
            path[t + 1, b] = self.step(params, {k: v[t, b] for k, v in inputs.items()}, path[t, b], shapes)
        run = SimpleNamespace(params=params, inputs=inputs, path=path, shapes=shapes)
        run.states = self.split(path[1:], shapes)
        return run

    @staticmethod
    def split(values, shapes):
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes.values()])
        parts = np.split(values, ends[:-1], axis=-1)
        return {n: p.reshape(values.shape[:-1] + shapes[n]) for n, p in zip(shapes, parts, strict=True)}

    def jacobian(self, run, t, b):
        inputs = {name: values[t, b] for name, values in run.inputs.items()}
        steps = run.path[t, b] + 1e-30j * np.eye(run.path.shape[-1])
        columns = [self.step(run.params, inputs, vector, run.shapes).imag / 1e-30 for vector in steps]
        return np.stack(columns, axis=1)

    def part(self, run, first, last):
        inputs = {name: values[first:last] for name, values in run.inputs.items()}
        part = SimpleNamespace(params=run.params, inputs=inputs, path=run.path[first : last + 1], shapes=run.shapes)
        part.states = self.split(part.path[1:], run.shapes)
        return part

    def backward(self, run, cotangents, *, params=True):
        total = np.zeros_like(run.path)
        total[1:] = np.concatenate([v.reshape(*v.shape[:2], -1) for v in cotangents.values()], axis=-1)
        with np.errstate(over="ignore", invalid="ignore"):
            for t in reversed(range(len(total) - 1)):
                for b in range(total.shape[1]):
                    total[t, b] += self.jacobian(run, t, b).T @ total[t + 1, b]
        states, state = self.split(total[1:], run.shapes), self.split(total[0], run.shapes)
        return SimpleNamespace(states=states, state=state)


PlainKernel: Any = _PlainKernel  # it stands in for a Kernel

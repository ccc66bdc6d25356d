"""The same cell in other frameworks, written from its program: what a kernel is measured against.

A framework's own recurrent module counts as a peer where some order of its blocks gives the cell's numbers; which one
is found by trying. The rest run the cell's equations: a loop over steps, that loop with a compiled step, and a scan.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Symbol

from ..derive.cell import previous
from ..derive.derivation import Derivation
from ..derive.errors import Error
from ..derive.functions import Elementwise
from ..derive.linear import transpose
from ..derive.notation import ATOM, POWER, PRODUCT, Piece, Printer
from ..derive.program import quantities
from ..derive.written import operands
from .given import Array
from .instructions import Dot
from .schedule import schedule

Arrays = Mapping[str, Array]
Result = tuple[Array, dict[str, Array]]
Peer = Callable[[], Result]
TORCH = {"sigmoid": "sigmoid", "softplus": "nn.functional.softplus", "silu": "nn.functional.silu", "arctan": "atan"}
JAX = {"sigmoid": "nn.sigmoid", "softplus": "nn.softplus", "silu": "nn.silu", "relu": "nn.relu"}
SHARED = ("tanh", "exp", "log", "sqrt", "sin", "cos", "abs", "relu", "sign")


def installed(name: str) -> bool:
    """Return whether a framework can be imported."""
    return importlib.util.find_spec(name) is not None


def missing(peer: str) -> str:
    """Return what must be installed before a peer of the bench can run; nothing where it can."""
    framework = "jax" if peer == "jax" else "torch"
    if not installed(framework):
        return f"{framework} (pip install {framework})"
    compilers = filter(None, (os.environ.get("CXX"), "g++", "clang++", "c++", "cl"))
    if peer == "compiled" and not any(map(shutil.which, compilers)):
        return "a C++ compiler, such as g++ or clang++"
    return ""


class _BatchPrinter(Printer):
    """Prints a step of a program for a whole batch: vectors are (B, n), numbers (B, 1)."""

    def __init__(self, functions: Mapping[str, str], module: str, derivation: Derivation) -> None:
        self.functions = functions
        self.module = module
        self.shapes = derivation.forward.shapes
        self.fixed = set(derivation.fixed)

    def symbol(self, symbol: Symbol) -> Piece:
        return f"v_{symbol.name}", ATOM

    def function(self, expr: Elementwise) -> Piece:
        name = expr.rule.name
        if name not in self.functions and name not in SHARED:
            raise Error(f"the bench can't write {name} for {self.module}")
        known = self.functions.get(name, name)
        return self.call(f"{self.module}.{known}", *expr.args)

    def product(self, left: Expr, right: Expr) -> Piece:
        plain = isinstance(right, Symbol) and len(self.shapes[right]) == 1
        if not plain or not set(quantities(left)) <= self.fixed:
            raise Error("the bench runs cells whose products are of matrices with vectors")
        turned = self.show(left.args[0], POWER) if isinstance(left, transpose) else f"{self.show(left, ATOM)}.T"
        return f"({self.show(right, ATOM)} @ {turned})", ATOM

    def broadcast(self, number: Expr, *sizes: Expr) -> Piece:
        return self.piece(number)

    def total(self, argument: Expr) -> Piece:
        return f"({self.show(argument)}).sum(-1, keepdims=True)", ATOM

    def power(self, base: Expr, exponent: Expr) -> Piece:
        return f"{self.show(base, ATOM)}**({exponent})", PRODUCT

    def other(self, expr: Expr) -> Piece:
        raise Error(f"the bench can't write {expr} for {self.module}")

    def _refused(self, *args: Expr) -> Piece:
        raise Error("the bench runs cells of vectors and numbers, without slices")

    outer = transpose = concat = part = entry = pad = softmax = _refused  # type: ignore[assignment]  # of any count


def step_source(derivation: Derivation, module: str) -> str:
    """Return the Python of one step, `step(params, inputs, states)`, for a framework called `torch` or `jax`.

    >>> from ..derive import derive, load
    >>> print(step_source(derive(load("rnn")), "torch"))
    def step(v_W_hh, v_W_xh, v_b_h, v_x, v_h_prev):
        v_a_h = (v_h_prev @ v_W_hh.T) + (v_x @ v_W_xh.T) + v_b_h
        v_h = torch.tanh(v_a_h)
        return (v_h,)
    """
    cell = derivation.cell
    printer = _BatchPrinter(TORCH if module == "torch" else JAX, "torch" if module == "torch" else "jnp", derivation)
    names = [*cell.params, *cell.inputs, *(previous(name).name for name in cell.states)]
    lines = [f"def step({', '.join(f'v_{name}' for name in names)}):"]
    for line in (*derivation.prologue.steps, *derivation.forward.steps):
        lines.append(f"    v_{line.target} = {printer.show(line.expr)}".replace("jnp.nn.", "jax.nn."))
    return "\n".join([*lines, f"    return ({' '.join(f'v_{name},' for name in cell.states)})"])


def torch_loop(derivation: Derivation, params: Arrays, inputs: Arrays, weight: Array, compiled: bool = False) -> Peer:
    """Return a forward and backward pass as a loop over steps, in eager mode or with its step compiled."""
    torch = import_module("torch")
    scope: dict[str, Any] = {"torch": torch}
    exec(step_source(derivation, "torch"), scope)
    step = torch.compile(scope["step"]) if compiled else scope["step"]
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in {**params, **inputs}.items()}
    cotangent, cell = torch.tensor(weight), derivation.cell
    zeros = [
        torch.zeros(weight.shape[1], *_width(derivation, name, params), dtype=cotangent.dtype) for name in cell.states
    ]

    def run() -> Result:
        for leaf in leaves.values():
            leaf.grad = None
        states, rows = tuple(zeros), []
        for t in range(len(weight)):
            states = step(*(leaves[n] for n in cell.params), *(leaves[n][t] for n in cell.inputs), *states)
            rows.append(states[0])
        result = torch.stack(rows)
        result.backward(cotangent)
        return result.detach().numpy(), {name: leaf.grad.numpy() for name, leaf in leaves.items()}

    return run


def jax_scan(derivation: Derivation, params: Arrays, inputs: Arrays, weight: Array) -> Peer:
    """Return a forward and backward pass as one compiled scan."""
    jax, jnp = import_module("jax"), import_module("jax.numpy")

    jax.config.update("jax_enable_x64", weight.dtype == np.float64)
    scope: dict[str, Any] = {"jnp": jnp, "jax": jax}
    exec(step_source(derivation, "jax"), scope)
    cell, step = derivation.cell, scope["step"]
    zeros = tuple(jnp.zeros((weight.shape[1], *_width(derivation, n, params)), weight.dtype) for n in cell.states)

    def loss(leaves: Any, cotangent: Any) -> Any:
        def one(states: Any, now: Any) -> Any:
            after = step(*(leaves[name] for name in cell.params), *now, *states)
            return after, after[0]

        _, rows = jax.lax.scan(one, zeros, tuple(leaves[name] for name in cell.inputs))
        return jnp.sum(rows * cotangent), rows

    both = jax.jit(jax.value_and_grad(loss, has_aux=True))
    leaves = {name: jnp.asarray(array) for name, array in {**params, **inputs}.items()}
    cotangent = jnp.asarray(weight)

    def run() -> Result:
        (_, rows), grads = both(leaves, cotangent)
        jax.block_until_ready(grads)
        return np.asarray(rows), {name: np.asarray(array) for name, array in grads.items()}

    return run


def torch_module(derivation: Derivation, params: Arrays, inputs: Arrays, weight: Array) -> Peer | None:
    """Return a forward and backward pass by torch's own recurrent module, or None where none gives these numbers."""
    torch = import_module("torch")
    blocks = _blocks(derivation)
    if blocks is None or len(inputs) != 1:
        return None
    [x] = inputs.values()
    n, tensor = weight.shape[-1], torch.tensor(x[:3])
    for kind, options in _kinds(torch):
        module = kind(x.shape[-1], n, dtype=tensor.dtype, **options)
        many = module.weight_ih_l0.shape[0] // n
        for order in _orders(blocks, many):
            _fill(torch, module, order, params, n)
            with torch.no_grad():
                found = module(tensor)[0].numpy()
            if np.allclose(found, _short(derivation, params, inputs, weight.dtype), rtol=0, atol=1e-4):
                return _run_module(torch, module, x, weight)
    return None


def _short(derivation: Derivation, params: Arrays, inputs: Arrays, dtype: Any) -> Array:
    """Return the first state over the first steps, by our own kernel."""
    from .kernel import compile as compiled

    run = compiled(derivation, np.dtype(dtype).name).forward(params, {n: a[:3] for n, a in inputs.items()})
    return next(iter(run.states.values()))


def _kinds(torch: Any) -> Iterator[tuple[Any, dict[str, str]]]:
    """Give each recurrent module, and once more with its other nonlinearity where it has one."""
    for kind in torch.nn.RNNBase.__subclasses__():
        for options in ({}, {"nonlinearity": "relu"}):
            try:
                kind(1, 1, **options)
            except (TypeError, ValueError):
                continue
            yield kind, options


Block = tuple[str | None, str | None, str | None]


def _blocks(derivation: Derivation) -> list[Block] | None:
    """Return (input matrix, state matrix, bias) of each sum that an input or the first state enters."""
    made = schedule(derivation)
    state = previous(next(iter(derivation.cell.states)))
    found: dict[Symbol, list[str | None]] = {}
    for dot in (*made.before, *made.forward):
        if isinstance(dot, Dot):
            [vector] = dot.vectors if len(dot.vectors) == 1 else [None]
            for target, matrix in zip(dot.targets, dot.matrices, strict=False):
                if vector is None or not isinstance(matrix, Symbol) or matrix.name not in derivation.cell.params:
                    return None
                if vector != state and vector.name not in derivation.cell.inputs:
                    return None
                found.setdefault(target, [None, None, None])[vector == state] = matrix.name
    for step in derivation.forward.steps:
        if step.target in found:
            terms = [t.name for t in operands(sympy.Add, step.expr) if isinstance(t, Symbol)]
            biases = [name for name in terms if name in derivation.cell.params]
            found[step.target][2] = biases[0] if biases else None
    return [(block[0], block[1], block[2]) for block in found.values()]


Order = tuple[tuple[Block | None, ...], tuple[Block | None, ...]]


def _orders(blocks: list[Block], many: int) -> Iterator[Order]:
    """Give ways to put blocks into a module: (those of the input's matrix, those of the state's)."""
    of_input = [block for block in blocks if block[0]]
    of_state = [block for block in blocks if block[1]]
    if len(of_input) != many or len(of_state) != many:
        return
    alone = [block for block in of_state if not block[0]]
    for order in itertools.permutations(of_input):
        free = [place for place, block in enumerate(order) if not block[1]]
        for rest in itertools.permutations(alone):
            at = dict(zip(free, rest, strict=True))
            yield order, tuple(at.get(place, block) for place, block in enumerate(order))


def _fill(torch: Any, module: Any, order: Order, params: Arrays, n: int) -> None:
    """Give a module the cell's weights; a bias goes where its block stands, beside the input's matrix if it has one."""
    zero = np.zeros(n, next(iter(params.values())).dtype)
    of_input, of_state = order
    rows = {
        "weight_ih_l0": [params[block[0]] for block in of_input if block and block[0]],
        "weight_hh_l0": [params[block[1]] for block in of_state if block and block[1]],
        "bias_ih_l0": [params[block[2]] if block and block[2] else zero for block in of_input],
        "bias_hh_l0": [params[b[2]] if b and b[2] and not b[0] else zero for b in of_state],
    }
    with torch.no_grad():
        for name, parts in rows.items():
            getattr(module, name).copy_(torch.tensor(np.concatenate(parts)))


def _run_module(torch: Any, module: Any, x: Array, weight: Array) -> Peer:
    leaf, cotangent = torch.tensor(x, requires_grad=True), torch.tensor(weight)

    def run() -> Result:
        leaf.grad = None
        for parameter in module.parameters():
            parameter.grad = None
        found, _ = module(leaf)
        found.backward(cotangent)
        return found.detach().numpy(), {"x": leaf.grad.numpy()}

    return run


def _width(derivation: Derivation, name: str, params: Arrays) -> tuple[int, ...]:
    """Return the shape of a state for one sample: (n,), or (1,) for a number."""
    shape = derivation.cell.shapes[Symbol(name)]
    if not shape:
        return (1,)
    sizes = {d: s for p, dims in derivation.cell.params.items() for d, s in zip(dims, params[p].shape, strict=True)}
    return tuple(sizes[str(part)] for part in shape)

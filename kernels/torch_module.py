"""A cell as a `torch.nn.Module` whose passes are the generated kernel's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..derive.cell import Cell
from ..derive.errors import Error
from .kernel import Kernel, compile


def to_torch(cell: Cell, sizes: Mapping[str, int], *, dtype: str = "float32", seed: int = 0, threads: int = 1) -> Any:
    """Return a cell as a `torch.nn.Module` that runs the generated kernel, on the processor.

    The module is called with the inputs, name -> (T, B, ...), and the states before the first step if they aren't 0,
    name -> (B, ...); it gives each state after each step, name -> (T, B, ...). Gradients flow to parameters, inputs and
    initial states; second derivatives aren't there. Its parameters have the cell's names.

    Args:
        cell: any.
        sizes: dimension -> size.
        dtype: "float32" or "float64".
        seed: of the parameters' first values, as `Kernel.init` draws them.
        threads: that share a batch.

    Raises:
        Error: where torch isn't installed, and as `compile` and `Kernel.init` do.
    """
    if not find_spec("torch"):
        raise Error("to_torch makes a torch.nn.Module, and torch isn't installed: pip install torch")
    kernel = compile(cell, dtype, threads=threads)
    return _class()(kernel, kernel.init(sizes, seed=seed))


@cache
def _class() -> Any:
    """Return the module's class, made when torch is first asked for, since it inherits from torch's."""
    torch = import_module("torch")

    class Passes(torch.autograd.Function):  # type: ignore[name-defined]  # torch is loaded here
        """The forward pass of a kernel, with its backward pass."""

        @staticmethod
        def forward(ctx: Any, kernel: Kernel, names: tuple[tuple[str, str], ...], *tensors: Any) -> tuple[Any, ...]:
            given: dict[str, dict[str, np.ndarray[Any, Any]]] = {"params": {}, "inputs": {}, "state": {}}
            for (kind, name), tensor in zip(names, tensors, strict=True):
                given[kind][name] = tensor.detach().numpy()
            run = kernel.forward(given["params"], given["inputs"], given["state"])
            ctx.kernel, ctx.names, ctx.run = kernel, names, run
            return tuple(torch.from_numpy(np.array(run.states[name])) for name in kernel.cell.states)

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
            cell = ctx.kernel.cell
            seeds = {name: c.contiguous().numpy() for name, c in zip(cell.states, cotangents, strict=True)}
            found = ctx.kernel.backward(ctx.run, seeds)
            tables = {"params": found.params, "inputs": found.inputs, "state": found.state}
            grads = [np.array(tables[kind][name]) if name in tables[kind] else None for kind, name in ctx.names]
            return (None, None, *(None if grad is None else torch.from_numpy(grad) for grad in grads))

    class Module(torch.nn.Module):  # type: ignore[name-defined]  # torch is loaded here
        """A cell whose parameters torch trains, and whose passes are the kernel's."""

        def __init__(self, kernel: Kernel, params: Mapping[str, np.ndarray[Any, Any]]) -> None:
            super().__init__()
            self.kernel = kernel
            for name, array in params.items():
                self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(array)))

        def forward(self, inputs: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> dict[str, Any]:
            cell = self.kernel.cell
            given = [("params", name, getattr(self, name)) for name in cell.params]
            given += [("inputs", name, tensor) for name, tensor in inputs.items()]
            given += [("state", name, tensor) for name, tensor in (state or {}).items()]
            names = tuple((kind, name) for kind, name, _ in given)
            found = Passes.apply(self.kernel, names, *(tensor for _, _, tensor in given))
            return dict(zip(cell.states, found, strict=True))

        def extra_repr(self) -> str:
            return f"cell={self.kernel.cell.name!r}, dtype={self.kernel.dtype}"

    return Module

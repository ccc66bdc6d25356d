"""A cell or a model as a `torch.nn.Module` whose passes are the generated kernel's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..derive.cell import Cell
from ..derive.errors import Error
from ..derive.model import Model
from .given import Array
from .model_kernel import ModelKernel, ModelRun, compile
from .parts import as_model, parts


def to_torch(
    cell: Cell | Model, sizes: Mapping[str, int], *, dtype: str = "float32", seed: int = 0, threads: int = 1
) -> Any:
    """Return a cell or a model as a `torch.nn.Module` that runs the generated kernel, on the processor.

    The module is called with the inputs, name -> (T, B, ...), with the states before the first step if they aren't 0,
    name -> (B, ...), and with keywords of `Kernel.forward`, such as lengths=. It gives each state after each step, and
    what else no line reads, name -> (T, B, ...); of a model also what one loop reads from another, (B, ...) for what
    has no steps, and "loss": (B,), so that targets are among its inputs. Gradients flow to parameters, inputs and
    initial states; second derivatives aren't there. Its parameters have the cell's names.

    Args:
        cell: any cell or model.
        sizes: dimension -> size.
        dtype: "float32" or "float64", of parameters and inputs.
        seed: of the parameters' first values, as `Kernel.init` draws them.
        threads: that share a batch.

    Raises:
        Error: where torch isn't installed, and as `compile` and `Kernel.init` do.
    """
    if not find_spec("torch"):
        raise Error("to_torch makes a torch.nn.Module, and torch isn't installed: pip install torch")
    torch, module = import_module("torch"), _module(cell, dtype, threads)
    for name, array in module.kernel.init(sizes, seed=seed).items():
        module._parameters[name] = torch.nn.Parameter(
            torch.from_numpy(array)
        )  # whatever torch calls its own attributes
    return module


def _module(cell: Cell | Model, dtype: str, threads: int) -> Any:
    """Return a module that has no parameters yet."""
    return _class()(cell, dtype, threads)


def _given_out(cell: Cell | Model) -> Iterator[tuple[str, bool]]:
    """Give what the module gives, beside the loss, and whether it is computed once, without steps."""
    for part in parts(as_model(cell)):
        own = {line.target for line in part.cell.equations}
        if not part.is_loss:
            yield from ((symbol.name, part.block.axis is None) for symbol in part.gives if symbol in own)


@cache
def _class() -> Any:
    """Return the module's class, made when torch is first asked for, since it inherits from torch's."""
    torch = import_module("torch")
    once_differentiable = import_module("torch.autograd.function").once_differentiable

    class Passes(torch.autograd.Function):  # type: ignore[name-defined]  # torch is loaded here
        """The forward pass of a kernel, with its backward pass."""

        @staticmethod
        def forward(ctx: Any, module: Any, options: Any, names: tuple[tuple[str, str], ...], *tensors: Any) -> Any:
            given: dict[str, dict[str, Array]] = {"params": {}, "inputs": {}, "state": {}}
            for (kind, name), tensor in zip(names, tensors, strict=True):
                given[kind][name] = _array(name, tensor)
            run = module.kernel.forward(given["params"], given["inputs"], given["state"], **options)
            ctx.module, ctx.names, ctx.run = module, names, run
            ctx.save_for_backward(*tensors)  # so that torch sees where one is changed before the backward pass
            ctx.set_materialize_grads(False)
            return tuple(torch.from_numpy(np.array(array)) for array in _values(module, run))

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
            _ = ctx.saved_tensors
            arrays = [None if c is None else c.contiguous().numpy() for c in cotangents]
            found = _gradients(ctx.module, ctx.run, arrays)
            tables = {"params": found.params, "inputs": found.inputs, "state": found.state}
            grads = [np.array(tables[kind][name]) if name in tables[kind] else None for kind, name in ctx.names]
            return (None, None, None, *(None if grad is None else torch.from_numpy(grad) for grad in grads))

    class Module(torch.nn.Module):  # type: ignore[name-defined]  # torch is loaded here
        """A cell or a model whose parameters torch trains, and whose passes are the kernel's."""

        def __init__(self, cell: Cell | Model, dtype: str, threads: int) -> None:
            super().__init__()
            self.made_of = cell, dtype, threads
            self.kernel = compile(cell, dtype, threads)
            self.values = dict(_given_out(cell))

        @torch.compiler.disable
        def forward(
            self, inputs: Mapping[str, Any], state: Mapping[str, Any] | None = None, **options: Any
        ) -> dict[str, Any]:
            given = [("params", name, tensor) for name, tensor in self.named_parameters(recurse=False)]
            given += [("inputs", name, tensor) for name, tensor in inputs.items()]
            given += [("state", name, tensor) for name, tensor in (state or {}).items()]
            names = tuple((kind, name) for kind, name, _ in given)
            found = Passes.apply(self, options, names, *(tensor for _, _, tensor in given))
            return dict(zip([*self.values, "loss"], found, strict=False))

        def __reduce__(self) -> tuple[Any, ...]:
            """Copies and files hold what the kernel is made of, and not its machine code."""
            return _module, self.made_of, {name: part for name, part in vars(self).items() if name != "kernel"}

        def extra_repr(self) -> str:
            return repr(self.kernel)

    return Module


def _values(module: Any, run: Any) -> list[Array]:
    """Return what a run gives, the loss of a model last."""
    if not isinstance(run, ModelRun):
        return [run.values[name] for name in module.values]
    return [*(run.value(name)[0] if once else run.value(name) for name, once in module.values.items()), run.loss]


def _gradients(module: Any, run: Any, cotangents: list[Array | None]) -> Any:
    """Carry gradients of what `_values` has given, None for 0, back through the kernel."""
    seeds = {
        name: array[None] if once else array
        for (name, once), array in zip(module.values.items(), cotangents, strict=False)
        if array is not None
    }
    if not isinstance(module.kernel, ModelKernel):
        return module.kernel.backward(run, seeds)
    return module.kernel.backward(run, 0.0 if cotangents[-1] is None else cotangents[-1], seeds)


def _array(name: str, tensor: Any) -> Array:
    """Return a tensor's own memory as an array.

    Raises:
        Error: for a tensor on another device, or of a type that NumPy hasn't.
    """
    try:
        return np.asarray(tensor.detach().numpy())
    except TypeError:
        raise Error(
            f"{name} is {tensor.dtype} on {tensor.device}, and the kernel runs in float32 or float64 on the processor. "
            "Move it there, or use the module that bptt.export writes, which runs anywhere"
        ) from None

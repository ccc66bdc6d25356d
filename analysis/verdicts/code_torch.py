"""Passes written for PyTorch, as functions of NumPy arrays: an `autograd.Function`, or a module that holds weights."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .code_adapter import Array
from .code_search import bare


def is_function(theirs: Any) -> bool:
    """Return whether something is a class of PyTorch's with a forward and a backward pass of its own."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(theirs, type) and issubclass(theirs, torch.autograd.Function)


def is_module(theirs: Any) -> bool:
    """Return whether something is a module of PyTorch's, or a class of them."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    return isinstance(theirs, torch.nn.Module) or isinstance(theirs, type) and issubclass(theirs, torch.nn.Module)


def function_pair(theirs: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the two passes of an `autograd.Function`, the second through PyTorch's own engine."""
    names = list(inspect.signature(theirs.forward).parameters)[1:]
    kept: dict[str, Any] = {}

    def forward(**given: Any) -> Any:
        kept["given"] = _tensors({name: given[name] for name in names})
        kept["results"] = theirs.apply(*kept["given"].values())
        return _arrays(kept["results"])

    def backward(**told: Any) -> dict[str, Array]:
        return _gradients(kept["results"], kept["given"], list(told.values()))

    return _taking(forward, names), _taking(backward, _told(theirs.backward))


class Held:
    """A module of PyTorch's whose weights are NumPy arrays in `params`."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.params = {name: _array(value) for name, value in module.named_parameters()}

    def run(self, given: dict[str, Any]) -> Any:
        """Return the results of the forward pass, and keep what the backward pass needs."""
        import torch

        whole = _tensors({**self.params, **given})
        tensors = {name: whole[name] for name in self.params}
        inputs = {name: whole[name] for name in given}
        self.kept = {name: value for name, value in whole.items() if not isinstance(value, tuple)}
        self.results = torch.func.functional_call(self.module, tensors, (), inputs)
        return _arrays(self.results)

    def __deepcopy__(self, memo: Any) -> Held:
        return Held(self.module)


def module_pair(kind: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the two passes of a module as methods of `Held`."""
    signature = inspect.signature(kind.forward).parameters.values()
    names = [p.name for p in signature if p.name != "self" and p.kind is p.POSITIONAL_OR_KEYWORD]
    optional = [p.name for p in signature if p.name != "self" and p.default is None]

    def forward(owner: Held, **given: Any) -> Any:
        return owner.run(given)

    def backward(owner: Held, d_out: Any) -> dict[str, Array]:
        return _gradients(owner.results, owner.kept, [d_out])

    return _taking(forward, names, optional, ["self"]), backward


def _taking(
    function: Callable[..., Any], names: list[str], optional: list[str] | None = None, before: list[str] | None = None
) -> Callable[..., Any]:
    """Return a function that says which arguments it takes."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    empty = inspect.Parameter.empty
    parameters = [
        inspect.Parameter(name, kind, default=None if name in (optional or []) else empty)
        for name in [*(before or []), *names]
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
    return function


def _told(backward: Callable[..., Any]) -> list[str]:
    parameters = list(inspect.signature(backward).parameters.values())[1:]
    return [p.name if p.kind is p.POSITIONAL_OR_KEYWORD else f"grad_{p.name}" for p in parameters]


def _tensors(given: dict[str, Any]) -> dict[str, Any]:
    """Return tensors for arrays, all complex where one is: complex steps differentiate the forward pass."""
    given = {
        name: tuple(map(bare, value)) if isinstance(value, tuple) else bare(value) for name, value in given.items()
    }
    wide = any(np.iscomplexobj(value) for value in given.values())
    return {name: _tensor(value, wide) for name, value in given.items()}


def _tensor(value: Any, wide: bool) -> Any:
    import torch

    if isinstance(value, tuple):
        return tuple(_tensor(part, wide) for part in value)
    array = np.array(np.asarray(value))
    if array.dtype.kind not in "fc":
        return torch.from_numpy(array)
    return torch.from_numpy(array.astype(complex) if wide else array).requires_grad_()


def _array(tensor: Any) -> Array:
    return tensor.detach().double().numpy().copy()


def _arrays(results: Any) -> Any:
    if isinstance(results, tuple | list):
        return tuple(_arrays(part) for part in results)
    return results.detach().resolve_conj().numpy().copy() if hasattr(results, "detach") else results


def _gradients(results: Any, given: dict[str, Any], told: list[Any]) -> dict[str, Array]:
    """Return the gradients by what was given, for the loss's gradients by the first results."""
    import torch

    outs = [out for out in _leaves(results) if out.requires_grad]
    shapes = [out for out in outs for seed in told[:1] if tuple(out.shape) == np.shape(seed)]
    chosen = outs[: len(told)] if len(told) > 1 else shapes[:1]
    inputs = {name: value for name, value in given.items() if getattr(value, "requires_grad", False)}
    seeds = [torch.from_numpy(np.array(seed)).to(out.dtype) for seed, out in zip(told, chosen, strict=False)]
    found = torch.autograd.grad(chosen, list(inputs.values()), seeds, allow_unused=True)
    return {name: _array(g) for name, g in zip(inputs, found, strict=True) if g is not None}


def _leaves(results: Any) -> list[Any]:
    if isinstance(results, tuple | list):
        return [leaf for part in results for leaf in _leaves(part)]
    return [results] if hasattr(results, "requires_grad") else []

"""Passes written for PyTorch, as functions of NumPy arrays.

They are an `autograd.Function`, a module that holds weights, or plain functions of tensors.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import numpy as np

from .code_adapter import Array
from .code_search import NOBODY, Names, Seen, Size, bare, conflict
from .code_signatures import names_read

# Products of matrices -> which of the arguments are their sides.
PRODUCTS: dict[str, tuple[int, int | None]] = dict.fromkeys(
    ("matmul", "mm", "bmm", "mv", "dot", "einsum", "outer"), (0, None)
)
PRODUCTS |= dict.fromkeys(("__matmul__", "__rmatmul__", "linear"), (0, 2))
PRODUCTS |= dict.fromkeys(("addmm", "addmm_", "addmv", "baddbmm"), (1, 3))


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


def is_for_tensors(function: Any) -> bool:
    """Return whether a plain function calls PyTorch by a name of its module."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(function, FunctionType):
        return False
    scope = function.__globals__
    read = (scope.get(name) for name in names_read(function.__code__))
    return any(
        str(getattr(value, "__module__", getattr(value, "__name__", ""))).split(".")[0] == "torch" for value in read
    )


class OnTensors:
    """A plain function or method of tensors as one of arrays.

    All that it computes with is double, or complex where an argument is: complex steps go through it. To those who
    read its source, change its code or look for what lies around it, it shows the function itself.
    """

    def __init__(self, function: FunctionType) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.__globals__, self.__code__ = function.__globals__, function.__code__
        self.__closure__ = function.__closure__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        owners = [leaf for leaf in args[:1] if hasattr(leaf, "__dict__") and not isinstance(leaf, np.ndarray)]
        held = [vars(owner) for owner in owners]
        wide = any(np.iscomplexobj(bare(leaf)) for leaf in _leaves((args, kwargs, *held)))
        with _alike(wide):
            for attributes in held:
                attributes.update(_mapped(_plain_tensor, attributes))
            result = self.function(*_mapped(_plain_tensor, args), **_mapped(_plain_tensor, kwargs))
        for attributes in held:
            attributes.update(_mapped(_plain_array, attributes))
        return _mapped(_plain_array, result)


def holding_arrays(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return what makes an object whose tensors are arrays."""

    @functools.wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        with _alike(False):
            owner = make(*args, **kwargs)
        vars(owner).update(_mapped(_plain_array, vars(owner)))
        return owner

    return made


@contextlib.contextmanager
def _alike(wide: bool) -> Iterator[None]:
    """Let every function of PyTorch take and give doubles, or complex numbers, instead of other floats.

    Tensors know from which arguments they come, as `Tagged` arrays do.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    dtype = torch.complex128 if wide else torch.float64

    def alike(leaf: Any) -> Any:
        is_number = isinstance(leaf, torch.Tensor) and (leaf.is_floating_point() or leaf.is_complex())
        return _named(leaf.to(dtype), _tags(leaf)) if is_number else leaf

    class Alike(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", "")
            run = COMPLEX.get(name, func) if wide else func
            alike_args, alike_kwargs = _mapped(alike, args), _mapped(alike, kwargs or {})
            found = _watched(name, alike_args, alike_kwargs, lambda: run(*alike_args, **alike_kwargs))
            return _mapped(alike, found)

    with Alike(), torch.no_grad():
        yield


def _watched(name: str, args: Any, kwargs: Any, run: Callable[[], Any]) -> Any:
    """Return the result of a function of tensors, named by the arguments it comes from; an error names them."""
    import torch

    given = [*_leaves((args, kwargs))]
    tags = frozenset().union(*map(_tags, given))
    if not tags:
        return run()
    tensors = [leaf for leaf in given if isinstance(leaf, torch.Tensor)]
    sides = (
        [leaf for leaf in args[slice(*PRODUCTS[name])] if isinstance(leaf, torch.Tensor)] if name in PRODUCTS else []
    )
    Seen.used |= tags
    Seen.multiplied |= {tag for side in sides if len(_tags(side)) == 1 for tag in _tags(side)}
    try:
        found = run()
    except Exception as error:
        if sides and "mat2" in str(error):
            tensors = sides  # and not what is added to their product
        elif name == "__getitem__":
            tensors = [leaf for leaf in tensors[1:] if leaf.is_floating_point()] or tensors
        whose = frozenset().union(*map(_tags, tensors))
        raise conflict(whose, any(not _tags(leaf) and leaf.numel() > 1 for leaf in tensors), error) from error
    if isinstance(found, int | torch.Size) and not isinstance(found, bool):
        Seen.asked |= tags
        return Size.of(found, tags) if isinstance(found, int) else tuple(Size.of(number, tags) for number in found)
    same = [] if sides else [_tags(leaf) for leaf in tensors if leaf.shape == getattr(found, "shape", None)]
    whose = min(filter(None, same), key=lambda one: (len(one), sorted(one)), default=tags)
    return _mapped(lambda leaf: _named(leaf, whose), found)


def _softmax(x: Any, dim: int = -1, *ignored: Any, **also: Any) -> Any:
    grown = (x - x.real.amax(dim, keepdim=True)).exp()
    return grown / grown.sum(dim, keepdim=True)


def _cross_entropy(x: Any, y: Any, *ignored: Any, reduction: str = "mean", **also: Any) -> Any:
    terms = -_softmax(x, 1).log().gather(1, y[:, None])[:, 0]
    return terms if reduction == "none" else terms.mean() if reduction == "mean" else terms.sum()


# What PyTorch doesn't do with complex numbers, by name.
COMPLEX: dict[str, Callable[..., Any]] = {
    "softmax": _softmax,
    "log_softmax": lambda x, dim=-1, *ignored, **also: _softmax(x, dim).log(),
    "cross_entropy": _cross_entropy,
    "relu": lambda x, *ignored, **also: x * (x.real > 0),
}


def _tags(leaf: Any) -> Names:
    return getattr(leaf, "tags", NOBODY)


def _named(leaf: Any, tags: Names) -> Any:
    """Return a tensor that knows from which arguments it comes; anything else as it is."""
    if tags and hasattr(leaf, "detach"):
        leaf.tags = tags
    return leaf


def _plain_tensor(leaf: Any) -> Any:
    import torch

    return _named(torch.from_numpy(np.array(bare(leaf))), _tags(leaf)) if isinstance(leaf, np.ndarray) else leaf


def _plain_array(leaf: Any) -> Any:
    return leaf.detach().resolve_conj().numpy().copy() if hasattr(leaf, "detach") else leaf


def _mapped(change: Callable[[Any], Any], tree: Any) -> Any:
    """Return a tree of lists, tuples and dictionaries with its leaves changed."""
    if isinstance(tree, dict):
        made = copy.copy(tree)
        made.update({key: _mapped(change, value) for key, value in tree.items()})
        return made
    if type(tree) in (list, tuple):
        return type(tree)(_mapped(change, part) for part in tree)
    return change(tree)


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
    return _plain_array(results)


def _gradients(results: Any, given: dict[str, Any], told: list[Any]) -> dict[str, Array]:
    """Return the gradients by what was given, for the loss's gradients by the first results."""
    import torch

    outs = [out for out in _leaves(results) if getattr(out, "requires_grad", False)]
    shapes = [out for out in outs for seed in told[:1] if tuple(out.shape) == np.shape(seed)]
    chosen = outs[: len(told)] if len(told) > 1 else shapes[:1]
    inputs = {name: value for name, value in given.items() if getattr(value, "requires_grad", False)}
    seeds = [torch.from_numpy(np.array(seed)).to(out.dtype) for seed, out in zip(told, chosen, strict=False)]
    found = torch.autograd.grad(chosen, list(inputs.values()), seeds, allow_unused=True)
    return {name: _array(g) for name, g in zip(inputs, found, strict=True) if g is not None}


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict | list | tuple):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(part)
    else:
        yield tree

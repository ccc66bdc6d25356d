"""A forward pass whose loss another function computes, as one function that returns the loss as well.

People write `ys = model.forward(xs)`, `model.loss(targets)` and `model.backward(targets)`: the backward pass is told no
gradient then, but what the loss compares with. The function that is written here calls both, in their module.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from .code_names import role
from .code_signatures import parameters, returned_names

LOSS = re.compile("loss|cost|objective|criterion|error|entropy|mse", re.IGNORECASE)


def with_loss(
    forward: Callable[..., Any], backward: Callable[..., Any], others: Mapping[str, Any], method: bool
) -> Callable[..., Any] | None:
    """Return a forward pass that ends in the loss, None where it isn't needed or there isn't one loss alone.

    Args:
        forward, backward: the two passes; the second is told no gradient.
        others: name -> what else stands in the class or the file.
        method: whether the functions are methods.

    >>> def forward(x, W): return x @ W
    >>> def loss(y, target): return ((y - target) ** 2).sum()
    >>> def backward(x, W, target): return 2 * x.T @ (x @ W - target)
    >>> print(inspect.getsource(with_loss(forward, backward, {"loss": loss}, False)))
    def forward_with_loss(x, W, target):
        result = forward(x, W)
        return result, loss(result, target)
    <BLANKLINE>
    """
    given = parameters(forward, method)
    results = _results(forward)
    told = [name for name in parameters(backward, method) if name not in given and name not in results]
    if any(role(name) == "target" for name in given) or any(role(name) != "target" for name in told):
        return None
    losses = [f for name, f in others.items() if LOSS.search(name) and inspect.isfunction(f) and f is not backward]
    losses = [f for f in losses if any(role(name) == "target" for name in parameters(f, method))]
    if len(losses) != 1:
        return None
    wanted = parameters(losses[0], method)
    free = [name for name in wanted if name not in given and name not in results]
    targets = [name for name in free if role(name) == "target"]
    own = [name for name in free if name not in targets] or targets[:-1]  # loss(y, target)
    if len(own) > 1:
        return None
    listed = _takes_lists(losses[0], forward.__name__)
    passed = [results[0] if name in own else f"[{name}]" if listed else name for name in wanted]
    return _written(forward, losses[0], results, passed, method)


def _takes_lists(loss: Callable[..., Any], forward: str) -> bool:
    """Return whether a loss runs the forward pass itself, on each of several sequences: forward(x[i])."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(loss)))
    except (OSError, TypeError, SyntaxError):
        return False
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    return any(
        isinstance(call.args[0], ast.Subscript) and ast.unparse(call.func).rpartition(".")[2] == forward
        for call in calls
    )


def _results(forward: Callable[..., Any]) -> list[str]:
    """Return names for what a forward pass returns, its own where its last `return` has them."""
    named = returned_names(forward, alone=True)
    whole = returned_names(forward)
    places = [path[0] for path in whole if path]
    if () in whole or not all(isinstance(place, int) for place in places) or not places:
        return [named.get((), "result")]
    count = 1 + max(map(int, places))
    return [named.get((place,), f"result{place}") for place in range(count)]


def _written(
    forward: Callable[..., Any], loss: Callable[..., Any], results: list[str], passed: list[str], method: bool
) -> Callable[..., Any]:
    """Return a function that calls both, with a source that can be looked up."""
    name, of = f"{forward.__name__}_with_loss", "self." if method else ""
    given = parameters(forward, method)
    more = [name.strip("[]") for name in passed if name not in results]
    taken = ", ".join(["self"] * method + list(dict.fromkeys([*given, *more])))
    text = (
        f"def {name}({taken}):\n"
        f"    {', '.join(results)} = {of}{forward.__name__}({', '.join(given)})\n"
        f"    return {', '.join(results)}, {of}{loss.__name__}({', '.join(passed)})\n"
    )
    file = f"<{name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    scope: dict[str, Any] = {}
    exec(compile(ast.parse(text), file, "exec"), forward.__globals__, scope)  # names of theirs alone
    return scope[name]

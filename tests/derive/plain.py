"""A model's text run by Python itself on NumPy arrays, with cells written by hand: what the derivation is held against.

Nothing here comes from the package: loops are Python's loops, `h[t]` is what `h` was at step t, functions are NumPy's.
"""

import ast
from typing import Any

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(u):
    return np.exp(u) / np.sum(np.exp(u))


def cross_entropy(u, y):
    picked = u[y] if np.ndim(y) == 0 else np.sum(u * y)
    return np.log(np.sum(np.exp(u))) - picked


FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "cross_entropy": cross_entropy,
    "squared_error": lambda u, y: np.sum((u - y) ** 2) / 2,
    "logistic_loss": lambda u, y: np.sum(np.log(1 + np.exp(u)) - y * u),
    "concat": lambda *vectors: np.concatenate(vectors),
    "outer": np.outer,
    "ones": lambda *shape: np.ones(shape),
    "sum": np.sum,
    "max": lambda u, v: np.where(np.real(u) > np.real(v), u, v),
    "stack": np.stack,
}


def rnn(times, bias, x, h):
    return (np.tanh(times("W_hh", h) + times("W_xh", x) + bias("b_h")),)


def lstm(times, bias, x, h, c):
    i, f, o = (sigmoid(times(f"W_x{g}", x) + times(f"W_h{g}", h) + bias(f"b_{g}")) for g in "ifo")
    g = np.tanh(times("W_xg", x) + times("W_hg", h) + bias("b_g"))
    c = f * (0 if c is None else c) + i * g
    return o * np.tanh(c), c


def gru(times, bias, x, h):
    z, r = (sigmoid(times(f"W_x{g}", x) + times(f"W_h{g}", h) + bias(f"b_{g}")) for g in "zr")
    candidate = np.tanh(times("W_xh", x) + times("W_hh", None if h is None else r * h) + bias("b_h"))
    return (((1 - z) * h if h is not None else 0) + z * candidate,)


CELLS: dict[str, Any] = {"rnn": rnn, "lstm": lstm, "gru": gru}


class Steps(ast.NodeTransformer):
    """`h[t]` -> `h_at[t]`, `stack(h)` -> `stack(h_at)`: the values of all steps, beside the last one."""

    def visit_Subscript(self, node):
        self.generic_visit(node)
        if isinstance(node.slice, ast.Name) and node.slice.id in ("t", "s"):
            node.value.id += "_at"
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        if node.func.id == "stack":
            node.args[0].id += "_at"
        return node


def evaluate(text, given, sizes):
    """Run a model's text and return all its names, `loss` among them.

    Args:
        text: of a model.
        given: name -> array of each parameter, input and index.
        sizes: dimension -> number.
    """
    names: dict[str, Any] = {
        **FUNCTIONS,
        **sizes,
        **given,
        **{f"{name}_at": array for name, array in given.items()},
        "loss": 0,
    }
    layers = {name: (cell, "") for name, cell in CELLS.items()}

    def take_step(statement: Any, starting: bool):
        value: Any = statement.value
        called = value.func.id if type(value).__name__ == "Call" else ""
        if called not in layers:
            exec(compile(ast.Module([statement], []), "model", "exec"), names)
            return
        cell, label = layers[called]
        first: Any = statement.targets[0]
        targets = getattr(first, "elts", [first])
        arguments = [eval(compile(ast.Expression(a), "model", "eval"), names) for a in statement.value.args]
        arguments = [None if isinstance(argument, int) else argument for argument in arguments]
        states = [names.get(target.id) if starting else None for target in targets]

        def times(name, vector):
            return 0 if vector is None else given[name + label] @ vector

        found = cell(times, lambda name: given[name + label], *arguments, *states)
        names.update({target.id: value for target, value in zip(targets, found, strict=True)})

    statement: Any
    for statement in Steps().visit(ast.parse(text)).body:
        form = type(statement).__name__  # its type, for a reader; no narrower one for a type checker
        if form == "AnnAssign":
            kind, name = ast.unparse(statement.annotation).split("[")[0], statement.target.id
            if kind in CELLS:
                layers[name] = (CELLS[kind], f"__{name}")
            elif kind == "state":
                shape = statement.annotation.slice
                expr = statement.value or ast.parse(f"ones({ast.unparse(shape)}) * 0", mode="eval").body
                names[name] = eval(compile(ast.Expression(ast.fix_missing_locations(expr)), "model", "eval"), names)
        elif form == "For":
            steps = list(eval(compile(ast.Expression(statement.iter), "model", "eval"), names))
            made = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            names.update({f"{name}_at": [None] * len(steps) for name in made})
            for step in steps:
                names[statement.target.id] = step
                for inner in statement.body:
                    take_step(inner, starting=True)
                for name in made:
                    names[f"{name}_at"][step] = names[name]
        elif form != "Expr":
            take_step(statement, starting=False)
    return names

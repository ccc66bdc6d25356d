"""How fast gradient flow is measured beside PyTorch: Lyapunov spectra and lag curves, on one thread each.

    python benchmarks/gradient_flow.py [--rounds N] [--steps T] [--only NAME]

The same numbers first, then times: every round runs all competitors one after the other in one process, and what
counts is the median of the rounds' ratios of processor time. PyTorch's side is written as well as we can: gates in one
product, the input's product for all steps at once, tangents carried without building the Jacobian beside the analytic
Jacobian, seeds as a batch, no gradients of parameters.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

import bptt
from bptt.analysis.running import directions, log_norm
from bptt.kernels import Kernel

torch: Any = import_module("torch") if find_spec("torch") else None
Run = Callable[[], np.ndarray[Any, Any]]
GATES = "ifog"


def lstm(width: int, seeds: int, steps: int) -> tuple[Kernel, list[dict[str, Any]], np.ndarray[Any, Any]]:
    """Return a kernel, parameters of each seed, and their inputs, (T, seeds, n)."""
    kernel = bptt.compile(bptt.load("lstm"))
    params = [kernel.init({"m": width, "n": width}, seed=seed) for seed in range(seeds)]
    return kernel, params, np.random.default_rng(0).standard_normal((steps, seeds, width))


def our_spectrum(kernel: Kernel, params: list[dict[str, Any]], x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the log stretching of all directions at each step, (T, seeds, N)."""
    start = np.eye(2 * x.shape[2])[None]
    logs = []
    for seed, given in enumerate(params):
        run = kernel.forward(given, {"x": x[:, seed : seed + 1]})
        logs.append(np.log(kernel.stretch(run, start)[0]))
    return np.concatenate(logs, axis=1)


class TorchLSTM:
    """A batch of seeds, each with parameters of its own."""

    def __init__(self, params: list[dict[str, Any]], x: np.ndarray[Any, Any]) -> None:
        def stacked(start: str) -> Any:
            return torch.from_numpy(np.stack([np.concatenate([p[f"{start}{g}"] for g in GATES]) for p in params]))

        self.W, V, b = stacked("W_h"), stacked("W_x"), stacked("b_")
        self.pre = torch.einsum("tsm,sam->tsa", torch.from_numpy(x), V) + b

    def step(self, pre: Any, h: Any, c: Any) -> tuple[Any, ...]:
        n = h.shape[1]
        a = pre[:, :, None] + self.W @ h
        i, f, o = torch.sigmoid(a[:, : 3 * n]).chunk(3, 1)
        g = torch.tanh(a[:, 3 * n :])
        new = f * c + i * g
        squashed = torch.tanh(new)
        return o * squashed, new, i, f, o, g, squashed

    def spectrum(self, product: Callable[..., Any]) -> np.ndarray[Any, Any]:
        steps, seeds, n = self.pre.shape[0], self.pre.shape[1], self.pre.shape[2] // 4
        h = torch.zeros(seeds, n, 1, dtype=self.pre.dtype)
        c, q = torch.zeros_like(h), torch.eye(2 * n, dtype=self.pre.dtype).repeat(seeds, 1, 1)
        logs = torch.empty(steps, seeds, 2 * n, dtype=self.pre.dtype)
        for t in range(steps):
            z, h, c = product(self, self.pre[t], h, c, q)
            q, r = torch.linalg.qr(z)
            logs[t] = r.diagonal(dim1=1, dim2=2).abs().log()
        return logs.numpy()


def by_tangents(cell: TorchLSTM, pre: Any, h: Any, c: Any, q: Any) -> tuple[Any, Any, Any]:
    """Return J Q without J."""
    n = h.shape[1]
    new_h, new_c, i, f, o, g, squashed = cell.step(pre, h, c)
    slopes = torch.cat([g * i * (1 - i), c * f * (1 - f), squashed * o * (1 - o), i * (1 - g * g)], 1)
    moved = (slopes * (cell.W @ q[:, :n])).view(len(h), 4, n, -1)
    of_c = moved[:, 0] + moved[:, 1] + moved[:, 3] + f * q[:, n:]
    return torch.cat([o * (1 - squashed * squashed) * of_c + moved[:, 2], of_c], 1), new_h, new_c


def by_matrix(cell: TorchLSTM, pre: Any, h: Any, c: Any, q: Any) -> tuple[Any, Any, Any]:
    """Return J Q with J from its formula."""
    n = h.shape[1]
    new_h, new_c, i, f, o, g, squashed = cell.step(pre, h, c)
    slopes = torch.cat([g * i * (1 - i), c * f * (1 - f), squashed * o * (1 - o), i * (1 - g * g)], 1)
    parts = (slopes * cell.W).view(len(h), 4, n, n)
    of_c, slope = parts[:, 0] + parts[:, 1] + parts[:, 3], o * (1 - squashed * squashed)
    jacobian = torch.empty(len(h), 2 * n, 2 * n, dtype=q.dtype)
    jacobian[:, n:, :n] = of_c
    jacobian[:, :n, :n] = slope * of_c + parts[:, 2]
    jacobian[:, n:, n:] = torch.diag_embed(f[..., 0])
    jacobian[:, :n, n:] = torch.diag_embed((slope * f)[..., 0])
    return jacobian @ q, new_h, new_c


def by_jacfwd(cell: TorchLSTM, pre: Any, h: Any, c: Any, q: Any) -> tuple[Any, Any, Any]:
    """Return J Q with J from torch.func.jacfwd."""
    n = h.shape[1]

    def step(state: Any) -> Any:
        new_h, new_c, *_ = cell.step(pre, state[:, :n], state[:, n:])
        return torch.cat([new_h, new_c], 1)

    state = torch.cat([h, c], 1)
    jacobian = torch.func.jacfwd(step)(state)[0, :, 0, 0, :, 0]
    after = step(state)
    return jacobian @ q, after[:, :n], after[:, n:]


def spectra(width: int, seeds: int, steps: int) -> tuple[Run, dict[str, tuple[Run, float | None]]]:
    """Return ours and the others, each with the ratio that it has to reach."""
    kernel, params, x = lstm(width, seeds, steps)
    whole = TorchLSTM(params, x)
    if seeds == 1:
        others: dict[str, tuple[Run, float | None]] = {
            "torch, tangents": (lambda: whole.spectrum(by_tangents), 2.2),
            "torch, Jacobians": (lambda: whole.spectrum(by_matrix), 2.2),
            "torch.func.jacfwd": (lambda: whole.spectrum(by_jacfwd), 4.0),
        }
    else:
        single = [TorchLSTM(params[s : s + 1], x[:, s : s + 1]) for s in range(seeds)]
        others = {
            "torch, Jacobians": (lambda: np.concatenate([one.spectrum(by_matrix) for one in single], 1), 10.0),
            "torch, tangents": (lambda: np.concatenate([one.spectrum(by_tangents) for one in single], 1), None),
            "torch, seeds as a batch": (lambda: whole.spectrum(by_tangents), None),
        }
    return lambda: our_spectrum(kernel, params, x), others


def joined(p: dict[str, Any], start: str, gates: str) -> Any:
    """Return the matrices, or biases, of several gates below each other, for all seeds where they have one first."""
    return torch.cat([p[start + gate] for gate in gates], -2 if start.startswith("W") else -1)


def times(x: Any, W: Any) -> Any:
    """Return W x for each vector of x, (..., S, n); W is (a, n), or (S, a, n) with a matrix for each seed."""
    return x @ W.T if W.ndim == 2 else (W @ x[..., None])[..., 0]


def torch_rnn(p: dict[str, Any], x: Any) -> Callable[..., Any]:
    pre = times(x, p["W_xh"]) + p["b_h"]
    return lambda t, h: (torch.tanh(pre[t] + times(h, p["W_hh"])),)


def torch_gru(p: dict[str, Any], x: Any) -> Callable[..., Any]:
    pre = times(x, joined(p, "W_x", "zrh")) + joined(p, "b_", "zrh")
    W, n = joined(p, "W_h", "zr"), x.shape[-1]

    def step(t: int, h: Any) -> tuple[Any]:
        z, r = torch.sigmoid(pre[t, :, : 2 * n] + times(h, W)).chunk(2, 1)
        return (torch.lerp(h, torch.tanh(pre[t, :, 2 * n :] + times(r * h, p["W_hh"])), z),)

    return step


def torch_lstm(p: dict[str, Any], x: Any) -> Callable[..., Any]:
    pre = times(x, joined(p, "W_x", GATES)) + joined(p, "b_", GATES)
    W, n = joined(p, "W_h", GATES), x.shape[-1]

    def step(t: int, h: Any, c: Any) -> tuple[Any, Any]:
        a = pre[t] + times(h, W)
        i, f, o = torch.sigmoid(a[:, : 3 * n]).chunk(3, 1)
        c = f * c + i * torch.tanh(a[:, 3 * n :])
        return o * torch.tanh(c), c

    return step


TORCH_CELLS = {"rnn": (torch_rnn, 1), "lstm": (torch_lstm, 2), "gru": (torch_gru, 1)}


def torch_curve(
    cell: str, p: dict[str, Any], given: np.ndarray[Any, Any], start: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return ln of the norm of dL_T/ds_{T-k}, (B, T + 1), by autograd: a view of each state keeps its gradient."""
    make, count = TORCH_CELLS[cell]
    x, direction = torch.from_numpy(given), torch.from_numpy(start)
    step = make(p, x)
    states = tuple(torch.zeros(*x.shape[1:], dtype=x.dtype, requires_grad=True) for _ in range(count))
    path = list(states)
    for t in range(len(x)):
        states = tuple(state.view_as(state) for state in step(t, *states))
        path += states
    loss = sum((part * state).sum() for part, state in zip(direction.chunk(count, 1), states, strict=True))
    gradients = torch.stack(torch.autograd.grad(loss, path))
    whole = gradients.view(len(x) + 1, count, *x.shape[1:]).transpose(1, 2).flatten(2)
    return log_norm(whole.numpy())[::-1].T


def curves(width: int, seeds: int, steps: int, shared: bool) -> tuple[Run, dict[str, tuple[Run, float | None]]]:
    """Return lag curves of three cells: of a batch that shares parameters, or of seeds with their own."""
    x = np.random.default_rng(0).standard_normal((steps, seeds, width))
    kernels = {name: bptt.compile(bptt.load(name)) for name in TORCH_CELLS}
    places = [slice(0, seeds)] if shared else [slice(seed, seed + 1) for seed in range(seeds)]
    tasks = []
    for name, kernel in kernels.items():
        for seed, place in enumerate(places):
            own = np.ascontiguousarray(x[:, place])
            tasks.append((name, kernel.init({"m": width, "n": width}, seed=seed), own))

    def ours() -> np.ndarray[Any, Any]:
        return np.concatenate([bptt.flow(kernels[name], p, {"x": own}).log_norm.values for name, p, own in tasks])

    def one_by_one() -> np.ndarray[Any, Any]:
        found = []
        for name, p, own in tasks:
            start = start_of(name, own.shape[1], width)
            found.append(torch_curve(name, {key: torch.from_numpy(array) for key, array in p.items()}, own, start))
        return np.concatenate(found)

    def together() -> np.ndarray[Any, Any]:
        found = []
        for cell in kernels:
            given = [p for name, p, _ in tasks if name == cell]
            stacked = {key: torch.from_numpy(np.stack([p[key] for p in given])) for key in given[0]}
            found.append(torch_curve(cell, stacked, x, np.repeat(start_of(cell, 1, width), seeds, axis=0)))
        return np.concatenate(found)

    if shared:
        return ours, {"torch autograd": (one_by_one, None)}
    return ours, {"torch autograd, seed by seed": (one_by_one, 5.0), "torch autograd, as a batch": (together, 5.0)}


def start_of(name: str, seeds: int, width: int) -> np.ndarray[Any, Any]:
    """Return the directions at the last step that ours draws, (seeds, N)."""
    states = {state: np.zeros((1, seeds, width)) for state in bptt.load(name).states}
    return np.concatenate(list(directions(states, 1, 0).values()), axis=2)[0]


CONTESTS: dict[str, Callable[[int], tuple[Run, dict[str, tuple[Run, float | None]]]]] = {
    "spectrum of 256 exponents, n = 128": lambda steps: spectra(128, 1, steps),
    "spectra of 32 seeds, n = 16": lambda steps: spectra(16, 32, max(2, steps // 5)),
    "spectra of 32 seeds, n = 32": lambda steps: spectra(32, 32, max(2, steps // 5)),
    "lag curves, 3 cells, n = 128, a batch of 32": lambda steps: curves(128, 32, steps, shared=True),
    "lag curves, 3 cells, n = 128, 32 seeds": lambda steps: curves(128, 32, steps, shared=False),
}


def agree(ours: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> float:
    """Return by how much the first half of the values differ: behind it, rounding grows from step to step."""
    lead = ours.shape[-1] // 2
    both = np.isfinite(others[..., :lead])  # plain autograd underflows
    return float(abs(ours[..., :lead] - others[..., :lead])[both].max())


def timed(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000, help="of the large contests; a fifth of it in small ones")
    parser.add_argument("--only", default="", help="a part of a contest's name")
    given = parser.parse_args()
    if torch is None:
        sys.exit("this benchmark compares with PyTorch: pip install torch")
    torch.set_num_threads(1)
    missed = 0
    for name, contest in CONTESTS.items():
        if given.only not in name:
            continue
        ours, others = contest(given.steps)
        print(name)
        expected = ours()
        for other, (run, _) in others.items():
            difference = agree(expected, run())
            assert difference < 1e-6, f"{other} gives other numbers: off by {difference:.2g}"
        rounds = [(timed(ours), *(timed(run) for run, _ in others.values())) for _ in range(given.rounds)]
        for place, (other, (_, least)) in enumerate(others.items(), 1):
            ratio = statistics.median(row[place] / row[0] for row in rounds)
            seconds = statistics.median(row[0] for row in rounds), statistics.median(row[place] for row in rounds)
            wanted = f"at least {least}" if least else "for comparison"
            missed += least is not None and ratio < least
            print(f"  {other:28} {ratio:6.2f} times ours   {seconds[1]:7.3f} s against {seconds[0]:7.3f} s   {wanted}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""How long a derivation takes: from a cell's text to all that its document states, without the proof.

    python benchmarks/derivation.py

Each figure is the median of runs in processes of their own, so that nothing was computed before; imports don't count.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from math import log

from bptt.derive import derive, parse
from bptt.derive.bounds import bounds
from bptt.derive.cell import ZOO
from bptt.reports.long_products import shown_parameter

RUNS = 5
LAYERS = 3
CHAINS = (5, 10, 20, 40, 80)
LAYER = """
i_{k} = sigmoid(W_xi{k} @ {below} + W_hi{k} @ h_{k} + b_i{k})
f_{k} = sigmoid(W_xf{k} @ {below} + W_hf{k} @ h_{k} + b_f{k})
o_{k} = sigmoid(W_xo{k} @ {below} + W_ho{k} @ h_{k} + b_o{k})
g_{k} = tanh(W_xg{k} @ {below} + W_hg{k} @ h_{k} + b_g{k})
c_{k} = f_{k} * c_{k} + i_{k} * g_{k}
h_{k} = o_{k} * tanh(c_{k})
"""


def stacked(layers: int) -> str:
    """Return LSTMs on top of one another as one cell.

    >>> print(stacked(1).splitlines()[-2])
    c_1 = f_1 * c_1 + i_1 * g_1
    """
    states = "".join(f"h_{k}: state[n]\nc_{k}: state[n]\n" for k in range(1, layers + 1))
    cells = (LAYER.format(k=k, below=f"h_{k - 1}" if k > 1 else "x") for k in range(1, layers + 1))
    return f"x: input[m]\n{states}{''.join(cells)}".rstrip()


def chain(equations: int) -> str:
    """Return a cell whose state goes through so many equations, one after the other.

    >>> print(chain(2))
    x: input[n]
    h: state[n]
    v_1 = tanh(W_1 @ h + x + b_1)
    h = tanh(W_2 @ v_1 + x + b_2)
    """
    values = ["h", *(f"v_{k}" for k in range(1, equations)), "h"]
    lines = (f"{values[k]} = tanh(W_{k} @ {values[k - 1]} + x + b_{k})" for k in range(1, equations + 1))
    return "\n".join(["x: input[n]", "h: state[n]", *lines])


def seconds(text: str) -> float:
    """Return how long a cell's text takes to become all that a document needs.

    >>> seconds(chain(2)) > 0
    True
    """
    start = time.perf_counter()
    derivation = derive(parse(text, "measured"))
    assert derivation.recursion and derivation.gradients and derivation.tangents
    for value, state in product(derivation.cell.states, repeat=2):
        derivation.jacobian(value, state)
    bounds(derivation)
    if param := shown_parameter(derivation):
        derivation.unrolled(param)
        derivation.truncated(param, 1, 20)
    return time.perf_counter() - start


def median_seconds(text: str) -> float:
    """Return the median over `RUNS` processes, each of which derives one cell and no other."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        return statistics.median(pool.map(seconds, [text] * RUNS))


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Return b of the power law time = a size**b that fits best in logarithms.

    >>> round(exponent([1, 10, 100], [2, 20, 200]), 6)
    1.0
    """
    return statistics.linear_regression([log(size) for size in sizes], [log(time) for time in times]).slope


def main() -> None:
    """Print each figure beside its target, and how time grows with the number of equations."""
    targets = {
        "LSTM": ((ZOO / "lstm.cell").read_text("utf-8"), 0.3),
        "GRU": ((ZOO / "gru.cell").read_text("utf-8"), 2.0),
        f"LSTM, {LAYERS} layers": (stacked(LAYERS), 2.0),
    }
    print(f"From a cell's text to all that its document states, without the proof: median of {RUNS} processes\n")
    for name, (text, target) in targets.items():
        time = median_seconds(text)
        print(f"{name:16} {time:6.3f} s   target {target:g} s   {'met' if time < target else 'missed'}", flush=True)
    print(f"\n{'equations':16} {'time':>6}     per equation")
    times = []
    for size in CHAINS:
        times.append(median_seconds(chain(size)))
        print(f"{size:<16} {times[-1]:6.3f} s   {1000 * times[-1] / size:.1f} ms", flush=True)
    print(f"\ntime grows with the number of equations to the power {exponent(CHAINS, times):.2f}; target: at most 1")


if __name__ == "__main__":
    main()

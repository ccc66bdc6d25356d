"""Gradients in float32 beside those in float64, for every cell that ships: the largest difference, scaled.

python benchmarks/single.py [CELL...]: of each array, relative to its largest entry. Exit status 1 past 1e-5.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
from sympy import Symbol

import bptt
from bptt.derive.interpret import size

LIMIT = 1e-5
STEPS, BATCH = 20, 4
STEPS_OF_A_MAP = 4  # which has no inputs and may be chaotic: rounding then doubles at each step
START = 0.1  # scale of the state in which a map starts; other cells start at 0
SIZES = {"n": 24, "m": 20, "k": 5, "d": 4, "L": 5, "D": 6}  # of the cells' dimensions


def difference(name: str) -> tuple[float, str]:
    """Return the largest scaled difference of a cell's gradients and states, and of which array it is."""
    single, double = (bptt.compile(bptt.load(name), dtype) for dtype in ("float32", "float64"))
    cell, random = single.cell, np.random.default_rng(3)

    def draw(table: Iterable[str], lead: tuple[int, ...], scale: float) -> dict[str, np.ndarray]:
        shapes = {n: (*lead, *(size(part, SIZES) for part in cell.shapes[Symbol(n)])) for n in table}
        return {n: (scale * random.standard_normal(shape)).astype("float32") for n, shape in shapes.items()}

    steps = STEPS if cell.inputs else STEPS_OF_A_MAP
    used = {symbol.name for shape in cell.shapes.values() for part in shape for symbol in part.atoms(Symbol)}
    params = single.init({dimension: SIZES[dimension] for dimension in sorted(used)}, seed=1)
    inputs, seeds = draw(cell.inputs, (steps, BATCH), 1.0), draw(cell.states, (steps, BATCH), 1.0)
    state = {} if cell.inputs else draw(cell.states, (BATCH,), START)
    found = {}
    for kernel in (single, double):
        p, x, h, s = ({n: a.astype(kernel.dtype) for n, a in given.items()} for given in (params, inputs, state, seeds))
        run = kernel.forward(p, x, h, steps=steps, batch=BATCH)
        grads = kernel.backward(run, s)
        found[kernel.dtype.name] = {**run.states, **grads.params, **grads.inputs}
    differences = {
        n: float(np.abs(found["float32"][n] - exact).max() / max(np.abs(exact).max(), 1e-30))
        for n, exact in found["float64"].items()
    }
    worst = max(differences, key=lambda n: differences[n])
    return differences[worst], worst


def main() -> int:
    worst = 0.0
    for name in sys.argv[1:] or bptt.zoo():
        most, where = difference(name)
        print(f"{name:<20} {most:.1e}  {where}", flush=True)
        worst = max(worst, most)
    print(f"largest {worst:.1e}, of {LIMIT:.0e} allowed")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

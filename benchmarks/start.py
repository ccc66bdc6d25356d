"""How long a cell's forward and backward pass take to start: cold, and from the folder of compiled kernels.

python benchmarks/start.py [CELL] [DTYPE]: in a process with an empty folder, and in two that find it filled.
Exit status 1 where compiling took 15 seconds or more, or a later process half a second or more beyond imports.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

COLD, WARM = 15.0, 0.5  # seconds
CHILD = """
import sys, time
began = time.perf_counter()
import numpy, sympy, numba, scipy.linalg
import bptt, bptt.kernels
from numba.core.registry import cpu_target
cpu_target.target_context.refresh()  # Numba imports most of itself when it is first used
cpu_target.typing_context.refresh()
marks = [("imports", began, time.perf_counter())]

def mark(name):
    marks.append((name, marks[-1][2], time.perf_counter()))

kernel = bptt.compile(bptt.load(sys.argv[1]), sys.argv[2])
mark("derivation")
kernel.source
mark("source")
sizes = {name: 8 for shapes in (kernel.cell.params, kernel.cell.inputs) for dims in shapes.values() for name in dims}
params = kernel.init(sizes)
inputs = {name: numpy.zeros((3, 2, *(8 for _ in dims)), kernel.dtype) for name, dims in kernel.cell.inputs.items()}
kernel.module
mark("machine code that all cells share")
run = kernel.forward(params, inputs, steps=3, batch=2)
mark("forward pass")
kernel.backward(run, {name: numpy.ones_like(array) for name, array in run.states.items()})
mark("backward pass")
print(*(f"{end - start:.4f} {name}" for name, start, end in marks), sep=chr(10))
"""


def started(cell: str, dtype: str, folder: str) -> dict[str, float]:
    """Return the seconds of each stage in a new process."""
    command = [sys.executable, "-c", CHILD, cell, dtype]
    done = subprocess.run(command, env={**os.environ, "BPTT_CACHE": folder}, capture_output=True, text=True, check=True)
    lines = (line.partition(" ") for line in done.stdout.splitlines())
    return {name: float(number) for number, _, name in lines}


def main() -> int:
    cell, dtype = [*sys.argv[1:], *("lstm", "float32")[len(sys.argv) - 1 :]][:2]
    with tempfile.TemporaryDirectory() as folder:
        cold, *warm = (started(cell, dtype, folder) for _ in range(3))
    later = min(warm, key=lambda stages: sum(stages.values()))
    print(f"{cell} {dtype}, forward and backward pass: seconds\n{'':36}{'first':>9}{'later':>9}")
    for name in cold:
        print(f"{name:36}{cold[name]:9.3f}{later[name]:9.3f}")
    beyond = [sum(stages.values()) - stages["imports"] for stages in (cold, later)]
    print(f"{'beyond imports':36}{beyond[0]:9.3f}{beyond[1]:9.3f}\n{'at most':36}{COLD:9.3f}{WARM:9.3f}")
    return int(beyond[0] >= COLD or beyond[1] >= WARM)


if __name__ == "__main__":
    raise SystemExit(main())

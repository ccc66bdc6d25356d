"""Rules of generated code broken one at a time: the comparison with the oracle that other tests trust sees each."""

import os
import subprocess
import sys

# Runs in a process without Numba, where generated modules are plain Python: a mutant needs no compiling.
SCRIPT = r'''
import re
from dataclasses import replace

import numpy as np

import bptt
from bptt.kernels import compile, memory, module, oracle

T, B, SIZES, LENGTHS = 5, 3, {"m": 3, "n": 4}, [4, 2, 5]
CELL = """x: input[m]
h: state[n]
c: state[n]
f = sigmoid(W_xf @ x + W_hf @ h + p * c + b_f)
c = f * c + (1 - f) * tanh(W_xg @ x + W_hg @ h + b_g)
h = tanh(c) * f
"""
BACK = r"range\(stop - 1, start - 1, -1\)"
MUTANTS = [
    ("as it is", "", "", ""),
    ("the state after the step for the one before it", "forward", r"h_prev, t \* B", "h, t * B"),
    ("the last step left out", "forward", r"stop = min\(start \+ span, T\)", "stop = min(start + span, T - 1)"),
    ("the first step left out on the way back", "backward", BACK, "range(stop - 1, start, -1)"),
    ("the way back in the order of the way there", "backward", BACK, "range(start, stop)"),
    ("the last entry left out", "forward", r"left = size_n - j\n", "left = size_n - j - 1\n"),
    ("the last entry left out on the way back", "backward", r"left = size_n - j\n", "left = size_n - j - 1\n"),
    ("a product that begins where it should add", "forward", r"size_n, size_n, 1\.0, 1", "size_n, size_n, 1.0, 0"),
    ("an accumulation lost", "backward", r"= incoming_c_j \+ ", "= "),
    ("a path lost", "backward", r"delta_a_f_j \* p_j \+ ", ""),
    ("a sign turned", "backward", r"\(1\.0 - f_j\)", "(1.0 + f_j)"),
    ("a cotangent ignored", "backward", r"= delta_h_prev_j \+ incoming_loss_h_j", "= delta_h_prev_j"),
    ("a state one step too early in a sum", "sums", r"load\(c_prev, row", "load(c_prev, max(row - B, 0)"),
    ("the last step left out of a product's sum", "sums", r"T \* B, 1\.0, later", "T * B - B, 1.0, later"),
    ("a block of steps that begins where it should add", "sums", r"T \* B, 1\.0, later", "T * B, 1.0, 0"),
    ("the last row left out of a sum", "sums", r"min\(low \+ \d+, T \* B\)", "min(low + 128, T * B - 1)"),
    ("rows summed twice", "sums", r"range\(0, T \* B, \d+\)", "range(0, T * B, 4)"),
    ("what another block left summed past the end", "backward", r"(\w+)\[row, j0\] = 0\.0", r"\1[row, j0] += 0.0"),
    ("steps past the end computed", "forward", r"== 0\.0", "== 2.0"),
    ("gradients changed past the end", "backward", r"== 0\.0", "== 2.0"),
]


def mutated(function, pattern, text):
    """Return `emit` with one function of its source changed."""

    def emit(schedule, dtype):
        emitted = true(schedule, dtype)
        parts = re.split(r"(?m)^(?=def )", emitted.source)
        for number, part in enumerate(parts):
            if part.startswith(f"def {function}("):
                changed = re.sub(pattern, text, part)
                assert changed != part, f"{pattern} is not in {part}"
                parts[number] = changed
        return replace(emitted, source="".join(parts))

    return emit


def answers(kernel):
    random = np.random.default_rng(0)
    params = {name: 0.7 * random.standard_normal(array.shape) for name, array in kernel.init(SIZES).items()}
    x = random.standard_normal((T, B, 3))
    start = {name: random.standard_normal((B, 4)) for name in "hc"}
    seeds = {name: random.standard_normal((T, B, 4)) for name in "hc"}
    run = kernel.forward(params, {"x": x}, start, lengths=LENGTHS)
    grads = kernel.backward(run, seeds)
    alone = []
    for b, length in enumerate(LENGTHS):
        cut = {name: array[:length, b : b + 1].copy() for name, array in seeds.items()}
        for name, array in cut.items():
            array[-1] += seeds[name][length:, b : b + 1].sum(axis=0)  # the state stays as it is
        first = {name: array[b : b + 1] for name, array in start.items()}
        alone.append(oracle.answer(kernel.derivation, params, {"x": x[:length, b : b + 1]}, first, cut, digits=None))
    found = [run.states["h"][:n, b] for b, n in enumerate(LENGTHS)]
    found += [grads.inputs["x"][:n, b] for b, n in enumerate(LENGTHS)]
    right = [one.states["h"][:, 0] for one in alone] + [one.inputs["x"][:, 0] for one in alone]
    found += [run.states["h"][n:, b] for b, n in enumerate(LENGTHS)]
    right += [one.states["h"][-1:, 0] for one in alone]
    found += [grads.state[name] for name in "hc"] + [grads.params[name] for name in params]
    right += [np.concatenate([one.state[name] for one in alone]) for name in "hc"]
    right += [sum(np.asarray(one.params[name], float) for one in alone) for name in params]
    back = kernel.backward(kernel.forward(params, {"x": x}, start, lengths=LENGTHS, reverse=True), seeds)
    alone = []
    for b, length in enumerate(LENGTHS):
        turned = {name: array[:length, b : b + 1][::-1] for name, array in seeds.items()}
        first = {name: array[b : b + 1] for name, array in start.items()}
        turned_x = x[:length, b : b + 1][::-1]
        alone.append(oracle.answer(kernel.derivation, params, {"x": turned_x}, first, turned, digits=None))
    found += [back.params[name] for name in params]
    right += [sum(np.asarray(one.params[name], float) for one in alone) for name in params]
    return max(np.abs(a - np.asarray(b, float)).max(initial=0) for a, b in zip(found, right, strict=True))


memory.SUMMED_AT_ONCE, memory.IN_CACHE = 6, 0  # blocks of two steps
true, derivation = module.emit, bptt.derive(bptt.parse(CELL, "mutant"))
for name, function, pattern, text in MUTANTS:
    module.emit = mutated(function, pattern, text) if function else true
    print(answers(compile(derivation)), name, sep="\t")
'''


def test_every_broken_rule_is_seen(tmp_path):
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "BPTT_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (error, _), *mutants = (line.split("\t") for line in done.stdout.splitlines())
    assert float(error) < 1e-13
    assert len(mutants) >= 12
    for error, name in mutants:
        assert not float(error) < 1e-3, f"nobody saw: {name} ({error})"

"""A step of training the character language model, beside PyTorch's nn.LSTM, Linear and Adam on the same cores.

    python benchmarks/training.py [--threads 1] [--rounds 15]

One step is forward, backward, clipping and Adam on a window of text (n=256, m=64, B=32, T=64, float32), states carried
on. Both start from the same parameters, and must have the same losses over the first steps. Rounds are interleaved; the
ratio is the median over rounds. Exit status 1 where ours takes longer.
"""

from __future__ import annotations

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
from bptt.analysis import text
from bptt.analysis.learning import language
from bptt.analysis.learning.trainer import Plan, Training, advance, begin

torch: Any = import_module("torch") if find_spec("torch") else None
HIDDEN, EMBEDDING, BATCH, WINDOW, RATE, CLIP = 256, 64, 32, 64, 2e-3, 1.0
COMPARED = 5  # steps whose losses must agree
GATES = "ifgo"  # their order in PyTorch


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if torch is None:
        print("PyTorch isn't installed, and there is nothing to compare with: pip install torch", file=sys.stderr)
        return 2
    torch.set_num_threads(options.threads)
    model = bptt.load_model("character_language_model")
    task = language.next_token(model, language.of_characters(text()), window=WINDOW, batch=BATCH)
    kernel = bptt.compile(model, "float32", options.threads)
    training = begin(kernel, task, Plan(rate=RATE, clip=CLIP), {"n": HIDDEN, "m": EMBEDDING})
    theirs = _torch_step(training)
    for _ in range(COMPARED):
        losses = advance(training).loss, theirs(training.done - 1)
        if abs(losses[0] - losses[1]) > 1e-4 * losses[1]:  # float32, after a few steps of Adam
            raise SystemExit(f"losses differ: {losses}")
    ways: dict[str, Callable[[], Any]] = {
        "bptt": lambda: advance(training),
        "torch": lambda: theirs(training.done),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, step in ways.items():
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)
    ratio = statistics.median(b / a for a, b in zip(seconds["bptt"], seconds["torch"], strict=True))
    for name, taken in seconds.items():
        each = statistics.median(taken)
        print(f"{name:6} {1e3 * each:8.1f} ms a step {BATCH * WINDOW / each:12,.0f} characters/s")
    print(f"torch's time over ours: {ratio:.3f} ({options.threads} threads, {options.rounds} rounds)")
    return int(ratio < 1)


def _torch_step(training: Training) -> Callable[[int], float]:
    """Return a function that takes a step of PyTorch's model, from the same parameters, on a batch by number."""
    params = training.params
    vocabulary = training.task.sizes["V"]
    embedding = torch.nn.Embedding(vocabulary, EMBEDDING)
    cell = torch.nn.LSTM(EMBEDDING, HIDDEN)
    readout = torch.nn.Linear(HIDDEN, vocabulary)
    given = {
        embedding.weight: params["E"],
        cell.weight_ih_l0: np.concatenate([params[f"W_x{gate}"] for gate in GATES]),
        cell.weight_hh_l0: np.concatenate([params[f"W_h{gate}"] for gate in GATES]),
        cell.bias_ih_l0: np.concatenate([params[f"b_{gate}"] for gate in GATES]),
        cell.bias_hh_l0: np.zeros(4 * HIDDEN, np.float32),
        readout.weight: params["W_y"],
        readout.bias: params["b_y"],
    }
    with torch.no_grad():
        for tensor, array in given.items():
            tensor.copy_(torch.tensor(array))
    cell.bias_hh_l0.requires_grad_(False)  # one bias, as in the model
    learned = [tensor for tensor in given if tensor.requires_grad]
    adam = torch.optim.Adam(learned, lr=RATE)
    state: list[Any] = [None]

    def step(number: int) -> float:
        batch = training.task.batch(number)
        read, predicted = (torch.from_numpy(np.ascontiguousarray(batch.inputs[name])) for name in ("w", "y"))
        adam.zero_grad()
        h, after = cell(embedding(read), state[0])
        loss = torch.nn.functional.cross_entropy(readout(h).reshape(-1, vocabulary), predicted.reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, CLIP)
        adam.step()
        state[0] = tuple(part.detach() for part in after)
        return float(loss.item())

    return step


if __name__ == "__main__":
    raise SystemExit(main())

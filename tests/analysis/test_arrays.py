"""Training on arrays of one's own: any model, from a NumPy file."""

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import bptt
from bptt.analysis.learning import arrays, checkpoint, course
from bptt.analysis.learning.arrays import Examples
from bptt.analysis.learning.trainer import Plan, advance, begin, held_out_loss
from bptt.analysis.systems.examples import open_sizes
from bptt.cli import main
from bptt.derive.interpret import size
from bptt.derive.sizes import size_from

FILE = """
model = "many_to_many"
task = "arrays"
[sizes]
n = 5
[data]
file = "examples.npz"
batch = 4
[training]
steps = 20
judge_every = 10
"""


def drawn(model, many=12):
    """Arrays of examples for any model: each dimension has the size 3 or more."""
    random = np.random.default_rng(0)
    sizes: dict[str, int] = {}

    def shape(parts):
        for symbol in sorted({s.name for part in parts for s in part.free_symbols}):
            sizes.setdefault(symbol, 3 + len(sizes) % 3)
        return tuple(size(part, sizes) for part in parts)

    found: dict[str, Any] = {name: random.normal(size=(many, *shape(model.whole_shape(name)))) for name in model.inputs}
    for name, (*_, entries) in model.indices.items():
        [many_entries] = shape([size_from(entries)])
        found[name] = random.integers(many_entries, size=(many, *shape(model.whole_shape(name))))
    return found


def one_of(model, given, place):
    """One example, as a kernel takes it: time before samples."""
    dims = {**model.inputs, **{name: dims[:-1] for name, dims in model.indices.items()}}
    one = {name: given[name][[place]] for name in dims}
    return {n: a.swapaxes(0, 1) if dims[n] and dims[n][0] in model.axes else a for n, a in one.items()}


@pytest.mark.parametrize("name", list(bptt.models()))
def test_any_model_learns_from_arrays(name):
    """With a rate of 0, the losses of an epoch's steps are those of its examples, each taken once."""
    model = bptt.load_model(name)
    given = drawn(model)
    task = arrays.task(model, Examples("here", given), 0.25, 3, "float64")
    training = begin(bptt.compile(model), task, Plan(rate=0.0), open_sizes(model, task, 3))
    losses = [advance(training).loss for _ in range(3)]
    alone = [training.kernel.forward(training.params, one_of(model, given, place)) for place in range(12)]
    steps = sum(run.steps for run, block in zip(alone[0].runs, model.blocks, strict=True) if block.losses)
    each = [float(run.loss[0]) / steps for run in alone]
    assert np.mean(losses) == pytest.approx(np.mean(each[:9]), rel=1e-12)
    assert held_out_loss(training) == pytest.approx(np.mean(each[9:]), rel=1e-12)


def test_sequences_of_different_lengths_count_up_to_their_ends():
    model = bptt.load_model("many_to_many")
    given = drawn(model) | {"T": 1 + np.arange(12) % 3}
    task = arrays.task(model, Examples("here", given), 0.25, 9, "float64")
    training = begin(bptt.compile(model), task, Plan(rate=0.0), open_sizes(model, task, 3))
    alone = []
    for place in range(9):
        inputs = {name: array[: given["T"][place]] for name, array in one_of(model, given, place).items()}
        alone.append(training.kernel.forward(training.params, inputs).loss[0])
    assert advance(training).loss == pytest.approx(sum(alone) / given["T"][:9].sum(), rel=1e-12)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(FILE)
    np.savez("examples.npz", **drawn(bptt.load_model("many_to_many")))
    return tmp_path


def call(*arguments, status=0):
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == status, found.output
    return found.output


def test_a_training_on_arrays_goes_on_where_it_stopped(folder):
    call("train", "mine.toml", "-o", "whole")
    (folder / "mine.toml").write_text(FILE.replace("steps = 20", "steps = 10"))
    call("train", "mine.toml")
    (folder / "mine.toml").write_text(FILE)
    call("train", "mine.toml", "--resume")
    whole, parts = (checkpoint.read(folder / name / course.LAST) for name in ("whole", "mine"))
    assert whole.done == parts.done == 20
    assert all((whole.params[name] == parts.params[name]).all() for name in whole.params)
    given = dict(np.load("examples.npz"))
    given["x"][0, 0, 0] += 1
    np.savez("examples.npz", **given)
    assert "of another task or other data" in call("train", "mine.toml", "--resume", status=2)
    for command in ("generate", "inspect"):
        assert "learned 'arrays', and only" in call(command, "whole/last.safetensors", status=2)


def change(name, new):
    return lambda given: given | {name: new(given[name])}


def infinite(array):
    array[2, 1, 0] = np.inf
    return array


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda given: {"x": given["x"]}, "array y is missing; the model reads x, y, here are x"),
        (lambda given: given | {"xx": given["x"]}, "the model has no input 'xx'. Did you mean 'x'"),
        (change("x", lambda x: x[:, :, 0]), "x must have shape (examples, T, m), here (12, 3)"),
        (change("x", lambda x: x[:, :2]), "y has T = 3, but x has 2"),
        (change("x", lambda x: x[:7]), "y has 12 examples, but x has 7"),
        (change("x", lambda x: x.astype(str)), "x must hold numbers, this is <U"),
        (change("x", infinite), "x holds inf at (2, 1, 0); it must be finite"),
        (change("y", lambda y: y * 1.0), "y must hold whole numbers, this is float64"),
        (change("y", lambda y: y - 9), "it picks from k = 1 entries, from 0 on"),
        (lambda given: given | {"T": np.full(12, 4)}, "T must hold the length of each example, from 1 to 3"),
        (lambda given: {n: a[:4] for n, a in given.items()}, "there are 3 examples to learn from"),
        (lambda given: {n: a[:1] for n, a in given.items()}, "there are 0 examples to learn from, too few"),
        (change("x", lambda x: x.astype(object)), "not a whole .npz file of arrays of numbers"),
    ],
)
def test_arrays_that_do_not_suit_a_model(folder, spoil, said):
    np.savez("examples.npz", **spoil(dict(np.load("examples.npz"))))
    found = call("train", "mine.toml", status=2)
    assert found.startswith("bptt: mine.toml: ") and "examples.npz: " in found and said in found
    assert not (folder / "mine").exists()


def test_files_that_hold_no_arrays(folder):
    path = folder / "examples.npz"
    path.write_bytes(path.read_bytes()[:-50])
    assert "examples.npz: not a whole .npz file" in call("train", "mine.toml", status=2)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "examples.npz: a single array without a name" in call("train", "mine.toml", status=2)
    path.unlink()
    assert "examples.npz: can't be read: no such file" in call("train", "mine.toml", status=2)

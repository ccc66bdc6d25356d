import numpy as np
import pytest

from bptt.analysis.inputs import dimensions, draw_inputs, draw_state, plan_feed
from bptt.derive import load, parse, zoo

CELLS = {
    "one": ("x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h)", {}, "x", {"m": 103, "n": 64}),
    "sizes": ("x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h)", {"n": 5}, "x", {"m": 103, "n": 5}),
    "fixed elsewhere": ("x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h)", {"m": 9}, "", {"m": 9, "n": 64}),
    "the first": (
        "x: input[m]\ny: input[k]\nh: state[n]\nh = W @ x + V @ y + h",
        {},
        "x",
        {"k": 64, "m": 103, "n": 64},
    ),
    "not a state's": (
        "u: input[n]\nx: input[m]\nh: state[n]\nh = tanh(W @ x + u * h)",
        {},
        "x",
        {"m": 103, "n": 64},
    ),
    "only a state's": ("u: input[n]\nh: state[n]\nh = tanh(u * h)", {}, "u", {"n": 103}),
    "number that fits": ("u: input\nx: input[103]\nh: state[n]\nh = W @ x + u * h", {}, "x", {"n": 64}),
    "number that doesn't": ("x: input[3]\nh: state[n]\nh = W @ x + h", {}, "", {"n": 64}),
    "scalar": ("u: input\nh: state[n]\nh = u * h", {}, "", {"n": 64}),
    "none": ("h: state[n]\nh = tanh(W @ h)", {}, "", {"n": 64}),
}


@pytest.mark.parametrize("kind", CELLS)
def test_which_input_reads_and_what_sizes_follow(kind):
    cell, sizes, reads, expected = CELLS[kind]
    feed = plan_feed(parse(cell), 103, sizes, hidden=64)
    assert (feed.reads, feed.sizes) == (reads, expected)


@pytest.mark.parametrize("name", zoo())
def test_every_cell_of_the_zoo_reads_characters(name):
    feed = plan_feed(load(name), 103, {}, hidden=64)
    assert bool(feed.reads) == bool(feed.cell.inputs) and set(feed.sizes) == set(dimensions(load(name)))


def test_arrays():
    inputs = "x: input[m]\nu: input\nv: input\nK: input[n, 2]"
    cell = parse(f"{inputs}\nh: state[n]\nh = tanh(W @ x + u * v * h) + K @ ones(2)")
    indices = np.random.default_rng(0).integers(5, size=(400, 50))
    drawn = draw_inputs(plan_feed(cell, 5, {"n": 3}, hidden=64), indices, seed=0)
    assert np.array_equal(drawn["x"].argmax(-1), indices) and drawn["x"].shape == (400, 50, 5)
    assert drawn["u"].shape == (400, 50) and drawn["K"].shape == (400, 50, 3, 2)
    for noise in (drawn["u"], drawn["K"]):
        assert noise.mean() == pytest.approx(0, abs=5 / np.sqrt(noise.size))
        assert noise.std() == pytest.approx(1, abs=5 / np.sqrt(2 * noise.size))
    pair = np.corrcoef(drawn["u"].ravel(), drawn["v"].ravel())
    assert abs(pair[0, 1]) < 5 / np.sqrt(indices.size)


def test_initial_states():
    feed = plan_feed(
        parse("h: state[n]\nA: state[n, 2]\ns: state\nh = tanh(h + s)\nA = A * s\ns = s * s"), 5, {"n": 3}, 64
    )
    assert {name: array.shape for name, array in draw_state(feed, 4, 0).items()} == {
        "h": (4, 3),
        "A": (4, 3, 2),
        "s": (4,),
    }

"""The computational graph: what it holds, and how it is laid out."""

import itertools

import pytest

import bptt
from bptt.reports.derivation import mathematics
from bptt.reports.drawing import drawing
from bptt.reports.graph import MOST, PAGE, Graph, diagram
from bptt.reports.layout import laid_out
from bptt.reports.phrases import Phrases

STACK = """z{k} = sigmoid(W_z{k} @ {below} + U_z{k} @ h_{k} + b_z{k})
g{k} = tanh(W_g{k} @ {below} + U_g{k} @ (z{k} * h_{k}) + b_g{k})
h_{k} = (1 - z{k}) * h_{k} + z{k} * g{k}
"""


def deep(layers):
    text = "x: input[m]\n" + "".join(f"h_{k}: state[n]\n" for k in range(layers))
    text += "".join(STACK.format(k=k, below=f"h_{k - 1}" if k else "x") for k in range(layers))
    return bptt.derive(bptt.parse(text, "deep"))


def drawn(derivation):
    return diagram(derivation, mathematics(derivation), Phrases())


def test_edges_are_what_steps_read(derivation):
    graph = Graph(derivation)
    params = {*derivation.cell.params, *map(str, derivation.prologue.outputs)}
    expected = {(str(r), str(s.target)) for s in derivation.forward.steps for r in s.reads if str(r) not in params}
    shown = set(graph.nodes)
    assert set(graph.edges) == {edge for edge in expected if edge[1] in shown}
    assert not params & shown and set(derivation.cell.states) <= shown


def test_nothing_overlaps(derivation):
    found = drawn(derivation)
    assert found == drawn(derivation) and drawing(found) == drawing(drawn(derivation))
    for one, other in itertools.combinations(found.boxes, 2):
        apart = abs(one.x - other.x) >= (one.width + other.width) / 2
        assert apart or abs(one.y - other.y) >= (one.height + other.height) / 2
    for box in found.boxes:
        assert box.x - box.width / 2 + 1e-3 >= 0 and box.x + box.width / 2 <= found.width + 1e-2
        for wire in found.wires:
            for x, y in wire.points:
                inside = abs(x - box.x) < box.width / 2 - 0.01 and abs(y - box.y) < box.height / 2 - 0.01
                assert not inside
    assert found.width <= PAGE[0] * 1.7 and found.alt.count(" from ") >= len(derivation.cell.states)


@pytest.mark.parametrize("layers", [4, 8])
def test_big_cells_are_folded(layers):
    derivation = deep(layers)
    found = drawn(derivation)
    assert len(found.boxes) <= MOST or layers == 8
    assert "are not drawn" in "".join(map(str, found.caption))
    assert sum(box.kind == "state" for box in found.boxes) == 2 * layers


def test_layers_follow_the_longest_path():
    sizes = dict.fromkeys("abcd", (2.0, 1.0))
    found = laid_out(sizes, [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")])
    assert [node for node, _ in sorted(found.centres.items(), key=lambda item: item[1][0])] == list("abcd")
    assert len(found.wires["a", "c"]) == 4
    across = laid_out(sizes, [("a", "b"), ("b", "c")], down=True)
    assert across.centres["a"][1] < across.centres["b"][1] < across.centres["c"][1]


def test_a_loss_is_drawn():
    derivation = bptt.derive(bptt.load_model("hello")).parts[0]
    graph = Graph(derivation, level=2)
    assert "loss" in graph.nodes and all(any(name in edge for edge in graph.edges) for name in graph.nodes)

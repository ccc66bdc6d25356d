"""Every cell in every notation: the same mathematics, and a check that notices when it isn't."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sympy
from sympy import Integer, Symbol

import bptt
from bptt.derive import Error, Notation, restate
from bptt.derive.convention import _with_stacks, in_layout
from bptt.derive.convention_cell import fused, renamed_cell
from bptt.derive.convention_check import compared
from bptt.derive.convention_layout import RowLayout
from bptt.derive.convention_rules import RULES, Rule
from bptt.derive.interpret import evaluate, matrix, size
from bptt.derive.linear import NODES, concat, lookup, outer, pad, part, product, scatter, total, transpose
from bptt.derive.program import Program, Reason, Step
from bptt.derive.proof import small_sizes
from bptt.derive.sizes import dimension

NOTATIONS = [Notation(layout, fuse) for layout in ("column", "row", "batch") for fuse in (False, True)]
TENSORS = "x: input[m]\nS: state[n, n]\nh: state[n]\nS = S * sum(S * S) + outer(V @ x, K @ x)\nh = tanh(S.T @ h)\n"
SCALARS = """x: input[m]
g: param
p: param[n]
h: state[n]
s: state
r = sigmoid(sum(h) + s * g)
u = W @ x + r * s * h + p
s = s * r + dot(u, h) + u[1] + sum(u[0:n - 1])
h = concat(u[1:n], p[0:1]) * r + softmax(u) / (1 + s**2) + p * s
"""
EMBEDDING = """w: index[k]
E: param[k, n]
q: param[k]
V: param[k, n]
h: state[n]
l: state
h = tanh(W @ h + U @ E[w])
l = l * q[w] + cross_entropy(V @ h, w)
"""
NESTED = """x: input[m]
h: state[n]
i = sigmoid(W_i @ x + R_i @ h + b_i + Q @ x)
h = tanh(W_h @ x + R_h @ h + V @ (i * h) + b_h + i * (A @ h + A2 @ x + a_0)) - 0.5 * (Z @ x) + i
"""


def derived(text, name="mine"):
    return bptt.derive(bptt.parse(text, name))


def restated(derivation, notation):
    """The derivation in a notation, or nothing where the cell can't be written in it."""
    try:
        return restate(derivation, notation)
    except Error as error:
        assert "can't be fused" in str(error) or "differs from sample to sample" in str(error)
        return None


def test_every_equation_is_the_same_in_every_notation(derivation):
    assert restate(derivation, Notation()).derivation == derivation
    for notation in NOTATIONS[1:]:
        if found := restated(derivation, notation):
            assert found.agreement.holds, str(found.agreement)
            assert found.agreement.samples == (2 if notation.layout == "batch" else 1)
            assert len(found.agreement.functions) == notation.fuse * len(derivation.cell.states)


@pytest.mark.parametrize("text", [TENSORS, SCALARS, NESTED, EMBEDDING])
def test_cells_made_to_be_awkward(text):
    for notation in NOTATIONS[1:]:
        if found := restated(derived(text), notation):
            assert found.agreement.holds, str(found.agreement)


def test_samples_that_look_up_the_same_row_add_their_gradients(apply):
    rows, index, k = Symbol("rows"), Symbol("index"), dimension("k")
    values = {rows: np.array([[1, 2], [3, 4], [5, 6]], dtype=object), index: np.array([2, 0, 2])}
    added = evaluate(scatter(rows, index, k), values, {"k": 4}, apply)
    assert added.tolist() == [[3, 4], [0, 0], [6, 8], [0, 0]]
    picked = evaluate(lookup(rows, index), values, {}, apply)
    assert picked.tolist() == [[5, 6], [1, 2], [5, 6]]


@pytest.mark.parametrize("name", ["rnn", "rnn_concat", "leaky"])
@pytest.mark.parametrize("layout", ["row", "batch"])
def test_gradients_in_a_layout_are_those_of_its_own_loss(name, layout):
    """The loss is expanded from the rewritten equations, of all samples of a batch together."""
    found = restate(bptt.derive(bptt.load(name)), Notation(layout))
    assert found.derivation.prove().holds and found.prove().holds


def test_a_wrong_gradient_in_rows_is_refuted(monkeypatch):
    """The proof runs the rewritten programs themselves."""
    monkeypatch.setitem(RULES, "outer", BROKEN["outer"])
    derivation = derived("x: input[n]\nh: state[n]\nW: param[n, n]\nh = W @ x + h\n")
    assert not restate(derivation, Notation("row")).prove().holds


def test_what_rows_and_batches_look_like():
    cell = bptt.derive(bptt.load("rnn"))
    row, batch = (restate(cell, Notation(layout)).derivation for layout in ("row", "batch"))
    assert str(row.forward).splitlines()[0] == "a_h = h_prev @ W_hh + x @ W_xh + b_h"
    assert row.cell.params["W_xh"] == ("m", "n")
    assert str(row.recursion["h"]) == "loss_h(t) + product(delta_a_h(t + 1), transpose(W_hh))"
    assert str(row.gradients["W_hh"]) == "Sum(outer(h(t - 1), delta_a_h(t)), (t, 1, T))"
    assert str(batch.forward).splitlines()[0] == "a_h = h_prev @ W_hh.T + x @ W_xh.T + b_h"
    assert batch.cell.states["h"] == ("B", "n") and batch.cell.params["W_xh"] == ("n", "m")
    assert str(batch.gradients["W_hh"]) == "Sum(product(transpose(delta_a_h(t)), h(t - 1)), (t, 1, T))"


def test_a_batch_takes_a_size_that_is_free():
    found = restate(derived("x: input[B]\nh: state[N]\nh = W @ x + h\n"), Notation("batch"))
    assert found.derivation.cell.states["h"] == ("S", "N")


def test_the_table_of_layouts_has_every_tensor_map():
    assert set(RULES) == set(NODES)


TOTAL = RULES["total"]
BROKEN = {
    "product": Rule(lambda node, turn, at: node, lambda node, at: product(node.args[1], node.args[0])),
    "outer": Rule(
        lambda node, turn, at: outer(*node.args),
        lambda node, at: node,
        lambda node, at: product(transpose(node.args[1]), node.args[0]),
    ),
    "transpose": Rule(lambda node, turn, at: at.oriented(node.args[0], turn), RULES["transpose"].batch),
    "total": Rule(lambda node, turn, at: 2 * total(node.args[0]), lambda node, at: 2 * TOTAL.batch(node, at)),
    "concat": Rule(
        lambda node, turn, at: concat(*node.args[::-1]),
        lambda node, at: concat(*node.args[::-1]),
    ),
    "part": Rule(
        lambda node, turn, at: part(node.args[0], Integer(0), node.args[2] - node.args[1]),
        lambda node, at: part(node.args[0], Integer(0), node.args[2] - node.args[1]),
    ),
}
SQUARE = """x: input[n]
h: state[n]
W: param[n, n]
R: param[n, 2 * n]
u = R @ concat(h, x)
h = (W - W.T) @ u * sum(x) + concat(h[1:n], h[0:1])
"""


# In a batch only matrices of parameters are transposed, and they stay as they are.
@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, layout) for name in BROKEN for layout in ("row", "batch") if (name, layout) != ("transpose", "batch")],
)
def test_a_broken_rule_is_caught(name, layout, monkeypatch):
    derivation = derived(SQUARE)
    assert restate(derivation, Notation(layout)).agreement.holds
    monkeypatch.setitem(RULES, name, BROKEN[name])
    found = restate(derivation, Notation(layout)).agreement
    assert not found.holds and "Not the same" in str(found)


def test_jacobians_of_rows_are_the_transposes(derivation, apply):
    """In floating point, beside the exact comparison in `agreement`."""
    layout, cell = restate(derivation, Notation("row")).layout, derivation.cell
    sizes, random = small_sizes(cell), np.random.default_rng(0)
    shapes = derivation.forward.shapes | derivation.prologue.shapes
    values = {s: np.asarray(random.uniform(0.1, 1, [size(d, sizes) for d in shape])) for s, shape in shapes.items()}
    values |= {Symbol(name): np.asarray(0) for name in cell.indices}
    stored = {symbol: layout.stored(symbol, [array]) for symbol, array in values.items()}
    for after in cell.states:
        for before in cell.states:
            try:
                block = derivation.jacobian(after, before)
            except Error:
                continue
            turned = np.asarray(matrix(layout.matrix(block), stored, sizes, apply, 1.0), dtype=complex)
            assert np.allclose(turned.T, np.asarray(matrix(block, values, sizes, apply, 1.0), dtype=complex))


def test_fused_cells_are_cells(derivation):
    try:
        found = fused(derivation.cell)
    except Error:
        return
    cell = found.cell
    assert bptt.parse(cell.text, cell.name).text == cell.text
    stacked = [symbol.name for grid in found.blocks.values() for row in grid for symbol in row]
    assert len(stacked) == len(set(stacked)) and set(stacked) <= set(derivation.cell.params)
    assert set(cell.params) - set(found.blocks) == set(derivation.cell.params) - set(stacked)


def test_fused_gates_stand_in_the_order_given():
    found = fused(bptt.load("lstm"), ("f", "i", "o", "g"))
    assert [[str(block) for block in row] for row in found.blocks["W"]] == [
        [f"W_h{gate}", f"W_x{gate}"] for gate in "fiog"
    ]
    assert "f = sigmoid(a[0:n])" in found.cell.text and "g = tanh(a[3 * n:4 * n])" in found.cell.text
    step = next(
        s
        for s in restate(bptt.derive(bptt.load("lstm")), Notation(fuse=True)).column.backward.steps
        if str(s.target) == "delta_a"
    )
    assert str(step) == "delta_a = concat(delta_a_i, delta_a_f, delta_a_o, delta_a_g)"


def test_a_wrong_block_is_caught():
    found = restate(bptt.derive(bptt.load("lstm")), Notation(fuse=True))
    turned = {name: grid[::-1] for name, grid in found.blocks.items()}
    assert not replace(found, blocks=turned).agreement.holds


def test_a_fused_cell_is_proved_and_compiled():
    found = restate(bptt.derive(bptt.load("gru")), Notation(fuse=True))
    assert found.prove().holds
    separate, stacked = (bptt.compile(r.column.cell) for r in (restate(found.given, Notation()), found))
    params = separate.init({"m": 3, "n": 4}, seed=0)
    joined = {name: params[name] for name in stacked.cell.params if name in params}
    for name, grid in found.blocks.items():
        joined[name] = np.concatenate([np.concatenate([params[str(b)] for b in row], axis=-1) for row in grid])
    x = np.random.default_rng(0).standard_normal((6, 2, 3))
    one, other = (k.forward(p, {"x": x}) for k, p in ((separate, params), (stacked, joined)))
    np.testing.assert_allclose(one.states["h"], other.states["h"], rtol=1e-12)  # sums in another order
    ones = {"h": np.ones_like(one.states["h"])}
    back, joint = separate.backward(one, ones), stacked.backward(other, ones)
    np.testing.assert_allclose(joint.params["W_zr"][:4, :4], back.params["W_hz"], rtol=1e-10)


def test_renaming_swaps_names_at_once():
    cell = renamed_cell(bptt.load("rnn"), {"W_hh": "W_xh", "W_xh": "W_hh", "h": "s"})
    assert str(cell.equations[0].written) == "tanh(b_h + product(W_hh, x) + product(W_xh, s_prev))"
    assert cell.states == {"s": ("n",)} and list(cell.params) == ["W_xh", "W_hh", "b_h"]
    found = restate(bptt.derive(bptt.load("rnn")), Notation("row", names={"h": "s", "W_hh": "U"}))
    assert found.agreement.holds and found.agreement.functions and found.prove().holds


def test_stacks_are_left_alone_unless_they_fill_the_whole():
    n = dimension("n")
    v, w, whole = Symbol("v"), Symbol("w"), Symbol("whole")
    reasons = (Reason("part", v), Reason("part", w))
    for terms, stacked in (
        ((pad(w, n, 2 * n), pad(v, 0 * n, 2 * n)), "concat(v, w)"),
        ((pad(w, n, 3 * n), pad(v, 0 * n, 3 * n)), None),
        ((pad(w, n, 2 * n), pad(v, n, 2 * n)), None),
    ):
        expr = sympy.Add(*terms, evaluate=False)
        program = Program((v, w), (Step(whole, expr, reasons),), (whole,), {v: (n,), w: (n,), whole: (2 * n,)})
        assert str(_with_stacks(program).steps[0].expr) == (stacked or str(expr))


def test_different_polynomials_are_told_apart():
    x, y = sympy.symbols("x y")
    assert compared("v", np.array([1 / (x + y)]), np.array([1 / (y + x)])).holds
    wrong = compared("v", np.array([x + y, x * y]), np.array([x + y, x]))
    assert not wrong.holds and wrong.counterexample.startswith("v[1]")
    assert not compared("v", np.array([x]), np.array([x, y])).holds


def test_rows_turn_what_multiplies_vectors_and_leave_the_rest():
    found = restate(
        derived("x: input[n]\nC: state[n, n]\nE: param[n, n]\nC = C + outer(x, W @ x) + E * sum(C @ x)\n"),
        Notation("row"),
    )
    assert isinstance(found.layout, RowLayout) and "W" in found.layout.turned
    assert in_layout(found.column, found.layout) == found.derivation


MISTAKES = [
    ({"layout": "rows"}, "unknown layout 'rows'. Known: column, row, batch"),
    ({"adjoint": "dot"}, "unknown adjoint 'dot'. Known: delta, partial, bar"),
    ({"gates": ("f",)}, r"set fuse too \(--fuse\)"),
    ({"fuse": "yes"}, "fuse is true or false, here 'yes'"),
    ({"fuse": True, "gates": "figo"}, "gates are a list of names"),
    ({"names": {"W": 3}}, "names are a table"),
]


@pytest.mark.parametrize(("choices", "message"), MISTAKES)
def test_mistakes_in_a_notation(choices, message):
    with pytest.raises(Error, match=message):
        Notation(**choices)


CLASHES = [
    ("rnn", {"names": {"W_hx": "U"}}, "no name 'W_hx' to be changed. Did you mean 'W_xh'"),
    ("rnn", {"names": {"W_hh": "W_xh"}}, "'W_hh', 'W_xh' would both be called 'W_xh'"),
    ("rnn", {"names": {"W_hh": "tanh"}}, "'W_hh' can't be called 'tanh'"),
    ("rnn", {"names": {"h": "delta_h"}}, "'h' can't be called 'delta_h'"),
    ("rnn", {"names": {"h": "2h"}}, "'h' can't be called '2h'"),
    ("rnn", {"names": {"h": "if"}}, "'h' can't be called 'if'"),
    ("rnn_concat", {"fuse": True}, "rnn_concat can't be fused"),
    ("lstm", {"fuse": True, "gates": ("f", "i", "o")}, "stacked: i, f, o, g. Name each of them once"),
    ("lstm", {"fuse": True, "gates": ("f", "i", "o", "o", "g")}, "isn't an order of the gates"),
    ("lstm", {"fuse": True, "gates": ("f", "i", "o", "g", "c")}, "isn't an order of the gates"),
    ("lstm", {"fuse": True, "names": {"W_hi": "U"}}, "no name 'W_hi'"),
    ("rnn", {"adjoint": "bar", "names": {"x": "x_bar"}}, "'x_bar' is typeset with a bar"),
    ("mlstm", {"layout": "batch"}, "C is a matrix that differs from sample to sample"),
]


@pytest.mark.parametrize(("cell", "choices", "message"), CLASHES)
def test_notations_that_a_cell_cannot_have(cell, choices, message):
    with pytest.raises(Error, match=message):
        restate(bptt.derive(bptt.load(cell)), Notation(**choices))


FILES = [
    ("layout = ", "not a TOML file"),
    ("layuot = 'row'\n", "unknown key 'layuot'. Did you mean 'layout'"),
    ("layout = 'rows'\n", "unknown layout 'rows'"),
    ("layout = ['row']\n", "unknown layout"),
    ("names = 'W'\n", "names are a table"),
    ("gates = 3\n", "gates are a list of names"),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_mistakes_in_a_file(text, message, tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(Error, match=message) as caught:
        bptt.read_notation(path)
    assert str(caught.value).startswith(str(path))
    with pytest.raises(Error, match="can't be read"):
        bptt.read_notation(tmp_path / "none.toml")


def test_a_tensor_map_without_a_rule_is_refused(monkeypatch):
    monkeypatch.delitem(RULES, "softmax")
    with pytest.raises(Error, match="softmax is written in the column layout only"):
        restate(derived("x: input[n]\nh: state[n]\nh = softmax(h + x)\n"), Notation("row"))

"""Cells as data: files, round trips, and cells made at random."""

import os
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bptt
from bptt.derive.derivation import derive
from bptt.derive.errors import Error, NotationError
from bptt.derive.notation import spell


def round_trip(cell):
    """Read a cell's text again and show that nothing is lost."""
    again = bptt.parse(cell.text, cell.name)
    assert again == cell
    assert again.shapes == cell.shapes
    assert again.text == cell.text
    assert pickle.loads(pickle.dumps(cell)) == cell


def test_a_cell_s_text_gives_the_same_cell(cell):
    round_trip(cell)


@pytest.mark.parametrize("number", ["1e-320", "1.5e-7", "1e-5", "0.00025", "123456.5", "1e16", "2.5e300", "-3e-9", "0"])
def test_a_number_is_written_as_python_writes_it(number):
    cell = bptt.parse(f"h: state[n]\nh = {number} * h")
    assert spell(cell.equations[0].written) == f"{number} * h_prev"
    round_trip(cell)


@pytest.mark.parametrize(
    "equation",
    [
        "h / (x / h)",
        "h / x / h",
        "1 / h * x",
        "h**-1 * x**-2",
        "x / h**2",
        "x / h**-2",
        "1 * h * 1",
        "x * -2",
        "-(h * x) * 2",
        "-(U @ h)",
        "-U @ h - -h",
        "(-2 * U) @ h",
        "U @ -h",
        "-h @ U",
        "h * (-h @ x)",
        "h * dot(h * x, 2 * x)",
        "-(-h)",
        "h - (x - h)",
        "h - (x + h) * 2",
        "(-h)**2 + -h**2",
        "h**1 + h**0.5 + 2**-1 * x",
        "h**(1 / 3) + h**-(2 / 3) * x**(-1 / 7)",
        "x * 0.1 + 1e-30 * h",
        "h * 2 / 3 * x",
        "(U + U.T).T @ h",
        "(2 * U).T @ h",
        "outer(x, h).T @ h",
        "(U @ U).T @ h",
        "h[:]",
        "h * h[n - 1]",
        "h * h[0:2][1]",
        "W @ concat(h, x)[1:] + 0 * h",
        "W @ concat(h, x, h)",
        "ones(n) * -3",
        "h + +x",
        "max(h, 0) - min(-x, h)",
        "softmax(h) * norm(x)",
        "h * sum(ones(n, n + n))",
    ],
)
def test_round_trip_of_one_equation(equation):
    round_trip(bptt.parse(f"x: input[n]\nU: param[n, n]\nh: state[n]\nh = {equation}"))


@pytest.mark.parametrize(
    "doc",
    ["One.", "", "A\nB\n  C", "\n   A\n  B", 'Quote "', 'a """ b', "back\\slash \\n", "tab\tand \x0c", "é 状 \x85"],
)
def test_round_trip_of_what_a_cell_says_of_itself(doc):
    source = doc.replace("\\", "\\\\").replace('"', '\\"')
    cell = bptt.parse(f'"""{source}"""\nh: state\nh = 0.5 * h')
    round_trip(cell)
    assert cell.doc.split() == doc.split()


def test_tables():
    cell = bptt.load("lstm")
    assert cell.inputs == {"x": ("m",)}
    assert cell.states == {"h": ("n",), "c": ("n",)}
    assert list(cell.params)[:3] == ["W_xi", "W_hi", "b_i"]
    assert cell.params["W_xi"] == ("n", "m")
    assert cell.title == bptt.load("lstm").doc.splitlines()[0].rstrip(".")


def test_title_without_a_doc_is_the_name():
    assert bptt.parse("h: state\nh = h", "folder/mine.cell").title == "mine"


def test_dimensions_that_are_sums_are_read_back():
    cell = bptt.parse("x: input[m]\nh: state[n]\nh = tanh(W @ concat(h, x, h))")
    assert cell.params == {"W": ("n", "m + 2*n")}
    assert bptt.parse(cell.text).params == cell.params


@pytest.mark.parametrize(
    ("equation", "params"),
    [
        ("W @ x", {"W": ("n", "m")}),
        ("x @ W", {"W": ("m", "n")}),
        ("W.T @ x", {"W": ("m", "n")}),
        ("h * (h @ W @ x)", {"W": ("n", "m")}),
        ("b * (W @ x)", {"b": ("n",), "W": ("n", "m")}),
        ("U @ tanh(W @ x + V @ h) + h", None),
        ("(a * A) @ x + A @ x", {"a": ("n", "m"), "A": ("n", "m")}),
        ("w * ones(n)", {"w": ("n",)}),
        ("concat(h[0:1], b)", {"b": ("n - 1",)}),
        ("h / norm(h) * dot(x, w)", {"w": ("m",)}),
        ("max(W @ x, b)", {"W": ("n", "m"), "b": ("n",)}),
        ("h * sum(softmax(outer(x, h) @ v + outer(x, h) @ u))", {"v": ("n",), "u": ("n",)}),
    ],
)
def test_inferred_shapes(equation, params):
    text = f"x: input[m]\nh: state[n]\nh = {equation}"
    if params is None:
        with pytest.raises(Error, match="is ambiguous|conflict"):
            bptt.parse(text)
    else:
        assert bptt.parse(text).params == params


# Files ------------------------------------------------------------------------------------------------------------


def test_every_cell_of_the_zoo_loads():
    assert {"rnn", "rnn_relu", "lstm", "gru", "gru_reset_after"} <= set(bptt.zoo())
    assert bptt.zoo() == sorted(bptt.zoo())
    assert all(bptt.load(name).doc for name in bptt.zoo())


def test_a_file_is_named_in_its_errors(tmp_path):
    path = tmp_path / "my.cell"
    path.write_text("h: state[n]\nh = tnh(h)")
    with pytest.raises(NotationError, match=r"my.cell, line 2, column 5: unknown function 'tnh'"):
        bptt.load(path)


def test_a_file_with_a_byte_order_mark_and_carriage_returns_loads(tmp_path):
    path = tmp_path / "my.cell"
    path.write_bytes(b"\xef\xbb\xbfh: state[n]\r\nh = tanh(h)\r\n")
    assert bptt.load(path).states == {"h": ("n",)}
    assert bptt.load(str(path)).name == "my"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "my.cell: can't be read: no such file or directory"),
        (b"h = \xff", r"my.cell: not text in UTF-8 \(byte 4 is 0xff\)"),
        (b"h: state\0", "source code string cannot contain null bytes|null byte"),
        (b"", "my.cell: no state is declared. Add a line such as 'h: state"),
        (b"h = h\n" * 200_000, "my.cell: a text has at most"),
    ],
)
def test_bad_files(content, message, tmp_path):
    path = tmp_path / "my.cell"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Error, match=message):
        bptt.load(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(Error, match="can't be read: is a directory"):
        bptt.load(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a file without an end")
def test_a_file_without_an_end_is_refused():
    with pytest.raises(Error, match="/dev/zero"):
        bptt.load("/dev/zero")


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(Error, match="there is no file 'mine.cel'. A cell is the path of a .cell file"):
        bptt.load("mine.cel")
    with pytest.raises(Error, match="no cell is called 'lsmt'. Did you mean 'lstm'. Or give the path of a .cell file."):
        bptt.load("lsmt")


def test_a_name_whose_file_is_there_is_met_with_the_file(tmp_path, monkeypatch):
    (tmp_path / "mine.cell").write_text("h: state\nh = a * h")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Error, match="no cell is called 'mine'. There is a file 'mine.cell': give its whole name."):
        bptt.load("mine")


# Cells at random --------------------------------------------------------------------------------------------------

NUMBERS = st.sampled_from(["2", "0.5", "3", "1", "0.25", "a"])


def scalars(vectors):
    return st.one_of(
        NUMBERS,
        vectors.map(lambda v: f"sum({v})"),
        st.tuples(vectors, vectors).map(lambda vs: f"dot({vs[0]}, {vs[1]})"),
        st.tuples(vectors, vectors).map(lambda vs: f"(({vs[0]}) @ ({vs[1]}))"),
        vectors.map(lambda v: f"({v})[0]"),
        vectors.map(lambda v: f"norm({v})"),
    )


def larger(vectors):
    pairs = st.tuples(vectors, vectors)
    return st.one_of(
        vectors.map(lambda v: f"W @ ({v})"),
        vectors.map(lambda v: f"-({v})"),
        vectors.map(lambda v: f"({v})**2"),
        vectors.map(lambda v: f"({v}) @ W"),
        vectors.map(lambda v: f"softmax({v})"),
        vectors.map(lambda v: f"concat({v}, x)[0:n]"),
        st.tuples(st.sampled_from(["tanh", "sigmoid", "relu", "erf"]), vectors).map(lambda fv: f"{fv[0]}({fv[1]})"),
        pairs.map(lambda vs: f"max({vs[0]}, {vs[1]})"),
        st.tuples(vectors, st.sampled_from("+-*/"), vectors).map(lambda v: f"{v[0]} {v[1]} ({v[2]})"),
        st.tuples(scalars(vectors), vectors).map(lambda sv: f"{sv[0]} * ({sv[1]})"),
        pairs.map(lambda vs: f"outer({vs[0]}, {vs[1]}) @ h"),
    )


VECTORS = st.recursive(st.sampled_from(["h", "x", "c", "p"]), larger, max_leaves=6)
DECLARED = "x: input[n]\nh: state[n]\nc: state[n]\nW: param[n, n]\np: param[n]\na: param\n"


@given(st.tuples(VECTORS, VECTORS, VECTORS))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_cells_at_random_round_trip_and_derive(equations):
    first, second, third = equations
    cell = bptt.parse(f"{DECLARED}g = {first}\nc = {second}\nh = {third} + g")
    round_trip(cell)
    derivation = derive(cell)
    assert str(derivation.backward)
    assert set(derivation.gradients) == {"W", "p", "a"}
    for value in cell.states:
        try:
            derivation.jacobian(value, "h")
        except Error as error:
            assert "matrix" in str(error)


EMBEDDED = """
w: index[V]
y: index[k]
h: state[n]
l: state
E: param[V, m]
h = tanh(W @ E[w] + U @ h + b)
l = cross_entropy(Q @ h, y)
"""


def test_an_index_picks_a_row_and_a_target():
    cell = bptt.parse(EMBEDDED)
    assert cell.inputs == {} and cell.indices == {"w": "V", "y": "k"}
    assert cell.params["Q"] == ("k", "n")
    assert bptt.parse(cell.text).text == cell.text
    shares = derive(cell).shares
    assert spell(shares["E"]) == "scatter(delta_u_h, w, V)"


def test_the_slope_of_a_cross_entropy_is_softmax_minus_one_hot():
    derivation = derive(bptt.parse(EMBEDDED.replace("l = ", "u = Q @ h\nl = ").replace("(Q @ h, y)", "(u, y)")))
    found = {step.target.name: spell(step.expr) for step in derivation.backward.steps}
    assert found["delta_u"] == "delta_l * (softmax(u) - scatter(1, y, k))"


def test_a_loss_of_its_own_needs_no_incoming_gradient():
    cell = bptt.parse("x: input[m]\nh: state[n]\nh = tanh(W @ x + U @ h)\nu = V @ h\nl = squared_error(u, x)")
    steps = derive(cell, losses=["l"]).backward.steps
    assert spell(steps[0].expr) == "u - x"


def test_an_output_has_an_incoming_gradient():
    cell = bptt.parse("x: input[m]\nh: state[n]\nV: param[k, n]\nh = tanh(W @ x + U @ h)\ny = V @ h")
    found = {step.target.name: spell(step.expr) for step in derive(cell, outputs=["y"]).backward.steps}
    assert found["delta_y"] == "incoming_y"
    assert found["delta_h"] == "incoming_h + V.T @ delta_y"
    with pytest.raises(Error, match="'z' is not a value that the cell computes"):
        derive(cell, outputs=["z"])


@pytest.mark.parametrize(
    ("power", "ones"),
    [("x * h**0", "x * ones(n)"), ("x + (U @ h)**-0.0", "x + ones(n)"), ("x * dot(h, h)**(0 / 3)", "x * 1")],
)
def test_a_power_of_0_is_1_for_each_entry(power, ones):
    one, other = (
        bptt.parse(f"x: input[n]\nU: param[n, n]\nh: state[n]\nh = {line}").equations for line in (power, ones)
    )
    assert one == other


def test_a_size_that_is_a_difference_is_written_so_that_it_can_be_read():
    text = "x: input[m]\nu: input[k]\nW: param[n, z]\nh: state[n]\nh = tanh(W @ concat(E @ u, x) + h)"
    cell = bptt.parse(text)
    assert cell.params["E"] == ("z - m", "k")
    assert bptt.parse(cell.text).params == cell.params
    model = bptt.parse_model(
        "x: input[T, m]\nu: input[T, k]\nfor t in range(T):\n    h = a(x[t], u[t])\nloss += sum(h)", "my", {"a": cell}
    )
    assert model.params["E"] == ("z - m", "k")

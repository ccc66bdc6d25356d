"""Models as data: the zoo, files, names and sizes, and every mistake met with one clear message."""

import pytest

import bptt
from bptt.derive.errors import Error, NotationError, ShapeError
from bptt.derive.model_text import is_model
from bptt.derive.proof import model_sizes

X = "x: input[T, m]\ny: index[T, k]\n"
LOOP = "for t in range(T):\n"
END = "    u = V @ h + c\n    loss += cross_entropy(u, y[t])\n"
RNN = X + LOOP + "    h = rnn(x[t])\n" + END


def cut(text):
    return bptt.parse_model(text, "my.model")


# The zoo ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", bptt.models())
def test_a_model_s_text_gives_the_same_model(name):
    model = bptt.load_model(name)
    assert bptt.parse_model(model.text, name) == model
    assert str(model) == model.text
    assert is_model(model.text)


@pytest.mark.parametrize("name", bptt.models())
def test_every_model_of_the_zoo_is_short_and_cites_its_source(name):
    model = bptt.load_model(name)
    lines = model.doc.splitlines()
    assert len(model.title) <= 130
    assert any(char.isdigit() for char in "".join(lines[1:])), "no year of a source"
    assert len(model.text.splitlines()) <= 30
    assert all(len(line) <= 120 for line in model.text.splitlines())


@pytest.mark.parametrize("name", bptt.models())
def test_every_model_of_the_zoo_is_proved(name):
    derivation = bptt.derive(bptt.load_model(name))
    assert derivation.unreached == ()
    proof = derivation.prove()
    assert [check.counterexample for check in (*proof.functions, *proof.checks) if not check.holds] == []
    assert {check.name for check in proof.checks} == {*derivation.model.params, *derivation.model.inputs}


def test_what_a_loss_is_made_of_by_itself_is_a_number():
    text = "x: input[T, m]\ny: input[T]\nfor t in range(T):\n    h = rnn(x[t])\n    v = dot(w, h) + b\n"
    params = bptt.parse_model(text + "    loss += (v - y[t])**2").params
    assert params["b"] == () and params["w"] == ("n",)


def test_shapes_of_the_zoo():
    hello = bptt.load_model("hello")
    assert hello.inputs == {"x": ("T", "4")} and hello.indices == {"y": ("T", "4")}
    assert hello.params["W_hy"] == ("4", "n")
    attention = bptt.load_model("attention")
    assert attention.params["W_xz__dec"] == ("n", "n + p")
    assert attention.axes == ("S", "T")
    assert bptt.load_model("fixed_window").params["H"] == ("n", "3*m")
    assert bptt.load_model("bidirectional").params["W_hi__bwd"] == ("n_bwd", "n_bwd")
    assert bptt.load_model("stacked").params["W_xi__layer2"] == ("n_2", "n_1")
    assert bptt.load_model("learned_start").params["h0"] == ("n",)
    assert bptt.load_model("labels").inputs == {"y": ("k",)}
    assert bptt.load_model("captioning_hard").inputs == {"V": ("L", "D"), "r": ()}


def test_sizes_written_as_numbers_aren_t_chosen():
    assert model_sizes(bptt.load_model("hello")) == {"T": 3, "n": 2}


# What a text means ------------------------------------------------------------------------------------------------


def test_a_parameter_that_the_loss_does_not_reach_is_there_and_said():
    derivation = bptt.derive(cut("P: param[p]\nz: input[T, q]\n" + RNN))
    assert derivation.model.params["P"] == ("p",)
    assert derivation.unreached == ("P",)
    assert derivation.gradients["P"] == derivation.inputs["z"] == 0
    assert derivation.prove().holds


@pytest.mark.parametrize(
    "text",
    [
        "x: input[T, T]\ny: index[T, k]\n" + LOOP + "    h = rnn(x[t])\n" + END,  # an axis that is a size too
        X + LOOP + "    h = rnn(x[t])\nfor q in range(T):\n    u = V @ h[q]\n    loss += cross_entropy(u, y[q])\n",
        X + "h: state[n] = 0\n" + LOOP + "    h = rnn(x[t])\n" + END,
        "w: index[k]\n" + X + "h: state[n] = E[w]\n" + LOOP + "    h = rnn(x[t])\n" + END,
        "w: index[3]\n" + X + "E: param[3, m]\n" + LOOP + "    h = rnn(E[w] + x[t])\n" + END,
        "y: index[T, k]\nh: state[n]\n" + LOOP + "    h = tanh(W @ h + b)\n" + END,  # no input
        "G: input[T, L, D]\n"
        + LOOP
        + "    h = rnn(G[t].T @ ones(L))\n    loss += sum(h)\nA = stack(G)\nloss += sum(A)\n",
        X + LOOP + "    h = rnn(x[t])\nloss += sum(stack(h).T @ ones(T)) / sum(ones(T))\n",
        X + "one: min_gru\none_2: min_gru\n" + LOOP + "    h = one(x[t])\n    g = one(x[t])\n    e = one_2(g + h)\n"
        "    loss += sum(e)\n",
        X + "e: rnn\n" + LOOP + "    h = e(x[t])\n    loss += sum(W_hh__e @ h)\n",  # a layer's parameter read outside
        X + "a: rnn\nZ: param[n_a, n]\n" + LOOP + "    h = a(x[t])\n    loss += sum(h) + sum(Z)\n",
        LOOP + "    p, q = henon()\n    loss += p * q\n",  # numbers as states, no input
        "x: input[T, m]\nh: state[n] = tanh(W @ ones(n))\n" + LOOP + "    h = rnn(x[t] * 2)\n    状態 = sum(h)\n"
        "    loss += 状態\n",
        "x: input[m]\nloss_2 = sum(a * x)\nloss += loss_2\nloss += loss_2 + dot(x, b)\n",
    ],
)
def test_unusual_texts_are_proved(text):
    proof = bptt.derive(cut(text)).prove()
    assert proof.holds, str(proof)


def test_names_of_sizes_that_are_taken_are_left_alone():
    model = cut(X + "a: rnn\nZ: param[n_a, n]\n" + LOOP + "    h = a(x[t])\n    loss += sum(h) + sum(Z)\n")
    assert model.params["Z"] == ("n_a", "n")
    assert not {"n", "n_a"} & set(model.params["W_hh__a"])


@pytest.mark.parametrize(
    ("equation", "holds_ones"),
    [
        ("x * sum(exp(h))", True),
        ("concat(exp(h)[0:1], x[1:n])", True),
        ("x / (1 + h)", True),
        ("x * h**0", True),
        ("softmax(cos(h)) * x", True),
        ("x * (h + h * x)", True),
        ("tanh(U @ h + x)", False),
        ("(1 - sigmoid(U @ h + x)) * h + x", False),
    ],
)
def test_what_is_zero_vanishes_and_keeps_its_shape(equation, holds_ones):
    cell = bptt.parse(f"x: input[n]\nU: param[n, n]\nh: state[n]\nh = {equation}", "mine")
    model = bptt.parse_model("x: input[n]\nh = mine(x)\nloss += dot(w, h)", "my", {"mine": cell})
    assert ("ones" in str(model.blocks[0].cell.equations[0].written)) == holds_ones
    assert model.params.keys() == {"w"}
    assert bptt.derive(model).prove().holds


# Mistakes ---------------------------------------------------------------------------------------------------------

MISTAKES = [
    ("x: input[T, m]\n" + LOOP + "    h = rnn(x[t])\n", "my.model: the model has no loss. Add a line such as"),
    ("", "my.model: the model has no loss"),
    (X + LOOP + "    h = rnn(x)\n" + END, "line 4, column 13: 'x' is a sequence"),
    (
        "q: input[S, m]\nfor s in range(S):\n    g = rnn(q[s])\n" + X + LOOP + "    h = g * x[t] + q[t]\n" + END,
        "S steps",
    ),
    (
        X + LOOP + "    h = rnn(x[t+1])\n" + END,
        "line 4, column 13: a sequence is read in a loop, at the loop's own step",
    ),
    (X + LOOP + "    h = rnn(x[t])\n    g = h[t-1]\n" + END, "line 5, column 9: a sequence is read in a loop"),
    (X + LOOP + "    h = rnn(x[t])\n    g = h[t]\n" + END, "'h' belongs to this loop"),
    (RNN + "loss += sum(h[t])\n", "line 7, column 13: a sequence is read in a loop"),
    ("q = x[0]\n" + RNN, "'x' stands here above its declaration"),
    (X + "q = x[0]\n" + LOOP + "    h = rnn(q)\n" + END, "line 3, column 5: 'x' is a sequence"),
    (RNN + "x: input[T, m]\n", "'x' is declared twice"),
    (X + LOOP + "    h = E[t]\n" + END, "'E' has no steps"),
    (X + "h: state[n]\nfor s in range(S):\n    q = h * 2\n" + LOOP + "    h = rnn(x[t])\n" + END, "has no value here"),
    (X + "z = tanh(h)\n" + RNN[len(X) :], "line 3, column 10: 'h' is used before it is assigned"),
    (X + LOOP + "    q = 2 * r\n    r = W @ x[t]\n    h = rnn(q)\n" + END, "'r' is used before it is assigned"),
    (X + LOOP + "    h = rnn(x[t], x[t])\n" + END, "rnn takes 1 input, in their order"),
    (X + LOOP + "    h = rnn()\n" + END, "Write 'h = rnn"),
    (X + LOOP + "    h = rnn(x=x[t])\n" + END, "rnn takes 1 input"),
    (LOOP + "    h, c = henon(x[t])\n    loss += h\n", "henon takes no inputs"),
    (X + LOOP + "    h, g = rnn(x[t])\n" + END, "line 4, column 5: rnn has 1 state, not 2"),
    (X + LOOP + "    h = lstm(x[t])\n" + END, "Write 'h, c = lstm"),
    (X + LOOP + "    h, *g = lstm(x[t])\n" + END, "a call gives its states to names"),
    (X + LOOP + "    h[t] = rnn(x[t])\n" + END, "a call gives its states to names"),
    (X + LOOP + "    h = g = rnn(x[t])\n" + END, "a call gives its states to names"),
    (X + LOOP + "    h, h = lstm(x[t])\n" + END, "'h' is assigned twice"),
    (X + LOOP + "    h = lstn(x[t])\n" + END, "unknown function or cell 'lstn'"),
    (X + "a: lstn\n" + LOOP + "    h = a(x[t])\n" + END, "'lstn' is neither a kind nor a cell"),
    (X + LOOP + "    h = 2 * rnn(x[t])\n" + END, "line 4, column 13: 'rnn' is a cell and stands in an expression"),
    (X + LOOP + "    loss += sum(rnn(x[t]))\n", "'rnn' is a cell and stands in an expression"),
    (X + LOOP + "    h = rnn\n" + END, "'rnn' is a cell and stands here without arguments"),
    (X + "a: rnn\n" + LOOP + "    h = a * 2\n" + END, "'a' is a layer and stands here without arguments"),
    (X + "a: rnn\n" + LOOP + "    a = a(x[t])\n    loss += sum(a)\n", "'a' is a layer and can't be assigned"),
    (X + "a: rnn\n" + RNN[len(X) :], "line 3, column 1: the layer 'a' is never called"),
    (X + "a: rnn = x\n" + LOOP + "    h = a(x[t])\n" + END, "a layer is a name for a cell, without a value"),
    (X + "tanh: rnn\n" + LOOP + "    h = tanh(x[t])\n" + END, "'tanh' is a function"),
    (X + "a_prev: rnn\n" + LOOP + "    h = a_prev(x[t])\n" + END, "'a_prev' is kept for"),
    (X + "a__b: rnn\n" + LOOP + "    h = a__b(x[t])\n" + END, "a layer's name has no '__'"),
    (X + LOOP + "    h = rnn(y[t])\n" + END, "rnn takes x as numbers, this is an index"),
    (X + LOOP + "    h = rnn(x[t] * y[t])\n" + END, "'y' is an index and can't be computed with"),
    (RNN + "else:\n    q = 1\n", "a loop has no 'else'"),
    (X + LOOP + "    for s in range(S):\n        q = 2\n" + END, "loops don't stand in loops"),
    (X + "while 1:\n    h = rnn(x)\n", "line 3, column 1: a model holds declarations"),
    (X + LOOP + "    if 1:\n        h = rnn(x[t])\n" + END, "line 4, column 5: a loop holds equations"),
    (X + LOOP + "    W: param[n, m]\n" + END, "a declaration stands in a loop"),
    (
        X + LOOP + "    h = rnn(x[t])\n    a, b = h, h\n" + END,
        "line 5, column 12: the cell notation does not know this",
    ),
    (X + LOOP + "    h = rnn(x[t])\n    a, b = tanh(h)\n" + END, "an equation assigns to one name"),
    (X + LOOP + "    h = (lambda: x)(x[t])\n" + END, "the cell notation does not know this"),
    (RNN + "loss = sum(h)\n", "the loss is a sum of terms"),
    (RNN + "loss -= sum(h)\n", "terms are added to the loss"),
    (RNN + "h += 1\n", "only the loss is added to"),
    (RNN + "loss += h\n", "line 7, column 9: a term of the loss is a number, this is a vector of n"),
    (RNN + "q = loss * 2\n", "the loss can't be read"),
    ("loss: input\n" + RNN, "'loss' is the model's loss and isn't declared"),
    (RNN.replace("y[t])", "y)"), "'y' is a sequence"),
    (X + LOOP + "    h = lstm_x\n" + END.replace("V", "W_x"), "ambiguous"),
    (
        X + LOOP + "    h, g = lstm(x[t])\n    u = V @ h + b_o\n    loss += cross_entropy(u, y[t])\n",
        "'b_o' is also a name",
    ),
    ("W_hh: param[n, n]\n" + RNN, "line 1, column 1: 'W_hh' is also a name inside of rnn"),
    (X + LOOP + "    i = W @ x[t]\n    h, g = lstm(i)\n" + END, "'i' is also a name inside of lstm"),
    ("z: input[T, m]\n" + LOOP + "    h = gru(z[t])\n    loss += sum(h)\n", "'z' is also a name inside of gru"),
    (X + LOOP + "    g = rnn(x[t])\n    h = gru(g)\n" + END, "'W_xh' is a name inside of gru and of rnn"),
    (X + LOOP + "    g = rnn(x[t])\n    h = rnn(g)\n" + END, "rnn is called a second time by its own name"),
    (X + "a: lstm\n" + LOOP + "    h, g = a(x[t])\n    i__a = sum(h)\n" + END, "'i__a' is a value of 'a' already"),
    (
        X + "a: rnn\nq = sum(b_h__a)\n" + LOOP + "    h = a(x[t])\n" + END,
        "'b_h__a' is a parameter of a, which is called",
    ),
    (X + "t: input[T, m]\n" + RNN[len(X) :], "'t' names something else and can't count steps"),
    (X + LOOP + "    h = rnn(x[t] * t)\n" + END, "'t' counts steps and can't be computed with"),
    (X + LOOP + "    t = rnn(x[t])\n    loss += sum(t)\n", "'t' counts the steps"),
    (RNN + "loss += sum(t @ h)\n", "'t' counts steps and can't be computed with"),
    (RNN.replace("t in", "m in"), "'m' names something else and can't count steps"),
    (RNN.replace("t in", "T in"), "'T' names something else and can't count steps"),
    (RNN.replace("t in", "tanh in"), "'tanh' is a function"),
    (RNN.replace("range(T)", "range(3)"), "a loop counts the steps of a sequence"),
    (RNN.replace("range(T)", "range(1, T)"), "a loop counts the steps of a sequence"),
    (RNN.replace("range(T)", "x"), "a loop counts the steps of a sequence"),
    (RNN + LOOP + "    h = tanh(h)\n", "'h' is assigned twice"),
    (X + "a: rnn\n" + LOOP + "    h = a(x[t])\n    h = a(h)\n" + END, "'h' is assigned twice"),
    (X + "h: state[n]\nh = tanh(b)\n" + RNN[len(X) :], "the state 'h' is assigned outside of a loop"),
    (RNN + "v = m * c\n", "'m' is a size, which no equation can read"),
    (RNN + "v = c / T\n", "'T' is a size, which no equation can read"),
    (X + "g: state[n]\n" + RNN[len(X) :], "the state 'g' is never assigned"),
    (X + "h: state[n] = q\nq = tanh(p)\n" + RNN[len(X) :], "'q' is used before it is assigned"),
    (X + "h: state[n] = h\n" + RNN[len(X) :], "the state 'h' has no value here"),
    (X + "h: state[n] = x\n" + RNN[len(X) :], "'x' is a sequence"),
    (X + "h: state[n] = rnn(x)\n" + RNN[len(X) :], "'rnn' is a cell and stands in an expression"),
    (X + "q: input[m] = 3\n" + RNN[len(X) :], "only a state is declared with a value"),
    (RNN + "h: state[n]\n", "'h' stands here above its declaration"),
    (RNN + "V: param[k, n]\n", "'V' stands here above its declaration"),
    (
        "h_last = tanh(a)\n" + RNN + "loss += sum(h) + sum(h_last)\n",
        "line 1, column 1: 'h_last' is kept for values of 'h'",
    ),
    (RNN + "loss += dot(h_last, h)\n", "'h_last' is kept for values of 'h'"),
    (RNN + "A = stack(h)\nloss += sum(A @ h_all)\n", "'h_all' is kept for values of 'h'"),
    (
        X + "h: state[n] = tanh(q)\n" + RNN[len(X) :] + "loss += dot(h, h_start)\n",
        "'h_start' is kept for values of 'h'",
    ),
    (RNN.replace("h ", "delta_h "), "'delta_h' is kept for what is derived"),
    (X + LOOP + "    h = rnn(x_next)\n" + END, "'x_next' is not defined"),
    (X + LOOP + "    h = rnn(x[t])\n    A = stack(h)\n" + END, "stack takes the name of a sequence"),
    (RNN + "A = stack(2 * h)\n", "stack takes the name of a sequence"),
    ("C: input[S, p]\n" + RNN + "A = stack(C)\n", "it is whole already, so write C."),
    (RNN + "A = stack(y)\n", "an index can't be stacked"),
    ("y: index[S, k]\n" + RNN[len(X) :], "an index has at most two dimensions"),
    ("G: input[T, L, D, 3]\n" + RNN, "a quantity has at most two dimensions"),
    (RNN + "loss += sum(ones(q))\n", "line 7, column 18: 'q' is not a dimension of anything that is declared"),
    (RNN + "loss += sum(h[0:q])\n", "'q' is not a dimension"),
    (X + LOOP + "    h = rnn(E[y])\n" + END, "'y' is a sequence"),
    (X + LOOP + "    h = rnn(E[x[t]])\n" + END, "line 4, column 15: only an index picks a row of a table"),
    (RNN + "loss += lookup(h)\n", "lookup takes 2 arguments, here 1"),
    (X + "leak = leaky * 2\n" + RNN[len(X) :], "or declare a parameter, 'leaky: param"),
    (LOOP, "A loop reads 'for t in range"),
    ("x\0", "null"),
    (RNN + "import os\n", "a model holds declarations"),
    (X + LOOP + "    loss += " + "-" * 2000 + "sum(x[t])\n", "nested more than 100 levels deep"),
    (X + LOOP + "".join(f"    q{i} = W{i} @ x[t]\n" for i in range(4000)), "a text has at most 50000 characters"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[message[-40:] for _, message in MISTAKES])
def test_mistakes(text, message):
    with pytest.raises(NotationError if "ambiguous" not in message and "vector" not in message else Error) as caught:
        cut(text)
    assert message in str(caught.value)
    whole_text = ("no loss", "at most 50000")
    assert any(words in message for words in whole_text) or ", line " in str(caught.value) and "^" in str(caught.value)


def test_a_clash_between_layers_names_the_call_and_both_shapes():
    text = "x: input[T, m]\nz: input[T, p]\na: rnn\n" + LOOP + "    g = a(x[t])\n    h = a(z[t])\n    loss += sum(h)\n"
    with pytest.raises(ShapeError) as caught:
        cut(text)
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        "my.model, line 6, column 11: shapes conflict: a takes x as a vector of m, this is a vector of p"
    )
    assert lines[1:3] == ["        h = a(z[t])", "              ^^^^"]


@pytest.mark.parametrize("given", ["3", "G", "r"])
def test_what_a_cell_can_t_take_is_refused_at_its_argument(given):
    text = f"x: input[T, m]\nG: input[m, p]\nr: input\nfor t in range(T):\n    h = rnn({given})\n    loss += sum(h)\n"
    with pytest.raises(ShapeError, match="line 5, column 13: shapes conflict: .* a vector of m of rnn"):
        cut(text)


def test_a_start_of_another_shape_is_refused_where_it_stands():
    with pytest.raises(ShapeError, match="line 3, column 15: shapes conflict: 'h' is a vector of n, this is m×m"):
        cut(
            "q: input[m, m]\n"
            + "x: input[T, m]\n"
            + "h: state[n] = q\n"
            + LOOP
            + "    h = rnn(x[t])\n    loss += sum(h)\n"
        )


def test_a_division_by_what_is_zero_is_refused():
    cell = bptt.parse("x: input[n]\nh: state[n]\nh = x / h", "mine")
    with pytest.raises(Error, match="line 2, column 5: what is 0 here makes a division by 0 in mine"):
        bptt.parse_model("x: input[n]\nh = mine(x)\nloss += sum(h)", "my", {"mine": cell})


# Files ------------------------------------------------------------------------------------------------------------


def test_cells_beside_a_model_are_called_and_come_before_the_zoo_s(tmp_path):
    (tmp_path / "mine.cell").write_text("x: input[m]\nh: state[3]\nh = tanh(W @ x + U @ h)\n")
    (tmp_path / "rnn.cell").write_text("x: input[n]\nh: state[n]\nh = tanh(x + h)\n")
    (tmp_path / "broken.cell").write_text("what?")
    path = tmp_path / "my.model"
    path.write_text(X + LOOP + "    g = mine(x[t])\n    h = rnn(g)\n" + END)
    model = bptt.load_model(path)
    assert model.params == {"W": ("3", "m"), "U": ("3", "3"), "V": ("k", "3"), "c": ("k",)}
    assert bptt.derive(model).prove().holds


def test_a_broken_cell_is_named_when_it_is_called(tmp_path):
    (tmp_path / "mine.cell").write_text("x: input[m]\nh: state[n]\nh = mine(x)\n")
    path = tmp_path / "my.model"
    path.write_text(RNN.replace("rnn", "mine"))
    with pytest.raises(NotationError, match=r"mine.cell, line 3, column 5: unknown function 'mine'"):
        bptt.load_model(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "can't be read: no such file"), (b"loss \xff", r"not text in UTF-8"), (b"", "the model has no loss")],
)
def test_bad_files(content, message, tmp_path):
    path = tmp_path / "my.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Error, match=f"my.model: {message}"):
        bptt.load_model(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(Error, match="can't be read: is a directory"):
        bptt.load_model(tmp_path)


def test_an_unknown_name_is_met_with_the_nearest():
    with pytest.raises(Error, match="no model is called 'stakced'. Did you mean 'stacked'"):
        bptt.load_model("stakced")


def test_what_is_to_be_declared_can_be_written_and_the_loss_is_no_slip_of_the_pen():
    text = "x: input[T, m]\nlayer: rnn\n" + LOOP + "    h = layer(x[t])\n    v = softmax(A @ h)\n    loss += v @ v\n"
    with pytest.raises(ShapeError) as caught:
        cut(text)
    assert "Annotate it, for example 'A: param[p, n]'." in str(caught.value)
    assert "misspelt" not in str(caught.value)
    assert cut("A: param[p, n]\n" + text).params["W_hh__layer"] == ("n", "n")


def test_what_is_found_of_a_size_is_a_sum_not_a_difference():
    layers = "".join(f"{way}: rnn\n" for way in ("f", "b", "g"))
    loops = "".join(f"for t in range(T):\n    h_{way} = {way}(x[t])\n" for way in "fb")
    end = "for t in range(T):\n    v = g(concat(h_f[t], h_b[t]))\n    loss += sum(v)\n"
    shapes = cut("x: input[T, m]\n" + layers + loops + end).params
    assert shapes["W_hh__f"] == ("n_f", "n_f") and shapes["W_hh__b"] == ("n_b", "n_b")
    assert shapes["W_xh__g"] == ("n_g", "n_b + n_f")


def test_a_number_of_a_loop_stays_one_beside_vectors_of_a_later_loop():
    text = X + "d: state\n" + LOOP + "    h = rnn(x[t])\n    d = 0.9 * d + dot(h, q)\n"
    text += LOOP + "    u = V @ tanh(d * h[t])\n    loss += cross_entropy(u, y[t])\n"
    assert cut(text).blocks[0].cell.states["d"] == ()

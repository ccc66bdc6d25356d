"""Every mistake in a cell's text is met by one message that points at its place; no text is ever executed."""

import re
import sys
import time

import pytest

import bptt
from bptt.derive.errors import Error, NotationError, ShapeError, Source
from bptt.derive.syntax import DEEPEST, LONGEST_TEXT, read

HEAD = "x: input[m]\nh: state[n]\n"
UNKNOWN = "the cell notation does not know this"

# (text with the fault between « and », message, what to do)
FAULTS = [
    # syntax.py
    (HEAD + "h = tanh«(»x", r"not valid: '\(' was never closed", ""),
    (HEAD + "lambda «=» 3", "not valid: invalid syntax", "'lambda' is a word of Python's own and can't be a name."),
    (HEAD + "é = x«$»", "not valid: invalid syntax", ""),
    (HEAD + "«import os»", "this is neither a declaration nor an equation", "A cell holds declarations such as"),
    (HEAD + "«if x: pass»", "this is neither a declaration nor an equation", "A cell holds declarations such as"),
    (HEAD + "«h += x»", "this is neither a declaration nor an equation", "A cell holds declarations such as"),
    (HEAD + "«dW_h += dh * h»", "this is neither a declaration nor an equation", "by hand are judged by `bptt check`"),
    (HEAD + "h = h; «del x»", "this is neither a declaration nor an equation", "A cell holds declarations such as"),
    ("«h: state = 3»", "a declaration names one quantity and gives it no value", "Declare as in 'x: input"),
    ("«h.x: state»", "a declaration names one quantity and gives it no value", "Declare as in 'x: input"),
    ("h: «hidden[n]»", "expected input, state, param or index", "Declare as in 'x: input"),
    ("w: «index»", "an index says how many entries it picks from", "Write 'w: index\\[k\\]'"),
    (
        "w: index[k]\n" + HEAD + "h = tanh(«w» * h)",
        "'w' is an index and can't be computed with",
        "It picks an entry, as in",
    ),
    (HEAD + "h = lookup(h, «h»)", "lookup takes an index", "Declare it, as in 'w: index\\[k\\]'"),
    ("h: state[«0»]", "a dimension is a name, a positive whole number, or a sum", "Declare as in 'x: input"),
    ("h: state[«n[0]»]", "a dimension is a name, a positive whole number, or a sum", "Declare as in 'x: input"),
    ("h: state[«True»]", "a dimension is a name, a positive whole number, or a sum", "Declare as in 'x: input"),
    ("h: state[«9999999999»]", "a dimension is a name, a positive whole number, or a sum", "Declare as in 'x: input"),
    ("h: «state[n, n, n]»", "a quantity has at most two dimensions", "Declare as in 'x: input"),
    (HEAD + "«h, x = x»", "an equation assigns to one name", "Write one 'name = expression' a line."),
    (HEAD + "«h = h = x»", "an equation assigns to one name", "Write one 'name = expression' a line."),
    ("«tanh»: input", "'tanh' is a function and can't name a quantity", "Choose another name."),
    (HEAD + "«sum» = x", "'sum' is a function and can't name a quantity", "Choose another name."),
    (HEAD + "h = «tanh»", "'tanh' is a function and stands here without arguments", r"Write tanh\(...\)."),
    (HEAD + "«delta_h» = x", "'delta_h' is kept for what is derived from the cell", "Choose another name."),
    (HEAD + "«g_prev» = x", "'g_prev' is kept for what is derived from the cell", "Choose another name."),
    (HEAD + "«prev» = x", "'prev' is kept for what is derived from the cell", "Choose another name."),
    (HEAD + "h = «True» * x", "True is not a number", "Write numbers such as"),
    (HEAD + "h = «'a'» * x", "'a' is not a number", "Write numbers such as"),
    (HEAD + "h = «1j» * x", "1j is not a number", "Write numbers such as"),
    (HEAD + "h = «1e999» * x", r"a number must be finite, at most 1.8e\+308", ""),
    (HEAD + "h = x ** «x»", "an exponent must be a number", r"Write exp\(y \* log\(x\)\)"),
    (HEAD + "h = 9**«9**9»", "an exponent must be a number", r"Write exp\(y \* log\(x\)\)"),
    (HEAD + "h = x ** («1 / 0»)", "an exponent must be a number", r"Write exp\(y \* log\(x\)\)"),
    (HEAD + "h = x ** («20 / 1»)", "an exponent may be at most 16", ""),
    (HEAD + "h = h ** «17»", "an exponent may be at most 16", ""),
    (HEAD + "h = h ** «-1000»", "an exponent may be at most 16", ""),
    (HEAD + "h = tanh(h) / «0»", "this is 0, by which nothing can be divided", ""),
    (HEAD + "h = h / («1 - 1»)", "this is 0, by which nothing can be divided", ""),
    (HEAD + "h = h / («2 * h - h - h»)", "this is 0, by which nothing can be divided", ""),
    (HEAD + "h = h + «0»**-0.5", "this is 0, by which nothing can be divided", ""),
    (HEAD + "h = h / «tanh(0)»", "this is 0, by which nothing can be divided", ""),
    (HEAD + "h = h * «(-8)**(1/3)»", "this is not a real number, or is past the largest float", "It comes to"),
    (HEAD + "h = h + «log(-1)»", "this is not a real number, or is past the largest float", "It comes to"),
    (HEAD + "h = h + «log(0)»", "this is not a real number, or is past the largest float", "It comes to -inf"),
    (
        HEAD + "h = h + «exp(1000)» / 2",
        "this is not a real number, or is past the largest float",
        r"It comes to 1.9701e\+434",
    ),
    (
        HEAD + "h = E[«w»] + h",
        "'w' is not a dimension of any input, state or parameter",
        r"declared, as in 'w: index\[W\]'",
    ),
    (HEAD + "h = (2 * h**«8»)**8", "powers of powers come to 64 here, at most 16 is allowed", ""),
    (HEAD + "h = x[«-1»]", "an index is a whole number from 0, a dimension's name, or a sum such as n - 1", ""),
    (HEAD + "h = x[«1.5»]", "an index is a whole number from 0", ""),
    (HEAD + "h = x[«0, 1»]", "an index is a whole number from 0", ""),
    (HEAD + "h = x[«::2»]", "a slice takes no step", r"Write as in h\[0:n\]."),
    (HEAD + "h = x[0:«h[0]»]", "an index is a whole number from 0", ""),
    (HEAD + "h = «tnh»(x)", "unknown function 'tnh'", "Did you mean 'tanh'?"),
    (HEAD + "h = «__import__»('os')", "unknown function '__import__'", "Known: abs, arctan, "),
    (HEAD + "h = «tanh(x, x)»", "tanh takes 1 argument, here 2", ""),
    (HEAD + "h = «max(x)»", "max takes 2 arguments, here 1", ""),
    (HEAD + "h = «concat(x)»", "concat takes 2 or more arguments, here 1", ""),
    (HEAD + "h = ones(x + «1.5»)", "ones takes dimensions", r"Write as in ones\(n\)"),
    (HEAD + "h = «tanh(x=x)»", UNKNOWN, "Equations use"),
    (HEAD + "h = «x.y»", UNKNOWN, "Equations use"),
    (HEAD + "h = «x.__class__»", UNKNOWN, "Equations use"),
    (HEAD + "h = «x.__class__.__bases__[0].__subclasses__()»", UNKNOWN, "Equations use"),
    (HEAD + "h = «(lambda: x)()»", UNKNOWN, "Equations use"),
    (HEAD + "h = «lambda: x»", UNKNOWN, "Equations use"),
    (HEAD + "h = «[x for x in x]»", UNKNOWN, "Equations use"),
    (HEAD + "h = «f'{x}'»", UNKNOWN, "Equations use"),
    (HEAD + "h = «x if x else h»", UNKNOWN, "Equations use"),
    (HEAD + "h = «x < h»", UNKNOWN, "Equations use"),
    (HEAD + "h = «x, h»", UNKNOWN, "Equations use"),
    (HEAD + "h = «not x»", UNKNOWN, "Equations use"),
    (HEAD + "h = «h // 2»", UNKNOWN, "Equations use"),
    (HEAD + "h = tanh(«*x»)", UNKNOWN, "Equations use"),
    (HEAD + "h = «None» * x", "None is not a number", ""),
    (
        HEAD + "«h = " + " + ".join(["x"] * (DEEPEST + 5)) + "»",
        f"nested more than {DEEPEST} levels",
        "Give parts of it",
    ),
    (HEAD + "h = h «⊙» h", "not valid: invalid character '⊙'", r"Here, ⊙ is written \*\."),
    (HEAD + "h = h «−» h", "not valid: invalid character '−'", "Here, − is written -"),
    (HEAD + "h = «h^2»", "the cell notation does not know this", r"Here, \^ is written \*\*\."),
    (HEAD + "h = «h > 0»", "the cell notation does not know this", r"geq\(a, b\) is 1 where a ≥ b"),
    (HEAD + "h = «σ»(h)", "unknown function 'σ'", r"Here, σ is written sigmoid\(u\)\."),
    # cell.py
    (HEAD + "«h: state[n]»", "'h' is declared twice", "Remove one of the two declarations."),
    (HEAD + "h = x[0] * h\n«h» = h", "'h' is assigned twice", "Give the new value a name of its own."),
    (HEAD + "«x» = h\nh = x", "'x' is declared as input and can't be assigned", "a name of its own"),
    (HEAD + "p: param[n]\n«p» = h\nh = p", "'p' is declared as param and can't be assigned", "a name of its own"),
    ("x: input[m]\n«h: state[n]»\ng = x", "the state 'h' is never assigned", r"Add an equation 'h = ...'"),
    (HEAD + "h = «g»\ng = x", "'g' is used before it is assigned", "move its line up, or declare it as a state"),
    (HEAD + "h = x * «n»", "'n' is a size, which no equation can read", r"As a number, it is sum\(ones\(n\)\)"),
    (HEAD + "h = tanh(«h_prev»)", "'h_prev' is not defined", "'h' already means the previous value"),
    (HEAD + "h = x + «incoming_x»", "'incoming_x' is not defined", "Known here: x, h."),
    (HEAD + "h = x[«k»] * h", "'k' is not a dimension of any input, state or parameter", "Known: m, n."),
    (HEAD + "h = sum(ones(«q»)) * h", "'q' is not a dimension of any input, state or parameter", "Known: m, n."),
    ("s: state\ns = s * sum(ones(«q»))", "'q' is not a dimension", "No quantity of this cell has a named dimension."),
    # shapes.py
    (HEAD + "h = x + «h»", "the other side is a vector of m, this is a vector of n", "Check the declarations"),
    (HEAD + "h = «x»", "'h' is a vector of n, this is a vector of m", "Check the declarations"),
    (HEAD + "h = «outer(x, h)»", "'h' is a vector of n, this is m×n", "Check the declarations"),
    (HEAD + "W: param[n, n]\nh = W @ «x»", r"the left side is n×n, so the right side must start with", ""),
    (HEAD + "h = «x @ 2»", "@ multiplies vectors and matrices, one side is a number", r"Use \* with a number."),
    (HEAD + "h = «x.T»", ".T needs a matrix, this is a vector of m", "A vector goes without .T."),
    (HEAD + "h = concat(«a», b)", "the shape of 'a' is ambiguous", r"Annotate it, for example 'a: param\[n\]'"),
    (HEAD + "h = A @ B @ x\n".replace("A @", "«A» @"), "the shape of 'A' is ambiguous", "Annotate it"),
    (HEAD + "h = ((«A» @ x) * (B @ h)) @ C", "the shape of 'A' is ambiguous", r"'A: param\[p, m\]'\."),
    (HEAD + "H: param[n, m]\nQ = H @ «A»\nh = sum(Q) * h", "the shape of 'A' is ambiguous", r"'A: param\[m, k\]'\."),
    (HEAD + "h = sum(«W») * h", "the shape of 'W' is ambiguous", "Annotate it"),
    (HEAD + "a = sigmoid(dot(q, h) + «b»)\nh = a * h", "'b' is ambiguous", r"'b: param' .* or 'b: param\[n\]'"),
    (HEAD + "h = h / (norm(h) + «eps»)", "the shape of 'eps' is ambiguous", "It stands beside a number"),
    (HEAD + "h = sigmoid(«k» * norm(h)) * h", "the shape of 'k' is ambiguous", "It stands beside a number"),
    (HEAD + "z = «W» @ x\nh = h * zz", "the shape of 'W' is ambiguous", "Nothing reads 'z': it may be misspelt"),
    (HEAD + "W: param[n, n]\nh = «W[0]» * h", "only a vector can be sliced, this is n×n", ""),
    (HEAD + "W: param[n, n]\nh = softmax(«W») @ h", "softmax takes vectors, this is n×n", ""),
    ("h: state[3]\nh = «h[3]» * h", "this index is past the end: the vector has 3 entries", r"The last one is \[2\]."),
    (HEAD + "h = «h[n]» * h", "this index is past the end: the vector has n entries", r"The last one is \[n - 1\]."),
    ("h: state[3]\nh = «h[2:2]»", "this slice is empty or reaches past the end", r"The whole of it is \[0:3\]."),
    ("h: state[3]\nh = «h[1:4]»", "this slice is empty or reaches past the end", r"The whole of it is \[0:3\]."),
]


def marked(text):
    """Return the text without its marks, and line, column and width of the marked place."""
    start, stop = text.index("«"), text.index("»") - 1
    plain = text.replace("«", "").replace("»", "")
    line = plain.count("\n", 0, start)
    return plain, line + 1, start - (plain.rfind("\n", 0, start) + 1), stop - start


@pytest.mark.parametrize(
    "before", ["", "# naïve 状態 δ\n", '"""Æ\n\x0cform feed"""\n'], ids=["plain", "comment", "doc"]
)
@pytest.mark.parametrize(("text", "message", "hint"), FAULTS)
def test_each_fault_is_pointed_at(text, message, hint, before):
    plain, line, column, width = marked(before + text)
    with pytest.raises(Error, match=message) as caught:
        bptt.parse(plain, "my.cell")
    lines = str(caught.value).split("\n")
    assert lines[0].startswith(f"my.cell, line {line}, column {column + 1}: ")
    assert lines[2].index("^") == 4 + column
    assert lines[2].count("^") == min(width, 60)
    assert re.search(hint, "\n".join(lines[3:]))
    assert all(len(shown) < 200 for shown in lines[:3])


@pytest.mark.parametrize(
    ("expression", "caret"),
    [("ξ * 状態 + tnh(x)", 15), ("e\u0301 + tnh(x)", 8), ("(\tx + tnh(x))", 10), ("x  + tnh(x)", 9)],
)
def test_the_caret_stands_under_its_place(expression, caret):
    """Wide characters take two columns and combining ones none; a tab stays a tab, so that any width of it fits."""
    with pytest.raises(NotationError, match="unknown function 'tnh'") as caught:
        bptt.parse(f"{HEAD}h = {expression}", "my.cell")
    _, shown, pointer, *_ = str(caught.value).split("\n")
    assert pointer.replace("\t", " ").index("^") == 4 + caret
    assert pointer.count("^") == 3
    assert shown.count("\t") == pointer.count("\t")


def test_a_place_in_a_long_line_is_shown_with_what_is_around_it():
    with pytest.raises(NotationError, match="unknown function 'tnh'") as caught:
        bptt.parse(f"{HEAD}h = {'x ' + '  ' * 900}+ tnh(x)", "my.cell")
    _, shown, pointer, _ = str(caught.value).split("\n")
    start = pointer.index("^")
    assert shown[start : start + 3] == "tnh"
    assert len(shown) < 130


def test_lines_are_counted_as_python_counts_them():
    text = f'"""A \x0b \x0c \x1c \x85 \u2028 in words."""\r\n{HEAD}'.replace("\n", "\r\n") + "h = tnh(x)"
    with pytest.raises(NotationError, match=r"line 4, column 5: unknown function") as caught:
        bptt.parse(text.replace("\r\r", "\r"), "my.cell")
    assert str(caught.value).split("\n")[1] == "    h = tnh(x)"


def test_control_characters_are_not_sent_to_the_terminal():
    shown = Source("my.cell", "h = '\x1b[2J' * x").point(1, 4, 3, "wrong")
    assert "\x1b" not in shown


HOSTILE = [
    "__import__('os').system('touch {target}')",
    "open('{target}', 'w')",
    "().__class__.__mro__[1].__subclasses__()",
    "[open('{target}', 'w') for x in [1]]",
    "(lambda: open('{target}', 'w'))()",
    "f\"{{open('{target}', 'w')}}\"",
    "(y := open('{target}', 'w'))",
    "9**9**9**9",
    "(((9**16)**16)**16)**16",
    "(2 * h)**16**16",
    "((((2 * h)**16)**16)**16)**16",
    "1e308**16**2",
    "0x" + "f" * 5000,
    "1" * 5000,
    "(" * 5000 + "x" + ")" * 5000,
    "(" * 150 + "x" + ")" * 150 + "@ 3",
    "-" * 3000 + "x",
    "tanh(" * 80 + "tnh(x)" + ")" * 80,
    "+".join(["x"] * 3000),
    "x" + ".T" * 3000,
    "x\0",
    "ones(1000000, 1000000) @ x @ x",
    "x[0:9999999999]",
    "\ud800",
]


@pytest.mark.parametrize("expression", HOSTILE)
def test_hostile_text_is_refused_at_once_and_never_executed(expression, tmp_path):
    target = tmp_path / "owned"
    start = time.process_time()
    with pytest.raises(Error) as caught:
        bptt.parse(f"{HEAD}h = {expression.replace('{target}', str(target))}", "my.cell")
    assert time.process_time() - start < 2
    assert len(str(caught.value)) < 1000
    assert not target.exists()


@pytest.mark.parametrize("statement", ["import os", "exec('1')", "class A: pass", "@x\ndef f(): pass", "global h"])
def test_statements_are_refused(statement):
    with pytest.raises(NotationError, match="neither a declaration nor an equation"):
        bptt.parse(HEAD + statement, "my.cell")


@pytest.mark.parametrize("text", ["x" * 1_000_000, "h = h\n" * 200_000, '"""' + "a" * 1_000_000 + '"""'])
def test_a_megabyte_is_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(NotationError, match=f"a text has at most {LONGEST_TEXT} characters, here "):
        bptt.parse(text)
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("depth", [20, DEEPEST - 5])
@pytest.mark.parametrize(
    "shape",
    [
        lambda k: " + ".join(["h * x"] * k),
        lambda k: "h + (x * " * (k // 2) + "h" + ")" * (k // 2),
        lambda k: "dot(h, h) * (" * (k // 3) + "h" + ")" * (k // 3),
        lambda k: "1 - (" * (k // 2) + "W @ x" + ")" * (k // 2),
        lambda k: "tanh(" * (k // 2) + "h * x" + ")" * (k // 2),
    ],
)
def test_deep_expressions_are_read_and_derived_quickly(shape, depth):
    start = time.process_time()
    cell = bptt.parse(f"x: input[n]\nh: state[n]\nh = {shape(depth)}")
    assert bptt.parse(cell.text).equations == cell.equations
    assert time.process_time() - start < 2
    assert bptt.derive(cell).backward.steps


def test_many_equations_are_read_quickly():
    lines = [f"a{i} = tanh(W{i} @ {f'a{i - 1}' if i else 'h'} + b{i})" for i in range(100)]
    start = time.process_time()
    cell = bptt.parse("\n".join(["h: state[n]", *(f"W{i}: param[n, n]" for i in range(100)), *lines, "h = a99"]))
    assert len(cell.params) == 200
    assert time.process_time() - start < 5


def test_a_text_with_odd_escapes_gives_no_warning():
    assert bptt.parse('"""A \\sigma."""\nh: state\nh = h').doc == "A \\sigma."


def test_read_takes_a_text_apart():
    text = read(Source("my", f'"""What it is."""\n{HEAD}h = tanh(W @ x)'))
    assert text.doc == "What it is."
    assert [(d.name, d.kind) for d in text.declarations] == [("x", "input"), ("h", "state")]
    assert [line.target for line in text.assignments] == ["h"]


def test_an_error_is_a_value_error():
    assert issubclass(Error, ValueError)
    assert issubclass(NotationError, Error) and issubclass(ShapeError, Error)
    assert sys.getrecursionlimit() < 10_000


def test_a_loop_in_a_cell_leads_to_models():
    with pytest.raises(NotationError, match="belong to a model: a .model file"):
        bptt.parse(HEAD + "h = x\nfor t in range(T):\n    h = x")

"""Single faults put into the backward passes of `theirs/` by edits of their source: what people get wrong."""

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

THEIRS = Path(__file__).parent / "theirs"


@dataclass(frozen=True)
class Case:
    """A backward pass that is right.

    Attributes:
        file, name: where it is, and which part of the file is meant ("" for all of it).
        functions: that are part of the backward pass alone.
        first: line after which statements belong to the backward pass.
    """

    file: str
    name: str
    functions: tuple[str, ...]
    first: int = 0

    @property
    def text(self) -> str:
        return (THEIRS / self.file).read_text(encoding="utf-8")


CASES = (
    Case("column_rnn.py", "", ("loss_fun",), 20),
    Case("course_layers.py", "rnn", ("rnn_step_backward", "rnn_backward")),
    Case("course_layers.py", "lstm", ("lstm_step_backward", "lstm_backward")),
    Case("gru_class.py", "", ("backward",)),
    Case("fused_lstm.py", "", ("backward",)),
    Case("stacked_lstm.py", "", ("lstm_backward",)),
)


@dataclass(frozen=True)
class Injected:
    """A fault.

    Attributes:
        case: that it is put into.
        kind: of the catalogue; several where they can't be told apart.
        line: its number.
        was, now: the line before and after.
        text: of the whole file.
    """

    case: Case
    kind: tuple[str, ...]
    line: int
    was: str
    now: str
    text: str


def faults(case: Case) -> Iterator[Injected]:
    """Yield the file with one fault, for every fault of the catalogue and every line that it applies to."""
    lines = case.text.splitlines()
    seen = set()
    for number in _lines(case):
        line = lines[number - 1]
        for kind, now in _of_line(line):
            if now == line or (number, now) in seen:
                continue
            seen.add((number, now))
            text = "\n".join([*lines[: number - 1], now, *lines[number:]]) + "\n"
            try:
                ast.parse(text)
            except SyntaxError:
                continue
            yield Injected(case, kind, number, line.strip(), now.strip(), text)


def _lines(case: Case) -> list[int]:
    tree = ast.parse(case.text)
    found = [
        node.lineno
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name in case.functions
        for node in ast.walk(function)
        if isinstance(node, ast.Assign | ast.AugAssign) and node.lineno > case.first
    ]
    return sorted(set(found))


def _of_line(line: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (kinds, the line with a fault)."""
    if " += " in line:
        yield ("accumulation",), line.replace(" += ", " = ")
        yield ("sign",), line.replace(" += ", " -= ")
    head, equals, right = line.partition(" = ") if " += " not in line else line.partition(" += ")
    if not re.search(r"\bd\w*", right) or "zeros" in right or right.startswith(("cache", "self")):
        return
    for pattern, other in ((r"\(1 - (\w+)\*\*2\)", r"(1 - \1)"), (r"\(1 - (\w+)\*\*2\)", r"(1 - np.tanh(\1)**2)")):
        yield ("activation",), head + equals + re.sub(pattern, other, right, count=1)
    yield ("activation", "factor"), head + equals + re.sub(r"(\w+) \* \(1 - \1\)", r"(1 - \1)", right, count=1)
    yield ("activation", "factor"), head + equals + re.sub(r" \* \(1 - (\w+)\)", "", right, count=1)
    yield ("activation",), head + equals + re.sub(r" \* \(1 - (\w+)\*\*2\)", "", right, count=1)
    yield ("activation",), head + equals + re.sub(r"( \* \(1 - \w+\*\*2\))", r"\1\1", right, count=1)
    yield ("activation",), head + equals + re.sub(r"np\.tanh\((\w+)\)", r"\1", right, count=1)
    for one, two in (("i", "f"), ("g", "i"), ("z", "r"), ("o", "f"), ("f", "o"), ("da_i", "da_f"), ("daz", "dar")):
        yield ("mix-up",), head + equals + re.sub(rf"(?<![\w\"]){one}(?!\w)", two, right)
    for one, two in (("W_n", "W_r"), ("U_z", "U_r"), ('"Wf"', '"Wi"'), ("dcc", "df"), ("dc_next", "dh_next")):
        yield ("mix-up",), head + equals + right.replace(one, two, 1)
    for one, two in (
        ("prev_c", "next_c"),
        ("c_old", "c"),
        ("hs[t - 1]", "hs[t]"),
        ("prev_h", "next_h"),
        ("hs[t]", "hs[t - 1]"),
    ):
        yield ("time",), head + equals + re.sub(rf"(?<!d){re.escape(one)}", two, right)
    for one, two in (("Wh.T", "Wh"), ("Whh.T", "Whh"), ("self.U_z", "self.U_z.T"), ("self.U_n", "self.U_n.T")):
        yield ("transpose",), head + equals + right.replace(one, two)
    yield ("scale", "bias sum"), head + equals + right.replace(".sum(axis=0)", ".mean(axis=0)")
    tree = ast.parse(right, mode="eval").body
    for kind, other in _without_terms(tree):
        yield kind, head + equals + other


def _without_terms(tree: ast.expr) -> Iterator[tuple[tuple[str, ...], str]]:
    for place, node in enumerate(ast.walk(tree)):
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add):
            continue
        for kept, dropped in ((node.left, node.right), (node.right, node.left)):
            if isinstance(dropped, ast.BinOp) and isinstance(dropped.op, ast.Add):
                continue  # two faults
            whole = copy.deepcopy(ast.Expression(tree))
            target = list(ast.walk(whole.body))[place]
            assert isinstance(target, ast.BinOp)
            text = ast.unparse(_swapped(whole, target, kept))
            kinds: tuple[str, ...] = ("missing path", "missing loss", "dropped carry")
            if re.search(r"next|prev_|dh$|dc$", ast.unparse(dropped)):
                kinds = ("dropped carry", "missing path", "missing loss")
            yield kinds, text
        whole = copy.deepcopy(ast.Expression(tree))
        other = list(ast.walk(whole.body))[place]
        assert isinstance(other, ast.BinOp)
        other.op = ast.Sub()
        yield ("sign",), ast.unparse(whole)


def _swapped(whole: ast.Expression, target: ast.expr, new: ast.expr) -> ast.Expression:
    for parent in ast.walk(whole):
        for field, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, field, new)
            elif isinstance(value, list):
                setattr(parent, field, [new if part is target else part for part in value])
    return whole

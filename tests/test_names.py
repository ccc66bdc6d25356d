"""No code knows the name of a cell: a cell is data, and only docstring examples may name one."""

import ast
import re
from doctest import DocTestParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(ROOT)
    for layer in ("derive", "kernels", "analysis", "reports")
    for path in (ROOT / layer).rglob("*.py")
)


def example_lines(source: str) -> set[int]:
    """Numbers of the lines that docstring examples and their expected output occupy."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                for example in DocTestParser().get_examples(text):
                    first = node.lineno + example.lineno
                    length = example.source.count("\n") + example.want.count("\n")
                    lines.update(range(first, first + length))
    return lines


def named_cells(source: str) -> list[str]:
    """Lines outside docstring examples that name a cell, each with its number."""
    examples = example_lines(source)
    return [
        f"{number}: {line.strip()}"
        for number, line in enumerate(source.split("\n"), 1)
        if number not in examples and re.search("lstm|gru", line, re.IGNORECASE)
    ]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_names_a_cell(path):
    assert named_cells((ROOT / path).read_text("utf-8")) == []


EXAMPLE = '''
def size(cell):
    """States of a cell.

    >>> [size(name)
    ...  for name in ("lstm", "gru")]
    ["lstm", "gru"]
    """
'''


def test_a_docstring_example_may_name_a_cell():
    assert named_cells(EXAMPLE) == []


@pytest.mark.parametrize(
    "line",
    ["    return LSTMCell(cell)", "    # as a gru does", '    """An LSTM."""', "    return {'gru': 1}"],
)
def test_other_code_may_not(line):
    assert named_cells(EXAMPLE + line) == [f"9: {line.strip()}"]

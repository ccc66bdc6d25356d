"""The example notebooks: their code runs, and prints what they say."""

import ast
import contextlib
import io
import json
import re
from pathlib import Path

import matplotlib
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def cells(path):
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


def shown(cell):
    """What the last line of a cell gives, as plain text."""
    return "".join(
        "".join(out["data"]["text/plain"]) for out in cell["outputs"] if out["output_type"] == "execute_result"
    )


def untimed(text):
    return re.sub(r"seconds=[\d.]+", "", text)


def printed(cell):
    return "".join("".join(out["text"]) for out in cell["outputs"] if out["output_type"] == "stream")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_prints_what_it_says(path):
    matplotlib.use("agg")
    namespace: dict[str, object] = {}
    for cell in cells(path):
        out = io.StringIO()
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if shown(cell) else None
        assert last is None or isinstance(last, ast.Expr)
        with contextlib.redirect_stdout(out):
            exec(compile(tree, path.name, "exec"), namespace)
            value = eval(compile(ast.Expression(last.value), path.name, "eval"), namespace) if last else None
        assert out.getvalue() == printed(cell)
        assert last is None or untimed(repr(value)) == untimed(shown(cell))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_with_its_outputs(path):
    assert [cell["execution_count"] for cell in cells(path)] == list(range(1, len(cells(path)) + 1))
    shown = [kind for cell in cells(path) for out in cell["outputs"] for kind in out.get("data", ())]
    assert {"text/html", "text/plain"} <= set(shown)
    assert path.stat().st_size < 300_000
    assert not any(out["output_type"] == "error" for cell in cells(path) for out in cell["outputs"])

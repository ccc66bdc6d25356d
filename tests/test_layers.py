"""Imports between the layers run one way: reports -> analysis -> kernels -> derive."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("derive", "kernels", "analysis", "reports")
MODULES = sorted(path.relative_to(ROOT) for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def imported(source: str, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """The line and the dotted, absolute name of everything that a module of `package` imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            for alias in node.names:
                yield node.lineno, ".".join([*base, *filter(None, [node.module]), alias.name])


def faults(source: str, path: Path) -> list[str]:
    """Imports of the module at `path`, relative to the root, that its layer must not make.

    A layer knows itself and those before it. It imports none of them by a bare name (`import derive` would
    load a second copy) and not the face either (`bptt.flow` would lead derive to analysis).
    """
    allowed = LAYERS[: LAYERS.index(path.parts[0]) + 1]
    return [
        f"{path}:{line} imports {name}"
        for line, name in imported(source, ("bptt", *path.parent.parts))
        if name.split(".")[0] in LAYERS
        or (name.split(".")[0] == "bptt" and name.partition(".")[2].split(".")[0] not in allowed)
    ]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_run_one_way(path):
    assert faults((ROOT / path).read_text("utf-8"), path) == []


@pytest.mark.parametrize("path", MODULES, ids=str)
@pytest.mark.parametrize("layer", LAYERS)
def test_each_module_with_an_import_added(path, layer):
    up = "." * len(path.parts)
    forms = [f"from {up}{layer}.x import y", f"from {up} import {layer}", f"import bptt.{layer}.x"]
    source = (ROOT / path).read_text("utf-8")
    wrong = LAYERS.index(layer) > LAYERS.index(path.parts[0])
    assert [bool(faults(f"{source}\n{form}\n", path)) for form in forms] == [wrong] * 3


@pytest.mark.parametrize(
    "line",
    [
        "from ..kernels.kernel import Kernel",
        "from ..kernels import Kernel",
        "from .. import kernels",
        "from bptt.kernels import Kernel",
        "from bptt import kernels",
        "def late():\n    import bptt.kernels.kernel",
        "import bptt",
        "from bptt import flow",
        "from derive.cell import Cell",
        "import derive",
    ],
)
def test_a_wrong_import_is_seen(line):
    assert faults(line, Path("derive/cell.py"))


@pytest.mark.parametrize(
    "line",
    ["from .shapes import unify", "from ..derive import cell", "import bptt.derive.shapes", "import ast"],
)
def test_a_right_import_passes(line):
    assert faults(line, Path("derive/cell.py")) == []

"""The public names of `bptt`: cheap to import, and the same whatever is imported first."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bptt

USE = """
import bptt
assert isinstance(bptt.derive(bptt.load(bptt.zoo()[0])), bptt.Derivation)
import bptt.derive as package
assert package is bptt.derive
assert package.Cell is bptt.Cell
"""


def run(source):
    """Run `source` in a process of its own and return what it prints."""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_nothing_heavy():
    loaded = set(run("import sys, bptt.cli; print(*sys.modules)").split())
    assert not loaded & {"sympy", "numpy", "numba", "scipy", "xarray", "matplotlib", "typst", "bptt.derive"}


@pytest.mark.parametrize("name", [name for name in dir(bptt) if not name.startswith("__")])
def test_every_name_in_dir_resolves(name):
    assert getattr(bptt, name) is not None


@pytest.mark.parametrize("name", ["lode", "__wrapped__"])
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        getattr(bptt, name)


@pytest.mark.parametrize(
    "first", ["import bptt", "import bptt.derive", "from bptt import derive", "import bptt.reports"]
)
def test_derive_is_function_and_package_whatever_comes_first(first):
    run(f"{first}\n{USE}")


def test_types_and_table_agree():
    tree = ast.parse(Path(bptt.__file__).read_text("utf-8"))
    typed = {
        alias.asname: f"bptt.{node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert typed == bptt._PUBLIC | {"derive": "bptt.derive"}

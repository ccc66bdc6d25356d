"""What the options and arguments of commands share: one name and one meaning each."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click
from click.shell_completion import CompletionItem

import bptt

OUTPUT = click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON; all else goes to standard error.")
SEED = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what is random: the same gives the same."
)
DTYPES = click.Choice(["float32", "float64"])


def shipped(suffix: str) -> list[str]:
    """Return the names of the cells (.cell) or models (.model) that ship with bptt, without loading a layer.

    >>> "rnn" in shipped(".cell")
    True
    """
    folders = (entry for entry in (resources.files("bptt") / "derive").iterdir() if entry.is_dir())
    files = (file.name for folder in folders for file in folder.iterdir())
    return sorted(name.removesuffix(suffix) for name in files if name.endswith(suffix))


class Shipped(click.ParamType):
    """What ships with bptt or lies in a file. A shell completes names and, where none fits, paths."""

    name = "cell"

    def __init__(self, *suffixes: str) -> None:
        self.suffixes = suffixes

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = [name for suffix in self.suffixes for name in shipped(suffix) if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem(incomplete, type="file")]


CELL = Shipped(".cell")
CELL_OR_MODEL = Shipped(".cell", ".model")


def loaded(name: str) -> bptt.Cell | bptt.Model:
    """Return the cell or model of a name, or in the file of a path.

    Raises:
        Error: where there is none.
    """
    if name in bptt.models() or Path(name).suffix == ".model":
        return bptt.load_model(name)
    if not Path(name).suffix and name not in bptt.zoo() and not Path(name).exists():
        from bptt.derive.cell import near_name

        near = near_name(name, [*bptt.zoo(), *bptt.models()], ".cell", ".model")
        raise bptt.Error(f"no cell or model is called '{name}'. {near}")
    return bptt.load(name)

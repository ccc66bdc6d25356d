"""The commands about what ships with bptt, and models made of it: cells, models, compose."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

import bptt

from .console import give, give_json
from .options import CELL, JSON, OUTPUT


@click.command()
@JSON
def cells(as_json: bool) -> None:
    """List the cells that ship with bptt."""
    _list((bptt.load(name) for name in bptt.zoo()), as_json)


@click.command()
@JSON
def models(as_json: bool) -> None:
    """List the sequence models that ship with bptt."""
    _list((bptt.load_model(name) for name in bptt.models()), as_json)


def _list(things: Iterable[bptt.Cell | bptt.Model], as_json: bool) -> None:
    found = list(things)
    if as_json:
        give_json([{part: getattr(one, part) for part in ("name", "title", "inputs", "params")} for one in found])
        return
    width = max(len(one.name) for one in found)
    for one in found:
        click.echo(f"{one.name:<{width}}  {one.title}")


@click.command()
@click.argument("cell", type=CELL)
@click.option("--shape", default="many-to-many", show_default=True, help="Such as one-to-many or sequence-to-sequence.")
@click.option("--layers", default=1, show_default=True, help="How many cells are stacked.")
@click.option("--bidirectional", is_flag=True, help="Each layer also runs from the last step to the first.")
@click.option("--embedding", is_flag=True, help="Inputs are numbers that pick rows of a learned table.")
@click.option("--attention", is_flag=True, help="The decoder looks at all steps of the encoder.")
@click.option("--loss", default="cross_entropy", show_default=True, help="Or squared_error, or logistic_loss.")
@OUTPUT
def compose(cell: str, output: Path | None, **choices: Any) -> None:
    """Write the text of a sequence model around a cell.

    Without -o it is printed. The text can be changed by hand, and read again.
    """
    text = bptt.compose(cell, **choices).text
    if output is not None and output.suffix != ".model":
        raise bptt.Error(f"{output}: a model's text is written to a .model file; try -o {output.with_suffix('.model')}")
    give(text, output)

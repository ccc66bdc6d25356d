"""The command about verdicts: check."""

from __future__ import annotations

from pathlib import Path

import click

import bptt

from .console import wrote
from .options import CELL, JSON, OUTPUT


@click.command()
@click.argument("file", type=click.Path())
@click.option("--cell", type=CELL, help="Whose backward pass it is; not needed where FILE has the cell's equations.")
@JSON
@OUTPUT
def check(file: str, cell: str | None, as_json: bool, output: Path | None) -> None:
    """Judge hand-derived gradients: formulas, LaTeX or code.

    FILE holds formulas in the cell notation, LaTeX (.tex) or code of NumPy or PyTorch (.py). The verdict says which
    line is wrong and why, and shows the mended line to be right.

    Exit status 0: all correct, 1: faults. With -o the verdict is also written as a page: .html .pdf .md .tex .typ.
    """
    from bptt.analysis.verdicts.show import show

    if output is not None:
        from bptt.reports.files import check_target

        check_target(output)
    verdict = bptt.check(Path(file), cell=cell)
    if as_json:
        click.echo(verdict.to_json())
    else:
        show(verdict)
    if output is not None:
        bptt.save(verdict, output)
        wrote(output, as_json)
    if not verdict.correct:
        raise SystemExit(1)

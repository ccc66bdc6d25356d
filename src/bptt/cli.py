"""The command line: which commands there are, under which headings, and in which modules of `commands`."""

from __future__ import annotations

import click

from .commands.overview import Overview

SECTIONS = {
    "Cells and models": {"cells": "catalogue", "models": "catalogue", "compose": "catalogue"},
    "Gradients": {"derive": "derivation", "check": "verdict"},
    "Generated code": {"kernel": "kernel", "export": "kernel", "bench": "kernel"},
    "Gradient flow": {"flow": "flow", "study": "study", "report": "flow"},
    "Training": {"train": "training", "generate": "training", "inspect": "training", "gallery": "gallery"},
    "This installation": {"doctor": "doctor", "completion": "completion"},
}

EXAMPLES = """\b
Begin with one of these:
  bptt derive lstm                   the backward pass, line by line, and its proof
  bptt derive mine.cell -o mine.pdf  of your own cell, typeset
  bptt check mine.txt --cell gru     is your own backward pass right?
  bptt flow rnn lstm -o flow.html    how far gradients reach

Each command explains itself: bptt derive -h
"""


@click.group(
    cls=Overview,
    sections=SECTIONS,
    epilog=EXAMPLES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="bptt")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Recurrent cells as data: backpropagation through time derived, proved, compiled and measured.

    CELL is a name that `bptt cells` lists, or the path of a .cell file.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())

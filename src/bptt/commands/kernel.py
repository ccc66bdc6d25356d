"""The commands about generated code: kernel, export, bench."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import click

import bptt

from .console import give, give_json, wrote
from .options import CELL, CELL_OR_MODEL, DTYPES, JSON, OUTPUT, loaded


@click.command()
@click.argument("cell", type=CELL)
@click.option("--dtype", type=DTYPES, default="float64", show_default=True, help="Of all numbers.")
@click.option("--schedule", "as_schedule", is_flag=True, help="Print what the kernel does, and what each step costs.")
@click.option("--size", multiple=True, metavar="NAME=NUMBER", help="With --schedule: a size, for times at least.")
@click.option("--steps", type=click.IntRange(1), default=100, show_default=True, help="With --size.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="With --size.")
@OUTPUT
def kernel(
    cell: str, dtype: str, as_schedule: bool, size: tuple[str, ...], steps: int, batch: int, output: Path | None
) -> None:
    """Print the generated Numba module of a cell.

    With -o it is written to a .py file. With --schedule, print instead what it does, in order, with counts of
    operations and entries; and with a --size for each dimension, such as --size m=64 --size n=128, its memory and a
    roofline for this machine.
    """
    if not as_schedule:
        _check_suffix(output, ".py", "the module")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy loads: its product is measured on one core
    made = bptt.compile(bptt.load(cell), dtype)
    text = made.source
    if as_schedule:
        text = f"{made.schedule}\n"
        if size:
            from bptt.kernels.bench import roofline_here

            sizes = _sizes(size)
            text += f"\n{made.memory(sizes, steps, batch)}\n\n{roofline_here(made, sizes, steps, batch)}\n"
    elif size:
        raise bptt.Error("--size is for --schedule: add --schedule, or leave --size out")
    give(text, output)


@click.command()
@click.argument("cell", type=CELL_OR_MODEL)
@click.option("--to", "framework", type=click.Choice(["torch", "jax", "onnx"]), default="torch", show_default=True)
@click.option("--dtype", type=DTYPES, default="float32", show_default=True, help="Of an ONNX model.")
@OUTPUT
def export(cell: str, framework: str, dtype: str, output: Path | None) -> None:
    """Write a cell or a model for PyTorch, JAX or ONNX.

    For PyTorch and JAX it is readable source, from the equations, that stands alone (.py). For ONNX (.onnx) it is
    scans over functions for a step; parameters and the states before the first step are inputs of the graph. A model
    predicts without targets; in PyTorch and JAX its loss is there too. Without -o it is printed.
    """
    _check_suffix(output, ".onnx" if framework == "onnx" else ".py", f"--to {framework}")
    if framework != "onnx":
        give(bptt.export(loaded(cell), framework), output)
        return
    model = bptt.to_onnx(loaded(cell), dtype=dtype)
    if output is None:
        from onnx.printer import to_text

        click.echo(to_text(model))
        return
    from bptt.reports.files import write

    write(output, model.SerializeToString())
    wrote(output)


def _check_suffix(output: Path | None, suffix: str, what: str) -> None:
    if output is not None and output.suffix != suffix:
        raise bptt.Error(f"{output}: {what} is written to a {suffix} file; try -o {output.with_suffix(suffix)}")


def _sizes(given: tuple[str, ...]) -> dict[str, int]:
    """Return sizes from texts such as n=128."""
    pairs = [text.partition("=") for text in given]
    if wrong := [text for text, (_, _, number) in zip(given, pairs, strict=True) if not number.strip().isdecimal()]:
        raise bptt.Error(f"a size is given as --size n=128, here {wrong[0]!r}")
    return {name.strip(): int(number) for name, _, number in pairs}


@click.command()
@click.argument("cell", nargs=-1, type=CELL)
@click.option("--dtype", type=DTYPES, multiple=True, default=["float32", "float64"], help="By default both.")
@click.option("--threads", type=click.IntRange(1), multiple=True, default=[1], help="Of each competitor; by default 1.")
@click.option(
    "--sizes",
    type=click.Choice(["quick", "full", "ragged", "growth"]),
    default="quick",
    show_default=True,
    help="What is timed: a few sizes, many, those that fill no vector, or ever more steps.",
)
@click.option(
    "--peer",
    type=click.Choice(["torch", "compiled", "jax"]),
    multiple=True,
    default=["torch", "jax"],
    help="Beside what: by default torch and jax; compiled is torch.compile.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help=".json, .md: tables; .png, .svg, .pdf: a plot.")
@JSON
def bench(
    cell: tuple[str, ...],
    dtype: tuple[str, ...],
    threads: tuple[int, ...],
    sizes: str,
    peer: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    """Time kernels beside PyTorch and JAX.

    A run is forward and backward, with all gradients, against those that are installed.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy loads: its product is measured on one core
    from bptt.kernels import bench as benches
    from bptt.kernels import comparison

    if output is not None:
        comparison.check_target(output)
    names = cell or ("rnn", "lstm", "gru_reset_after", "lstm_peephole")
    rows: list[Any] = []
    for name, kind, count in itertools.product(names, dtype, threads):
        loaded = bptt.load(name)
        tell = lambda line: click.echo(line, err=as_json)  # noqa: E731
        rows += benches.bench(loaded, kind, count, benches.SIZES[sizes], peer, tell)
    if as_json:
        give_json(comparison.as_data(rows))
    else:
        click.echo("\n".join(["", *comparison.summary(rows)]))
    if output is not None:
        comparison.write(rows, output)
        wrote(output, as_json)

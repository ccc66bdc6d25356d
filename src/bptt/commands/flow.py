"""The commands that measure cells side by side: flow, report."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import bptt

from .console import command, give_json, progress, wrote
from .options import CELL, JSON, OUTPUT


def _study_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that set up a study of gradient flow."""
    options = [
        click.option("--hidden", type=click.IntRange(1), help="Size of the state and of other free dimensions."),
        click.option("--steps", type=click.IntRange(1), help="Length T of each sequence, in characters."),
        click.option("--batch", type=click.IntRange(1), help="Sequences per seed."),
        click.option("--seeds", type=click.IntRange(1), help="Independent draws of weights and sequences."),
        click.option("--gain", type=float, help="Weights are drawn from N(0, gain²/columns); 1 by default."),
        click.option("--text", "text_path", type=click.Path(), help="A text file; Python's own help texts by default."),
        click.option("--quick", is_flag=True, help="A small study, for a first look."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("cell", nargs=-1, required=True, type=CELL)
@OUTPUT
@_study_options
@JSON
def flow(cell: tuple[str, ...], output: Path | None, quick: bool, as_json: bool, **given: Any) -> None:
    """Measure the gradient flow of cells side by side.

    It is measured on text and on the same characters shuffled. Instead of cells, a model that others have trained:
    .pt, .pth, .safetensors, .onnx, .keras or .h5. With -o a page with figures is written too: .html .pdf .md .tex .typ.
    """
    from bptt.analysis import flow_study, summarise
    from bptt.analysis.weights.files import READERS
    from bptt.derive.derivation import derive as derived
    from bptt.reports import check_target, comparison_document

    if output is not None:
        check_target(output)
    settings = _settings(quick, given)
    trained = _trained(cell, given, as_json) if {Path(name).suffix for name in cell} & READERS.keys() else None
    loaded = trained.cells if trained else [bptt.load(name) for name in cell]
    with progress(kernels=True) as advance:

        def measured(done: int, total: int) -> None:
            advance("Measuring gradient flow", done, total)

        if trained:
            counts = {name: settings[name] for name in ("steps", "batch", "seeds") if name in settings}
            study = bptt.analysis.trained_flow(trained, progress=measured, **counts)
        else:
            study = flow_study(loaded, progress=measured, **settings)
    summary = summarise(study)
    if as_json:
        give_json(_as_data(summary))
    else:
        click.echo(_half_lives(summary))
    if output is not None:
        bptt.save(comparison_document([derived(c) for c in loaded], study, command=command()), output)
        wrote(output, as_json)


def _trained(names: tuple[str, ...], given: dict[str, Any], as_json: bool) -> Any:
    """Return the one model that a file of weights holds, after saying what was found in it."""
    if len(names) > 1:
        beside = f"here beside {len(names) - 1} more"
        raise bptt.Error(f"a trained model is studied alone, {beside}. Give its file alone, and run again for others")
    if useless := [name for name in ("hidden", "gain", "text_path") if given[name] is not None]:
        option = "--text" if useless[0] == "text_path" else f"--{useless[0]}"
        what = "a trained model has its own sizes and weights, and reads no text"
        raise bptt.Error(f"{option} is for cells: {what}. Leave it out")
    trained = bptt.analysis.read_weights(names[0])
    click.echo(f"{trained}\n", err=as_json)
    return trained


@click.command()
@click.argument("cell", nargs=-1, type=CELL)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder.")
@_study_options
def report(cell: tuple[str, ...], output: Path, quick: bool, **given: Any) -> None:
    """Write the comparative report.

    It shows cells side by side, and puts to the test what lectures say of gradients.
    """
    from bptt.analysis.studies.pool import cores
    from bptt.reports.report import made_folder, write_report

    made_folder(output)
    loaded = [bptt.load(name) for name in cell]
    with progress(kernels=True) as advance:
        study = {name: value for name, value in given.items() if value is not None}
        size = "quick" if quick else "full"
        written = write_report(output, loaded, size=size, command=command(), progress=advance, workers=cores(), **study)
    for path in written:
        wrote(path)


def _settings(quick: bool, given: dict[str, Any]) -> dict[str, Any]:
    from bptt.reports.report import settings

    return settings("quick" if quick else "full")[1] | {
        name: value for name, value in given.items() if value is not None
    }


def _half_lives(summary: Any) -> str:
    """Return the half-lives as lines of text, with their intervals."""
    lines = ["Half-life of the gradient, in steps, with its 95 % interval"]
    width = max(len(str(name)) for name in summary.cell.values)
    for name in summary.cell.values:
        at = summary.sel(cell=name)
        found = "   ".join(f"{kind}: {_half_life(at.sel(data=kind))}" for kind in summary.data.values)
        lines.append(f"{name!s:<{width}}  {found}")
    return "\n".join([*lines, *summary.attrs.get("notes", ())])


def _half_life(at: Any) -> str:
    """Return one half-life with its interval, as far as it is known, and how many runs overflowed."""
    from bptt.analysis.overflow import said

    value, low, high = float(at.half_life), float(at.half_life_low), float(at.half_life_high)
    text = f"{value:.2f}" if math.isfinite(value) else f"longer than {int(at.lag.max())}"
    if math.isinf(value) and at["mean"].values.argmax() == at.sizes["lag"] - 1 and at["mean"].values[-1] > 0:
        text += ", it grows"
    if math.isfinite(low):
        text += f" ({low:.2f} {f'to {high:.2f}' if math.isfinite(high) else 'or longer'})"
    counts = [int(at[name]) for name in ("overflow_first", "overflow_last", "overflowed", "runs")]
    if not counts[2]:
        return text
    return said(*counts) if counts[2] == counts[3] else f"{text}; {said(*counts)}"


def _as_data(summary: Any) -> list[dict[str, Any]]:
    """Return the half-lives in steps, with the bounds of their 95 % intervals, and the counts of what overflowed."""
    from bptt.analysis.overflow import COUNTS

    return [
        {"cell": str(name), "data": str(kind)}
        | {
            part: float(summary[part].sel(cell=name, data=kind))
            for part in ("half_life", "half_life_low", "half_life_high")
        }
        | {part: int(summary[part].sel(cell=name, data=kind)) for part in COUNTS}
        for name in summary.cell.values
        for kind in summary.data.values
    ]

"""The command line. Heavy libraries load inside the commands, so that `--help` answers at once."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import bptt

from .console import command, progress
from .gallery import gallery
from .training import generate, inspect, train

OUTPUT = click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write it.")


class _Group(click.Group):
    """Turns what a user can cause into one message and exit status 2."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            if not isinstance(error, bptt.Error):
                raise
            click.echo(f"bptt: {error}", err=True)
            ctx.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bptt")
def main() -> None:
    """Recurrent cells as data: backpropagation through time derived, proved, compiled and measured.

    CELL is a name that `bptt cells` lists, or the path of a .cell file.
    """


@main.command()
def cells() -> None:
    """List the cells that ship with bptt."""
    names = bptt.zoo()
    width = max(map(len, names))
    for name in names:
        click.echo(f"{name:<{width}}  {bptt.load(name).title}")


@main.command()
def models() -> None:
    """List the sequence models that ship with bptt."""
    names = bptt.models()
    width = max(map(len, names))
    for name in names:
        click.echo(f"{name:<{width}}  {bptt.load_model(name).title}")


@main.command()
@click.argument("cell")
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
        raise bptt.Error(f"{output}: a model's text is written to a .model file")
    _give(text, output)


def _give(text: str, output: Path | None) -> None:
    """Write a text to a file, or print it where none is given."""
    if output is None:
        click.echo(text, nl=False)
        return
    from bptt.reports.files import write

    write(output, text.encode())
    click.echo(f"Wrote {output}")


def _notation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose a notation."""
    options = [
        click.option("--notation", "file", type=click.Path(), help="A TOML file with the choices below."),
        click.option("--layout", help="column (W h), row (h W) or batch (H Wᵀ, a sample a row)."),
        click.option("--fuse/--separate", default=None, help="Stack the matrices of the gates: W [h; x]."),
        click.option("--gates", help="Order of the stacked gates, such as f,i,o,g."),
        click.option("--names", help="Other names, such as W_hh=U,b_h=b."),
        click.option("--adjoint", help="delta (δh), partial (∂L/∂h) or bar (h̄)."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.argument("cell")
@OUTPUT
@click.option("--detail", default="full", show_default=True, help="Of the document: brief or full.")
@click.option("--language", default="en", show_default=True, help="Of the document: en or ko.")
@_notation_options
def derive(cell: str, output: Path | None, detail: str, language: str, **choices: Any) -> None:
    """Derive the backward pass through time of a cell or of a model, and prove it.

    Without -o the steps are printed. With -o they become a document: .pdf .tex .typ .html or .md.
    A model is one that `bptt models` lists, or the path of a .model file.
    """
    from bptt.reports import check_request

    check_request(output, language, detail)
    from bptt.derive.derivation import derive as derived

    notation = _notation(**choices)
    if cell in bptt.models() or Path(cell).suffix == ".model":
        _derive_model(cell, output, detail, language, notation)
        return
    if not Path(cell).suffix and cell not in bptt.zoo() and not Path(cell).exists():
        from bptt.derive.syntax import closest

        known = closest(cell, [*bptt.zoo(), *bptt.models()])
        raise bptt.Error(f"no cell or model is called '{cell}'. {known} Or give the path of a .cell or .model file.")
    restated = bptt.restate(derived(bptt.load(cell)), notation)
    if output is None:
        click.echo(_steps(restated.derivation))
        proof = restated.prove()
        click.echo(f"\n{proof}")
    else:
        from bptt.reports import derivation_document

        proof = _proved(restated)
        bptt.save(derivation_document(restated, proof, language, detail), output)
        click.echo(f"{proof}\nWrote {output}")
    if not notation.is_plain:
        click.echo(restated.agreement)
    if not proof.holds or not (notation.is_plain or restated.agreement.holds):
        raise SystemExit(1)


def _derive_model(name: str, output: Path | None, detail: str, language: str, notation: bptt.Notation) -> None:
    """Derive and prove a model, and print its steps or write its document."""
    derivation = bptt.restate(bptt.derive(bptt.load_model(name)), notation)
    if output is None:
        click.echo(derivation)
    proof = _proved(derivation)
    if output is not None:
        from bptt.reports import model_document

        bptt.save(model_document(derivation, proof, language, detail), output)
    click.echo(f"\n{proof}" if output is None else f"{proof}\nWrote {output}")
    if not proof.holds:
        raise SystemExit(1)


def _proved(derivation: bptt.Restated | bptt.ModelDerivation) -> bptt.Proof:
    """Prove a derivation with a bar that shows how far the proof is."""
    if isinstance(derivation, bptt.ModelDerivation):
        gradients = len(derivation.model.params) + len(derivation.model.inputs)
    else:
        cell = derivation.derivation.cell
        gradients = len(cell.params) + len(cell.states) + len(cell.inputs)
    with progress() as advance:
        counted = itertools.count()
        proof = derivation.prove(lambda name: advance("Proving", next(counted), gradients))
        advance("Proving", gradients, gradients)
    return proof


def _notation(file: str | None, gates: str | None, names: str | None, **choices: Any) -> bptt.Notation:
    """Return the notation of a file, with what the other options say in its place."""
    given = {name: value for name, value in choices.items() if value is not None}
    if gates is not None:
        given["gates"] = tuple(name.strip() for name in gates.split(","))
    if names is not None:
        pairs = [[part.strip() for part in pair.split("=")] for pair in names.split(",")]
        if wrong := [pair for pair in pairs if len(pair) != 2 or not all(pair)]:
            raise bptt.Error(f"names are given as old=new,old=new, here '{'='.join(wrong[0])}'")
        given["names"] = dict(pairs)
    if file is None:
        return bptt.Notation(**given)
    return replace(bptt.read_notation(file), **given)


@main.command()
@click.argument("cell")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float64", show_default=True)
@click.option("--schedule", "as_schedule", is_flag=True, help="Print what the kernel does, and what each step costs.")
@click.option("--size", multiple=True, metavar="NAME=NUMBER", help="With --schedule: a size, for times at least.")
@click.option("--steps", type=click.IntRange(1), default=100, show_default=True, help="With --size.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="With --size.")
@OUTPUT
def kernel(
    cell: str, dtype: str, as_schedule: bool, size: tuple[str, ...], steps: int, batch: int, output: Path | None
) -> None:
    """Print the generated Numba module of a cell, or write it to a .py file.

    With --schedule, print instead what it does, in order, with counts of operations and entries; and with a --size for
    each dimension, such as --size m=64 --size n=128, its memory and a roofline for this machine.
    """
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
        raise bptt.Error("--size is for --schedule")
    _give(text, output)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(as_json: bool) -> None:
    """Say what is installed, what this machine has, and what is missing.

    Exit status 0: all is well, 1: something must be mended.
    """
    from bptt.doctor import as_text, examine

    findings = examine()
    click.echo(as_text(findings, as_json))
    if any(finding.well is False for finding in findings):
        raise SystemExit(1)


@main.command()
@click.argument("cell")
@click.option("--to", "framework", type=click.Choice(["torch", "jax"]), default="torch", show_default=True)
@OUTPUT
def export(cell: str, framework: str, output: Path | None) -> None:
    """Write a cell as a module of PyTorch or JAX that stands alone: readable source, from the cell's equations."""
    from bptt.kernels.frameworks import export as exported

    text = exported(bptt.load(cell), framework)
    if output is not None and output.suffix != ".py":
        raise bptt.Error(f"{output}: a module is written to a .py file")
    _give(text, output)


def _sizes(given: tuple[str, ...]) -> dict[str, int]:
    """Return sizes from texts such as n=128."""
    pairs = [text.partition("=") for text in given]
    if wrong := [text for text, (_, _, number) in zip(given, pairs, strict=True) if not number.strip().isdecimal()]:
        raise bptt.Error(f"a size is given as --size n=128, here {wrong[0]!r}")
    return {name.strip(): int(number) for name, _, number in pairs}


@main.command()
@click.argument("cell", nargs=-1)
@click.option("--dtype", type=click.Choice(["float32", "float64"]), multiple=True, default=["float32", "float64"])
@click.option("--threads", type=click.IntRange(1), multiple=True, default=[1], help="Of each competitor.")
@click.option("--sizes", type=click.Choice(["quick", "full", "ragged", "growth"]), default="quick", show_default=True)
@click.option("--peer", type=click.Choice(["torch", "compiled", "jax"]), multiple=True, default=["torch", "jax"])
@click.option("-o", "--output", type=click.Path(path_type=Path), help=".json, .md: tables; .png, .svg, .pdf: a plot.")
def bench(
    cell: tuple[str, ...],
    dtype: tuple[str, ...],
    threads: tuple[int, ...],
    sizes: str,
    peer: tuple[str, ...],
    output: Path | None,
) -> None:
    """Time kernels beside PyTorch and JAX, where they are installed: forward and backward, with all gradients."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy loads: its product is measured on one core
    from bptt.kernels import bench as benches
    from bptt.kernels import comparison

    if output is not None:
        comparison.check_target(output)
    names = cell or ("rnn", "lstm", "gru_reset_after", "lstm_peephole")
    rows = []
    for name, kind, count in itertools.product(names, dtype, threads):
        loaded = bptt.load(name)
        rows += benches.bench(loaded, kind, count, benches.SIZES[sizes], peer, lambda line: click.echo(line))
    click.echo("\n".join(["", *comparison.summary(rows)]))
    if output is not None:
        comparison.write(rows, output)
        click.echo(f"Wrote {output}")


@main.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--cell", help="Whose backward pass it is; not needed where the cell's equations are in the file.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@OUTPUT
def check(file: str, cell: str | None, as_json: bool, output: Path | None) -> None:
    """Judge hand-derived gradients: formulas in the cell notation, LaTeX (.tex) or code (.py).

    Says which line is wrong and why, and shows the mended line to be right. Exit status 0: all correct, 1: faults.
    With -o the verdict is also written as a page: .html .pdf .md .tex .typ.
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
        click.echo(f"Wrote {output}", err=as_json)
    if not verdict.correct:
        raise SystemExit(1)


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


@main.command()
@click.argument("cell", nargs=-1, required=True)
@OUTPUT
@_study_options
def flow(cell: tuple[str, ...], output: Path | None, quick: bool, **given: Any) -> None:
    """Measure the gradient flow of cells side by side, on text and on the same characters shuffled.

    Instead of cells, a model that others have trained: .pt, .pth, .safetensors, .onnx, .keras or .h5.
    """
    from bptt.analysis import flow_study, summarise
    from bptt.analysis.weights.files import READERS
    from bptt.derive.derivation import derive as derived
    from bptt.reports import check_target, comparison_document

    if output is not None:
        check_target(output)
    settings = _settings(quick, given)
    trained = _trained(cell, given) if {Path(name).suffix for name in cell} & READERS.keys() else None
    loaded = trained.cells if trained else [bptt.load(name) for name in cell]
    with progress(kernels=True) as advance:

        def measured(done: int, total: int) -> None:
            advance("Measuring gradient flow", done, total)

        if trained:
            counts = {name: settings[name] for name in ("steps", "batch", "seeds") if name in settings}
            study = bptt.analysis.trained_flow(trained, progress=measured, **counts)
        else:
            study = flow_study(loaded, progress=measured, **settings)
    click.echo(_half_lives(summarise(study)))
    if output is not None:
        bptt.save(comparison_document([derived(c) for c in loaded], study, command=command()), output)
        click.echo(f"Wrote {output}")


def _trained(names: tuple[str, ...], given: dict[str, Any]) -> Any:
    """Return the one model that a file of weights holds, after saying what was found in it."""
    if len(names) > 1:
        raise bptt.Error(f"a trained model is studied alone, here beside {len(names) - 1} more")
    if useless := [name for name in ("hidden", "gain", "text_path") if given[name] is not None]:
        option = "--text" if useless[0] == "text_path" else f"--{useless[0]}"
        raise bptt.Error(f"{option} is for cells: a trained model has its own sizes and weights, and reads no text")
    trained = bptt.analysis.read_weights(names[0])
    click.echo(f"{trained}\n")
    return trained


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--store", help="Path or fsspec address of the Zarr store; FILE with the suffix .zarr by default.")
@click.option("--resume", is_flag=True, help="Go on where a run stopped.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Of a Dask cluster; by default processes of this machine.")
@click.option("--workers", type=click.IntRange(1), help="Processes of this machine; as many as cores by default.")
@click.option("--new", is_flag=True, help="Write FILE as a study to start from, and run nothing.")
def study(file: Path, store: str | None, new: bool, **choices: Any) -> None:
    """Run a study: every combination of cells, sizes, lengths, data, seeds and measures that FILE (.toml) names.

    It ends in a report beside FILE, as .html and .pdf: all numbers with their intervals, and figures. It may be stopped
    at any moment, and goes on with --resume. Exit status 0: all numbers are there, 1: some points failed or exploded,
    2: wrong use or none are there, 130: stopped by Ctrl-C.
    """
    from bptt.analysis.studies import show

    if new:
        show.write_template(file)
        click.echo(f"Wrote {file}. Run it with: bptt study {shlex.quote(str(file))}")
        return
    loaded = bptt.Study.load(file, store)
    try:
        with show.progress() as advance:
            tree = loaded.run(progress=advance, **choices)
    except KeyboardInterrupt:
        again = shlex.join([*sys.argv[1:], *["--resume"] * (not choices["resume"])])
        click.echo(f"\nbptt: stopped. What is finished is in {loaded.store}; go on with: bptt {again}", err=True)
        raise SystemExit(130) from None
    status = show.show(tree, loaded.store)
    from bptt.reports.study import study_document

    document = study_document(tree, command())
    for suffix in (".html", ".pdf"):
        click.echo(f"Wrote {bptt.save(document, file.with_suffix(suffix))}")
    raise SystemExit(status)


@main.command()
@click.argument("cell", nargs=-1)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder.")
@_study_options
def report(cell: tuple[str, ...], output: Path, quick: bool, **given: Any) -> None:
    """Write the comparative report: cells side by side, and what lectures say of gradients put to the test."""
    from bptt.reports.report import made_folder, write_report

    made_folder(output)
    loaded = [bptt.load(name) for name in cell]
    with progress(kernels=True) as advance:
        study = {name: value for name, value in given.items() if value is not None}
        size = "quick" if quick else "full"
        written = write_report(output, loaded, size=size, command=command(), progress=advance, **study)
    for path in written:
        click.echo(f"Wrote {path}")


def _settings(quick: bool, given: dict[str, Any]) -> dict[str, Any]:
    from bptt.reports.report import settings

    return settings("quick" if quick else "full")[1] | {
        name: value for name, value in given.items() if value is not None
    }


def _steps(derivation: bptt.Derivation) -> str:
    """Return the programs of a derivation as text, each under its heading."""
    parts = {
        "Once, from parameters": derivation.prologue,
        "Forward, step t": derivation.forward,
        "Backward, step t": derivation.backward,
        "Once, from summed gradients": derivation.epilogue,
    }
    return "\n\n".join(f"{title}\n{program}" for title, program in parts.items() if program.steps)


def _half_lives(summary: Any) -> str:
    """Return the half-lives as lines of text, with their intervals."""
    lines = ["Half-life of the gradient, in steps, with its 95 % interval"]
    width = max(len(str(name)) for name in summary.cell.values)
    for name in summary.cell.values:
        at = summary.sel(cell=name)
        found = [
            f"{kind}: {float(one.half_life):.2f} ({float(one.half_life_low):.2f} to {float(one.half_life_high):.2f})"
            for kind, one in ((kind, at.sel(data=kind)) for kind in summary.data.values)
        ]
        lines.append(f"{name!s:<{width}}  {'   '.join(found)}")
    return "\n".join(lines)


for _command in (train, generate, inspect, gallery):
    main.add_command(_command)

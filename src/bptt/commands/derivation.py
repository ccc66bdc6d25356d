"""The command about derivations: derive."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

import bptt

from .console import give_json, progress, wrote
from .options import CELL_OR_MODEL, JSON, OUTPUT, loaded

PROGRAMS = {
    "prologue": "Once, from parameters",
    "forward": "Forward, step t",
    "backward": "Backward, step t",
    "epilogue": "Once, from summed gradients",
}


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


@click.command()
@click.argument("cell", type=CELL_OR_MODEL)
@OUTPUT
@click.option("--detail", default="full", show_default=True, help="Of the document: brief or full.")
@click.option("--language", default="en", show_default=True, help="Of the document: en or ko.")
@_notation_options
@JSON
def derive(cell: str, output: Path | None, detail: str, language: str, as_json: bool, **choices: Any) -> None:
    """Derive and prove the backward pass of a cell or of a model.

    It goes through time, in matrix form. Without -o the steps are printed. With -o they become a document: .pdf
    .tex .typ .html or .md. A model is one that `bptt models` lists, or the path of a .model file.

    Exit status 0: proved, 1: not.
    """
    from bptt.reports import check_request

    check_request(output, language, detail)
    notation = _notation(**choices)
    found = _derived(cell, notation)
    shown = found.derivation if isinstance(found, bptt.Restated) else found
    if isinstance(found, bptt.Restated):
        _note_unread(found.column.cell)
    if output is None and not as_json:
        click.echo(_steps(shown) if isinstance(shown, bptt.Derivation) else shown)
    proof = _proved(found)
    if as_json:
        give_json(_as_data(shown, proof))
    elif output is None:
        click.echo(f"\n{proof}")
    if output is not None:
        from bptt.reports import derivation_document, model_document

        if isinstance(found, bptt.Restated):
            document = derivation_document(found, proof, language, detail)
        else:
            document = model_document(found, proof, language, detail)
        bptt.save(document, output)
        click.echo(proof, err=as_json)
        wrote(output, as_json)
    agrees = True
    if isinstance(found, bptt.Restated) and not notation.is_plain:
        click.echo(found.agreement, err=as_json)
        agrees = found.agreement.holds
    if not (proof.holds and agrees):
        raise SystemExit(1)


def _note_unread(cell: bptt.Cell) -> None:
    """Say of values that nothing reads what they would have to be for a loss to depend on them."""
    from sympy import Symbol

    for name in cell.unread:
        sizes = ", ".join(map(str, cell.shapes[Symbol(name)]))
        declared = f"{name}: state[{sizes}]" if sizes else f"{name}: state"
        click.echo(
            f"Nothing reads '{name}', and the loss reads states. If it is an output, declare it: '{declared}'. "
            "If not, it may be misspelt where it should be read.",
            err=True,
        )


def _derived(name: str, notation: bptt.Notation) -> bptt.Restated | bptt.ModelDerivation:
    """Return the derivation of a cell or of a model in a notation."""
    from bptt.derive.derivation import derive as derived

    found = loaded(name)
    if isinstance(found, bptt.Model):
        return bptt.restate(bptt.derive(found), notation)
    return bptt.restate(derived(found), notation)


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


def _steps(derivation: bptt.Derivation) -> str:
    """Return the programs of a derivation as text, each under its heading, without steps that lead nowhere."""
    from bptt.derive.adjoint import delta

    later, idle = set(derivation.epilogue.outputs), {delta(value) for value in derivation.idle}
    parts = {title: getattr(derivation, name).steps for name, title in PROGRAMS.items()}
    told = {
        title: [step for step in steps if step.target not in idle and (step.expr != 0 or step.target not in later)]
        for title, steps in parts.items()
    }
    return "\n\n".join("\n".join([title, *map(str, steps)]) for title, steps in told.items() if steps)


def _as_data(derivation: bptt.Derivation | bptt.ModelDerivation, proof: bptt.Proof) -> dict[str, Any]:
    """Return the steps of each block, of which a cell is one, and the proof."""
    parts = [derivation] if isinstance(derivation, bptt.Derivation) else derivation.parts
    blocks = [{program: _lines(getattr(part, program)) for program in PROGRAMS} for part in parts]
    told = {"holds": proof.holds, "entries": proof.entries, **asdict(proof)}
    return {"name": proof.cell, "blocks": blocks, "proof": told}


def _lines(program: Any) -> list[dict[str, Any]]:
    """Return the steps of a program: what each gives, of which shape, and the step as text."""
    return [
        {"name": str(step.target), "shape": [str(size) for size in program.shapes[step.target]], "text": str(step)}
        for step in program.steps
    ]

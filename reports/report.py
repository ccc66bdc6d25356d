"""`bptt report`: from cells to a folder with a comparative report, a derivation of each cell, and the numbers."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ..analysis import flow_study, summarise, text
from ..analysis.claims.bench import Bench
from ..analysis.claims.certificate import certify
from ..analysis.claims.suite import measure_claims
from ..analysis.overflow import COUNTS
from ..derive import Cell, derive, load
from ..derive.errors import Error
from ..kernels import compile
from .comparison import comparison_document
from .derivation import derivation_document
from .files import save, write

Progress = Callable[[str, int, int], None]


def claims_plan(size: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what is tested claims on, 'full' or 'quick', beside the settings of the study; and what is tested.

    >>> bench, plan = claims_plan("quick")
    >>> "repeated_product" in plan
    True
    """
    table = tomllib.loads((resources.files(__package__) / "claims.toml").read_text(encoding="utf-8"))
    chosen = table[size]
    plan = {name: settings | chosen.pop(name, {}) for name, settings in table["plan"].items()}
    return chosen, plan


def settings(size: str) -> tuple[list[str], dict[str, int]]:
    """Return the cells that are compared by default, and the study's settings for 'full' or 'quick'.

    >>> names, sizes = settings("quick")
    >>> sorted(sizes)
    ['batch', 'hidden', 'seeds', 'steps']
    """
    table = tomllib.loads((resources.files(__package__) / "comparison.toml").read_text(encoding="utf-8"))
    return table["cells"], table[size]


def write_report(
    folder: str | os.PathLike[str],
    cells: Sequence[Cell] = (),
    *,
    size: str = "full",
    command: str = "bptt report",
    progress: Progress = lambda stage, done, total: None,
    workers: int = 1,
    **study: Any,
) -> list[Path]:
    """Derive and prove cells, measure how their gradients flow, test what is said of them, and write what was found.

    Args:
        folder: is made if it isn't there.
        cells: by default those of `comparison.toml`.
        size: "full" or "quick": which settings hold where `study` says nothing.
        command: how a reader makes the report again.
        progress: called as progress(stage, done, total).
        workers: processes that test claims, as `measure_claims` takes them.
        study: settings of `flow_study`; claims are tested with the same sizes.

    Returns:
        The files: report.pdf, report.html, flow.csv, and <cell>.pdf for each cell.

    Raises:
        Error: when the folder can't be written, and as `flow_study` does.
    """
    target = made_folder(folder)
    names, defaults = settings(size)
    compared = list(cells) or [load(name) for name in names]
    derivations, proofs = [], []
    for done, cell in enumerate(compared):
        progress("Deriving and proving", done, len(compared))
        derivations.append(derive(cell))
        proofs.append(derivations[-1].prove())
    progress("Deriving and proving", len(compared), len(compared))
    flows = flow_study(
        compared, progress=lambda done, total: progress("Measuring gradient flow", done, total), **(defaults | study)
    )
    sizes, plan = claims_plan(size)
    chars = text(study.get("text_path"))
    own = {name: study[name] for name in ("hidden", "steps", "batch", "seeds") if name in study}
    bench = Bench(**(defaults | sizes | own), chars=chars)
    claims = measure_claims(
        bench,
        _with_compared(plan, compared),
        lambda name: next((cell for cell in compared if cell.name == name), None) or load(name),
        lambda name, done, total: progress(f"Testing claims: {name}", done, total),
        workers,
    )
    checks = certify(bench, [compile(derivation) for derivation in derivations])
    pages = {f"{d.cell.name}.pdf": derivation_document(d, p) for d, p in zip(derivations, proofs, strict=True)}
    comparison = comparison_document(derivations, flows, proofs, command, claims=claims, checks=checks)
    pages |= {"report.pdf": comparison, "report.html": comparison}
    written = []
    for done, (name, document) in enumerate(pages.items()):
        progress("Writing pages", done, len(pages))
        written.append(save(document, target / name))
    progress("Writing pages", len(pages), len(pages))
    numbers = summarise(flows)[["mean", "low", "high", *COUNTS]].to_dataframe().to_csv()
    write(target / "flow.csv", numbers.encode())
    return [*written, target / "flow.csv"]


def _with_compared(plan: dict[str, dict[str, Any]], compared: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """Return a plan in which "compared" is replaced by the names of the cells compared, each once."""
    names = [cell.name for cell in compared]

    def each(value: Any) -> Any:
        if not isinstance(value, list) or "compared" not in value:
            return value
        return list(dict.fromkeys([*(name for name in value if name != "compared"), *names]))

    return {claim: {key: each(value) for key, value in settings.items()} for claim, settings in plan.items()}


def made_folder(folder: str | os.PathLike[str]) -> Path:
    """Return a folder that can be written, made if needed.

    Raises:
        Error: when it can't be.
    """
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Error(f"{target}: this folder can't be made: {(error.strerror or str(error)).lower()}") from None
    if not os.access(target, os.W_OK | os.X_OK):
        raise Error(f"{target}: this folder can't be written. Choose another with -o")
    return target

"""The command about studies: study."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import bptt

from .console import command, give_json, wrote
from .options import JSON


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "--store", "store", help="Path or fsspec address of the Zarr store; FILE with .zarr by default."
)
@click.option("--resume", is_flag=True, help="Go on where a run stopped.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Of a Dask cluster; by default processes of this machine.")
@click.option("--workers", type=click.IntRange(1), help="Processes of this machine; as many as cores by default.")
@click.option("--new", is_flag=True, help="Write FILE as a study to start from, and run nothing.")
@JSON
def study(file: Path, store: str | None, new: bool, as_json: bool, **choices: Any) -> None:
    """Run a study of gradient flow, as a file says.

    It measures every combination of cells, sizes, lengths, data, seeds and measures that FILE (.toml) names, and
    ends in a report beside FILE, as .html and .pdf: all numbers with their intervals, and figures. It may be
    stopped at any moment, and goes on with --resume.

    Exit status 0: all numbers are there, 1: some points failed or exploded, 2: wrong use or none are there, 130:
    stopped by Ctrl-C.
    """
    from bptt.analysis.studies import show
    from bptt.analysis.studies.table import rows
    from bptt.reports import check_target

    if new:
        show.write_template(file)
        click.echo(f"Wrote {file}. Run it with: bptt study {shlex.quote(str(file))}", err=as_json)
        return
    loaded = bptt.Study.load(file, store)
    pages = [file.with_suffix(suffix) for suffix in (".html", ".pdf")]
    for page in pages:
        check_target(page)
    try:
        with show.progress() as advance:
            tree = loaded.run(progress=advance, **choices)
    except KeyboardInterrupt:
        again = shlex.join([*sys.argv[1:], *["--resume"] * (not choices["resume"])])
        click.echo(f"\nbptt: stopped. What is finished is in {loaded.store}; go on with: bptt {again}", err=True)
        raise SystemExit(130) from None
    found = rows(tree)
    if as_json:
        give_json({"store": loaded.store, "points": [asdict(row) for row in found]})
    else:
        show.show(found, loaded.store)
        for note in loaded.notes:
            click.echo(note)
    from bptt.reports.study import study_document

    document = study_document(tree, command())
    for page in pages:
        wrote(bptt.save(document, page), as_json)
    raise SystemExit(show.status(found))

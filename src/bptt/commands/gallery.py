"""The command about sequence systems: gallery."""

from __future__ import annotations

from pathlib import Path

import click

from .console import give_json, progress, wrote
from .options import JSON, SEED


def _systems(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of systems that a shell completes."""
    from bptt.analysis.systems import SYSTEMS

    return [name for name in SYSTEMS if name.startswith(incomplete)]


@click.command()
@click.argument("system", nargs=-1, shell_complete=_systems)
@click.option("--list", "listing", is_flag=True, help="Name the systems and what they ask, and run nothing.")
@click.option("--quick", "--small", "quick", is_flag=True, help="Small trainings, seconds each, for a first look.")
@SEED
@click.option("--redraw", is_flag=True, help="Run nothing: draw again what the folder keeps.")
@click.option("--docs", type=click.Path(path_type=Path), help="A folder for Markdown pages and their pictures too.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("out/gallery"), show_default=True, help="Folder."
)
@JSON
def gallery(
    system: tuple[str, ...],
    listing: bool,
    quick: bool,
    seed: int,
    redraw: bool,
    docs: Path | None,
    output: Path,
    as_json: bool,
) -> None:
    """Train and measure sequence systems, a page for each.

    The page says what it learned, and how its gradient flows. SYSTEM is one of those that `bptt gallery --list`
    names; all of them by default. The numbers of each are kept beside its pages, as NAME.json. With --json: what each
    asks and learned, and that file.
    """
    from bptt.analysis.systems import SYSTEMS, load
    from bptt.reports.gallery import keep, kept, write_contents, write_docs, write_gallery
    from bptt.reports.report import made_folder
    from bptt.reports.system_page import capitals

    chosen = [load(name) for name in system or SYSTEMS]
    if listing and as_json:
        give_json([{"name": one.name, "title": one.title, "question": one.question} for one in chosen])
        return
    if listing:
        width = max(map(len, SYSTEMS))
        for one in chosen:
            click.echo(f"{one.name:<{width}}  {one.title}")
        return
    files = [output / f"{one.name}.json" for one in chosen]
    found = [kept(file) for file in files] if redraw else []
    for folder in filter(None, (output, docs)):
        made_folder(folder)
    for one, file in zip(chosen, files, strict=True) if not redraw else ():
        with progress(kernels=True) as advance:
            measured = one.run("small" if quick else "full", seed, advance)
        keep(measured, file)
        click.echo(f"{one.title}: {capitals(measured.attrs['learned'])}", err=as_json)
        found.append(kept(file))
    command = "bptt gallery --quick" if quick else "bptt gallery"
    written = write_gallery(output, found, command, whole=len(found) > 1)
    if docs:
        written += [*write_docs(docs, found, command), write_contents(docs, [load(name) for name in SYSTEMS], command)]
    for path in written:
        wrote(path, as_json)
    if as_json:
        parts = [{part: one.attrs[part] for part in ("title", "question", "learned")} for one in found]
        named = [{"name": one.name, "numbers": str(file)} for one, file in zip(chosen, files, strict=True)]
        give_json([name | part for name, part in zip(named, parts, strict=True)])

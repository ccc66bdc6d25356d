"""The commands about models that learn: train, generate, inspect."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import bptt

from .console import command, give_json, wrote
from .options import JSON, SEED

if TYPE_CHECKING:
    from bptt.analysis.learning.course import Judged
    from bptt.analysis.learning.trainer import Taken


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder; FILE without its suffix by default.")
@click.option("--resume", is_flag=True, help="Go on where the training stopped, bit for bit.")
@click.option("--new", is_flag=True, help="Write FILE as a training to start from, and train nothing.")
@JSON
def train(file: Path, output: Path | None, resume: bool, new: bool, as_json: bool) -> None:
    """Train a sequence model, as a file says.

    FILE (.toml) says what is trained, with the generated kernels. The folder gets last.safetensors (where the
    training stands), best.safetensors (where the held-out loss was smallest) and history.jsonl. With --json: both
    losses, the steps after which they were measured, and these files.
    """
    from bptt.analysis.learning import course
    from bptt.analysis.learning.file import load, write_template

    if new:
        write_template(file)
        click.echo(f"Wrote {file}. Train with: bptt train {shlex.quote(str(file))}", err=as_json)
        return
    order = load(file)
    folder = output or file.with_suffix("")
    again = shlex.join(["bptt", "train", str(file), *(["-o", str(output)] if output else []), "--resume"])
    steps = order.told.training.steps
    begun = False
    try:
        with _progress(steps) as progress:

            def tell(what: Taken | Judged) -> None:
                nonlocal begun
                begun = True
                progress(what)

            training = course.run(order, folder, resume=resume, progress=tell)
    except KeyboardInterrupt:
        click.echo(f"\nbptt: stopped. Go on from the last checkpoint with: {again}", err=True)
        raise SystemExit(130) from None
    if begun:
        said = f"{training.done} steps. Wrote {folder / course.LAST} and {folder / course.BEST}"
    else:
        said = f"Nothing is left to do: {training.done} steps are done, and {file} asks for {steps}."
    click.echo(said, err=as_json)
    if as_json:
        give_json(_as_data(folder))


def _as_data(folder: Path) -> dict[str, Any]:
    """Return the last and the best judgement, with their checkpoints; a loss is a mean, in nats for a cross-entropy."""
    from bptt.analysis.learning import course

    judged = course.judgements(folder)
    told = {course.LAST: judged[-1], course.BEST: min(judged, key=lambda one: one.loss)} if judged else {}
    found = {
        Path(name).stem: {"step": one.number, "held_out_loss": one.loss, "checkpoint": str(folder / name)}
        for name, one in told.items()
    }
    return {**found, "history": str(folder / course.HISTORY)}


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[Taken | Judged], None]]:
    """Give a function that shows each step in a bar, and prints a line for each judgement."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from bptt.analysis.learning.course import Judged

    text = TextColumn("loss {task.fields[loss]} gradient {task.fields[norm]} {task.fields[rate]} tokens/s")
    columns = (MofNCompleteColumn(), BarColumn(bar_width=20), text, TimeRemainingColumn())
    bars = Progress(*columns, console=Console(stderr=True))
    task = bars.add_task("", total=steps, loss="-", norm="-", rate="-")
    taken: Any = None

    def progress(what: Taken | Judged) -> None:
        nonlocal taken
        bars.start()  # not before: a training that is refused shows no bar
        if isinstance(what, Judged):
            line = f"step {what.number}: held-out loss {_loss(what.loss)}"
            bars.console.print(line if taken is None else f"{line}, training {_loss(taken.loss)}", highlight=False)
            return
        taken = what
        speed = f"{what.counted / what.seconds:,.0f}"
        bars.update(task, completed=what.number, loss=_loss(what.loss), norm=f"{what.norm:.3g}", rate=speed)

    try:
        yield progress
    finally:
        if bars.live.is_started:  # stopped at once, they would still print an empty line
            bars.stop()


def _loss(value: float) -> str:
    """Return a loss with four decimals, or with a power of ten where it has run away.

    >>> _loss(1.23456), _loss(7.4e32)
    ('1.2346', '7.4e+32')
    """
    return f"{value:.4f}" if value < 1e4 else f"{value:.4g}"


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--prime", default="", help="What the model reads first.")
@click.option("--length", type=click.IntRange(1), default=500, show_default=True, help="How many tokens to write.")
@click.option("--temperature", default=1.0, show_default=True, help="Below 1: what is likely; 0: always the likeliest.")
@SEED
@JSON
def generate(checkpoint: Path, prime: str, length: int, temperature: float, seed: int, as_json: bool) -> None:
    """Let a trained language model write text.

    It writes PRIME, and what follows. With --json: prime, tokens, and the text that they make.
    """
    from bptt.analysis.learning import checkpoint as checkpoints
    from bptt.analysis.learning import language

    found = checkpoints.read(checkpoint)
    if "vocabulary" not in found.task["about"]:
        raise bptt.Error(f"{checkpoint}: learned '{found.task['name']}', and only a language model writes text")
    about = found.task["about"]
    written = language.generate(
        found.kernel(), found.judged, about, length=length, prime=prime, temperature=temperature, seed=seed
    )
    joint = about["joint"]
    opening = prime + joint * bool(prime)
    if as_json:
        tokens = list(written)
        give_json({"prime": prime, "tokens": tokens, "text": opening + language.joined(tokens, joint)})
    elif joint:
        click.echo(opening + language.joined(written, joint))
    else:
        for token in itertools.chain([opening + next(written)], written):  # nothing is printed of a refused prime
            click.echo(token, nl=False)
        click.echo()


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("textfile", required=False, type=click.Path())
@click.option("--unit", multiple=True, metavar="STATE[K]", help="A unit to show, such as c[12]; may be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A page: .html (with a choice of units) or .pdf.")
@JSON
def inspect(checkpoint: Path, textfile: str | None, unit: tuple[str, ...], output: Path | None, as_json: bool) -> None:
    """Show what the hidden units of a language model hold.

    The units that best follow position in the line, quotes, brackets and indentation are found, with a score on
    text that had no part in the choice. A model that learned from Python's own help texts reads their end by
    default, which its training held out.
    """
    from bptt.analysis.learning import checkpoint as checkpoints
    from bptt.analysis.learning.inspection import inspect as look
    from bptt.reports import check_target
    from bptt.reports.inspection import inspection_document

    if output is not None:
        check_target(output)
    found = checkpoints.read(checkpoint)
    held, scores = look(found, textfile)
    name = found.kernel().model.title
    document = inspection_document(held, scores, name, unit, command())
    best = _best(scores)
    width = max(len(one["feature"]) for one in best)
    if as_json:
        give_json(best)
    else:
        click.echo("\n".join(f"{one['feature']:<{width}}  {_score(one)}" for one in best))
    if output is not None:
        wrote(bptt.save(document, output), as_json)


def _best(scores: Any) -> list[dict[str, Any]]:
    """Return what each feature's best unit is, with its r², the r² of chance, and F1 where the feature is yes or no.

    `probe` is the r² of all units together.
    """
    ones = [scores.isel(feature=place) for place in range(scores.sizes["feature"])]
    return [
        {"feature": str(one.feature.values), "unit": str(one.best.values)}
        | {"r2": float(one.score), "chance": float(one.chance), "f1": float(one.f1)}
        | {"probe": float(one.probe), "probe_chance": float(one.probe_chance)}
        for one in ones
    ]


def _score(one: dict[str, Any]) -> str:
    f1 = "" if math.isnan(one["f1"]) else f", F1 {one['f1']:.2f}"
    best = f"{one['unit']:<8} r² {one['r2']:.2f} (by chance {one['chance']:.2f}){f1}"
    return f"{best}; all units r² {one['probe']:.2f} ({one['probe_chance']:.2f})"

"""Every code block of the README and of these pages runs, page by page, in a folder of the page's own.

- ```` ```python ```` runs; what it prints is compared with a block without a language that follows it.
- ```` ```console ```` holds commands after `$ `, which run, and what they print, where that is given.
- ```` ```sh ```` holds commands that would take too long, need a network, or install something: those of bptt are read
  by its own parser, so that their options are known to exist.
- A block with a name, such as ```` ```python mine.cell ````, is written to that file.

`...` stands for anything in what is printed; errors of rounding and seconds may be others.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from click.testing import CliRunner
from sybil import Document, Example, Region, Sybil

from bptt.cli import main

FENCE = re.compile(r"^(?P<ticks>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=ticks)$", re.MULTILINE | re.DOTALL)
SHOWN = ("toml", "text", "latex", "cell", "bibtex", "math")  # languages that nothing runs
ANYTHING = re.escape("...")
VARYING = re.compile(r"\b\d(?:\.\d)?e-1\d\b|\b\d+\.\d s\b")  # errors of rounding, seconds


def blocks(document: Document) -> Iterator[Region]:
    """Return every block of code of a page."""
    before = ""
    for found in FENCE.finditer(document.text):
        language, _, name = found["info"].strip().partition(" ")
        kind = "printed" if not language and before == "python" else "file" if name else language
        before = language
        if not kind.startswith("{") and kind not in SHOWN:
            yield Region(found.start(), found.end(), (kind, name, found["text"]), run)


def run(example: Example) -> str | None:
    """Run a block in the folder of its page; return what is wrong, or nothing."""
    kind, name, text = example.parsed
    if kind not in RUNNERS:
        return f"nothing is known of blocks in {kind or 'no language'!r} here: python, console, sh, or a file's name?"
    with contextlib.chdir(example.namespace["folder"]):
        return RUNNERS[kind](example, name, text)


def _python(example: Example, name: str, text: str) -> None:
    printed = io.StringIO()
    code = compile("\n" * example.line + text, example.path, "exec")
    with contextlib.redirect_stdout(printed):
        exec(code, example.namespace)
    example.namespace["printed"] = printed.getvalue()


def _printed(example: Example, name: str, text: str) -> str | None:
    return difference(text, example.namespace["printed"])


def _file(example: Example, name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8")


def _console(example: Example, name: str, text: str) -> str | None:
    for piece in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, expected = piece.partition("\n")
        words = shlex.split(line, comments=True)
        if words[0] == "cat":
            expected, given = "", "" if Path(words[1]).exists() else "no such file"
        else:
            result = CliRunner().invoke(main, words[1:], catch_exceptions=False)
            given = result.stdout
            if result.exit_code > (words[1] == "check"):
                return f"{line}: exit status {result.exit_code}\n{result.output}"
        if expected.strip() and (wrong := difference(expected, given)):
            return f"{line}\n{wrong}"
    return None


def _sh(example: Example, name: str, text: str) -> str | None:
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words and Path(words[0]).name == "bptt":
            command = main.get_command(click.Context(main), words[1])
            if command is None:
                return f"{line}: there is no command {words[1]!r}"
            command.make_context(words[1], words[2:])
    return None


RUNNERS = {"python": _python, "printed": _printed, "file": _file, "console": _console, "sh": _sh}


def difference(expected: str, given: str) -> str | None:
    """Return what is wrong with what was printed, or nothing; trailing blanks don't count."""
    wanted, shown = (
        "\n".join(line.rstrip() for line in VARYING.sub("#", text).strip().splitlines()) for text in (expected, given)
    )
    if re.fullmatch(re.escape(wanted).replace(ANYTHING, ".*"), shown, re.DOTALL):
        return None
    return f"expected:\n{expected}\nprinted:\n{given}"


def set_up(namespace: dict[str, object]) -> None:
    namespace["folder"] = tempfile.mkdtemp(prefix="bptt-page-")
    namespace["__name__"] = "__main__"


def take_down(namespace: dict[str, object]) -> None:
    shutil.rmtree(str(namespace["folder"]))


collected = Sybil(
    [blocks],
    path=str(Path(__file__).parents[1]),
    patterns=["README.md", "docs/*.md"],
    excludes=["docs/_build/*", "docs/systems/*"],
    setup=set_up,
    teardown=take_down,
).pytest()

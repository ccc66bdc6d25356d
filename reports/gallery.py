"""The gallery: a page for each sequence system, drawn from what was measured; and one document of all."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..derive.errors import Error, unreadable
from .document import Block, Document, Figure, Heading, Listing, Sheet, Table, Text
from .files import save, write
from .phrases import Phrases
from .system_page import SystemPage, at, shown

if TYPE_CHECKING:
    from xarray import Dataset

    from ..analysis.systems.system import System


def gallery_page(found: Dataset, command: str = "bptt gallery", language: str = "en") -> Document:
    """Return the page of one system: a sheet to be shown, and after it everything that was measured.

    Args:
        found: from `System.run`.
        command: how a reader makes it again.
        language: of the sentences around it.
    """
    page = SystemPage(found, Phrases(language))
    again: list[Block] = [Heading(page.phrases.plain("gallery.reproduce")), Listing((command,))]
    blocks = (page.sheet(0), *page.details(1), *again)
    return Document(found.attrs["title"], page.phrases.plain("gallery.kind"), (), blocks, language)


def gallery_document(all_found: Sequence[Dataset], command: str = "bptt gallery", language: str = "en") -> Document:
    """Return the gallery: a table of all systems, then a sheet for each, one page in print."""
    phrases = Phrases(language)
    keys = ("system", "outcome", "model", "before", "after")
    header: tuple[Text, ...] = tuple((phrases.plain(f"gallery.{key}"),) for key in keys)
    pages = [SystemPage(found, phrases) for found in all_found]
    rows = tuple(_row(page.found) for page in pages)
    table = Table(header, rows, "lllrr", phrases.text("gallery.overview"), wide=1)
    title = phrases.plain("gallery.title")
    sheets = [page.sheet(1) for page in pages]
    again = (Heading(phrases.plain("gallery.reproduce")), Listing((command,)))
    blocks = (Sheet(title, 0, (), ((table, *again),)), *sheets)
    return Document(title, phrases.plain("gallery.kind"), (), blocks, language)


def _row(found: Dataset) -> tuple[Text, ...]:
    """Return a system's row: what was learned, and the model whose gradient reaches the first step best."""
    reached = [at(found, "first_step_after", place) for place in range(found.sizes["model"])]
    place = max(range(len(reached)), key=lambda k: -math.inf if math.isnan(reached[k]) else reached[k])
    before = at(found, "first_step_before", place)
    name = str(found.model.values[place])
    return (found.attrs["title"],), (found.attrs["learned"],), (name,), (shown(before),), (shown(reached[place]),)


def write_gallery(folder: Path, all_found: Sequence[Dataset], command: str, whole: bool = True) -> list[Path]:
    """Write a page for each system as PDF and HTML, and where `whole`, a document of all."""
    pages = {found.attrs["system"]: gallery_page(found, f"{command} {found.attrs['system']}") for found in all_found}
    if whole:
        pages["gallery"] = gallery_document(all_found, command)
    return [save(page, folder / f"{name}{suffix}") for name, page in pages.items() for suffix in (".html", ".pdf")]


def write_docs(folder: Path, all_found: Sequence[Dataset], command: str) -> list[Path]:
    """Write a Markdown page for each system, with its pictures beside it as NAME-1.svg, and so on, and its numbers."""
    from .markdown import inlined, markdown_text

    written = []
    for found in all_found:
        name = found.attrs["system"]
        page = gallery_page(found, f"{command} {name}")
        text = markdown_text(page)
        figures = dict.fromkeys(block for block in _flat(page.blocks) if isinstance(block, Figure))
        for place, figure in enumerate(figures, 1):
            picture_file = f"{name}-{place}.svg"
            write(folder / picture_file, figure.svg)
            text = text.replace(inlined(figure), picture_file)
        write(folder / f"{name}.md", text.encode())
        keep(found, folder / f"{name}.json")
        written.append(folder / f"{name}.md")
    return written


def write_contents(folder: Path, systems: Sequence[System], command: str) -> Path:
    """Write README.md, which names the systems that have a page in a folder, with what each asks.

    Args:
        folder: from `write_docs`.
        systems: in the order of the list.
        command: how a reader makes the pages again.
    """
    listed = [one for one in systems if (folder / f"{one.name}.md").exists()]
    rows = "".join(f"| [{one.title}]({one.name}.md) | {one.question} |\n" for one in listed)
    text = f"""# Sequence systems

Each is trained with the generated kernels, and shown with its data, equations, numbers and pictures, and the gradient's
flow before and after training. `NAME.json`, where it is there, holds the numbers of a page.

| System | What it asks |
|:--|:--|
{rows}
```
{command} NAME --docs {folder}     # train a system, and write its page again; without NAME, all of them
{command} NAME --redraw -o {folder} --docs {folder}     # draw its page again from its numbers
```
"""
    write(folder / "README.md", text.encode())
    return folder / "README.md"


def _flat(blocks: Sequence[object]) -> list[object]:
    """Return blocks with those of sheets in their places."""
    found: list[object] = []
    for block in blocks:
        inner = [*block.lead, *(b for column in block.columns for b in column)] if isinstance(block, Sheet) else [block]
        found += inner
    return found


def keep(found: Dataset, path: Path) -> None:
    """Write what a system measured, as JSON."""
    write(path, json.dumps(found.to_dict(), ensure_ascii=False).encode())


def kept(path: Path) -> Dataset:
    """Read what a system measured.

    Raises:
        Error: where there is no such file, or it isn't one.
    """
    from xarray import Dataset

    try:
        found = Dataset.from_dict(json.loads(path.read_text("utf-8")))
        found.attrs["system"], found["model"]  # what every page needs
    except OSError as error:
        raise unreadable(path, error, "Run its system first.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Error(f"{path}: not the numbers of a system. Run its system again.") from None
    return found

"""`save`: a derivation, a study or a document -> one file, whose suffix decides the format."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..analysis.verdicts.verdict import Verdict
from ..derive.convention import Notation, Restated
from ..derive.convention_model import restate
from ..derive.derivation import Derivation
from ..derive.errors import Error, expect_path, unwritable
from ..derive.model_derivation import ModelDerivation
from .derivation import check_detail, derivation_document
from .document import Document
from .fonts import needed_fonts
from .html import html_page
from .markdown import markdown_text
from .model import model_document
from .phrases import Phrases
from .tex import tex_source
from .typst import pdf, typst_source
from .verdict import verdict_document

FORMATS: dict[str, Callable[[Document], str | bytes]] = {
    ".pdf": pdf,
    ".typ": typst_source,
    ".tex": tex_source,
    ".html": html_page,
    ".md": markdown_text,
}


def save(thing: Any, path: str | os.PathLike[str], notation: Notation | None = None) -> Path:
    """Write a derivation, a verdict or a document to a file.

    The file appears whole or not at all: it is written under a temporary name in the same folder and renamed.

    Args:
        thing: a `Derivation`, as it is or restated, or a `ModelDerivation` (these are proved first), a `Verdict`,
            or a `Document` from `derivation_document`, `model_document` or `comparison_document`.
        path: its suffix is one of .pdf .typ .tex .html .md.
        notation: in which a derivation is written, and proved, first.

    Raises:
        Error: for an unknown suffix, a folder that is missing or can't be written, a thing that isn't a document, a
            notation for what isn't a derivation, or as `bptt.restate`.
    """
    check_target(path)
    target = Path(path)
    if notation is not None:
        if not isinstance(thing, Derivation | ModelDerivation):
            raise Error(f"only a derivation can be written in a notation, and this is a {type(thing).__name__}")
        thing = restate(thing, notation)
    document = thing
    if isinstance(thing, Derivation | Restated):
        document = derivation_document(thing, thing.prove())
    elif isinstance(thing, ModelDerivation):
        document = model_document(thing, thing.prove())
    elif isinstance(thing, Verdict):
        document = verdict_document(thing)
    if not isinstance(document, Document):
        raise Error(
            f"{type(thing).__name__} can't be saved as a document: give a derivation, a verdict, or a document made "
            "from one"
        )
    content = FORMATS[target.suffix.lower()](document)
    write(target, content.encode() if isinstance(content, str) else content)
    return target


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuse a path that `save` can't write, before any work is spent.

    >>> check_target("page.docx")
    Traceback (most recent call last):
    bptt.derive.errors.Error: page.docx: unknown kind of document '.docx'. Known: .pdf .typ .tex .html .md
    """
    expect_path("the path of a page", path)
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise Error(f"{target}: unknown kind of document '{target.suffix}'. Known: {' '.join(FORMATS)}")
    if target.is_dir():
        raise Error(f"{target}: this is a folder. Give the name of a file in it")
    folder = target.parent
    if not folder.is_dir():
        raise Error(f"{target}: the folder '{folder}' does not exist. Make it first, or choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Error(f"{target}: the folder '{folder}' can't be written. Choose another")


def check_request(path: str | os.PathLike[str] | None, language: str = "en", detail: str = "full") -> None:
    """Refuse what can't be written in a language or a detail, before any work is spent.

    Raises:
        Error: as `check_target`; for an unknown language or detail; for a PDF whose language has no font here.

    >>> check_request("page.pdf", detail="short")
    Traceback (most recent call last):
    bptt.derive.errors.Error: unknown detail 'short'. Known: brief, full
    """
    phrases = Phrases(language)
    check_detail(detail)
    if path is not None:
        check_target(path)
        if Path(path).suffix.lower() == ".pdf":
            needed_fonts(phrases.plain("section.proof"))


def write(target: Path, content: bytes) -> None:
    """Write bytes under a temporary name in the same folder, then rename.

    Raises:
        Error: when the file can't be written; what was there stays as it was.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise unwritable(target, error) from None

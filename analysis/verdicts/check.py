"""`check`: whatever somebody gives, formulas or code, becomes a verdict."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any

from ...derive.cell import Cell, load, parse, text_of
from ...derive.errors import Error, NotationError, Source, expect
from .verdict import Verdict

HINT = "Give the path of a file that is there: formulas, LaTeX (.tex) or code (.py)."
FORMULAS = (".txt", ".cell", ".formulas", ".grad", ".tex", ".md", "")
CODE = re.compile(r"[^\n]*\.py(:\w+)?")
PROGRAMMED = re.compile(r"\*\*|@|\b(?:np|numpy|jnp|torch)\.|\[t|\b(?:import|def|return|for)\b")  # signs of a program


def check(
    theirs: str | os.PathLike[str] | Callable[..., Any] | tuple[Callable[..., Any], Callable[..., Any]],
    cell: str | Cell | None = None,
    **options: Any,
) -> Verdict:
    """Judge a hand-derived backward pass: say which line is wrong, why, and show the mended line to be right.

    Args:
        theirs: formulas as a text or the path of a file (LaTeX in a .tex file, or in a text that has a backslash), or
            code: the path of a .py file, with the name of a pair or a class in it where it has several
            ("mine.py:name"), a pair of functions, a function or a class.
        cell: whose backward pass it is, by name or as a `Cell`; not needed where its equations are in the text.
        options: of the judge of code.

    Raises:
        Error: where the text can't be read, a name matches nothing, or the cell is missing.

    >>> text = "x: input[m]\\nh: state[n]\\nh = tanh(W @ h + U @ x + b)\\nda = dh * (1 - h)\\nda_prev = 0 * da"
    >>> check("dh = dh_out + dh_next\\nda_h = dh * (1 - h)\\ndh_prev = W_hh.T @ da_h", cell="rnn").faults[0].mended
    'da_h = dh * (1 - h**2)'
    """
    expect("the cell", cell, str, Cell, NoneType)
    known = load(cell) if isinstance(cell, str) else cell
    if not isinstance(theirs, str | os.PathLike) or CODE.fullmatch(os.fspath(theirs)):
        from .code import check_code

        return check_code(theirs, known, **options)
    if options:
        raise Error(f"formulas take no option {', '.join(sorted(options))}")
    from .judge import judge

    text = os.fspath(theirs)
    is_path = isinstance(theirs, os.PathLike) or ("\n" not in text and "=" not in text)
    source = Source(text, text_of(Path(text), HINT)) if is_path else Source("formulas", text)
    if is_latex(source) and (parts := cell_apart(source)):
        return judge(_read(parts[1]), parts[0])
    return judge(_read(source), known)


def is_latex(source: Source) -> bool:
    """Return whether a text is read as LaTeX."""
    return Path(source.name).suffix == ".tex" or "\\" in source.text or re.search(r"[_^]\{", source.text) is not None


def cell_apart(source: Source) -> tuple[Cell, Source] | None:
    """Return the cell that stands in its own notation before other mathematics, and the rest, each at its place."""
    rows = source.text.split("\n")
    states = [found[1] for row in rows if (found := re.match(r"\s*(\w+)\s*:\s*state\b", row))]
    assigns = rf"\s*(?:{'|'.join(states)})\s*=(?!=)"
    last = max((number for number, row in enumerate(rows) if states and re.match(assigns, row)), default=-1)
    if last < 0:
        return None
    cell = parse("\n".join(rows[: last + 1]), source.name)
    return cell, Source(source.name, "\n" * (last + 1) + "\n".join(rows[last + 1 :]))


def _read(source: Source) -> Any:
    from .formulas import read_formulas
    from .latex import read_latex

    if is_latex(source):
        return read_latex(source)
    try:
        return read_formulas(source)
    except NotationError as error:
        if PROGRAMMED.search(source.text) or "invalid syntax" not in str(error):
            raise
        try:
            return read_latex(source)  # W^T da: what stands side by side is a product
        except NotationError:
            pass
        raise

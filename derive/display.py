"""How things show themselves in a notebook: drawn by what is installed to draw, since pages belong to a later layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points

GROUP = "bptt.display"


@cache
def painter(kind: str) -> Callable[[object], str] | None:
    """Return what is registered under the entry point `kind`, 'html' or 'latex'; nothing where nobody is.

    >>> painter("braille") is None
    True
    """
    found: Callable[[object], str] | None = next((entry.load() for entry in entry_points(group=GROUP, name=kind)), None)
    return found


def html(thing: object) -> str | None:
    """Return a thing as HTML; a class that is drawn takes this as its `_repr_html_`."""
    paint = painter("html")
    return paint(thing) if paint else None


def latex(thing: object) -> str | None:
    """Return the mathematics of a thing as LaTeX; a class with equations takes this as its `_repr_latex_`."""
    paint = painter("latex")
    return paint(thing) if paint else None

"""Lines of source: indented, wrapped, with names that are free."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable


def indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def wrapped(start: str, arguments: tuple[str, ...], end: str = "):", width: int = 110) -> str:
    line = f"{start}{', '.join(arguments)}{end}"
    if len(line) <= width:
        return line
    rows, row = [], "   "
    for argument in arguments:
        if len(row) + len(argument) > width - 5:
            rows.append(row)
            row = "   "
        row += f" {argument},"
    return "\n".join([start, *rows, row, end])


def words(text: str) -> list[str]:
    return re.findall(r"\w+", re.sub(r"#.*", "", text))


def free(name: str, taken: set[str]) -> str:
    """Return a name that isn't taken yet, and take it."""
    while name in taken or keyword.iskeyword(name):
        name += "_"
    taken.add(name)
    return name


def safe(doc: str) -> str:
    """Return free text in a form that can't end the string in which it stands."""
    quoted = doc.replace("\\", "\\\\").replace('"""', "'''")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in quoted)

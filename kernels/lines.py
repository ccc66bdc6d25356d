"""Lines of source: indented, wrapped, with names that are free."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping

from sympy import Symbol

WIDTH = 112  # of a line


def indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def wrapped(start: str, arguments: tuple[str, ...], end: str = "):", room: int = 110) -> str:
    """Return a call, or a head, in lines no longer than `room`."""
    line = f"{start}{', '.join(arguments)}{end}"
    if len(line) <= room:
        return line
    rows, row = [], "   "
    for argument in arguments:
        if len(row) + len(argument) > room - 5:
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


def table(entries: Mapping[Symbol, str] | Mapping[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {value}' for name, value in entries.items()) + "}"


def opened_up(start: str, text: str) -> list[str]:
    """Return a line, or where it is too long one for each entry of the table or call that `text` is."""
    if len(start) + len(text) <= WIDTH:
        return [start + text]
    indent = " " * (len(start) - len(start.lstrip()))
    opened = _opening(text)
    inner = _entries(text[opened + 1 : -1])
    return [start + text[: opened + 1], *(f"{indent}    {entry}," for entry in inner), indent + text[-1]]


def _opening(text: str) -> int:
    """Return where the bracket opens that the last sign closes.

    >>> _opening("vmap(f)(a, {})")
    7
    """
    depth = 0
    for place in reversed(range(len(text))):
        depth += (text[place] in ")]}") - (text[place] in "([{")
        if not depth:
            break
    return place


def _entries(text: str) -> list[str]:
    """Return what commas separate that stand in no brackets.

    >>> _entries("f, {a: (1, 2)}")
    ['f', '{a: (1, 2)}']
    """
    depth, found = 0, [""]
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return [entry.strip() for entry in found]

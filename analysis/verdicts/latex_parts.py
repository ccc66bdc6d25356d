"""What the reader of LaTeX has in hand before it becomes a tree: brackets, functions without arguments, d and ∂."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lark import Token

from .latex_symbols import Symbol


@dataclass(frozen=True)
class Group:
    """What stands in brackets."""

    items: tuple[Any, ...]
    square: bool = False


@dataclass(frozen=True)
class Raised:
    """Brackets, or a quantity, with scripts: these belong to a function or differential before it, if there is one."""

    group: Any
    scripts: tuple[Token, ...]


@dataclass(frozen=True)
class Big:
    """A sum or a product over a range."""

    kind: str
    token: Token
    below: str = ""
    above: str = ""


@dataclass(frozen=True)
class Function:
    """A function that isn't applied yet."""

    label: str
    token: Token
    exponent: int = 1
    symbol: Symbol | None = None


@dataclass(frozen=True)
class Gradient:
    """∇ or ∂ with what it is by in its index."""

    of: Symbol


@dataclass(frozen=True)
class Differential:
    """d or ∂ before a quantity."""

    mark: Symbol
    of: Symbol


@dataclass(frozen=True)
class Ones:
    """1, or the indicator of a condition."""

    token: Token

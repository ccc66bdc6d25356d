"""What a page says of where a slope does not exist: kinks, jumps, and edges of where an expression is defined."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sympy
from sympy import Expr

from ..derive.derivation import Derivation
from ..derive.edges import edges
from ..derive.functions import FUNCTIONS, Elementwise
from .document import Block, Heading, Note, Paragraph
from .formula import Formula
from .mathematics import Mathematics
from .phrases import Phrases

INDICATORS = ("step", "geq")  # typeset as 𝟏[⋯]


def places_without_slope(
    parts: Sequence[tuple[Derivation, Callable[[Expr], Formula]]], math: Mathematics, phrases: Phrases
) -> list[Block]:
    """Return the section on places without a slope; nothing where the equations have no such place.

    Args:
        parts: derivations that a page speaks of, each with what typesets an expression of its equations.
        math: typesets names of functions.
        phrases: the page's language.
    """
    kinks = [
        Note("", phrases.text("text.kink", function=_title(name, math), kink=_kink(name, phrases)))
        for name in _functions([derivation for derivation, _ in parts])
        if FUNCTIONS[name].rule.kink
    ]
    found = [
        phrases.text("text.steep", expr=show(edge.expr))
        if edge.has_value
        else phrases.text("text.undefined", expr=show(edge.expr), argument=show(edge.argument))
        for derivation, show in parts
        for edge in edges(derivation)
    ]
    blocks: list[Block] = [Heading(phrases.plain("section.kinks"))] if kinks or found else []
    blocks += [Paragraph(phrases.text("text.kinks")), *kinks] if kinks else []
    return blocks + ([Paragraph(phrases.text("text.edges")), *(Note("", text) for text in found)] if found else [])


def _functions(derivations: Sequence[Derivation]) -> list[str]:
    """Return the names of the functions in the equations, in order."""
    written = [equation.written for derivation in derivations for equation in derivation.cell.equations]
    found = [part for expr in written for part in sympy.preorder_traversal(expr) if isinstance(part, Elementwise)]
    return list(dict.fromkeys(part.rule.name for part in found))


def _title(name: str, math: Mathematics) -> Formula:
    return math.call("indicator_of") if name in INDICATORS else math.call("function_title", name)


def _kink(name: str, phrases: Phrases) -> str:
    """Return the table's remark, in the language of the document where its catalogue has one."""
    key = f"kink.{name}"
    return phrases.plain(key) if key in phrases else FUNCTIONS[name].rule.kink

"""How a name typesets itself: `W_xi` has the subscript xi, `h_tilde` wears a tilde, `gamma_h` is Greek."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ..derive.functions import FUNCTIONS
from ..derive.model_text import LABEL
from ..derive.syntax import TENSOR_FUNCTIONS

ACCENTS = ("tilde", "hat", "bar", "dot", "check", "breve")
GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
    "Gamma",
    "Delta",
    "Theta",
    "Lambda",
    "Xi",
    "Pi",
    "Sigma",
    "Upsilon",
    "Phi",
    "Psi",
    "Omega",
]
LETTERS = {
    unicodedata.lookup(
        f"GREEK {'CAPITAL' if n[0].isupper() else 'SMALL'} LETTER {n.upper().replace('LAMBDA', 'LAMDA')}"
    ): n
    for n in GREEK
}
SIGNS = {name: letter for letter, name in LETTERS.items()}
SHORT = 2
OPERATORS = {*FUNCTIONS, *TENSOR_FUNCTIONS}


@dataclass(frozen=True)
class Token:
    """A part of a name between underscores.

    Attributes:
        pieces: ('greek', name), ('letter', character), ('word', text) or ('digits', text), side by side.
        accents: put over all of it, innermost first.
    """

    pieces: tuple[tuple[str, str], ...]
    accents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Name:
    """A name taken apart: its base, its subscripts, and the label of the layer that it belongs to."""

    base: Token
    subscripts: tuple[Token, ...]
    label: tuple[Token, ...] = ()


def taken_apart(name: str) -> Name:
    """Take a name apart.

    >>> taken_apart("W_xi").subscripts[0].pieces
    (('letter', 'x'), ('letter', 'i'))
    >>> taken_apart("h2_tilde").base
    Token(pieces=(('letter', 'h'),), accents=('tilde',))
    >>> taken_apart("W_xi__enc").label[0].pieces
    (('word', 'enc'),)
    >>> taken_apart("log_dt").base.pieces
    (('word', 'log_dt'),)
    """
    head, _, label = name.partition(LABEL) if re.fullmatch(r"[^_].*?[^_]?__[^_].*", name) else (name, "", "")
    words = [word for word in head.split("_") if word] or [name]
    if words[0] in OPERATORS and len(words) > 1:  # log with the subscript dt would be a logarithm
        return Name(Token((("word", head),)), (), _label(label))
    tokens: list[Token] = []
    digits: list[Token] = []
    for place, word in enumerate(words):
        if tokens and word in ACCENTS:
            tokens[-1] = Token(tokens[-1].pieces, (*tokens[-1].accents, word))
            continue
        chunks = re.findall(r"\d+|[^\d]+", word)
        if place == 0 and len(chunks) > 1 and not chunks[0].isdigit():
            tokens.append(_token(chunks[:1], True))
            digits.append(_token(chunks[1:], False))
        else:
            tokens.append(_token(chunks, place == 0))
    return Name(tokens[0], (*digits, *tokens[1:]), _label(label))


def _label(label: str) -> tuple[Token, ...]:
    """Take a label apart: a numbered layer is its number in parentheses."""
    number = re.fullmatch(r"(?:layer_?)?(\d+)(.*)", label)
    if number is None:
        return tuple(_token([word], False) for word in label.split("_") if word)
    return (Token((("digits", f"({number[1]})"),)), *_label(number[2]))


def _token(chunks: list[str], base: bool) -> Token:
    return Token(tuple(piece for chunk in chunks for piece in _pieces(chunk, base)))


def _pieces(chunk: str, base: bool) -> list[tuple[str, str]]:
    if chunk.isdigit() and chunk.isascii():
        return [("digits", chunk)]
    if chunk in GREEK and (base or len(chunk) > SHORT):
        return [("greek", chunk)]
    if len(chunk) == 1 or (len(chunk) <= SHORT and not base):
        return [("greek", LETTERS[letter]) if letter in LETTERS else ("letter", letter) for letter in chunk]
    return [("word", chunk)]


def is_covered(letter: str) -> bool:
    """Return whether the fonts that come with Typst have a glyph for a character, or those of the extra `korean`.

    >>> is_covered("é"), is_covered("ж"), is_covered("中")
    (True, True, False)
    """
    if letter.isascii():
        return letter.isprintable() or letter == "\n"
    if letter in SPACES:
        return True
    script = unicodedata.name(letter, "").split(" ")[0]
    return script in ("LATIN", "GREEK", "CYRILLIC", "HANGUL") or letter in COVERED_SIGNS


def is_cyrillic(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("CYRILLIC")


SPACES = "\N{NO-BREAK SPACE}\N{THIN SPACE}\N{NARROW NO-BREAK SPACE}"
COVERED_SIGNS = frozenset("–—‘’“”„…«»·×÷±−°§©®µ¶†‡•‰€←↑→↓↔↦⇒⇔∀∂∃∅∇∈∉∏∑√∞∫≈≠≡≤≥⊂⊆⊕⊗⊙⊤⊥⟨⟩ᵀ²³¹½¼¾✓✗  ‖ℒℝ")


def spelled(letter: str) -> str:
    """Return a character's code, for where no font has a glyph for it.

    >>> spelled("中")
    'U+4E2D'
    """
    return f"U+{ord(letter):04X}"

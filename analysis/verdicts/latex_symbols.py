"""Symbols of LaTeX: which letters name a quantity, which scripts its time, a power or a transpose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from lark import Token

TRANSPOSES = {
    "T",
    "\\top",
    "\\intercal",
    "t",
    "\\mathsfT",
    "\\mathrmT",
    "\\textT",
    "\\mathbfT",
    "\\textrmT",
    "\\mathttT",
    "\\dagger",
    "\\mathitT",
}
OUTER_TIMES = {"prev": -1, "previous": -1, "old": -1, "next": 1}
MARK = "<T>"
SEVERAL = "a star stands for several quantities; write a line for each"
NEIGHBOUR = "<N>"  # where prev or next stands
FONTS = re.compile(
    r"\\(?:mathrm|text|mathbf|mathsf|mathit|textrm|boldsymbol|bm|mathcal|operatorname|textit|textnormal)(?![A-Za-z])"
)
ACCENTS = {
    "widetilde": "tilde", "widehat": "hat", "overline": "bar", "underline": "under", "tilde": "tilde", "hat": "hat",
    "bar": "bar", "dot": "dot", "check": "check", "overrightarrow": "overrightarrow", "overleftarrow": "overleftarrow",
}  # fmt: skip


class Refused(Exception):
    """What a token says isn't understood."""

    def __init__(self, token: Token, message: str) -> None:
        self.token, self.message = token, message


class Unjudged(Exception):
    """What is said is understood, and can't be judged."""


class UnjudgedScript(Unjudged):
    """An index or a superscript is of entries, or of steps that are counted."""

    def __init__(self, token: Token, message: str) -> None:
        super().__init__(message)
        self.token, self.message = token, message


@dataclass(frozen=True)
class Symbol:
    """A quantity as it is written.

    Attributes:
        letter: what it is called without its scripts.
        shown: how it is written, with a mark where the time stands.
        token: where.
        words: of its scripts, such as "f" and "out".
        offset: from the time `at`.
        at: the letter of its time, "" where none is written.
        edge: the time, where that is a first or last one.
    """

    letter: str
    shown: str
    token: Token
    words: tuple[str, ...] = ()
    offset: int = 0
    at: str = ""
    edge: str = ""
    bare: bool = True

    @property
    def base(self) -> str:
        """The name without its time."""
        base = "_".join([self.letter, *self.words])
        if "_bar_" in base and not base.endswith("_bar"):
            base = base.replace("_bar_", "_") + "_bar"
        return base


def inside(token: Token) -> str:
    """Return what a sub- or superscript holds."""
    text = str(token)[1:].strip()
    return text[1:-1].strip() if text.startswith("{") and text.endswith("}") else text


def plain(text: str) -> str:
    """Return the text of a script without fonts and blanks."""
    text = re.sub(r"\\[,;:!> ]|~|\\left|\\right|\x00", " ", text)
    return re.sub(r"\s+|[{}]", "", FONTS.sub("", text))


def is_transpose(token: Token) -> bool:
    """Return whether a superscript is a transpose."""
    return token.type == "TURNED" or (
        token.type == "SUP" and re.sub(r"\\[,;:!> ]|[\s{}]", "", inside(token)) in TRANSPOSES - {"t"}
    )


def pieces_of(text: str) -> Iterator[str]:
    """Yield the parts of a script that commas or semicolons separate, outside of brackets."""
    depth, start = 0, 0
    for index, letter in enumerate(text):
        depth += {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(letter, 0)
        if letter in ",;" and depth == 0 and text[index - 1] != "\\":
            yield text[start:index]
            start = index + 1
    yield text[start:]


def scripted(symbol: Symbol, token: Token, clocks: Iterable[str]) -> tuple[Symbol, list[Token]]:
    """Return a symbol with one script more, and what is left of the script: a power or a transpose.

    Args:
        symbol: before.
        token: the script.
        clocks: letters that are times.

    Raises:
        Refused: for a script that isn't understood.
    """
    text = str(token) if token.type == "CLOCK" else inside(token)
    if token.type == "SUP":
        found = re.fullmatch(
            r"(.*?[)\s}>\]]|\\langle.*?\\rangle|.)\s*(\\top|\\intercal|T|\\prime|\{?\\mathsf\{T\}\}?|\\mathrm\{T\}|,\s*T|,\s*\\top)",
            text,
        )
        if found and (
            _time(found[1], clocks) is not None or re.fullmatch(r"[(\[]\w+[)\]]|\{[(\[]\w+[)\]]\}", found[1])
        ):
            rest = Token.new_borrow_pos("SUP", "^{" + found[2].lstrip(", ") + "}", token)
            made, left = scripted(symbol, Token.new_borrow_pos("SUP", "^{" + found[1] + "}", token), clocks)
            return made, [*left, rest]
        if _is_power(plain(text)) or is_transpose(token) or text in ("\\prime", "'"):
            return symbol, [token]
    shown = []
    for piece in pieces_of(text):
        accented = re.sub(r"\\(?:wide)?(tilde|hat|bar|overline)\s*\{?\s*([A-Za-z])\}?", r"\2_\1", piece)
        stripped = plain(FONTS.sub("", accented).replace("_overline", "_bar"))
        if (time := _time(piece, clocks)) is not None:
            at, offset = time
            if abs(offset) > 1:
                raise Refused(token, "times are t-1, t and t+1")
            symbol = replace(symbol, at=at, offset=offset)
            shown.append(re.sub(rf"\\?{at}\s*(?:[-+]\s*\d+)?", lambda _: MARK, _spaced(piece), count=1))
        elif (edge := re.fullmatch(r"\(?((?:T|N|\\tau)(?:[-+]1)?)\)?", stripped)) and not (
            token.type == "SUP" and stripped == "T"
        ):
            symbol = replace(
                symbol, edge=edge[1], words=(*symbol.words, edge[1].replace("+", "plus").replace("-", "minus"))
            )
            shown.append(piece)
        elif token.type == "SUB" and stripped in ("*", "\\star", "\\ast"):
            raise UnjudgedScript(token, SEVERAL)
        elif stripped in OUTER_TIMES:
            symbol = replace(symbol, offset=OUTER_TIMES[stripped], at="t")
            shown.append(NEIGHBOUR)
        else:
            if unknown := re.search(
                r"\\(?!(?:(?:alpha|beta|gamma|delta|eta|lambda|mu|nu|rho|sigma|tau|phi|psi|omega)|text|ell)\b)[A-Za-z]+",
                FONTS.sub("", accented),
            ):
                raise Refused(token, f"{unknown[0]} in an index or a superscript isn't understood")
            word = re.sub(r"[()\\]|[-/]", "", stripped).replace("'", "prime")
            if not re.fullmatch(r"[A-Za-z0-9_]*", word) or stripped.count("(") != stripped.count(")"):
                raise UnjudgedScript(
                    token, f"the {'index' if token.type == 'SUB' else 'superscript'} {piece.strip()} isn't understood"
                )
            symbol = replace(symbol, words=(*symbol.words, word) if word else symbol.words)
            shown.append(piece.strip())
    script = "".join(shown) if token.type == "CLOCK" else f"{str(token)[0]}{{{','.join(shown)}}}"
    return replace(symbol, shown=f"{symbol.shown}{script}", bare=False), []


def _is_power(text: str) -> bool:
    return re.fullmatch(r"(?:\\odot|\\circ)?-?\d+", text) is not None


def _spaced(piece: str) -> str:
    return re.sub(r"\\[,;:!> ]", "", piece)


def _time(piece: str, clocks: Iterable[str]) -> tuple[str, int] | None:
    """Return (letter, offset) of a script that is a time such as t-1, (t) or \\langle t\\rangle."""
    text = plain(piece).replace("\\langle", "<").replace("\\rangle", ">")
    if enclosed := re.fullmatch(r"\((.*)\)|\[(.*)\]|<(.*)>", text):
        text = next(filter(None, enclosed.groups()), "")
    found = re.fullmatch(r"(\\?[A-Za-z]+)(?:([-+])(\d+))?", text)
    if found is None or found[1].lstrip("\\") not in clocks:
        return None
    return found[1].lstrip("\\"), int(f"{found[2]}{found[3]}") if found[2] else 0

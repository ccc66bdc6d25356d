"""Signs that stand for commands of LaTeX: δ for \\delta, ⊙ for \\odot, hₜ₋₁ for h_{t-1}."""

from __future__ import annotations

import re
import unicodedata

from .latex_macros import Expanded

SIGNS = {
    "⊙": "\\odot", "∘": "\\circ", "◦": "\\circ", "·": "\\cdot", "⋅": "\\cdot", "×": "\\times", "∗": "*",
    "⊗": "\\otimes", "∂": "\\partial", "∇": "\\nabla", "∑": "\\sum", "∏": "\\prod", "⊤": "\\top", "ᵀ": "^\\top",
    "−": "-", "–": "-", "′": "'", "≥": "\\geq", "≤": "\\leq", "⟨": "\\langle", "⟩": "\\rangle", "…": "\\ldots",
    "←": "\\leftarrow", "≡": "\\equiv", "≔": ":=", "ϵ": "\\epsilon", "ϕ": "\\phi", "ℓ": "\\ell", "∈": "\\in",
    "≈": "\\approx", "∝": "\\propto",
}  # fmt: skip
SMALL = {"\N{COMBINING TILDE}": "\\tilde", "\N{COMBINING CIRCUMFLEX ACCENT}": "\\hat", "\N{COMBINING MACRON}": "\\bar"}
LOW = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₜₖⱼᵢₕₓₙₘ", "0123456789+-tkjihxnm", strict=True))
HIGH = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵗ", "0123456789+-t", strict=True))
SUMS = re.compile(r"Σ(?=\s*[_ₜ])")


def spelled(text: str) -> Expanded:
    """Write signs out as commands.

    >>> spelled("δhₜ = ∂L/∂h_t ⊙ z²").text
    '\\\\delta h_{t} = \\\\partial L/\\\\partial h_t \\\\odot z^{2}'
    """
    sums = {found.start() for found in SUMS.finditer(text)}
    made: list[str] = []
    places: list[int] = []
    index = 0
    while index < len(text):
        stop, new = index + 1, text[index]
        for table, sign in ((LOW, "_"), (HIGH, "^")):
            if new in table:
                while stop < len(text) and text[stop] in table:
                    stop += 1
                script = "".join(table[letter] for letter in text[index:stop])
                script = re.sub(r"^(?=[-+]1$)", "t", script) if sign == "_" else script  # h₋₁
                new = f"{sign}{{{script}}}"
                break
        else:
            if not new.isascii():
                new = "\\sum" if index in sums else _command(new)
            if text[stop : stop + 1] in SMALL:
                new, stop = f"{SMALL[text[stop]]}{{{new}}}", stop + 1
        if re.fullmatch(r".*\\[A-Za-z]+", new) and text[stop : stop + 1].isalpha():
            new += " "
        made.append(new)
        places += [index] * len(new)
        index = stop
    return Expanded("".join(made), (*places, len(text)))


def _command(sign: str) -> str:
    """Return what a sign that isn't ASCII stands for; itself where it is none of ours."""
    if sign in SIGNS:
        return SIGNS[sign]
    whole = unicodedata.normalize("NFKD", sign)
    if len(whole) == 2 and whole[1] in SMALL:
        return f"{SMALL[whole[1]]}{{{_command(whole[0])}}}"
    plain = unicodedata.normalize("NFKC", sign)
    if len(plain) != 1 or plain.isascii():
        return plain if len(plain) == 1 else sign
    found = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)", unicodedata.name(SIGNS.get(plain, plain)[:1], ""))
    if plain in SIGNS or found is None:
        return SIGNS.get(plain, plain)
    return "\\" + (found[2].lower() if found[1] == "SMALL" else found[2].capitalize()).replace("amda", "ambda")

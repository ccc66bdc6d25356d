"""Formulas as people type them -> the notation: signs of mathematics and MATLAB, sums over t, prose between lines."""

from __future__ import annotations

import re

# a line that is no formula: words with a blank between them, and no sign of an assignment or a declaration
WORDS = re.compile(r"[^=]*[A-Za-z][\w'’]*[,;:.)]*\s+[(]?[A-Za-z][^=]*")
HEADING = re.compile(r"\s*(?!(?:else|try|finally)\b)(?:[A-Z][a-z]{2,}|[A-Za-z]+(?=\s*:))\s*:?\s*")  # a word alone
OPENING = re.compile(r"\s*(?:[Ll]et|[Ww]rite|[Dd]enote|[Dd]efine|[Ww]here|Here)\s+[^\s=]")  # of a sentence
STATEMENTS = re.compile(r"\s*(?:import|from|def|class|for|while|if|with|return|lambda)\b")
DECLARATION = re.compile(r"\s*\w+\s*:\s*(?:input|state|param|index)\b")
LISTED = re.compile(r"^(\s*)(?:[-*•]|\(?\d+[.):])\s+(?=[^\s=]+\s*[-+*/]?=)")
QUOTES = re.compile(r"`(?:[\s,;]*`)?")  # of code in Markdown
SEPARATED = {"`,`": " ;", "`;`": " ;", "``": " ;"}
EMPHASISED = re.compile(r"\s*(\*\*|__)[^*_=]+\1\s*[:.]?\s*")
# signs of mathematics -> the notation; those with as many letters first, so that places in a line stay
SIGNS = (
    (r"[⊙∘·×∗⋅]", "*"),
    ("−", "-"),
    ("[∂𝜕]", "d"),
    ("𝛿", "δ"),
    (r"\b(d[LJE]|dLoss|dloss)/(?=d[A-Za-z_])", r"\1_"),
    (r"\b(?:d[LJE])_?(?:t|\[t\])[/_](d[A-Za-z]\w*)", r"\1_loss"),
    (r"ₜ?₋₁", "[t-1]"),
    (r"ₜ?₊₁", "[t+1]"),
    (r"(?<![Σ∑])ₜ", "[t]"),
    (r"⊗", "//"),  # read as the outer product
    (r"\.(?=[*/^])", ""),
    (r"\s*(?:\^\s*(?:T\b|⊤|\{T\})|ᵀ|⊤)", ".T"),
    (r"\^(?=\s*[\d(])", "**"),
    ("²", "**2"),
    ("³", "**3"),
    (r"(?<=\w)['′](?=\()", "_prime"),
)
MATLAB = re.compile(r"(?<=[\w)\]])'(?![\w'])")  # a transpose
QUOTED = re.compile(r"(?<![\w)\]'])'")  # the beginning of a text

SUM = re.compile(r"[Σ∑]\s*(?:_?\s*(?:\{\s*t\s*\}|t\b|\[t\])|ₜ)|\bsum_t\b(?!\s*\()|\bsum_\{t\}")


def without_prose(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text whose lines of words are blank, and a note on each; quoted text and what is in brackets stays.

    >>> without_prose("We find:\\n  1. dW = da")
    ('        \\n     dW = da', ('line 1 is no formula, and was left alone: We find:',))
    """
    made: list[str] = []
    notes: list[str] = []
    quoted, depth = False, 0
    for number, line in enumerate(text.split("\n"), 1):
        marks = line.count('"""') + line.count("'''")
        if quoted or marks:
            quoted ^= marks % 2 == 1
        elif depth == 0:
            code = line.partition("#")[0]
            if re.match(r"\s*%", line):
                line = " " * len(line)
            elif _is_prose(code):
                notes.append(f"line {number} is no formula, and was left alone: {line.strip()}")
                line = " " * len(line)
            line = QUOTES.sub(lambda found: SEPARATED.get(found[0].replace(" ", ""), "").ljust(len(found[0])), line)
            line = LISTED.sub(lambda found: " " * len(found[0]), line)
        code = line.partition("#")[0]
        depth = max(0, depth + sum(map(code.count, "([{")) - sum(map(code.count, ")]}"))) if not quoted else 0
        made.append(line)
    return "\n".join(made), tuple(notes)


def notation(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text in the notation of formulas, and the notes on lines that are none.

    >>> notation("  dW = Σ_t da ⊗ h[t-1]")
    ('dW = sum_t(da // h[t-1])', ())
    """
    text, notes = without_prose(text)
    blocks = any(STATEMENTS.match(line) for line in text.split("\n"))
    made, depth = [], 0
    for line in text.split("\n"):
        code, mark, comment = line.partition("#")
        code = summed(plain_line(re.sub(r";\s*%.*", ";", code if depth or blocks else code.lstrip())))
        depth = max(0, depth + sum(map(code.count, "([{")) - sum(map(code.count, ")]}")))
        made.append(code + mark + comment)
    return "\n".join(made), notes


def _is_prose(code: str) -> bool:
    """Return whether a line says something in words; what might be a formula, code or a declaration isn't prose."""
    if re.match(r"\s*(?:---+|===+)\s*$|```|~~~", code) or OPENING.match(code) or HEADING.fullmatch(code):
        return True
    if EMPHASISED.fullmatch(code):
        return True
    return (
        WORDS.fullmatch(code) is not None
        and STATEMENTS.match(code) is None
        and DECLARATION.match(code) is None
        and re.search(r"[@^\\]|\*\*|\w\(|[-+*/]\s*$|^\s*[-+*/@]\s", code) is None
    )


def plain_line(code: str) -> str:
    """Return a line with signs of mathematics in the notation of formulas.

    >>> plain_line("∂h = Wᵀ @ ∂a ⊙ (1 − h²)")
    'dh = W.T @ da * (1 - h**2)'
    """
    for pattern, sign in SIGNS:
        code = re.sub(pattern, sign, code)
    return code if QUOTED.search(code) else MATLAB.sub(".T", code)


def is_matlab(text: str) -> bool:
    """Return whether a text transposes with a quote, as in W' * da."""
    rows = [line.partition("#")[0] for line in text.split("\n")]
    return any(MATLAB.search(row) and not _is_prose(row) and not QUOTED.search(row) for row in rows)


def summed(code: str) -> str:
    """Return a line with what stands after Σ_t as the argument of sum_t: all up to the next + or - beside it.

    >>> summed("db = Σ_t da * (1 - h) + c")
    'db = sum_t(da * (1 - h)) + c'
    """
    while found := SUM.search(code):
        start = stop = found.end() + len(code[found.end() :]) - len(code[found.end() :].lstrip())
        depth = 0
        while stop < len(code) and depth >= 0:
            letter = code[stop]
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
            term = code[start:stop].rstrip()
            beside = letter in "+-;" and depth == 0 and term and term[-1] not in "*/@"
            if depth < 0 or beside:
                break
            stop += 1
        inner = code[start:stop].rstrip()
        code = f"{code[: found.start()]}sum_t({inner}){code[start + len(inner) :]}"
    return code

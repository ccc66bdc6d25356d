r"""Letters that stand for labels: \delta W_k for k in \{f, i, o\} and \sum_{k \in \{f, i, o\}} are written out."""

from __future__ import annotations

import re

from .latex_macros import Expanded
from .latex_rows import equations

LETTER = r"\\star(?![A-Za-z])|\\ast(?![A-Za-z])|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])"
BRACED = r"\\(?:\{|lbrace)(.*?)\\(?:\}|rbrace)"
WITHIN = re.compile(rf"(?:\\forall\s*)?({LETTER})\s*\\in\s*{BRACED}")
IN_WORDS = re.compile(
    rf"(\\star|\\ast|\*)\s*\$?\s*(?:can be|may be|is|stands for|means|denotes)\s*(?:one of|any of)?\s*\$?\s*{BRACED}"
)
LABEL = re.compile(
    r"\s*(?:\\(?:bar|tilde|hat|widetilde|widehat|overline)\s*(?:\{\s*[A-Za-z]\s*\}|[A-Za-z])|[A-Za-z]{1,3}|"
    r"\\(?:text|mathrm|textrm)\{[A-Za-z]+\}|\\(?:mathbf|boldsymbol|bm)\s*\{(?:[^{}]|\{[^{}]*\})*\})\s*"
)
SUM = re.compile(rf"\\sum(?:\\limits)?\s*_\s*(?:\{{\s*({LETTER})\s*(?:\\in\s*{BRACED})?\s*\}}|({LETTER}))")
STARS = "*", "\\ast", "\\star"
OPEN, CLOSED = "([{", ")]}"
ENDS = re.compile(r"[+=&,;\x00-]|\\\\|\\q?quad(?![A-Za-z])|\\mathrel(?![A-Za-z])")


def written_out(text: str, said: str, places: tuple[int, ...]) -> Expanded:
    """Write an equation for each label, and sums over labels as sums.

    Args:
        text: with equations, whose words are blanked.
        said: the same with its words, which say what labels there are.
        places: of its characters, and of its end, in the file.
    """
    sets = {found[1]: labels for found in WITHIN.finditer(said) if (labels := _labels(found[2]))}
    sets |= {found[1]: labels for found in IN_WORDS.finditer(said) if (labels := _labels(found[2]))}
    if starred := next((sets[star] for star in STARS if star in sets), []):
        sets |= dict.fromkeys(STARS, starred)
    sets = {letter: labels for letter, labels in sets.items() if not _is_quantity(text, letter)}
    if not sets:
        return Expanded(text, places)
    kept = list(places)
    for start, stop in reversed([(one.start, one.stop) for one in equations(text)]):
        made = _with_sums(text[start:stop], sets)
        made = WITHIN.sub(lambda found: " " * len(found[0]) if found[1] in sets else found[0], made)
        free = next((letter for letter in sets if _put(made, letter, "") != made and not _counts(made, letter)), None)
        if free is not None:
            made = r" \\ ".join(_put(made, free, label) for label in sets[free])
        if made != text[start:stop]:
            text = text[:start] + made + text[stop:]
            kept[start:stop] = [kept[start]] * len(made)
    return Expanded(text, tuple(kept))


def _is_quantity(text: str, letter: str) -> bool:
    """Return whether a letter has a time of its own, as the candidate g_t has where gates g are spoken of too."""
    timed = rf"(?<![A-Za-z\\_^{{]){letter}\s*(?:_\s*(?:t\b|\{{\s*t\b)|\^\s*(?:t\b|\{{\s*\(?\s*t\b))"
    return letter.isalpha() and re.search(timed, text) is not None


def _labels(items: str) -> list[str]:
    """Return the labels of a set, none where it is of something else: numbers, a range."""
    found = items.split(",")
    return [item.strip() for item in found] if len(found) > 1 and all(map(LABEL.fullmatch, found)) else []


def _with_sums(text: str, sets: dict[str, list[str]]) -> str:
    r"""Return an equation with sums over labels written out: \sum_k a_k b is (a_f b + a_i b)."""
    for found in reversed(list(SUM.finditer(text))):
        letter, items = found[1] or found[3], _labels(found[2] or "") or sets.get(found[1] or found[3], [])
        if items:
            stop = _end(text, found.end())
            terms = [_put(text[found.end() : stop], letter, label).strip() for label in items]
            text = f"{text[: found.start()]}({' + '.join(terms)}) {text[stop:]}"
    return text


def _end(text: str, start: int) -> int:
    """Return where the term ends that begins at a place: at a sign, a relation or a closing bracket around it."""
    depth, begun = 0, False
    for place in range(start, len(text)):
        depth += (text[place] in OPEN) - (text[place] in CLOSED)
        if depth < 0 or depth == 0 and begun and ENDS.match(text, place):
            return place
        begun = begun or not text[place].isspace()
    return len(text)


def _counts(text: str, letter: str) -> bool:
    """Return whether a letter counts steps in an equation: it stands below a sum or a product there."""
    below = re.findall(r"\\(?:sum|prod)(?:\\limits)?\s*_\s*(\{[^{}]*\}|[A-Za-z])", text)
    return any(re.search(_alone(letter), script) for script in below)


def _put(text: str, letter: str, label: str) -> str:
    r"""Put a label in a letter's place; weights bear it without an accent: W_\star is W_z for \bar z."""
    bare = label if label.startswith(("\\text", "\\mathrm")) else re.sub(r"\\[a-z]+\s*|[{}]", "", label)

    def of_weight(found: re.Match[str]) -> str:
        script = found[2].strip("{}")
        made = _in_script(script, letter, bare)
        return found[0] if made == script else f"{found[1]}{{{made}}}"

    text = re.sub(r"((?<![A-Za-z\\])[A-Zbp]\s*[_^]\s*)(\{[^{}]*\}|\\[A-Za-z]+|[A-Za-z*])", of_weight, text)
    if letter == "*":
        return re.sub(r"([_^]\s*)(\{\s*\*\s*\}|\*)", lambda found: f"{found[1]}{{{label}}}", text)
    return re.sub(f"([A-Za-z]?){_alone(letter)}", lambda found: found[1] + " " * bool(found[1]) + label, text)


def _in_script(script: str, letter: str, label: str) -> str:
    """Put a label into a script, also beside another letter: W_{hk}."""
    if re.fullmatch(r"[A-Za-z]{2,3}", script) and script.count(letter) == 1:
        return script.replace(letter, label)
    return re.sub(_alone(letter), lambda _: label, script)


def _alone(letter: str) -> str:
    """Return a pattern of a letter that is no part of a word or a command."""
    return rf"(?<![A-Za-z\\]){letter}(?![A-Za-z])" if letter.isalpha() else rf"{re.escape(letter)}(?![A-Za-z])"

"""How well hand-derived gradients are judged: every single fault of the catalogue in every cell of the zoo.

    python benchmarks/check.py [--sample N]

Right backward passes come from the derivation. Each line is broken by every rule of the catalogue, one fault at a time,
and the judge has to find it: the fault at all, its line, its kind, and a repair that is shown to work. Variants that
are right, in other names, layouts, orders and algebraic forms, must raise no alarm.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import bptt
from bptt.analysis.verdicts.arithmetic import Array, Evaluator
from bptt.analysis.verdicts.catalogue import edits
from bptt.analysis.verdicts.check import check
from bptt.analysis.verdicts.formulas import read_formulas, tree_from
from bptt.analysis.verdicts.meanings import Answers
from bptt.analysis.verdicts.naming import read_meanings
from bptt.analysis.verdicts.ours import Translator
from bptt.analysis.verdicts.probes import probes, subject
from bptt.analysis.verdicts.reading import Reading, agree
from bptt.analysis.verdicts.repair import pool_for, reading_values
from bptt.analysis.verdicts.tree import Name, Speller, Tree, add, mapped, mul, neg, number, places, rebuilt, replaced
from bptt.derive.errors import Source

PER_KIND = 1  # mutants of one kind that a line gives
NINE = {
    "da_i": ("i * (1 - i)", "(1 - i)"),
    "da_f": ("c_prev", "c"),
    "da_o": ("tanh(c)", "c"),
    "da_g": ("1 - g**2", "1 - g"),
    "dc": (" + dc_next", ""),
    "dW_xi": ("da_i, x", "x, da_i"),
    "dW_hf": ("da_f, h_prev", "da_f, h"),
    "db_o": ("da_o", "-da_o"),
    "dc_prev": ("dc * f", "dc * i"),
}
LSTM = """dh = dh_out + dh_next
dc = dc_out + dh * o * (1 - tanh(c)**2) + dc_next
da_i = dc * g * i * (1 - i)
da_f = dc * c_prev * f * (1 - f)
da_o = dh * tanh(c) * o * (1 - o)
da_g = dc * i * (1 - g**2)
dW_xi += outer(da_i, x)
dW_xf += outer(da_f, x)
dW_xo += outer(da_o, x)
dW_xg += outer(da_g, x)
dW_hi += outer(da_i, h_prev)
dW_hf += outer(da_f, h_prev)
dW_ho += outer(da_o, h_prev)
dW_hg += outer(da_g, h_prev)
db_i += da_i
db_f += da_f
db_o += da_o
db_g += da_g
dx = W_xi.T @ da_i + W_xf.T @ da_f + W_xo.T @ da_o + W_xg.T @ da_g
dh_prev = W_hi.T @ da_i + W_hf.T @ da_f + W_ho.T @ da_o + W_hg.T @ da_g
dc_prev = dc * f"""


@cache
def right_lines(name: str) -> tuple[str, ...]:
    """Return the backward pass of a cell, as a person would write it.

    >>> right_lines("rnn")[:3]
    ('dh = dh_out + dh_next', 'da_h = dh * (1 - h**2)', 'dh_prev = W_hh.T @ da_h')
    """
    of = subject(bptt.load(name))
    params, lines = set(of.cell.params), []

    def change(spelled: Name) -> Tree | None:
        base = spelled.base
        if base.startswith("incoming_"):
            seed = base[9:]
            back = [Tree("name", (), Name(f"d{seed}", 1))] if seed in of.cell.states else []
            return add(Tree("name", (), Name(f"d{seed}_out")), *back)
        return Tree("name", (), Name(f"d{base[6:]}", spelled.offset)) if base.startswith("delta_") else None

    show = Speller()
    for step in of.backward.steps:
        tree = mapped(tree_from(step.expr), change)
        base = step.target.name.removeprefix("delta_")
        lines.append(f"d{base} {'+=' if base in params else '='} {show.show(tree)}")
    return tuple(lines)


@dataclass(frozen=True)
class Mutant:
    """A backward pass with one fault.

    Attributes:
        cell: of the zoo.
        text: all lines.
        line: number of the broken one, 0 for one that was left out.
        kinds: of the fault: more than one where rules give the same line.
    """

    cell: str
    text: str
    line: int
    kinds: frozenset[str]


def reading_of(name: str) -> Reading:
    """Return the right backward pass of a cell, read."""
    text = "\n".join(right_lines(name))
    formulas = read_formulas(Source(name, text))
    of = subject(bptt.load(name))
    return read_meanings(formulas, list(formulas.statements), Answers(probes(of), of.seeds, False), False)


def mutants(name: str, per_kind: int = PER_KIND) -> Iterator[Mutant]:
    """Yield the mutants of a cell: of each line, `per_kind` of each kind of fault, drawn at random but always alike."""
    reading, lines = reading_of(name), right_lines(name)
    translator, show = Translator(reading), Speller()
    for place, group in enumerate(reading.groups.values()):
        (line,) = group.lines
        right = reading.answers.array(reading.meanings[group.target])
        evaluator = reading.over(reading.meanings)
        evaluator.values = {**reading_values(reading, pool_for(reading, group, translator)), **evaluator.values}
        found: dict[str, dict[str, None]] = {}
        kinds: dict[str, set[str]] = {}
        for edit in edits(line.value, pool_for(reading, group, translator)):
            text = show.show(edit.tree)
            if text == show.show(line.value):
                continue
            kinds.setdefault(text, set()).add(edit.makes)
            found.setdefault(edit.makes, {})[text] = None
        for kind, texts in found.items():
            chosen = sorted(texts)
            random.Random(f"{name}{place}{kind}").shuffle(chosen)
            kept = 0
            for text in chosen:
                if kept == per_kind:
                    break
                broken = f"{line.text.split('=')[0]}= {text}"
                changed = [*lines[:place], broken, *lines[place + 1 :]]
                if _is_wrong(reading, evaluator, text, right) and not _is_convention(reading, "\n".join(changed)):
                    kept += 1
                    yield Mutant(name, "\n".join(changed), place + 1, frozenset(kinds[text]))
        if line.adds:
            changed = [*lines[:place], line.text.replace("+=", "=", 1), *lines[place + 1 :]]
            if sum(other.lines[0].adds for other in reading.groups.values()) > 2:
                yield Mutant(name, "\n".join(changed), place + 1, frozenset({"overwritten"}))
                yield Mutant(name, "\n".join([*lines[:place], *lines[place + 1 :]]), 0, frozenset({"missing gradient"}))


def _is_wrong(reading: Reading, evaluator: Evaluator, text: str, right: Array) -> bool:
    """Return whether a broken line can be evaluated, and gives something else."""
    tree = read_formulas(Source("mutant", f"y = {text}")).statements[0].value
    try:
        found = evaluator.plain(tree)
    except Exception:  # shapes that don't fit are wrong too, and easy to see
        return True
    return not agree(found, right)


def _is_convention(reading: Reading, text: str) -> bool:
    """Return whether a text speaks of no loss of a state that others read: a loss on the last state alone is right."""
    subject = reading.answers.subject
    return any(f"d{seed}_out" not in text for seed in set(subject.seeds) - set(subject.last))


STYLES = ("delta_{}", "{}_bar", "grad_{}", "dL_d{}")


def variants(name: str) -> Iterator[tuple[str, str]]:
    """Yield (what was changed, text) of backward passes that are right: names, orders, layouts, algebraic forms.

    >>> [what for what, _ in variants("rnn")][:3]
    ['as derived', 'delta_{}', '{}_bar']
    """
    lines, show = right_lines(name), Speller()
    statements = read_formulas(Source(name, "\n".join(lines))).statements

    def written(change: Callable[[Tree], Tree], style: str = "d{}", order: Sequence[int] = ()) -> str:
        def renamed(spelled: Name) -> Tree | None:
            if not spelled.base.startswith("d"):
                return None
            base, out = spelled.base[1:], ""
            if base.endswith("_out"):
                base, out = base.removesuffix("_out"), "_out"
            return Tree("name", (), Name(style.format(base + out), spelled.offset))

        made = []
        for number_of in order or range(len(statements)):
            line = statements[number_of]
            target = renamed(line.target)
            assert target is not None
            sign = "+=" if line.adds else "="
            made.append(f"{show.show(target)} {sign} {show.show(mapped(change(line.value), renamed))}")
        return "\n".join(made)

    def reordered(tree: Tree) -> Tree:
        args = [reordered(operand) for operand in tree.args]
        if tree.head in ("add", "mul") and args[-1].head not in ("neg", "inv"):
            return (add if tree.head == "add" else mul)(*args[::-1])
        return Tree(tree.head, tuple(args), tree.leaf) if args else tree

    def doubled(tree: Tree) -> Tree:
        return add(mul(number("0.5"), tree), mul(number("0.5"), tree))

    def opened(tree: Tree) -> Tree:
        """Multiply a factor out: a (1 - b) -> a - a b."""
        for path, part in places(tree):
            if part.head == "mul" and all(factor.head != "inv" for factor in part.args):
                for index, factor in enumerate(part.args):
                    if factor.head == "add":
                        rest = [*part.args[:index], *part.args[index + 1 :]]
                        terms = [neg(mul(*rest, t.args[0])) if t.head == "neg" else mul(*rest, t) for t in factor.args]
                        return replaced(tree, path, add(*terms))
        return tree

    def squared(tree: Tree) -> Tree:
        """Write a square as a product."""
        args = [squared(operand) for operand in tree.args]
        if tree.head == "pow" and tree.leaf == 2:
            return mul(args[0], args[0])
        return rebuilt(tree, args) if args else tree

    def same(tree: Tree) -> Tree:
        return tree

    yield "as derived", written(same)
    for style in STYLES:
        yield style, written(same, style)
    yield "terms and factors in another order", written(reordered)
    yield "multiplied out", written(opened)
    yield "squares as products", written(squared)
    yield "two halves", written(doubled)
    yield "lines in another order", written(same, order=range(len(statements))[::-1])
    rows = Translator(_turned(name))
    yield "rows", "\n".join(_in_rows(name, rows))


def _turned(name: str) -> Reading:
    formulas = read_formulas(Source(name, "\n".join(right_lines(name))))
    of = subject(bptt.load(name))
    return read_meanings(formulas, list(formulas.statements), Answers(probes(of), of.seeds, True), True)


def _in_rows(name: str, rows: Translator) -> Iterator[str]:
    """Yield the lines with every matrix of parameters transposed."""
    show = Speller()
    for target, group in rows.reading.groups.items():
        tree = rows.line(rows.reading.meanings[target])
        assert tree is not None
        yield f"{show.name(target)} {'+=' if group.lines[0].adds else '='} {show.show(tree)}"


def nine_faults() -> tuple[str, set[int]]:
    """Return an LSTM's backward pass with nine independent faults, and the numbers of their lines."""
    lines = LSTM.splitlines()
    wrong = set()
    for place, line in enumerate(lines):
        target, right = line.replace("+=", "=").split(" = ")
        if target in NINE:
            lines[place] = line.replace(right, right.replace(*NINE[target], 1))
            wrong.add(place + 1)
    return "\n".join(lines), wrong


@dataclass
class Score:
    """How many of so many."""

    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    misses: list[str] = dataclasses.field(default_factory=list)
    slowest: float = 0.0  # seconds for one text, of this process's own time

    def judge(self, mutant: Mutant) -> None:
        """Judge a mutant and count what was found."""
        start = time.process_time()
        verdict = check(mutant.text, cell=mutant.cell)
        self.slowest = max(self.slowest, time.process_time() - start)
        fault = verdict.faults[0] if verdict.faults else None
        line = fault is not None and any(f.line == mutant.line for f in verdict.faults) and len(verdict.faults) == 1
        kind = fault is not None and fault.kind in mutant.kinds
        repair = fault is not None and bool(fault.mended and fault.proof) and line
        self.counts.update(mutants=1, detected=fault is not None, line=line, kind=kind, repair=repair)
        if not (line and kind and repair):
            said = f"{fault.line} {fault.kind}: {fault.mended}" if fault else "nothing"
            broken = mutant.text.splitlines()[mutant.line - 1] if mutant.line else "(missing)"
            self.misses.append(f"{mutant.cell}:{mutant.line} {sorted(mutant.kinds)} {broken}  ->  {said}")

    def line(self) -> str:
        """Say it in a line."""
        total = max(1, self.counts["mutants"])
        parts = (f"{what} {100 * self.counts[what] / total:.1f} %" for what in ("detected", "line", "kind", "repair"))
        return f"{self.counts['mutants']} mutants: {', '.join(parts)}; slowest {self.slowest:.1f} s"


def main() -> None:
    """Run the bench and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="mutants per cell; all by default")
    parser.add_argument("--cells", default="", help="names with commas; all by default")
    parser.add_argument("--misses", action="store_true", help="print every mutant that was misjudged")
    options = parser.parse_args()
    whole = Score()
    names = options.cells.split(",") if options.cells else bptt.zoo()
    for name in names:
        start, score = time.perf_counter(), Score()
        made = list(mutants(name))
        if options.sample:
            made = random.Random(name).sample(made, min(options.sample, len(made)))
        for mutant in made:
            score.judge(mutant)
        print(f"{name:<18} {score.line()}  ({time.perf_counter() - start:.1f} s)", flush=True)
        whole.counts += score.counts
        whole.misses += score.misses
        whole.slowest = max(whole.slowest, score.slowest)
        if options.misses:
            print("\n".join(score.misses))
    print(whole.line())
    alarms = [
        f"{name}, {what}" for name in names for what, text in variants(name) if not check(text, cell=name).correct
    ]
    print(
        f"{sum(1 for name in names for _ in variants(name))} right variants: {len(alarms)} false alarms",
        *alarms,
        sep="\n  ",
    )
    text, wrong = nine_faults()
    start = time.perf_counter()
    found = {fault.line for fault in check(text, cell="lstm").faults}
    seconds = time.perf_counter() - start
    print(f"an LSTM with nine faults: {len(found & wrong)} found, {len(found - wrong)} besides, in {seconds:.2f} s")


if __name__ == "__main__":
    main()

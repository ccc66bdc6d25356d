"""Directives that print the project's own tables: a new line in a table is a new line on its page."""

from __future__ import annotations

import re
from collections.abc import Callable

import click
import sympy
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sympy import Expr

import bptt
from bptt.cli import main
from bptt.derive.functions import FUNCTIONS, Rule
from bptt.derive.linear import NODES
from bptt.derive.model import load_model, models
from bptt.derive.model_derivation import derive
from bptt.reports.derivation import equations_of, mathematics
from bptt.reports.document import Heading
from bptt.reports.formula import clean
from bptt.reports.markdown import block, escaped
from bptt.reports.mathematics import Mathematics
from bptt.reports.model import model_equations

X, Y, A, B = sympy.symbols("x y a b")
TIMELESS = Mathematics({}, (X, Y, A, B))


def functions() -> str:
    """The elementwise functions: slopes in the output y, Lipschitz constant, image, kinks."""
    rows = [
        "| function | slope, with $y$ the value | Lipschitz constant | values | where it bends |",
        "|---|---|---|---|---|",
    ]
    for name, kind in FUNCTIONS.items():
        rule = kind.rule
        bound = "none" if rule.lipschitz is None else _tex(rule.lipschitz)
        low, high = map(sympy.latex, rule.image)
        left, right = "(" if rule.image[0] == -sympy.oo else "[", ")" if rule.image[1] == sympy.oo else "]"
        rows.append(f"| `{name}` | {_slopes(rule)} | {bound} | ${left}{low}, {high}{right}$ | {rule.kink} |")
    return "\n".join(rows)


def _slopes(rule: Rule) -> str:
    given = (X,) if len(rule.slopes) == 1 else (A, B)
    slopes = (_tex(sympy.sympify(slope(*given, Y))) for slope in rule.slopes)
    if len(given) == 1:
        return next(slopes)
    return ", ".join(f"by ${name}$: {slope}" for name, slope in zip(given, slopes, strict=True))


def _tex(expr: Expr) -> str:
    return f"${clean(TIMELESS.formula(expr)).latex.strip()}$"


def maps() -> str:
    """The maps between tensors, each with its one rule."""
    rows = ["| map | what goes back |", "|---|---|"]
    rows += [f"| `{name}` | {escaped(kind.rule.why)} |" for name, kind in NODES.items()]
    return "\n".join(rows)


def cells() -> str:
    """Every cell that ships, with its source and its equations."""
    parts = []
    for name in bptt.zoo():
        cell = bptt.load(name)
        derivation = bptt.derive(cell)
        parts += [f"## {name}", *_said(cell.doc), block(equations_of(derivation, mathematics(derivation)))]
    return "\n\n".join(parts)


def sequence_models() -> str:
    """Every sequence model that ships, with its source and its equations."""
    parts = []
    for name in models():
        model = load_model(name)
        blocks = [found for found in model_equations(derive(model)) if not isinstance(found, Heading)]
        parts += [f"## {name}", *_said(model.doc), *map(block, blocks)]
    return "\n\n".join(parts)


def _said(doc: str) -> list[str]:
    return [escaped(" ".join(paragraph.split())) for paragraph in doc.strip().split("\n\n")]


def commands() -> str:
    """Every command, as its `--help` says it."""
    parts, context = [], click.Context(main)
    for name in sorted(main.list_commands(context)):
        command = main.get_command(context, name)
        assert command is not None
        text = command.get_help(click.Context(command, info_name=f"bptt {name}", max_content_width=92))
        parts += [f"## {name}", f"```text\n{text}\n```"]
    return "\n\n".join(parts)


TABLES: dict[str, Callable[[], str]] = {
    "function-table": functions,
    "map-table": maps,
    "cell-list": cells,
    "model-list": sequence_models,
    "command-list": commands,
}


def directive(table: Callable[[], str]) -> type[SphinxDirective]:
    """Return the directive that stands for a table."""

    def run(self: SphinxDirective) -> list[nodes.Node]:
        return self.parse_text_to_nodes(table(), allow_section_headings=True)

    return type(table.__name__, (SphinxDirective,), {"run": run, "__doc__": table.__doc__})


def as_written(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Take stars and bars in a docstring for what they are, outside code and examples: no markup."""
    in_example = False
    for place, line in enumerate(lines):
        in_example = bool(line.strip()) and (in_example or line.lstrip().startswith(">>>"))
        if not in_example:
            lines[place] = re.sub(r"(`[^`]*`)|([*|])", lambda found: found[1] or f"\\{found[2]}", line)


def setup(app: Sphinx) -> dict[str, bool]:
    """Enter the directives."""
    app.connect("autodoc-process-docstring", as_written, priority=400)  # before napoleon, which writes markup
    for name, table in TABLES.items():
        app.add_directive(name, directive(table))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

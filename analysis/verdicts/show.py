"""A verdict in a terminal, in colour where the terminal has any."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from .difference import difference
from .verdict import Fault, Line, Verdict


def show(verdict: Verdict, console: Console | None = None) -> None:
    """Print a verdict: what was inferred, every line with its mark, then each fault with its mended line.

    Args:
        verdict: to print.
        console: of rich; by default one on standard output, which leaves colours out for NO_COLOR and for files.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    if verdict.correct:
        head = Text("correct", "bold green")
    else:
        count = len(verdict.faults)
        head = Text(f"{count} fault{'s' * (count != 1)}", "bold red")
    if verdict.left_open:
        head = Text.assemble(head, ", ", (verdict.left_open, "bold yellow"))
    console.print(Text.assemble((verdict.name, "bold"), ": ", head, f" (judged as {verdict.cell})"))
    for sentence in verdict.conventions:
        console.print(Text(f"  {sentence}", "dim"))
    if verdict.lines:
        console.print()
    for line in verdict.lines:
        console.print(_line(line, verdict.is_right(line), verdict.shared))
    if verdict.shared:
        console.print(Text(f"  Where nothing else is said: {verdict.shared}.", "dim"))
    for fault in verdict.faults:
        console.print()
        _print_fault(console, fault)
    if verdict.unjudged or verdict.notes:
        console.print()
    for said in verdict.unjudged:
        console.print(Text(said, "yellow"))
    for note in verdict.notes:
        console.print(Text(f"note: {note}", "yellow"))
    console.print(Text(f"\nreference: {verdict.reference}", "dim"))


def _line(line: Line, holds: bool, shared: str) -> Text:
    mark = Text("✓ ", "green") if holds else Text("✗ ", "bold red")
    gives = ": ".join(filter(None, (line.quantity, line.why if line.why != shared else "")))
    text = Text(" ".join(line.text.split()))
    return Text.assemble(
        "  ", mark, Text(f"{line.number:>3}  ", "dim"), text, Text(f"   {gives}" if gives else "", "dim")
    )


def _print_fault(console: Console, fault: Fault) -> None:
    console.print(Text.assemble((fault.where, "bold"), f", {fault.kind}: {fault.message}"))
    given, mended = difference(" ".join(fault.given.split()), fault.mended)
    for label, pieces, style in (("given ", given, "red"), ("mended", mended, "green")):
        if any(text for text, _ in pieces):
            marked = [(text, f"bold underline {style}" if changed else style) for text, changed in pieces]
            console.print(Text.assemble((f"  {label}  ", "dim"), *marked))
    if fault.proof:
        console.print(Text(f"          {fault.proof}", "dim"))

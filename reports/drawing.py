"""Diagram -> Typst drawing, for PDF and for the pictures of a web page alike."""

from __future__ import annotations

from .document import Box, Diagram, Wire
from .formula import clean


def drawing(diagram: Diagram) -> str:
    """Return a Typst expression that draws a diagram with the functions of `templates/diagram.typ`."""
    wires = "".join(f"  wire({_curve(w, diagram.down)}, {_tip(w, diagram.down)}),\n" for w in diagram.wires)
    boxes = "".join(f"  {_box(box)},\n" for box in diagram.boxes)
    return f"drawn({diagram.width:g}em, {diagram.height:g}em, (\n{wires}), (\n{boxes}))"


def _at(x: float, y: float) -> str:
    return f"({x:.3f}em, {y:.3f}em)"


def _curve(wire: Wire, down: bool) -> str:
    """One cubic for each stretch; it leaves and arrives in the layers' direction."""
    x, y = wire.points[0]
    parts = [f"curve.move({_at(x, y)})"]
    for end_x, end_y in wire.points[1:]:
        if down:
            middle = (y + end_y) / 2
            controls = _at(x, middle), _at(end_x, middle)
        else:
            middle = (x + end_x) / 2
            controls = _at(middle, y), _at(middle, end_y)
        parts.append(f"curve.cubic({', '.join(controls)}, {_at(end_x, end_y)})")
        x, y = end_x, end_y
    return f"({', '.join(parts)})"


def _tip(wire: Wire, down: bool) -> str:
    """The head of the arrow."""
    x, y = wire.points[-1]
    long, wide = 0.42, 0.17
    corners = (
        [(x, y), (x - wide, y - long), (x + wide, y - long)]
        if down
        else [(x, y), (x - long, y - wide), (x - long, y + wide)]
    )
    return f"({', '.join(_at(*corner) for corner in corners)})"


def _box(box: Box) -> str:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    note = f"${clean(box.note).typst.strip()}$" if box.note else "none"
    place = f"{left:.3f}em, {top:.3f}em, {box.width:.3f}em, {box.height:.3f}em"
    return f'vertex({place}, "{box.kind}", ${clean(box.label).typst.strip()}$, {note})'

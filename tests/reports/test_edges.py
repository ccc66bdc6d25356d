"""What pages say of places without a slope."""

import bptt
from bptt.reports import derivation_document, model_document
from bptt.reports.document import Note, Paragraph
from bptt.reports.formula import Formula, clean

CELL = """
x: input[n]
h: state[n]
u = x / norm(x)
h = relu(W @ h) + abs(u) + step(x)
"""

MODEL = """
x: input[T, n]
y: input[n]
h: state[n]
for t in range(T):
    h = relu(W @ h + x[t])
z = h / norm(h)
loss += squared_error(z, y)
"""


def section(document):
    """The paragraphs and notes under the heading, as plain text."""
    texts: dict[str, list[str]] = {}
    heading = ""
    for block in document.blocks:
        if isinstance(block, Note | Paragraph):
            text = "".join(clean(part).plain if isinstance(part, Formula) else str(part) for part in block.text)
            texts.setdefault(heading, []).append(text)
        else:
            heading = getattr(block, "text", heading)
    return texts.get("Where a slope does not exist", [])


def test_kinks_jumps_and_edges_are_told():
    said = section(derivation_document(bptt.derive(bptt.parse(CELL))))
    assert said[1:4] == [
        "ReLU: at 0 the subgradient 0 is taken.",
        "abs: at 0 the subgradient 0 is taken.",
        "𝟏[⋯]: it jumps at 0, where the value 0 is taken; its slope is 0 everywhere.",
    ]
    assert "(NaN)" in said[4]
    assert said[5:] == ["1/‖x_t‖: undefined where ‖x_t‖ is 0.", "‖x_t‖: infinitely steep where it is 0."]


def test_smooth_cells_have_no_such_section():
    assert section(derivation_document(bptt.derive(bptt.load("lstm")))) == []


def test_a_model_tells_them_with_its_own_times():
    said = section(model_document(bptt.derive(bptt.parse_model(MODEL))))
    assert said[1] == "ReLU: at 0 the subgradient 0 is taken."
    assert said[3:] == ["1/‖h_T‖: undefined where ‖h_T‖ is 0.", "‖h_T‖: infinitely steep where it is 0."]

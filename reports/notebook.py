"""What a notebook shows of a cell, a model, a derivation, a proof, a verdict or a kernel: HTML, and LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sympy import Symbol

from ..analysis.verdicts.verdict import Verdict
from ..derive.cell import Cell
from ..derive.convention import Restated
from ..derive.derivation import Derivation
from ..derive.errors import Error
from ..derive.model import Model
from ..derive.model_derivation import ModelDerivation, derive
from ..derive.proof import Proof
from ..kernels.kernel import Kernel
from ..kernels.model_kernel import ModelKernel
from ..kernels.schedule import Schedule
from .certificate import certificate
from .derivation import derivation_document, equations_of, mathematics
from .document import Block, Code, Document, Emphasis, Equations, Listing, Paragraph, Text
from .formula import Formula
from .html import html_part
from .markdown import aligned
from .mathematics import Mathematics
from .model import model_document, model_equations
from .phrases import Phrases
from .verdict import verdict_document

Part = tuple[str, list[Block]]


def html(thing: object) -> str:
    """Return a thing as HTML for a notebook.

    Raises:
        Error: for a thing of which there is no picture.

    >>> import bptt
    >>> "Simple recurrent network with tanh" in html(bptt.load("rnn"))
    True
    """
    return html_part(*_shown(thing))


def latex(thing: object) -> str:
    r"""Return the equations of a thing as displayed LaTeX, as notebooks typeset it.

    Raises:
        Error: as `html`.

    >>> import bptt
    >>> print(latex(bptt.load("rnn")))
    $$\begin{aligned}
    h_{t} &= \tanh(W_{h h}\,h_{t-1} + W_{x h}\,x_{t} + b_{h})
    \end{aligned}$$
    """
    return "\n".join(f"$${aligned(block)}$$" for block in _shown(thing)[1] if isinstance(block, Equations))


def _shown(thing: object) -> Part:
    for kind, show in SHOWN.items():
        if isinstance(thing, kind):
            return show(thing)
    raise Error(f"there is no picture of a {type(thing).__name__}")


def _cell(cell: Cell) -> Part:
    derivation = derive(cell)
    math = mathematics(derivation)
    kinds = {"input": cell.inputs, "state": cell.states, "parameter": cell.params}
    said: list[Text] = [_of_a_kind(kind, names, math) for kind, names in kinds.items() if names]
    if cell.indices:
        below = ((math.formula(Symbol(name)), math.call("below_size", size)) for name, size in cell.indices.items())
        said.insert(1, _joined("index", below))
    return cell.title, [equations_of(derivation, math), *map(Paragraph, said)]


def _of_a_kind(kind: str, names: Iterable[str], math: Mathematics) -> Text:
    return _joined(kind, ((math.formula(Symbol(name)), math.call("space", Symbol(name))) for name in names))


def _joined(kind: str, named: Iterable[tuple[Formula, Formula]]) -> Text:
    """Return names of one role, those with the same dimensions together."""
    phrases = Phrases()
    alike: dict[str, tuple[Formula, list[Formula]]] = {}
    for name, space in named:
        alike.setdefault(space.plain, (space, []))[1].append(name)
    text: Text = (Emphasis(phrases.plain(f"role.{kind}")), " ")
    for place, (space, names) in enumerate(alike.values()):
        text += ("; ",) * bool(place) + phrases.join(names) + (" ∈ ", space)
    return text


def _model(model: Model) -> Part:
    return model.title, model_equations(derive(model))[1:]


def _of_document(document: Document) -> Part:
    return document.title, list(document.blocks)


def _derivation(derivation: Derivation | Restated) -> Part:
    return _of_document(derivation_document(derivation, detail="brief"))


def _model_derivation(derivation: ModelDerivation) -> Part:
    return _of_document(model_document(derivation, detail="brief"))


def _proof(proof: Proof) -> Part:
    return "", list(certificate(proof, Mathematics({}), Phrases()))


def _verdict(verdict: Verdict) -> Part:
    return _of_document(verdict_document(verdict))


def _schedule(schedule: Schedule) -> Part:
    return "", [Listing(tuple(str(schedule).splitlines()))]


def _kernel(kernel: Kernel) -> Part:
    return kernel.cell.title, [
        Paragraph((Code(repr(kernel)), ", ", f"{kernel.threads} thread{'s' * (kernel.threads != 1)}")),
        *_schedule(kernel.schedule)[1],
    ]


def _model_kernel(kernel: ModelKernel) -> Part:
    parts = [_kernel(of) for of in kernel.kernels]
    return kernel.model.title, [block for title, blocks in parts for block in (Paragraph((title,)), *blocks)]


SHOWN: dict[Any, Callable[[Any], Part]] = {
    Cell: _cell,
    Model: _model,
    Derivation: _derivation,
    Restated: _derivation,
    ModelDerivation: _model_derivation,
    Proof: _proof,
    Verdict: _verdict,
    Schedule: _schedule,
    Kernel: _kernel,
    ModelKernel: _model_kernel,
}

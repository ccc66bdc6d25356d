"""Documents: derivations, figures and tables as PDF, HTML and TeX."""

from .comparison import comparison_document
from .derivation import derivation_document
from .document import Document
from .figures import flow_figure
from .files import check_request, check_target, save
from .model import model_document
from .verdict import verdict_document

__all__ = [
    "Document",
    "check_request",
    "check_target",
    "comparison_document",
    "derivation_document",
    "flow_figure",
    "model_document",
    "save",
    "verdict_document",
]

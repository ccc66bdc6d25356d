"""Measurements of how gradients flow through time, and verdicts on hand-derived gradients: numbers, no plots.

A module, with the libraries it needs, loads when one of its names is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_PUBLIC = {
    "flow_study": "comparison.flow_study",
    "DATA": "data.DATA",
    "Characters": "data.Characters",
    "characters": "data.characters",
    "one_hot": "data.one_hot",
    "shuffled": "data.shuffled",
    "text": "data.text",
    "windows": "data.windows",
    "half_life": "gradient_flow.half_life",
    "flow": "gradient_flow.measure_flow",
    "summarise": "gradient_flow.summarise",
    "t_interval": "statistics.t_interval",
    "check": "verdicts.check.check",
    "Verdict": "verdicts.verdict.Verdict",
}

if TYPE_CHECKING:
    from .comparison import flow_study as flow_study
    from .data import DATA as DATA
    from .data import Characters as Characters
    from .data import characters as characters
    from .data import one_hot as one_hot
    from .data import shuffled as shuffled
    from .data import text as text
    from .data import windows as windows
    from .gradient_flow import half_life as half_life
    from .gradient_flow import measure_flow as flow  # noqa: F401
    from .gradient_flow import summarise as summarise
    from .statistics import t_interval as t_interval
    from .verdicts.check import check as check
    from .verdicts.verdict import Verdict as Verdict
else:

    def __getattr__(name: str) -> object:
        if name in _PUBLIC:
            module, _, found = _PUBLIC[name].rpartition(".")
            return getattr(import_module(f".{module}", __name__), found)
        raise AttributeError(f"module '{__name__}' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_PUBLIC)

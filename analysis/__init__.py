"""Measurements of how gradients flow through time: numbers, no plots."""

from .comparison import flow_study
from .data import DATA, Characters, characters, one_hot, shuffled, text, windows
from .gradient_flow import half_life, summarise
from .gradient_flow import measure_flow as flow
from .statistics import t_interval
from .verdicts.check import check
from .verdicts.verdict import Verdict

__all__ = [
    "DATA",
    "Characters",
    "Verdict",
    "characters",
    "check",
    "flow",
    "flow_study",
    "half_life",
    "one_hot",
    "shuffled",
    "summarise",
    "t_interval",
    "text",
    "windows",
]

"""Kernels: generated Numba code for the forward and backward pass of any cell."""

from .kernel import Kernel, compile
from .run import Gradients, Run
from .schedule import Schedule, schedule

__all__ = ["Gradients", "Kernel", "Run", "Schedule", "compile", "schedule"]

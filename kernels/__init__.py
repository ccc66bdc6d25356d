"""Kernels: generated Numba code for the forward and backward pass of any cell."""

from .kernel import Gradients, Kernel, Run, compile
from .schedule import Schedule, schedule

__all__ = ["Gradients", "Kernel", "Run", "Schedule", "compile", "schedule"]

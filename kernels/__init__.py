"""Kernels: generated Numba code for the forward and backward pass of any cell."""

from .kernel import Kernel
from .model_kernel import ModelGradients, ModelKernel, ModelRun, compile
from .run import Gradients, Run
from .schedule import Schedule, schedule

__all__ = ["Gradients", "Kernel", "ModelGradients", "ModelKernel", "ModelRun", "Run", "Schedule", "compile", "schedule"]

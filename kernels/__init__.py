"""Kernels: generated Numba code for the forward and backward pass of any cell."""

from .kernel import Kernel
from .model_kernel import ModelGradients, ModelKernel, ModelRun, compile
from .onnx_model import to_onnx
from .run import Gradients, Run
from .schedule import Schedule, schedule
from .source import export
from .torch_module import to_torch

__all__ = [
    "Gradients",
    "Kernel",
    "ModelGradients",
    "ModelKernel",
    "ModelRun",
    "Run",
    "Schedule",
    "compile",
    "export",
    "schedule",
    "to_onnx",
    "to_torch",
]

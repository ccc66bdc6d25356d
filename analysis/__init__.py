"""Measurements of how gradients flow through time, and verdicts on hand-derived gradients: numbers, no plots.

A module, with the libraries it needs, loads when one of its names is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_PUBLIC = {
    "measure_ablation": "ablation.measure_ablation",
    "with_activation": "activation.with_activation",
    "along_training": "along_training.along_training",
    "measure_clipping": "clipping.measure_clipping",
    "flow_study": "comparison.flow_study",
    "Characters": "data.Characters",
    "characters": "data.characters",
    "DATA": "data.DATA",
    "one_hot": "data.one_hot",
    "shuffled": "data.shuffled",
    "text": "data.text",
    "windows": "data.windows",
    "measure_depth": "depth.measure_depth",
    "stacked": "depth.stacked",
    "forget_biases": "gating.forget_biases",
    "from_keras": "weights.keras_file.from_keras",
    "from_onnx": "weights.onnx_file.from_onnx",
    "from_torch": "weights.torch_names.from_torch",
    "half_life": "gradient_flow.half_life",
    "flow": "gradient_flow.measure_flow",
    "memory_horizon": "gradient_flow.memory_horizon",
    "summarise": "gradient_flow.summarise",
    "initialise": "initialisation.initialise",
    "lag_gradients": "lags.lag_gradients",
    "entropy_rate": "lyapunov_exponents.entropy_rate",
    "kaplan_yorke": "lyapunov_exponents.kaplan_yorke",
    "lyapunov": "lyapunov_exponents.measure_lyapunov",
    "measure_noise": "noise.measure_noise",
    "measure_direct": "paths.measure_direct",
    "measure_paths": "paths.measure_paths",
    "measure_phases": "phase.measure_phases",
    "measure_precision": "precision.measure_precision",
    "gaussian_exponents": "random_products.gaussian_exponents",
    "effective_ranks": "singular_values.effective_ranks",
    "measure_spectrum": "singular_values.measure_spectrum",
    "block_interval": "statistics.block_interval",
    "block_length": "statistics.block_length",
    "block_means": "statistics.block_means",
    "log_interval": "statistics.log_interval",
    "t_interval": "statistics.t_interval",
    "Study": "studies.study.Study",
    "read_weights": "weights.files.read_weights",
    "state_dict": "weights.torch_names.state_dict",
    "trained_flow": "weights.memory.trained_flow",
    "two_trajectories": "trajectories.two_trajectories",
    "measure_truncation": "truncation.measure_truncation",
    "recommended_window": "truncation.recommended_window",
    "check": "verdicts.check.check",
    "Verdict": "verdicts.verdict.Verdict",
}

if TYPE_CHECKING:
    from .ablation import measure_ablation as measure_ablation
    from .activation import with_activation as with_activation
    from .along_training import along_training as along_training
    from .clipping import measure_clipping as measure_clipping
    from .comparison import flow_study as flow_study
    from .data import DATA as DATA
    from .data import Characters as Characters
    from .data import characters as characters
    from .data import one_hot as one_hot
    from .data import shuffled as shuffled
    from .data import text as text
    from .data import windows as windows
    from .depth import measure_depth as measure_depth
    from .depth import stacked as stacked
    from .gating import forget_biases as forget_biases
    from .gradient_flow import half_life as half_life
    from .gradient_flow import measure_flow as flow  # noqa: F401
    from .gradient_flow import memory_horizon as memory_horizon
    from .gradient_flow import summarise as summarise
    from .initialisation import initialise as initialise
    from .lags import lag_gradients as lag_gradients
    from .lyapunov_exponents import entropy_rate as entropy_rate
    from .lyapunov_exponents import kaplan_yorke as kaplan_yorke
    from .lyapunov_exponents import measure_lyapunov as lyapunov  # noqa: F401
    from .noise import measure_noise as measure_noise
    from .paths import measure_direct as measure_direct
    from .paths import measure_paths as measure_paths
    from .phase import measure_phases as measure_phases
    from .precision import measure_precision as measure_precision
    from .random_products import gaussian_exponents as gaussian_exponents
    from .singular_values import effective_ranks as effective_ranks
    from .singular_values import measure_spectrum as measure_spectrum
    from .statistics import block_interval as block_interval
    from .statistics import block_length as block_length
    from .statistics import block_means as block_means
    from .statistics import log_interval as log_interval
    from .statistics import t_interval as t_interval
    from .studies.study import Study as Study
    from .trajectories import two_trajectories as two_trajectories
    from .truncation import measure_truncation as measure_truncation
    from .truncation import recommended_window as recommended_window
    from .verdicts.check import check as check
    from .verdicts.verdict import Verdict as Verdict
    from .weights.files import read_weights as read_weights
    from .weights.keras_file import from_keras as from_keras
    from .weights.memory import trained_flow as trained_flow
    from .weights.onnx_file import from_onnx as from_onnx
    from .weights.torch_names import from_torch as from_torch
    from .weights.torch_names import state_dict as state_dict
else:

    def __getattr__(name: str) -> object:
        if name in _PUBLIC:
            module, _, found = _PUBLIC[name].rpartition(".")
            return getattr(import_module(f".{module}", __name__), found)
        raise AttributeError(f"module '{__name__}' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_PUBLIC)

"""uspnb: a notebook-native workbench for online probabilistic prediction.

import uspnb
ds = uspnb.backtest(series)            # every forecast, interval, weight and alarm as one xarray.Dataset
p = uspnb.UniversalPredictor()         # or tick by tick
result = p.step(uspnb.ProcessState(value, timestamp))
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import runtime as runtime  # first: precision and threads are set before JAX allocates
from .backtest import backtest, backtest_many
from .config.load import load_config
from .config.meta_optimization import MetaOptimizationConfig, load_meta_optimization_config
from .config.schema import PredictorConfig
from .errors import (
    ConfigError,
    ConfigMutationError,
    DomainError,
    FrequencyWarning,
    IntegrityError,
    PartialResultError,
    ReloadWarning,
    StalenessWarning,
    UspnbError,
)
from .functional import FunctionalPredictor
from .orchestration.adapt import (
    compute_adaptive_jko_params,
    compute_adaptive_stiffness_thresholds,
    compute_entropy_ratio,
    scale_dgm_architecture,
)
from .orchestration.cusum import cusum_threshold_for
from .orchestration.jko import FusionResult, fuse_kernel_outputs
from .orchestration.sinkhorn import SinkhornResult, compute_sinkhorn_epsilon
from .orchestration.step import (
    initialize_batched_states,
    initialize_state,
    orchestrate_step,
    orchestrate_step_batch,
)
from .records import OperatingMode, PredictionResult, ProcessState, Telemetry
from .reloading import ConfigReloadablePredictor
from .universal import UniversalPredictor, replay_clock

if TYPE_CHECKING:
    from .autotune import Autotuner
    from .comparison import compare
    from .config.mutate import mutate_config
    from .fleet import Fleet
    from .results import load, save
    from .session import Session
    from .tuning import (
        AsyncMetaOptimizer,
        BayesianMetaOptimizer,
        OptimizationResult,
        SearchSpace,
        walk_forward_split,
    )

__version__ = "0.1.0"

# What brings pandas, xarray and SciPy with it is imported when first asked for: a live loop starts seconds sooner.
_LATER = {
    "AsyncMetaOptimizer": "tuning",
    "Autotuner": "autotune",
    "BayesianMetaOptimizer": "tuning",
    "Fleet": "fleet",
    "OptimizationResult": "tuning",
    "SearchSpace": "tuning",
    "Session": "session",
    "compare": "comparison",
    "load": "results",
    "mutate_config": "config.mutate",
    "save": "results",
    "walk_forward_split": "tuning",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'uspnb' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


__all__ = [
    "AsyncMetaOptimizer",
    "Autotuner",
    "BayesianMetaOptimizer",
    "ConfigError",
    "ConfigMutationError",
    "ConfigReloadablePredictor",
    "DomainError",
    "Fleet",
    "FrequencyWarning",
    "FunctionalPredictor",
    "FusionResult",
    "IntegrityError",
    "MetaOptimizationConfig",
    "OperatingMode",
    "OptimizationResult",
    "PartialResultError",
    "PredictionResult",
    "PredictorConfig",
    "ProcessState",
    "ReloadWarning",
    "SearchSpace",
    "Session",
    "SinkhornResult",
    "StalenessWarning",
    "Telemetry",
    "UniversalPredictor",
    "UspnbError",
    "backtest",
    "backtest_many",
    "compare",
    "compute_adaptive_jko_params",
    "compute_adaptive_stiffness_thresholds",
    "compute_entropy_ratio",
    "compute_sinkhorn_epsilon",
    "cusum_threshold_for",
    "fuse_kernel_outputs",
    "initialize_batched_states",
    "initialize_state",
    "load",
    "load_config",
    "load_meta_optimization_config",
    "mutate_config",
    "orchestrate_step",
    "orchestrate_step_batch",
    "replay_clock",
    "runtime",
    "save",
    "scale_dgm_architecture",
    "walk_forward_split",
]

"""uspnb: a notebook-native workbench for online probabilistic prediction.

import uspnb
ds = uspnb.backtest(series)            # every forecast, interval, weight and alarm as one xarray.Dataset
p = uspnb.UniversalPredictor()         # or tick by tick
result = p.step(uspnb.ProcessState(value, timestamp))
"""

from typing import TYPE_CHECKING

from . import runtime as runtime  # first: precision and threads are set before JAX allocates
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
from .model.kernels import compute_entropy_ratio, scale_dgm_architecture
from .model.kernels.registry import register_kernel
from .model.orchestration.adapt import compute_adaptive_jko_params, compute_adaptive_stiffness_thresholds
from .model.orchestration.cusum import cusum_threshold_for
from .model.orchestration.jko import FusionResult, fuse_kernel_outputs
from .model.orchestration.sinkhorn import SinkhornResult, compute_sinkhorn_epsilon
from .model.orchestration.step import (
    initialize_batched_states,
    initialize_state,
    orchestrate_step,
    orchestrate_step_batch,
)
from .model.records import OperatingMode, PredictionResult, ProcessState, Telemetry
from .predictor.backtest import backtest, backtest_many
from .predictor.functional import FunctionalPredictor
from .predictor.reloading import ConfigReloadablePredictor
from .predictor.universal import UniversalPredictor, replay_clock
from .runtime.later import import_later

if TYPE_CHECKING:
    from .config.mutation import mutate_config
    from .engine.fleet import Fleet
    from .engine.session import Session
    from .predictor.comparison import compare
    from .predictor.results import load, save
    from .tuning import (
        AsyncMetaOptimizer,
        BayesianMetaOptimizer,
        OptimizationResult,
        SearchSpace,
        walk_forward_split,
    )
    from .tuning.live import Autotuner

__version__ = "0.1.0"

# What brings pandas, xarray and SciPy with it is imported when first asked for: a live loop starts seconds sooner.
__getattr__ = import_later(
    __name__,
    {
        "tuning": "AsyncMetaOptimizer BayesianMetaOptimizer OptimizationResult SearchSpace walk_forward_split",
        "tuning.live": "Autotuner",
        "engine.fleet": "Fleet",
        "engine.session": "Session",
        "predictor.comparison": "compare",
        "predictor.results": "load save",
        "config.mutation": "mutate_config",
    },
)


def __dir__() -> list[str]:
    return __all__


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
    "register_kernel",
    "replay_clock",
    "runtime",
    "save",
    "scale_dgm_architecture",
    "walk_forward_split",
]

"""The frozen `PredictorConfig`: every field declared once, with default, range, unit, section and meaning.

From these declarations are derived the shipped `config.toml`, the validator, the tuning spaces and the reference
table.  A *static* field sets shapes or choices and is part of the compiled program's identity; a *traced* field is a
number that the compiled program takes as an argument, so that changing it never recompiles and a batch of settings is
one `vmap`; a *host* field steers files, logs and the service around the step and never reaches a program.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import itertools
import math
import numbers
import zoneinfo
from collections.abc import Iterable
from typing import Any, Literal

import jax
import numpy as np
from jax.core import Tracer

from ..errors import ConfigError
from ..runtime.words import columns_table, folded

Tier = Literal["fast", "deep"]
LONGEST_TEXT = 1024
LONGEST_NAME = 64
TEXT_RANGE = f"one line of 1 to {LONGEST_TEXT} printable characters"


@dataclasses.dataclass(frozen=True)
class Search:
    """How a tuner may vary a field: a range with an optional step or logarithmic scale, and the tier that does so."""

    tier: Tier
    low: float
    high: float
    step: float | None = None
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What is declared about one field beside its name, type and default.

    Attributes:
        section: table of `config.toml` that holds it.
        meaning: one plain sentence.
        unit: physical or statistical unit, "" for a pure number.
        low, high: closed bounds of a number, or of how many texts a list has.
        choices: the allowed values of a string, or of each text of a list.
        static: whether it is compiled in (sets shapes or choices) rather than traced.
        host: whether it steers what surrounds the step, and no program sees it.
        search: how tuning may vary it, None for never.
        locked: whether automatic mutation must refuse it.
        added: whether it came after the first canonical text of a configuration; at its default it is left out of that
            text, so that the hash of a configuration that does not use it is what it was.
    """

    section: str
    meaning: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    static: bool = False
    host: bool = False
    search: Search | None = None
    locked: bool = False
    added: bool = False


def unknown_name(what: str, name: str, names: Iterable[str], remedy: str = "") -> str:
    """That there is nothing of this name, with the nearest one that there is, else the remedy."""
    near = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    remedy = f"did you mean {near[0]!r}?" if near else remedy
    return f"unknown {what} {name!r}" + (f" ({remedy})" if remedy else "")


HOLIDAY = "holiday"
SEASON_FIELDS = ("season_first", "season_second")
MOST_SEASONS = len(SEASON_FIELDS)
# Places that are read beyond a period.
SEASON_MARGIN = 48
# A season is believed once so many of its periods have been seen (MATH: it loses before).
PERIODS_NEEDED = 5

SECTIONS: dict[str, str] = {
    "core": "precision, platform, seed",
    "structural": "shapes and choices that are compiled in; the deep tier tunes them",
    "sensitivity": "numbers that the compiled program takes as arguments; the fast tier tunes them",
    "ingestion": "what is accepted as a tick, and when the clock or the signal makes it doubtful",
    "orchestration": "transport, modes, intervals",
    "io": "snapshots, telemetry, metrics and the service; the step never sees them",
    "security": "what makes files and logs verifiable",
}
HOST_SECTIONS = ("io", "security")


def _declare(default: Any, section: str, meaning: str, **rest: Any) -> Any:
    static = rest.pop("static", section in ("structural", "core"))
    host = section in HOST_SECTIONS
    return dataclasses.field(
        default=default, metadata={"declaration": Declaration(section, meaning, static=static, host=host, **rest)}
    )


@dataclasses.dataclass(frozen=True)
class PredictorConfig:
    """The hyperparameter vector Lambda (seed 002, section 2.1): flat, frozen, validated when made.

    Use `dataclasses.replace(config, name=value)` to change a field.  It is a pytree: traced fields are its leaves,
    static and host fields its structure.

    Raises:
        ConfigError: a value of the wrong type or outside its declared range; the message names all three.
    """

    # fmt: off
    schema_version: str = _declare("1.0", "core", "version of the configuration and snapshot layout", choices=("1.0",), locked=True)
    float_precision: int = _declare(64, "core", "bits of a floating point number in the step", low=64, high=64, locked=True)
    jax_platform: str = _declare("auto", "core", "platform to compute on; auto is the GPU where there is one", choices=("auto", "cpu", "gpu"), locked=True)
    seed: int = _declare(20260221, "core", "seed of every random draw", low=0, high=2**31 - 1)

    kernels: tuple[str, ...] = _declare(("hilbert", "deep_galerkin", "ito_levy", "log_signature"), "structural", "kernels whose forecasts are fused, by the names that they are registered under (`uspnb.register_kernel`)", low=1, high=16, locked=True, added=True)
    input_kind: str = _declare("levels", "structural", "whether ticks are levels of a path or its increments (decides what the Holder exponent is measured on)", choices=("levels", "increments"))
    holder_breaker: str = _declare("relative", "structural", "roughness breaker: below the thresholds and below the process's own baseline (relative), or below the thresholds alone (absolute)", choices=("relative", "absolute"))
    robustness_force_kernel_d: bool = _declare(True, "structural", "whether the roughness breaker moves all weight to log_signature")
    grace_freezes_weights: bool = _declare(False, "structural", "whether weights stand still in the grace period after an alarm instead of re-converging")
    sinkhorn_coupled: bool = _declare(True, "structural", "whether the entropic regularisation follows volatility; if not it is `epsilon`")
    jko_adaptive: bool = _declare(True, "structural", "whether the JKO step follows volatility; if not it is `learning_rate`")
    sinkhorn_cost_type: str = _declare("squared", "structural", "ground cost between the kernels' forecasts", choices=("squared", "huber"))
    sinkhorn_max_iter: int = _declare(200, "structural", "iterations of Sinkhorn at the most", low=1, high=10_000)
    wtmm_buffer_size: int = _declare(128, "structural", "window of the path that identification and kernels see", unit="ticks", low=64, high=4096, search=Search("fast", 64, 512, step=64))
    wtmm_scales: int = _declare(16, "structural", "number of wavelet scales, log-spaced from 1 to an eighth of the window", low=6, high=64)
    wtmm_stride: int = _declare(4, "structural", "ticks between two measurements of the Holder exponent, of the spectrum and of stationarity", unit="ticks", low=1, high=64)
    koopman_top_k: int = _declare(5, "structural", "spectral modes reported", low=1, high=32)
    log_sig_depth: int = _declare(3, "structural", "truncation depth of the log-signature", low=2, high=5, search=Search("fast", 2, 5, step=1))
    log_sig_window: int = _declare(32, "structural", "ticks of path that the log-signature reads", unit="ticks", low=8, high=1024, search=Search("deep", 16, 64, step=16))
    dgm_width_size: int = _declare(32, "structural", "width of the Deep Galerkin trunk", low=32, high=256, search=Search("deep", 32, 256, step=32))
    dgm_depth: int = _declare(2, "structural", "hidden layers of the Deep Galerkin trunk", low=2, high=6, search=Search("deep", 2, 6, step=1))
    hilbert_stride: int = _declare(4, "structural", "ticks between two solves of the Hilbert kernel's long regressions; between them their coefficients are applied to each tick", unit="ticks", low=1, high=64, added=True)
    dgm_entropy_num_bins: int = _declare(64, "structural", "grid cells of the entropy of the value function", low=20, high=100, search=Search("deep", 20, 100, step=1))
    dgm_stride: int = _declare(4, "structural", "ticks between two solves of the Deep Galerkin equation; between them its solution is read at the newest value", unit="ticks", low=1, high=64, added=True)
    dgm_adaptive_architecture: bool = _declare(True, "structural", "whether a rise in entropy moves the Deep Galerkin kernel to a larger trunk")
    hilbert_lags: int = _declare(48, "structural", "longest order of the Wiener-Hopf filter", unit="ticks", low=4, high=60, search=Search("deep", 12, 60, step=12))
    horizons: tuple[int, ...] = _declare((1, 2, 4, 8, 16, 24, 48), "structural", "ticks ahead that every tick forecasts, in rising order", unit="ticks", low=1, high=1024, locked=True, added=True)
    interval_levels: tuple[float, ...] = _declare((0.5, 0.8), "structural", "coverages of the intervals beside the one of `confidence_level`, in rising order", low=0.01, high=0.999, locked=True, added=True)
    covariates: tuple[str, ...] = _declare((), "structural", "names of the covariates: numbers that are known when a forecast is made and come with the ticks", low=0, high=16, locked=True, added=True)
    calendar: tuple[str, ...] = _declare((), "structural", "covariates that the time of a tick says", low=0, high=3, choices=("hour", "weekday", "month"), locked=True, added=True)
    holidays: tuple[str, ...] = _declare((), "structural", "days, such as 2026-12-25, that the series knows as others", low=0, high=1000, locked=True, added=True)
    calendar_zone: str = _declare("UTC", "structural", "time zone of `calendar` and `holidays`, such as Europe/Berlin", locked=True, added=True)
    impute: bool = _declare(True, "structural", "whether the forecast takes the place of a missing or refused tick in the window, instead of the window closing over it", added=True)
    support: str = _declare("real", "structural", "what values there can be: any (real), or none below 0 (nonnegative), so that neither forecast nor interval goes below it; a tick that does is taken in", choices=("real", "nonnegative"), added=True)
    season_slots: int = _declare(2, "structural", "seasons that the Hilbert kernel has experts for, 0 for none at all", low=0, high=2, added=True)
    season_capacity: int = _declare(2048, "structural", "places on the time grid that are remembered for seasons; a period that is to be found fits in five times, declared ones together twice", unit="ticks", low=64, high=65_536, added=True)
    hilbert_features: int = _declare(48, "structural", "random Fourier features of the reproducing kernel space", low=8, high=256)
    hilbert_embedding: int = _declare(3, "structural", "delays that the random features see", low=1, high=8)
    sde_numel_integrations: int = _declare(100, "structural", "steps of a simulated path", low=50, high=200, search=Search("deep", 50, 200, step=1))
    kernel_c_jump_max_events: int = _declare(16, "structural", "jumps of a simulated path per tick at the most", low=1, high=256)
    residual_window: int = _declare(252, "structural", "residuals that kurtosis is taken over", unit="ticks", low=32, high=4096)
    frozen_signal_min_steps: int = _declare(5, "structural", "equal values in a row that make a frozen signal", unit="ticks", low=3, high=64)
    frozen_signal_strict: bool = _declare(False, "structural", "whether equal values freeze even where the history makes them likely")

    anomaly_level: float = _declare(0.999, "sensitivity", "anomaly score above which a tick is flagged: one minus the probability of so large a residual", low=0.5, high=1.0, added=True)
    anomaly_refractory: int = _declare(48, "sensitivity", "ticks after an anomaly in which no further one is flagged", unit="ticks", low=0, high=10_000, added=True)
    besov_cone_c: float = _declare(1.5, "sensitivity", "half-width of the cone of influence, in scales, in which maxima are linked", low=0.5, high=5.0, search=Search("fast", 1.0, 3.0))
    cusum_k: float = _declare(0.5, "sensitivity", "slack of the mean chart", unit="scale", low=0.05, high=2.0, search=Search("fast", 0.1, 1.0))
    cusum_h: float = _declare(5.0, "sensitivity", "threshold of the charts where `cusum_target_arl` is 0", unit="scale", low=1.0, high=50.0, search=Search("deep", 2.0, 10.0))
    cusum_target_arl: float = _declare(5000.0, "sensitivity", "ticks between false alarms that all charts together are held to; 0 keeps the fixed `cusum_h`", unit="ticks", low=0.0, high=1e7)
    cusum_kurtosis_beta: float = _declare(0.0, "sensitivity", "how much heavy tails raise the threshold: 1 + beta ln(max(kappa, 3)/3)", low=0.0, high=2.0)
    cusum_scale_slack: float = _declare(0.25, "sensitivity", "slack of the scale chart", unit="scale", low=0.05, high=2.0)
    cusum_dependence_slack: float = _declare(0.25, "sensitivity", "slack of the dependence chart", unit="scale", low=0.05, high=2.0)
    cusum_winsor: float = _declare(2.5, "sensitivity", "bound of a standardised residual before it is accumulated", unit="scale", low=1.0, high=10.0)
    grace_period_steps: int = _declare(20, "sensitivity", "ticks after an alarm in which no further alarm is raised", unit="ticks", low=0, high=10_000, search=Search("deep", 5, 100, step=1))
    volatility_alpha: float = _declare(0.1, "sensitivity", "rate of the variance average that regularisation follows", unit="1/tick", low=0.001, high=1.0, search=Search("fast", 0.05, 0.3))
    sinkhorn_alpha: float = _declare(0.5, "sensitivity", "coupling of the entropic regularisation to volatility", low=0.0, high=10.0, search=Search("fast", 0.1, 1.0))
    sinkhorn_epsilon_0: float = _declare(0.1, "sensitivity", "base entropic regularisation", unit="scale^2", low=1e-4, high=10.0, search=Search("deep", 0.05, 0.5))
    sinkhorn_epsilon_min: float = _declare(0.01, "sensitivity", "least entropic regularisation", unit="scale^2", low=1e-5, high=1.0, search=Search("deep", 0.001, 0.1, log=True))
    epsilon: float = _declare(1e-3, "sensitivity", "entropic regularisation where `sinkhorn_coupled` is off", unit="scale^2", low=1e-4, high=10.0)
    learning_rate: float = _declare(0.01, "sensitivity", "JKO step where `jko_adaptive` is off", low=1e-6, high=1.0, search=Search("deep", 0.001, 0.1, log=True))
    learning_rate_safety_factor: float = _declare(0.8, "sensitivity", "fraction of the largest stable JKO step", low=0.01, high=1.0)
    learning_rate_minimum: float = _declare(1e-6, "sensitivity", "least JKO step asked for by a user; the flow's own floor is `jko_step_floor`", low=0.0, high=1.0)
    jko_step_floor: float = _declare(0.02, "sensitivity", "least JKO step of the flow, so that weights never stall", low=0.0, high=1.0, search=Search("deep", 0.005, 0.2, log=True))
    jko_step_ceiling: float = _declare(0.5, "sensitivity", "largest JKO step of the flow", low=1e-3, high=1.0)
    jko_recovery_step: float = _declare(0.9, "sensitivity", "JKO step in the grace period after an alarm, when the weights come back from uniform", low=0.0, high=1.0)
    jko_domain_length: float = _declare(1.0, "sensitivity", "characteristic length L of the entropy window L^2/sigma^2", unit="scale", low=1e-3, high=1e3)
    score_forgetting: float = _declare(0.985, "sensitivity", "forgetting of a kernel's log score", unit="1/tick", low=0.5, high=0.9999, search=Search("deep", 0.9, 0.999))
    score_scale_rate: float = _declare(0.03, "sensitivity", "rate of a kernel's own error scale", unit="1/tick", low=0.001, high=0.5, search=Search("deep", 0.01, 0.1, log=True))
    score_youth: float = _declare(3.0, "sensitivity", "how much more the later ones of a kernel's first errors count in its scale: the n-th by n to this power less one; 1 counts all alike", low=1.0, high=10.0, added=True)
    confidence_floor: float = _declare(1e-4, "sensitivity", "least confidence of a kernel", low=1e-12, high=0.25)
    forecast_clip: float = _declare(8.0, "sensitivity", "bound of a kernel's forecast around the last value, where the window does not reach further", unit="innovation scale", low=1.0, high=1e3)
    season_first: int = _declare(0, "sensitivity", "period of the first season on the time grid, 0 for one that is found as the series goes", unit="ticks", low=0, high=65_536, locked=True, added=True)
    season_second: int = _declare(0, "sensitivity", "period of the second season, 0 for none beside a declared one, else for one that is found", unit="ticks", low=0, high=65_536, locked=True, added=True)
    kernel_ridge_lambda: float = _declare(1e-6, "sensitivity", "ridge of the regression on random features, per effective observation", low=1e-12, high=1.0, search=Search("deep", 1e-8, 1e-3, log=True))
    hilbert_filter_ridge: float = _declare(1e-3, "sensitivity", "ridge of the Wiener-Hopf filters, per effective observation", unit="scale^2", low=1e-12, high=10.0, search=Search("deep", 1e-6, 0.1, log=True))
    hilbert_score_forgetting: float = _declare(0.985, "sensitivity", "forgetting of the log score that aggregates orders and features", unit="1/tick", low=0.5, high=1.0, search=Search("deep", 0.9, 0.999))
    hilbert_forgetting: float = _declare(0.9985, "sensitivity", "forgetting of the slow Wiener-Hopf filter and the random features", unit="1/tick", low=0.9, high=1.0, search=Search("deep", 0.98, 0.9999))
    hilbert_fast_forgetting: float = _declare(0.98, "sensitivity", "forgetting of the fast, short filter", unit="1/tick", low=0.8, high=1.0, search=Search("deep", 0.9, 0.995))
    log_sig_forgetting: float = _declare(0.998, "sensitivity", "forgetting of the log-signature regression", unit="1/tick", low=0.9, high=1.0, search=Search("deep", 0.98, 0.9999))
    stiffness_low: float = _declare(100.0, "sensitivity", "stiffness below which the explicit scheme runs", low=1.0, high=1e5, search=Search("deep", 50.0, 500.0))
    stiffness_high: float = _declare(1000.0, "sensitivity", "stiffness above which the implicit scheme runs", low=1.0, high=1e6, search=Search("deep", 500.0, 5000.0))
    sde_dt: float = _declare(0.01, "sensitivity", "step of the mean equation's integration", unit="ticks", low=0.001, high=0.1, search=Search("deep", 0.001, 0.1, log=True))
    sde_diffusion_sigma: float = _declare(0.2, "sensitivity", "weight of the prior in the diffusion estimate, as a fraction of the window", low=0.05, high=0.5, search=Search("deep", 0.05, 0.5))
    sde_fd_epsilon: float = _declare(1e-6, "sensitivity", "step of the finite difference of the drift's slope", unit="scale", low=1e-10, high=1e-2)
    kernel_c_jump_intensity: float = _declare(0.05, "sensitivity", "prior intensity of jumps", unit="1/tick", low=0.0, high=1.0)
    kernel_c_jump_mean: float = _declare(0.0, "sensitivity", "prior mean of a jump", unit="scale", low=-100.0, high=100.0)
    kernel_c_jump_scale: float = _declare(0.1, "sensitivity", "prior standard deviation of a jump", unit="scale", low=1e-6, high=100.0)
    holder_threshold: float = _declare(0.4, "sensitivity", "Holder exponent below which the path counts as rough", low=0.0, high=1.0, search=Search("deep", 0.2, 0.65))
    robustness_dimension_threshold: float = _declare(1.5, "sensitivity", "fractal dimension 2 - H above which the path counts as rough", low=1.0, high=2.0)
    holder_persistence: int = _declare(16, "sensitivity", "ticks in a row that roughness must last to trip the breaker", unit="ticks", low=1, high=10_000)
    holder_hysteresis: float = _declare(0.05, "sensitivity", "how far the exponent must rise above the threshold to end the emergency", low=0.0, high=0.5)
    holder_baseline_rate: float = _declare(0.001, "sensitivity", "rate of the process's own baseline of the Whittle exponent", unit="1/tick", low=1e-5, high=0.1)
    holder_baseline_sigmas: float = _declare(3.0, "sensitivity", "how many of its standard deviations the exponent must fall below its baseline", low=0.0, high=10.0)

    sigma_bound: float = _declare(20.0, "ingestion", "robust scales from the level beyond which a tick is an outlier", unit="scale", low=3.0, high=1e6)
    outlier_release_steps: int = _declare(5, "ingestion", "outliers in a row that agree with one another and so are a new level", unit="ticks", low=2, high=1000)
    strict_domain: bool = _declare(False, "ingestion", "whether the host raises DomainError on an outlier instead of flagging it", static=True)
    staleness_ttl_ns: int = _declare(500_000_000, "ingestion", "least age at which a tick is stale", unit="ns", low=0, high=2**62)
    staleness_intervals: float = _declare(5.0, "ingestion", "age at which a tick is stale, in tick intervals", low=0.0, high=1e6)
    besov_nyquist_interval_ns: int = _declare(100_000_000, "ingestion", "least interval at which ticks are sparse", unit="ns", low=0, high=2**62)
    sparse_intervals: float = _declare(1.5, "ingestion", "interval at which ticks are sparse, in tick intervals, and the factor within which an interval is like earlier ones and so is not", low=1.0, high=1e6)
    tick_interval_ns: int = _declare(0, "ingestion", "declared tick interval; 0 learns the median of the history", unit="ns", low=0, high=2**62)
    inference_recovery_hysteresis: float = _declare(0.8, "ingestion", "fraction of the staleness limit that age must fall below to leave degraded mode", low=0.01, high=1.0)
    degraded_recovery_min_steps: int = _declare(2, "ingestion", "clean ticks before degraded mode is left", unit="ticks", low=1, high=10_000)
    frozen_signal_recovery_ratio: float = _declare(0.1, "ingestion", "fraction of the historical variance that ends a frozen signal", low=0.0, high=1.0)
    frozen_signal_recovery_steps: int = _declare(2, "ingestion", "ticks that a frozen signal must move before it counts as alive", unit="ticks", low=1, high=1000)
    frozen_signal_probability: float = _declare(1e-4, "ingestion", "probability, from the history, below which equal values in a row are a fault", low=0.0, high=1.0)
    signal_sampling_interval: float = _declare(1.0, "ingestion", "sampling interval of the spectrum's frequency axis", unit="ticks", low=1e-12, high=1e12)

    confidence_level: float = _declare(0.95, "orchestration", "nominal coverage of the interval", low=0.5, high=0.999)
    interval_rate: float = _declare(0.05, "orchestration", "rate of the conformal correction of the interval's quantile", unit="1/tick", low=0.0, high=0.5, search=Search("deep", 0.01, 0.1, log=True))
    entropy_window: int = _declare(100, "orchestration", "entropy window before volatility adapts it", unit="ticks", low=10, high=500, search=Search("deep", 50, 500, step=1))
    entropy_window_relaxation_factor: float = _declare(5.0, "orchestration", "relaxation times in the entropy window", low=0.1, high=100.0)
    entropy_window_bounds_min: int = _declare(10, "orchestration", "least entropy window", unit="ticks", low=2, high=10_000)
    entropy_window_bounds_max: int = _declare(500, "orchestration", "largest entropy window", unit="ticks", low=2, high=100_000)
    entropy_threshold: float = _declare(0.8, "orchestration", "fraction gamma of the expected entropy below which the value function is collapsing, in calm times", low=0.5, high=1.0, search=Search("deep", 0.5, 0.95))
    entropy_scaling_trigger: float = _declare(2.0, "orchestration", "entropy ratio kappa above which the trunk grows", low=1.0, high=10.0)
    mode_collapse_min_threshold: int = _declare(10, "orchestration", "least ticks of low entropy that raise the warning", unit="ticks", low=1, high=10_000)
    mode_collapse_window_ratio: float = _declare(0.1, "orchestration", "fraction of the entropy window of low entropy that raises the warning", low=0.0, high=1.0)
    sinkhorn_huber_delta: float = _declare(1.0, "orchestration", "width of the quadratic part of the Huber cost", unit="scale", low=1e-6, high=1e6)
    validation_simplex_atol: float = _declare(1e-6, "orchestration", "marginal error at which Sinkhorn has converged", low=1e-14, high=1e-2)
    koopman_min_power: float = _declare(1e-10, "orchestration", "power below which a spectral mode is not reported", low=0.0, high=1.0)
    paley_wiener_integral_max: float = _declare(100.0, "orchestration", "Paley-Wiener integral above which the spectrum counts as not regular", low=0.0, high=1e6)
    numerical_epsilon: float = _declare(1e-12, "orchestration", "floor that keeps divisions and logarithms finite", low=1e-300, high=1e-3)

    snapshot_path: str = _declare("io/snapshots", "io", "folder of the snapshots; a service gives each series a folder below it")
    snapshot_interval_steps: int = _declare(1000, "io", "ticks between two snapshots of a service; 0 takes none but the last", unit="ticks", low=0, high=10**9)
    snapshot_retention: int = _declare(5, "io", "snapshots kept in a folder", low=1, high=1000)
    snapshot_compression: str = _declare("none", "io", "compression of a snapshot's payload", choices=("none", "zstd"))
    snapshot_queue_maxlen: int = _declare(2, "io", "snapshots that may wait for the disk; the oldest is dropped for a newer one", low=1, high=100)
    telemetry_path: str = _declare("io/telemetry", "io", "folder of the telemetry and parity logs")
    telemetry_buffer_maxlen: int = _declare(16_384, "io", "telemetry records that may wait for the consumer; the oldest are dropped and counted", low=1, high=10**7)
    telemetry_rotate_bytes: int = _declare(67_108_864, "io", "size at which a telemetry log is closed and the next one begun", unit="bytes", low=4096, high=2**40)
    telemetry_retention: int = _declare(10, "io", "closed telemetry logs kept", low=1, high=100_000)
    emergency_dump_path: str = _declare("io/emergency", "io", "folder of the dumps that entry into emergency mode leaves, for its owner alone")
    emergency_dump_interval_s: float = _declare(60.0, "io", "least time between two emergency dumps of a series", unit="s", low=0.0, high=1e9)
    shutdown_budget_s: float = _declare(25.0, "io", "time that a service has to finish what it accepted and to stop", unit="s", low=0.1, high=3600.0)
    metrics_address: str = _declare("127.0.0.1", "io", "address of a service's metrics, health and readiness")
    metrics_port: int = _declare(9464, "io", "port of them; 0 takes a free one", low=0, high=65_535)
    credentials_vault_path: str = _declare("", "io", "file of environment assignments with the credentials of sources and stores, readable by its owner alone; empty reads the environment only")
    source_silence_s: float = _declare(300.0, "io", "time without a tick, at least twenty usual intervals and half as long again as the usual pauses at this time of the day, after which a live source that is connected counts as silent and the service as not ready; 0 never", unit="s", low=0.0, high=1e9, added=True)
    jitter_degrade_ratio: float = _declare(0.8, "io", "fraction of the Nyquist limit above which jitter (P95) degrades the service", low=0.01, high=10.0)
    load_shedding: bool = _declare(False, "io", "whether the log-signature's depth follows the load of a service (2, 3 or 5)")
    latency_alpha: float = _declare(0.05, "io", "rate of the latency average that load shedding follows", unit="1/tick", low=1e-4, high=1.0)
    shed_above: float = _declare(0.8, "io", "share of the tick interval that the latency average must exceed to lower the depth", low=0.01, high=10.0)
    restore_below: float = _declare(0.4, "io", "share of the tick interval that it must fall below to raise the depth again", low=0.001, high=10.0)
    shedding_min_steps: int = _declare(200, "io", "least ticks between two changes of the depth", unit="ticks", low=1, high=10**6)

    telemetry_hash_interval_steps: int = _declare(100, "security", "ticks between two lines of the parity log; 0 writes none", unit="ticks", low=0, high=10**9)
    snapshot_integrity_hash_algorithm: str = _declare("sha256", "security", "checksum at the end of a snapshot; hmac-sha256 has a service refuse to start without a key in USPNB_INTEGRITY_KEY", choices=("sha256", "hmac-sha256"), locked=True)
    # fmt: on

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            coerced = check_value(field.name, value)
            if coerced is not value:
                object.__setattr__(self, field.name, coerced)
        _check_order(self, "stiffness_low", "stiffness_high")
        _check_order(self, "entropy_window_bounds_min", "entropy_window_bounds_max")
        _check_order(self, "jko_step_floor", "jko_step_ceiling")
        _check_order(self, "restore_below", "shed_above")
        if self.hilbert_lags >= self.wtmm_buffer_size:
            raise ConfigError(
                f"hilbert_lags = {self.hilbert_lags} must be below wtmm_buffer_size = {self.wtmm_buffer_size}: "
                "the filter reads its lags from that window; shorten the filter or lengthen the window"
            )
        if self.log_sig_window > self.wtmm_buffer_size:
            raise ConfigError(
                f"log_sig_window = {self.log_sig_window} must not exceed wtmm_buffer_size = {self.wtmm_buffer_size}: "
                "the log-signature reads that window; shorten it or lengthen the window"
            )
        _check_seasons(self)
        _check_calendar(self)

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of all covariates: those that come with the ticks, then what the calendar says."""
        return (*self.covariates, *self.calendar, *((HOLIDAY,) if self.holidays else ()))

    @property
    def ladder(self) -> tuple[int, ...]:
        """The horizons beyond the next tick [ticks]."""
        return tuple(h for h in self.horizons if h > 1)

    @property
    def steps(self) -> tuple[int, ...]:
        """How far ahead every tick forecasts: the next, then the ladder [ticks]."""
        return (1, *self.ladder)

    def with_seasons(self, *periods: int) -> PredictorConfig:
        """The configuration with these seasons alone, at most two, and room to remember them.

        Args:
            periods: whole numbers of ticks, 2 or more, or none for no season; none is then looked for.

        Raises:
            ConfigError: more than two, equal ones, no whole numbers, or a period out of range.
        """
        if len(periods) > MOST_SEASONS:
            raise ConfigError(f"seasons = {periods!r} has {len(periods)} periods; give at most {MOST_SEASONS}")
        if 0 in periods:
            raise ConfigError(f"seasons = {periods!r} has a period of 0; give periods of 2 ticks or more, or none")
        checked = [check_value(name, period) for name, period in zip(SEASON_FIELDS, periods, strict=False)]
        needed = max(max(checked, default=0) + SEASON_MARGIN, 2 * sum(checked))
        capacity = max(DEFAULTS["season_capacity"], 1 << (needed - 1).bit_length())
        declared = dict(zip(SEASON_FIELDS, [*checked, 0, 0], strict=False))
        return dataclasses.replace(self, season_slots=len(checked), season_capacity=capacity, **declared)

    def finding_seasons(self) -> PredictorConfig:
        """The configuration with no season declared and two to be found, with the default room for them or more."""
        names = ("season_slots", *SEASON_FIELDS)
        capacity = max(self.season_capacity, DEFAULTS["season_capacity"])
        return dataclasses.replace(self, season_capacity=capacity, **{name: DEFAULTS[name] for name in names})

    def _repr_html_(self) -> str:
        fields = dataclasses.fields(self)
        changed = [i for i, f in enumerate(fields) if not np.array_equal(getattr(self, f.name), DEFAULTS[f.name])]
        rows = []
        for field in fields:
            about = declaration(field.name)
            meaning = f"{about.meaning} [{about.unit}]" if about.unit else about.meaning
            rows.append((field.name, repr(getattr(self, field.name)), repr(field.default), about.section, meaning))
        head = ("field", "value", "default", "section", "meaning")
        own = columns_table("", head, [rows[i] for i in changed]) if changed else ""
        caption = f"{len(changed)} of {len(rows)} fields changed from their defaults"
        return own + folded("PredictorConfig", caption, columns_table("", head, rows, changed))


DECLARATIONS: dict[str, Declaration] = {
    field.name: field.metadata["declaration"] for field in dataclasses.fields(PredictorConfig)
}
DEFAULTS: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(PredictorConfig)}
STATIC_FIELDS: tuple[str, ...] = tuple(name for name, about in DECLARATIONS.items() if about.static)
HOST_FIELDS: tuple[str, ...] = tuple(name for name, about in DECLARATIONS.items() if about.host)
TRACED_FIELDS: tuple[str, ...] = tuple(n for n, about in DECLARATIONS.items() if not (about.static or about.host))


def written_fields(config: PredictorConfig) -> tuple[str, ...]:
    """Fields that a stored form of the configuration names: all but those added later that have their default."""
    return tuple(n for n, about in DECLARATIONS.items() if not about.added or getattr(config, n) != DEFAULTS[n])


def declaration(name: str) -> Declaration:
    """The declaration of a field.

    Raises:
        ConfigError: there is no such field.
    """
    if name not in DECLARATIONS:
        raise ConfigError(f"unknown configuration key {name!r}; known keys: {', '.join(sorted(DECLARATIONS))}")
    return DECLARATIONS[name]


def check_value(name: str, value: Any) -> Any:
    """Validate one value against its declaration and return it with the declared type.

    Traced values (a setting inside jit) pass through; an array of a traced field is a batch of candidate settings, all
    of which must lie in the range.

    Raises:
        ConfigError: unknown name, wrong type, value out of range or not among the choices.
    """
    about, default = declaration(name), DEFAULTS[name]
    if not (about.static or about.host) and _is_placeholder(value):
        return value
    if isinstance(value, (np.ndarray, np.generic, jax.Array)) and not (about.static or about.host) and value.ndim > 0:
        _check_batch(name, about, np.asarray(value))
        return value
    return checked_scalar(name, value, about, default)


def checked_scalar(name: str, value: Any, about: Declaration, default: Any) -> Any:
    """One number, truth value, text or list of names, validated against a declaration and returned with the type of the default.

    Raises:
        ConfigError: wrong type, value out of range or not among the choices.
    """
    if isinstance(default, tuple):
        return _checked_rising(name, value, about) if holds_numbers(default) else _checked_names(name, value, about)
    if isinstance(value, (np.ndarray, np.generic, jax.Array)) and value.ndim == 0:
        value = value.item()
    kind = type(default)
    if kind is bool:
        accepted = isinstance(value, bool)
    elif kind is str:
        accepted = isinstance(value, str)
    elif kind is int:
        accepted = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    else:
        accepted = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not accepted:
        raise ConfigError(f"{name} = {value!r} has type {type(value).__name__}, expected {kind.__name__}")
    if isinstance(value, str) and not about.choices and not _is_one_line(value, may_be_empty=not default):
        raise ConfigError(f"{name} = {value!r}: expected {TEXT_RANGE}{'' if default else ', or nothing'}")
    if about.choices and value not in about.choices:
        raise ConfigError(f"{name} = {value!r} is not one of {', '.join(map(repr, about.choices))}")
    if kind in (int, float):
        try:
            value = int(value) if kind is int else float(value)  # type: ignore[arg-type]
        except OverflowError:
            raise ConfigError(f"{name} is too large for a float; its range is {_range_text(about)}") from None
        if not about.low <= value <= about.high:
            raise ConfigError(f"{name} = {value!r} is outside its range {_range_text(about)}")
    return value


def holds_numbers(default: tuple[Any, ...]) -> bool:
    """Whether a list, by its default, is one of numbers; else it is one of texts."""
    return bool(default) and not isinstance(default[0], str)


def names_range(name: str, about: Declaration) -> str:
    """What a list of texts may hold, in words."""
    if about.choices:
        what = f"of {', '.join(about.choices)}"
    elif name == "kernels":
        what = "different names of letters, digits and underscores"
    else:
        what = f"different texts of a line of 1 to {LONGEST_NAME} characters"
    return f"{int(about.low)} to {int(about.high)} {what}"


def _checked_names(name: str, value: Any, about: Declaration) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f"{name} = {value!r} has type {type(value).__name__}, expected a list of names")
    names = tuple(str(one) for one in value)

    def usable(one: str) -> bool:
        if about.choices:
            return one in about.choices
        written = one.isidentifier() and one.isascii() if name == "kernels" else _is_one_line(one, may_be_empty=False)
        return written and len(one) <= LONGEST_NAME

    if not all(map(usable, names)) or not about.low <= len(names) <= about.high or len(set(names)) < len(names):
        raise ConfigError(f"{name} = {list(names)!r} is not a list of {names_range(name, about)}")
    return names


def _checked_rising(name: str, value: Any, about: Declaration) -> tuple[int, ...] | tuple[float, ...]:
    """Numbers of a list, in rising order and each within the range: whole ones where the default holds such."""
    whole = isinstance(DEFAULTS[name][0], int)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    given = list(value) if isinstance(value, (list, tuple, range)) else None
    kind = numbers.Integral if whole else numbers.Real
    if given is None or not all(isinstance(one, kind) and not isinstance(one, bool) for one in given):
        wanted = f"expected a list of {'whole ' if whole else ''}numbers, such as {list(DEFAULTS[name])}"
        raise ConfigError(f"{name} = {value!r}: {wanted}")
    one_of = f"each within {_range_text(about)}" + (f" {about.unit}" if about.unit else "")
    if not given:
        raise ConfigError(f"{name} is empty; give at least one number, {one_of}")
    if outside := [one for one in given if not about.low <= one <= about.high]:
        raise ConfigError(f"{name} = {value!r} holds {outside[0]!r}; give numbers in rising order, {one_of}")
    if any(after <= before for before, after in itertools.pairwise(given)):
        raise ConfigError(f"{name} = {value!r} does not rise; give each number once, the smallest first")
    return tuple(int(one) if whole else float(one) for one in given)


def _is_one_line(text: str, *, may_be_empty: bool) -> bool:
    return len(text) <= LONGEST_TEXT and text.isprintable() and (bool(text) or may_be_empty)


def _check_batch(name: str, about: Declaration, values: np.ndarray) -> None:
    if values.dtype.kind not in "fiu":
        raise ConfigError(f"{name} is an array of dtype {values.dtype}, expected numbers")
    outside = ~((values >= about.low) & (values <= about.high))
    if outside.any():
        worst = values[outside].flat[0].item()
        raise ConfigError(f"{name} holds {worst!r}, which is outside its range {_range_text(about)}")


def _is_placeholder(value: Any) -> bool:
    """Whether JAX has put something of its own in a traced field: a tracer, a shape, an argument's description."""
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return isinstance(value, Tracer)
    return value is None or type(value) is object or type(value).__module__.partition(".")[0] == "jax"


def _check_calendar(config: PredictorConfig) -> None:
    try:
        zoneinfo.ZoneInfo(config.calendar_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(
            f"calendar_zone = {config.calendar_zone!r} is no time zone of the IANA database; give one such as "
            "Europe/Berlin, or UTC"
        ) from error
    for day in config.holidays:
        try:
            datetime.date.fromisoformat(day)
        except ValueError as error:
            raise ConfigError(f"holidays holds {day!r}, which is no day; give year, month, day: 2026-12-25") from error
    taken = {*DECLARATIONS["calendar"].choices, HOLIDAY}
    if clash := [name for name in config.covariates if name in taken]:
        raise ConfigError(
            f"covariates holds {clash[0]!r}, which is what the calendar's own is called; rename the column, or leave it "
            "to the calendar"
        )


def _range_text(about: Declaration) -> str:
    def text(bound: float) -> str:
        return str(int(bound)) if math.isfinite(bound) and bound == int(bound) and abs(bound) < 1e15 else f"{bound:g}"

    return f"[{text(about.low)}, {text(about.high)}]"


def _check_seasons(config: PredictorConfig) -> None:
    periods = [getattr(config, name) for name in SEASON_FIELDS]
    if not all(isinstance(period, int) for period in periods):
        return  # inside a program
    for k, (name, period) in enumerate(zip(SEASON_FIELDS, periods, strict=True)):
        if period == 1:
            raise ConfigError(f"{name} = 1 is no season; a period is 2 ticks or more, 0 for none")
        if period and k >= config.season_slots:
            raise ConfigError(
                f"{name} = {period} needs season_slots = {k + 1}, it is {config.season_slots}; "
                "PredictorConfig().with_seasons(...) sets both"
            )
        if period + SEASON_MARGIN > config.season_capacity and period:
            raise ConfigError(
                f"{name} = {period} is longer than season_capacity - {SEASON_MARGIN} = "
                f"{config.season_capacity - SEASON_MARGIN} ticks; raise season_capacity"
            )
    if 2 * sum(periods) > config.season_capacity:
        raise ConfigError(
            f"season_first + season_second = {sum(periods)} is more than half of season_capacity = "
            f"{config.season_capacity} ticks; raise season_capacity"
        )
    if periods[0] == periods[1] != 0:
        raise ConfigError(f"season_first and season_second are both {periods[0]}; two seasons have different periods")
    if periods[1] and not periods[0]:
        raise ConfigError(f"season_second = {periods[1]} without season_first; name a single season season_first")


def _check_order(config: PredictorConfig, low: str, high: str) -> None:
    a, b = getattr(config, low), getattr(config, high)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)) and a >= b:
        raise ConfigError(f"{low} = {a!r} must be below {high} = {b!r}")


jax.tree_util.register_dataclass(
    PredictorConfig, data_fields=list(TRACED_FIELDS), meta_fields=[*STATIC_FIELDS, *HOST_FIELDS]
)

"""What adapts to the process: stiffness thresholds and JKO parameters."""

from __future__ import annotations

import jax.numpy as jnp

from ...array_types import Scalar
from ...config.schema import PredictorConfig


def compute_adaptive_stiffness_thresholds(
    holder_exponent: Scalar | float,
    calibration_c1: float = 25.0,
    calibration_c2: float = 250.0,
    least_low: Scalar | float = 100.0,
    least_high: Scalar | float = 1000.0,
) -> tuple[Scalar, Scalar]:
    """theta_L = max(100, c1 / (1 - H)^2), theta_H = max(1000, c2 / (1 - H)^2).

    Args:
        holder_exponent: H, clipped to [0, 0.99].
        calibration_c1, calibration_c2: constants of the two thresholds.
        least_low, least_high: their floors (`stiffness_low`, `stiffness_high`).

    Source: seed 003, section 10.3.
    """
    room = jnp.maximum(1.0 - jnp.clip(jnp.asarray(holder_exponent, float), 0.0, 0.99), 1e-3)
    return jnp.maximum(least_low, calibration_c1 / room**2), jnp.maximum(least_high, calibration_c2 / room**2)


def compute_adaptive_jko_params(
    volatility_sigma_squared: Scalar | float, sinkhorn_epsilon: Scalar | float, config: PredictorConfig
) -> tuple[Scalar, Scalar]:
    """Entropy window ~ L^2 / sigma^2 and learning rate < 2 eps sigma^2 with a safety factor.

    Args:
        volatility_sigma_squared: sigma^2, the squared residual over its own slow mean, about 1.
        sinkhorn_epsilon: eps_t.
        config: relaxation factor, bounds, safety factor, floors.

    Returns:
        (entropy window [ticks], eta).  `entropy_window` ticks are one relaxation at sigma^2 = 1.

    Source: seed 003, section 10.5; MATH notes for the units.
    """
    variance = jnp.maximum(jnp.asarray(volatility_sigma_squared, float), 1e-6)
    # At sigma^2 = 1, L = 1 and the default relaxation factor this is the configured window.
    relaxation = config.jko_domain_length**2 / variance * config.entropy_window_relaxation_factor / 5.0
    window = jnp.clip(
        config.entropy_window * relaxation, config.entropy_window_bounds_min, config.entropy_window_bounds_max
    )
    stable = config.learning_rate_safety_factor * 2.0 * sinkhorn_epsilon * variance
    adaptive = jnp.clip(
        jnp.maximum(stable, config.learning_rate_minimum), config.jko_step_floor, config.jko_step_ceiling
    )
    rate = adaptive if config.jko_adaptive else jnp.asarray(config.learning_rate, float)
    return window, rate

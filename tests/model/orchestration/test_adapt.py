"""The adaptive parameters against the formulas and printed examples of seed 003, chapter 10.

Some printed examples contradict the formula above them; where they do, the formula holds and the test says so.
"""

from __future__ import annotations

import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.model.kernels import compute_entropy_ratio, scale_dgm_architecture
from uspnb.model.orchestration.adapt import compute_adaptive_jko_params, compute_adaptive_stiffness_thresholds

CONFIG = PredictorConfig()


@pytest.mark.parametrize("holder", np.linspace(0.0, 0.99, 12))
def test_stiffness_thresholds_follow_the_holder_exponent(holder):
    low, high = compute_adaptive_stiffness_thresholds(holder)
    assert float(low) == pytest.approx(max(100.0, 25.0 / (1 - holder) ** 2))
    assert float(high) == pytest.approx(max(1000.0, 250.0 / (1 - holder) ** 2))
    assert float(low) < float(high)


def test_stiffness_examples_of_the_seed():
    """H = .8 gives 625 and 6250.  For H = .2 it prints 390 and 3906, which is ten times c / (1 - H)^2 = 39.06."""
    assert tuple(map(float, compute_adaptive_stiffness_thresholds(0.8))) == pytest.approx((625.0, 6250.0))
    assert tuple(map(float, compute_adaptive_stiffness_thresholds(0.2))) == (100.0, 1000.0)
    printed = compute_adaptive_stiffness_thresholds(0.2, 250.0, 2500.0)
    assert tuple(map(float, printed)) == pytest.approx((390.625, 3906.25))


@pytest.mark.parametrize("holder", [-3.0, 1.0, 7.0])
def test_stiffness_is_finite_outside_the_exponents_range(holder):
    low, high = compute_adaptive_stiffness_thresholds(holder)
    inside = compute_adaptive_stiffness_thresholds(np.clip(holder, 0.0, 0.99).item())
    assert (float(low), float(high)) == tuple(map(float, inside))
    assert np.isfinite(float(high))


def test_stiffness_floors_are_the_configured_ones():
    low, high = compute_adaptive_stiffness_thresholds(0.5, least_low=150.0, least_high=700.0)
    assert (float(low), float(high)) == (150.0, 1000.0)


# The seed's listing, 5 L^2 / sigma^2 clipped to [10, 500] and .8 * 2 eps sigma^2 with no floor or ceiling of the flow.
LISTING = PredictorConfig(
    entropy_window=10, entropy_window_relaxation_factor=2.5, jko_step_floor=0.0, jko_step_ceiling=1.0
)


@pytest.mark.parametrize(
    ("variance", "window", "rate"), [(1e-3, 500.0, 1.6e-4), (0.1, 50.0, 1.6e-2), (10.0, 10.0, 1.6)]
)
def test_jko_parameters_of_the_seeds_listing(variance, window, rate):
    """Its examples at eps = .1; for sigma^2 = .1 it prints a window of 10, where its own listing gives 5 / .1 = 50."""
    got = compute_adaptive_jko_params(variance, 0.1, LISTING)
    assert float(got[0]) == pytest.approx(window)
    assert float(got[1]) == pytest.approx(min(rate, 1.0))


@pytest.mark.parametrize("variance", [0.0, 1e-3, 0.1, 0.5, 1.0, 3.0, 1e8])
@pytest.mark.parametrize("epsilon", [0.01, 0.15, 2.0])
def test_jko_parameters_scale_with_volatility_inside_their_bounds(variance, epsilon):
    window, rate = map(float, compute_adaptive_jko_params(variance, epsilon, CONFIG))
    used = max(variance, 1e-6)
    bounds = CONFIG.entropy_window_bounds_min, CONFIG.entropy_window_bounds_max
    assert window == pytest.approx(np.clip(CONFIG.entropy_window / used, *bounds))
    stable = CONFIG.learning_rate_safety_factor * 2.0 * epsilon * used
    assert rate == pytest.approx(np.clip(stable, CONFIG.jko_step_floor, CONFIG.jko_step_ceiling))


def test_a_longer_domain_relaxes_longer():
    long = PredictorConfig(jko_domain_length=2.0)
    assert float(compute_adaptive_jko_params(1.0, 0.1, long)[0]) == 4.0 * CONFIG.entropy_window


def test_the_least_rate_asked_for_counts():
    eager = PredictorConfig(learning_rate_minimum=0.3)
    assert float(compute_adaptive_jko_params(1e-3, 0.1, eager)[1]) == pytest.approx(0.3)


def test_an_unadaptive_rate_is_the_configured_one():
    fixed = PredictorConfig(jko_adaptive=False, learning_rate=0.07)
    assert float(compute_adaptive_jko_params(50.0, 3.0, fixed)[1]) == 0.07


@pytest.mark.parametrize(
    ("now", "base", "kappa"), [(3.0, 1.5, 2.0), (1.0, 0.0, 10.0), (1e9, 1.0, 10.0), (0.0, 1.0, 0.1)]
)
def test_entropy_ratio_of_the_seed(now, base, kappa):
    assert float(compute_entropy_ratio(now, base)) == pytest.approx(kappa)


@pytest.mark.parametrize(("kappa", "printed"), [(2.0, 512), (4.0, 640), (8.0, 1024)])
def test_architecture_examples_of_the_seed(kappa, printed):
    """From 64 x 4 = 256 it prints capacities 512, 640, 1024; equation 10.1 with beta = .7 asks for 416, 676, 1098.

    So 640 and 1024 break the equation (10.1) that they illustrate; the last one is its bound of 4 times the base.
    """
    width, depth = scale_dgm_architecture(PredictorConfig(dgm_width_size=64, dgm_depth=4), kappa)
    wanted = 256 * min(kappa**0.7, 4.0)
    assert wanted <= width * depth <= 1024
    assert width * depth == pytest.approx(printed, rel=0.25)

"""The periods that one look finds: against known ones, and against noise that only looks periodic."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from seasonal_streams import CAPACITY, draw, found, matches, pseudo_cycle, seasonal

from uspnb.model.orchestration.periods import longest, whitened_spectrum


def test_the_look_by_itself_is_right_on_most_other_streams() -> None:
    """Of 120 streams six periods long, with nothing in use before."""
    streams = [draw(seed) for seed in range(7000, 7120)]
    right = [matches(found(values), periods) for values, periods in streams]
    assert np.mean(right) >= 0.8


def test_two_periods_are_set_together() -> None:
    """Pairs whose lines come near each other, six of the longer: the one does not draw the other aside."""
    for seed, periods in enumerate([(104, 244), (50, 258), (65, 149), (97, 308)]):
        values = seasonal(np.random.default_rng(seed), periods, 0.8, 6 * periods[1])
        assert matches(found(values), periods), (found(values), periods)


def test_a_strong_season_has_no_second_beside_it() -> None:
    """What a tapered line leaks into its neighbourhood is no season."""
    for seed, period in enumerate((54, 61, 99)):
        values = seasonal(np.random.default_rng(seed), (period,), 0.95, 2048)
        assert matches(found(values), (period,)), found(values)


@pytest.mark.parametrize("length", [64, 128, 256, 600, 2048])
def test_a_cycle_that_forgets_its_phase_is_no_season(length: int) -> None:
    cycles = [pseudo_cycle(length, period, 0.92, seed) for seed in range(8) for period in (7.0, 20.0)]
    assert not any(found(values) for values in cycles)


def test_the_whitened_spectrum_of_noise_is_flat_whatever_its_colour() -> None:
    """Exponential ordinates of mean near one in each quarter of the band, for differences, levels and between."""
    noise = np.random.default_rng(1).standard_normal(2048)
    for values in (noise, np.cumsum(noise), pseudo_cycle(2048, 9.0, 0.8, 2)):
        power = np.asarray(whitened_spectrum(jnp.asarray(values), jnp.asarray(2048)).power)
        quarters = power[64:].reshape(4, -1).mean(axis=1)
        assert np.all((quarters > 0.6) & (quarters < 1.1)), quarters


def test_the_unit_does_not_matter() -> None:
    values = seasonal(np.random.default_rng(3), (24,), 0.6, 600)
    assert found(values) == found(1e-9 * values + 5.0) == found(1e200 * values) == (24,)


def test_a_multiple_is_not_taken_for_its_season_and_a_long_one_stands_beside_the_short() -> None:
    rng = np.random.default_rng(5)
    assert found(seasonal(rng, (12,), 0.7, 2048)) == (12,)
    assert found(seasonal(rng, (30, 210), 0.8, 2048)) == (30, 210)


def test_no_period_is_longer_than_a_fifth_of_the_ring() -> None:
    assert longest(CAPACITY) == 409
    assert longest(64) == 12

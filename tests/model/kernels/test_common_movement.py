"""Series that know of one another, on panels with a common factor whose best forecast is known."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_kernel import SMALL
from waiting import until
from walks import random_walk

import uspnb
from uspnb.errors import DomainError
from uspnb.model import programs
from uspnb.model.kernels import common_movement
from uspnb.model.kernels.registry import COMMON, KERNEL_NAMES

ASSETS, TICKS, SETTLED = 16, 1500, 500
ALONE = uspnb.PredictorConfig(kernels=("ito_levy",), **SMALL)
SHARED = dataclasses.replace(ALONE, kernels=("ito_levy", COMMON))


def panel(memory: float, share: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Levels whose increments are b_i f_t + e_i, and the RMSE of who knows f and b; f is an AR(1)."""
    rng = np.random.default_rng(seed)
    factor = np.zeros(TICKS)
    for t in range(1, TICKS):
        factor[t] = memory * factor[t - 1] + np.sqrt(1 - memory**2) * rng.normal()
    loading = np.sqrt(share) * rng.normal(1.0, 0.5, ASSETS)
    increments = factor[:, None] * loading + np.sqrt(1 - share) * rng.normal(size=(TICKS, ASSETS))
    known = increments[1:] - memory * factor[:-1, None] * loading
    return increments.cumsum(axis=0), np.sqrt(np.mean(known[SETTLED - 1 :] ** 2, axis=0))


def errors(values: np.ndarray, config: uspnb.PredictorConfig) -> np.ndarray:
    return np.sqrt(np.mean(uspnb.backtest(values, config)["residual"].values[SETTLED:] ** 2, axis=0))


def test_a_lasting_common_factor_is_found_and_independent_series_lose_nothing() -> None:
    """Of the way from each series by itself to the oracle it goes a third at least."""
    values, oracle = panel(0.8, 0.3)
    alone, shared = errors(values, ALONE), errors(values, SHARED)
    gain, most = 1 - np.exp(np.log(shared / alone).mean()), 1 - np.exp(np.log(oracle / alone).mean())
    assert gain > most / 3 > 0.02 and (shared < 1.002 * alone).all()
    independent, _ = panel(0.8, 0.0)
    assert (errors(independent, SHARED) < 1.003 * errors(independent, ALONE)).all()


def test_the_movement_is_the_factor_and_never_ones_own() -> None:
    """Two groups that move against one another load with opposite signs, and an outlier of one's own is not in it."""
    rng = np.random.default_rng(4)
    factor, signs = rng.normal(size=800), np.where(np.arange(8) < 6, 1.0, -1.0)
    moves = factor[:, None] * signs + 0.5 * rng.normal(size=(800, 8))
    config = SHARED
    start = common_movement.init(config, jax.random.PRNGKey(0))
    states = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], 8, axis=0), start)
    inputs = uspnb.testing._inputs(config)
    batched = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], 8, axis=0), inputs)
    step = jax.vmap(common_movement.step, (None, 0, 0, None), axis_name=common_movement.AXIS)

    def tick(states, move):
        states, output = step(config, states, batched._replace(increment=move), jax.random.PRNGKey(0))
        return states, output.diagnostics

    states, said = jax.lax.scan(tick, states, jnp.asarray(moves))
    movement, loading = np.asarray(said.movement)[200:], np.asarray(said.loading)[-1]
    assert all(abs(np.corrcoef(movement[:, k], factor[200:])[0, 1]) > 0.85 for k in range(8))
    np.testing.assert_array_equal(np.sign(loading), signs)
    _, wild = tick(states, jnp.zeros(8).at[2].set(4.0))
    assert wild.movement[2] == 0.0 and (wild.movement[jnp.array([0, 1, 3])] > 0.1).all()


def test_no_forecast_knows_what_another_series_does_later() -> None:
    values = random_walk((160, 4), 8)
    changed = values.copy()
    changed[100:, 1] += np.linspace(0.0, 3.0, 60)
    before, after = (uspnb.backtest(one, SHARED)["prediction"].values for one in (values, changed))
    np.testing.assert_array_equal(before[:101], after[:101])
    assert (before[102:140, 0] != after[102:140, 0]).any()


def test_a_series_that_has_no_values_adds_nothing_and_the_order_is_nobodys() -> None:
    values = random_walk((120, 4), 9)
    values[40:60, 3] = np.nan
    holed = values.copy()
    holed[:, 2] = np.nan
    left = np.delete(values, 2, axis=1)
    whole, fewer = (uspnb.backtest(one, SHARED)["prediction"].values for one in (holed, left))
    np.testing.assert_allclose(np.delete(whole, 2, axis=1)[1:], fewer[1:], rtol=1e-9)
    turned = uspnb.backtest(values[:, ::-1], SHARED)["prediction"].values
    np.testing.assert_allclose(turned[1:, ::-1], uspnb.backtest(values, SHARED)["prediction"].values[1:], rtol=1e-9)


def test_a_batch_is_stepped_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are smaller than a batch; series of another block would not be seen."""
    values = random_walk((80, 6), 10)
    first = uspnb.backtest(values, SHARED)["prediction"].values
    monkeypatch.setattr(programs, "WIDEST_BLOCK", 2)
    jax.clear_caches()
    np.testing.assert_allclose(uspnb.backtest(values, SHARED)["prediction"].values[1:], first[1:], rtol=1e-9)
    jax.clear_caches()


def test_a_series_by_itself_has_no_others() -> None:
    values = random_walk(120, 11)
    one, table = uspnb.backtest(values, SHARED), uspnb.backtest(values[:, None], SHARED)
    np.testing.assert_allclose(one["prediction"].values[1:], table["prediction"].values[1:, 0], rtol=1e-9)


def test_a_fleet_shares_where_it_is_asked_to() -> None:
    values = random_walk((60, 3), 12)
    with uspnb.Fleet(values, config=ALONE, shared=True, workers=1) as fleet:
        fleet.step(60)
        until(lambda: fleet.status.ticks == 60)
        assert fleet.config.kernels == SHARED.kernels and f"weight_{COMMON}" in fleet.table().columns
        _, forecasts = fleet.columns(("prediction",), 0, 60)
    np.testing.assert_allclose(forecasts[1:, :, 0], uspnb.backtest(values, SHARED)["prediction"][1:], rtol=1e-9)
    assert COMMON not in KERNEL_NAMES
    with uspnb.Fleet(values, config=SHARED, shared=True, workers=1) as again:
        assert again.config.kernels == SHARED.kernels
    with pytest.raises(DomainError, match="one of the package's own"):
        uspnb.register_kernel(COMMON, common_movement)

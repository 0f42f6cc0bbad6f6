from __future__ import annotations

import jax
import numpy as np
import pytest
from default_columns import VIEW_COLUMNS

import uspnb
from uspnb.data import processes
from uspnb.engine.views import view_columns
from uspnb.model.kernels.registry import KERNEL_NAMES
from uspnb.model.records import CHART_NAMES
from uspnb.predictor.functional import FunctionalPredictor, observations

SECOND = 1_000_000_000
SHIFT = 200


@pytest.fixture(scope="module")
def run():
    y = processes.autoregression(300, 4).values.copy()
    y[SHIFT:] += 8.0
    y[50] = np.nan
    predictor = FunctionalPredictor()
    state, rows = predictor.init_state(), []
    stamps = (np.arange(len(y)) + 1) * SECOND
    ticks = observations(y, stamps)
    for start in range(0, len(y), 128):
        piece = jax.tree.map(lambda c: np.resize(np.asarray(c), 128), ticks.at(slice(start, start + 128)))
        state, done = predictor.advance(state, piece, min(128, len(y) - start))
        rows.append(done)
    return y, stamps, np.concatenate(rows), predictor.layout


@pytest.fixture(scope="module")
def columns(run):
    _, stamps, rows, layout = run
    drawn = view_columns(rows, stamps, 0, layout, grid=False)
    return dict(zip(VIEW_COLUMNS, drawn.T, strict=True))


def test_columns_are_those_of_the_backtest(run, columns) -> None:
    y, _, _, _ = run
    ds = uspnb.backtest(y, progress=False)
    names = ("observation", "prediction", "lower", "upper", "holder_exponent", "holder_valid", "alarm", "alarm_chart")
    for name in (*names, "emergency", "degraded", "rejected", "operating_mode"):
        np.testing.assert_array_equal(columns[name], ds[name].values.astype(float), err_msg=name)
    for kernel in KERNEL_NAMES:
        for name in ("weight", "target_weight", "kernel_prediction"):
            np.testing.assert_array_equal(columns[f"{name}_{kernel}"], ds[name].sel(kernel=kernel).values)
    for chart in CHART_NAMES:
        np.testing.assert_array_equal(columns[f"chart_{chart}"], ds["chart_statistic"].sel(chart=chart).values)
        np.testing.assert_array_equal(
            columns[f"chart_threshold_{chart}"], ds["chart_threshold"].sel(chart=chart).values
        )
    for h in ds["horizon"].values:
        for name in ("prediction", "lower", "upper"):
            np.testing.assert_array_equal(columns[f"horizon_{name}_{h}"], ds[f"horizon_{name}"].sel(horizon=h))
        for level in ds["level"].values:
            widths = ds["horizon_level_width"].sel(horizon=h, level=level)
            np.testing.assert_array_equal(columns[f"horizon_level_width_{h}_{level}"], widths)
    for slot in ds["season_slot"].values:
        np.testing.assert_array_equal(columns[f"season_{slot}"], ds["season"].sel(season_slot=slot))
    np.testing.assert_array_equal(columns["season_weight"], ds["season_weight"])
    np.testing.assert_array_equal(columns["onset_tick"], ds["change_onset"].values)
    assert np.isfinite(columns["onset_tick"]).any(), "the shift was meant to raise an alarm"


def test_the_next_forecast_is_the_following_ticks_forecast(columns) -> None:
    for name in ("prediction", "lower", "upper"):
        np.testing.assert_array_equal(columns[f"next_{name}"][:-1], columns[name][1:])


def test_time_is_milliseconds_or_the_tick(run, columns) -> None:
    _, stamps, rows, layout = run
    np.testing.assert_allclose(columns["time"], (np.arange(len(rows)) + 1) * 1e3, rtol=0, atol=1e-6)
    grid = view_columns(rows[:5], stamps[:5], 70, layout, grid=True)
    np.testing.assert_array_equal(grid[:, VIEW_COLUMNS.index("time")], np.arange(70, 75))
    np.testing.assert_array_equal(grid[:, VIEW_COLUMNS.index("tick")], np.arange(70, 75))


def test_a_part_is_that_part_of_the_whole(run) -> None:
    _, stamps, rows, layout = run
    whole = view_columns(rows, stamps, 1_000, layout, grid=False)
    part = view_columns(rows[190:230], stamps[190:230], 1_190, layout, grid=False)
    np.testing.assert_array_equal(part, whole[190:230])


def test_no_ticks_are_no_rows(run) -> None:
    _, stamps, rows, layout = run
    assert view_columns(rows[:0], stamps[:0], 0, layout, grid=False).shape == (0, len(VIEW_COLUMNS))


def test_names_are_unique() -> None:
    assert len(set(VIEW_COLUMNS)) == len(VIEW_COLUMNS) == 80

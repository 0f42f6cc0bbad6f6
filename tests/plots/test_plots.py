"""Figures: their numbers without a screen, their thinning without loss of extremes, their drawing without warnings."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from rendered import render

from uspnb import plots
from uspnb.errors import DomainError
from uspnb.plots.drawing import thin_band, thin_lines, thin_means
from uspnb.plots.report_tables import summary_rows
from uspnb.plots.style import spans


def test_forecast_data_has_alarms_and_their_onsets(run):
    data: Any = plots.forecast_data(run)
    assert list(data) == [
        "time",
        "observation",
        "prediction",
        "lower",
        "upper",
        "alarm",
        "onset_time",
        "imputed",
        "anomaly",
    ]
    alarms = data[data["alarm"]]
    assert len(alarms) == 2
    np.testing.assert_array_equal(alarms["onset_time"].to_numpy(), run["time"].values[[388, 688]])
    assert data.attrs["level"] == 0.95


def test_imputed_ticks_have_a_mark_at_their_forecast_where_there_are_any(run):
    holed = run.copy()
    holed["imputed"] = holed["alarm"] & False
    assert "imputed" not in render(plots.forecast_plot(plots.forecast_data(run)))
    assert "imputed" not in render(plots.forecast_plot(plots.forecast_data(holed)))
    holed["imputed"][[40, 41]] = True
    figure: Any = plots.forecast_plot(plots.forecast_data(holed))
    marks = next(part for part in figure if part.label == "imputed")
    np.testing.assert_array_equal(marks.dimension_values(1), run["prediction"].values[[40, 41]])
    assert "in the place of 2 of them" in summary_rows(holed)["refused by the gate"]
    holed["anomaly"] = holed["imputed"]
    marks = next(part for part in plots.forecast_plot(plots.forecast_data(holed)) if part.label == "anomaly")
    np.testing.assert_array_equal(marks.dimension_values(1), run["observation"].values[[40, 41]])
    assert summary_rows(holed)["anomalies"] == "2"
    assert "in the place" not in summary_rows(run)["refused by the gate"]


def test_charts_are_shares_of_their_thresholds(run):
    data = plots.charts_data(run)
    np.testing.assert_allclose(data[["mean", "scale", "dependence"]], run["chart_statistic"].values / 8.0)


def test_weights_and_exponent(run):
    np.testing.assert_allclose(plots.weights_data(run).drop(columns="time").sum(axis=1), 1.0)
    data: Any = plots.holder_data(run)
    assert data["exponent"].isna().sum() == 64 and data.attrs["threshold"] == 0.4
    assert int(data["emergency"].sum()) == 60


def test_times_that_go_back_are_drawn_in_order_with_onsets_at_the_right_instants(run):
    mixed = run.isel(time=np.r_[np.arange(0, 400), np.arange(401, 1000), 400])
    mixed["change_onset"] = mixed["change_onset"].where(mixed["change_onset"] != 688, 687)
    data: Any = plots.forecast_data(mixed)
    assert data["time"].is_monotonic_increasing
    np.testing.assert_array_equal(data.loc[data["alarm"], "onset_time"].to_numpy(), run["time"].values[[388, 688]])


def test_an_asset_is_chosen_by_its_label(run_of_several, run):
    north, south = (plots.forecast_data(run_of_several, name)["observation"] for name in ("north", "south"))
    np.testing.assert_array_equal(south, run_of_several["observation"].sel(asset="south"))
    np.testing.assert_array_equal(north, plots.forecast_data(run_of_several)["observation"])
    for ds, name in ((run_of_several, "east"), (run, "north")):
        with pytest.raises(DomainError, match=f"'{name}'"):
            plots.overview(ds, asset=name)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["forecast", "weights", "holder", "charts"])
def test_each_figure_draws(run, name, theme):
    data, plot = getattr(plots, f"{name}_data"), getattr(plots, f"{name}_plot")
    assert "<script" in render(plot(data(run), theme))


@pytest.mark.parametrize("which", ["run", "run_of_several"])
def test_the_overview_draws_on_one_shared_time_axis(request, which):
    figure = hv.render(plots.overview(request.getfixturevalue(which), "dark"), backend="bokeh")
    parts = [part for part, *_ in figure.children]
    assert len(parts) == 4 and len({part.x_range.id for part in parts}) == 1
    assert len({part.y_range.id for part in parts}) == 4
    assert {part.background_fill_color for part in parts} == {"#15181c"}
    assert all(legend in part.above for part in parts for legend in part.legend)  # beside the data, not over it


def test_runs_without_alarms_or_numbers_draw(run):
    quiet = run.copy(deep=True)
    for name in ("alarm", "emergency", "holder_valid"):
        quiet[name][:] = False
    quiet["change_onset"][:] = np.nan
    for name in ("prediction", "lower", "upper"):
        quiet[name][:] = np.nan
    assert "<script" in render(plots.overview(quiet))
    assert "<script" in render(plots.overview(run.isel(time=slice(0, 2))))


def test_wide_first_intervals_do_not_press_the_observations_flat(run):
    wide = run.copy(deep=True)
    wide["upper"][1:21] = 1e6
    figure = hv.render(plots.forecast_plot(plots.forecast_data(wide)), backend="bokeh")
    assert figure.y_range.end < 100.0 and figure.y_range.start < float(run["observation"].min())
    assert figure.y_range.end > float(run["observation"].max())


def test_an_unknown_theme_is_refused(run):
    with pytest.raises(DomainError, match="'sepia' is not one of 'light', 'dark'"):
        plots.overview(run, "sepia")


def test_thinning_keeps_every_extreme_and_every_hole():
    frame = pd.DataFrame({"time": np.arange(50_001), "y": np.random.default_rng(1).standard_normal(50_001)})
    frame.loc[12_345, "y"], frame.loc[30_000, "y"] = 50.0, -60.0
    frame.loc[40_000:41_000, "y"] = np.nan
    thin: Any = thin_lines(frame, ["y"])
    assert len(thin) <= 4000 and thin["y"].max() == 50.0 and thin["y"].min() == -60.0
    assert thin["time"].is_monotonic_increasing and thin["y"].isna().sum() > 50
    np.testing.assert_array_equal(np.unique(thin["y"].dropna().isin(frame["y"])), [True])


def test_a_thinned_band_holds_the_band_and_thinned_shares_sum_to_one():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"time": np.arange(20_000), "a": rng.random(20_000)})
    frame["b"] = 1.0 - frame["a"]
    frame["low"], frame["high"] = frame["a"] - 1.0, frame["a"] + 1.0
    band = thin_band(frame, "low", "high")
    size = 5
    np.testing.assert_array_equal(band["low"], frame["low"].to_numpy().reshape(-1, size).min(axis=1))
    np.testing.assert_array_equal(band["high"], frame["high"].to_numpy().reshape(-1, size).max(axis=1))
    np.testing.assert_allclose(thin_means(frame, ["a", "b"])[["a", "b"]].sum(axis=1), 1.0)


def test_short_frames_are_not_thinned():
    frame = pd.DataFrame({"time": np.arange(10), "y": np.arange(10.0)})
    pd.testing.assert_frame_equal(thin_lines(frame, ["y"]), frame)


def test_spans_of_flags():
    table = spans(np.arange(8), np.array([1, 1, 0, 0, 1, 0, 1, 1], bool))
    assert table.to_numpy().tolist() == [[0, 2], [4, 5], [6, 7]]

"""The fan and the seasons in figures and in the report, and which kernel carries which horizon."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pytest
from pages import Page
from rendered import render

from uspnb import plots
from uspnb.errors import DomainError
from uspnb.plots.fans import newest_fan
from uspnb.plots.report_file import run_report
from uspnb.plots.report_tables import summary_rows

LAST = "2026-03-14 05:00:00"  # of the thousand half hours


@pytest.fixture
def fanned(run):
    """A run whose last tick forecasts its own value at every horizon, in intervals as wide as the horizon."""
    h = run["horizon"]
    newest = run["observation"].isel(time=-1)
    for name, ends in (("prediction", 0 * h), ("lower", -h), ("upper", h)):
        run[f"horizon_{name}"][-1] = newest + ends
    run["horizon_level_width"][-1] = 0.5 * h * run["level"]
    run["horizon_weight"][:] = run["horizon_weight"] / run["horizon_weight"].sum("kernel")
    run["season"][:] = [48.0, np.nan]
    run["season_weight"][:] = 0.625
    return run


@pytest.fixture
def plain(fanned):
    """The same without anything beyond the next tick."""
    return fanned.isel(horizon=[0]).assign(season=fanned["season"] * np.nan)


def parts_of(figure: Any, label: str) -> list[Any]:
    return [part for part in figure if part.label == label]


def test_the_newest_fan_begins_at_the_last_value_and_widens_with_the_horizon(fanned, plain):
    data: Any = newest_fan(fanned, behind=0)
    newest = float(fanned["observation"][-1])
    assert data["ahead"].tolist() == [0, 1, 2, 4, 8, 16, 24, 48] and data.attrs["levels"] == [0.5, 0.8, 0.95]
    np.testing.assert_allclose(data["upper_2"] - newest, data["ahead"])
    np.testing.assert_allclose(newest - data["lower_0"], 0.25 * data["ahead"])
    assert data["time"].iloc[-1] - data["time"].iloc[0] == np.timedelta64(24, "h")
    assert newest_fan(plain) is None and newest_fan(fanned.drop_vars("horizon_prediction")) is None
    fanned["horizon_prediction"][-1] = np.nan
    assert newest_fan(fanned) is None


def test_the_overview_has_the_fan_and_names_the_season(fanned, plain):
    figure: Any = plots.forecast_plot(plots.forecast_data(fanned), ahead=newest_fan(fanned, behind=0))
    bands = [part for part in parts_of(figure, "next 48 ticks") if isinstance(part, hv.Area)]
    widths = [float(np.ptp([band.dimension_values(1)[-1], band.dimension_values(2)[-1]])) for band in bands]
    np.testing.assert_allclose(widths, [96.0, 38.4, 24.0])
    shown = hv.render(plots.overview(fanned), backend="bokeh")
    first, *others = [part for part, *_ in shown.children]
    assert first.title.text == "Forecast, season: 48 ticks"
    assert [item.label.value for item in first.legend[0].items].count("next 48 ticks") == 1
    assert first.x_range.end > fanned["time"].values[-1] + np.timedelta64(24, "h")
    assert all("eason" not in part.title.text for part in others)
    before = hv.render(plots.overview(plain), backend="bokeh").children[0][0]
    assert before.title.text == "Forecast" and "next" not in str([i.label for i in before.legend[0].items])


def test_a_wide_fan_does_not_press_the_run_flat(fanned):
    usual = hv.render(plots.overview(fanned.isel(horizon=[0])), backend="bokeh").children[0][0].y_range
    fanned["horizon_upper"][-1] = 1e9
    wide = hv.render(plots.overview(fanned), backend="bokeh").children[0][0].y_range
    assert usual.end < wide.end <= usual.end + 0.6 * (usual.end - usual.start)


def test_dots_are_at_the_horizons_where_the_ladder_has_gaps(fanned):
    dots = parts_of(plots.fan(fanned), "horizons")
    assert len(dots) == 1 and len(dots[0]) == 8
    assert not parts_of(plots.fan(fanned.isel(horizon=[0, 1])), "horizons")


def test_the_report_shows_the_fan_and_says_what_the_seasons_are_worth(fanned, plain):
    words = " ".join(Page(run_report(fanned).html).words)
    assert "The next 48 ticks" in words and "intervals of 50%, 80%, 95%" in words
    assert summary_rows(fanned)["seasons in use"] == "48 ticks; 63 % of the Hilbert kernel's forecast comes from them"
    assert "63 % of the Hilbert kernel's forecast" in words
    assert "The next" not in " ".join(Page(run_report(plain).html).words)
    assert summary_rows(plain)["seasons in use"] == "none"
    fanned["season"][-1], fanned["season_weight"][-1] = np.nan, np.nan  # a refused tick says nothing of them
    assert summary_rows(fanned)["seasons in use"].startswith("48 ticks")


def test_the_report_says_which_kernel_failed_where_one_did(fanned):
    assert "kernels that failed" not in summary_rows(fanned)
    fanned["kernel_failed"][:3, 1] = True
    fanned["kernel_failed"][5, 3] = True
    assert summary_rows(fanned)["kernels that failed"] == "deep galerkin at 3 ticks, log signature at 1 tick"
    assert "kernels that failed" not in summary_rows(fanned.drop_vars("kernel_failed"))


def test_the_heat_map_has_a_cell_for_each_kernel_and_horizon(fanned):
    data = plots.horizon_weights_data(fanned)
    assert data.attrs["tick"] == LAST
    wide = data.pivot(index="horizon", columns="kernel", values="weight")
    last = fanned["horizon_weight"].isel(time=-1)
    for name in fanned["kernel"].values:
        np.testing.assert_array_equal(wide[str(name)], last.sel(kernel=name))
    earlier = plots.horizon_weights_data(fanned, at="2026-02-21 10:10")
    assert earlier.attrs["tick"] == "2026-02-21 10:00:00"
    np.testing.assert_array_equal(earlier["weight"], fanned["horizon_weight"].values[1].ravel())
    for theme in ("light", "dark"):
        page = render(plots.horizon_weights(fanned, theme=theme))
        assert LAST in page and "log signature" in page


def test_of_one_horizon_the_weights_are_drawn_over_the_run(fanned):
    data = plots.horizon_weights_data(fanned, horizon=24)
    np.testing.assert_array_equal(data["hilbert"], fanned["horizon_weight"].sel(horizon=24, kernel="hilbert"))
    assert "Weights of the kernels, 24 ticks ahead" in render(plots.horizon_weights(fanned, horizon=24))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 5}, "horizon = 5 is none of the run's, 1, 2, 4"),
        ({"horizon": 4, "at": LAST}, "give one of them"),
        ({"at": "2020-01-01"}, "before the first tick"),
        ({"theme": "sepia"}, "'sepia'"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(fanned, options, message):
    with pytest.raises(DomainError, match=message):
        plots.horizon_weights(fanned, **options)


def test_a_run_of_before_there_were_horizons_says_so(run):
    with pytest.raises(DomainError, match="this run has no horizons"):
        plots.horizon_weights(run.drop_vars("horizon_weight"))

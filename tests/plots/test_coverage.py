"""Calibration as it is drawn: densities and moving shares by hand, bands, what is shaded, both themes."""

from __future__ import annotations

import numpy as np
import pytest

from uspnb import plots
from uspnb.errors import DomainError
from uspnb.plots.report_tables import summary_rows
from uspnb.predictor.scores import CalibrationWatch, binomial_band


@pytest.fixture
def uniform(run):
    run["pit"][:] = np.random.default_rng(3).random(run["pit"].shape)
    return run


def test_the_histogram_is_the_density_of_the_pit_with_the_band_of_chance(uniform):
    uniform["pit"][:5] = np.nan
    data = plots.pit_data(uniform, horizons=(1, 24))
    values = uniform["pit"].values[5:, 0]
    np.testing.assert_allclose(data["1"], [np.mean((values >= a) & (values < a + 0.1)) * 10 for a in data["left"]])
    assert data["24"].mean() == pytest.approx(1.0) and list(data.columns) == ["left", "right", "1", "24"]
    low, high = binomial_band(0.1, 995, 1)
    assert data.attrs["bands"]["1"] == (low * 10, high * 10)
    assert data.attrs["bands"]["24"][1] > high * 10  # errors that overlap tell less


def test_the_moving_coverage_is_the_share_of_the_newest_outcomes_inside(uniform):
    data = plots.coverage_data(uniform, horizons=1, level=0.8)
    inside = np.abs(uniform["pit"].values[:, 0] - 0.5) <= 0.4
    np.testing.assert_allclose(data["1"].to_numpy()[199:], [inside[t - 199 : t + 1].mean() for t in range(199, 1000)])
    assert data["1"][:199].isna().all()
    assert not data["lost"].any()
    assert plots.coverage_data(uniform).attrs["level"] == 0.95
    assert list(plots.coverage_data(uniform).columns) == ["time", "1", "4", "16", "48", "lost"]


def test_where_calibration_is_lost_the_figure_is_shaded_and_the_report_says_so(uniform):
    held = summary_rows(uniform)["calibration"]
    assert held == "held at every horizon"
    uniform["pit"][600:, 0] = np.where(uniform["pit"][600:, 0] < 0.5, 0.01, 0.99)
    data = plots.coverage_data(uniform, horizons=(1, 4))
    begins = 600 + int(np.flatnonzero(data["lost"].to_numpy()[600:])[0])
    assert 600 < begins < 630 and data["lost"][begins:].all()
    assert len(plots.coverage_plot(data)) == len(plots.coverage_plot(plots.coverage_data(uniform, horizons=(4, 8)))) + 1
    words = summary_rows(uniform)["calibration"]
    assert words == f"lost at the end 1 tick ahead, there for {(1000 - begins) / 1000:.1%} of the ticks"
    uniform["pit"][700:, 0] = np.random.default_rng(8).random(300)
    assert summary_rows(uniform)["calibration"].startswith("lost at times, not at the end, 1 tick ahead")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_figures_are_drawn_in_both_themes(uniform, theme):
    layout = plots.calibration(uniform, theme=theme)
    assert len(layout) == 2


def test_several_assets_and_bad_choices(run_of_several, run):
    assert len(plots.coverage_data(run_of_several, "south")) == 600
    for reason, options in {
        r"horizons = \(3,\) must be one to 4 of those of the run, 1, 2": {"horizons": (3,)},
        "horizons = .* must be one to 4": {"horizons": (1, 2, 4, 8, 16)},
        "level = 1.0 must lie between 0 and 1": {"level": 1.0},
    }.items():
        with pytest.raises(DomainError, match=reason):
            plots.calibration(run, **options)
    with pytest.raises(DomainError, match="no pit"):
        plots.calibration(run.drop_vars("pit"))
    assert "calibration" not in summary_rows(run.drop_vars("pit"))


def test_the_watch_goes_on_where_it_stopped():
    pit = np.random.default_rng(4).random((500, 2, 3)) ** 2
    whole, parts = CalibrationWatch((1, 4, 12), 2), CalibrationWatch((1, 4, 12), 2)
    everything = whole.follow(pit)
    np.testing.assert_array_equal(np.concatenate([parts.follow(pit[k : k + 7]) for k in range(0, 500, 7)]), everything)
    assert everything.any() and not everything.all()

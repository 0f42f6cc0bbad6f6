"""Figures of a campaign: their numbers without a screen, and drawing without a warning whatever became of trials."""

from __future__ import annotations

import warnings
from typing import Any

import campaign_dataset
import holoviews as hv
import numpy as np
import pytest
from bokeh.embed import file_html
from bokeh.models import FixedTicker, HoverTool, LogScale
from bokeh.resources import CDN

from uspnb import plots
from uspnb.errors import DomainError
from uspnb.plots.campaign_trials import parameter_axes, shown_range, trials_data

campaign = campaign_dataset.campaign
FIGURES = ("tuning_history", "tuning_importance", "tuning_parallel", "tuning_slice")


def drawn(figure) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return hv.render(figure, backend="bokeh")


def all_failed(trials: int = 6):
    ds = campaign(trials, tame=True)
    ds["state"].values[:], ds["value"].values[:], ds["best_value"].values[:] = "failed", np.nan, np.nan
    ds["importance"].values[:] = np.nan
    return ds


def test_the_history_is_that_of_the_trials():
    ds = campaign()
    data: Any = plots.tuning_history_data(ds)
    np.testing.assert_array_equal(data["value"], ds["value"])
    np.testing.assert_array_equal(data["best_value"], ds["best_value"])
    assert data["state"].value_counts().to_dict() == {"complete": 16, "pruned": 5, "failed": 3}
    assert data.attrs["best"] == ds.attrs["best_trial"] and data.attrs["default"] == 0
    part: Any = plots.tuning_history_data(ds.isel(trial=slice(5, None)))  # rows, not numbers of trials
    assert part["trial"].iloc[part.attrs["best"]] == ds.attrs["best_trial"] and part.attrs["default"] == -1


def test_the_history_draws_each_state_the_best_so_far_and_the_default():
    ds = campaign()
    figure = drawn(plots.tuning_history(ds))
    names = [item.label.value for item in figure.legend[0].items]
    assert names == ["default configuration", "best so far", "complete", "pruned", "failed", "best"]
    by_name = {item.label.value: item.renderers[0].data_source.data for item in figure.legend[0].items}
    default = float(ds["value"][0])
    assert by_name["default configuration"]["value"].tolist() == [default, default]
    assert by_name["best"]["value"].tolist() == [float(np.nanmin(ds["best_value"]))]
    assert all(figure.y_range.start < v < figure.y_range.end for v in by_name["failed"]["value"])
    assert by_name["failed"]["told3"][0].startswith("the losses are <not finite>")
    tools: list[Any] = [tool for tool in figure.tools if isinstance(tool, HoverTool)]
    answering = {part.name for tool in tools for part in tool.renderers}
    assert answering == {"complete", "pruned", "failed"}


def test_one_hopeless_trial_does_not_press_the_others_flat():
    ds = campaign(60, tame=True)
    ds["value"].values[30] = 1e9
    figure = drawn(plots.tuning_history(ds))
    assert figure.y_range.end < 2.0 and "1 above the range shown" in figure.title.text
    ds["value"].values[0] = 1e9
    assert "the default's 1e+09 among them" in drawn(plots.tuning_history(ds)).title.text
    assert shown_range(np.array([np.nan, np.inf])) == (0.0, 1.0) and shown_range(np.array([2.0]))[1] > 2.0


def test_importance_is_sorted_and_names_its_evaluator():
    ds = campaign()
    data: Any = plots.tuning_importance_data(ds)
    assert data["parameter"].tolist() == [
        "cusum_k", "kernel_ridge_lambda", "volatility_alpha", "log_sig_depth", "besov_cone_c",
    ]  # fmt: skip
    figure = drawn(plots.tuning_importance(ds))
    assert "PED-ANOVA" in figure.title.text and figure.y_range.factors[-1] == "cusum_k"
    failed = all_failed().assign_attrs(importance_note="no trial is complete", importance_evaluator="")
    assert drawn(plots.tuning_importance(failed)).title.text == "Importance is not known: no trial is complete"


def test_parallel_coordinates_place_each_parameter_in_its_range():
    ds = campaign()
    data: Any = plots.tuning_parallel_data(ds)
    names = [axis.name for axis in data.axes]
    assert names[:2] == ["cusum_k", "kernel_ridge_lambda"] and "seed" not in names and len(names) == 5
    rows = data.trials["trial"].to_numpy()
    assert data.trials["value"].is_monotonic_decreasing and rows[-1] == ds.attrs["best_trial"] and len(rows) == 16
    linear = (ds["param_cusum_k"].values[rows] - 0.1) / 0.9
    log = (np.log10(ds["param_kernel_ridge_lambda"].values[rows]) + 8) / 5
    np.testing.assert_allclose(data.places[:, 0], linear)
    np.testing.assert_allclose(data.places[:, 1], log)
    assert data.best[0] == float(ds["param_cusum_k"][ds.attrs["best_trial"]]) and data.default[0] == 0.5
    few: Any = plots.tuning_parallel_data(ds, most=4)
    assert few.trials["trial"].tolist() == rows[-4:].tolist() and few.complete == 16
    assert "the best 4 of 16" in drawn(plots.tuning_parallel_plot(few)).title.text


def test_the_ends_of_a_range_hold_what_lay_outside_them():
    ds = campaign()
    ds["param_cusum_k"].values[0] = 1.5
    (axis,) = (axis for axis in parameter_axes(ds) if axis.name == "cusum_k")
    assert axis.high == 1.5 and axis.place(axis.values)[0] == 1.0 and axis.place(np.array(np.nan)).shape == ()


def test_a_slice_has_the_values_against_the_settings():
    ds = campaign()
    data: Any = plots.tuning_slice_data(ds, "kernel_ridge_lambda")
    finite = np.isfinite(ds["value"].values)
    np.testing.assert_array_equal(data["setting"], ds["param_kernel_ridge_lambda"].values[finite])
    np.testing.assert_array_equal(data["value"], ds["value"].values[finite])
    assert data["trial"].iloc[data.attrs["best"]] == ds.attrs["best_trial"] and data["trial"].iloc[0] == 0
    figure = drawn(plots.tuning_slice(ds, "kernel_ridge_lambda"))
    assert isinstance(figure.x_scale, LogScale) and figure.xaxis.axis_label == "kernel_ridge_lambda"
    grid = drawn(plots.tuning_slice(ds, ["cusum_k", "seed"]))
    assert len(grid.children) == 2 and len(plots.tuning_slice(ds)) == 5


def test_choices_are_drawn_by_their_labels():
    ds = campaign()
    ds["param_way"] = ("trial", np.array(["up", "down", ""] * 8))
    ways = ds.assign_coords(parameter=[*ds["parameter"].values[:-1], "way"])
    data: Any = plots.tuning_slice_data(ways, "way")
    axis = data.attrs["axis"]
    assert axis.labels == ("down", "up") and [axis.text(v) for v in data["setting"][:2]] == ["up", "down"]
    figure = drawn(plots.tuning_slice(ways, "way"))
    assert isinstance(figure.xaxis.ticker, FixedTicker) and set(figure.xaxis.major_label_overrides.values()) == {
        "down", "up",
    }  # fmt: skip
    drawn(plots.tuning_parallel(ways))


@pytest.mark.parametrize(("name", "theme"), list(zip(FIGURES, ("light", "dark") * 2, strict=True)))
def test_each_figure_takes_the_theme_and_tells_by_hover(name, theme):
    figure = drawn(getattr(plots, name)(campaign(), theme=theme))
    parts = [part for part, *_ in figure.children] if hasattr(figure, "children") else [figure]
    assert {part.background_fill_color for part in parts} == {{"light": "#ffffff", "dark": "#15181c"}[theme]}
    assert any(isinstance(tool, HoverTool) for part in parts for tool in part.tools)
    assert "<script" in file_html(figure, CDN, title="figure")


HARD = {
    "no trial": lambda: campaign(2, tame=True).isel(trial=slice(0, 0)),
    "one trial": lambda: campaign(1, tame=True),
    "all failed": all_failed,
    "one complete": lambda: all_failed().pipe(with_one_complete),
    "awkward names": lambda: with_awkward_names(campaign(8, tame=True)),
    "one parameter, equal values": lambda: (
        campaign(8, tame=True).isel(parameter=[0]).assign(value=("trial", np.full(8, 0.5)))
    ),
}


def with_awkward_names(ds):
    """Parameters that are called like columns of our own tables."""
    others = dict(
        zip(ds["parameter"].values.tolist(), ("value", "trial", "setting", "reason", "log", "x"), strict=True)
    )
    ds = ds.rename({f"param_{old}": f"param_{new}" for old, new in others.items()})
    return ds.assign_coords(parameter=list(others.values())).assign_attrs(metric="value")


def with_one_complete(ds):
    ds["state"].values[3], ds["value"].values[3], ds["best_value"].values[3:] = "complete", 0.8, 0.8
    return ds


@pytest.mark.parametrize("case", HARD)
def test_whatever_became_of_the_trials_is_drawn(case):
    ds = HARD[case]()
    for name in FIGURES:
        drawn(getattr(plots, name)(ds))


def test_a_thousand_trials_of_many_parameters_stay_small():
    rng = np.random.default_rng(1)
    ds = campaign(1000)
    names = [f"parameter_{i}" for i in range(35)]
    ds = ds.drop_dims("parameter").assign({f"param_{name}": ("trial", rng.random(1000)) for name in names})
    ds = ds.assign_coords(parameter=names).assign(importance=("parameter", rng.dirichlet(np.ones(35))))
    ds = ds.assign(low=("parameter", np.zeros(35)), high=("parameter", np.ones(35)))
    figures = [drawn(getattr(plots, name)(ds)) for name in FIGURES]
    assert len(figures[3].children) == 6
    assert max(len(file_html(figure, CDN, title="figure")) for figure in figures) < 2_000_000


def test_the_best_against_the_default(run):
    worse = run.copy(deep=True)
    for name in ("prediction", "lower", "upper"):
        worse[name] = worse[name] + 1.0
    data: Any = plots.best_against_default_data(run, worse)
    y, forecast = run["observation"].values, run["prediction"].values
    expected = np.nan_to_num((y - forecast) ** 2 - (y - forecast - 1.0) ** 2).cumsum()
    np.testing.assert_allclose(data["squared_difference"], expected, atol=1e-9)
    grid = drawn(plots.best_against_default(run, worse, "dark"))
    upper, lower = (part for part, *_ in grid.children)
    assert upper.x_range.id == lower.x_range.id and upper.y_range.id != lower.y_range.id
    assert upper.y_range.end < 1.5 * float(np.nanmax(run["upper"])) and lower.y_range.start < expected.min()
    names = [item.label.value for item in upper.legend[0].items]
    assert names == ["interval of tuned", "interval of default", "observation", "tuned", "default"]


def test_what_is_no_campaign_and_who_is_unknown_are_refused(run):
    for name in FIGURES:
        with pytest.raises(DomainError, match="pass the `results` of an optimizer"):
            getattr(plots, name)(run)
        with pytest.raises(DomainError, match="'sepia' is not one of"):
            getattr(plots, name)(campaign(), theme="sepia")
    with pytest.raises(DomainError, match="there is no parameter 'cusum_h'; the parameters are besov_cone_c, "):
        plots.tuning_slice(campaign(), "cusum_h")
    with pytest.raises(DomainError, match="'east' was named"):
        plots.best_against_default(run, run, asset="east")
    with pytest.raises(DomainError, match="no tick in common"):
        plots.best_against_default(run.isel(time=slice(0, 9)), run.isel(time=slice(20, 30)))
    with pytest.raises(DomainError, match="no variable 'reason'"):
        trials_data(campaign().drop_vars("reason"))

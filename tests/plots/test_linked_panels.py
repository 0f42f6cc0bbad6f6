"""Tooltips of every panel and the selection that all panels share: their numbers, and what the browser is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import pytest
from bokeh.embed import components
from bokeh.models import BoxSelectTool, Div, HoverTool
from walks import random_walk

from uspnb import plots
from uspnb.data.series import read_series
from uspnb.errors import DomainError
from uspnb.plots.drawing import hover_rows, with_ends


@pytest.fixture
def long_run(make_run):
    values = random_walk(9000, 3)
    return make_run(read_series(pd.Series(values, index=pd.date_range("2026-01-01", periods=9000, freq="h", tz="UTC"))))


def hovered(figure: Any) -> Any:
    """The source behind the one tooltip of a panel."""
    tools = [tool for tool in figure.tools if isinstance(tool, HoverTool)]
    assert len(tools) == 1 and tools[0].mode == "vline" and len(tools[0].renderers) == 1
    renderer: Any = tools[0].renderers[0]
    return renderer.data_source.data


def panels(layout: Any) -> list[Any]:
    return [part for part, *_ in layout.children[1].children]


def test_every_panel_tells_real_ticks_of_a_thinned_run(long_run):
    tooltips = [hovered(part) for part in panels(plots.linked(long_run).bokeh())]
    for data in tooltips:
        rows = np.searchsorted(long_run["time"].values, data["time"])
        np.testing.assert_array_equal(long_run["time"].values[rows], data["time"])
        assert len(rows) <= 1502 + 2 and data["when"][-1] == "2027-01-10 23:00:00"
    forecast, weights, holder, charts = tooltips
    rows = np.searchsorted(long_run["time"].values, forecast["time"])
    assert {400, 700} <= set(rows.tolist())  # alarms are always among them
    assert forecast["told0"] == [f"{v:.5g}" for v in long_run["observation"].values[rows]]
    at = rows.tolist().index(400)
    assert forecast["told3"][at] == "yes, change began 2026-01-17 04:00:00" and forecast["told3"][at + 1] == "no"
    at_weights = np.searchsorted(long_run["time"].values, weights["time"])
    assert weights["told2"] == [f"{v:.1%}" for v in long_run["weight"].values[at_weights, 2]]
    assert holder["told0"][0] == "not known" and "yes" in holder["told2"]
    assert charts["told1"][0].endswith(" of its threshold")


def test_units_and_holes_in_tooltips(run):
    run["observation"].attrs["units"] = "<b>K"
    data = hovered(panels(plots.linked(run).bokeh())[0])
    assert data["told0"][50] == "not known" and data["told0"][51].endswith(" <b>K")
    assert np.isfinite(data["value"]).all()  # a tooltip has somewhere to point even where nothing was observed
    assert with_ends([1.0, np.nan], [2.0, 3.0], "K") == ["1 to 2 K", "not known"]


def test_rows_that_answer_to_the_pointer():
    keep = np.zeros(100_000, bool)
    keep[[7, 99_998]] = True
    rows = hover_rows(len(keep), keep, most=1000)
    assert {0, 7, 99_998, 99_999} <= set(rows.tolist()) and len(rows) <= 1003
    assert len(hover_rows(len(keep), np.ones(len(keep), bool), most=1000)) <= 2001
    np.testing.assert_array_equal(hover_rows(3, np.zeros(3, bool)), [0, 1, 2])


def test_the_sums_of_a_selection(run):
    data: Any = plots.selection_data(run)
    y, f = run["observation"].values, run["prediction"].values
    inside = slice(390, 720)
    text = plots.selection_text(data, run["time"].values[390], run["time"].values[719])
    rmse = np.sqrt(np.mean((y - f)[inside] ** 2))
    covered = np.mean(np.abs(y - f)[inside] <= 2.0)
    assert text == (
        f"Selection, 2026-03-01 12:30:00 to 2026-03-08 09:00:00: 330 ticks; RMSE {rmse:.5g}; "
        f"{covered:.1%} inside the 95% interval; 2 alarms."
    )
    assert plots.selection_text(data).startswith("Whole run: 1,000 ticks; RMSE ")
    scored = int(np.isfinite(y - f).sum())
    assert int(data["errors"].sum()) == int(data["judged"].sum()) == scored < 1000
    far = pd.Timestamp("2030-01-01").to_datetime64()
    assert plots.selection_text(data, far, far) == "Selection: no tick lies in it."


def test_bins_keep_the_sums_and_extreme_values_stay_finite(run):
    exact, binned = plots.selection_data(run), plots.selection_data(run, most=90)
    assert len(binned) == 84 and not binned.attrs["exact"] and exact.attrs["exact"]
    assert plots.selection_text(binned) == plots.selection_text(exact)
    for name in ("observation", "prediction", "lower", "upper"):
        run[name] = run[name] * 1e300
    huge: Any = plots.selection_data(run)
    assert (
        np.isfinite(huge["squared"]).all()
        and "RMSE 1." in plots.selection_text(huge)
        and "e+300" in (plots.selection_text(huge))
    )


def test_one_selection_moves_the_boxes_of_all_panels(run):
    layout = plots.linked(run, "dark").bokeh()
    figures = panels(layout)
    assert len(figures) == 4 and len({part.x_range.id for part in figures}) == 1
    scripts = {part.js_event_callbacks["selectiongeometry"][0].id for part in figures}
    assert len(scripts) == 1  # the same script, hence the same boxes, whichever panel the box is drawn in
    script = figures[0].js_event_callbacks["selectiongeometry"][0]
    strip: Any = layout.children[2]
    for boxes in (script.args["before"], script.args["after"]):
        assert [box.id for part in [*figures, strip] for box in part.center if box in boxes] == [b.id for b in boxes]
        assert len(boxes) == 5 and not any(box.visible for box in boxes)
        assert {box.fill_color for box in boxes} == {"#15181c"}
    for part in figures:
        assert isinstance(part.toolbar.active_drag, BoxSelectTool) and part.toolbar.active_drag.dimensions == "width"
        assert {"doubletap", "reset"} <= set(part.js_event_callbacks)
    assert strip.js_event_callbacks["selectiongeometry"][0].args["shown"] is figures[0].x_range
    about: Any = layout.select_one({"type": Div})
    assert about.tags[0]["whole"] == plots.selection_text(plots.selection_data(run))
    ticks: Any = script.args["ticks"]
    assert ticks.data["alarms"].dtype == np.uint8


def test_it_is_made_anew_for_every_document_and_shows_in_panel(run):
    figure = plots.linked(run)
    for _ in range(2):
        script, place = components(figure.bokeh())
        assert "selectiongeometry" in script and place
    shown: Any = pn.Column(figure)[0]
    assert isinstance(shown, pn.pane.Bokeh)
    assert plots.linked(run.assign_coords(time=np.arange(1000))).data["time"].dtype.kind == "i"


def test_bad_arguments_are_refused(run):
    with pytest.raises(DomainError, match="'sepia'"):
        plots.linked(run, "sepia")
    with pytest.raises(DomainError, match="'north' was named"):
        plots.linked(run, asset="north")


def test_a_window_from_the_middle_of_a_run_names_no_wrong_onset(run):
    window = run.isel(time=slice(300, 1000))
    data: Any = plots.forecast_data(window)
    assert data["alarm"].sum() == 2 and data["onset_time"].isna().all()
    assert "bokeh" in str(type(plots.linked(window).bokeh())).lower()

"""The table of a fleet without a browser: what it sends, what it takes, what it refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from uspnb.engine.fleet import Fleet
from uspnb.engine.session.view_columns import VIEW_COLUMNS
from uspnb.errors import DomainError
from uspnb.widgets.apps.fleet_demo import demo_table
from uspnb.widgets.apps.fleet_source import open_fleet, read_table
from uspnb.widgets.asset_session import AssetSession
from uspnb.widgets.fleet_link import FleetLink, meta_of


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    y = np.random.default_rng(8).standard_normal((80, 3)).cumsum(axis=0)
    with Fleet(pd.DataFrame(y, columns=["a", "b", "c"])) as made:
        made.step(30)
        made.wait(timeout=240.0)
        yield made


def linked(fleet: Fleet) -> tuple[FleetLink, list[tuple[str, object]]]:
    posted: list[tuple[str, object]] = []
    link = FleetLink(fleet, lambda name, value: posted.append((name, value)))
    return link, posted


def test_hello_is_answered_with_status_and_a_frame(fleet: Fleet) -> None:
    link, posted = linked(fleet)
    link.receive("hello", {"client": "page", "id": 1})
    assert [name for name, _ in posted] == ["status", "frame"]
    link.receive("acknowledged", 1)
    assert link.stream.in_flight == 0
    link.close()


def test_commands_that_were_merged_are_all_carried_out_once(fleet: Fleet) -> None:
    link, _ = linked(fleet)
    first, second = {"name": "step", "value": 2, "id": 1}, {"name": "step", "value": 3, "id": 2}
    link.receive("command", {**second, "recent": [first, second]})
    link.receive("command", {**second, "recent": [first, second]})
    assert fleet.wait(timeout=30.0).ticks == 35
    link.close()


def test_a_refused_command_is_told_in_the_status(fleet: Fleet) -> None:
    link, posted = linked(fleet)
    link.receive("command", {"name": "fly", "value": None, "id": 1})
    status = [value for name, value in posted if name == "status"][-1]
    assert isinstance(status, dict) and "no command 'fly'" in status["message"]
    link.close()


def test_a_chosen_row_is_its_asset_and_escape_is_none(fleet: Fleet) -> None:
    link, _ = linked(fleet)
    chosen: list[object] = []
    link.on_chosen(chosen.append)
    for place in (1, -1, 7):
        link.receive("chosen", {"place": place, "id": 1})
    assert chosen == ["b", None]
    link.close()


def test_news_are_pushed_while_it_runs(fleet: Fleet) -> None:
    link, posted = linked(fleet)
    link.start()
    link.receive("hello", {"client": "page", "id": 1})
    link.receive("acknowledged", 1)
    fleet.step(5)
    fleet.wait(timeout=30.0)
    deadline = time.monotonic() + 5.0
    while [name for name, _ in posted].count("frame") < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [name for name, _ in posted].count("frame") >= 2
    link.close()


def test_meta_is_plain(fleet: Fleet) -> None:
    meta = meta_of(fleet)
    assert meta["assets"] == ["a", "b", "c"] and meta["kernels"][0] == "hilbert"


def test_one_asset_gives_the_columns_of_a_live_view(fleet: Fleet) -> None:
    session = AssetSession(fleet.open("b"))
    first, rows = session.view_rows(0, 100)
    assert first == 0 and rows.shape == (30, len(VIEW_COLUMNS))
    window = fleet.window("b")
    columns = dict(zip(VIEW_COLUMNS, rows.T, strict=True))
    for name in ("observation", "prediction", "lower", "upper", "holder_exponent"):
        np.testing.assert_array_equal(columns[name], window[name])
    np.testing.assert_array_equal(columns["weight_ito_levy"], window["weight"].sel(kernel="ito_levy"))
    np.testing.assert_array_equal(columns["tick"], np.arange(30))
    assert np.isfinite(columns["reason"]).all() and set(columns["reason"]) <= set(map(float, session.reasons))


def test_the_pane_and_the_widget_share_traits(fleet: Fleet) -> None:
    from uspnb.widgets.fleet_pane import FleetPane
    from uspnb.widgets.fleet_view import FleetView

    pane, widget = FleetPane(fleet), FleetView(fleet)
    for name in ("frame", "status", "meta", "opened", "acknowledged", "hello", "command", "chosen", "table_height"):
        assert name in pane.param and widget.has_trait(name)
    pane.mark_open("c")
    widget.mark_open("c")
    assert pane.opened == widget.opened == {"place": 2}
    for made in (FleetPane, FleetView):
        with pytest.raises(DomainError):
            made(3)  # type: ignore[arg-type]
        with pytest.raises(DomainError):
            made(fleet, height=10)
    pane.close()
    widget.close()


def test_the_demonstration_has_the_columns_that_it_promises() -> None:
    pytest.importorskip("bokeh_sampledata")
    table = demo_table(60, 120)
    assert table.shape == (120, 60) and table.columns.is_unique
    kinds = {str(name).split()[0] for name in table.columns}
    assert kinds == {"AAPL", "IBM", "MSFT", "GOOG", "sea", "glucose", "process"}
    for assets, ticks in ((5, 100), (50, 10), (50, 5000)):
        with pytest.raises(DomainError):
            demo_table(assets, ticks)


def test_tables_are_read_from_files_and_bad_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    frame = pd.DataFrame({"day": pd.date_range("2026-01-01", periods=4), "x": [1.0, 2, 3, 4], "y": [4.0, 3, 2, 1]})
    frame.to_csv(path, index=False)
    fleet, about = open_fleet(str(path), None)
    assert fleet.assets == ("x", "y") and fleet.has_times and "prices.csv" in about
    fleet.close()
    for name, text in {
        "text.csv": "day,x\n2026-01-01,one\n2026-01-02,two\n",
        "none.csv": "",
        "words.csv": "what,x\nred,1\nblue,2\n",
        "only.csv": "day\n2026-01-01\n2026-01-02\n",
        "empty.csv": "day,x\n",
    }.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DomainError):
            open_fleet(tmp_path / name, None)
    with pytest.raises(DomainError, match="no file"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(DomainError, match="is no table"):
        read_table(tmp_path / "table.xlsx")

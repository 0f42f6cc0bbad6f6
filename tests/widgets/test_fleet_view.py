"""The table of a fleet without a browser: what it sends, what it takes, what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from default_columns import SUMMARY_COLUMNS, VIEW_COLUMNS
from stand_ins import Posts
from walks import random_walk

from uspnb.engine.fleet import Fleet
from uspnb.engine.fleet.tables import SPARK_COLUMNS
from uspnb.errors import DomainError
from uspnb.widgets import FleetPane, FleetView
from uspnb.widgets.apps.choices import demo_table, open_fleet, read_table
from uspnb.widgets.fleet_link import HEADER_LENGTH, SPARK_TICKS, FleetLink


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    y = random_walk((180, 3), 8)
    with Fleet(pd.DataFrame(y, columns=["a", "b", "c"])) as opened:
        opened.step(30)
        opened.wait()
        yield opened


@pytest.fixture
def linked(fleet: Fleet) -> Iterator[tuple[Fleet, FleetLink, Posts]]:
    posts = Posts()
    link = FleetLink(fleet, posts)
    link.start()
    yield fleet, link, posts
    link.close()


def parts(frame: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Header, summaries and sparks."""
    values = np.frombuffer(frame, "<f8")
    head = values[:HEADER_LENGTH]
    count, assets = int(head[3]), int(head[4])
    edge = HEADER_LENGTH + assets * len(SUMMARY_COLUMNS)
    summary = values[HEADER_LENGTH:edge].reshape(assets, len(SUMMARY_COLUMNS))
    return head, summary, values[edge:].reshape(count, assets, len(SPARK_COLUMNS))


def greet(link: FleetLink) -> None:
    link.receive("hello", {"client": "page", "id": 1})


def test_a_frame_holds_the_last_ticks_and_the_present_state(linked) -> None:
    fleet, link, posts = linked
    greet(link)
    head, summary, sparks = parts(posts.last("frame"))
    assert head[:5].tolist() == [1.0, 1.0, 0.0, 30.0, 3.0] and head[6] == 30.0
    np.testing.assert_array_equal(sparks[:, 1, 0], fleet.window("b")["observation"])
    np.testing.assert_array_equal(sparks[:, 1, 1], fleet.window("b")["prediction"])
    row = fleet.table().loc["c"]
    names = dict(zip(SUMMARY_COLUMNS, summary[2], strict=True))
    assert (names["value"], names["forecast"], names["skill"]) == (row["value"], row["forecast"], row["skill"])
    link.receive("acknowledged", 1)
    fleet.step(2)
    posts.until("frame", lambda frame: parts(frame)[0][6] > 30)
    head, _, sparks = parts(posts.of("frame")[1])
    assert head[1:3].tolist() == [0.0, 30.0] and len(sparks) == head[3] >= 1


def test_a_front_end_too_far_behind_is_given_the_newest_window(linked) -> None:
    fleet, link, posts = linked
    greet(link)
    fleet.step(1)
    posts.until("frame", lambda frame: parts(frame)[0][6] == 31)  # both credits are out
    fleet.step(120)
    fleet.wait()
    link.receive("acknowledged", 2)
    head, _, sparks = parts(posts.last("frame"))
    assert head[1] == 1.0 and len(sparks) == SPARK_TICKS and head[6] == fleet.status.ticks


def test_the_view_shows_where_the_fleet_rests_after_a_step(linked) -> None:
    """The last of several changes within a tenth of a second used to be lost."""
    fleet, link, posts = linked
    greet(link)
    for ticks in (5, 7, 3):
        fleet.step(ticks)
        rest = fleet.wait()
        at_rest = (rest.phase, rest.ticks)
        posts.until("status", lambda status, at_rest=at_rest: (status["phase"], status["ticks"]) == at_rest)


def test_a_refused_command_stands_in_the_message(linked) -> None:
    _, link, posts = linked
    link.receive("command", {"client": "page", "name": "fly", "value": None, "id": 1})
    assert "unknown command 'fly'" in posts.last("status")["message"]


def test_a_chosen_row_is_its_asset_and_escape_is_none(linked) -> None:
    _, link, posts = linked
    chosen: list[object] = []
    link.hooks.append(chosen.append)
    for place in (1, -1, 7):
        link.receive("chosen", {"place": place, "id": 1})
    assert chosen == ["b", None]
    assert "place = 7" in posts.last("status")["notice"]["text"]


def test_meta_is_plain(linked) -> None:
    _, link, _ = linked
    assert link.meta["assets"] == ["a", "b", "c"]
    assert link.meta["kernels"][0] == {
        "name": "hilbert",
        "label": "hilbert",
        "colour": "#2f86c8",
    }


def test_one_asset_gives_the_columns_of_a_live_view(fleet: Fleet) -> None:
    session = fleet.open("b")
    first, rows = session.view_rows(0, 100)
    assert first == 0 and rows.shape == (30, len(VIEW_COLUMNS))
    window = fleet.window("b")
    columns = dict(zip(VIEW_COLUMNS, rows.T, strict=True))
    for name in ("observation", "prediction", "lower", "upper", "holder_exponent"):
        np.testing.assert_array_equal(columns[name], window[name])
    np.testing.assert_array_equal(columns["weight_ito_levy"], window["weight"].sel(kernel="ito_levy"))
    np.testing.assert_array_equal(columns["tick"], np.arange(30))
    assert np.isfinite(columns["reason"]).all() and set(columns["reason"]) <= set(map(float, session.reasons))


@pytest.mark.parametrize("host", [FleetPane, FleetView])
def test_the_row_that_is_open_is_marked(fleet: Fleet, host: Any) -> None:
    view = host(fleet)
    view.mark_open("c")
    assert view.opened == {"place": 2}
    view.close()


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

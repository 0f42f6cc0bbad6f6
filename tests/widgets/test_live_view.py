"""The live view without a browser: what it sends, when, and what it does with what comes back."""

from __future__ import annotations

import re
import threading
from typing import Any

import comm
import numpy as np
import pytest
from default_columns import VIEW_COLUMNS
from stand_ins import Posts, StandInSession
from waiting import until

import uspnb
from uspnb.model.kernels.registry import KERNEL_NAMES, kernel_colour
from uspnb.plots.style import THEMES
from uspnb.widgets import LivePane, LiveView, front_end
from uspnb.widgets.live_link import HEADER, LiveLink

WIDTH = len(VIEW_COLUMNS)


@pytest.fixture
def linked():
    session, posted = StandInSession(), Posts()
    link = LiveLink(session, posted, rows=1_000)  # type: ignore[arg-type]
    link.start()
    yield session, posted, link
    link.close()


def first_ticks(frames: list[bytes]) -> list[int]:
    return [int(np.frombuffer(frame, "<f8")[HEADER.index("first_tick")]) for frame in frames]


# -- the module ---------------------------------------------------------------------------------------------------


def test_the_module_reads_only_columns_that_are_sent() -> None:
    read = re.findall(r"""(?:\.at|\.column)\(\s*"(\w+)\"""", front_end.bundle("live"))
    assert len(set(read)) > 10
    assert set(read) <= set(VIEW_COLUMNS)
    prefixes = set(re.findall(r"`(\w+_)\$\{name\}`", front_end.bundle("live")))
    assert prefixes and all(any(column.startswith(prefix) for column in VIEW_COLUMNS) for prefix in prefixes)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_colours_are_those_of_the_plots_and_can_be_read(theme: str) -> None:
    block = re.search(rf"\b{theme}:\{{(.*?)\}}", front_end.bundle("live"))
    assert block
    colours = dict(re.findall(r"(\w+):\"(#[0-9a-f]{6})\"", block[1]))
    assert {name: colours[name] for name in THEMES[theme]} == THEMES[theme]
    for name in ("text", "muted"):
        assert contrast(colours[name], colours["background"]) >= 4.5
    for name in ("observed", "forecast", "alarm"):
        assert contrast(colours[name], colours["background"]) >= 3.0, name
    ink = re.search(r"INK_ON_COLOUR=\"(#\w+)\"", front_end.bundle("live"))
    assert ink
    for kernel in KERNEL_NAMES:
        assert contrast(ink[1], kernel_colour(kernel)) >= 4.5


def test_the_style_sheet_has_the_same_grounds() -> None:
    for theme in THEMES.values():
        for name in ("background", "text", "muted"):
            assert f"--{name}: {theme[name]}" in front_end.style("live_view")


# -- the link -----------------------------------------------------------------------------------------------------


def test_new_meta_is_told_when_the_series_changes(linked) -> None:
    session, posted, _ = linked
    session.values["phase"], session.title, session.has_times = "running", "other", False
    session.publish()
    assert posted.of("meta")[-1]["title"] == "other" and not posted.of("meta")[-1]["has_times"]
    assert [name for name, _ in posted.all] == ["meta", "status"]


def test_export_and_snapshot_belong_to_the_host(linked) -> None:
    session, posted, link = linked
    link.receive("command", {"name": "snapshot", "value": None, "id": 1, "client": "a"})
    assert "mark 1" in posted.of("status")[-1]["notice"]["text"]
    link.receive("command", {"name": "export", "value": None, "id": 2, "client": "a"})
    assert "session.export" in posted.of("status")[-1]["notice"]["text"]
    commands: list[Any] = []
    link.hooks.append(lambda name, value: commands.append((name, value)) or f"{name} done")
    link.receive("command", {"name": "export", "value": ".nc", "id": 3, "client": "a"})
    assert commands == [("export", ".nc")] and session.commands == []
    assert posted.of("status")[-1]["notice"]["text"] == "export done"


def test_an_older_window_comes_from_a_thread_of_its_own(linked) -> None:
    session, posted, link = linked
    session.rows_ready = 5_000
    link.receive("hello", {"client": "a", "id": 1})
    threads: list[str] = []
    session.past_view_rows = lambda first, stop: (
        threads.append(threading.current_thread().name),
        session.view_rows(first, stop),
    )[1]
    link.receive("window", {"first": 300, "id": 1})
    until(lambda: len(posted.of("frame")) == 2)
    assert first_ticks(posted.of("frame")) == [4_000, 300]
    assert threads == ["uspnb-older-ticks"]


# -- the two hosts ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session():
    with uspnb.Session(np.sin(np.arange(400) / 9.0) + 0.01 * np.cos(np.arange(400.0) ** 2), name="wave") as opened:
        opened.step(60)
        opened.wait(until=60)
        yield opened


def test_a_notebook_view_sends_the_sessions_own_rows(session, monkeypatch) -> None:
    sent: list[bytes] = []

    def publish(self, msg_type, data=None, metadata=None, buffers=None, **keys) -> None:
        if data and data.get("method") == "update" and data["buffer_paths"] == [["frame"]]:
            sent.extend(buffers or [])

    monkeypatch.setattr(comm.DummyComm, "publish_msg", publish)
    view = LiveView(session)
    view.set_state({"hello": {"client": "a", "id": 1}})
    until(lambda: sent)
    rows = np.frombuffer(sent[0], "<f8")[len(HEADER) :].reshape(-1, WIDTH)
    np.testing.assert_array_equal(rows, session.view_rows(0, 60)[1])
    view.set_state({"command": {"name": "step", "value": 5, "id": 1, "client": "a"}})
    session.wait()
    until(lambda: 60 in first_ticks(sent))
    view.jump(12)
    assert view.target["tick"] == 12
    view.close()
    assert session.status.phase != "closed"


def test_the_height_of_a_page_view_leaves_that_of_its_box_alone(session) -> None:
    pane = LivePane(session, height=500)
    assert (pane.canvas_height, pane.height, pane._debounce) == (500, None, 0)
    pane.close()


def test_names_load_on_first_use_and_others_do_not_exist() -> None:
    import uspnb.widgets as widgets

    assert {"LiveView", "LivePane", "Controls", "Workbench", "show"} <= set(dir(widgets))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        widgets.Nothing  # noqa: B018

"""Badges, progress, alarm rows and speeds: the controls' parts in words."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from waiting import PATIENCE_S

from uspnb.widgets.link import Throttle
from uspnb.widgets.transport import (
    HEALTH,
    LADDER,
    MODES,
    PHASES,
    ROWS,
    AlarmTable,
    Badges,
    badges_html,
    progress_text,
    rung,
)


def status(**changed: Any) -> Any:
    """What a session says, with some of it changed."""
    plain = dict(
        phase="running", message="", ticks=1200, total=3000, waiting=0, speed=None, rate=480.4, alarms=3, rejected=2,
        mode="inference", health="ok", error=None,
    )  # fmt: skip
    return SimpleNamespace(**(plain | changed))


def test_every_word_a_session_uses_has_a_badge():
    from uspnb.engine.status import HEALTHS
    from uspnb.engine.status import PHASES as phases
    from uspnb.model.records import OperatingMode

    assert set(PHASES) == set(phases)
    assert set(HEALTH) == set(HEALTHS)
    assert set(MODES) == set(OperatingMode.NAMES)


def test_badges_say_in_words_what_they_colour():
    html = badges_html(status(phase="paused", mode="diagnostic", health="emergency"))
    for word in ("paused", "diagnostic", "emergency"):
        assert f"<b>{word}</b>" in html


def test_badges_escape_what_a_source_says():
    shown = Badges()
    shown.refresh(status(error="line <script>alert(1)</script> is no number"))
    assert "<script>" not in shown.message.value and 'role="alert"' in shown.message.value
    shown.refresh(status())
    assert shown.message.layout.display == "none"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "tick 1,200 of 3,000, 480 ticks a second, 3 alarms, 2 refused"),
        ({"phase": "paused", "alarms": 1}, "tick 1,200 of 3,000, 1 alarm, 2 refused"),
        ({"total": None, "rate": 0.5, "waiting": 7}, "tick 1,200, 0.5 ticks a second, 7 waiting, 3 alarms, 2 refused"),
    ],
)
def test_progress_in_words(changed, text):
    assert progress_text(status(**changed)) == text


def alarms(count: int) -> pd.DataFrame:
    ticks = 100 * np.arange(1, count + 1)
    return pd.DataFrame(
        {
            "tick": ticks,
            "time": pd.date_range("2026-01-05", periods=count, freq="h"),
            "chart": ["mean", "level_release"] * (count // 2) + ["scale"] * (count % 2),
            "onset_tick": np.where(ticks == 100, np.nan, ticks - 7.0),
        }
    )


def test_alarm_rows_are_buttons_that_jump():
    jumps: list[int] = []
    table = AlarmTable(jumps.append)
    table.refresh(alarms(3))
    assert table.ticks == (300, 200, 100)
    table.rows[1].click()
    assert jumps == [200]
    assert "level release" in table.rows[1].description and "began 193" in table.rows[1].tooltip
    assert "began" not in table.rows[2].tooltip
    assert [r.layout.display for r in table.rows] == [""] * 3 + ["none"] * (ROWS - 3)


def test_alarms_of_a_grid_show_no_time():
    table = AlarmTable(lambda tick: None, has_times=False)
    table.refresh(alarms(1).assign(time=[100]))
    assert "2026" not in table.rows[0].tooltip


def test_older_alarms_stay_in_sight_while_newer_ones_come():
    table = AlarmTable(lambda tick: None)
    table.refresh(alarms(14))
    assert table.newer.disabled and not table.older.disabled
    table.older.click()
    reading = table.ticks
    assert reading == (800, 700, 600, 500, 400, 300)
    table.refresh(alarms(16))
    assert table.ticks == reading
    table.refresh(alarms(2))
    assert table.ticks == (200, 100)
    table.refresh(alarms(0))
    assert table.ticks == () and "none yet" in table.head.value


def test_speeds_fall_on_the_nearest_rung():
    assert [rung(v) for v in (None, 1.0, 3.0, 450.0, 1e9, 1e-3)] == [math.inf, 1, 2, 500, LADDER[-1], LADDER[0]]


def test_a_throttle_calls_at_once_and_once_more_after_the_last_request():
    calls: list[float] = []
    done, now = threading.Event(), [0.0]

    def act() -> None:
        calls.append(now[0])
        if len(calls) == 2:
            done.set()

    throttle = Throttle(act, interval=0.05, clock=lambda: now[0])
    for _ in range(20):
        throttle()
    assert calls == [0.0]
    assert done.wait(PATIENCE_S)
    assert len(calls) == 2
    now[0] = 1.0
    throttle()
    assert calls == [0.0, 0.0, 1.0]
    throttle.close()
    now[0] = 2.0
    throttle()
    assert len(calls) == 3

"""A horizon that has lost its calibration is told: as an event, as a condition, and not as a reason to be unready."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

import uspnb
from uspnb.engine.outlets import Aftermath, Outlets
from uspnb.engine.service.service import Watch
from uspnb.engine.timeline import Timeline

SIZE = len(uspnb.PredictorConfig().horizons)


def aftermath(events: list[tuple[str, str]]) -> Aftermath:
    computation = SimpleNamespace(config=uspnb.PredictorConfig(), columns={"pit": slice(2, 2 + SIZE)})
    timeline: Any = object.__new__(Timeline)  # its type is checked; only these two are read
    timeline.computation, timeline.columns = computation, computation.columns
    return Aftermath(Outlets(), timeline, ("load",), "load", lambda kind, text: events.append((kind, text)))


def rows(pit: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((len(pit), 2)), pit, np.zeros((len(pit), 1))], axis=1)


def test_the_condition_names_the_horizons_comes_and_goes() -> None:
    events: list[tuple[str, str]] = []
    watched, rng = aftermath(events), np.random.default_rng(3)
    calibrated = rng.random((300, SIZE))
    watched.watch_calibration(rows(calibrated))
    assert watched.calibration is None and not events
    narrow = calibrated.copy()
    narrow[:, :2] = np.where(narrow[:, :2] < 0.5, 0.02, 0.98)
    for row in rows(narrow):
        watched.watch_calibration(row[None])
    assert watched.calibration is not None and watched.calibration.startswith("intervals 1, 2 ticks ahead do not hold")
    watched.watch_calibration(rows(calibrated))
    assert watched.calibration is None
    assert [kind for kind, _ in events] == ["calibration"] * len(events) and "again" in events[-1][1]
    watched.watch_calibration(rows(narrow))
    watched.forget_calibration()
    assert watched.calibration is None


def test_rows_without_a_pit_are_not_watched() -> None:
    events: list[tuple[str, str]] = []
    watched = aftermath(events)
    watched.watch_calibration(np.full((50, 3, 2 + SIZE), 0.99))  # a fleet's: one row for each asset
    assert watched.calibration is None and not events


def test_a_session_tells_it_and_forgets_it_where_it_goes_back() -> None:
    # the spread grows fourfold at once, and the intervals, set to be slow, follow over hundreds of ticks
    noise = np.random.default_rng(4).standard_normal(900)
    config = uspnb.PredictorConfig(interval_rate=0.0, score_scale_rate=0.001)
    with uspnb.Session(noise * np.where(np.arange(900) > 500, 4.0, 1.0), config) as session:
        session.step(545)
        session.wait(timeout=300)
        condition = session._only.conditions()["calibration"]
        assert condition is not None and condition.startswith("intervals 1")
        told = [event for event in session.events if event["kind"] == "calibration"]
        assert 500 < told[0]["tick"] <= 545 and told[-1]["text"] == condition
        session.seek(300)
        session.wait(timeout=300)
        assert session._only.conditions()["calibration"] is None


def test_a_service_whose_calibration_is_lost_is_ready_all_the_same() -> None:
    conditions = {"calibration": "load: intervals 1 tick ahead do not hold", "forecasts": None}
    watch: Any = SimpleNamespace(phase="running", conditions=lambda: conditions)
    assert Watch.ready(watch) == []
    conditions["forecasts"] = "forecasts of load are not finite"
    assert Watch.ready(watch) == ["forecasts: forecasts of load are not finite"]

"""A session's state in the words that a page shows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from uspnb.engine.session import Session

PHASES = {
    "new": "Ready",
    "starting": "Compiling",
    "running": "Running",
    "paused": "Paused",
    "finished": "Finished",
    "faulted": "Stopped by a fault",
    "closed": "Closed",
}
HEALTHS = {"ok": "Healthy", "doubtful": "Input doubtful", "emergency": "Emergency", "fault": "Fault"}
COMPILING = "Compiling the predictor. The first time takes some seconds; later starts are quick."
#: what the chooser of speeds offers: the value that comes back, and its text
SPEEDS = [
    *((str(float(v)), f"{v:,} ticks a second") for v in (1, 10, 30, 100, 300, 1_000, 3_000)),
    ("", "as fast as it can"),
]
MOST_ALARMS = 200
# The settings that a reader is most likely to move stand first; all others are folded away.
FIRST = (
    "cusum_target_arl",
    "cusum_k",
    "grace_period_steps",
    "score_forgetting",
    "volatility_alpha",
    "holder_threshold",
    "confidence_level",
)


def status_words(session: Session) -> dict[str, Any]:
    """The status as plain values, with the texts of its badges."""
    status = session.status.as_dict()
    status["phase_text"] = PHASES.get(status["phase"], status["phase"])
    status["mode_text"] = str(status["mode"]).replace("_", " ").capitalize()
    status["health_text"] = HEALTHS.get(status["health"], status["health"])
    # the browser's numbers: 100.0 there reads "100", so that the option of the speed is found by its number
    status["speed"] = None if status["speed"] is None else str(float(status["speed"]))
    if status["phase"] == "starting" and not status["message"]:
        status["message"] = COMPILING
    return status


def alarm_rows(session: Session) -> list[dict[str, Any]]:
    """The newest alarms, newest first."""
    table = session.alarms().tail(MOST_ALARMS).iloc[::-1]
    return [
        {
            "tick": int(row["tick"]),
            "time": moment(row["time"]),
            "chart": str(row["chart"]).replace("_", " "),
            "began": moment(row["onset_time" if session.has_times else "onset_tick"]),
        }
        for row in table.to_dict("records")
    ]


def moment(value: Any) -> str:
    """A time to the minute, seconds where it has some, or a tick's number."""
    if pd.isna(value):
        return "not known"
    if isinstance(value, (int, float, np.integer, np.floating)):
        return f"{value:,.0f}"
    stamp = pd.Timestamp(value)
    return stamp.strftime("%Y-%m-%d %H:%M:%S" if stamp.second else "%Y-%m-%d %H:%M")


def setting_rows(session: Session) -> list[dict[str, Any]]:
    """The settings as the sliders take them, the likely ones first and in their order."""
    rows = [dataclasses.asdict(setting) for setting in session.settings]
    for row in rows:
        row["first"] = row["name"] in FIRST
        for name in ("low", "high", "value", "default"):  # whole numbers beyond 2^53 are none in a browser
            row[name] = float(row[name]) if abs(row[name]) > 2**53 else row[name]
    return sorted(rows, key=lambda row: FIRST.index(row["name"]) if row["first"] else len(FIRST))

"""What a view draws of a tick: where values stand in a row, the columns of a frame, and why the weights stand so.

The reason of a tick is a code by one rule; the code picks a sentence, whose placeholders are filled from the tick's own
columns, here by `reason_text` and in the browser by the same few lines of JavaScript.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..array_types import Float, Int
from ..model.fields import CHART_NAMES, VIEW, VIEW_FIRST, VIEW_LAST, shown_fields
from ..model.kernels.registry import kernel_label, robust_place
from ..model.packing import Layout, row_columns

NANOSECONDS_PER_MILLISECOND = 1e6
VECTORS = ("weight", "target_weight")
REASONED = (
    *VECTORS, "not_finite", "out_of_order", "rejected", "imputed", "emergency", "alarm", "alarm_chart", "onset_ago",
    "stale", "sparse", "frozen", "degraded", "in_grace",
)  # fmt: skip

COLD, NOT_FINITE, OUTLIER, OUT_OF_ORDER, STALE, SPARSE, FROZEN, RECOVERING = range(8)
ALARM, EMERGENCY, GRACE, GRACE_HELD, MOVING, LEADS, EVEN, LEVEL_RELEASE, ALONE, STAND_IN, STAND_IN_OUTLIER = range(
    8, 19
)

SETTLED_WITHIN = 0.05
CLEAR_LEAD = 0.1
ALL_OF_IT = 0.999
SAME = 1e-6

PHRASES: dict[int, str] = {
    COLD: "There is no record yet, so the kernels share the forecast evenly.",
    NOT_FINITE: "The tick brought no number; it was refused and the weights stand still.",
    OUTLIER: "The tick lay too far out; it was refused and the weights stand still.",
    OUT_OF_ORDER: "The tick was earlier than the one before; it was refused and the weights stand still.",
    STALE: "The tick came too late to be trusted; the weights are held.",
    SPARSE: "The tick came after too long a pause; the weights are held.",
    FROZEN: "The signal stands still improbably long; the weights are held.",
    RECOVERING: "The input was doubtful a moment ago; the weights are held until enough clean ticks have come.",
    ALARM: "A change was signalled here by the {chart} chart; the weights start again from equal shares.",
    LEVEL_RELEASE: "Outliers in a row became the new level here; the weights start again from equal shares.",
    EMERGENCY: "The path has turned rougher than is usual for it; the emergency breaker gives all to {leader}.",
    GRACE: "A change was just signalled; coming back from equal shares, {leader} leads with {share}.",
    GRACE_HELD: "A change was just signalled; the weights stay at equal shares until the grace period is over.",
    MOVING: "Moving towards {target}, whose recent forecasts were better: its record asks for {target_share}, "
    "it has {target_has}.",
    LEADS: "{leader} leads with {share}, because its recent forecasts were the best; next is {runner_up} with "
    "{runner_share}.",
    EVEN: "No one is clearly ahead: {leader} has {share} and {runner_up} {runner_share}, their recent forecasts being "
    "about equally good.",
    ALONE: "{leader} is the only kernel; the forecast is its own.",
    STAND_IN: "The tick brought no number; the forecast takes its place and the weights stand still.",
    STAND_IN_OUTLIER: "The tick lay too far out; the forecast takes its place and the weights stand still.",
}


@functools.cache
def _places(layout: Layout) -> Int[np.ndarray, "column"]:
    """Where the columns that are fields stand in a row."""
    columns = row_columns(layout)
    return np.concatenate([np.arange(columns[n].start, columns[n].stop) for n in shown_fields(VIEW)])


def view_columns(
    rows: Float[np.ndarray, "tick width"],
    stamps_ns: Int[np.ndarray, "tick"],
    first_tick: int,
    layout: Layout,
    grid: bool,
) -> Float[np.ndarray, "tick column"]:
    """What a live view draws of some ticks in a row.

    Args:
        rows: packed results of the ticks.
        stamps_ns: when each was measured [ns since 1970 UTC].
        first_tick: index of the first of them.
        layout: of the rows.
        grid: no times were given, so the time column counts ticks; else it is milliseconds since 1970 UTC.

    Returns:
        One row per tick, columns as `fields.view_columns` names them for the configuration of the layout; the onset is
        NaN where there is no alarm.
    """
    places = _places(layout)
    if not len(rows):
        return np.empty((0, len(VIEW_FIRST) + len(places) + len(VIEW_LAST)))
    columns = row_columns(layout)
    t = SimpleNamespace(**{n: rows[:, columns[n] if n in VECTORS else columns[n].start] for n in REASONED})
    tick = first_tick + np.arange(len(rows), dtype=np.float64)
    onset = np.where(t.alarm > 0, np.maximum(tick - t.onset_ago, 0.0), np.nan)
    time = tick if grid else np.asarray(stamps_ns) / NANOSECONDS_PER_MILLISECOND
    parts = ([tick, time], rows[:, places].T, [onset, reason_codes(t, layout.kernels)])
    return np.concatenate(parts).T


def reason_codes(telemetry: Any, kernels: Sequence[str]) -> Int[np.ndarray, "tick"]:
    """Code of the reason at each tick.

    The order is that in which the orchestration decides: a refused tick changes nothing; then the emergency breaker,
    an alarm, doubtful input, the grace period; else the weights follow the track record, where there is a choice.

    Args:
        telemetry: the fields `REASONED` of `Telemetry` as arrays with a leading axis of ticks.
        kernels: names of the kernels in it.
    """
    t = telemetry
    weight, target = np.asarray(t.weight), np.asarray(t.target_weight)
    robust = robust_place(tuple(kernels))
    alone = np.full(weight.shape[:-1], len(kernels) == 1)
    all_to_robust = np.zeros(weight.shape[:-1], bool) if robust is None else weight[..., robust] > ALL_OF_IT
    with np.errstate(invalid="ignore"):
        uniform = np.ptp(weight, axis=-1) < SAME
        unknown = ~np.isfinite(target).all(axis=-1) | (np.ptp(target, axis=-1) < SAME)
        gap = np.max(target - weight, axis=-1)
        ordered = np.sort(weight, axis=-1)
        settled = np.where(ordered[..., -1] - ordered[..., :-1].max(-1, initial=0.0) > CLEAR_LEAD, LEADS, EVEN)
        cases = (
            (np.asarray(t.not_finite, bool) & np.asarray(t.imputed, bool), STAND_IN),
            (t.not_finite, NOT_FINITE),
            (t.out_of_order, OUT_OF_ORDER),
            (t.imputed, STAND_IN_OUTLIER),
            (t.rejected, OUTLIER),
            (np.asarray(t.emergency, bool) & all_to_robust, EMERGENCY),
            (np.asarray(t.alarm, bool) & (np.asarray(t.alarm_chart) == len(CHART_NAMES)), LEVEL_RELEASE),
            (t.alarm, ALARM),
            (t.stale, STALE),
            (t.sparse, SPARSE),
            (t.frozen, FROZEN),
            (t.degraded, RECOVERING),
            (alone, ALONE),
            (unknown, COLD),
            (np.asarray(t.in_grace, bool) & uniform, GRACE_HELD),
            (t.in_grace, GRACE),
            (gap > SETTLED_WITHIN, MOVING),
        )
    conditions = [np.asarray(condition, bool) for condition, _ in cases]
    return np.select(conditions, [code for _, code in cases], settled)


def reason_text(row: Mapping[str, float], kernels: Sequence[str]) -> str:
    """The reason at one tick as a sentence.

    Args:
        row: the tick's columns by the names of `fields.view_columns`.
        kernels: names of the kernels in it.
    """
    weight = [float(row[f"weight_{name}"]) for name in kernels]
    target = [float(row[f"target_weight_{name}"]) for name in kernels]
    order = sorted(range(len(weight)), key=lambda k: -weight[k])
    pairs = zip(target, weight, strict=True)
    missing = [wanted - share if math.isfinite(wanted - share) else -math.inf for wanted, share in pairs]
    wanted = max(range(len(missing)), key=missing.__getitem__)
    chart = int(row["alarm_chart"])
    called = [kernel_label(name) for name in kernels]
    second = order[min(1, len(order) - 1)]
    filled = PHRASES[int(row["reason"])].format(
        leader=called[order[0]],
        share=_percent(weight[order[0]]),
        runner_up=called[second],
        runner_share=_percent(weight[second]),
        target=called[wanted],
        target_share=_percent(target[wanted]),
        target_has=_percent(weight[wanted]),
        chart=CHART_NAMES[chart] if 0 <= chart < len(CHART_NAMES) else "",
    )
    return filled[0].upper() + filled[1:]


def _percent(share: float) -> str:
    # Half a percent rounds up, as in the browser, where Python's format would round it to even.
    return f"{math.floor(100.0 * share + 0.5)} %" if math.isfinite(share) else "-"

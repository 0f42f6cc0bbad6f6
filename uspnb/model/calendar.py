"""What the time of a tick says of the series: columns of a regression for the hour, the weekday, the month, holidays.

Smooth courses are harmonics; what changes at midnight is a column of its own for the tick that is forecast and for the
one that it is forecast from, so that a regression on the newest value can take the latter's part out.
"""

from __future__ import annotations

import datetime
import functools
import zoneinfo

import jax.numpy as jnp
import numpy as np

from ..array_types import Array, Float, Int
from ..config.schema import HOLIDAY, PredictorConfig

SECOND_NS = 10**9
HOUR_NS, DAY_NS = 3600 * SECOND_NS, 86_400 * SECOND_NS
YEAR_DAYS = 365.2425
THURSDAY = 3  # of 1 January 1970, where Monday is 0
DAY_HARMONICS, YEAR_HARMONICS = 3, 2
LAST_YEAR = 2100


def column_effects(config: PredictorConfig) -> np.ndarray:
    """Place in `config.effects` that each column of `calendar_columns` belongs to."""
    widths = {"hour": 2 * DAY_HARMONICS, "weekday": 12, "month": 2 * YEAR_HARMONICS, HOLIDAY: 2}
    places = [np.full(widths[name], k) for k, name in enumerate(config.effects) if k >= len(config.covariates)]
    if {"hour", "weekday"} <= set(config.calendar):  # a weekend has its own course of the day
        places.append(np.full(2 * DAY_HARMONICS, config.effects.index("hour")))
    return np.concatenate(places) if places else np.zeros(0, int)


def calendar_columns(
    config: PredictorConfig, now_ns: Int[Array, ""], ahead_ns: Int[Array, "step"]
) -> Float[Array, "step column"]:
    """Columns of size one for forecasts from one time of several others.

    Args:
        config: whose `calendar`, `holidays` and `calendar_zone` are read.
        now_ns: of the tick that they are made from [ns since 1970 UTC].
        ahead_ns: of those that they are for [ns since 1970 UTC].
    """
    times = jnp.concatenate([now_ns[None], ahead_ns])
    local = times + _offset(config.calendar_zone, times)
    day = local // DAY_NS
    weekday = (day + THURSDAY) % 7
    course = _harmonics((local % DAY_NS) / DAY_NS, DAY_HARMONICS)
    # Of seven days that sum to zero.
    days = (weekday[:, None] == np.arange(6)[None, :]).astype(float) - (weekday == 6).astype(float)[:, None]
    found = {
        "hour": course[1:],
        "weekday": _with_now(days),
        "month": _harmonics(day / YEAR_DAYS, YEAR_HARMONICS)[1:],
    }
    columns = [found[name] for name in config.calendar]
    if config.holidays:
        held = np.array([datetime.date.fromisoformat(one) for one in config.holidays], "datetime64[D]").astype(np.int64)
        columns.append(_with_now(jnp.any(day[:, None] == held[None, :], axis=1).astype(float)[:, None]))
    if {"hour", "weekday"} <= set(config.calendar):
        columns.append(jnp.where(weekday[1:, None] >= 5, course[1:], 0.0))
    return jnp.concatenate(columns, axis=1) if columns else jnp.zeros((len(ahead_ns), 0))


def _harmonics(phase: Float[Array, "time"], many: int) -> Float[Array, "time column"]:
    angle = 2.0 * jnp.pi * phase[:, None] * np.arange(1, many + 1)[None, :]
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=1)


def _with_now(columns: Float[Array, "time column"]) -> Float[Array, "step double"]:
    return jnp.concatenate([columns[1:], jnp.broadcast_to(columns[:1], columns[1:].shape)], axis=1)


def _offset(zone: str, times: Int[Array, "time"]) -> Int[Array, "time"]:
    """What local time is ahead of UTC [ns]."""
    changes, offsets = _transitions(zone)
    return jnp.asarray(offsets)[jnp.searchsorted(jnp.asarray(changes), times, side="right")]


@functools.cache
def _transitions(zone: str) -> tuple[np.ndarray, np.ndarray]:
    """Times at which a zone's offset changes, until 2100, and the offsets before, between and after them [ns]."""
    place = zoneinfo.ZoneInfo(zone)

    def offset_s(hour: int) -> int:
        shift = datetime.datetime.fromtimestamp(3600 * hour, datetime.UTC).astimezone(place).utcoffset()
        return int(shift.total_seconds()) if shift is not None else 0

    changes, offsets = [], [offset_s(0)]
    for day in range((LAST_YEAR - 1970) * 366):
        if offset_s(24 * (day + 1)) == offsets[-1]:
            continue
        for hour in range(24 * day + 1, 24 * day + 25):
            if offset_s(hour) != offsets[-1]:
                changes.append(hour * HOUR_NS)
                offsets.append(offset_s(hour))
    return np.array(changes, np.int64), np.array(offsets, np.int64) * SECOND_NS

"""Instants as nanoseconds since 1970 UTC, from whatever Python names an instant by."""

from __future__ import annotations

import numbers
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..errors import DomainError

NANOSECONDS = 1_000_000_000
EARLIEST_NS = -(2**63) + 1


def timestamp_to_ns(timestamp: Any) -> int:
    """Nanoseconds since 1970-01-01 UTC of an aware datetime, a NumPy or pandas time, or an integer of nanoseconds.

    Raises:
        DomainError: a naive datetime, a missing time, or a type that names no instant.
    """
    if isinstance(timestamp, (bool, np.bool_)):
        raise DomainError(f"timestamp {timestamp!r} is a bool; give nanoseconds since 1970 or an aware datetime")
    if isinstance(timestamp, numbers.Integral):
        value = int(timestamp)
    elif isinstance(timestamp, np.datetime64):
        if np.isnat(timestamp):
            raise DomainError("timestamp is NaT; a tick needs the instant at which it was measured")
        value = int(timestamp.astype("datetime64[s]").astype(np.int64)) * NANOSECONDS
        if EARLIEST_NS <= value < 2**63:  # NumPy wraps round where nanoseconds do not fit
            value = int(timestamp.astype("datetime64[ns]").astype(np.int64))
    elif isinstance(timestamp, datetime):
        if timestamp != timestamp:  # pandas.NaT is a datetime that does not equal itself
            raise DomainError("timestamp is NaT; a tick needs the instant at which it was measured")
        if timestamp.tzinfo is None or timestamp.utcoffset() is None:
            raise DomainError(
                f"timestamp {timestamp.isoformat()} is naive; say which zone it is in, for example "
                "timestamp.replace(tzinfo=datetime.UTC)"
            )
        delta = timestamp - datetime(1970, 1, 1, tzinfo=UTC)
        value = (delta.days * 86_400 + delta.seconds) * NANOSECONDS + delta.microseconds * 1000
        value += int(getattr(timestamp, "nanosecond", 0))
    else:
        raise DomainError(
            f"timestamp {timestamp!r} has type {type(timestamp).__name__}; give an aware datetime, a numpy.datetime64 "
            "or an integer of nanoseconds since 1970"
        )
    if not EARLIEST_NS <= value < 2**63:
        raise DomainError(
            f"timestamp {timestamp} does not fit 64 bits of nanoseconds; the range is the years 1678 to 2262"
        )
    return value

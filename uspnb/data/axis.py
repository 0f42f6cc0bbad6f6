"""The axis of times as a whole: whether it runs forward, what order its rows stand in, how regular it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..array_types import Int

SORTED_NOTE = "rows stood {how} and were put in the order of their times"
MOST_OUT_OF_ORDER = 0.1  # share of rows that may come out of order before the axis is called wrong
FEW_LATE = 2  # rows that may be late however short the table is
LONGEST_STEP = 10.0  # of a regular axis, in median steps
_SOME = 6  # rows from which an axis can be called regular


class Order(NamedTuple):
    """How the rows of a table stand in time.

    Attributes:
        late: rows that are not later than every row before them.
        places: the order in which the rows make an axis; None where they stand so, or no order of them does.
        note: what was done, "" where nothing was.
    """

    late: int
    places: Int[np.ndarray, "row"] | None
    note: str


def find_order(stamps: Int[np.ndarray, "row"]) -> Order:
    """The order of rows that makes a strictly increasing axis of their times.

    Rows are sorted where more than a tenth of them are late, or where a few are and the sorted axis has no step above
    ten times the median: a clock that was wrong for a while must not move rows to 1970.  Equal times make no axis.
    """
    late = int(count_late(stamps))
    if not late:
        return Order(0, None, "")
    places = np.argsort(stamps, kind="stable")
    steps = np.diff(stamps[places])
    few = not is_disordered(late, len(stamps))
    if (steps <= 0).any() or (few and steps.max() > LONGEST_STEP * np.median(steps)):
        return Order(late, None, "")
    backward = bool((np.diff(stamps) < 0).all())
    return Order(late, places, SORTED_NOTE.format(how="newest first" if backward else "in no order of time"))


def is_disordered(late: int, rows: int) -> bool:
    """Whether more than a tenth of the rows are late, and more than two."""
    return late > max(FEW_LATE, MOST_OUT_OF_ORDER * rows)


def count_late(stamps: Int[np.ndarray, "row"]) -> int:
    """Rows that are not later than every row before them: of a table they may be another day's, or another series'."""
    return int((stamps[1:] <= np.maximum.accumulate(stamps)[:-1]).sum())


def missing_slots(stamps: Int[np.ndarray, "row"]) -> float:
    """Slots of the axis's most frequent step without a row, as a share of the rows; inf where the axis is no grid.

    The rows run forward or backward throughout; else, or where there are fewer than six, the share is inf.
    """
    steps = np.diff(stamps)
    if len(stamps) < _SOME or not ((steps > 0).all() or (steps < 0).all()):
        return float("inf")
    steps = np.abs(steps)
    lengths, counts = np.unique(steps, return_counts=True)
    slots = float(steps.sum()) / float(lengths[counts.argmax()])
    return max(0.0, slots - len(steps)) / len(stamps)


def late_note(stamps: Int[np.ndarray, "row"]) -> str:
    """What there is to say where more than a tenth of the ticks are refused for their order, else "".

    Ticks of one instant are not: the gate takes them in the order that they come in.
    """
    late = int((stamps[1:] < np.maximum.accumulate(stamps)[:-1]).sum())
    if not is_disordered(late, len(stamps)):
        return ""
    return (
        f"{late} of {len(stamps)} ticks are earlier than a tick before them and are refused for their order; put the "
        "rows in the order of their times, or give each series in the table a column of its own"
    )

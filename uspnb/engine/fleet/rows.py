"""Where the rows of a fleet come from: a table, an iterator, or `feed`; one value per asset and one time per row.

A cell that is no number is a missing tick of that asset, and is told; a row that cannot be laid out on the assets
(of another length, with unknown names) is refused as a whole.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...array_types import Float, Int
from ...data.series import Series, read_series
from ...data.times import timestamp_to_ns
from ...errors import DomainError, shown
from ...runtime.arguments import check_whole
from ...sources.base import Source, SourceFault, Ticks
from ...sources.items import ArrivalClock, real_value
from ...sources.reader import not_replayable

FEED_CAPACITY = 10_000
READ_AHEAD = 64
NAMED = 3


class WrongCell(NamedTuple):
    """A cell that was no number: place of its asset, and what it held."""

    asset: int
    reason: str


def read_labels(assets: Any) -> tuple[Any, ...]:
    """Labels of the assets, from their number or their names.

    Raises:
        DomainError: none, or names that repeat.
    """
    if isinstance(assets, (int, np.integer)) and not isinstance(assets, bool):
        return tuple(range(check_whole("assets", assets, 1)))
    if isinstance(assets, (str, bytes)) or not isinstance(assets, Sequence) or not len(assets):
        raise DomainError(f"assets = {shown(assets)} must be how many there are, or a list of their names")
    labels = tuple(assets)
    if len(set(labels)) < len(labels):
        twice = sorted({str(name) for name in labels if labels.count(name) > 1})
        raise DomainError(f"asset names must differ; {', '.join(twice[:NAMED])} stand there more than once")
    return labels


def read_row(item: Any, places: Mapping[Any, int]) -> tuple[Float[np.ndarray, "asset"], tuple[WrongCell, ...]]:
    """The values of one row by asset, and the cells that were no numbers.

    Args:
        item: {asset: value}, in which an asset left out is a missing tick, or as many values as there are assets.
        places: place of each asset by its label.

    Raises:
        DomainError: unknown assets, another number of values, or no row at all.
    """
    if isinstance(item, Mapping):
        unknown = [name for name in item if name not in places]
        if unknown:
            named = ", ".join(shown(name) for name in unknown[:NAMED])
            raise DomainError(f"there is no asset {named} ({len(unknown)} unknown of {len(item)} in the row)")
        return _cells(((places[name], value) for name, value in item.items()), len(places))
    if isinstance(item, np.ndarray) and item.dtype.kind in "fiu":
        if item.shape != (len(places),):
            raise DomainError(f"a row has shape {item.shape}; give one value for each of the {len(places)} assets")
        return item.astype(np.float64), ()
    if isinstance(item, (str, bytes)) or not hasattr(item, "__len__"):
        raise DomainError(f"{shown(item)} is no row; give {{asset: value}} or one value for each asset")
    if len(item) != len(places):
        raise DomainError(f"a row has {len(item)} values for {len(places)} assets; NaN stands for a missing one")
    return _cells(enumerate(item), len(places))


def _cells(pairs: Any, count: int) -> tuple[np.ndarray, tuple[WrongCell, ...]]:
    values, wrong = np.full(count, np.nan), []
    for place, value in pairs:
        try:
            values[place] = real_value(value)
        except DomainError as error:
            wrong.append(WrongCell(place, f"{shown(value)}: {error}"))
    return values, tuple(wrong)


class TableRows:
    """The rows of a table, oldest first; see `uspnb.sources.Source`, with values of shape (tick, asset).

    Args:
        series: the table.
    """

    live = False

    def __init__(self, series: Series) -> None:
        self._values = series.values.reshape(len(series), -1).copy()
        self._values.flags.writeable = False  # who takes rows gets views, and the user's array may change
        self._stamps = series.timestamps_ns
        self.name, self.units = series.name, series.units
        self.time_is_grid, self.notes = not series.has_times, series.notes
        self.length: int | None = len(series)
        self._next = 0

    def start(self, wake: Callable[[], None]) -> None:
        """All rows are here."""
        wake()

    def take(self, most: int) -> Ticks:
        """Up to `most` of the next rows."""
        first, self._next = self._next, min(self._next + most, len(self._values))
        return _ticks(self._values[first : self._next], self._stamps[first : self._next])

    @property
    def waiting(self) -> int:
        """Rows not yet taken."""
        return len(self._values) - self._next

    @property
    def exhausted(self) -> bool:
        """Whether all were taken."""
        return self._next >= len(self._values)

    def seek(self, k: int) -> None:
        """Have row `k` come next.

        Raises:
            DomainError: there is no such row.
        """
        self._next = check_whole("k", k, 0, len(self._values), unit="rows")

    def close(self) -> None:
        """Nothing is held."""


class FedRows:
    """Rows that a program hands over, up to a bound; see `uspnb.sources.Source`.

    Args:
        assets: how many values a row has.
        capacity: rows that may wait.
    """

    live, length, name, units, time_is_grid, notes = True, None, "", "", False, ()

    def __init__(self, assets: int, capacity: int = FEED_CAPACITY) -> None:
        self._assets, self._capacity = assets, capacity
        self._waiting: deque[tuple[np.ndarray, int, tuple[WrongCell, ...]] | SourceFault] = deque()
        self._wrong: list[WrongCell] = []
        self._room = threading.Condition()
        self._wake: Callable[[], None] = lambda: None
        self._ended = self._closed = False

    def start(self, wake: Callable[[], None]) -> None:
        """Call `wake` when a row comes."""
        self._wake = wake
        wake()

    def put(
        self, values: Float[np.ndarray, "asset"], stamp_ns: int, wrong: tuple[WrongCell, ...] = (), wait: bool = False
    ) -> None:
        """Hand over a row.

        Args:
            values: NaN where one is missing.
            stamp_ns: when it was measured [ns since 1970 UTC].
            wrong: cells that were no numbers.
            wait: whether to wait for room.

        Raises:
            DomainError: it is full (where one does not `wait`), or closed.
        """
        self._put((values, stamp_ns, wrong), wait)

    def _put(self, item: Any, wait: bool) -> None:
        with self._room:
            while wait and len(self._waiting) >= self._capacity and not self._closed:
                self._room.wait()
            if self._closed:
                raise DomainError("the fleet is closed and takes no more rows")
            if len(self._waiting) >= self._capacity:
                raise DomainError(
                    f"{len(self._waiting):,} rows wait, as many as can be kept ({self._capacity:,}); run the fleet, or "
                    "feed more slowly"
                )
            self._waiting.append(item)
        self._wake()

    def end(self) -> None:
        """No more rows will come."""
        self._ended = True
        self._wake()

    def take(self, most: int) -> Ticks:
        """Up to `most` rows that wait.

        Raises:
            SourceFault: a row that could not be laid out came next, or the rows ended by a fault.
        """
        values, stamps = [], []
        with self._room:
            while self._waiting and len(values) < most:
                item = self._waiting[0]
                if isinstance(item, SourceFault):
                    if values:
                        break
                    self._waiting.popleft()
                    self._room.notify_all()
                    raise item
                self._waiting.popleft()
                values.append(item[0])
                stamps.append(item[1])
                self._wrong.extend(item[2])
            self._room.notify_all()
        return _ticks(np.array(values, np.float64).reshape(-1, self._assets), np.array(stamps, np.int64))

    def wrong_cells(self) -> list[WrongCell]:
        """Cells of the rows taken since the last call that were no numbers."""
        with self._room:
            wrong, self._wrong = self._wrong, []
        return wrong

    @property
    def waiting(self) -> int:
        """Rows not yet taken."""
        return len(self._waiting)

    @property
    def exhausted(self) -> bool:
        """Whether the end was told and all were taken."""
        return self._ended and not self._waiting

    def seek(self, k: int) -> None:
        """Refused: what was handed over is not kept.

        Raises:
            DomainError: always.
        """
        raise DomainError(not_replayable("a fleet's feed", k))

    def close(self) -> None:
        """Take no more rows."""
        with self._room:
            self._closed = True
            self._room.notify_all()


class IteratedRows(FedRows):
    """Rows of an iterator, read ahead by a thread; an item is a row or a pair (row, time).

    Args:
        items: arrays, lists or dicts of one tick.
        places: place of each asset by its label.
    """

    def __init__(self, items: Iterator[Any], places: Mapping[Any, int]) -> None:
        super().__init__(len(places), READ_AHEAD)
        self._items, self._places, self._arrival = items, places, ArrivalClock()
        self._thread = threading.Thread(target=self._read, name="uspnb-fleet-reader", daemon=True)

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to read, once."""
        super().start(wake)
        if self._thread.ident is None:
            self._thread.start()

    def _read(self) -> None:
        try:
            for item in self._items:
                self._put(self._row(item), wait=True)
                if self._closed:
                    return
        except Exception as error:  # the iterator is the user's own code: whatever it raises ends the rows, and is told
            if not self._closed:
                message = f"the iterator of rows raised {type(error).__name__}: {error}"
                self._put(SourceFault("", message), wait=True)
        self.end()

    def _row(self, item: Any) -> Any:
        paired = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], (np.ndarray, list, tuple, Mapping))
        try:
            values, wrong = read_row(item[0] if paired else item, self._places)
            return values, timestamp_to_ns(item[1]) if paired else self._arrival(), wrong
        except DomainError as error:
            return SourceFault("", f"a row was left out: {error}", shown(item), can_continue=True)


def _ticks(values: Float[np.ndarray, "tick asset"], stamps_ns: Int[np.ndarray, "tick"]) -> Ticks:
    return Ticks(values, stamps_ns, np.full(len(stamps_ns), np.nan))


def open_rows(source: Any, assets: Any = None, times: Any = None) -> tuple[Source, tuple[Any, ...]]:
    """The rows of a table, of an iterator, of a source of one's own, or, of nothing, those that will be fed, and the
    labels; see `Fleet`.

    Raises:
        DomainError: no table, assets that are missing or do not fit it, times that belong to nothing.
    """
    own = isinstance(source, Source)
    if own or source is None or (isinstance(source, Iterable) and not hasattr(source, "__len__")):
        if assets is None:
            raise DomainError("assets is missing: say how many assets there are, or their names")
        if times is not None:
            raise DomainError("times belong to a table; feed(row, time) and pairs (row, time) carry their own")
        labels = read_labels(assets)
        if own:
            return source, labels
        places = {label: k for k, label in enumerate(labels)}
        return FedRows(len(labels)) if source is None else IteratedRows(iter(source), places), labels
    series = read_series(source, times)
    if series.covariate_names:
        raise DomainError(
            f"a fleet takes no covariates, but the table has {', '.join(series.covariate_names)}; leave them out"
        )
    width = 1 if series.values.ndim == 1 else series.values.shape[1]
    columns = series.assets if series.assets is not None else (series.name or 0,)
    labels = columns if assets is None else read_labels(assets)
    if len(labels) != width:
        raise DomainError(f"{len(labels)} asset names for a table of {width} columns")
    return TableRows(series), tuple(labels)

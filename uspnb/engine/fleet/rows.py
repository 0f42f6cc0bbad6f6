"""Where the rows of a fleet come from: a table, an iterator, or `feed`; one value per asset and one time per row.

A cell that is no number is a missing tick of that asset, and is told; a row that cannot be laid out on the assets
(of another length, with unknown names) is refused as a whole.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ...array_types import Float
from ...data.series import Series, read_series
from ...data.times import timestamp_to_ns
from ...errors import DomainError, shown
from ...sources.items import ArrivalClock, real_value

FEED_CAPACITY = 10_000
READ_AHEAD = 64
NAMED = 3


class WrongCell(NamedTuple):
    """A cell that was no number: place of its asset, and what it held."""

    asset: int
    reason: str


class Row(NamedTuple):
    """One tick of every asset: values (asset,) with NaN where one is missing, time [ns since 1970 UTC], wrong cells."""

    values: Float[np.ndarray, "asset"]
    stamp_ns: int
    wrong: tuple[WrongCell, ...] = ()


class RowFault(NamedTuple):
    """What came instead of a row: a sentence, and whether rows may follow."""

    reason: str
    can_continue: bool


@runtime_checkable
class Rows(Protocol):
    """A source of rows; no method waits for one.

    Attributes:
        length: rows in all, None where nobody knows.
        live: whether they come at their own pace.
    """

    length: int | None
    live: bool

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to read; `wake` is called when something came."""

    def take(self) -> Row | RowFault | None:
        """The next one, None where none is here now."""

    @property
    def waiting(self) -> int:
        """Rows that are here."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether none will ever come again and all were taken."""
        ...

    def close(self) -> None:
        """Read no more."""


def read_labels(assets: Any) -> tuple[Any, ...]:
    """Labels of the assets, from their number or their names.

    Raises:
        DomainError: none, or names that repeat.
    """
    if isinstance(assets, (int, np.integer)) and not isinstance(assets, bool):
        if assets < 1:
            raise DomainError(f"assets = {assets} must be at least 1")
        return tuple(range(int(assets)))
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
    """The rows of a table, oldest first."""

    live = False

    def __init__(self, series: Series) -> None:
        self._values = series.values.reshape(len(series), -1)
        self._stamps = series.timestamps_ns
        self.length: int | None = len(series)
        self._next = 0

    def start(self, wake: Callable[[], None]) -> None:
        """All rows are here."""
        wake()

    def take(self) -> Row | RowFault | None:
        """The next row."""
        if self.exhausted:
            return None
        k, self._next = self._next, self._next + 1
        return Row(self._values[k], int(self._stamps[k]))

    @property
    def waiting(self) -> int:
        """Rows not yet taken."""
        return len(self._values) - self._next

    @property
    def exhausted(self) -> bool:
        """Whether all were taken."""
        return self._next >= len(self._values)

    def close(self) -> None:
        """Nothing is held."""


class FedRows:
    """Rows that a program hands over, up to a bound."""

    live = True

    def __init__(self, capacity: int = FEED_CAPACITY) -> None:
        self.length: int | None = None
        self._capacity = capacity
        self._rows: deque[Row | RowFault] = deque()
        self._room = threading.Condition()
        self._wake: Callable[[], None] = lambda: None
        self._ended = self._closed = False

    def start(self, wake: Callable[[], None]) -> None:
        """Call `wake` when a row comes."""
        self._wake = wake
        wake()

    def put(self, row: Row | RowFault, wait: bool = False) -> None:
        """Hand over a row.

        Raises:
            DomainError: it is full (where one does not `wait`), or closed.
        """
        with self._room:
            while wait and len(self._rows) >= self._capacity and not self._closed:
                self._room.wait()
            if self._closed:
                raise DomainError("the fleet is closed and takes no more rows")
            if len(self._rows) >= self._capacity:
                raise DomainError(
                    f"{len(self._rows):,} rows wait, as many as can be kept ({self._capacity:,}); run the fleet, or "
                    "feed more slowly"
                )
            self._rows.append(row)
        self._wake()

    def end(self) -> None:
        """No more rows will come."""
        self._ended = True
        self._wake()

    def take(self) -> Row | RowFault | None:
        """The oldest row that waits."""
        with self._room:
            row = self._rows.popleft() if self._rows else None
            self._room.notify_all()
        return row

    @property
    def waiting(self) -> int:
        """Rows not yet taken."""
        return len(self._rows)

    @property
    def exhausted(self) -> bool:
        """Whether the end was told and all were taken."""
        return self._ended and not self._rows

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
        super().__init__(READ_AHEAD)
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
                self.put(self._row(item), wait=True)
                if self._closed:
                    return
        except Exception as error:  # the iterator is the user's own code: whatever it raises ends the rows, and is told
            if not self._closed:
                self.put(RowFault(f"the iterator of rows raised {type(error).__name__}: {error}", False), wait=True)
        self.end()

    def _row(self, item: Any) -> Row | RowFault:
        paired = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], (np.ndarray, list, tuple, Mapping))
        try:
            values, wrong = read_row(item[0] if paired else item, self._places)
            return Row(values, timestamp_to_ns(item[1]) if paired else self._arrival(), wrong)
        except DomainError as error:
            return RowFault(f"a row was left out: {error}", True)


class OpenedRows(NamedTuple):
    """A source of rows and what is known of it: labels, name, unit, whether it has times, readings to tell."""

    rows: Rows
    assets: tuple[Any, ...]
    name: str = ""
    units: str = ""
    has_times: bool = True
    notes: tuple[str, ...] = ()


def open_rows(source: Any, assets: Any = None, times: Any = None) -> OpenedRows:
    """The rows of a table, of an iterator, or, of nothing, those that will be fed; see `Fleet`.

    Raises:
        DomainError: no table, assets that are missing or do not fit it, times that belong to nothing.
    """
    if source is None or (isinstance(source, Iterable) and not hasattr(source, "__len__")):
        if assets is None:
            raise DomainError("assets is missing: say how many assets there are, or their names")
        if times is not None:
            raise DomainError("times belong to a table; feed(row, time) and pairs (row, time) carry their own")
        labels = read_labels(assets)
        places = {label: k for k, label in enumerate(labels)}
        return OpenedRows(FedRows() if source is None else IteratedRows(iter(source), places), labels)
    series = read_series(source, times)
    width = 1 if series.values.ndim == 1 else series.values.shape[1]
    own = series.assets if series.assets is not None else (series.name or 0,)
    labels = own if assets is None else read_labels(assets)
    if len(labels) != width:
        raise DomainError(f"{len(labels)} asset names for a table of {width} columns")
    return OpenedRows(TableRows(series), labels, series.name, series.units, series.has_times, series.notes)

"""`CsvTailSource`: a CSV file to which a program appends rows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..data.csv import HEAD_BYTES, CsvReader, check_options, name_file
from ..data.table import Cells, CsvLayout, find_layout, split_line
from ..errors import DomainError, shown
from ..runtime.arguments import check_number
from .base import SourceFault, Ticks
from .items import Tick
from .reader import ReadingSource

CAPACITY = 100_000
BLOCK = 1 << 16
LONGEST_LINE = 1 << 16
REMEMBERED = 64


class CsvTailSource(ReadingSource):
    """A source of the rows that stand in a CSV file and of those appended later.

    The lines that stand there first, up to four megabytes of them, decide which columns are read and how their times
    and numbers are written, by the rules of `read_csv`; a later line that is written otherwise is no tick.  A line is
    read once its end of line is there.  A line that is no tick is left out with a fault that names its number.  A
    file that becomes shorter, is written anew or replaced is a fault; the next `start` reads it from its first row.

    The rows found at the start are history, `live` is False until they were taken, and a `take` never mixes them with
    later ones.  A file without times has ticks on a grid of one second, which are never live.

    Args:
        path: the file, UTF-8, of columns as `read_csv` takes them.
        time, value, dayfirst, time_format, unit, decimal: as `read_csv` takes them; found where left out.
        poll_s: how often to look for new rows [s].
        name, units: of the series; by default the name of the column.
        capacity: ticks read ahead.
        live: False where later rows are history too.

    Raises:
        DomainError: no such file or column, not clear which column holds the values or how its times are meant.
    """

    kind = "a CSV file that grows"

    def __init__(
        self,
        path: Any,
        time: str | None = None,
        value: str | None = None,
        *,
        dayfirst: bool | None = None,
        time_format: str | None = None,
        unit: str | None = None,
        decimal: str | None = None,
        poll_s: float = 0.2,
        name: str = "",
        units: str = "",
        capacity: int = CAPACITY,
        live: bool = True,
    ) -> None:
        self._options = check_options(
            path=path,
            time=time,
            value=None if value is None else (value,),
            dayfirst=dayfirst,
            time_format=time_format,
            unit=unit,
            decimal=decimal,
        )
        self._path = self._options.path
        self._poll_s = check_number("poll_s", poll_s, above=0.0, most=3600.0, unit="seconds")
        self._named = name
        self._reader: CsvReader | None = None
        self._history: int | None = None  # ticks of the history, once the end of the file was met
        super().__init__(name or self._path.name, units, capacity, live)
        with self._path.open("rb") as file:
            self._decide(file.read(HEAD_BYTES))

    @property
    def live(self) -> bool:
        """Whether the next tick was appended after the start; see `Source`."""
        history = self._history
        return self._live and not self.time_is_grid and history is not None and self._buffer.taken_count >= history

    @property
    def time_is_grid(self) -> bool:
        """Whether the file has no times; False while it has no rows."""
        return self._reader is not None and self._reader.on_grid

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed in reading the file; see `Source`."""
        return () if self._reader is None else self._reader.notes

    def take(self, most: int) -> Ticks:
        """Up to `most` rows that were read; see `Source.take`."""
        read = self._buffer.put_count  # before the next line: while the end was not met, these are history
        history = self._history
        bound = (read if history is None else history) - self._buffer.taken_count
        return self._buffer.take(min(most, bound) if history is None or bound > 0 else most)

    def _decide(self, head: bytes) -> CsvReader | None:
        """What reads the rows, by the first bytes; None where they are too few."""
        text = head.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        lines = text[: text.rfind("\n") + 1].split("\n")
        try:
            layout = find_layout(lines, self._options.columns)
            if layout is None:
                return None
            reader = CsvReader(layout, self._options)
            reader.settle(_columns(lines[layout.first :], layout))
        except DomainError as error:
            raise name_file(error, self._path) from None
        self._reader = reader
        self.name = self._named or layout.names[layout.values[0]]
        return self._reader

    def _read(self) -> None:
        self._history = None
        try:
            with self._path.open("rb") as file:
                self._follow(file)
        except OSError as error:
            self._break(f"{self._path.name} cannot be read: {error.strerror or error}", can_continue=True)
        except DomainError as error:
            self._break(str(error), can_continue=True)

    def _follow(self, file: BinaryIO) -> None:
        lines, reader = _Lines(), None
        while not self._stop.is_set():
            block = file.read(BLOCK if reader else HEAD_BYTES)
            if not block:
                if self._history is None:
                    self._history = self._buffer.put_count
                    self._wake()
                if self._stop.wait(self._poll_s):
                    return
                reason = _changed(file, self._path, lines.last_bytes)
                if reason:
                    self._break(
                        f"{self._path.name} {reason}; start again to read it from its first row", can_continue=True
                    )
                    return
                continue
            lines.add(block)
            if len(lines.rest) > LONGEST_LINE:
                self._break(
                    f"{self._path.name}, line {lines.number + 1} exceeds {LONGEST_LINE:,} bytes; name a CSV file",
                    can_continue=False,
                )
                return
            reader = reader or self._decide(lines.complete)
            if reader is not None and not all(map(self._hand_over, self._ticks_of(lines, reader))):
                return

    def _hand_over(self, read: Tick | SourceFault) -> bool:
        return self._put(read) if isinstance(read, Tick) else self._skip(read.reason, read.item)

    def _ticks_of(self, lines: _Lines, reader: CsvReader) -> Iterator[Tick | SourceFault]:
        """The complete lines as ticks and faults, in their order."""
        taken: list[tuple[int, str, str | bytes]] = []
        rows: list[list[str]] = []
        for number, raw in lines.take():
            if number <= reader.layout.first:
                continue
            cells, reason, text = [], "", raw.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace")
            try:
                raw.decode()
                cells = split_line(text.rstrip("\r"), reader.layout.separator)
            except UnicodeDecodeError:
                reason, text = "it is not UTF-8 text", raw
            except DomainError as error:
                reason = str(error)
            taken.append((number, reason, text))
            rows.append(cells)
        read = reader.read(rows)
        ticks = dict(zip(read.places.tolist(), zip(read.values[:, 0], read.stamps_ns, strict=True), strict=True))
        for place, (number, reason, text) in enumerate(taken):
            if place in ticks:
                value, stamp_ns = ticks[place]
                yield Tick(float(value), int(stamp_ns))
            elif reason or place in read.faults:
                message = f"line {number} was left out: {reason or read.faults[place]}"
                yield SourceFault(self.name, message, shown(text))


class _Lines:
    """Bytes of a growing file, cut into the lines that are complete, and where reading stands."""

    def __init__(self) -> None:
        self.complete, self.rest, self.last_bytes = b"", b"", b""
        self.number = 0
        self._end = b"\n"

    def add(self, block: bytes) -> None:
        """Take up the next bytes; what follows the last end of line waits."""
        if not self.last_bytes and b"\n" not in block and b"\r" in block:
            self._end = b"\r"  # of an old spreadsheet
        self.last_bytes = (self.last_bytes + block)[-REMEMBERED:]
        cut = block.rfind(self._end) + 1
        if cut:
            self.complete, self.rest = self.complete + self.rest + block[:cut], block[cut:]
        else:
            self.rest += block

    def take(self) -> Iterator[tuple[int, bytes]]:
        """The complete lines with their numbers."""
        waiting, self.complete = self.complete, b""
        for line in waiting.split(self._end)[:-1]:
            self.number += 1
            yield self.number, line


def _columns(lines: list[str], layout: CsvLayout) -> list[Cells]:
    """The cells of the columns of values and of the times in lines that fit the layout."""
    rows = []
    for line in lines:
        with contextlib.suppress(DomainError):  # when its turn comes, the line is reported by its number
            cells = layout.fit(split_line(line, layout.separator)) if line.strip() else None
            rows += [] if cells is None else [cells]
    times = [layout.time_of(row) for row in rows] if layout.times else []
    return [*([row[place] for row in rows] for place in layout.values), times]


def _changed(file: BinaryIO, path: Path, last: bytes) -> str:
    """What happened to the file other than growing, "" if nothing; `last` are the bytes before the present place."""
    try:
        now, held = path.stat(), os.fstat(file.fileno())
    except FileNotFoundError:
        return "was removed"
    if (now.st_ino, now.st_dev) != (held.st_ino, held.st_dev):
        return "was replaced by another file"
    place = file.tell()
    file.seek(place - len(last))
    content = file.read(len(last))
    if len(content) < len(last):
        return f"became shorter: {os.fstat(file.fileno()).st_size:,} bytes where {place:,} were read"
    return "" if content == last else "was written anew"

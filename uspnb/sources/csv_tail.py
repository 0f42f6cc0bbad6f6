"""`CsvTailSource`: a CSV file to which a program appends rows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

from ..data.csv_file import CsvOptions
from ..errors import DomainError
from ..runtime.arguments import check_number
from .base import Ticks, shown
from .csv_layout import CsvLayout, find_layout
from .reader import ReadingSource

CAPACITY = 100_000
BLOCK = 1 << 16
LONGEST_LINE = 1 << 16
SAMPLE = 200
REMEMBERED = 64


class CsvTailSource(ReadingSource):
    """A source of the rows that stand in a CSV file and of those appended later.

    The first lines decide which columns are read, by the rules of `read_csv`.  A line is read once its
    end of line is there.  A line that is no tick is left out with a fault that names its number.  A file that
    becomes shorter, is written anew or replaced is a fault; the next `start` reads it from its first row.

    The rows found at the start are history, `live` is False until they were taken, and a `take` never mixes them with
    later ones.  A file without times has ticks on a grid of one second, which are never live.

    Args:
        path: the file, UTF-8, comma, semicolon or tab.
        time, value: names of the columns; found where left out.
        poll_s: how often to look for new rows [s].
        name, units: of the series; by default the name of the column.
        capacity: ticks read ahead.
        live: False where later rows are history too.

    Raises:
        DomainError: no such file or column, or not clear which column holds the values.
    """

    kind = "a CSV file that grows"

    def __init__(
        self,
        path: Any,
        time: str | None = None,
        value: str | None = None,
        *,
        poll_s: float = 0.2,
        name: str = "",
        units: str = "",
        capacity: int = CAPACITY,
        live: bool = True,
    ) -> None:
        poll_s = check_number("poll_s", poll_s, above=0, most=3600, unit="seconds")
        self._path = _checked(path, time, value)
        self._asked, self._poll_s = (time, value), poll_s
        self._named = name
        self._layout: CsvLayout | None = None
        self._history: int | None = None  # ticks of the history, once the end of the file was met
        super().__init__(name or self._path.name, units, capacity, live)
        with self._path.open("rb") as file:
            self._decide(file.read(BLOCK))

    @property
    def live(self) -> bool:
        """Whether the next tick was appended after the start; see `Source`."""
        history = self._history
        return self._live and not self.time_is_grid and history is not None and self._buffer.taken_count >= history

    @property
    def time_is_grid(self) -> bool:
        """Whether the file has no times; False while it has no rows."""
        return self._layout is not None and self._layout.time is None

    def take(self, most: int) -> Ticks:
        """Up to `most` rows that were read; see `Source.take`."""
        read = self._buffer.put_count  # before the next line: while the end was not met, these are history
        history = self._history
        bound = (read if history is None else history) - self._buffer.taken_count
        return self._buffer.take(min(most, bound) if history is None or bound > 0 else most)

    def _decide(self, head: bytes) -> CsvLayout | None:
        """The layout by the first bytes, None where they are too few."""
        text = head[: head.rfind(b"\n") + 1].decode("utf-8-sig", errors="replace")
        lines = [line for line in text.splitlines()[:SAMPLE] if line.strip()]
        try:
            layout = find_layout(lines, *self._asked)
        except DomainError as error:
            raise DomainError(f"{self._path}: {error}") from None
        if layout is not None:
            self._layout, self.notes = layout, layout.notes
            self.name = self._named or layout.names[layout.value]
        return layout

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
        lines, layout = _Lines(), None
        while not self._stop.is_set():
            block = file.read(BLOCK)
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
            layout = layout or self._decide(lines.complete)
            if layout is not None and not self._read_rows(lines, layout):
                return

    def _read_rows(self, lines: _Lines, layout: CsvLayout) -> bool:
        for raw in lines.take():
            text = ""
            try:
                text = raw.decode("utf-8-sig" if lines.number == 1 else "utf-8").rstrip("\r\n")
                if not text.strip() or (lines.number == lines.header and not layout.headless):
                    continue
                tick = layout.read(text, lines.rows)
            except UnicodeDecodeError:
                reason = f"line {lines.number} was left out: it is not UTF-8 text"
                going = self._skip(reason, shown(raw))
            except DomainError as error:
                going = self._skip(f"line {lines.number} was left out: {error}", shown(text))
            else:
                lines.rows += 1
                going = self._put(tick)
            if not going:
                return False
        return True


class _Lines:
    """Bytes of a growing file, cut into the lines that are complete, and where reading stands."""

    def __init__(self) -> None:
        self.complete, self.rest, self.last_bytes = b"", b"", b""
        self.number = self.header = self.rows = 0

    def add(self, block: bytes) -> None:
        """Take up the next bytes; what follows the last end of line waits."""
        self.last_bytes = (self.last_bytes + block)[-REMEMBERED:]
        cut = block.rfind(b"\n") + 1
        if cut:
            self.complete, self.rest = self.complete + self.rest + block[:cut], block[cut:]
        else:
            self.rest += block

    def take(self) -> Any:
        """The complete lines, each counted; the first that is not blank is the header."""
        waiting, self.complete = self.complete, b""
        for line in waiting.split(b"\n")[:-1]:
            self.number += 1
            if not self.header and line.strip():
                self.header = self.number
            yield line


def _checked(path: Any, time: str | None, value: str | None) -> Path:
    from pydantic import ValidationError

    try:
        return CsvOptions.model_validate({"path": path, "time": time, "value": value or ()}).path
    except ValidationError as error:
        raise DomainError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


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
    found = file.read(len(last))
    if len(found) < len(last):
        return f"became shorter: {os.fstat(file.fileno()).st_size:,} bytes where {place:,} were read"
    return "" if found == last else "was written anew"

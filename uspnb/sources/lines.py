"""`LineSource`: lines of text from a WebSocket or an HTTP server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from ..errors import DomainError, shown
from ..runtime.credentials import checked_address, public_name, read_credentials
from .items import Clock, read_line
from .reader import ReadingSource
from .transports import ConnectionLost, Transport, open_transport

CAPACITY = 100_000
LONGEST_LINE = 1 << 16
NAMES = "time,value"


class LineSource(ReadingSource):
    """A source of lines from ws, wss, http or https.

    A line is a JSON number, a JSON object {"value": 3.5, "time": "2026-02-21T09:30:00Z", "proxy": 0.1} of which only
    the value is needed, or "time,value".  A time is an instant in text or a number of s, ms, us or ns since 1970; a
    line without one gets the clock's.  A line that is no tick is left out with a fault; a connection that is refused
    or breaks is a fault, and the next `start` connects again.  Where the server ends the stream in order, the source
    is exhausted.

    Credentials come only from the environment: USPNB_SOURCE_TOKEN is sent as a bearer token, or USPNB_SOURCE_USER and
    USPNB_SOURCE_PASSWORD by basic authentication; unencrypted only to this machine.  They appear in no message.

    Args:
        url: the address, without user and password.
        name, units: of the series; by default the address without its query.
        capacity: ticks read ahead.
        live: False for ticks that are each processed at their own timestamp.
        clock: gives the time of a tick that comes without one [ns since 1970 UTC].

    Raises:
        DomainError: no such address, a user or password in it, or credentials that cannot be sent there.
    """

    kind = "a network source"

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        units: str = "",
        capacity: int = CAPACITY,
        live: bool = True,
        clock: Clock = time.time_ns,
    ) -> None:
        address = checked_address(url)
        self._url, self._credentials = address.geturl(), read_credentials(address)
        self._transport: Transport | None = None
        self._opened = threading.Lock()
        super().__init__(name or public_name(address), units, capacity, live, clock)

    def _read(self) -> None:
        try:
            with self._connect() as transport:
                first = True
                for line in cut_lines(transport.blocks(self._stop.is_set), LONGEST_LINE):
                    text = line.strip()
                    names, first = first and text.replace(" ", "").lower() == NAMES, False
                    if text and not names and not self._take_line(text):
                        return
        except ConnectionLost as error:
            self._break(self._credentials.hide(str(error)), can_continue=True)

    def _connect(self) -> Transport:
        transport = open_transport(self._url, self._credentials.header)
        with self._opened:
            self._transport = transport
        if self._stop.is_set():
            transport.interrupt()
        return transport

    def _take_line(self, text: str) -> bool:
        if self._stop.is_set():
            return False
        try:
            if len(text) >= LONGEST_LINE:
                raise DomainError(f"it is longer than {LONGEST_LINE:,} characters")
            tick = read_line(text, self._arrival)
        except DomainError as error:
            hide = self._credentials.hide
            return self._skip(hide(f"a line was left out: {error}"), shown(hide(text[: 2 * LONGEST_LINE])))
        return self._put(tick)

    def _interrupt(self) -> None:
        with self._opened:
            transport = self._transport
        if transport is not None:
            transport.interrupt()


def cut_lines(blocks: Iterator[str], longest: int) -> Iterator[str]:
    """Lines of a text that comes in blocks; the last one needs no end of line.

    Of a line longer than `longest` only its first `longest` characters are given.
    """
    rest, skipping = "", False
    for block in blocks:
        *whole, rest = (rest + block).split("\n")
        for line in whole:
            if not skipping:
                yield line[:longest]
            skipping = False
        if len(rest) > longest:
            if not skipping:
                yield rest[:longest]
            rest, skipping = "", True
    if rest and not skipping:
        yield rest

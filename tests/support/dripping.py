"""Connections whose requests never come whole, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import threading
import time
from typing import Any

HOST = "127.0.0.1"


class Drip:
    """Connections whose requests come byte by byte; closed ones are opened anew at once, while the block lasts.

    Args:
        port: of the server, on this machine.
        count: how many.
        every_s: from one byte of a connection to the next [s].

    Attributes:
        opened: connections in all.
    """

    def __init__(self, port: int, count: int, every_s: float = 1.0) -> None:
        self.opened = 0
        self._port, self._count, self._every_s, self._ended = port, count, every_s, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            places = [self._opening(selector, place) for place in range(self._count)]
            began = time.monotonic()
            for turn in itertools.count():
                due = began + turn * self._every_s / self._count
                while not self._ended.is_set() and (left := due - time.monotonic()) > 0:
                    for key, events in selector.select(min(left, self._every_s)):
                        if not (events & selectors.EVENT_WRITE and self._begin(selector, key)):
                            selector.unregister(key.fileobj)
                            places[key.data].close()
                            places[key.data] = self._opening(selector, key.data)
                if self._ended.is_set():
                    break
                with contextlib.suppress(OSError):  # not connected yet, or closed, which the next look sees
                    places[turn % self._count].send(b"x")
            for connection in places:
                connection.close()

    def _opening(self, selector: selectors.BaseSelector, place: int) -> socket.socket:
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex((HOST, self._port))
        selector.register(connection, selectors.EVENT_WRITE, place)
        self.opened += 1
        return connection

    def _begin(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> bool:
        """Send the beginning of a request over a new connection; whether it is there."""
        connection: Any = key.fileobj
        try:
            connection.send(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        except OSError:
            return False
        selector.modify(connection, selectors.EVENT_READ, key.data)  # readable is its end: no request is ever whole
        return True

    def __enter__(self) -> Drip:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

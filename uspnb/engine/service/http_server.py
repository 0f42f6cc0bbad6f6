"""Health, readiness, status and metrics of a service over HTTP, on this machine alone unless asked otherwise."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...errors import DomainError, ResourceBusyError
from ...runtime.credentials import is_addressed, is_loopback

MOST_CONNECTIONS = 32
SLOWEST_REQUEST_S = 5.0
LEAST_S = 0.05  # in which the thread of a connection comes to read a request that is there
MOST_QUEUED = 1024  # where the system's own queue is full, a client tries again after one second, three and seven
LOOK_S = 0.1
BUSY = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
TEXT, JSON = "text/plain; charset=utf-8", "application/json"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
_log = logging.getLogger("uspnb.service")


class Pages(NamedTuple):
    """What is asked for by a request; every function may be called from any thread and must not wait.

    Attributes:
        alive: why the process should be replaced, None while it is well.
        ready: why no ticks can be relied upon, one sentence each; none when all is well.
        metrics: in Prometheus' text format.
        status: as JSON can hold it.
    """

    alive: Callable[[], str | None]
    ready: Callable[[], list[str]]
    metrics: Callable[[], bytes]
    status: Callable[[], dict[str, Any]]


class StatusServer:
    """Answers GET and HEAD of /healthz, /readyz, /metrics and /status in threads of its own.

    A server on a loopback address answers requests for a loopback name only, so that no page in a browser can read it
    under another name.  A request must have come whole within five seconds of its connection, however its bytes are
    spread over them; of more than 32 connections whose request is still coming the oldest is closed for a new one, once
    it has had 50 ms.

    Args:
        pages: what it tells.
        address: where it listens.
        port: 0 takes a free one.
        allow_public: whether an address that other machines reach is meant.

    Raises:
        DomainError: an address beyond loopback without `allow_public`, or one that cannot be listened on.
        ResourceBusyError: another program has the port, or this machine does not have the address yet.
    """

    def __init__(self, pages: Pages, address: str, port: int, *, allow_public: bool = False) -> None:
        local = is_loopback(address)
        if not local and not allow_public:
            raise DomainError(
                f"metrics_address = {address!r} can be reached from other machines, and nobody has to sign in there; "
                "use 127.0.0.1 and a proxy, or say --allow-public if the network around is trusted"
            )
        try:
            self._server = _Server(pages, address, port, local)
        except OSError as error:
            kind = ResourceBusyError if error.errno in BUSY else DomainError
            raise kind(
                f"{address} port {port} cannot be listened on: {error.strerror or error}; another metrics_port is to "
                "be had, and 0 takes a free one"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": LOOK_S}, name="uspnb-http", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = str(self._server.server_address[0]), self._server.server_port
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def close(self) -> None:
        """Answer nothing more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = MOST_QUEUED
    block_on_close = False

    def __init__(self, pages: Pages, address: str, port: int, local: bool) -> None:
        self.pages, self.local = pages, local
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._lock = threading.Condition()  # told when a request is whole and when a connection ends
        self._in_service = 0
        self._coming: dict[socket.socket, float] = {}  # connections without a whole request yet, the oldest first
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        # The parent asks the name service for this machine's name, which may take seconds and is used nowhere.
        if os.name == "posix":  # connections that a scraper left behind must not keep a restart from its own port
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            # Who opens a connection for each that is closed would else have those cut that were not read yet.
            if not self._lock.wait_for(lambda: len(self._coming) < MOST_CONNECTIONS, self._oldest_left_s()):
                self._cut(next(iter(self._coming)))
            # A connection that gave way takes a moment to end its thread, hence twice as many.
            full = not self._lock.wait_for(lambda: self._in_service < 2 * MOST_CONNECTIONS, LEAST_S)
            if not full:
                self._in_service += 1
                self._coming[request] = time.monotonic()
        if full:
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._in_service -= 1
                self._coming.pop(request, None)
                self._lock.notify_all()

    def request_came(self, connection: socket.socket) -> None:
        """Let a connection be: its request is whole."""
        with self._lock:
            self._coming.pop(connection, None)
            self._lock.notify_all()

    def _oldest_left_s(self) -> float:
        """Seconds until the oldest connection whose request is coming may give way."""
        return max(next(iter(self._coming.values()), 0.0) + LEAST_S - time.monotonic(), 0.0)

    def service_actions(self) -> None:
        """Cut the connections whose request has been coming for too long; called at every turn of the loop."""
        late = time.monotonic() - SLOWEST_REQUEST_S
        with self._lock:
            for connection in [one for one, began in self._coming.items() if began < late]:
                self._cut(connection)

    def _cut(self, connection: socket.socket) -> None:
        """End what the thread of a connection reads, and with it the thread; under the lock."""
        del self._coming[connection]
        with contextlib.suppress(OSError):  # the client has gone
            connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event of the service; a page that failed is."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            _log.exception("a page could not be answered")


class _Handler(BaseHTTPRequestHandler):
    timeout = SLOWEST_REQUEST_S
    server: Any  # a `_Server`

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        self.server.request_came(self.connection)
        status, kind, body = self._page()
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def _page(self) -> tuple[HTTPStatus, str, bytes]:
        if self.server.local and not is_addressed(self.headers.get("Host", "localhost")):
            return HTTPStatus.FORBIDDEN, TEXT, b"this server answers for the local machine only\n"
        pages, path = self.server.pages, urlsplit(self.path).path
        if path == "/healthz":
            problem = pages.alive()
            return _answer_of([] if problem is None else [problem], "alive")
        if path == "/readyz":
            return _answer_of(pages.ready(), "ready")
        if path == "/metrics":
            return HTTPStatus.OK, EXPOSITION, pages.metrics()
        if path == "/status":
            return HTTPStatus.OK, JSON, json.dumps(pages.status(), allow_nan=False).encode() + b"\n"
        return HTTPStatus.NOT_FOUND, TEXT, b"there are /healthz, /readyz, /metrics and /status\n"

    def version_string(self) -> str:
        """Nothing about the versions behind it."""
        return "uspnb"

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no events."""


def _answer_of(problems: list[str], well: str) -> tuple[HTTPStatus, str, bytes]:
    if problems:
        return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, "".join(f"{problem}\n" for problem in problems).encode()
    return HTTPStatus.OK, TEXT, f"{well}\n".encode()

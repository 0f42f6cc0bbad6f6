"""Health, readiness, status and metrics of a service over HTTP, on this machine alone unless asked otherwise."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...errors import DomainError
from ...runtime.credentials import is_addressed, is_loopback

MOST_CONNECTIONS = 32
SLOWEST_REQUEST_S = 5.0
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
    under another name.

    Args:
        pages: what it tells.
        address: where it listens.
        port: 0 takes a free one.
        allow_public: whether an address that other machines reach is meant.

    Raises:
        DomainError: an address beyond loopback without `allow_public`, or one that cannot be listened on.
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
            raise DomainError(
                f"{address} port {port} cannot be listened on: {error.strerror or error}; another metrics_port is to "
                "be had, and 0 takes a free one"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="uspnb-http", daemon=True
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
    request_queue_size = 2 * MOST_CONNECTIONS
    block_on_close = False

    def __init__(self, pages: Pages, address: str, port: int, local: bool) -> None:
        self.pages, self.local = pages, local
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        # The parent asks the name service for this machine's name, which may take seconds and is used nowhere.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

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

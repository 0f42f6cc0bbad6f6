"""Local servers of lines, and what waits for ticks."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from waiting import PATIENCE_S, until
from websockets.sync.server import serve

from uspnb.sources import Source, SourceFault


class Drain:
    """Takes from a source as a session does: woken, then everything that is there."""

    def __init__(self, source: Source, most: int = 7) -> None:
        self.source, self.most = source, most
        self.values: list[float] = []
        self.stamps: list[int] = []
        self.proxies: list[float] = []
        self.faults: list[tuple[int, SourceFault]] = []  # each with the number of ticks that came before it
        self.woken = threading.Event()
        source.start(self.woken.set)

    def take(self) -> Drain:
        """Everything that is there."""
        while self._take():
            pass
        return self

    def _take(self) -> bool:
        try:
            ticks = self.source.take(self.most)
        except SourceFault as fault:
            self.faults.append((len(self.values), fault))
            return True
        assert ticks.values.dtype == np.float64 and ticks.stamps_ns.dtype == np.int64
        assert len(ticks) == len(ticks.values) == len(ticks.stamps_ns) == len(ticks.proxies) <= self.most
        self.values += ticks.values.tolist()
        self.stamps += ticks.stamps_ns.tolist()
        self.proxies += ticks.proxies.tolist()
        return len(ticks) > 0

    def until(self, ticks: int = 0, faults: int = 0) -> Drain:
        def enough() -> bool:
            self.take()
            return len(self.values) >= ticks and len(self.faults) >= faults

        until(enough)
        return self

    def to_the_end(self) -> Drain:
        until(lambda: self.take().source.exhausted)
        return self


class LineServer:
    """Lines from 127.0.0.1: `lines` at once, then the end, a silence or a death."""

    scheme = ""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.then = "end"
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.port = 0
        self.released = threading.Event()
        self.up()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/lines"

    def up(self) -> None:
        raise NotImplementedError

    def down(self) -> None:
        raise NotImplementedError

    def linger(self) -> None:
        """What a server does that is silent, until the test is over."""
        self.released.wait(PATIENCE_S)


class HttpServer(LineServer):
    scheme = "http"

    def up(self) -> None:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(server.status)
                if server.status != 200:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                text = "".join(line + "\n" for line in server.lines).encode()
                for start in range(0, len(text), 7):  # chunks that end within a line
                    block = text[start : start + 7]
                    self.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
                if server.then == "die":
                    self.wfile.write(b"9\r\n99")  # the beginning of a line in a chunk that never ends
                    self.wfile.flush()
                    self.close_connection = True
                    return
                if server.then == "silence":
                    server.linger()
                    self.close_connection = True
                    return
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *arguments: Any) -> None:
                pass  # a client that went away is what some tests are about

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class WebSocketServer(LineServer):
    scheme = "ws"

    def up(self) -> None:
        def handle(socket: Any) -> None:
            self.headers.append({name.lower(): value for name, value in socket.request.headers.raw_items()})
            for line in self.lines:
                socket.send(line)
            if self.then == "die":
                socket.socket.shutdown(2)
            elif self.then == "silence":
                self.linger()

        def judge(socket: Any, request: Any) -> Any:
            return None if self.status == 200 else socket.respond(self.status, "no")

        self._server = serve(handle, "127.0.0.1", self.port, process_request=judge, close_timeout=0.1)
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def down(self) -> None:
        self._server.shutdown()


@pytest.fixture(autouse=True)
def without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USPNB_SOURCE_TOKEN", "USPNB_SOURCE_USER", "USPNB_SOURCE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=[HttpServer, WebSocketServer], ids=["http", "ws"])
def line_server(request: pytest.FixtureRequest) -> Iterator[LineServer]:
    """Every kind of server in turn."""
    server = request.param()
    yield server
    server.released.set()
    server.down()


@pytest.fixture
def servers() -> Iterator[dict[str, LineServer]]:
    """Both kinds of server."""
    running: dict[str, LineServer] = {"http": HttpServer(), "ws": WebSocketServer()}
    yield running
    for server in running.values():
        server.released.set()
        server.down()


@pytest.fixture
def drain() -> type[Drain]:
    return Drain

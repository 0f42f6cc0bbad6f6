"""Sources that take a connection and say nothing, and servers that send a client elsewhere with its credentials."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from waiting import stays, until
from websockets.sync.server import serve

from uspnb.sources import FeedSource, LineSource, SourceFault, lines

TOKEN = "s3cr3t-token-of-the-test"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Mute:
    """A server that accepts connections and, but for what `greet` sends, says nothing.

    Args:
        greet: makes the answer to a request's head.
    """

    def __init__(self, greet: Callable[[bytes], bytes] = lambda head: b"") -> None:
        self._greet = greet
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(4096)
                connection.sendall(self._greet(head))
                self.connections.append(connection)

    def close(self) -> None:
        """End it."""
        self._listener.close()
        for connection in self.connections:
            connection.close()


def websocket_greeting(head: bytes) -> bytes:
    """The answer that makes a connection a WebSocket."""
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if ": " in line)
    key = next(value for name, value in fields.items() if name.lower() == "sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


@pytest.fixture
def mute() -> Iterator[Callable[..., Mute]]:
    """Makes mute servers, and ends them."""
    servers: list[Mute] = []

    def make(*arguments: Any) -> Mute:
        servers.append(Mute(*arguments))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def fault_of(source: LineSource) -> SourceFault:
    """The first fault that it tells of."""
    source.start(lambda: None)

    def taken() -> SourceFault | None:
        try:
            source.take(1)
        except SourceFault as fault:
            return fault
        return None

    fault = until(taken)
    source.close()
    assert fault is not None
    return fault


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of tenths of a second; and no credentials."""
    for name in ("CONNECT_S", "ANSWER_S", "PING_AFTER_S", "PONG_S"):
        monkeypatch.setattr(lines, name, 0.3)
    for name in ("USPNB_SOURCE_TOKEN", "USPNB_SOURCE_USER", "USPNB_SOURCE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_server_that_never_answers_a_request_is_a_fault(scheme: str, mute: Callable[..., Mute]) -> None:
    fault = fault_of(LineSource(f"{scheme}://127.0.0.1:{mute().port}/"))
    assert fault.can_continue and "no connection" in fault.reason


def test_a_websocket_that_answers_no_ping_is_broken(mute: Callable[..., Mute]) -> None:
    server = mute(websocket_greeting)
    fault = fault_of(LineSource(f"ws://127.0.0.1:{server.port}/"))
    assert fault.can_continue and "answers no ping" in fault.reason


def test_a_silent_websocket_that_lives_is_waited_for() -> None:
    speak = threading.Event()

    def handle(connection: Any) -> None:
        speak.wait()
        connection.send("7")

    with serve(handle, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = LineSource(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/")
        source.start(lambda: None)
        # Several pings long; a fault would be raised by `take`.
        assert stays(lambda: len(source.take(1)) == 0, 6 * lines.PING_AFTER_S)
        speak.set()
        assert until(lambda: source.take(1).values.tolist()) == [7.0]
        source.close()
        server.shutdown()


def test_the_system_probes_a_silent_http_server(mute: Callable[..., Mute], monkeypatch: pytest.MonkeyPatch) -> None:
    server = mute(lambda head: b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    sockets: list[socket.socket] = []
    monkeypatch.setattr(socket.socket, "connect", noting(socket.socket.connect, sockets))
    with lines.HttpLines(f"http://127.0.0.1:{server.port}/", None):
        used = next(one for one in sockets if one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        assert used.gettimeout() is None  # what comes days apart is waited for
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == lines.PROBE_AFTER_S


def noting(connect: Any, sockets: list[socket.socket]) -> Any:
    """A `connect` that also notes of which socket."""

    def noted(one: socket.socket, address: Any) -> Any:
        sockets.append(one)
        return connect(one, address)

    return noted


def test_lines_that_come_late_are_taken_from_an_http_server(mute: Callable[..., Mute]) -> None:
    server = mute(lambda head: b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    source = LineSource(f"http://127.0.0.1:{server.port}/")
    source.start(lambda: None)
    assert stays(lambda: len(source.take(1)) == 0, 4 * lines.ANSWER_S)
    server.connections[0].sendall(b"7\n")
    assert until(lambda: source.take(1).values.tolist()) == [7.0]
    source.close()


def test_a_service_whose_source_says_nothing_is_not_ready(make_config: Any, begin: Any) -> None:
    feed = FeedSource(name="a")
    running = begin(make_config(source_silence_s=0.5), {"a": feed}).ready()
    assert running.metric('predictor_last_tick_age_seconds{asset="a"}') >= 0.0
    running.until(lambda: running.page("/readyz")[0] == 503)
    assert "sources: a: no tick for" in running.page("/readyz")[1] and running.page("/healthz")[0] == 200
    assert running.metric('predictor_condition{part="sources"}') == 1
    assert running.metric('predictor_last_tick_age_seconds{asset="a"}') >= 0.5
    feed.put(1.0)
    running.until(lambda: running.page("/readyz") == (200, "ready\n"))
    assert running.end() == 0


def test_silence_is_measured_by_the_usual_interval(make_config: Any, begin: Any) -> None:
    """Twenty intervals of a minute are more than half a second, however short the setting."""
    feed = FeedSource(name="a")
    running = begin(make_config(source_silence_s=0.5), {"a": feed}).ready()
    for k in range(5):
        feed.put(float(k), k * 60 * 10**9)
    running.until(lambda: running.service.series[0].ticks == 5)
    assert stays(lambda: running.page("/readyz")[0] == 200, 1.5)
    assert running.end() == 0


@pytest.mark.parametrize(("hours_later", "ready"), [(0, True), (6, False)])
def test_a_night_is_no_silence_and_a_silent_noon_is_one(
    make_config: Any, begin: Any, hours_later: int, ready: bool
) -> None:
    """After three days whose ticks end at the same hour: the source falls silent at that hour, or six hours later."""
    feed = FeedSource(name="a")
    running = begin(make_config(source_silence_s=0.5), {"a": feed}).ready()
    start, hour, millisecond = 1_771_632_000 * 10**9, 3600 * 10**9, 10**6
    stamps = [start + 24 * hour * day + millisecond * k for day in range(4) for k in range(5)]
    stamps += [stamps[-1] + hours_later * hour + millisecond * k for k in (1, 2)]
    for k, stamp in enumerate(stamps):
        feed.put(float(k), stamp)
        running.until(lambda k=k: running.service.series[0].ticks == k + 1)
    if ready:
        assert stays(lambda: running.page("/readyz")[0] == 200, 1.5)
    else:
        running.until(lambda: running.page("/readyz")[0] == 503)
    assert running.end() == 0


class Elsewhere:
    """An HTTP server that notes every request which reaches it."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []
        noted = self.requests

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                noted.append(dict(self.headers.items()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_redirect_is_not_followed_and_takes_no_credentials_along(
    scheme: str, status: int, mute: Callable[..., Mute], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USPNB_SOURCE_TOKEN", TOKEN)
    elsewhere = Elsewhere()
    asked: list[bytes] = []

    def redirect(head: bytes) -> bytes:
        asked.append(head)
        where = f"{scheme}://127.0.0.1:{elsewhere.port}/"
        return f"HTTP/1.1 {status} Moved\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()

    fault = fault_of(LineSource(f"{scheme}://127.0.0.1:{mute(redirect).port}/"))
    assert TOKEN.encode() in asked[0] and elsewhere.requests == []
    assert "moved" in fault.reason and TOKEN not in f"{fault}{fault.args}"
    elsewhere.close()

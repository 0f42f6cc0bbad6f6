"""`LineSource`: lines of text from a WebSocket or an HTTP server."""

from __future__ import annotations

import codecs
import contextlib
import http
import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from ..errors import DomainError, shown
from ..runtime.credentials import checked_address, is_loopback, public_name, read_credentials
from .items import Clock, read_line
from .reader import ReadingSource

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
    USPNB_SOURCE_PASSWORD by basic authentication; unencrypted only to this machine.  They appear in no message.  A
    redirect would take them along and is a fault, which says so.

    A server that takes a connection and does not answer is a fault after ten seconds.  From one that falls silent later
    a WebSocket wants an answer to a ping, and HTTP one to the probes of TCP; where none comes within a minute, the
    connection counts as broken.  A server that lives and has nothing to say is waited for.

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


CONNECT_S = 5.0
ANSWER_S = 10.0
PING_AFTER_S, PONG_S = 20.0, 20.0
PROBE_AFTER_S, PROBE_EVERY_S, PROBES = 20, 10, 3
POLL_S = 0.2
CLOSE_S = 0.2
BLOCK = 1 << 16
LARGEST_MESSAGE = 1 << 20
NORMAL_CLOSE, TOO_LARGE = 1000, 1009

_quiet = logging.getLogger("uspnb.sources.websockets")
_quiet.setLevel(logging.INFO)  # below that websockets logs every header, the credentials too


class ConnectionLost(Exception):
    """A server could not be reached, refused, or went away before the end; its text has no address and no header."""


@runtime_checkable
class Transport(Protocol):
    """An open connection, a context manager."""

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[str]:
        """Text as it comes, until the server ends it in order or `stopped` says so.

        Raises:
            ConnectionLost: the connection broke.
        """
        ...

    def interrupt(self) -> None:
        """Make `blocks` end soon; from any thread."""

    def __enter__(self) -> Transport: ...

    def __exit__(self, *error: object) -> None: ...


def open_transport(url: str, authorization: str | None) -> Transport:
    """Connect.

    Args:
        url: the whole address.
        authorization: the value of the `Authorization` header, None for none.

    Raises:
        ConnectionLost: the server cannot be reached or refuses.
    """
    kind = WebSocketLines if url.startswith("ws") else HttpLines
    return kind(url, authorization)


class WebSocketLines:
    """Messages of a WebSocket; each ends a line."""

    def __init__(self, url: str, authorization: str | None) -> None:
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import ClientConnection, connect

        class Unmoved(ClientConnection):
            """The library follows a redirect, as far as it leads; this one ends at any answer but the right one."""

            def handshake(self, *arguments: Any, **options: Any) -> None:
                try:
                    super().handshake(*arguments, **options)
                except InvalidStatus as error:
                    raise ConnectionLost(_status(error.response.status_code)) from None

        headers = {"Authorization": authorization} if authorization else None
        try:
            self._socket = connect(
                url,
                additional_headers=headers,
                open_timeout=CONNECT_S,
                close_timeout=CLOSE_S,
                max_size=LARGEST_MESSAGE,
                # The library's pings would go unanswered while the reader waits for room; `blocks` sends its own.
                ping_interval=None,
                proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
                logger=_quiet,
                create_connection=Unmoved,
            ).__enter__()
        except (WebSocketException, OSError, EOFError) as error:
            raise ConnectionLost(f"no connection: {why(error)}") from None

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[str]:
        """Messages with an end of line; see `Transport.blocks`."""
        from websockets.exceptions import ConnectionClosed

        heard_s, pong = time.monotonic(), None
        while not stopped():
            try:
                try:
                    message = self._socket.recv(timeout=POLL_S)
                except TimeoutError:
                    silent_s = time.monotonic() - heard_s
                    if pong is not None and pong.is_set():
                        heard_s, pong = time.monotonic(), None
                    elif pong is None and silent_s > PING_AFTER_S:
                        pong = self._socket.ping()
                    elif silent_s > PING_AFTER_S + PONG_S:
                        raise ConnectionLost(f"the server is silent and answers no ping within {PONG_S:g} s") from None
                    continue
            except ConnectionClosed as error:
                if error.rcvd is not None and error.rcvd.code == NORMAL_CLOSE:
                    return
                if error.sent is not None and error.sent.code == TOO_LARGE:
                    raise ConnectionLost(f"a message is larger than {LARGEST_MESSAGE:,} bytes; send lines") from None
                code = "" if error.rcvd is None else f" with code {error.rcvd.code}"
                raise ConnectionLost(f"the server closed the connection{code}") from None
            except OSError as error:
                raise ConnectionLost(f"the connection broke: {why(error)}") from None
            heard_s, pong = time.monotonic(), None
            text = message.decode("utf-8", errors="replace") if isinstance(message, bytes) else message
            yield text + "\n"

    def interrupt(self) -> None:
        """`blocks` looks up often enough; see `Transport.interrupt`."""

    def __enter__(self) -> WebSocketLines:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()


class HttpLines:
    """The body of an HTTP response, as it comes."""

    def __init__(self, url: str, authorization: str | None) -> None:
        import requests

        def authorize(request: Any) -> Any:
            # A function, even one that adds nothing, keeps requests from sending what a .netrc file holds.
            if authorization:
                request.headers["Authorization"] = authorization
            return request

        host = urlsplit(url).hostname or ""
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _probing_adapter())
        try:
            self._response = self._session.get(
                url,
                stream=True,
                timeout=(CONNECT_S, ANSWER_S),
                auth=authorize,
                allow_redirects=False,  # a redirect would take the credentials along
                proxies={"no_proxy": host} if is_loopback(host) else None,
                headers={"Accept-Encoding": "identity", "Accept": "application/x-ndjson, text/csv, text/plain, */*"},
            )
        except (requests.RequestException, OSError) as error:
            self._session.close()
            raise ConnectionLost(f"no connection: {why(error)}") from None
        if self._response.status_code != http.HTTPStatus.OK:
            status = _status(self._response.status_code)
            self.__exit__()
            raise ConnectionLost(status)

    def blocks(self, stopped: Callable[[], bool]) -> Iterator[str]:
        """Text as it comes; see `Transport.blocks`."""
        from urllib3.exceptions import HTTPError

        raw = self._response.raw
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        while not stopped():
            try:
                block = raw.read1(BLOCK, decode_content=True)
            except (HTTPError, OSError, ValueError) as error:
                raise ConnectionLost(f"the connection broke: {why(error)}") from None
            if not block:
                break
            yield decoder.decode(block)
        headers = self._response.headers
        whole = "content-length" in headers or headers.get("transfer-encoding", "").lower() == "chunked"
        if not whole and not stopped():
            # Without either header the end of a stream cannot be told from a server that died.
            raise ConnectionLost("the server closed the connection")

    def interrupt(self) -> None:
        """Shut the socket, from which `blocks` reads; see `Transport.interrupt`."""
        with contextlib.suppress(RuntimeError, ValueError, OSError):  # it is shut already
            self._response.raw.shutdown()

    def __enter__(self) -> HttpLines:
        return self

    def __exit__(self, *error: object) -> None:
        self._response.close()
        self._session.close()


def _probing_adapter() -> Any:
    """An adapter of requests that limits the wait for a response's head, and not the wait for its lines.

    Lines may come days apart: whether a silent server lives, TCP asks, where the system can.
    """
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    # The first is the library's own default, which a list of options replaces.
    probes = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    wanted = {"TCP_KEEPIDLE": PROBE_AFTER_S, "TCP_KEEPINTVL": PROBE_EVERY_S, "TCP_KEEPCNT": PROBES}
    probes += [(socket.IPPROTO_TCP, getattr(socket, n), value) for n, value in wanted.items() if hasattr(socket, n)]

    def patient(pool: Any, kind: Any) -> Any:
        class Connection(kind):
            def getresponse(self) -> Any:
                sock = self.sock
                response = super().getresponse()
                sock.settimeout(None)
                return response

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    pools = {
        "http": patient(HTTPConnectionPool, HTTPConnection),
        "https": patient(HTTPSConnectionPool, HTTPSConnection),
    }

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, socket_options=probes, **options)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
            manager = super().proxy_manager_for(proxy, socket_options=probes, **options)
            manager.pool_classes_by_scheme = pools
            return manager

    return Adapter()


def _status(code: int) -> str:
    texts = {
        401: "the server wants credentials; set USPNB_SOURCE_TOKEN, or USPNB_SOURCE_USER and USPNB_SOURCE_PASSWORD",
        403: "the server refuses these credentials",
        404: "the server has nothing at this address",
    }
    if 300 <= code < 400:
        return f"the server answered {code}: the address has moved; give the new one"
    return f"the server answered {code}: {texts.get(code, 'give an address that streams lines')}"


def why(error: BaseException) -> str:
    """What went wrong, from the innermost operating system error; libraries put whole addresses into their texts."""
    if isinstance(error, TimeoutError) and not error.strerror:
        return "no answer in time"
    visited: list[BaseException] = []
    queue: list[BaseException] = [error]
    while queue:
        one = queue.pop(0)
        if one in visited:
            continue
        visited.append(one)
        if isinstance(one, http.client.IncompleteRead):
            return "the server went away in mid-stream"
        if isinstance(one, OSError) and one.strerror:
            return one.strerror
        related = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        queue.extend(other for other in related if isinstance(other, BaseException))
    return type(visited[-1]).__name__

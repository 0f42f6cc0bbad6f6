"""`serve`: all apps on one port of this machine, with a password where others can reach it."""

from __future__ import annotations

import errno
import importlib
import json
import logging
import secrets
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import panel as pn
from bokeh.server.views.auth_request_handler import AuthRequestHandler
from bokeh.settings import settings as bokeh_settings
from panel.io.server import get_server
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler, authenticated
from tornado.websocket import WebSocketClosedError

from uspnb import runtime
from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError, UspnbError
from uspnb.runtime.credentials import is_loopback

from .admission import Admission, PageHandler, PageSocket
from .downloads import DownloadHandler
from .entrance import STATIC_ROUTES, protect
from .login import PasswordLogin
from .opening import PIECE
from .page import FOLDER, error_page
from .reach import APPS, LOOPBACK, check_reach
from .site import MOST_BYTES, Site

PAGE_LIFETIME_MS = 10_000
CHECK_MS = 1_000
# one piece of an upload and what stands around it; everything else that a page sends is short
MOST_MESSAGE_BYTES = 4 * PIECE
# a request is an address or a password, and comes at once
HTTP_LIMITS = {
    "max_body_size": 65_536,
    "max_header_size": 65_536,
    "body_timeout": 10.0,
    "idle_connection_timeout": 60.0,
}
WARM_UP_TICKS = 300
_logger = logging.getLogger("uspnb.serve")


class _LeftVisitors(logging.Filter):
    """Drops what asyncio has to say about a page that was closed while something was on its way to it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], (WebSocketClosedError, StreamClosedError)))


class HealthHandler(RequestHandler):
    """That the server answers, for a supervisor."""

    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.write("ok\n")


class StatusHandler(AuthRequestHandler):
    """How the server is doing, for who may see its pages: pages open and waited for, sessions, threads."""

    def initialize(self, pages: Callable[[], int], warm: threading.Event) -> None:
        self._pages, self._warm = pages, warm

    @authenticated
    def get(self) -> None:
        names = [thread.name for thread in threading.enumerate()]
        admission: Admission = self.settings["admission"]
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/json")
        facts = {
            "pages": self._pages(),
            "waiting": admission.waiting,
            "refused": admission.refused,
            "sessions": sum(name.startswith("uspnb-session") for name in names),
            "threads": len(names),
            "warm": self._warm.is_set(),
        }
        self.write(json.dumps(facts))


def serve(
    app: str = "live",
    *,
    port: int = 5006,
    address: str = LOOPBACK,
    source: Any = None,
    config: PredictorConfig | None = None,
    config_path: Path | None = None,
    allow_origin: Sequence[str] = (),
    password: str | None = None,
    behind_proxy: bool = False,
    open_browser: bool = False,
    most_bytes: int = MOST_BYTES,
    source_options: dict[str, Any] | None = None,
    seconds: float | None = None,
    announce: Callable[[str], None] = print,
    client: Any = None,
) -> None:
    """Serve the apps until an interrupt (Ctrl-C) or a termination signal.

    Args:
        app: which app `source` is meant for, and whose address is announced: "live", "fleet", "explore" or "tune".
        port: where to listen; 0 takes a free one.
        address: at which address of this machine; others than the loopback one demand a password.
        source: what the app shows, see `Site`; without it the pages offer series of their own.
        config: settings of every predictor; the defaults if left out.
        config_path: the file that they came from; the tune app may write it and reads there how campaigns run.
        allow_origin: further HOST or HOST:PORT by which browsers may reach the server, such as that of a proxy.
        password: what a visitor has to type first; None lets everybody in.
        behind_proxy: whether a proxy says in `X-Real-IP` and `X-Forwarded-Proto` who asks and over what, and overwrites
            what visitors put there; without it the proxy itself is the visitor whose wrong passwords count.
        open_browser: whether to open the page in this machine's browser.
        most_bytes: largest file that a page may be handed.
        source_options: how to open the source: `follow`, `time`, `value`, ...
        seconds: how long to serve, None for until the signal.
        announce: told the address once the server listens.
        client: of a Dask cluster that computes the fleet of the fleet app.

    Raises:
        DomainError: an address that others can reach without a password, a port that is taken or out of range, an
            unknown app, a source that cannot be opened, or a password that cannot be used.
    """
    site = Site(
        app,
        config or PredictorConfig(),
        source,
        source_options or {},
        most_bytes,
        config_path=config_path,
        client=client,
    )
    check_reach(app, address, port, password)
    runtime.enable_compilation_cache()
    site.start_source()
    try:
        server = build(
            site,
            port=port,
            address=address,
            allow_origin=allow_origin,
            password=password,
            behind_proxy=behind_proxy,
        )
        _run(server, site, open_browser, seconds, announce)
    finally:
        site.close()


def build(
    site: Site,
    *,
    port: int,
    address: str,
    allow_origin: Sequence[str] = (),
    password: str | None = None,
    behind_proxy: bool = False,
) -> Any:
    """The server, listening but not yet answering; `serve` runs it.

    Raises:
        DomainError: the port is taken, the address is not one of this machine, or an origin is a pattern.
    """
    # pages fetch every script from this server, none from elsewhere
    bokeh_settings.resources = "server"
    port = port or _free_port(address)
    server: Any = None

    def pages() -> int:
        return sum(len(server.get_sessions(f"/{name}")) for name in APPS) if server else 0

    guarded: dict[str, Any] = {name: _guarded(name, site) for name in APPS}
    reached = origins(address, port, allow_origin)
    routes: list[Any] = [
        *STATIC_ROUTES,
        (r"/export/([\w-]+)/([\w.-]+)", DownloadHandler),
        (r"/health", HealthHandler),
        (r"/status", StatusHandler, {"pages": pages, "warm": site.warm}),
    ]
    try:
        server = get_server(
            guarded,
            port=port,
            address=address,
            title={name: words[0] for name, words in APPS.items()},
            websocket_origin=reached,
            index=str(FOLDER / "index.html"),
            ico_path=str(FOLDER / "icon.svg"),
            websocket_max_message_size=MOST_MESSAGE_BYTES,
            unused_session_lifetime_milliseconds=PAGE_LIFETIME_MS,
            check_unused_sessions_milliseconds=CHECK_MS,
            extra_patterns=routes,
            sign_sessions=True,
            secret_key=secrets.token_bytes(32),
            # a page carries what it was asked with, which its scripts can read
            include_headers=["User-Agent"],
            include_cookies=["uspnb_theme"],
            use_xheaders=behind_proxy,
            http_server_kwargs=dict(HTTP_LIMITS),
            admission=Admission(pages),
            **PasswordLogin(password).settings if password is not None else {},
        )
    except OSError as error:
        raise DomainError(_why_not(error, address, port)) from None
    names = {urlsplit(f"//{origin}").hostname or "" for origin in reached}
    protect(server._tornado, [route[0] for route in routes], names, {"/?": PageHandler, "/ws": PageSocket})
    return server


def _why_not(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {address} is taken by another program; end that one, or choose another port: "
            f"--port {port + 1 if port < 65_535 else port - 1}, or --port 0 for a free one"
        )
    if error.errno == errno.EACCES:
        return f"port {port} may not be used by this account; choose one above 1023, such as --port 5006"
    return f"address {address} cannot be served ({error.strerror or error}); --address {LOOPBACK} always can"


def _free_port(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((address, 0))
            return probe.getsockname()[1]
    except OSError as error:
        raise DomainError(_why_not(error, address, 0)) from None


def origins(address: str, port: int, allow_origin: Sequence[str] = ()) -> list[str]:
    """Who may open a websocket: pages that came from here, under each name that this address goes by.

    Raises:
        DomainError: a pattern in place of a name.
    """
    for name in allow_origin:
        if "*" in name or not urlsplit(f"//{name}").hostname:
            raise DomainError(f"{name!r} is no name of a host; name each by which browsers come: --allow-origin HOST")
    names = {f"[{address}]" if ":" in address else address}
    if is_loopback(address):
        names |= {LOOPBACK, "localhost"}
    elif address in ("0.0.0.0", "::"):
        names |= {LOOPBACK, "localhost", socket.gethostname(), socket.getfqdn()}
    return sorted(f"{name}:{port}" for name in names) + list(allow_origin)


def _guarded(app: str, site: Site) -> Callable[[], pn.Template]:
    def make() -> pn.Template:
        try:
            module = importlib.import_module(f".{app}", __package__)
            page = getattr(module, f"{app.capitalize()}Page")(site)
            site.on_page_end(page.close)
            pn.state.onload(page.start)
            return page.template()
        except UspnbError as error:
            return error_page(app, str(error))
        except Exception:  # whatever went wrong, a visitor gets a page that says so, and the log the details
            _logger.exception("the page %s could not be made", app)
            return error_page(
                app, "This page could not be made because of an error in uspnb; the server's log has the details."
            )

    return make


_LEFT_VISITORS = _LeftVisitors()


def _run(server: Any, site: Site, open_browser: bool, seconds: float | None, announce: Callable[[str], None]) -> None:
    loop: IOLoop = server.io_loop
    warm = threading.Thread(target=_warm_up, args=(site,), name="uspnb-warm-up", daemon=True)

    def stop(*_: Any) -> None:
        loop.add_callback_from_signal(loop.stop)

    previous = {}
    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    # For good: what was not delivered to a visitor who has left may be told when the interpreter ends.
    logging.getLogger("asyncio").addFilter(_LEFT_VISITORS)
    server.start()
    address = server.address
    shown = LOOPBACK if address in ("0.0.0.0", "::") else f"[{address}]" if ":" in address else address
    url = f"http://{shown}:{server.port}/{site.app}"
    announce(f"uspnb is served at {url} (end with Ctrl-C)")
    if open_browser:
        loop.call_later(0.3, lambda: webbrowser.open(url))
    if seconds is not None:
        loop.call_later(seconds, loop.stop)
    loop.add_callback(warm.start)
    try:
        loop.start()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        server.stop()
        warm.join(timeout=30.0)


def _warm_up(site: Site) -> None:
    """Load what the pages import and compile a session's programs before a visitor needs them.

    Failing is for the page to tell that then fails in the same way.
    """
    values = np.cumsum(np.random.default_rng(0).standard_normal(WARM_UP_TICKS))
    try:
        importlib.import_module(f".{site.app}", __package__)
        with site.own_session(values, title="warm-up") as session:
            session.wait(timeout=300.0)
        for name in APPS:
            importlib.import_module(f".{name}", __package__)
        importlib.import_module("uspnb.plots.brushing")
    except (UspnbError, TimeoutError, OSError, ImportError) as error:
        _logger.warning("warming up failed: %s", error)
    finally:
        site.warm.set()

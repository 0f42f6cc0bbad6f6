"""Who may see the pages where a password is set: the form, the wait after a wrong one, and the cookie of a visitor."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import math
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from bokeh.server.auth_provider import AuthProvider
from tornado.web import RequestHandler

from .page import FOLDER
from .reach import APPS

COOKIE, TOKEN_COOKIE = "uspnb_visitor", "uspnb_xsrf"
VISITOR = "visitor"
COOKIE_DAYS = 1.0
FREE_WRONG, MOST_WRONG, MOST_ADDRESSES = 1, 10, 10_000
LONGEST_WAIT_S = 900.0
_logger = logging.getLogger("uspnb.serve")


class Attempts:
    """Wrong passwords by the address that they came from.

    The first costs nothing, the next ones a wait that doubles from one second; from the tenth on an address waits a
    quarter of an hour. An address is forgotten by a right password and by as long a time without a try.
    """

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[int, float]] = {}

    def wait_s(self, address: str, now: float) -> float:
        """How long an address has to wait before its next try is looked at [s]."""
        wrong, last = self._wrong.get(_network(address), (0, now))
        return max(0.0, last + _wait_s(wrong) - now)

    def add_wrong(self, address: str, now: float) -> int:
        """Count a wrong password; how many the address has given."""
        key = _network(address)
        wrong, last = self._wrong.pop(key, (0, now))
        wrong = 1 if now - last > 2.0 * LONGEST_WAIT_S else wrong + 1
        self._wrong[key] = (wrong, now)
        if len(self._wrong) > MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]
        return wrong

    def forget(self, address: str) -> None:
        """The right password has come from there."""
        self._wrong.pop(_network(address), None)


def _wait_s(wrong: int) -> float:
    if wrong >= MOST_WRONG:
        return LONGEST_WAIT_S
    return 0.0 if wrong <= FREE_WRONG else 2.0 ** (wrong - FREE_WRONG - 1)


def _network(address: str) -> str:
    """An IPv4 address, or the 64 bits of an IPv6 one that its owner cannot choose."""
    try:
        one = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(one) if one.version == 4 else str(ipaddress.ip_network((one, 64), strict=False))


class LoginHandler(RequestHandler):
    """The form, and what becomes of the password typed into it."""

    def initialize(self) -> None:
        self._login: PasswordLogin = self.settings["login"]

    def get(self) -> None:
        self._show("")

    def post(self) -> None:
        address, now, attempts = str(self.request.remote_ip), time.monotonic(), self._login.attempts
        wait = math.ceil(attempts.wait_s(address, now))
        if wait > 0:
            self.set_status(429)
            self.set_header("Retry-After", str(wait))
            self._show(f"Too many wrong passwords came from your address. Try again in {_in_words(wait)}.")
        elif self._login.accepts(self.get_body_argument("password", "", strip=False)):
            attempts.forget(address)
            self.set_signed_cookie(COOKIE, VISITOR, expires_days=COOKIE_DAYS, httponly=True, samesite="Lax")
            self.redirect(_page_after(self.get_query_argument("next", "")))
        else:
            wrong = attempts.add_wrong(address, now)
            wait = math.ceil(attempts.wait_s(address, now))
            _logger.warning("wrong password from %s, number %d; the next is looked at in %d s", address, wrong, wait)
            self.set_status(403)
            pause = f" Wait {_in_words(wait)} before the next try." if wait else ""
            self._show(f"That is not the password.{pause}")

    def set_cookie(self, name: str, value: Any, *args: Any, **settings: Any) -> None:
        """Set a cookie, which over TLS travels over nothing else."""
        super().set_cookie(name, value, *args, **settings | {"secure": self.request.protocol == "https"})

    def _show(self, refusal: str) -> None:
        self.set_header("Cache-Control", "no-store")
        self.render(str(FOLDER / "login.html"), refusal=refusal)


class PasswordLogin(AuthProvider):
    """Lets in who has typed the password.

    Args:
        password: what a visitor has to type.
    """

    def __init__(self, password: str) -> None:
        self._digest = _digest_of(password)
        self.attempts = Attempts()
        super().__init__()

    def accepts(self, password: str) -> bool:
        """Whether that is the password."""
        return hmac.compare_digest(_digest_of(password), self._digest)

    @property
    def get_user(self) -> Callable[[Any], str | None]:
        """Who asks, None for a stranger."""
        return read_visitor

    @property
    def login_url(self) -> str:
        """Where the form is."""
        return "/login"

    @property
    def login_handler(self) -> type[RequestHandler]:
        """What answers there."""
        return LoginHandler

    @property
    def settings(self) -> dict[str, Any]:
        """What the server needs to sign cookies and to know its own form again."""
        return {
            "auth_provider": self,
            "login": self,
            "cookie_secret": secrets.token_hex(32),
            "xsrf_cookies": True,
            "xsrf_cookie_name": TOKEN_COOKIE,
            "xsrf_cookie_kwargs": {"httponly": True, "samesite": "Strict"},
        }


def read_visitor(handler: RequestHandler) -> str | None:
    """The visitor whom a signed cookie names, None where there is none."""
    value = handler.get_signed_cookie(COOKIE, max_age_days=COOKIE_DAYS)
    return value.decode() if value else None


def _digest_of(password: str) -> bytes:
    # comparing two of them takes the same time whatever the length
    return hashlib.sha256(password.encode()).digest()


def _page_after(wanted: str) -> str:
    """The page of ours that a visitor wanted to see, the front page for anything else."""
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "./"
    if parts.scheme or parts.netloc or parts.path.removeprefix("/") not in APPS:
        return "./"
    return f".{parts.path}?{parts.query}" if parts.query else f".{parts.path}"


def _in_words(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"

"""A visitor of the page server without a browser: requests from a loopback address of choice, and the login."""

from __future__ import annotations

import contextlib
import html
import http.client
import http.cookies
import re
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from browser import Served
from waiting import PATIENCE_S

HOME, ELSEWHERE = "127.0.0.1", "127.0.0.7"
PASSWORD = "open sésame"
BAIT = "imported_by_a_visitor"  # a module on the path of the servers


class Answer(NamedTuple):
    """Of the server."""

    status: int
    headers: dict[str, str]
    cookies: http.cookies.SimpleCookie
    body: bytes


def ask(
    server: Served,
    path: str,
    method: str = "GET",
    *,
    at: str = HOME,
    body: dict[str, str] | None = None,
    **headers: str,
) -> Answer:
    """One request; names of headers are written with `_` for `-`."""
    parts = urlsplit(server.address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=PATIENCE_S, source_address=(at, 0))
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    with contextlib.closing(connection):
        connection.request(method, path, None if body is None else urlencode(body), sent)
        answer = connection.getresponse()
        cookies = http.cookies.SimpleCookie()
        for text in answer.headers.get_all("Set-Cookie", []):
            cookies.load(text)
        return Answer(answer.status, dict(answer.headers), cookies, answer.read())


def sign_in(server: Served, password: str, at: str = HOME, path: str = "/login", **headers: Any) -> Answer:
    """Fetch the form and send a password with it."""
    form = ask(server, path, at=at, **headers)
    (token,) = re.findall(rb'name="_xsrf" value="([^"]+)"', form.body)
    cookie = f"uspnb_xsrf={form.cookies['uspnb_xsrf'].value}"
    body = {"_xsrf": html.unescape(token.decode()), "password": password}
    return ask(server, path, "POST", at=at, body=body, Cookie=cookie, **headers)


def shake(server: Served, token: str, **headers: str) -> int:
    """The status of the answer to a websocket's first request."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    upgrade |= {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Protocol": f"bokeh, {token}"}
    parts = urlsplit(server.address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        sent = {name.replace("_", "-"): value for name, value in (upgrade | headers).items()}
        connection.request("GET", "/live/ws", headers=sent)
        return connection.getresponse().status

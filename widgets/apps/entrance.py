"""What the server answers at all: the list of its routes, the names that it goes by, and what every answer carries.

Panel and Bokeh have more routes than the pages need, one of which imports the module that an address names.  What is
not on the list is not there, whatever a later version of theirs adds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from panel.io.server import AuthenticatedStaticFileHandler
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.routing import AnyMatches, Matcher, PathMatches, Rule
from tornado.web import Application, OutputTransform, RequestHandler, StaticFileHandler

from uspnb.runtime.credentials import is_addressed

from .page import FOLDER, STATIC_FILES
from .reach import APPS

#: routes of Panel and Bokeh that stay
LISTED = ("/?", "/favicon.ico", "/static/extensions/(.*)", "/static/(.*)", "/login")
_STYLE = rf"/style/({'|'.join(STATIC_FILES)})".replace(".", r"\.")
# Panel asks for a part's styles by the module and the class that name them; all parts have the same ones
_PART = r"/components/uspnb\.widgets\.apps\.\w+/\w+/_stylesheets/(elements\.css)"
STATIC_ROUTES: tuple[tuple[str, type[RequestHandler], dict[str, Any]], ...] = (
    (_STYLE, StaticFileHandler, {"path": str(FOLDER)}),
    (_PART, AuthenticatedStaticFileHandler, {"path": str(FOLDER)}),
)
#: by which Bokeh would let an address choose its session
_CHOOSING = ("bokeh-session-id", "bokeh-token")
POLICY = "Content-Security-Policy"
_SOURCES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    "Server": "uspnb",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Refusal(RequestHandler):
    """Answers what nothing else answers."""

    def initialize(self, status: int = 404, reason: str = "There is no such page on this server.") -> None:
        self._status, self._why = status, reason

    def prepare(self) -> None:
        self.set_status(self._status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(self._why + "\n")

    def check_xsrf_cookie(self) -> None:
        """Nothing is done here whoever asks."""


class ForeignHost(Matcher):
    """Matches a request for a host that this server is not.

    Args:
        names: those that it is, besides this machine's loopback.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        return None if is_addressed(request.host, self._names) else {}


class ChosenSession(Matcher):
    """Matches a request that names the session it wants."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        chosen = "Bokeh-Session-Id" in request.headers or any(name in request.arguments for name in _CHOOSING)
        return {} if chosen else None


def strict_policy(**changes: str) -> str:
    """A content security policy under which everything comes from this server and no script stands in a page.

    Args:
        changes: other sources of some kinds, scripts for one.
    """
    sources = _SOURCES | {name.replace("_", "-"): value for name, value in changes.items()}
    return "; ".join(f"{name} {value}" for name, value in sources.items())


def page_policy(nonce: str) -> str:
    """The policy of a page of Panel, as strict as it allows: it makes scripts into blobs and texts into functions.

    What somebody gets into a page as a tag or as the attribute of one does not run.

    Args:
        nonce: the mark of the scripts that stand in the page.
    """
    return strict_policy(
        script_src=f"'self' 'nonce-{nonce}' 'unsafe-eval' blob:",
        connect_src="'self' blob:",
        style_src="'self' 'unsafe-inline'",
        img_src="'self' data: blob:",
    )


class Protection(OutputTransform):
    """Puts the headers onto every answer; a page may have a policy of its own."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        for name, value in _HEADERS.items():
            headers[name] = value
        if POLICY not in headers:
            headers[POLICY] = strict_policy()
        return status_code, headers, chunk


def protect(
    application: Application,
    own: Collection[str],
    names: Collection[str],
    handlers: Mapping[str, type[RequestHandler]],
) -> None:
    """Have a server answer what is on its list, and nothing else.

    Args:
        application: of Bokeh, with all its routes.
        own: patterns of the routes that we have added.
        names: hosts that it goes by.
        handlers: what answers in an app by the end of its address.
    """
    pages = {f"/{app}{end}": handler for app in APPS for end, handler in handlers.items()}
    listed: list[Rule] = []
    for rule in application.wildcard_router.rules:
        pattern = rule.matcher.regex.pattern.removesuffix("$") if isinstance(rule.matcher, PathMatches) else ""
        if pattern in pages:
            rule.target = pages[pattern]
        elif pattern not in own and pattern not in LISTED:
            continue
        listed.append(rule)
    application.wildcard_router.rules = listed
    elsewhere = {"status": 421, "reason": "This server does not go by that name; see --allow-origin."}
    chosen = {"status": 403, "reason": "The server names sessions by itself; open the page without one."}
    application.default_router.rules = [
        Rule(ForeignHost(names), Refusal, elsewhere),
        Rule(ChosenSession(), Refusal, chosen),
        Rule(AnyMatches(), application.wildcard_router),
    ]
    application.settings["default_handler_class"] = Refusal
    application.add_transform(Protection)

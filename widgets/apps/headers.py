"""What every answer tells the browser, so that it protects the reader: where scripts may come from, who may frame."""

from __future__ import annotations

from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform

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

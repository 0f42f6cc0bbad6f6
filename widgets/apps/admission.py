"""How pages are opened: one after the other, so that the server answers in between, and so many at most.

Making a page takes the event loop for some tenths of a second.  Openings wait for their turn; whoever would wait too
long, or comes when as many pages are open as the server bears, is asked to come again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

from bokeh.protocol.exceptions import ProtocolError
from bokeh.util.token import get_session_id
from panel.io.server import DocHandler, WSHandler
from tornado.web import authenticated

from .entrance import POLICY, page_policy
from .page import FOLDER

MOST_PAGES, MOST_WAITING = 100, 60
RETRY_S = 10
# in which a request that has come meanwhile is taken on, read and answered, a turn of the loop for each
PAUSE_S = 0.01
TRY_AGAIN_LATER = 1013  # of RFC 6455's registry of close codes
FULL = "Many pages are being opened or are open on this server. Load this page again in a moment."
_logger = logging.getLogger("uspnb.serve")


class Full(Exception):
    """As many pages are open, or wait to be, as the server bears."""


class Admission:
    """The queue in front of the pages.

    Args:
        pages: how many are open.
        most_pages: how many may be.
        most_waiting: how many may wait to be opened.
    """

    def __init__(
        self, pages: Callable[[], int], most_pages: int = MOST_PAGES, most_waiting: int = MOST_WAITING
    ) -> None:
        self._pages, self._most_pages, self._most_waiting = pages, most_pages, most_waiting
        self._turn = asyncio.Lock()
        self.waiting = 0
        self.refused = 0

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn to open a page.

        Raises:
            Full: there is no place, to wait or to be opened.
        """
        if self.waiting >= self._most_waiting:
            self._refuse()
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        try:
            if self._pages() >= self._most_pages:
                self._refuse()
            yield
            await asyncio.sleep(PAUSE_S)
        finally:
            self._turn.release()

    def _refuse(self) -> None:
        self.refused += 1
        raise Full


class PageHandler(DocHandler):
    """A page, made in its turn; its scripts carry a mark that no others have."""

    _left = False

    def on_connection_close(self) -> None:
        """The visitor has left while the page was waited for."""
        self._left = True
        super().on_connection_close()

    @authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        admission: Admission = self.application.settings["admission"]
        handler: Any = super()
        try:
            async with admission.turn():
                if not self._left:
                    await handler.get(*args, **kwargs)
        except Full:
            self.set_status(503)
            self.set_header("Retry-After", str(RETRY_S))
            self.set_header("Cache-Control", "no-store")
            self.render(str(FOLDER / "refusal.html"), heading="The server is busy", reason=FULL)

    @authenticated
    async def get_session(self) -> Any:
        handler: Any = super()
        session = await handler.get_session()
        nonce = secrets.token_urlsafe(16)
        session.document.template_variables["nonce"] = nonce
        self.set_header(POLICY, page_policy(nonce))
        await asyncio.sleep(PAUSE_S)  # others are answered between the making and the drawing
        return session


class PageSocket(WSHandler):
    """What a page and the server say to each other; a page that has to be made again waits for its turn."""

    def open(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().open(*args, **kwargs)
        except (ProtocolError, ValueError, KeyError, TypeError) as error:  # whatever a stranger sends as a token
            _logger.warning("a websocket from %s was refused: %s", self.request.remote_ip, str(error)[:200])
            self.close()

    async def _async_open(self, token: str) -> None:
        if get_session_id(token) in {session.id for session in self.application_context.sessions}:
            await super()._async_open(token)
            return
        admission: Admission = self.application.settings["admission"]
        try:
            async with admission.turn():
                await super()._async_open(token)
        except Full:
            self.close(TRY_AGAIN_LATER, "the server is busy")

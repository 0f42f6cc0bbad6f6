"""What a live view says to its session and the other way round, whichever host the view lives in."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uspnb.engine.session.view_columns import VIEW_COLUMNS
from uspnb.engine.session.view_stream import ViewStream
from uspnb.errors import UspnbError
from uspnb.model.kernels.registry import KERNEL_NAMES, kernel_colour, kernel_label
from uspnb.model.records import CHART_NAMES
from uspnb.plots.style import CHART_COLOURS

if TYPE_CHECKING:
    from .live_arguments import Shown

STATUS_PERIOD_S = 0.1
HOSTED = ("export", "snapshot")

Hook = Callable[[str, Any], Any]


def meta_of(session: Shown, rows: int) -> dict[str, Any]:
    """What the front end must know of a session beside its ticks, as JSON can hold it."""
    return {
        "title": session.title,
        "units": session.units,
        "columns": list(VIEW_COLUMNS),
        "kernels": [
            {"name": name, "label": kernel_label(name), "colour": kernel_colour(name)} for name in KERNEL_NAMES
        ],
        "charts": [{"name": name, "colour": CHART_COLOURS[name]} for name in CHART_NAMES],
        "phrases": {str(code): phrase for code, phrase in session.reasons.items()},
        "holder_threshold": session.holder_threshold,
        "confidence": session.confidence_level,
        "has_times": session.has_times,
        "live": session.live,
        "controls": True,
        "rows": rows,
    }


class LiveLink:
    """Carries ticks and status from a session to one widget, and commands back.

    Any thread may call any method.

    Args:
        session: what is watched.
        post: sets a trait of the widget by name.
        rows: ticks that the widget shows at most.
    """

    def __init__(self, session: Shown, post: Callable[[str, Any], None], rows: int) -> None:
        self.session = session
        self._post, self._rows = post, rows
        self._stream = ViewStream(session, lambda frame: post("frame", frame), rows)
        self._hooks: list[Hook] = []
        self._lock = threading.RLock()
        self._told: dict[str, Any] = {}
        self._told_at = -math.inf
        self._late: threading.Timer | None = None
        self._notice: dict[str, Any] | None = None
        self._pong: Any = None
        self._done: dict[Any, int] = {}
        self._older = threading.Lock()
        self._older_wanted: int | None = None
        self._closed = False
        self.meta = meta_of(session, rows)
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def stream(self) -> ViewStream:
        """The ticks on their way."""
        return self._stream

    def start(self) -> None:
        """Begin to listen to the session."""
        if self._unsubscribe is None and not self._closed:
            self._unsubscribe = self.session.subscribe(self.changed)

    def close(self) -> None:
        """Send no more; the session goes on."""
        self._closed = True
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
        self._stream.close()
        with self._lock:
            if self._late is not None:
                self._late.cancel()

    def on_command(self, hook: Hook) -> None:
        """Have `hook(name, value)` carry out "export" and "snapshot"; a string that it returns is shown in the view."""
        self._hooks.append(hook)

    def changed(self) -> None:
        """The session has something new."""
        self._stream.pump()
        self._tell()

    def notice(self, text: str) -> None:
        """Have the view show a sentence for some seconds."""
        with self._lock:
            number = 1 if self._notice is None else self._notice["id"] + 1
            self._notice = {"id": number, "text": text}
        self._tell(at_once=True)

    def receive(self, name: str, value: Any) -> None:
        """Take what the front end has set: "acknowledged", "hello", "window" or "command"."""
        if self._closed or not value:
            return
        if name == "acknowledged":
            self._stream.acknowledge(int(value))
        elif name == "hello":
            self._tell(at_once=True)
            self._stream.hello(value.get("client"))
        elif name == "window":
            self._want_older(int(value.get("first", 0)))
        elif name == "command":
            self._take_commands(value)

    def _take_commands(self, given: dict[str, Any]) -> None:
        """Carry out what is new among a command and the ones before it: a host may have merged messages."""
        client = given.get("client")
        with self._lock:
            done = self._done.pop(client, 0)
            new = [one for one in given.get("recent") or [given] if int(one.get("id", 0)) > done]
            self._done[client] = max([done, *(int(one.get("id", 0)) for one in new)])
            while len(self._done) > 16:
                del self._done[next(iter(self._done))]
        for one in new:
            self._carry_out(str(one.get("name", "")), one.get("value"), one.get("id"))

    def _carry_out(self, name: str, value: Any, number: Any) -> None:
        if name == "ping":
            self._pong = [number, time.time()]
            self._tell(at_once=True)
            return
        said: str | None = None
        try:
            if name in HOSTED:
                said = self._hosted(name, value)
            else:
                self.session.command(name, value)
        except (UspnbError, OSError) as error:
            said = str(error)
        if said:
            self.notice(said)

    def _hosted(self, name: str, value: Any) -> str | None:
        if self._hooks:
            said = [hook(name, value) for hook in self._hooks]
            return next((text for text in said if isinstance(text, str)), None)
        if name == "snapshot":
            mark = self.session.mark()
            return f"Marked as {mark.label} at tick {mark.tick}."
        return "Nothing here writes files; call session.export(path) with a path ending in .zarr, .nc or .html."

    def _want_older(self, first: int) -> None:
        """Read older ticks in a thread of their own, for they may lie on disk; the last wish counts."""
        self._older_wanted = first
        threading.Thread(target=self._read_older, name="uspnb-older-ticks", daemon=True).start()

    def _read_older(self) -> None:
        with self._older:
            first, self._older_wanted = self._older_wanted, None
            if first is None or self._closed:
                return
            try:
                self._stream.window(first)
            except (UspnbError, OSError) as error:
                self.notice(f"The older ticks could not be read: {error}")

    def _tell(self, at_once: bool = False) -> None:
        """Post the status where it has changed: a new phase at once, other news at most ten times a second."""
        with self._lock:
            if self._closed:
                return
            status = self._status()
            if status == self._told:
                return
            wait = self._told_at + STATUS_PERIOD_S - time.monotonic()
            if wait > 0 and not at_once and status["phase"] == self._told.get("phase"):
                if self._late is None:
                    self._late = threading.Timer(wait, self._tell_late)
                    self._late.daemon = True
                    self._late.start()
                return
            self._told, self._told_at = status, time.monotonic()
            meta = meta_of(self.session, self._rows)
            if meta != self.meta:
                self.meta = meta
                self._post("meta", meta)
            self._post("status", status)

    def _tell_late(self) -> None:
        with self._lock:
            self._late = None
        self._tell()

    def _status(self) -> dict[str, Any]:
        status = self.session.status.as_dict()
        # JSON has no word for infinity or NaN, and a browser refuses a message that contains one.
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in status.items()}
        return plain | {"notice": self._notice, "pong": self._pong}

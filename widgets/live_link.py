"""What a live view says to its session and the other way round, and what may be shown in one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from uspnb.engine.control import Control
from uspnb.errors import DomainError, UspnbError
from uspnb.model.fields import CHART_NAMES, view_columns
from uspnb.model.kernels.registry import kernel_colour, kernel_label
from uspnb.plots.style import CHART_COLOURS
from uspnb.runtime.arguments import check_choice, check_number, check_whole

from .link import Link, Post

THEMES = ("auto", "light", "dark")
ROWS = (100, 20_000)
HEIGHT = (300, 4000)
HOSTED = ("export", "snapshot")
#: a frame is little-endian float64: these ten numbers, then rows of the columns that `fixed_meta` names
HEADER = ("seq", "reset", "first_tick", "count", "columns", "sent_ms", "latest_tick", "kind", "missing", "revision")
LIVE, WINDOW = 0, 1

Hook = Callable[[str, Any], Any]


def check_view(session: Any, rows: Any, theme: Any, height: Any) -> None:
    """Refuse arguments that no view can be made of.

    Raises:
        DomainError: names the argument, its value and what is allowed.
    """
    methods = ("subscribe", "command", "view_rows")  # those of a session and of one asset of a fleet
    if isinstance(session, type) or not all(hasattr(session, name) for name in methods):
        raise DomainError(
            f"a live view shows a uspnb.Session, not a {type(session).__name__}; make one: uspnb.Session(series)"
        )
    check_whole("rows", rows, *ROWS, unit="ticks")
    check_whole("height", height, *HEIGHT, unit="pixels")
    check_choice("theme", theme, THEMES)


def shown_kernels(kernels: Sequence[str]) -> list[dict[str, str]]:
    """How a front end names and colours kernels, in their order."""
    return [{"name": name, "label": kernel_label(name), "colour": kernel_colour(name)} for name in kernels]


def fixed_meta(session: Control) -> dict[str, Any]:
    """What a front end must know of a session and no command changes, as JSON can hold it."""
    config = session.config
    return {
        "columns": list(view_columns(config)),
        "kernels": shown_kernels(config.kernels),
        "horizons": list(config.horizons),
        "levels": list(config.interval_levels),
        "season_slots": config.season_slots,
        "charts": [{"name": name, "colour": CHART_COLOURS[name]} for name in CHART_NAMES],
        "phrases": {str(code): phrase for code, phrase in session.reasons.items()},
        "controls": True,
    }


def meta_of(session: Control, rows: int) -> dict[str, Any]:
    """What it must know beside that, ticks and status."""
    return {
        "title": session.title,
        "units": session.units,
        "holder_threshold": session.holder_threshold,
        "confidence": session.confidence_level,
        "has_times": session.has_times,
        "live": session.live,
        "rows": rows,
    }


class TickFrames:
    """A session's ticks as frames: all since the last one, `rows` at most in each, and no tick left out.

    Args:
        session: what is watched.
        rows: ticks that a front end is given when it appears, and at most in one frame.

    Raises:
        DomainError: less than one row.
    """

    def __init__(self, session: Control, rows: int) -> None:
        self._session, self._rows = session, check_whole("rows", rows, 1)
        self._next, self._revision, self._missing = 0, -1, 0

    @property
    def missing(self) -> int:
        """Ticks that left the session's memory before they could be sent, since the front end began afresh."""
        return self._missing

    def next_frame(self, seq: int, reset: bool) -> bytes | None:
        """See `Link`; a cut of the history starts afresh as well."""
        if reset:
            self._missing = 0
        revision, ready = self._session.revision, self._session.rows_ready
        reset = reset or revision != self._revision or ready < self._next
        first = max(0, ready - self._rows) if reset else self._next
        stop = min(ready, first + self._rows)
        if stop <= first and not reset:
            return None
        real, rows = self._session.view_rows(first, stop)
        while len(rows) == 0 and stop < ready:  # so far behind that none of them is in memory any more
            real, rows = self._session.view_rows(stop, min(ready, stop + self._rows))
            stop = min(ready, stop + self._rows)
        if self._session.revision != revision or (len(rows) == 0 and stop > first):
            return None  # a cut came between the questions; its own push follows
        if not reset:
            self._missing += real - first
        self._revision, self._next = revision, real + len(rows)
        return self._pack(seq, rows, real, ready, reset=reset, kind=LIVE, revision=revision)

    def window(self, first: int) -> Callable[[int], bytes]:
        """A stretch of older ticks, from `first` on; what makes a frame of it."""
        ready, revision = self._session.rows_ready, self._session.revision
        first = max(0, min(first, ready - 1))
        # A session may still have on disk what has left its memory.
        read = getattr(self._session, "past_view_rows", self._session.view_rows)
        real, rows = read(first, min(first + self._rows, ready))
        return lambda seq: self._pack(seq, rows, real, ready, reset=True, kind=WINDOW, revision=revision)

    def _pack(
        self, seq: int, rows: np.ndarray, first: int, ready: int, *, reset: bool, kind: int, revision: int
    ) -> bytes:
        head = (
            seq, reset, first, *rows.shape, time.time() * 1e3, ready, kind, self._missing, revision,
        )  # fmt: skip
        frame = np.empty(len(HEADER) + rows.size, dtype="<f8")
        frame[: len(HEADER)], frame[len(HEADER) :] = head, np.ravel(rows)
        return frame.tobytes()


class LiveLink(Link):
    """Carries ticks and status from a session to one widget, and commands back.

    Args:
        session: what is watched.
        post: sets a trait of the widget by name.
        rows: ticks that the widget shows at most.
    """

    inbound: ClassVar[tuple[str, ...]] = (*Link.inbound, "window")

    def __init__(self, session: Control, post: Post, rows: int) -> None:
        self._rows, self._ticks, self._fixed_meta = rows, TickFrames(session, rows), fixed_meta(session)
        #: what carries out "export" and "snapshot"; a string that one returns is shown in the view
        self.hooks: list[Hook] = []
        self._older = threading.Lock()
        self._older_wanted: int | None = None
        super().__init__(session, post, self._ticks.next_frame)

    def read_meta(self) -> dict[str, Any]:
        """See `fixed_meta` and `meta_of`."""
        return self._fixed_meta | meta_of(self.watched, self._rows)

    def carry_out(self, name: str, value: Any) -> str | None:
        """A command of the session; "export" and "snapshot" belong to the host, which knows where files go."""
        if name not in HOSTED:
            return super().carry_out(name, value)
        if self.hooks:
            answers = [hook(name, value) for hook in self.hooks]
            return next((text for text in answers if isinstance(text, str)), None)
        if name == "snapshot":
            mark = self.watched.mark()
            return f"Marked as {mark.label} at tick {mark.tick}."
        return "Nothing here writes files; call session.export(path) with a path ending in .zarr, .nc or .html."

    def take(self, name: str, value: dict[str, Any]) -> None:
        """A "window" of older ticks; they are read in a thread of their own, for they may lie on disk."""
        if name != "window":
            return super().take(name, value)
        self._older_wanted = int(check_number("first", value.get("first")))
        threading.Thread(target=self._read_older, name="uspnb-older-ticks", daemon=True).start()

    def _read_older(self) -> None:
        with self._older:
            first, self._older_wanted = self._older_wanted, None
            if first is None or self.closed:  # a later wish has been read already
                return
            try:
                self.frames.send_aside(self._ticks.window(first))
            except (UspnbError, OSError) as error:
                self.notice(f"The older ticks could not be read: {error}", refused=True)


class LiveFace:
    """What a live view takes and offers beside its traits, in either host."""

    _link: LiveLink
    _set: Post
    #: the trait of the host that holds the height
    _height = "height"
    _jumps = 0

    def __init__(
        self,
        session: Control,
        rows: int = 10_000,
        theme: str = "auto",
        height: int = 640,
        toolbar: bool = True,
        **rest: Any,
    ) -> None:
        check_view(session, rows, theme, height)
        traits = {self._height: height, "theme": theme, "toolbar": toolbar} | rest
        super().__init__(LiveLink(session, self._set, rows), **traits)  # type: ignore[call-arg]  of the host

    @property
    def session(self) -> Control:
        """What is shown."""
        return self._link.watched

    def jump(self, tick: int) -> None:
        """Show the stretch round a tick and set the crosshair on it."""
        self._aim(int(tick))

    def follow(self) -> None:
        """Show the newest tick, and those that come."""
        self._aim(None)

    def on_command(self, hook: Hook) -> None:
        """Have `hook(name, value)` carry out "export" and "snapshot"; a string that it returns is shown in the view."""
        self._link.hooks.append(hook)

    def _aim(self, tick: int | None) -> None:
        # the number makes each wish new, so that the host passes it on
        self._jumps += 1
        self._set("target", {"tick": tick, "id": self._jumps})

"""What a live view shows and may be asked for, checked before anything is made."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from uspnb.engine.frames import Viewable
from uspnb.errors import DomainError

THEMES = ("auto", "light", "dark")
ROWS = (100, 20_000)
HEIGHT = (300, 4000)


class Shown(Viewable, Protocol):
    """What a live view asks of a session; `uspnb.Session` answers it, and so does one asset of a fleet."""

    title: Any
    units: Any
    has_times: Any
    live: Any
    reasons: Any
    holder_threshold: Any
    confidence_level: Any

    @property
    def status(self) -> Any:
        """Where the session stands; has `as_dict()`."""
        ...

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have `callback` called after changes; returns what ends that."""
        ...

    def command(self, name: Any, value: Any = None) -> None:
        """A command by its name."""
        ...

    def mark(self, label: str = "") -> Any:
        """Keep the present state under a label."""
        ...


@runtime_checkable
class Watchable(Viewable, Protocol):
    """The methods of `Shown`, whose presence can be asked for without reading anything."""

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """As in `Shown`."""
        ...

    def command(self, name: Any, value: Any = None) -> None:
        """As in `Shown`."""
        ...


def checked_view(session: Any, rows: Any, theme: Any, height: Any) -> None:
    """Refuse arguments that no view can be made of.

    Raises:
        DomainError: names the argument, its value and what is allowed.
    """
    if isinstance(session, type) or not isinstance(session, Watchable):
        raise DomainError(
            f"a live view shows a uspnb.Session, not a {type(session).__name__}; make one: uspnb.Session(series)"
        )
    for name, value, (least, most) in (("rows", rows, ROWS), ("height", height, HEIGHT)):
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or not least <= int(value) <= most:
            raise DomainError(f"{name} = {value!r} must be a whole number from {least:,} to {most:,}")
    if theme not in THEMES:
        raise DomainError(f"theme {theme!r} is not one of {', '.join(map(repr, THEMES))}")

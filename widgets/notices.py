"""One line for what went wrong or was done, and the guard that tells our own changes of a control from a person's."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets

from uspnb.errors import UspnbError


class Showing(threading.local):
    """Whether this thread is bringing controls up to date with the session.

    The publisher's thread sets values while the kernel's thread hears a person move a slider, so that each thread has a
    mark of its own.
    """

    active = False

    @contextmanager
    def now(self) -> Iterator[None]:
        """Within it, changes of a control are the session's own news, not an order to it."""
        before, self.active = self.active, True
        try:
            yield
        finally:
            self.active = before


class Notice(ipywidgets.HTML):
    """A line of text that screen readers announce; it takes no room while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__(layout=ipywidgets.Layout(display="none", margin="0"))
        self.text = ""

    def say(self, text: str) -> None:
        """Show that something was done; an empty text hides the line."""
        self._show(text, "status", "Done")

    def complain(self, text: str) -> None:
        """Show what was refused and why."""
        self._show(text, "alert", "Refused")

    def attempt(self, action: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
        """Call the session; show its refusal here instead of raising it.

        Returns:
            Whether it was accepted.
        """
        try:
            action(*arguments, **named)
        except (UspnbError, OSError) as error:
            self.complain(str(error))
            return False
        self.say("")
        return True

    def _show(self, text: str, role: str, word: str) -> None:
        self.text = text
        line = f"<b>{word}.</b> {html.escape(text)}"
        self.value = (
            f'<div role="{role}" class="uspnb-control-notice uspnb-control-{role}">{line}</div>' if text else ""
        )
        self.layout.display = "" if text else "none"


def button(text: str, tooltip: str, icon: str, act: Callable[[], object]) -> ipywidgets.Button:
    """A button as wide as its text, and what it does."""
    pressed = ipywidgets.Button(
        description=text, tooltip=tooltip, icon=icon, layout=ipywidgets.Layout(width="auto", margin="2px")
    )
    pressed.add_class("uspnb-control-button")
    pressed.on_click(lambda _: act())
    return pressed


def row(*children: ipywidgets.Widget, **layout: str) -> ipywidgets.Box:
    """Children side by side that wrap where there is no room."""
    return ipywidgets.Box(
        children,
        layout=ipywidgets.Layout(**{"display": "flex", "flex_flow": "row wrap", "align_items": "center"} | layout),
    )


def heading(text: str) -> ipywidgets.HTML:
    """The title of a part of the controls."""
    return ipywidgets.HTML(
        f'<div class="uspnb-control-heading" role="heading" aria-level="3">{html.escape(text)}</div>'
    )

"""Mode and health of a session as badges: a sign, a word and a colour, so that none of them stands alone."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import ipywidgets

if TYPE_CHECKING:
    from uspnb.engine.session import SessionStatus

# What a word means to a person: the badge's tooltip.  The colours are defined for both themes in controls.css.
PHASES: dict[str, tuple[str, str, str]] = {
    "new": ("wait", "○", "nothing was run yet"),
    "starting": ("wait", "◌", "the step is being compiled"),
    "running": ("good", "▶", "ticks are processed as they come"),
    "paused": ("wait", "❚❚", "no tick is processed until you play or step"),
    "finished": ("good", "■", "the source has no more ticks"),
    "faulted": ("bad", "✕", "the source failed; nothing that it gave was lost"),
    "closed": ("wait", "■", "the session has ended; its history can still be read"),
}
MODES: dict[str, tuple[str, str, str]] = {
    "inference": ("good", "✓", "forecasts are in full use"),
    "calibration": ("doubt", "!", "the input is doubtful, so the weights are held"),
    "diagnostic": ("bad", "!!", "the roughness breaker is open: all weight lies on the robust kernel"),
}
HEALTH: dict[str, tuple[str, str, str]] = {
    "ok": ("good", "✓", "the input is fresh and the process calm"),
    "doubtful": ("doubt", "!", "the input is stale, frozen, sparse or refused"),
    "emergency": ("bad", "!!", "the path has turned rougher than it ever was"),
    "fault": ("bad", "✕", "the source failed; see the message"),
}


def badge(what: str, word: str, table: dict[str, tuple[str, str, str]]) -> str:
    """One badge as HTML.

    Args:
        what: what the word is about, "health" for example.
        word: the word shown; one that the table does not know is shown plainly.
        table: for each word its kind ("good", "wait", "doubt", "bad"), its sign and its meaning.
    """
    kind, sign, meaning = table.get(word, ("wait", "·", word))
    return (
        f'<span class="uspnb-control-badge uspnb-control-{kind}" title="{html.escape(f"{what}: {meaning}")}">'
        f'<span aria-hidden="true">{sign}</span> {html.escape(what)}: <b>{html.escape(word)}</b></span>'
    )


def progress_text(status: SessionStatus) -> str:
    """How far the session is, in words: "tick 1,200 of 3,000, 480 ticks a second, 3 alarms, 2 refused"."""
    of = f" of {status.total:,}" if status.total is not None else ""
    parts = [f"tick {status.ticks:,}{of}"]
    if status.phase == "running":
        parts.append(f"{status.rate:,.0f} ticks a second" if status.rate >= 10 else f"{status.rate:.1f} ticks a second")
    if status.waiting and status.total is None:  # what a replay has not given yet is no queue
        parts.append(f"{status.waiting:,} waiting")
    parts.append(f"{status.alarms:,} alarm{'' if status.alarms == 1 else 's'}")
    parts.append(f"{status.rejected:,} refused")
    return ", ".join(parts)


def badges_html(status: SessionStatus) -> str:
    """The three badges of a session side by side."""
    return (
        '<div class="uspnb-control-badges">'
        + badge("session", status.phase, PHASES)
        + badge("mode", status.mode or "unknown", MODES)
        + badge("health", status.health, HEALTH)
        + "</div>"
    )


class Badges(ipywidgets.VBox):
    """Badges, how far the session is, and the session's own message."""

    def __init__(self) -> None:
        self.badges = ipywidgets.HTML(layout=ipywidgets.Layout(margin="0"))
        self.progress = ipywidgets.HTML(layout=ipywidgets.Layout(margin="0"))
        self.message = ipywidgets.HTML(layout=ipywidgets.Layout(margin="0", display="none"))
        super().__init__([self.badges, self.progress, self.message])

    def refresh(self, status: SessionStatus) -> None:
        """Show a status of the session."""
        self.badges.value = badges_html(status)
        self.progress.value = f'<div class="uspnb-control-progress">{html.escape(progress_text(status))}</div>'
        text = status.error or status.message
        role = "alert" if status.error else "status"
        self.message.value = (
            f'<div class="uspnb-control-notice uspnb-control-{role}" role="{role}">{html.escape(text)}</div>'
        )
        self.message.layout.display = "" if text else "none"

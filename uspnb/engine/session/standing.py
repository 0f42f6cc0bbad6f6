"""`Standing`: what a session was asked to do, and what keeps it from doing so."""

from __future__ import annotations

FINISHED = "the series has come to its end; seek back to see it again, or attach another source"


class Standing:
    """The wishes and the obstacles; owned by the worker.

    Attributes:
        playing: it is to run until told otherwise.
        steps: ticks that it is to process before it stands still.
        goal: tick that it is to reach at full speed, None for none.
        silent: it waits for a source that has not said anything for long.
        finished: the source has no more ticks.
        begun: it was ever asked for anything.
        faulted: it cannot go on by itself.
        message: why it stands so; "" where nothing is to be said.
        error: what stopped it, None where nothing did.
    """

    def __init__(self) -> None:
        self.playing = self.silent = self.finished = self.begun = self.faulted = False
        self.steps = 0
        self.goal: int | None = None
        self.message = ""
        self.error: str | None = None

    @property
    def active(self) -> bool:
        """Whether ticks are wanted."""
        return (self.playing or self.steps > 0 or self.goal is not None) and not self.faulted

    def ask(self, *, playing: bool = False, steps: int = 0, goal: int | None = None) -> None:
        """A new wish; obstacles of the past no longer count."""
        self.begun, self.finished, self.silent = True, False, False
        if goal is not None:
            self.goal, self.steps = goal, 0  # and what it did before, it does again from there
        else:
            self.playing, self.steps = playing, 0 if playing else self.steps + steps
        self.clear()

    def stand_still(self) -> None:
        """Wish for nothing."""
        self.playing = self.silent = False
        self.steps, self.goal = 0, None

    def end(self) -> None:
        """The source has come to its end."""
        self.stand_still()
        self.finished, self.message = True, FINISHED

    def fail(self, message: str, dead: bool) -> None:
        """Something stopped it; `dead` where it cannot simply go on."""
        self.stand_still()
        self.faulted, self.message, self.error = dead, message, message

    def clear(self) -> None:
        """Nothing stops it any more."""
        self.faulted, self.message, self.error = False, "", None

    def counted(self, done: int, ticks: int) -> None:
        """`done` more ticks were processed, `ticks` in all."""
        if self.goal is not None:
            if ticks >= self.goal:
                self.goal = None
        else:
            self.steps -= min(done, self.steps)

    def phase(self, behind: bool) -> str:
        """The phase to show; `behind` while an earlier state is being computed anew."""
        if self.faulted:
            return "faulted"
        if self.silent:
            return "paused"
        if self.active or behind:
            return "running"
        if self.finished:
            return "finished"
        return "paused" if self.begun else "new"

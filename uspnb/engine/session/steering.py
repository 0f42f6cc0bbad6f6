"""`Steering`: the commands of a session; each returns at once and is obeyed by the worker thread in its order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ...config.schema import PredictorConfig
from ...errors import DomainError
from ...sources import FeedSource, Source, open_source
from .arguments import checked_label, checked_speed, checked_whole, names_of, whole_of
from .engine import Engine
from .history import Labels
from .settings import changed_config
from .status import PHASES, Mark, SessionStatus, now_text

MOST_STEPS = 100_000_000
MOST_MARKS = 64
CLOSE_S = 60.0


class Steering:
    """What can be asked of a session; see `Session`.

    Arguments are of any type, because a person is told in words what is wrong with them.

    Args:
        engine: obeys.
        config: the settings that it starts with.
        name, units: of the series; the sources' own where empty.
    """

    def __init__(self, engine: Engine, config: PredictorConfig, name: str, units: str) -> None:
        self._engine, self._config, self._name, self._units = engine, config, name, units
        self._marks: dict[str, Mark] = {}
        self._marks_made = 0
        self._order = threading.Lock()

    def run(self) -> None:
        """Process ticks, at the set speed where they are a replay; after a fault, go on with the next."""
        self._send(self._engine.on_run)

    def pause(self) -> None:
        """Stand still after the batch that is being computed."""
        self._send(self._engine.on_pause)

    def toggle(self) -> None:
        """Pause if it runs, run if it does not."""
        self._send(self._engine.on_toggle)

    def step(self, n: Any = 1) -> None:
        """Process `n` more ticks, a whole number, waiting for them where they have not come yet, then stand still."""
        count = checked_whole("n", n, 1, MOST_STEPS)
        self._send(lambda: self._engine.on_step(count))

    def set_speed(self, speed: Any) -> None:
        """Ticks per second of a replay from now on, None for as fast as possible."""
        checked = checked_speed(speed)
        self._send(lambda: self._engine.on_speed(checked))

    def seek(self, k: Any) -> None:
        """Go to where `k` ticks are processed.

        Forward the ticks between are computed at full speed.  Back the history is cut to `k` ticks and the state is
        computed anew from a checkpoint, bit for bit what it was; settings stay as they are now.

        Raises:
            DomainError: the source cannot be replayed, or `k` lies outside it.
        """
        source, base = self._engine.source, self._engine.base
        if source.length is None:
            raise DomainError(
                "this source is not kept and cannot be sought in; restore a mark, or replay the series from an array, "
                "a CSV file or a saved run"
            )
        tick = checked_whole("k", k, max(base, 0), base + source.length)
        self._send(lambda: self._engine.on_seek(tick))

    def feed(self, value: Any, time: Any = None, dispersion_proxy: Any = None) -> None:
        """Hand over one tick; it is processed when the session runs.

        Args:
            value: y [input units]; NaN is a missing value, which the gate flags.
            time: aware datetime, numpy.datetime64 or integer of ns since 1970; the clock's where left out.
            dispersion_proxy: an outside estimate of the next tick's dispersion, above 0.

        Raises:
            DomainError: no real number, no instant, 100,000 ticks are waiting, or the session reads another source.
        """
        self._refuse_closed()
        source = self._engine.source
        if not isinstance(source, FeedSource):
            raise DomainError(
                f"this session reads {source.name or type(source).__name__!r} and cannot be fed; make one with "
                "uspnb.Session() and no source, or attach(None)"
            )
        source.put(value, time, dispersion_proxy)
        self._engine.mailbox.wake()

    def mark(self, label: Any = "") -> Mark:
        """Keep the state after the ticks that are done, to `restore` it later; a used label is made new.

        Raises:
            DomainError: nothing is processed yet or it is just going back, no text, or 64 marks are kept already.
        """
        self._refuse_closed()
        label = checked_label(label)
        kept = self._engine.latest
        if kept is None:
            raise DomainError("there is no state to mark yet, or it is just going back; run, step or wait first")
        if not label:
            self._marks_made += 1
            label = f"mark {self._marks_made}"
        if len(self._marks) >= MOST_MARKS and label not in self._marks:
            raise DomainError(f"{MOST_MARKS} marks are kept at the most; use the label of one that may be replaced")
        mark = Mark(label, kept.tick, now_text(), self._engine.number, self._engine.source_number, kept)
        self._marks.pop(label, None)
        self._marks[label] = mark
        return mark

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks, newest last."""
        return tuple(self._marks.values())

    def restore(self, mark: Any) -> None:
        """Go to a mark: its state returns and history ends there; settings stay as they are now.

        A mark that lies ahead, because one went back before it, is reached by computing the ticks of a replay.

        Raises:
            DomainError: no such mark, or one of another session or source.
        """
        label = mark.label if isinstance(mark, Mark) else mark
        found = mark if isinstance(mark, Mark) else self._marks.get(mark) if isinstance(mark, str) else None
        if found is None:
            known = ", ".join(map(repr, self._marks)) or "none"
            raise DomainError(f"there is no mark {label!r}; there are: {known}")
        engine = self._engine
        if (found.session, found.source) != (engine.number, engine.source_number):
            raise DomainError(f"mark {found.label!r} belongs to another session or another source of this one")
        self._send(lambda: engine.on_restore(found))

    def configure(self, **settings: Any) -> None:
        """Change traced settings from the next tick on, without a recompilation.

        Raises:
            ConfigError: an unknown or structural name, a value of the wrong type or out of range.
        """
        with self._order:  # two threads that change different settings must not undo one another
            changed = changed_config(self._config, settings)
            self._refuse_closed()
            if changed == self._config:
                return
            self._config = changed
            self._send(lambda: self._engine.on_configure(changed, settings))

    def attach(self, source: Any, **options: Any) -> None:
        """Read another source from here on, with the state as it is.

        Raises:
            DomainError: something that no ticks come from.
        """
        self._refuse_closed()
        opened = open_source(source, **options)
        labels = labels_of(opened, self._name, self._units)
        self._send(lambda: self._engine.on_attach(opened, labels))

    def close(self) -> None:
        """End the thread, give the predictor back, remove the temporary archive; a second call does nothing."""
        self._engine.close()
        self._engine.join(CLOSE_S)

    stop = close

    def command(self, name: Any, value: Any = None) -> None:
        """A command by its name, as front ends send it.

        Raises:
            DomainError: an unknown command, or what the command itself refuses.
        """
        commands: dict[str, Callable[[], object]] = {
            "run": self.run,
            "pause": self.pause,
            "toggle": self.toggle,
            "step": lambda: self.step(1 if value is None else whole_of(value)),
            "speed": lambda: self.set_speed(value),
            "seek": lambda: self.seek(whole_of(value)),
            "restore": lambda: self.restore(value),
            "mark": lambda: self.mark("" if value is None else value),
            "configure": lambda: self.configure(**names_of(value)),
        }
        if not isinstance(name, str) or name not in commands:
            raise DomainError(f"unknown command {name!r}; known are {', '.join(commands)}")
        commands[name]()

    def wait(self, until: int | None = None, timeout: float = 60.0, phase: Any = None) -> SessionStatus:
        """Block until it stands still after all commands given so far, or until something earlier.

        Args:
            until: return as soon as so many ticks are processed.
            timeout: how long to wait [s].
            phase: return when this phase is reached, and not before (but at the close).

        Raises:
            TimeoutError: it did not happen in time.
            DomainError: an unknown phase.
        """
        if phase is not None and phase not in PHASES:
            raise DomainError(f"phase {phase!r} is not one of {', '.join(PHASES)}")
        engine, issued = self._engine, self._engine.mailbox.issued

        def reached() -> bool:
            status = engine.status
            if status.phase == "closed":
                return True
            if engine.handled < issued:
                return False
            if until is not None and status.ticks >= until:
                return True
            return status.phase == phase if phase is not None else status.at_rest

        with engine.changed:
            if not engine.changed.wait_for(reached, timeout):
                status = engine.status
                told = f": {status.message}" if status.message else ""
                raise TimeoutError(f"after {timeout:g} s the session is {status.phase} at tick {status.ticks}{told}")
            return engine.status

    def _send(self, command: Callable[[], None]) -> None:
        self._refuse_closed()
        self._engine.mailbox.put(command)

    def _refuse_closed(self) -> None:
        if self._engine.closing:
            raise DomainError("the session is closed; make another one with uspnb.Session(...)")


def labels_of(source: Source, name: str = "", units: str = "") -> Labels:
    """What a source's series is called, unless the user calls it otherwise."""
    return Labels(name or source.name, units or source.units, source.time_is_grid, tuple(source.notes))

"""What the monitor of a campaign says to its optimizer and the other way round, whichever host it lives in."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from uspnb.errors import DomainError, UspnbError

from .tuning_applying import Applying, Place
from .tuning_code import campaign_code
from .tuning_trials import TrialStream, trial_rows
from .tuning_words import board_words, status_words, verdict_words

THEMES = ("auto", "light", "dark")
BOARD_PERIOD_S = 0.5
BOARD_SHARE = 0.2
JUDGING = "being tested against the default on the same ticks"
DRIVES = ("start", "pause", "resume", "stop")
_logger = logging.getLogger(__name__)


@runtime_checkable
class Driven(Protocol):
    """What a monitor asks of `AsyncMetaOptimizer`, beside what it reads: methods can be looked for without reading."""

    def start(self, n_trials: Any = None) -> Any:
        """Run until there are so many trials."""
        ...

    def pause(self) -> Any:
        """Hold after the running batch."""
        ...

    def resume(self) -> Any:
        """Go on."""
        ...

    def stop(self) -> Any:
        """End after the running batch."""
        ...

    def status(self) -> Any:
        """A `CampaignStatus`."""
        ...

    def result(self) -> Any:
        """An `OptimizationResult`."""
        ...

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have `callback` called after every batch and change of state; returns what ends that."""
        ...


def checked_campaign(campaign: Any, theme: Any) -> None:
    """Refuse what no monitor can be made of.

    Raises:
        DomainError: not an optimizer that runs in the background, or an unknown theme.
    """
    if isinstance(campaign, type) or not isinstance(campaign, Driven):
        raise DomainError(
            f"a tuning monitor shows an AsyncMetaOptimizer, not a {type(campaign).__name__}; make one: "
            'AsyncMetaOptimizer(objective="mase", series=series)'
        )
    if theme not in THEMES:
        raise DomainError(f"theme {theme!r} is not one of {', '.join(map(repr, THEMES))}")


class TuningLink:
    """Carries a campaign to one widget and commands back; any thread may call any method.

    The optimizer's callbacks and the front end's messages only wake a thread of the link's own: nothing that reads a
    study, weighs parameters or writes a file holds up the campaign, the kernel or the page.

    Args:
        campaign: what is watched.
        post: sets a trait of the widget by name.
        place: where the best may be written.
        may_start: raises `DomainError` where the campaign must not run now.
    """

    def __init__(
        self,
        campaign: Driven,
        post: Callable[[str, Any], None],
        place: Place | None = None,
        may_start: Callable[[], None] | None = None,
    ) -> None:
        place = Place() if place is None else place
        self.campaign: Any = campaign
        self.meta = {"writes": place.writes, "path": place.shown}
        self._post, self._may_start = post, may_start
        self._applying = Applying(campaign, place, post)
        self._stream = TrialStream(lambda frame: post("frame", frame))
        self._acts: deque[tuple[str, Any]] = deque()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._told: dict[str, Any] = {}
        self._board: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}
        self._verdict: dict[str, Any] = {}
        self._judged = -1
        self._refused, self._busy = "", False
        self._seen: Any = None
        self._board_at, self._spent = -math.inf, 0.0
        self._done, self._closed = 0, False
        self._unsubscribe: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._work, name="uspnb-tuning-monitor", daemon=True)

    @property
    def stream(self) -> TrialStream:
        """The frames on their way."""
        return self._stream

    def start(self) -> None:
        """Begin to listen to the campaign."""
        self._unsubscribe = self.campaign.subscribe(self.changed)
        self._thread.start()

    def close(self) -> None:
        """Send no more; the campaign goes on."""
        self._closed = True
        self._unsubscribe()
        self._wake.set()

    def changed(self, *_: Any) -> None:
        """The campaign has something new."""
        self._wake.set()

    def receive(self, name: str, value: Any) -> None:
        """Take what the front end has set: "acknowledged", "hello" or "command"."""
        if self._closed or not value:
            return
        if name == "acknowledged":
            self._stream.acknowledge(int(value))
            return
        if name == "hello":
            self._acts.append(("hello", value.get("client")))
            self._done = 0
        elif name == "command":
            self._take_commands(value)
        self._wake.set()

    def _take_commands(self, given: dict[str, Any]) -> None:
        """Queue what is new among a command and the ones before it: a host may have merged messages."""
        with self._lock:
            new = [one for one in given.get("recent") or [given] if int(one.get("id", 0)) > self._done]
            self._done = max([self._done, *(int(one.get("id", 0)) for one in new)])
        for one in new:
            name, value = str(one.get("name", "")), one.get("value")
            if name in DRIVES:  # these return at once, and a stop must not wait for a file that is being written
                self._drive(name, value)
            else:
                self._acts.append((name, value))

    def _drive(self, name: str, value: Any) -> None:
        try:
            if name == "start":
                if self._may_start is not None:
                    self._may_start()
                self.campaign.start(_whole(value))
            else:
                getattr(self.campaign, name)()
            self._refused = ""
        except (UspnbError, OSError) as error:
            self._refused = str(error)

    def _work(self) -> None:
        """Until the link is closed: carry out what was asked, tell what is new."""
        owed: float | None = None
        while not self._closed:
            self._wake.wait(owed)
            self._wake.clear()
            try:
                while self._acts and not self._closed:
                    self._act(*self._acts.popleft())
                owed = self._tell()
            except Exception as error:  # a database that is gone, a defect: the reader is told, and may try again
                owed = None
                self._fail(error)

    def _act(self, name: str, value: Any) -> None:
        if name == "hello":
            self._told, self._board, self._seen, self._board_at = {}, {}, None, -math.inf
            self._stream.hello(value)
            return
        self._busy = True
        self._tell_status()
        try:
            self._applying.act(name, value or {})
        finally:
            self._busy = False

    def _fail(self, error: Exception) -> None:
        """Say what went wrong where the campaign could not even be read."""
        known = isinstance(error, (UspnbError, OSError))
        if not known:
            _logger.error("the monitor of a campaign failed", exc_info=error)
        text = str(error) if known else f"the campaign cannot be read: {type(error).__name__}: {error}"
        self._told = {"state": "unknown"} | self._told | {"message": text, "refused": True}
        if not self._closed:
            self._post("status", self._told)

    def _tell(self) -> float | None:
        """Tell what is new; how long to wait for what was told too recently [s], None for nothing."""
        if self._closed or self._stream.client is None:
            return None
        status = self._tell_status()
        if (seen := _mark(status)) == self._seen:
            return None
        # Reading many trials and weighing their parameters takes a second: while the campaign runs it gets the rest.
        pause = max(BOARD_PERIOD_S, self._spent / BOARD_SHARE if status.state == "running" else 0.0)
        began = time.monotonic()
        if self._board_at + pause > began:
            return self._board_at + pause - began
        self._seen = seen
        self._tell_board(status)
        self._board_at = time.monotonic()
        self._spent = self._board_at - began
        return None

    def _tell_status(self) -> Any:
        """Post the status where it has changed; returns what it was made of."""
        status = self.campaign.status()
        said = status_words(status)
        said |= {"refused": bool(self._refused), "message": self._refused or said["message"]}
        said |= self._facts | {"busy": self._busy, "undoable": self._applying.undoable}
        # the front end has a clock of its own: time that went by is no news
        if said | {"elapsed_s": None} != self._told | {"elapsed_s": None} and not self._closed:
            self._told = said
            self._post("status", said)
        return status

    def _tell_board(self, status: Any) -> None:
        ds = self.campaign.results
        rows, parameters = trial_rows(ds)
        self._facts = {
            "name": str(ds.attrs.get("study_name", "")),
            "tier": str(ds.attrs.get("tier", "")),
            "metric": str(ds.attrs.get("metric", "")),
        }
        board = board_words(ds, parameters, status) | {"code": campaign_code(self.campaign, status)}
        judged = status.state in ("finished", "stopped") and status.complete > 0
        known = self._verdict if judged and self._judged == status.complete else {}
        self._put_board(board | {"verdict": known or ({"recommendation": JUDGING} if judged else {})})
        self._tell_status()
        if not self._closed:
            self._stream.put(rows)
        if judged and not known:
            # It tests candidates anew, which takes as long as some trials; made here, it holds up nobody.
            self._verdict, self._judged = verdict_words(self.campaign.result()), status.complete
            self._put_board(board | {"verdict": self._verdict})

    def _put_board(self, board: dict[str, Any]) -> None:
        if board != self._board and not self._closed:
            self._board = board
            self._post("board", board)


def _mark(status: Any) -> tuple[Any, ...]:
    """What of a status changes when the trials do."""
    return (status.state, status.trials, status.complete, status.pruned, status.failed, status.batch)


def _whole(value: Any) -> int | None:
    """How many trials were asked for; None leaves it to the campaign.

    Raises:
        DomainError: no whole number of at least 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or value < 1:
        raise DomainError(f"{value!r} trials cannot be run; give a whole number of at least 1")
    return int(value)

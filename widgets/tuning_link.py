"""What the monitor of a campaign says to its optimizer and the other way round, whichever host it lives in."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from uspnb.errors import DomainError, UspnbError
from uspnb.runtime.arguments import check_choice, check_whole, read_json_number

from .link import Link, Post, read_fields
from .live_link import THEMES
from .tuning_applying import Applying, Place, campaign_code
from .tuning_trials import TrialFrames, board_words, status_words, trial_rows, verdict_words

if TYPE_CHECKING:
    from uspnb.tuning.background import AsyncMetaOptimizer

BOARD_PERIOD_S = 0.5
BOARD_SHARE = 0.2
JUDGING = "being tested against the default on the same ticks"
DRIVES = ("start", "pause", "resume", "stop")
_logger = logging.getLogger(__name__)


def check_campaign(campaign: Any, theme: Any) -> None:
    """Refuse what no monitor can be made of.

    Raises:
        DomainError: not an optimizer that runs in the background, or an unknown theme.
    """
    methods = (*DRIVES, "status", "result", "subscribe")
    if isinstance(campaign, type) or not all(hasattr(campaign, name) for name in methods):
        raise DomainError(
            f"a tuning monitor shows an AsyncMetaOptimizer, not a {type(campaign).__name__}; make one: "
            'AsyncMetaOptimizer(objective="mase", series=series)'
        )
    check_choice("theme", theme, THEMES)


class TuningLink(Link):
    """Carries a campaign to one widget and commands back.

    The optimizer's callbacks and the front end's messages only wake a thread of the link's own: nothing that reads a
    study, weighs parameters or writes a file holds up the campaign, the kernel or the page.

    Args:
        campaign: what is watched.
        post: sets a trait of the widget by name.
        place: where the best may be written.
        may_start: raises `DomainError` where the campaign must not run now.
    """

    # the front end has a clock of its own
    clocks: ClassVar[tuple[str, ...]] = ("elapsed_s",)

    def __init__(
        self,
        campaign: AsyncMetaOptimizer,
        post: Post,
        place: Place | None = None,
        may_start: Callable[[], None] | None = None,
    ) -> None:
        self._place = Place() if place is None else place
        self._may_start = may_start
        self._applying = Applying(campaign, self._place, self.post)
        self._trials = TrialFrames()
        self._status = campaign.status()
        self._facts: dict[str, Any] = dict.fromkeys(("name", "tier", "metric"), "")
        self._board: dict[str, Any] = {}
        self._verdict: dict[str, Any] = {}
        self._judged = -1
        self._failure, self._busy = "", False
        self._shown: tuple[Any, ...] | None = None
        self._board_at, self._spent = -math.inf, 0.0
        self._acts: deque[tuple[str, dict[str, Any]]] = deque()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="uspnb-tuning-monitor", daemon=True)
        super().__init__(campaign, post, self._trials.next_frame)

    def start(self) -> None:
        """Begin to listen to the campaign."""
        super().start()
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Send no more; the campaign goes on."""
        super().close()
        self._wake.set()

    def changed(self) -> None:
        """The campaign has something new."""
        self._wake.set()

    def greet(self, client: str) -> None:
        """As every link's; who is the first to look has the trials read."""
        super().greet(client)
        self._wake.set()

    @property
    def phase(self) -> str:
        """State of the campaign as it was last read."""
        return self._status.state

    def read_status(self) -> dict[str, Any]:
        """The campaign as it was last read, in words; what was refused or failed stands in place of its message."""
        status, wrong = status_words(self._status), self.refused or self._failure
        status |= {"refused": bool(wrong), "message": wrong or status["message"]}
        return status | self._facts | {"busy": self._busy, "undoable": self._applying.undoable}

    def read_meta(self) -> dict[str, Any]:
        """Where the best may be written."""
        return {"writes": self._place.writes, "path": self._place.shown}

    def carry_out(self, name: str, value: Any) -> str | None:
        """Drive the campaign at once, for a stop must not wait for a file that is being written; queue all else."""
        if name not in DRIVES:
            self._acts.append((name, read_fields(value or {})))
        elif name == "start":
            if self._may_start is not None:
                self._may_start()
            trials = read_json_number(value)
            self.watched.start(None if trials is None else check_whole("trials", trials, 1))
        else:
            getattr(self.watched, name)()
        self._wake.set()
        return None

    def _work(self) -> None:
        """Until the link is closed: carry out what is queued, tell what is new."""
        pause: float | None = None
        while not self.closed:
            self._wake.wait(pause)
            self._wake.clear()
            try:
                while self._acts and not self.closed:
                    self._act(*self._acts.popleft())
                self._status, self._failure = self.watched.status(), ""
                self.tell()
                pause = self._tell_trials()
            except Exception as error:  # a database that is gone, a defect: the reader hears of it, and may try again
                pause = None
                self._fail(error)

    def _act(self, name: str, value: dict[str, Any]) -> None:
        self._busy = True
        self.tell(at_once=True)
        try:
            self._applying.act(name, value)
        finally:
            self._busy = False

    def _fail(self, error: Exception) -> None:
        """Say what went wrong where the campaign could not even be read."""
        foreseen = isinstance(error, (UspnbError, OSError))
        if not foreseen:
            _logger.error("the monitor of a campaign failed", exc_info=error)
        self._failure = str(error) if foreseen else f"the campaign cannot be read: {type(error).__name__}: {error}"
        self.tell(at_once=True)

    def _tell_trials(self) -> float | None:
        """Send the trials and what stands round them, if there are new ones.

        Returns:
            How long to wait for what was sent too recently [s], None for nothing.
        """
        status = self._status
        now = (status.state, status.trials, status.complete, status.pruned, status.failed, status.batch)
        if self.closed or self.frames.client is None or now == self._shown:
            return None
        # Reading many trials and weighing their parameters takes a second: while the campaign runs it gets the rest.
        pause = max(BOARD_PERIOD_S, self._spent / BOARD_SHARE if status.state == "running" else 0.0)
        began = time.monotonic()
        if self._board_at + pause > began:
            return self._board_at + pause - began
        self._shown = now
        self._tell_board(status)
        self._board_at = time.monotonic()
        self._spent = self._board_at - began
        return None

    def _tell_board(self, status: Any) -> None:
        ds = self.watched.results
        rows, parameters = trial_rows(ds)
        names = {"name": "study_name", "tier": "tier", "metric": "metric"}
        self._facts = {name: str(ds.attrs.get(attribute, "")) for name, attribute in names.items()}
        board = board_words(ds, parameters, status) | {"code": campaign_code(self.watched, status)}
        judged = status.state in ("finished", "stopped") and status.complete > 0
        verdict = self._verdict if judged and self._judged == status.complete else {}
        self._put_board(board | {"verdict": verdict or ({"recommendation": JUDGING} if judged else {})})
        self.tell()
        self._trials.put(rows)
        self.frames.pump()
        if judged and not verdict:
            # It tests candidates anew, which takes as long as some trials; made here, it holds up nobody.
            self._verdict, self._judged = verdict_words(self.watched.result()), status.complete
            self._put_board(board | {"verdict": self._verdict})

    def _put_board(self, board: dict[str, Any]) -> None:
        if board != self._board:
            self._board = board
            self.post("board", board)


class TuningFace:
    """What the monitor of a campaign offers beside its traits, in either host."""

    _link: TuningLink

    @property
    def optimizer(self) -> AsyncMetaOptimizer:
        """What is shown."""
        return self._link.watched

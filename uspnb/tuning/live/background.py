"""Work in the background: a campaign, and compiling what it proposes before the thread of the predictor needs it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from ...config.schema import STATIC_FIELDS
from ...predictor.functional import FunctionalPredictor
from .elsewhere import propose_elsewhere
from .proposing import CampaignTask, Proposal, held_out, propose, search

Work = Callable[[CampaignTask], Proposal]


class Background:
    """Runs one campaign at a time.

    Args:
        work: what makes a proposal of a task; None is a helper process.
        wait: whether `submit` comes back only when it is done.
    """

    def __init__(self, work: Work | None, wait: bool) -> None:
        self._work, self._wait = work, wait
        self._stop = threading.Event()  # of the campaign that runs

    def submit(self, task: CampaignTask) -> Future[Proposal]:
        """Begin; whatever goes wrong is the Future's exception."""
        self._stop = threading.Event()
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="uspnb-autotune")
        future = thread.submit(self._run, task, self._stop)
        thread.shutdown(wait=self._wait)
        return future

    def stop(self) -> None:
        """Give up what runs; returns at once."""
        self._stop.set()

    def _run(self, task: CampaignTask, stop: threading.Event) -> Proposal:
        proposal = propose_elsewhere(task, stop) if self._work is None else self._work(task)
        if proposal.changes.keys() & set(STATIC_FIELDS) and not stop.is_set():
            functional = FunctionalPredictor(dataclasses.replace(task.config, **proposal.changes))
            functional.warm(functional.init_state())
        return proposal


def background_for(background: bool, campaign: Callable | None, judge: Callable | None) -> Background:
    """A helper process, or this one where `background` is off or somebody's own functions are to be called."""
    if background and campaign is None and judge is None:
        return Background(None, wait=False)
    return Background(lambda task: propose(task, campaign or search, judge or held_out), wait=not background)

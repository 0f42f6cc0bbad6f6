"""`AsyncMetaOptimizer`: a campaign in the background, which can be watched, held and stepped; saves never block."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ..config.mutation import Mutation
from ..engine.status import EventLog, Playback, Status
from ..engine.worker import Worker
from ..errors import DomainError
from ..runtime.arguments import check_whole
from ..runtime.files import Writer
from .result import OptimizationResult
from .status import PAUSED, RUNNING, CampaignStatus
from .study import BayesianMetaOptimizer

Callback = Callable[[], object]


class CampaignTrack:
    """One run of a campaign as an engine's worker turns it: its tick is a batch of trials.

    Args:
        optimizer: the campaign.
        batches: evaluates the next batch when it is asked for the next status.
        steps: batches after which it stands still; None to run to its end.
        events: where it notes what happens.
        notify: called, by the worker's thread, after every batch and every change of state.

    Attributes:
        done: batches of this run.
        error: what ended it, None where nothing did.
        ended: whether it is over.
        paused: whether it stands still between two batches.
    """

    def __init__(
        self,
        optimizer: BayesianMetaOptimizer,
        batches: Iterator[CampaignStatus],
        steps: int | None,
        events: EventLog,
        notify: Callable[[], None],
    ) -> None:
        self.optimizer, self.events, self.playback = optimizer, events, Playback()
        self._batches, self._notify = batches, notify
        self.done = 0
        self.begun = self.ended = self.paused = self._at_end = False
        self.error: BaseException | None = None
        self.playback.ask(playing=steps is None, steps=steps or 0)

    def connect(self, wake: Callable[[], None]) -> None:
        """Nothing to connect: only commands wake a campaign."""

    def status(self) -> Status:
        """Phase, with evaluated batches as the count of ticks."""
        phase = "finished" if self.ended else self.playback.phase(behind=False)
        return Status(phase, ticks=self.done)

    def turn(self, *, alone: bool = True) -> bool:
        """Evaluate the next batch where one is wanted; whether anything was done."""
        if self.ended:
            return False
        going = self.playback.active or self._at_end or self.optimizer.stopping.is_set()
        if self.paused == going or not self.begun:  # it begins, or goes on
            self.begun, self.paused = True, not going
            self._notify()
        if not going:
            return False
        try:
            status = next(self._batches)
        except StopIteration:
            self._end(None)
        except BaseException as error:  # nobody is above this thread: `result` raises it
            self._end(error)
        else:
            self.done += 1
            self.playback.counted(1, self.done)
            self._at_end = status.trials >= status.target
            self.paused = not (self.playback.active or self._at_end or self.optimizer.stopping.is_set())
            self._notify()
        return True

    def step(self, batches: int, done_before: int) -> None:
        """Stand still after so many more batches; of those of a campaign that ran the running batch was the first."""
        ran = self.playback.playing
        more = max(batches - (self.done - done_before), 0) if ran else batches
        if more:
            self.playback.ask(steps=more)
        else:
            self.playback.stand_still()

    def patience_s(self) -> float | None:
        """Only a command wakes it."""
        return None

    def fail(self, message: str, kind: str, *, dead: bool, event: str = "") -> None:
        """A command failed."""
        self.events.add(self.done, kind, event or message)

    def end(self) -> None:
        """The worker ended: with the campaign, or before it at a shutdown."""

    def _end(self, error: BaseException | None) -> None:
        self.error, self.ended, self.paused = error, True, False
        if error is not None:
            self.events.add(self.done, "fault", f"{type(error).__name__}: {error}")
        self._notify()


class AsyncMetaOptimizer:
    """A campaign in a thread of its own (seeds 002, section 21.3, and 003, V-CRIT-3).

    Files are written by a pool of its own threads: `save_study_async` hands over references and returns at once.  Of
    more saves than fit the queue the oldest is dropped, and its Future cancelled.  Left as a context manager, the
    campaign is stopped after its running batch and pending saves are finished.

    Args:
        search_space, objective, settings: as of `BayesianMetaOptimizer`.
        max_workers: threads that write files.
        queue_maxlen: saves that may wait for one.
        optimizer: a campaign to run, in place of all of `search_space`, `objective` and `settings`.

    Raises:
        DomainError: as `BayesianMetaOptimizer`; fewer than one thread or place in the queue.
    """

    def __init__(
        self,
        search_space: Any = None,
        objective: Any = None,
        *,
        max_workers: int = 2,
        queue_maxlen: int = 5,
        optimizer: BayesianMetaOptimizer | None = None,
        **settings: Any,
    ) -> None:
        if optimizer is None and isinstance(search_space, BayesianMetaOptimizer):
            search_space, optimizer = None, search_space  # as seed 002 writes it
        if optimizer is None:
            # A bar that a thread draws lands in whatever cell is running.
            settings.setdefault("progress", False)
            optimizer = BayesianMetaOptimizer(search_space, objective, **settings)
        elif search_space is not None or objective is not None or settings:
            raise DomainError("optimizer= is a whole campaign; leave the search space, objective and settings out")
        self.optimizer = optimizer
        self._saves = _writer(max_workers, queue_maxlen)
        self._lock, self._log = threading.RLock(), EventLog()
        self._track: CampaignTrack | None = None
        self._worker: Worker[CampaignTrack] | None = None
        self._callbacks: list[Callback] = []
        self._closed = False

    def start(self, n_trials: int | None = None, **limits: Any) -> AsyncMetaOptimizer:
        """Begin the campaign, or go on with it; arguments as of `BayesianMetaOptimizer.optimize`.

        Raises:
            DomainError: it runs already, or was shut down.
        """
        return self._start(n_trials, limits, None)

    def optimize(self, n_trials: int | None = None, **limits: Any) -> OptimizationResult:
        """Run the campaign to its end and wait for it.

        Raises:
            Whatever ends it; see `BayesianMetaOptimizer.optimize`.
        """
        self.start(n_trials, **limits)
        try:
            self.wait()
        except KeyboardInterrupt:
            self.stop()
            self.wait()
            raise
        return self.result()

    def pause(self) -> None:
        """Hold after the running batch."""
        self._send(lambda track: track.playback.stand_still())

    def resume(self) -> None:
        """Evaluate batches until the campaign ends."""
        self._send(lambda track: track.playback.ask(playing=True))

    def step(self, batches: int = 1) -> None:
        """Run so many batches, then hold; begins a campaign that has not begun.

        Raises:
            DomainError: not a whole number of at least 1.
        """
        batches = check_whole("batches", batches, 1)
        with self._lock:
            if not self._active:
                self._start(None, {}, batches)
                return
            assert self._track is not None
            done = self._track.done
            self._send(lambda track: track.step(batches, done))

    def stop(self) -> None:
        """End after the running batch; `start` goes on later."""
        self.optimizer.stop()
        self._send(lambda track: None)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What happened beside the trials, oldest first: what ended a run, which subscriber was dropped."""
        return self._log.all()

    def status(self) -> CampaignStatus:
        """State, counts of trials and best value; returns at once."""
        status = self.optimizer.status()
        if not self._active:
            return status
        assert self._track is not None
        return status._replace(state=PAUSED if self._track.paused else RUNNING, reason="")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the campaign's end; whether it came within `timeout` [s].  A campaign that is held does not end."""
        return self._worker is None or self._worker.join(timeout)

    def result(self) -> OptimizationResult:
        """What was found so far; after `wait` the whole campaign's.

        Raises:
            Whatever ended the campaign.
        """
        if self._track is not None and self._track.error is not None:
            raise self._track.error
        return self.optimizer.result()

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback`, from the campaign's thread, after every batch and every change of state.

        Returns:
            A function that ends the subscription; calling it twice does no harm.
        """
        with self._lock:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self._lock:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return unsubscribe

    def save_study_async(self, path: str | os.PathLike[str]) -> Future[Path]:
        """Write the campaign as of its last batch, without waiting; see `BayesianMetaOptimizer.save_study`."""
        optimizer = self.optimizer
        taken = optimizer.last_image() if self._active else None
        return self._saves.submit(lambda: optimizer.save_image(path, optimizer.image() if taken is None else taken))

    def export_config_async(
        self, result: OptimizationResult, path: str | os.PathLike[str] = "config.toml", **options: Any
    ) -> Future[Mutation]:
        """`OptimizationResult.export_to_toml` without waiting; never dropped."""
        return self._saves.submit(lambda: result.export_to_toml(Path(path), **options), may_be_dropped=False)

    def wait_all_saves(self, timeout: float | None = None) -> None:
        """Wait until nothing is being written.

        Raises:
            TimeoutError: that took longer than `timeout` [s].
            OSError, UspnbError: what went wrong with a write since the last call, the first of several.
        """
        if not self._saves.wait(timeout):
            raise TimeoutError(f"{self._saves.status().pending} files are still being written after {timeout:g} s")
        problems = self._saves.take_problems()
        if problems:
            raise problems[0]

    def wait_for_io_completion(self, timeout_seconds: float = 60.0) -> bool:
        """Wait until nothing is being written; whether that came in time and all was written."""
        return self._saves.wait(timeout_seconds) and not self._saves.take_problems()

    @classmethod
    def load_study_async(
        cls, path: str | os.PathLike[str], objective: Any = None, *, max_workers: int = 2, **settings: Any
    ) -> Future[AsyncMetaOptimizer]:
        """`BayesianMetaOptimizer.load_study` without waiting."""

        def load() -> AsyncMetaOptimizer:
            options = {"progress": False} | settings
            return cls(optimizer=BayesianMetaOptimizer.load_study(path, objective, **options), max_workers=max_workers)

        loading = _writer(1, 1)
        future = loading.submit(load)
        loading.close(0.0)
        return future

    def shutdown(self, wait: bool = True) -> None:
        """Stop after the running batch, finish pending saves, take nothing more.

        Args:
            wait: for all that; else it happens in the background.
        """
        self.stop()
        self._closed = True
        if wait:
            self.wait()
        self._saves.close(None if wait else 0.0)

    def __enter__(self) -> AsyncMetaOptimizer:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def __getattr__(self, name: str) -> Any:
        # results, best_params, best_value, study, objective, search_space, save_study, ...: the campaign's own.
        if name.startswith("_") or name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)

    def _repr_html_(self) -> str:
        return self.optimizer._repr_html_()

    @property
    def _active(self) -> bool:
        return self._track is not None and not self._track.ended

    def _start(self, n_trials: int | None, limits: dict[str, Any], steps: int | None) -> AsyncMetaOptimizer:
        with self._lock:
            if self._closed:
                raise DomainError("this optimizer was shut down; make another of the same study_name to go on")
            if self._active:
                raise DomainError(
                    f"the campaign {self.optimizer.study_name!r} runs already; resume() it if it is paused, or stop() "
                    "and wait() first"
                )
            # Wrong limits and storages are refused here, not in a thread that nobody sees.
            limits = dict(limits)
            client, after_batch = limits.pop("client", None), limits.pop("after_batch", None)
            checked = self.optimizer.limits(n_trials, **limits)
            self.optimizer.opened()
            self.optimizer.stopping.clear()
            batches = self.optimizer.batches(checked, client, after_batch)
            self._track = CampaignTrack(self.optimizer, batches, steps, self._log, self._tell)
            self._worker = Worker((self._track,), name="uspnb-campaign")
            return self

    def _send(self, command: Callable[[CampaignTrack], object]) -> None:
        with self._lock:
            worker, track = self._worker, self._track
        if worker is not None and track is not None:
            worker.mailbox.put(lambda: command(track))

    def _tell(self) -> None:
        with self._lock:
            callbacks, worker = list(self._callbacks), self._worker
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # it is the subscriber's own code: whatever it raises must not end the campaign
                with self._lock:
                    self._callbacks = [one for one in self._callbacks if one is not callback]
                message = f"a subscriber raised {error!r}; it is no longer called"
                self._log.add(self.optimizer.status().trials, "subscriber", message)
                logging.getLogger(__name__).warning(message)
        if worker is not None and worker.tracks[0].ended:
            worker.close()


def _writer(workers: int, places: int) -> Writer:
    workers, places = check_whole("max_workers", workers, 1), check_whole("queue_maxlen", places, 1)
    return Writer(
        "uspnb-tuning-io", places, workers, "nothing more is written after shutdown(); make another optimizer"
    )

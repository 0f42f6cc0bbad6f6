"""`AsyncMetaOptimizer`: a campaign in the background, which can be watched, held and stepped; saves never block."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ..config.mutation import Mutation
from ..errors import DomainError
from ..runtime.arguments import check_whole
from ..runtime.files import Writer
from .result import OptimizationResult
from .status import PAUSED, RUNNING, CampaignStatus, Limits
from .study import AfterBatch, BayesianMetaOptimizer

Callback = Callable[[], object]


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
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._callbacks: list[Callback] = []
        self._error: BaseException | None = None
        self._active, self._paused, self._closed = False, False, False
        self._held, self._steps = False, 0

    def start(self, n_trials: int | None = None, **limits: Any) -> AsyncMetaOptimizer:
        """Begin the campaign, or go on with it; arguments as of `BayesianMetaOptimizer.optimize`.

        Raises:
            DomainError: it runs already, or was shut down.
        """
        return self._start(n_trials, limits, held=False, steps=0)

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
        with self._changed:
            self._held, self._steps = True, 0

    def resume(self) -> None:
        """Go on."""
        with self._changed:
            self._held, self._steps = False, 0
            self._changed.notify_all()

    def step(self, batches: int = 1) -> None:
        """Run so many batches, then hold; begins a campaign that has not begun.

        Raises:
            DomainError: not a whole number of at least 1.
        """
        batches = check_whole("batches", batches, 1)
        with self._changed:
            if not self._active:
                self._start(None, {}, held=True, steps=batches)
                return
            # Of a campaign that is not held the running batch counts as the first.
            self._steps = batches + (self._steps if self._held else 0)
            self._held = True
            self._changed.notify_all()

    def stop(self) -> None:
        """End after the running batch; `start` goes on later."""
        with self._changed:
            self.optimizer.stop()
            self._held = False
            self._changed.notify_all()

    def status(self) -> CampaignStatus:
        """Where the campaign stands; returns at once."""
        status = self.optimizer.status()
        if not self._active:
            return status
        return status._replace(state=PAUSED if self._paused else RUNNING, reason="")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the campaign's end; whether it came within `timeout` [s].  A campaign that is held does not end."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return thread is None
        thread.join(timeout)
        return not thread.is_alive()

    def result(self) -> OptimizationResult:
        """What was found so far; after `wait` the whole campaign's.

        Raises:
            Whatever ended the campaign.
        """
        if self._error is not None:
            raise self._error
        return self.optimizer.result()

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback`, from the campaign's thread, after every batch and every change of state.

        Returns:
            A function that ends the subscription; calling it twice does no harm.
        """
        with self._changed:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self._changed:
                if callback in self._callbacks:
                    self._callbacks.remove(callback)

        return unsubscribe

    def save_study_async(self, path: str | os.PathLike[str]) -> Future[Path]:
        """Write the campaign as of its last batch, without waiting; see `BayesianMetaOptimizer.save_study`."""
        optimizer = self.optimizer
        taken = optimizer.known() if self._active else None
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
            given = {"progress": False} | settings
            return cls(optimizer=BayesianMetaOptimizer.load_study(path, objective, **given), max_workers=max_workers)

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

    def _start(self, n_trials: int | None, limits: dict[str, Any], held: bool, steps: int) -> AsyncMetaOptimizer:
        with self._changed:
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
            self._held, self._steps, self._error, self._active = held, steps, None, True
            self._thread = threading.Thread(
                target=self._work, args=(checked, client, after_batch), name="uspnb-campaign", daemon=True
            )
            self._thread.start()
            return self

    def _work(self, limits: Limits, client: Any, after_batch: AfterBatch | None) -> None:
        def after(status: CampaignStatus) -> None:
            if after_batch is not None:
                after_batch(status)
            self._hold(status)

        self._tell()
        try:
            self.optimizer.go_on(limits, client, after)
        except BaseException as error:  # nobody is above this thread: `result` raises it
            self._error = error
        finally:
            self._active = False
            self._tell()

    def _hold(self, status: CampaignStatus) -> None:
        """Between two batches: tell, and wait while the campaign is held."""

        def must_wait() -> bool:
            ended = status.trials >= status.target or self.optimizer.stopping.is_set()
            return self._held and not self._steps and not ended

        with self._changed:
            self._steps = max(self._steps - 1, 0)
            self._paused = must_wait()
        self._tell()
        if self._paused:
            with self._changed:
                self._changed.wait_for(lambda: not must_wait())
                self._paused = False
            self._tell()

    def _tell(self) -> None:
        with self._changed:
            callbacks = list(self._callbacks)
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # it is the subscriber's own code: whatever it raises must not end the campaign
                with self._changed:
                    self._callbacks = [one for one in self._callbacks if one is not callback]
                logging.getLogger(__name__).warning("a subscriber raised %r; it is no longer called", error)


def _writer(workers: int, places: int) -> Writer:
    workers, places = check_whole("max_workers", workers, 1), check_whole("queue_maxlen", places, 1)
    return Writer(
        "uspnb-tuning-io", places, workers, "nothing more is written after shutdown(); make another optimizer"
    )

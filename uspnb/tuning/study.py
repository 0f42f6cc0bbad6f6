"""`BayesianMetaOptimizer`: a tuning campaign that can be stopped anywhere and goes on exactly where it was."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tqdm.auto import tqdm

from ..errors import DomainError
from .asking import next_batch, tell
from .campaign import Campaign
from .fanout import fanned_out
from .limits import Limits
from .ownership import active_run
from .result import OptimizationResult
from .signals import CampaignSignals, Terminated
from .status import FAILED, FINISHED, RUNNING, STOPPED, CampaignStatus
from .trials import finished, stale_for

AfterBatch = Callable[[CampaignStatus], object]


class BayesianMetaOptimizer(Campaign):
    """A campaign of trials that minimises an objective over a search space.

    Proposals come from the tree-structured Parzen estimator (Bergstra et al. 2011), seeded anew for every trial from
    the campaign's seed and the trial's number, in batches that are evaluated together.  Trial 0 is the base
    configuration.  A batch is on the disk when it is asked for and when it is told: a campaign that was killed or
    interrupted goes on with `optimize` and proposes what it would have proposed.  Several processes may work on one
    study.

    Args:
        search_space: parameters by name; the tier's where left out.
        objective: the name of a metric (then `series` is needed; by default that of `meta_config`), a
            `WalkForwardObjective`, or a function of a dict of parameters; lower is better.
        study_name: names the campaign and its files.
        tier: "fast" or "deep"; `meta_config.enable_deep_tuning` means "deep".
        meta_config: how the campaign runs.
        base_config: settings that candidates change.
        series: for the name of a metric.
        storage: file of the journal, beside which checkpoints are written, or a database's address; by default what
            `meta_config` says.
        max_iterations: trials in all where `optimize` is not told; by default `n_trials` of `meta_config`, without
            one 50 (fast) or 500 (deep).
        progress: whether to show a bar; by default yes.

    Raises:
        DomainError: a search space with a locked or unknown parameter or an empty range, an unknown tier or metric, a
            name that cannot name files, an objective that is none, a number of trials that is none.
    """

    def __init__(self, search_space: Any = None, objective: Any = None, **settings: Any) -> None:
        super().__init__(search_space, objective, **settings)
        self.stopping = threading.Event()
        self._busy = threading.Lock()

    def optimize(
        self,
        n_trials: int | None = None,
        checkpoint_interval: int | None = None,
        early_stopping_patience: int | None = None,
        *,
        early_stopping_delta: float | None = None,
        timeout_s: float | None = None,
        client: Any = None,
        after_batch: AfterBatch | None = None,
    ) -> OptimizationResult:
        """Run the campaign, or go on with it, until it has so many trials.

        In the main thread SIGUSR1 writes a checkpoint, and SIGINT (interrupting the cell) and SIGTERM end the campaign
        between two writes: the batch in evaluation is evaluated anew by the next call.  An interrupt then goes on as
        `KeyboardInterrupt`; after SIGTERM a checkpoint is written, and the handler that was there before is called, or
        the process ends with code 143.

        Args:
            n_trials: trials in all, those of earlier calls and of other processes included; no more are ever asked
                for, whichever process asks.
            checkpoint_interval: trials between two checkpoints.
            early_stopping_patience: the campaign ends after so many trials without an improvement; judged after every
                batch.
            early_stopping_delta: fall of the best value that counts as an improvement.
            timeout_s: no batch is begun later than this [s]; 0 sets no limit.
            client: `distributed.Client` of a Dask cluster whose workers evaluate the candidates of each batch; what is
                proposed and found is the same without one.
            after_batch: called with the status after every batch that was told.

        Returns:
            What was found.

        Raises:
            DomainError: a limit that is none, another campaign in the storage, a campaign that runs already, a client
                that cannot be used, an objective that cannot be sent to its workers.
            IntegrityError: the journal is damaged.
            OSError: the storage cannot be written.
            UspnbError: the Dask cluster was lost.
            KeyboardInterrupt: the user interrupted; the study is consistent.
        """
        limits = self.limits(n_trials, checkpoint_interval, early_stopping_patience, early_stopping_delta, timeout_s)
        if not self._busy.locked():
            self.stopping.clear()
        self.go_on(limits, client, after_batch)
        return self.result()

    def stop(self) -> None:
        """End after the batch in evaluation; may be called from any thread."""
        self.stopping.set()

    def go_on(self, limits: Limits, client: Any = None, after_batch: AfterBatch | None = None) -> None:
        """`optimize` with limits that are checked; a `stop` that came before it counts.

        Raises:
            As `optimize`.
        """
        if not self._busy.acquire(blocking=False):
            raise DomainError(f"the campaign {self.study_name!r} runs already; wait for its end or stop() it first")
        try:
            self._limits = limits
            self._run(fanned_out(self.objective, client), after_batch)
        finally:
            self._busy.release()

    def _run(self, evaluator: Any, after_batch: AfterBatch | None) -> None:
        self.opened()
        self._state, self._reason, self._began = RUNNING, "", time.monotonic()
        ended, reason = FAILED, "interrupted"
        signals = CampaignSignals(lambda: self._checkpoints.write(self.known()))
        try:
            with signals:
                ended, reason = self._batches(signals, evaluator, after_batch)
        except Terminated:
            ended, reason = STOPPED, "SIGTERM"
            self._checkpoints.write(self.known())
        except KeyboardInterrupt:
            ended = STOPPED
            raise
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._elapsed = time.monotonic() - self._began
            self._state, self._reason = ended, reason
            if ended == FAILED or reason in ("interrupted", "SIGTERM"):
                self._dropped()
        if reason == "SIGTERM":
            signals.hand_on()

    def _batches(self, signals: CampaignSignals, evaluator: Any, after_batch: AfterBatch | None) -> tuple[str, str]:
        """Batch after batch; the state that the campaign ends in, and why."""
        store, limits = self.opened(), self._limits
        bar = tqdm(total=limits.target, unit="trial", desc=self.study_name, disable=not self._progress)
        with active_run() as owner, bar:
            with signals.sheltered():
                self._known = store.trials()
                self._checkpoints.begin(self.known())
            while True:
                self._show(bar)
                if self.stopping.is_set():
                    return STOPPED, "stop was called"
                if limits.timeout_s and time.monotonic() - self._began >= limits.timeout_s:
                    return STOPPED, f"the time limit of {limits.timeout_s:g} s is reached"
                stale = stale_for(self._known, limits.delta) >= limits.patience
                with signals.sheltered():
                    batch = next_batch(store, self.rules, owner, limits.target, fresh=not stale)
                if batch is None:
                    told = f"no improvement in {limits.patience} trials" if stale else ""
                    return FINISHED, told
                with store.beating(batch.numbers), signals.evaluating():
                    evaluations = evaluator.evaluate(batch.candidates, keep=batch.draws.keep)
                with signals.sheltered():
                    tell(store, batch, evaluations)
                    self._known = store.trials()
                    self._checkpoints.after_batch(self.known(), limits.interval)
                if after_batch is not None:
                    after_batch(self.status())

    def _show(self, bar: tqdm[Any]) -> None:
        done = len(finished(self._known))
        bar.update(done - bar.n)
        best = self.best_value
        bar.set_postfix_str(f"best {best:.6g}", refresh=False)

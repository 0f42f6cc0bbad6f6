"""`BayesianMetaOptimizer`: a tuning campaign that can be stopped anywhere and goes on exactly where it was."""

from __future__ import annotations

import collections
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from tqdm.auto import tqdm

from ..config.load import config_hash
from ..config.meta_optimization import MetaOptimizationConfig
from ..config.schema import PredictorConfig
from ..errors import DomainError
from ..runtime.words import columns_table, pairs_table
from .batches import Rules, next_batch, tell
from .checkpoint import (
    Checkpoints,
    Image,
    OnEither,
    check_agrees,
    check_same,
    identity_of,
    read_checkpoint,
    settings_of,
    write_checkpoint,
)
from .consensus import Recommendation, judge
from .objective import CallableObjective, objective_for
from .result import OptimizationResult
from .signals import CampaignSignals, Terminated
from .space import checked_space, default_params, tier_space
from .status import (
    FAILED,
    FINISHED,
    IDLE,
    RUNNING,
    STOPPED,
    TRIALS,
    CampaignStatus,
    Limits,
    checked_limits,
    finished,
    params_of,
    recent_gain,
    stale_for,
    status_of,
    value_of,
)
from .storage import Store, active_run, checked_name, exists, open_store

if TYPE_CHECKING:
    import xarray as xr

AfterBatch = Callable[[CampaignStatus], object]


def _load_new(
    cls: Callable[..., Any],
    path: str | os.PathLike[str],
    objective: Any = None,
    meta_config: MetaOptimizationConfig | None = None,
    base_config: PredictorConfig | None = None,
    **settings: Any,
) -> Any:
    """`load_study` on the class."""
    settings = settings_of(read_checkpoint(path)) | settings
    settings["meta_config"] = meta_config or settings["meta_config"]
    optimizer = cls(objective=objective, base_config=base_config, **settings)
    optimizer.load_study(path)
    return optimizer


class BayesianMetaOptimizer:
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

    def __init__(
        self,
        search_space: Any = None,
        objective: Any = None,
        *,
        study_name: str = "uspnb",
        tier: str = "fast",
        meta_config: MetaOptimizationConfig | None = None,
        base_config: PredictorConfig | None = None,
        series: Any = None,
        storage: str | os.PathLike[str] | None = None,
        max_iterations: int | None = None,
        progress: bool | None = None,
    ) -> None:
        if objective is None and (callable(search_space) or hasattr(search_space, "evaluate")):
            search_space, objective = None, search_space  # as seed 003 writes it
        self.meta_config = MetaOptimizationConfig() if meta_config is None else meta_config
        self.study_name = checked_name(study_name)
        self.tier = "deep" if self.meta_config.enable_deep_tuning else tier
        space = tier_space(self.tier, self.meta_config) if search_space is None else search_space
        self.objective = objective_for(objective, series, self.meta_config, base_config)
        own = isinstance(self.objective, CallableObjective)
        self.search_space = checked_space(space, fields_only=not own)
        self.base_config = base_config or getattr(self.objective, "base_config", None) or PredictorConfig()
        self.rules = Rules(self.search_space, default_params(self.search_space, self.base_config), self.meta_config)
        self._place = self.meta_config.storage if storage is None else os.fspath(storage)
        # Checkpoints lie beside a journal that the user has named.
        beside = bool(self._place) and "://" not in self._place
        self.folder = Path(self._place).parent if beside else Path(self.meta_config.checkpoint_path)
        if max_iterations is None and meta_config is None:
            max_iterations = TRIALS[self.tier]
        self._limits = checked_limits(self.meta_config, self.tier, max_iterations)
        self._target = self._limits.target
        self._progress = progress is not False
        self._identity = identity_of(
            self.rules, self.tier, self.objective.metric, self.objective.fingerprint, self.base_config
        )
        self._store: Store | None = None
        self._reader: Store | None = None
        self._trials: Sequence[FrozenTrial] = ()
        self._opening = threading.RLock()
        self._checkpoints = Checkpoints(self.folder)
        self._gone: set[str] = set()
        self._state, self._reason, self._began, self._elapsed = IDLE, "", 0.0, 0.0
        self._judged: tuple[int, float | None, Recommendation] | None = None
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
        limits = self.limits(
            n_trials,
            checkpoint_interval=checkpoint_interval,
            early_stopping_patience=early_stopping_patience,
            early_stopping_delta=early_stopping_delta,
            timeout_s=timeout_s,
        )
        if not self._busy.locked():
            self.stopping.clear()
        collections.deque(self.batches(limits, client, after_batch), maxlen=0)
        return self.result()

    def stop(self) -> None:
        """End after the batch in evaluation; may be called from any thread."""
        self.stopping.set()

    def batches(
        self, limits: Limits, client: Any = None, after_batch: AfterBatch | None = None
    ) -> Iterator[CampaignStatus]:
        """`optimize` batch by batch, with limits that are checked: the status after each; a `stop` before it counts.

        Raises:
            As `optimize`.
        """
        if not self._busy.acquire(blocking=False):
            raise DomainError(f"the campaign {self.study_name!r} runs already; wait for its end or stop() it first")
        try:
            self._limits = limits
            evaluator = self.objective
            if client is not None:
                from .fanout import FannedOut  # Dask is not for everybody

                evaluator = FannedOut(evaluator, client)
            yield from self._run(evaluator, after_batch)
        finally:
            self._busy.release()

    def _run(self, evaluator: Any, after_batch: AfterBatch | None) -> Iterator[CampaignStatus]:
        self.opened()
        self._state, self._reason, self._began = RUNNING, "", time.monotonic()
        ended, reason = FAILED, "interrupted"
        signals = CampaignSignals(lambda: self._checkpoints.write(self.last_image()))
        try:
            with signals:
                ended, reason = yield from self._batches(signals, evaluator, after_batch)
        except Terminated:
            ended, reason = STOPPED, "SIGTERM"
            self._checkpoints.write(self.last_image())
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
                self._close_stores()
        if reason == "SIGTERM":
            signals.hand_on()

    def _batches(
        self, signals: CampaignSignals, evaluator: Any, after_batch: AfterBatch | None
    ) -> Generator[CampaignStatus, None, tuple[str, str]]:
        """Batch after batch; returns the state that the campaign ends in, and why."""
        store, limits = self.opened(), self._limits
        bar = tqdm(total=limits.target, unit="trial", desc=self.study_name, disable=not self._progress)
        with active_run() as owner, bar:
            with signals.sheltered():
                self._trials = store.trials()
                self._checkpoints.begin(self.last_image())
            while True:
                bar.update(len(finished(self._trials)) - bar.n)
                bar.set_postfix_str(f"best {self.best_value:.6g}", refresh=False)
                if self.stopping.is_set():
                    return STOPPED, "stop was called"
                if limits.timeout_s and time.monotonic() - self._began >= limits.timeout_s:
                    return STOPPED, f"the time limit of {limits.timeout_s:g} s is reached"
                stale = stale_for(self._trials, limits.delta) >= limits.patience
                with signals.sheltered():
                    batch = next_batch(store, self.rules, owner, limits.target, fresh=not stale)
                if batch is None:
                    reason = f"no improvement in {limits.patience} trials" if stale else ""
                    return FINISHED, reason
                with store.beating(batch.numbers), signals.evaluating():
                    evaluations = evaluator.evaluate(batch.candidates, keep=batch.draws.keep)
                with signals.sheltered():
                    tell(store, batch, evaluations)
                    self._trials = store.trials()
                    self._checkpoints.after_batch(self.last_image(), limits.interval)
                status = self.status()
                if after_batch is not None:
                    after_batch(status)
                yield status

    @property
    def study(self) -> optuna.Study:
        """The study as Optuna has it, through a reader of its own, so that using it never holds the campaign up."""
        with self._opening:
            self.opened()
            if self._reader is None:
                self._reader = open_store(self._place, self.study_name, self.folder)
            return self._reader.study

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """All trials: as of the last batch while the campaign runs here, else as they lie in the storage."""
        if self._state != RUNNING:
            with self._opening:
                if self._store is not None or exists(self._place, self.study_name, self.folder):
                    self._trials = self.opened().trials()
        return self._trials

    @property
    def best_params(self) -> dict[str, Any]:
        """Settings of the best complete trial; empty where there is none."""
        return self.status().best_params

    @property
    def best_value(self) -> float:
        """Value of the best complete trial; NaN where there is none."""
        return self.status().best_value

    @property
    def place(self) -> str:
        """Where the campaign lies, without a password."""
        return self.opened().place

    @property
    def results(self) -> xr.Dataset:
        """All trials as an `xarray.Dataset`: values, folds, parameters, importance."""
        from .dataset import results_dataset

        return results_dataset(self.image(), self.objective, self.base_config, self.rules)

    def status(self) -> CampaignStatus:
        """State, counts of trials and best value."""
        trials = self.trials
        elapsed = time.monotonic() - self._began if self._state == RUNNING else self._elapsed
        return status_of(trials, self._state, self._limits.target, elapsed, self._reason)

    def image(self) -> Image:
        """The campaign at this moment; costs nothing while it runs."""
        return Image(self.study_name, self._identity, self.trials)

    def last_image(self) -> Image:
        """The campaign as it was last read, after a batch or when it was opened; costs nothing."""
        return Image(self.study_name, self._identity, self._trials)

    def limits(self, n_trials: int | None = None, **limits: Any) -> Limits:
        """What a call of `optimize` with these arguments keeps to.

        Raises:
            DomainError: one of them cannot be used.
        """
        return checked_limits(self.meta_config, self.tier, self._target if n_trials is None else n_trials, **limits)

    def result(self) -> OptimizationResult:
        """What was found so far.

        The paired tests of the best trial and of what is recommended are made when first asked for.
        """
        trials = finished(self.trials)
        status = status_of(trials)
        p_value, recommended = self._verdict(trials, status.default_value)
        limits = self._limits
        return OptimizationResult(
            study_name=self.study_name,
            tier=self.tier,  # type: ignore[arg-type]  # validated there
            best_params=status.best_params,
            best_objective=status.best_value,
            total_iterations=status.trials,
            early_stopped=len(trials) < limits.target and stale_for(trials, limits.delta) >= limits.patience,
            convergence_delta=recent_gain(trials, limits.patience),
            timestamp_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            default_objective=status.default_value,
            p_value=p_value,
            metric=self.objective.metric,
            failed=status.failed,
            pruned=status.pruned,
            seconds=sum(float(trial.user_attrs.get("seconds", 0.0)) for trial in trials),
            base_hash=config_hash(self.base_config),
            recommended_params=recommended.params,
            recommended_objective=recommended.objective,
            recommended_improvement=recommended.improvement,
            recommended_p_value=recommended.p_value,
            recommendation=recommended.reason,
        )

    def _verdict(self, trials: Sequence[FrozenTrial], default: float) -> tuple[float | None, Recommendation]:
        """What `judge` says of the complete trials; made once for as many as there are."""
        complete = [(value_of(trial), params_of(trial)) for trial in trials if trial.state == TrialState.COMPLETE]
        if self._judged is None or self._judged[0] != len(complete):
            verdict = judge(self.search_space, complete, self.rules.defaults, default, self.objective)
            self._judged = (len(complete), *verdict)
        return self._judged[1:]

    def save_study(self, path: str | os.PathLike[str]) -> Path:
        """Write the campaign to one file of data, and its SHA-256 to `path.sha256`; whole or not at all.

        Returns:
            The file.

        Raises:
            OSError: it cannot be written; what was there stays.
        """
        return self.save_image(path, self.image())

    def save_image(self, path: str | os.PathLike[str], image: Image) -> Path:
        """`save_study` of an earlier image."""
        return write_checkpoint(path, image, self._checkpoints.texts)

    def _load_here(self, path: str | os.PathLike[str]) -> None:
        """Go on from a file of `save_study`: the trials that the storage lacks are added to it.

        On the class, `BayesianMetaOptimizer.load_study(path, objective)` makes a new optimizer; then the search space,
        tier, seed and batch size are the file's.

        Raises:
            FileNotFoundError: the file or its `.sha256` is not there.
            IntegrityError: they do not match; nothing of the file was used.
            DomainError: another version, another campaign, or a storage that holds other trials.
        """
        image = read_checkpoint(path)
        if image.study_name != self.study_name:
            raise DomainError(
                f"{os.fspath(path)} is of the study {image.study_name!r}, this one is {self.study_name!r}; give this "
                "optimizer that study_name, or load another file"
            )
        check_same(self._identity, image.identity, os.fspath(path))
        store = self.opened()
        with store.turn():
            there = store.trials()
            check_agrees(image, there, store.place)
            for trial in image.trials[len(there) :]:
                store.add(trial)

    load_study = OnEither(_load_here, _load_new)

    def disown(self, host: str) -> None:
        """Say that no process of another machine works on this study any more, so that its running trials may be taken
        over; of a machine that shares a database the heartbeat says it, of one that shares a journal nothing does."""
        self._gone.add(host)
        if self._store is not None:
            self._store.gone_hosts |= self._gone

    def generate_optimization_report(self, html: bool = False) -> str:
        """The campaign in words, or as a page that needs no network."""
        from .report import html_report, text_report

        return (html_report if html else text_report)(self.results, self.result())

    def opened(self) -> Store:
        """The storage, opened when first needed.

        Raises:
            DomainError: it cannot be used, or holds another campaign of this name.
            IntegrityError: the journal is damaged.
            OSError: it cannot be read or written.
        """
        with self._opening:
            if self._store is None:
                store = open_store(self._place, self.study_name, self.folder)
                try:
                    with store.turn():
                        identity = store.identity()
                        if identity or store.trials():
                            check_same(self._identity, identity, f"{store.place}, study {self.study_name!r},")
                        else:
                            store.set_identity(self._identity)
                except BaseException:
                    store.close()
                    raise
                store.gone_hosts |= self._gone
                self._store, self._trials = store, store.trials()
            return self._store

    def _close_stores(self) -> None:
        """Forget the storage; after an interruption what Optuna keeps of it in memory may be half-way."""
        with self._opening:
            for store in (self._store, self._reader):
                if store is not None:
                    store.close()
            self._store = self._reader = None

    def _repr_html_(self) -> str:
        status = self.status()
        rows = {
            "state": f"{status.state}{': ' if status.reason else ''}{status.reason}",
            "tier": self.tier,
            "objective": self.objective.metric,
            "trials": f"{status.trials} of {status.target}: {status.complete} complete, {status.pruned} pruned, "
            f"{status.failed} failed",
            "best": status.best_value,
            "default": status.default_value,
        }
        best = [
            (name, status.best_params.get(name, ""), self.rules.defaults[name], f"{one.range}")
            for name, one in self.search_space.items()
        ]
        parameters = columns_table("Parameters", ("parameter", "best", "default", "range"), best)
        return pairs_table(f"{type(self).__name__} {self.study_name}", rows) + parameters

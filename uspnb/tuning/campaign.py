"""A campaign: what it is, where it lies, and what is known of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ..config.load import config_hash
from ..config.meta_optimization import MetaOptimizationConfig
from ..config.schema import PredictorConfig
from ..errors import DomainError
from ..runtime.html_tables import columns_table, pairs_table
from .calling import CallableObjective, objective_for
from .checkpoint import Image, check_agrees, read_checkpoint, write_checkpoint
from .consensus import Recommendation, judge
from .identity import check_same, identity_of
from .limits import TRIALS, Limits, checked_limits
from .loading import OnEither, loaded_anew
from .result import OptimizationResult
from .sampling import rules_of
from .saves import Checkpoints
from .space import checked_space, tier_space
from .status import IDLE, RUNNING, CampaignStatus, status_of
from .storage import Store, checked_name, exists, open_store
from .trials import finished, params_of, recent_gain, stale_for, value_of

if TYPE_CHECKING:
    import xarray as xr


class Campaign:
    """What one campaign is; `BayesianMetaOptimizer` runs it and says what the arguments mean."""

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
        self.rules = rules_of(self.search_space, self.base_config, self.meta_config)
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
        self._known: Sequence[FrozenTrial] = ()
        self._opening = threading.RLock()
        self._checkpoints = Checkpoints(self.folder)
        self._gone: set[str] = set()
        self._state, self._reason, self._began, self._elapsed = IDLE, "", 0.0, 0.0
        self._judged: tuple[int, float | None, Recommendation] | None = None

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
                    self._known = self.opened().trials()
        return self._known

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
        """Where the campaign stands."""
        trials = self.trials
        elapsed = time.monotonic() - self._began if self._state == RUNNING else self._elapsed
        return status_of(trials, self._state, self._limits.target, elapsed, self._reason)

    def image(self) -> Image:
        """The campaign at this moment; costs nothing while it runs."""
        return Image(self.study_name, self._identity, self.trials)

    def known(self) -> Image:
        """The campaign as it was last read, after a batch or when it was opened; costs nothing."""
        return Image(self.study_name, self._identity, self._known)

    def limits(
        self,
        n_trials: int | None = None,
        checkpoint_interval: int | None = None,
        early_stopping_patience: int | None = None,
        early_stopping_delta: float | None = None,
        timeout_s: float | None = None,
    ) -> Limits:
        """What a call of `optimize` with these arguments keeps to.

        Raises:
            DomainError: one of them cannot be used.
        """
        return checked_limits(
            self.meta_config,
            self.tier,
            self._target if n_trials is None else n_trials,
            checkpoint_interval,
            early_stopping_patience,
            early_stopping_delta,
            timeout_s,
        )

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
            made = judge(self.search_space, complete, self.rules.defaults, default, self.objective)
            self._judged = (len(complete), *made)
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
        """`save_study` of an earlier moment."""
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

    load_study = OnEither(_load_here, loaded_anew)

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
                    self._claim(store)
                except BaseException:
                    store.close()
                    raise
                store.gone_hosts |= self._gone
                self._store, self._known = store, store.trials()
            return self._store

    def _claim(self, store: Store) -> None:
        with store.turn():
            there = store.identity()
            if there or store.trials():
                check_same(self._identity, there, f"{store.place}, study {self.study_name!r},")
            else:
                store.set_identity(self._identity)

    def _dropped(self) -> None:
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

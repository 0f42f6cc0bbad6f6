"""The result of a campaign: immutable, checked when made, exact through JSON, applied with one call."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, field_validator, model_validator

from ..config.mutation import Mutation, mutate_config
from ..config.schema import DECLARATIONS, PredictorConfig
from ..errors import ConfigError, DomainError
from ..runtime.words import columns_table, pairs_table

Which = Literal["recommended", "best"]
# None may be a choice of a user's own objective; a configuration file holds the others
Setting = StrictBool | StrictInt | float | str | None


def _refuse(*args: Any, **kwargs: Any) -> Any:
    raise TypeError("the parameters of a result never change; change a copy made with dict(result.best_params)")


class FrozenParams(dict[str, Any]):
    """A dict that refuses every change, so that a frozen result is frozen in depth; `dict(params)` is a copy to change.

    Raises:
        TypeError: at any change.
    """

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return FrozenParams, (dict(self),)


class OptimizationResult(BaseModel):
    """What a campaign found (seed 002, section 21.2): immutable, and the same after a round trip through JSON.

    Numbers are finite, or NaN where nothing is known: `best_objective` where no trial is complete, `default_objective`
    where the default's trial is not, `improvement` where either is unknown or the default's value is not above 0.

    Attributes:
        study_name: name of the campaign.
        tier: "fast" or "deep".
        best_params: the best complete trial's parameters by name; empty where no trial is complete.
        best_objective: its value; lower is better.
        total_iterations: trials in all, the failed and the pruned ones included.
        early_stopped: whether patience ended the campaign before its last trial.
        convergence_delta: by how much the best value fell over the last trials (as many as the patience is long).
        timestamp_utc: when the campaign ended, ISO 8601 in UTC.
        default_objective: the default configuration's value on the same folds.
        improvement: 1 - best_objective/default_objective.
        p_value: of a paired, one-sided test of the best against the default on the same folds; None where there is no
            such test or it cannot tell.
        metric: name of the objective, "" where it is not known.
        failed, pruned: how many trials failed, how many were given up early.
        seconds: time that the campaign took.
        base_hash: SHA-256 of the configuration that it started from (`config_hash`), "" where it is not known.
        recommended_params: what should be applied (`uspnb.tuning.consensus`); empty where the settings in force should
            stay.
        recommended_objective, recommended_improvement, recommended_p_value: value of what was examined for that, its
            improvement over the settings in force, and the p-value of a paired, one-sided test; NaN and None likewise.
        recommendation: the sentence that says why, "" where nothing was examined; then the best is applied.

    Raises:
        pydantic.ValidationError: a ValueError that names the field, the value and what is expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    study_name: str = Field(min_length=1)
    tier: Literal["fast", "deep"]
    best_params: Mapping[str, Setting]
    best_objective: float
    total_iterations: StrictInt = Field(ge=0)
    early_stopped: StrictBool
    convergence_delta: float
    timestamp_utc: str
    default_objective: float = math.nan
    improvement: float = math.nan
    p_value: float | None = Field(default=None, ge=0.0, le=1.0)
    metric: str = ""
    failed: StrictInt = Field(default=0, ge=0)
    pruned: StrictInt = Field(default=0, ge=0)
    seconds: float = math.nan
    base_hash: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    recommended_params: Mapping[str, Setting] = Field(default_factory=FrozenParams)
    recommended_objective: float = math.nan
    recommended_improvement: float = math.nan
    recommended_p_value: float | None = Field(default=None, ge=0.0, le=1.0)
    recommendation: str = ""

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: Any) -> Any:
        """The improvement from the two values where it is left out."""
        if not isinstance(values, Mapping) or "improvement" in values:
            return values
        best, default = values.get("best_objective"), values.get("default_objective")
        if not (isinstance(best, (int, float)) and isinstance(default, (int, float))):
            return values
        return dict(values) | {"improvement": relative_improvement(best, default)}

    @field_validator("improvement", "p_value", "recommended_improvement", "recommended_p_value", mode="before")
    @classmethod
    def _unknown(cls, value: Any, info: Any) -> Any:
        """An improvement over 0 is infinite and tells nothing; a test that cannot tell has no p."""
        if isinstance(value, float) and not math.isfinite(value):
            return None if "p_value" in info.field_name and math.isnan(value) else math.nan
        return value

    @field_validator("best_params", "recommended_params", mode="before")
    @classmethod
    def _plain(cls, params: Any) -> Any:
        if not isinstance(params, Mapping):
            return params
        return {name: value.item() if isinstance(value, np.generic) else value for name, value in params.items()}

    @field_validator("best_params", "recommended_params")
    @classmethod
    def _frozen(cls, params: Mapping[str, Setting]) -> FrozenParams:
        for name, value in params.items():
            if not name:
                raise ValueError("a parameter has no name")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} = {value!r} is not finite; a trial with such a parameter cannot be the best")
        return FrozenParams(params)

    @field_validator(
        "best_objective",
        "convergence_delta",
        "default_objective",
        "improvement",
        "seconds",
        "recommended_objective",
        "recommended_improvement",
    )
    @classmethod
    def _finite(cls, value: float, info: Any) -> float:
        if math.isinf(value):
            raise ValueError(f"{value!r} is not finite; pass NaN where nothing is known")
        if info.field_name == "seconds" and value < 0:
            raise ValueError(f"{value!r} s is below 0")
        return value

    @field_validator("timestamp_utc")
    @classmethod
    def _utc(cls, text: str) -> str:
        try:
            offset = datetime.fromisoformat(text).utcoffset()
        except ValueError:
            raise ValueError(f"{text!r} is not a time in ISO 8601, such as 2026-02-21T09:30:00Z") from None
        if offset != timedelta(0):
            raise ValueError(f"{text!r} is not in UTC; end it in Z")
        return text

    @model_validator(mode="after")
    def _consistent(self) -> OptimizationResult:
        if self.failed + self.pruned > self.total_iterations:
            problem = f"{self.failed} failed and {self.pruned} pruned trials are more than the {self.total_iterations}"
            raise ValueError(f"{problem} of total_iterations, which counts every trial")
        return self

    def settings(self, which: Which = "recommended") -> dict[str, Any]:
        """The parameters to apply.

        Args:
            which: "recommended", which is the best where nothing was examined for a recommendation; or "best".

        Raises:
            DomainError: no trial is complete, or the recommendation is that the settings in force stay; or an unknown
                `which`.
            ConfigError: a parameter is no field of the configuration.
        """
        if which not in ("recommended", "best"):
            raise DomainError(f"which = {which!r} is neither 'recommended' nor 'best'")
        if not self.best_params:
            raise DomainError(
                f"the campaign {self.study_name!r} has no complete trial, so that there is nothing to apply; "
                "its report tells why the trials failed"
            )
        examined = which == "recommended" and bool(self.recommendation)
        if examined and not self.recommended_params:
            raise DomainError(
                f"nothing to apply: {self.recommendation}; which='best' applies the best trial all the same"
            )
        params = self.recommended_params if examined else self.best_params
        foreign = sorted(set(params) - set(DECLARATIONS))
        if foreign:
            raise ConfigError(
                f"{', '.join(map(repr, foreign))} is no field of the configuration but a parameter of the campaign's "
                "own objective; read it from `best_params`"
            )
        return dict(params)

    def to_config(self, base: PredictorConfig | None = None, which: Which = "recommended") -> PredictorConfig:
        """The configuration with the parameters of `settings` in it; no file is touched.

        Args:
            base: the configuration to change, the default one where it is left out.
            which: as in `settings`.

        Raises:
            DomainError: as `settings`.
            ConfigError: as `settings`, or a value is not allowed there.
        """
        return dataclasses.replace(base or PredictorConfig(), **self.settings(which))

    def export_to_toml(
        self,
        path: str | Path = "config.toml",
        backup: bool = True,
        validate: bool = True,
        *,
        override_limit: bool = False,
        trigger: str | None = None,
        which: Which = "recommended",
    ) -> Mutation:
        """Write the parameters of `settings` into a configuration file by `mutate_config`, all of them or none.

        Args:
            path: the file; its comments and its order stay.
            backup: whether the file is copied before it is replaced.
            validate: seed 002's flag, kept for its callers.  It skips nothing: a file with a value out of its range
                could not be read any more, so that ranges, locks and limits are checked either way.
            override_limit: whether a value may move further than the limit of one mutation; a campaign's best often
                does.
            trigger: what the audit log calls the cause, by default "FastTuning_" or "DeepTuning_" and the study's name.
            which: "recommended" or "best", as in `settings`.

        Returns:
            The mutation, which `rollback` undoes.

        Raises:
            DomainError, ConfigError: as `settings`.
            ConfigMutationError: the mutation policy refuses the change; the reason stands in the audit log too.
        """
        return mutate_config(
            path,
            self.settings(which),
            trigger=trigger or f"{self.tier.capitalize()}Tuning_{self.study_name}",
            override_limit=override_limit,
            backup=backup,
            details=self.audit_details(),
        )

    def audit_details(self) -> dict[str, Any]:
        """What the audit log records of the campaign: plain values, None in place of NaN."""
        names = ("study_name", "tier", "metric", "best_objective", "default_objective", "improvement", "p_value")
        advice = ("recommendation", "recommended_objective", "recommended_improvement", "recommended_p_value")
        counts = ("total_iterations", "failed", "pruned", "early_stopped", "timestamp_utc", "base_hash")
        values = {name: getattr(self, name) for name in (*names, *counts, *advice)}
        return {name: None if _is_nan(value) else value for name, value in values.items()}

    def _comparable(self) -> dict[str, Any]:
        return {name: "NaN" if _is_nan(v := getattr(self, name)) else v for name in type(self).model_fields}

    def __eq__(self, other: object) -> bool:
        """Whether both tell the same; what neither knows is the same."""
        return self._comparable() == other._comparable() if isinstance(other, OptimizationResult) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._comparable().values()))

    def _repr_html_(self) -> str:
        rows: dict[str, Any] = {
            "tier": self.tier,
            f"best {self.metric or 'objective'}": self.best_objective,
            "default": self.default_objective,
            "improvement": share_text(self.improvement),
            "p (paired, one-sided)": "no test" if self.p_value is None else self.p_value,
            "recommended": self.recommendation or "the best trial",
            "trials": f"{self.total_iterations}, {self.pruned} pruned, {self.failed} failed",
            "ended": f"{self.timestamp_utc}{', stopped early' if self.early_stopped else ''}",
        }
        rows = {name: "not known" if _is_nan(value) else value for name, value in rows.items()}
        params = columns_table("Best parameters", ("parameter", "value"), sorted(self.best_params.items()))
        return pairs_table(f"Campaign {self.study_name}", rows) + (params if self.best_params else "")


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def relative_improvement(best: float, default: float) -> float:
    """1 - best/default; NaN where either is unknown or the default's value is not above 0, where a ratio is no gain."""
    return 1.0 - best / default if math.isfinite(best) and math.isfinite(default) and default > 0 else math.nan


def share_text(improvement: float) -> str:
    """An improvement as text: its size, and whether it is better or worse."""
    if math.isnan(improvement):
        return "not known"
    return f"{abs(improvement):.2%} {'better' if improvement >= 0 else 'worse'}" if improvement else "none"

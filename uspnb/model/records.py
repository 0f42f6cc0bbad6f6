"""What goes into a tick and what comes out: `ProcessState`, `PredictionResult`, `OperatingMode`, `Telemetry`."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from ..array_types import Array, Int, Scalar
from ..data.number_format import is_missing
from ..data.times import timestamp_to_ns
from ..errors import DomainError
from ..runtime.words import headline, pairs_table
from .fields import CHART_NAMES, MODE_NAMES, Telemetry

__all__ = ["CHART_NAMES", "Observation", "OperatingMode", "PredictionResult", "ProcessState", "Telemetry"]


class Observation(NamedTuple):
    """One tick as the compiled step takes it.

    Attributes:
        value: y_t [input units]; may be NaN or infinite, which the gate flags.
        timestamp_ns: when it was measured [ns since 1970 UTC].
        now_ns: when it is processed [ns since 1970 UTC]; replay passes the timestamp.
        dispersion_proxy: an outside estimate of the dispersion of the next tick [any unit], NaN where there is none.
        covariates: of the tick itself and of each step that is forecast from it, rows of a value for each covariate of
            the configuration, NaN where it is not known; nothing where the configuration has none.

    The leaves are scalars, or columns of a batch or of a stretch of time; float64 and int64, NumPy's or JAX's.
    """

    value: Any
    timestamp_ns: Any
    now_ns: Any
    dispersion_proxy: Any
    covariates: Any = ()

    def at(self, place: Any) -> Observation:
        """The tick or ticks at a place of the leading axes: an index, a slice, or a tuple of these."""
        return jax.tree.map(lambda column: column[place], self)


def _real_number(name: str, value: Any) -> float:
    if is_missing(value):
        return float("nan")
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.size != 1:
        raise DomainError(
            f"{name} = {value!r} (dtype {array.dtype}, shape {array.shape}) is not one real number; "
            "feed one tick at a time, or a whole series through `backtest`"
        )
    return float(array.reshape(()))


@dataclasses.dataclass(frozen=True)
class ProcessState:
    """One tick of one series (seed 002, section 2.2).

    Attributes:
        magnitude: y_t [input units], absolute or normalised; NaN and infinities are accepted here and flagged
            later; what is masked or missing is NaN.
        timestamp_utc: aware datetime, numpy.datetime64, pandas.Timestamp with a zone, or an integer since 1970, as
            `timestamp_to_ns` takes it.
        state_tag: a label of the user's own; carried into the result's `request_id`.
        dispersion_proxy: an outside estimate of the next tick's dispersion (an implied volatility, a sensor's own
            error); only its changes matter, they widen or narrow the interval.
        covariates: a mapping by name, or a sequence in the order of `PredictorConfig.covariates`; each entry is the
            tick's own number or a sequence that begins with it and goes on with those of the ticks to come, as far as
            they are known.  The forecast of a tick whose covariates are not known does without them.

    Raises:
        DomainError: magnitude is not one real number, the timestamp is naive or names no instant.
    """

    __no_type_check__ = True  # the constructor judges what it is given, in words for a person

    magnitude: float
    timestamp_utc: Any
    state_tag: str | None = None
    dispersion_proxy: float | None = None
    covariates: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "magnitude", _real_number("magnitude", self.magnitude))
        object.__setattr__(self, "_timestamp_ns", timestamp_to_ns(self.timestamp_utc))
        if self.dispersion_proxy is not None:
            proxy = _real_number("dispersion_proxy", self.dispersion_proxy)
            if not proxy > 0 or not np.isfinite(proxy):
                raise DomainError(f"dispersion_proxy = {proxy!r} must be finite and above 0; leave it out if unknown")
            object.__setattr__(self, "dispersion_proxy", proxy)
        if self.state_tag is not None and not isinstance(self.state_tag, str):
            raise DomainError(f"state_tag = {self.state_tag!r} has type {type(self.state_tag).__name__}, expected str")

    @property
    def timestamp_ns(self) -> int:
        """The timestamp [ns since 1970 UTC]."""
        return self._timestamp_ns  # type: ignore[attr-defined]

    def validate_domain(self, sigma_bound: float, sigma_val: float, level: float = 0.0) -> bool:
        """Whether |y - level| <= sigma_bound * sigma_val: the catastrophic outlier test of the seeds.

        Raises:
            DomainError: a bound or a scale that is not above zero.
        """
        if not sigma_bound > 0 or not sigma_val > 0:
            raise DomainError(f"sigma_bound = {sigma_bound!r} and sigma_val = {sigma_val!r} must be above 0")
        return bool(abs(self.magnitude - level) <= sigma_bound * sigma_val)

    def observation(self, now_ns: int | None = None) -> Observation:
        """This tick as the compiled step takes it; `now_ns` defaults to the timestamp (replay)."""
        stamp = np.int64(self.timestamp_ns)
        proxy = np.nan if self.dispersion_proxy is None else self.dispersion_proxy
        now = stamp if now_ns is None else np.int64(now_ns)
        return Observation(np.float64(self.magnitude), stamp, now, np.float64(proxy))

    def _repr_html_(self) -> str:
        rows = {"magnitude": self.magnitude, "time (UTC)": np.datetime64(self.timestamp_ns, "ns")}
        optional = {"tag": self.state_tag, "dispersion proxy": self.dispersion_proxy}
        return pairs_table("ProcessState", rows | {n: value for n, value in optional.items() if value is not None})


class OperatingMode:
    """Codes of the operating mode; strings exist only on the host."""

    INFERENCE = 0
    CALIBRATION = 1
    DIAGNOSTIC = 2
    NAMES = MODE_NAMES

    @staticmethod
    def to_string(mode: Any) -> str:
        """Name of a mode code.

        Raises:
            DomainError: not 0, 1 or 2.
        """
        code = int(mode)
        if not 0 <= code < len(OperatingMode.NAMES):
            raise DomainError(f"operating mode {code} is not one of 0 (inference), 1 (calibration), 2 (diagnostic)")
        return OperatingMode.NAMES[code]


jax.tree_util.register_dataclass(Telemetry)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PredictionResult:
    """The forecast of the next tick (seed 002, section 2.3).

    Attributes:
        reference_prediction: yhat_{t+1|t} [y].
        confidence_lower, confidence_upper: calibrated interval at `confidence_level` [y].
        operating_mode: 0 inference, 1 calibration (degraded), 2 diagnostic (emergency).
        telemetry: the `Telemetry` of this tick.
        request_id: the `state_tag` of the tick.
        kernels: names of the kernels, in the order of the telemetry's dim "kernel".
    """

    __no_type_check__ = True  # as in Telemetry

    reference_prediction: Scalar
    confidence_lower: Scalar
    confidence_upper: Scalar
    operating_mode: Int[Array, ""]
    telemetry: Telemetry
    request_id: str | None = dataclasses.field(default=None, metadata={"static": True})
    kernels: tuple[str, ...] = dataclasses.field(default=(), metadata={"static": True})

    def __repr__(self) -> str:
        if isinstance(self.reference_prediction, Tracer) or not isinstance(
            self.reference_prediction, (float, np.ndarray, np.generic, jax.Array)
        ):
            return f"PredictionResult(of {type(self.reference_prediction).__name__})"
        if np.ndim(self.reference_prediction) > 0:
            return f"PredictionResult(shape {np.shape(self.reference_prediction)})"
        return (
            f"PredictionResult({float(self.reference_prediction):.6g} in [{float(self.confidence_lower):.6g}, "
            f"{float(self.confidence_upper):.6g}], mode={OperatingMode.to_string(self.operating_mode)})"
        )

    def _repr_html_(self) -> str:
        if np.ndim(self.reference_prediction) > 0:
            return headline("PredictionResult", f"of shape {np.shape(self.reference_prediction)}")
        t = self.telemetry
        shares = zip(self.kernels, np.asarray(t.weight), strict=True)
        rows: dict[str, Any] = {
            "prediction": float(self.reference_prediction),
            "interval": f"{float(self.confidence_lower):.6g} to {float(self.confidence_upper):.6g}",
            "mode": OperatingMode.to_string(self.operating_mode),
            "weights": ", ".join(f"{name} {float(share):.2f}" for name, share in shares),
            "Holder exponent": float(t.holder_exponent),
            "alarm": bool(t.alarm),
        }
        return pairs_table("PredictionResult", rows | ({} if self.request_id is None else {"request": self.request_id}))

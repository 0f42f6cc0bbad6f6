"""What a tick gives, declared once: name, kind, dims, unit, meaning, and where it is shown, stored or logged.

From the declarations of `Telemetry` and of `NEXT` are derived the layout of a packed row, the variables of a Dataset,
the fields that telemetry may log, the columns of a live view and those that a fleet keeps.  The order of the
declarations is the order in a packed row and in a logged record.  Nothing here imports JAX, for the process that writes
the logs reads this file.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..runtime.words import pairs_table

if TYPE_CHECKING:
    from ..array_types import Array, Bool, Count, Flag, Float, Int, Scalar
    from ..config.schema import PredictorConfig

Kind = Literal["number", "flag", "count"]
Sizes = Mapping[str, int]

INPUT_UNITS = "input units"
CHART_NAMES: tuple[str, ...] = ("mean", "scale", "dependence")
ALARM_NAMES: tuple[str, ...] = (*CHART_NAMES, "level_release")
MODE_NAMES: tuple[str, ...] = ("inference", "calibration", "diagnostic")
# Columns of a live view that no field fills by itself: the first two and the last two.
VIEW_FIRST, VIEW_LAST = ("tick", "time"), ("onset_tick", "reason")


class Shown(enum.Flag):
    """Who shows or keeps a field: the live view of one series, the rows of a fleet, the sparklines of a fleet."""

    NOWHERE = 0
    VIEW = enum.auto()
    FLEET = enum.auto()
    SPARK = enum.auto()


VIEW, FLEET, SPARK = Shown.VIEW, Shown.FLEET, Shown.SPARK


@dataclasses.dataclass(frozen=True)
class Field:
    """What is declared about one field.

    Attributes:
        name: the attribute of `Telemetry`, or the column of a packed row.
        kind: number, flag or count (a whole number).
        units: "y" is the unit of the input; numbers in it never leave the machine in a log.
        long_name: axis label, one clause.
        dims: "kernel", "chart", "mode", "season_slot", "covariate", "horizon" or "level", beside time and asset.
        variable: name in a Dataset, None where it is not a variable of one.
        meanings: names of the codes of a count, beginning with `first_code`.
        first_code: the code of the first meaning.
        logged: whether telemetry may log it.
        shown: who shows or keeps it.
        column: its column in a live view, or the prefix of its columns, where that is not the name.
        bits: of a whole number.
        heading: title above it where telemetry is printed.
    """

    name: str
    kind: Kind
    units: str
    long_name: str
    dims: tuple[str, ...] = ()
    variable: str | None = None
    meanings: tuple[str, ...] = ()
    first_code: int = 0
    logged: bool = True
    shown: Shown = Shown.NOWHERE
    column: str = ""
    bits: int = 64
    heading: str = ""

    @property
    def dtype(self) -> np.dtype:
        """Of its values on the host."""
        return np.dtype({"number": "float64", "flag": "bool", "count": f"int{self.bits}"}[self.kind])

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        """Shape in one tick, from the length of each dim."""
        return tuple(sizes[dim] for dim in self.dims)

    def attributes(self, units: str) -> dict[str, Any]:
        """What a Dataset says of the variable, where the input has the unit `units`."""
        about: dict[str, Any] = {"units": units if self.units == "y" else self.units, "long_name": self.long_name}
        if self.meanings:
            codes = range(self.first_code, self.first_code + len(self.meanings))
            about |= {"flag_values": np.array(codes, dtype=np.int8), "flag_meanings": " ".join(self.meanings)}
        return about

    def stored(self, values: Any) -> np.ndarray:
        """The values as a Dataset stores them: codes in one byte."""
        values = np.asarray(values)
        return values.astype(np.int8) if self.meanings else values


def _declare(kind: Kind, units: str, long_name: str, *dims: str, **rest: Any) -> Any:
    return dataclasses.field(metadata={"about": (kind, units, long_name, dims, rest)})


def _number(units: str, long_name: str, *dims: str, **rest: Any) -> Any:
    return _declare("number", units, long_name, *dims, **rest)


def _count(units: str, long_name: str, **rest: Any) -> Any:
    return _declare("count", units, long_name, **rest)


def _flag(claim: str, *dims: str, **rest: Any) -> Any:
    return _declare("flag", "1", f"whether {claim}", *dims, **rest)


@dataclasses.dataclass(frozen=True)
class Telemetry:
    """Everything that one tick computed beside its forecast; arrays only, one leaf per field.

    `observation` to `chart_statistic` speak of the tick that has just come, `kernel_prediction` and `kernel_scale` of
    the forecasts made for it one tick earlier; `weight` and what the kernels say of themselves of the forecast just
    made for the next one.
    """

    __no_type_check__ = True  # leaves are scalars in a tick, columns in a run, bare shapes while JAX traces

    # fmt: off
    observation: Scalar = _number("y", "observation, as it came", shown=VIEW | FLEET | SPARK, heading="The tick")
    accepted: Flag = _flag("the gate let the tick in", shown=FLEET)
    z_score: Scalar = _number("1", "distance from the rolling level in robust scales")
    prediction: Scalar = _number("y", "forecast for this time, made one tick earlier", shown=VIEW | FLEET | SPARK, heading="The forecast that was made for it")
    lower: Scalar = _number("y", "lower end of the forecast interval", shown=VIEW | FLEET | SPARK)
    upper: Scalar = _number("y", "upper end of the forecast interval", shown=VIEW | FLEET | SPARK)
    scale: Scalar = _number("y", "standard deviation of the forecast")
    residual: Scalar = _number("y", "observation minus forecast")
    kernel_prediction: Float[Array, "kernel"] = _number("y", "forecast of each kernel for this time", "kernel", shown=VIEW | FLEET)
    kernel_scale: Float[Array, "kernel"] = _number("y", "standard deviation of each kernel's forecast", "kernel")
    rejected: Flag = _flag("the gate refused the tick", shown=VIEW | FLEET, heading="Rejection and clock")
    imputed: Flag = _flag("the forecast took the value's place at this tick", shown=VIEW | FLEET)
    not_finite: Flag = _flag("the tick was missing or infinite", shown=FLEET)
    outlier: Flag = _flag("the tick was beyond the outlier bound", shown=FLEET)
    out_of_order: Flag = _flag("the tick's time was before the last one's", shown=FLEET)
    stale: Flag = _flag("the tick was older than its time to live", shown=FLEET)
    sparse: Flag = _flag("the tick came too long after the last one", shown=FLEET)
    frozen: Flag = _flag("the signal stands still improbably long", shown=FLEET)
    released: Flag = _flag("outliers in a row became a new level here", shown=FLEET)
    reference_residual: Scalar = _number("y", "observation minus the slow reference forecast, which the alarm charts read", heading="Alarm charts")
    chart_statistic: Float[Array, "chart"] = _number("1", "sum of each chart", "chart", column="chart", shown=VIEW | FLEET)
    chart_threshold: Float[Array, "chart"] = _number("1", "threshold of each chart", "chart", shown=VIEW | FLEET)
    cusum_up: Scalar = _number("1", "upward sum of the mean chart")
    cusum_down: Scalar = _number("1", "downward sum of the mean chart")
    cusum_drift: Scalar = _number("1", "larger of the two sums of the mean chart")
    adaptive_threshold: Scalar = _number("1", "threshold of the mean chart", variable="cusum_threshold")
    alarm: Flag = _flag("a change was signalled", shown=VIEW | FLEET | SPARK)
    alarm_chart: Int[Array, ""] = _count("1", "chart that signalled", meanings=("none", *ALARM_NAMES), first_code=-1, shown=VIEW | FLEET)
    onset_ago: Int[Array, ""] = _count("tick", "ticks between the estimated onset and now; 0 where no alarm", variable=None, shown=FLEET)
    in_grace: Flag = _flag("further alarms are held back after one", shown=FLEET)
    anomaly_score: Scalar = _number("1", "one minus the conformal tail probability of the residual", heading="Anomalies")
    anomaly: Flag = _flag("the score exceeds its level, not long after the last such tick", shown=FLEET)
    kurtosis: Scalar = _number("1", "kurtosis of the residuals")
    holder_exponent: Scalar = _number("1", "Holder exponent of the path", shown=VIEW | FLEET, heading="Identification")
    holder_valid: Flag = _flag("this window has a Holder exponent of its own", shown=VIEW | FLEET)
    fractal_dimension: Scalar = _number("1", "fractal dimension of the path, 2 - H")
    whittle_exponent: Scalar = _number("1", "Hurst exponent by Whittle's likelihood, a cross-check")
    jump: Flag = _flag("the last increment is a jump")
    stationary: Flag = _flag("the window looks stationary")
    koopman_frequency: Float[Array, "mode"] = _number("1/tick", "frequency of a spectral mode", "mode", logged=False)
    koopman_power: Float[Array, "mode"] = _number("1", "power of a spectral mode", "mode", logged=False)
    paley_wiener_integral: Scalar = _number("1", "Paley-Wiener integral of the spectrum")
    drift: Scalar = _number("frame scale/tick", "drift of the semimartingale split")
    quadratic_variation: Scalar = _number("frame scale^2", "quadratic variation over the window")
    jump_share: Scalar = _number("1", "share of the quadratic variation that jumps made")
    weight: Float[Array, "kernel"] = _number("1", "weight of each kernel in the next forecast", "kernel", shown=VIEW | FLEET, heading="Transport of the weights")
    target_weight: Float[Array, "kernel"] = _number("1", "weight that each kernel's record asks for", "kernel", shown=VIEW | FLEET)
    free_energy: Scalar = _number("1", "free energy after the transport step")
    free_energy_before: Scalar = _number("1", "free energy before the transport step")
    transport_cost: Scalar = _number("1", "entropic transport cost between old and target weights")
    transport_plan: Float[Array, "kernel kernel"] = _number("1", "plan that carries the weights to their target", "kernel", "kernel", variable=None, logged=False)
    sinkhorn_epsilon: Scalar = _number("1", "entropic regularisation")
    sinkhorn_converged: Flag = _flag("Sinkhorn's marginals converged")
    sinkhorn_error: Scalar = _number("1", "largest error of Sinkhorn's marginals")
    learning_rate: Scalar = _number("1", "step of the weights towards their target", shown=FLEET)
    entropy_window: Scalar = _number("tick", "entropy window that volatility sets")
    volatility: Scalar = _number("1", "moving standard deviation of the standardised residual", shown=FLEET)
    clipped: Bool[Array, "kernel"] = _flag("a kernel's forecast was clipped", "kernel", variable="kernel_clipped")
    kernel_failed: Bool[Array, "kernel"] = _flag("a user's kernel gave no finite forecast, and the last value stood in without weight", "kernel", shown=VIEW)
    dgm_entropy: Scalar = _number("1", "entropy of the value function", heading="Diagnostics of the kernels")
    dgm_expected_entropy: Scalar = _number("1", "entropy that a healthy value function has")
    distance_to_collapse: Scalar = _number("1", "entropy of the value function minus the collapse threshold")
    entropy_ratio: Scalar = _number("1", "entropy relative to its own baseline")
    mode_collapse_warning: Flag = _flag("the value function has been collapsing for long", shown=FLEET)
    pde_residual: Scalar = _number("1", "residual of the backward equation off the collocation points")
    stiffness: Scalar = _number("1", "stiffness of the drift")
    stiffness_low: Scalar = _number("1", "stiffness below which the explicit scheme runs")
    stiffness_high: Scalar = _number("1", "stiffness above which the implicit scheme runs")
    solver: Int[Array, ""] = _count("1", "integration scheme", meanings=("explicit", "mixed", "implicit"))
    jump_intensity: Scalar = _number("1/tick", "estimated intensity of jumps")
    degraded: Flag = _flag("the weights are held because the input is doubtful", shown=VIEW | FLEET, heading="Modes")
    emergency: Flag = _flag("the roughness breaker is open", shown=VIEW | FLEET)
    operating_mode: Int[Array, ""] = _count("1", "operating mode", meanings=MODE_NAMES, bits=32, shown=VIEW | FLEET)
    ticks: Count = _count("tick", "ticks accepted so far", shown=FLEET)
    season: Float[Array, "season_slot"] = _number("tick", "periods of the seasons in use", "season_slot", logged=False, shown=VIEW, heading="Seasons")
    season_weight: Scalar = _number("1", "weight of the seasonal experts within the Hilbert kernel", logged=False, shown=VIEW)
    covariate_effect: Float[Array, "covariate"] = _number("y", "part of each covariate in the Hilbert kernel's next forecast", "covariate", logged=False)
    horizon_prediction: Float[Array, "horizon"] = _number("y", "forecast made at this time, so many ticks ahead", "horizon", shown=VIEW, heading="Beyond the next tick")
    horizon_lower: Float[Array, "horizon"] = _number("y", "lower end of that forecast's interval", "horizon", shown=VIEW)
    horizon_upper: Float[Array, "horizon"] = _number("y", "upper end of that forecast's interval", "horizon", shown=VIEW)
    horizon_level_width: Float[Array, "horizon level"] = _number("y", "half-width of that forecast's interval at another level", "horizon", "level", shown=VIEW)
    horizon_weight: Float[Array, "horizon kernel"] = _number("1", "weight of each kernel so many ticks ahead", "horizon", "kernel", logged=False)
    pit: Float[Array, "horizon"] = _number("1", "probability integral transform of the observation under the forecast made so many ticks earlier", "horizon", logged=False)
    # fmt: on

    def _repr_html_(self) -> str:
        headings = {name: about.heading for name, about in FIELDS.items() if about.heading}
        return pairs_table("Telemetry", {name: getattr(self, name) for name in FIELDS}, headings)


def _described(name: str, kind: Kind, units: str, long_name: str, dims: tuple[str, ...], rest: dict[str, Any]) -> Field:
    defaults = {"variable": name, "logged": units != "y", "column": name}
    return Field(name, kind, units, long_name, dims, **(defaults | rest))


FIELDS: dict[str, Field] = {
    field.name: _described(field.name, *field.metadata["about"]) for field in dataclasses.fields(Telemetry)
}
FORECAST: tuple[str, ...] = ("next_prediction", "next_lower", "next_upper")
# The forecast of the tick to come, which stands before the telemetry in a packed row.
NEXT: dict[str, Field] = {
    name: Field(name, "number", "y", long_name, variable=name, logged=False, shown=VIEW | FLEET, column=name)
    for name, long_name in zip(
        FORECAST,
        (
            "forecast for the tick after the last",
            "lower end of that forecast's interval",
            "upper end of that forecast's interval",
        ),
        strict=True,
    )
} | {
    "next_mode": Field(
        "next_mode", "count", "1", "operating mode", meanings=MODE_NAMES, logged=False, shown=FLEET, bits=32
    )
}
ROW: dict[str, Field] = NEXT | FIELDS


def variables() -> dict[str, Field]:
    """The variables of a Dataset that hold one value for every tick, by their names."""
    return {about.variable: about for about in FIELDS.values() if about.variable}


def logged_fields(*kinds: Kind) -> tuple[str, ...]:
    """Fields that telemetry may log: nothing in the input's units; of some kinds, or of all."""
    return tuple(n for n, about in FIELDS.items() if about.logged and (not kinds or about.kind in kinds))


def shown_fields(where: Shown) -> tuple[str, ...]:
    """Names of the fields of `ROW` that are shown or kept there."""
    return tuple(name for name, about in ROW.items() if where in about.shown)


def view_columns(config: PredictorConfig) -> tuple[str, ...]:
    """Columns of a live view of one series: a field with dims has one for each of their labels, which end its name."""
    labels: dict[str, tuple[Any, ...]] = {
        "kernel": config.kernels,
        "chart": CHART_NAMES,
        "season_slot": tuple(range(config.season_slots)),
        "horizon": config.horizons,
        "level": config.interval_levels,
    }
    names = list(VIEW_FIRST)
    for about in map(ROW.__getitem__, shown_fields(VIEW)):
        ends = itertools.product(*(labels[dim] for dim in about.dims))
        names += ["_".join(map(str, (about.column, *end))) for end in ends]
    return (*names, *VIEW_LAST)

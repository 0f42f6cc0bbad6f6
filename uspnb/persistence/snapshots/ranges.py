"""What the leaves of a state may hold: a snapshot whose checksum is right is refused where its numbers cannot be.

A checksum says that bytes are those that were written.  Whoever can write the file can compute it, and so can a program
whose state has gone bad.  Therefore the numbers are looked at too: finite but where NaN means "not known yet", counts
not negative, scales and sums of squares not negative, weights on the simplex, normal equations positive semi-definite.
Of a kernel that is not one of the package's own nothing is known, and nothing but its shape is looked at.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...errors import IntegrityError
from ...model.kernels.registry import KERNEL_NAMES, snapshot_key

OWN_KERNELS = frozenset(map(snapshot_key, KERNEL_NAMES))
# NaN before the first proxy, residual or cross-check, and before anything was counted.
MAY_BE_UNKNOWN = frozenset(
    (
        *(".gate.proxy", ".score.residuals", ".roughness.whittle", ".charts.threshold", ".modes.quantile"),
        *(f".spectrum.{name}" for name in ("frequency", "power", "paley_wiener_integral")),
        *(f".horizon.{name}" for name in ("past", "quantile", "mean", "scale", "half")),
    )
)
# In the units of the series, of which nothing is known.
IN_SERIES_UNITS = frozenset(
    (
        *(f".frame.{name}" for name in ("window", "level", "spread", "scale")),
        *(f".forecast.{name}" for name in ("origin", "unit", "mean", "scale", "lower", "upper", "reference")),
        *(f".charts.{name}" for name in ("scale", "magnitude")),
        *(f".gate.{name}" for name in ("outlier_value", "proxy")),
        *(f".horizon.{name}" for name in ("past", "mean", "scale", "half")),
        *(".frame.season.values.entries", ".frame.season.base"),
    )
)
NOT_NEGATIVE = frozenset(
    (
        *(".frame.spread", ".frame.scale", ".forecast.unit", ".forecast.scale", ".forecast.kernel_scale"),
        *(".gate.repeat_rate", ".gate.repeat_rate_before", ".gate.short_variance", ".gate.proxy"),
        ".gate.usual_run",
        *(".score.kernel_error", ".score.volatility_variance", ".score.slow_variance", ".roughness.deviation"),
        *(f".charts.{name}" for name in ("scale", "magnitude", "width", "wander", "up", "down", "threshold")),
        *(".modes.quantile", ".weight"),
        *(f".horizon.{name}" for name in ("error", "correlation", "weight", "quantile", "scale", "half")),
    )
)
# Places on the time grid, below 0 before the first tick.
PLACES = frozenset((".frame.season.place", ".horizon.place", ".horizon.made", ".horizon.rows"))
# Of a kernel, by the last part of the leaf's name.
NOT_NEGATIVE_IN_A_KERNEL = frozenset(
    (
        *("weight", "energy", "power", "variance", "learned", "count", "occupancy", "square", "bipower", "last"),
        *("ticks", "jumps", "jump_energy", "continuous", "calibration", "features_unit"),
    )
)
UNKNOWN_IN_A_KERNEL = frozenset((".covariates.course.now", ".covariates.course.before"))
IN_SERIES_UNITS_IN_A_KERNEL = frozenset((".covariates.unit", ".covariates.anchor"))
# Largest entry of a regression's features, by the leaf's name: the lags of a series that jumps are the largest.
FEATURES = {"slow_pending": 1e6, "fast_pending": 1e6}
FEATURES |= dict.fromkeys(("features_pending", "features", "feature", "states"), 1e4)
LAGGED = (".slow", ".fast")
LAGGING_KERNEL = snapshot_key("hilbert")
MOST_COUNTED = 2**53
NANOSECONDS = frozenset(
    (
        *(".gate.last_timestamp_ns", ".gate.backward_timestamp_ns", ".gate.intervals_ns"),
        ".gate.long_intervals_ns",
        ".gate.long_ends_ns",
    )
)
JOINED_SIZE = 4096  # numbers of a leaf that is checked together with others
LARGEST = 1e30  # of what is in units of scale; its square is far from the end of float64
SIMPLEX_TOLERANCE = 1e-6
# Rounding leaves eigenvalues of this share of the largest below zero.
DEFINITE_TOLERANCE = 1e-9


def check_numbers(payload: Mapping[str, Any], *, equations: bool = True) -> None:
    """Refuse a payload whose state holds numbers that no state can have.

    Args:
        payload: of a snapshot of one series or of a fleet, whose leaves then have a leading axis.
        equations: whether the normal equations must have a solution too, which costs a decomposition of each.

    Raises:
        IntegrityError: the message names the leaf, the number and what it must be.
    """
    kernels = payload.get("kernels")
    blocks = {"": payload.get("global")}
    blocks |= {key: kernels[key] for key in kernels if key in OWN_KERNELS} if isinstance(kernels, dict) else {}
    leaves = {
        (kernel, name): leaf
        for kernel, block in blocks.items()
        if isinstance(block, dict)
        for name, leaf in block.items()
        if isinstance(leaf, np.ndarray) and leaf.size
    }
    _check_bounds(leaves)
    if ("", ".weight") in leaves:
        total = np.asarray(leaves["", ".weight"].sum(axis=-1))
        away = np.abs(total - 1) > SIMPLEX_TOLERANCE
        _refuse("the state at .weight", total, away, "the sum of the weights must be 1")
    if equations:
        for kernel, block in blocks.items():
            if kernel and isinstance(block, dict):
                _check_equations(kernel, block)


class Bounds(NamedTuple):
    """Least and largest number of a leaf, and whether it may be NaN."""

    low: float
    high: float
    unknown: bool = False

    def holds(self, leaf: np.ndarray) -> np.ndarray | np.bool_:
        """Where a number lies within; an infinite one never does."""
        within = (leaf >= self.low) & (leaf <= self.high)
        return within | np.isnan(leaf) if self.unknown else within

    def broken_rule(self, value: float) -> str:
        """What a number that does not lie within should have been."""
        if not math.isfinite(value):
            return "it must be finite"
        return "it must not be negative" if value < self.low == 0 else f"it must lie in [{-self.high:g}, {self.high:g}]"


COUNTS, WHOLE = Bounds(0, MOST_COUNTED), Bounds(-MOST_COUNTED, MOST_COUNTED)


@functools.lru_cache(maxsize=2048)
def _bounds_of(kernel: str, name: str, kind: str) -> Bounds | None:
    """What a leaf of a dtype's kind must hold, None where anything may stand there."""
    if kind == "i":
        return None if name in NANOSECONDS else WHOLE if name in PLACES else COUNTS  # any instant is one
    if kind != "f":
        return None
    if kernel:
        last = name.rpartition(".")[2]
        largest = sys.float_info.max if name in IN_SERIES_UNITS_IN_A_KERNEL else FEATURES.get(last, LARGEST)
        low = 0.0 if last in NOT_NEGATIVE_IN_A_KERNEL else -largest
        return Bounds(low, largest, name in UNKNOWN_IN_A_KERNEL)
    largest = sys.float_info.max if name in IN_SERIES_UNITS else LARGEST
    return Bounds(0.0 if name in NOT_NEGATIVE else -largest, largest, name in MAY_BE_UNKNOWN)


def _check_bounds(leaves: Mapping[tuple[str, str], np.ndarray]) -> None:
    # Small leaves of the same bounds are joined: a snapshot is checked beside the ticks, and a call of NumPy each for
    # a hundred and fifty leaves of mostly one number would keep the interpreter from them for a millisecond.
    parts: dict[Bounds, list[np.ndarray]] = {}
    for (kernel, name), leaf in leaves.items():
        bounds = _bounds_of(kernel, name, leaf.dtype.kind)
        if bounds is None:
            continue
        if leaf.size > JOINED_SIZE:
            _check_leaf(kernel, name, leaf, bounds)
        else:
            parts.setdefault(bounds, []).append(leaf.ravel())
    if all(np.all(bounds.holds(np.concatenate(joined))) for bounds, joined in parts.items()):
        return
    for (kernel, name), leaf in leaves.items():
        bounds = _bounds_of(kernel, name, leaf.dtype.kind)
        if bounds is not None:
            _check_leaf(kernel, name, leaf, bounds)


def _check_leaf(kernel: str, name: str, leaf: np.ndarray, bounds: Bounds) -> None:
    bad = ~np.asarray(bounds.holds(leaf))
    if np.any(bad):
        value = leaf[bad].flat[0].item()
        rule = "it counts ticks" if bounds is COUNTS else bounds.broken_rule(value)
        _refuse(f"kernel {kernel} at {name}" if kernel else f"the state at {name}", leaf, bad, rule)


def _check_equations(kernel: str, block: Mapping[str, Any]) -> None:
    """Sums of products f f' of features: no larger than their number and bound allow, symmetric, no negative square."""
    for name, gram in block.items():
        stem, _, last = name.rpartition(".")
        weight = block.get(f"{stem}.weight")
        if last != "gram" or not isinstance(gram, np.ndarray) or not isinstance(weight, np.ndarray) or not gram.size:
            continue
        where = f"kernel {kernel} at {name}"
        feature = FEATURES["slow_pending" if kernel == LAGGING_KERNEL and stem in LAGGED else "features"]
        largest = np.asarray(np.abs(gram).max(axis=(-2, -1)))
        many = largest > feature**2 * (1 + weight)
        _refuse(where, largest, many, f"sums of products of features must stay below {feature**2:g} for each tick")
        tolerance = (DEFINITE_TOLERANCE * largest + np.finfo(float).tiny)[..., None, None]
        _refuse(where, gram, np.abs(gram - gram.swapaxes(-2, -1)) > tolerance, "normal equations must be symmetric")
        try:
            np.linalg.cholesky(gram + tolerance * np.eye(gram.shape[-1]))
        except np.linalg.LinAlgError:
            raise IntegrityError(f"{where} holds normal equations that are not positive semi-definite") from None


def _refuse(where: str, leaf: np.ndarray, bad: np.ndarray | np.bool_, rule: str) -> None:
    if np.any(bad):
        value = leaf[bad].flat[0].item()
        raise IntegrityError(f"{where} holds {value!r}, which no state of a predictor does: {rule}")

"""What an engine leaves behind beside its record: telemetry, metrics, emergency dumps; and what it does when late.

A session, a fleet and a service switch the same ones on.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ..array_types import Float
from ..config.schema import PredictorConfig
from ..persistence.snapshots import EmergencyDumps
from ..predictor.scores import CalibrationWatch
from ..sinks import JitterMeter, Metrics, TelemetryBuffer
from .intake import Taken
from .timeline import Timeline

INTERVALS = 15
USUAL_INTERVALS = 20  # a silence that is longer is none of the usual intervals
# Pauses that are remembered, which are no intervals; those that begin at about the same time of the day are alike.
PAUSES, LEAST_PAUSE_NS = 64, 10**9
DAY_NS, SAME_TIME_NS = 86_400 * 10**9, 5_400 * 10**9
DUMPED_TICKS = 256
MOST_NAMED = 5
FORECAST = ("prediction", "scale", "lower", "upper", "weight")
REFUSED = ("not_finite", "outlier", "out_of_order")
# The first accepted tick of a series has no forecast yet.
UNUSABLE_TICKS = 2
BRIEF = ("kurtosis", "dgm_entropy", "adaptive_threshold", "alarm", "mode_collapse_warning", "distance_to_collapse")


@dataclasses.dataclass(frozen=True)
class Outlets:
    """Where every track of an engine leaves what it made; a part that is None is off.

    Attributes:
        telemetry: takes every row, by the name of its asset; costs a reference.
        metrics: for Prometheus.
        dumps: of emergencies.
        settle: waits, not without end, until all that was emitted has reached the telemetry files; called by the thread
            that writes a snapshot, before the snapshot is taken for done.
    """

    telemetry: TelemetryBuffer | None = None
    metrics: Metrics | None = None
    dumps: EmergencyDumps | None = None
    settle: Callable[[], object] | None = None


def dumps_of(config: PredictorConfig) -> EmergencyDumps:
    """Emergency dumps as the settings have them, written by a thread."""
    return EmergencyDumps(config.emergency_dump_path, config.emergency_dump_interval_s, background=True)


class Aftermath:
    """What follows every batch of ticks of one track; used by the worker's thread, `meter` read by any.

    Args:
        outlets: of the engine.
        timeline: of the track.
        names: of its assets.
        name: of the track, in metrics.
        say: takes the kind and the text of an event.

    Attributes:
        needed: whether anything is to follow: nothing is measured where no outlet is on and no load is shed.
        condition: which assets have had no finite forecast at their last accepted ticks, None where all have; any
            thread may read it.
        calibration: at which horizons outcomes no longer fall in the intervals as often as they should, None where they
            do everywhere and where rows have no PIT; any thread may read it.
    """

    def __init__(
        self,
        outlets: Outlets,
        timeline: Timeline,
        names: tuple[str, ...],
        name: str,
        say: Callable[[str, str], object],
    ) -> None:
        config = timeline.computation.config
        limit_ns = max(config.besov_nyquist_interval_ns, config.sparse_intervals * config.tick_interval_ns)
        self.meter = JitterMeter(limit_ns, config.jitter_degrade_ratio, alpha=config.latency_alpha)
        self.needed = config.load_shedding or outlets != Outlets()
        self.names, self.name = names, name
        self.emergency = np.zeros(len(names), bool)
        self.condition: str | None = None
        self.calibration: str | None = None
        self._watch = CalibrationWatch(config.horizons)
        self._unusable = np.zeros(len(names), np.int64)
        self._outlets, self._timeline, self._say = outlets, timeline, say
        self._intervals: deque[int] = deque(maxlen=INTERVALS)
        self._pauses: deque[tuple[int, int]] = deque(maxlen=PAUSES)  # when each began and how long it was [ns]
        self._newest_ns: int | None = None

    def begin(self) -> None:
        """Tell where it begins, so that a change of the depth can be counted."""
        if self._outlets.metrics is not None:
            self._outlets.metrics.set_depth(self.name, self._timeline.computation.depth)

    def after(self, taken: Taken, rows: Float[np.ndarray, "time *shape"], first: int, took_ns: int) -> None:
        """Tell what a batch has made.

        Args:
            taken: its ticks.
            rows: their rows.
            first: number of the first of them in the source, from 1.
            took_ns: how long they were computed [ns].
        """
        self._measure(taken, took_ns)
        if self._outlets.telemetry is not None:
            if rows.ndim == 2:
                self._outlets.telemetry.emit(self.names[0], first, rows, taken.ticks.stamps_ns)
            else:
                for place, name in enumerate(self.names):
                    self._outlets.telemetry.emit(name, first, rows[:, place], taken.ticks.stamps_ns)
        self._watch_emergency(rows)
        self._watch_forecasts(rows)

    def watch_calibration(self, rows: Float[np.ndarray, "time *shape"]) -> None:
        """Follow the PIT of a batch, and tell where a horizon loses its calibration and where it has it again."""
        columns = self._timeline.columns
        if "pit" not in columns or rows.ndim != 2:  # a fleet's rows have fewer fields
            return
        self._watch.follow(rows[:, None, columns["pit"]])
        horizons = self._timeline.computation.config.horizons
        ahead = [h for h, lost in zip(horizons, self._watch.lost[0], strict=True) if lost]
        before, self.calibration = self.calibration, _lost_words(ahead) if ahead else None
        if self.calibration != before:
            self._say("calibration", self.calibration or "outcomes fall in the intervals again as often as they should")

    def forget_calibration(self) -> None:
        """Watch anew, as the record ends elsewhere now."""
        self._watch, self.calibration = CalibrationWatch(self._timeline.computation.config.horizons), None

    @property
    def usual_interval_ns(self) -> int:
        """Median of the last intervals between ticks, 0 before there is one; for the worker's thread."""
        return statistics.median_high(self._intervals or [0])

    @property
    def usual_pause_ns(self) -> int:
        """How long a pause that begins at this time of the day may be, by the last ones that did; 0 before two have.

        A night begins when the last nights began, give or take an hour that the clocks were moved by; the second
        longest of them is a weekend's where there are weekends.
        """
        newest_ns = self._newest_ns or 0
        apart = ((abs(began - newest_ns) % DAY_NS, length) for began, length in self._pauses)
        alike = sorted(length for distance, length in apart if min(distance, DAY_NS - distance) <= SAME_TIME_NS)
        return alike[-2] if len(alike) > 1 else 0

    def learn_intervals(self, intervals_ns: np.ndarray) -> None:
        """Begin with the intervals that a state remembers, -1 where it does not."""
        self._intervals.extend(intervals_ns[intervals_ns > 0].ravel().tolist())

    def shed(self, tick: int) -> bool:
        """Follow the load with the log-signature's depth, after ticks that came live; whether it changed."""
        computation = self._timeline.computation
        before = computation.depth
        interval = computation.config.tick_interval_ns or self.usual_interval_ns
        if not computation.shed(self.meter.latency_ewma_ns, interval, tick, jittery=self.meter.degraded):
            return False
        what = "lowered" if computation.depth < before else "raised"
        self._say("depth", f"log-signature depth {what} from {before} to {computation.depth} after {tick} ticks")
        if self._outlets.metrics is not None:
            self._outlets.metrics.set_depth(self.name, computation.depth)
        return True

    def _measure(self, taken: Taken, took_ns: int) -> None:
        """Latency and jitter.  A live tick waits for all that came with it; of a replay each has its share."""
        count = len(taken.ticks)
        latency_ns = took_ns if taken.live else took_ns // count
        measured = count if taken.live else 1  # between the ticks of a replay there is no jitter to be measured
        arrival_ns = time.perf_counter_ns() - took_ns
        jitters = np.array([self.meter.tick(latency_ns, arrival_ns) for _ in range(measured)])
        if self._outlets.metrics is not None:
            self._outlets.metrics.observe_latency(self.name, np.full(count, latency_ns))
            self._outlets.metrics.observe_jitter(self.name, jitters)
        stamps_ns = taken.ticks.stamps_ns[-INTERVALS - 1 :]
        if self._newest_ns is not None:
            stamps_ns = np.concatenate([[self._newest_ns], stamps_ns])
        steps = np.diff(stamps_ns).tolist()
        longest = max(LEAST_PAUSE_NS, USUAL_INTERVALS * self.usual_interval_ns)
        pauses = [(began, step) for began, step in zip(stamps_ns.tolist(), steps, strict=False) if step > longest]
        self._pauses.extend(pauses)
        self._intervals.extend(steps)
        self._newest_ns = int(stamps_ns[-1])

    def _watch_emergency(self, rows: Float[np.ndarray, "time *shape"]) -> None:
        column = rows[..., self._timeline.columns["emergency"].start]
        now = (column != 0).reshape(len(rows), -1)
        before = np.concatenate([self.emergency[None], now[:-1]])
        self.emergency = now[-1]
        if self._outlets.dumps is not None:
            for place in np.flatnonzero((now & ~before).any(axis=0)).tolist():
                self._dump(self._outlets.dumps, place)

    def _watch_forecasts(self, rows: Float[np.ndarray, "time *shape"]) -> None:
        """A state that has gone bad forecasts nothing ever again, and would look well from outside."""
        columns = self._timeline.columns  # a fleet's rows have fewer fields
        forecast = np.concatenate([rows[..., columns[name]] for name in FORECAST if name in columns], axis=-1)
        finite = np.isfinite(forecast).all(axis=-1).reshape(len(rows), -1)
        if finite.all() and not self._unusable.any():
            return
        refused = [rows[..., columns[name].start] != 0 for name in REFUSED if name in columns]
        accepted = ~np.any(refused, axis=0).reshape(len(rows), -1)
        for place, run in enumerate(self._unusable):
            verdicts = finite[accepted[:, place], place]
            usable = np.flatnonzero(verdicts)
            self._unusable[place] = len(verdicts) - 1 - usable[-1] if usable.size else run + len(verdicts)
        bad = np.flatnonzero(self._unusable >= UNUSABLE_TICKS)
        named = ", ".join(self.names[place] for place in bad[:MOST_NAMED])
        more = f" and {len(bad) - MOST_NAMED} more" if len(bad) > MOST_NAMED else ""
        text = f"forecasts of {named}{more} are not finite; restart it, from an older snapshot or with --fresh"
        self.condition = text if bad.size else None

    def _dump(self, dumps: EmergencyDumps, place: int) -> None:
        timeline = self._timeline
        computation = timeline.computation
        states, depth = computation.states(computation.keep())
        config = dataclasses.replace(computation.config, log_sig_depth=depth)
        several = len(computation.shape) > 1
        state = jax.tree.map(lambda leaf: leaf[place], states) if several else states
        pick = (place,) if several else ()
        _, rows, _ = timeline.recording.newest(timeline.ticks - DUMPED_TICKS, timeline.ticks, pick)
        columns = names_of_columns(timeline.columns, rows.shape[-1])
        path = dumps.offer(self.names[place], state, config, numbers_of(rows[-1], timeline.columns), rows, columns)
        where = "too soon after another dump" if path is None else f"dump in {path}"
        self._say("emergency", f"emergency mode, at or before tick {timeline.ticks} ({where})")


def _lost_words(ahead: Sequence[int]) -> str:
    horizons = f"{', '.join(map(str, ahead))} {'tick' if list(ahead) == [1] else 'ticks'} ahead"
    return f"intervals {horizons} do not hold what they promise: outcomes fall outside, inside or to one side too often"


def numbers_of(row: np.ndarray | None, columns: Mapping[str, slice]) -> dict[str, float]:
    """What snapshots and dumps say of the last tick of a series; nothing before the first."""
    if row is None or row.ndim != 1:
        return {}
    return {name: float(row[columns[name].start]) for name in BRIEF if name in columns}


def names_of_columns(columns: Mapping[str, slice], width: int) -> list[str]:
    """What each column of a row is called."""
    names = [""] * width
    for name, place in columns.items():
        count = place.stop - place.start
        names[place] = [name] if count == 1 else [f"{name}[{i}]" for i in range(count)]
    return names


def whole_number(value: float) -> Any:
    """A measured number as JSON can hold it, None where it is not known."""
    return round(value, 1) if np.isfinite(value) else None

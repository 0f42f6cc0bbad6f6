"""What a service tells about itself while it runs: conditions, readiness, status, metrics, and a line now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, cast

from ...persistence.snapshots import EmergencyDumps
from ...runtime import platform
from ...sinks import Consumer, GpuMemory, Metrics
from .http_server import Pages
from .series import ServedSeries

MOST_CONDITIONS_TOLD = 10
STALL_S = 60.0
_log = logging.getLogger("uspnb.service")


class Watch:
    """Looks at the parts of a service from threads that are not the computing one, and waits for none of them.

    Args:
        series, consumer, dumps, metrics: the parts.
        interval_s: time between two looks at GPU memory and two lines about conditions [s].
    """

    def __init__(
        self,
        series: Sequence[ServedSeries],
        consumer: Consumer,
        dumps: EmergencyDumps,
        metrics: Metrics,
        interval_s: float,
    ) -> None:
        self._series, self._consumer, self._dumps, self._metrics = series, consumer, dumps, metrics
        self._interval_s = interval_s
        self._gpu = GpuMemory()
        self._began, self.turned = time.monotonic(), time.monotonic()
        self.phase = "starting"
        self._ended = threading.Event()
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="uspnb-monitor", daemon=True)
        self._thread.start()

    def pages(self) -> Pages:
        """What the HTTP server answers."""
        return Pages(self.alive, self.ready, self.exposition, self.status)

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join(1.0)

    def alive(self) -> str | None:
        """Why the process should be replaced: its loop has stood still; None while it has not."""
        still = time.monotonic() - self.turned
        if self.phase == "running" and still > STALL_S:
            return f"the computing thread has not turned for {still:.0f} s"
        return None

    def ready(self) -> list[str]:
        """Why no ticks can be relied upon, none when all is well."""
        if self.phase != "running":
            return [f"the service is {self.phase}"]
        return [f"{part}: {told}" for part, told in self.conditions().items() if told is not None]

    def conditions(self) -> dict[str, str | None]:
        """What keeps a part from working, by the part; None where all is well."""
        sinks = self._consumer.status().conditions
        jittery = ", ".join([one.name for one in self._series if one.meter.degraded][:MOST_CONDITIONS_TOLD])
        return {
            "snapshots": _joined([(one.name, one.writer.condition) for one in self._series]),
            "telemetry": sinks.get("telemetry"),
            "parity": sinks.get("parity"),
            "metrics": sinks.get("metrics"),
            "dumps": self._dumps.condition,
            "sources": _joined([(one.name, one.intake.condition) for one in self._series]),
            "service": None
            if not jittery
            else f"jitter above its limit on {', '.join(jittery[:MOST_CONDITIONS_TOLD])}",
        }

    def exposition(self) -> bytes:
        """The metrics as of now."""
        self.look()
        return self._metrics.exposition()

    def look(self) -> None:
        """Bring up to date the metrics that others count."""
        with self._looking:
            counts = self._consumer.status()
            self._metrics.set_queue(counts.counts.depth, counts.counts.dropped)
            self._metrics.set_sinks(counts.sinks)
            for part, told in self.conditions().items():
                self._metrics.set_condition(part, told)
            for one in self._series:
                self._metrics.set_snapshot(one.name, cast(Any, one.writer.status()))
                self._metrics.set_jitter(one.name, one.meter.reading())
                self._metrics.set_depth(one.name, one.depth)

    def status(self) -> dict[str, Any]:
        """How the service stands, as JSON can hold it."""
        telemetry = self._consumer.status()
        return {
            "phase": self.phase,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "platform": platform(),
            "gpu": self._gpu.absence,
            "conditions": {part: told for part, told in self.conditions().items() if told is not None},
            "telemetry": {**telemetry.counts._asdict(), "restarts": telemetry.restarts, "pid": telemetry.pid},
            "dumps": {"written": self._dumps.written, "failed": self._dumps.failed, "withheld": self._dumps.withheld},
            "series": {one.name: one.status() for one in self._series},
        }

    def _run(self) -> None:
        while True:
            self._metrics.set_gpu(self._gpu.read())
            if self._ended.wait(self._interval_s):
                return
            self._tell()

    def _tell(self) -> None:
        ticks = sum(one.ticks for one in self._series)
        _log.info("%s, %d series, %d ticks", self.phase, len(self._series), ticks)
        for part, told in self.conditions().items():
            if told is not None:
                _log.warning("%s: %s", part, told)


def _joined(told: Sequence[tuple[str, str | None]]) -> str | None:
    """One sentence of several conditions, each with the name of its series."""
    there = [f"{name}: {condition}" for name, condition in told if condition is not None]
    if not there:
        return None
    beyond = len(there) - MOST_CONDITIONS_TOLD
    return "; ".join(there[:MOST_CONDITIONS_TOLD]) + (f"; and {beyond} more" if beyond > 0 else "")

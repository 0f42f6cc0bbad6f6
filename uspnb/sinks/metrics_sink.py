"""The sink that counts records for Prometheus."""

from __future__ import annotations

from .metrics import Metrics
from .records import Records
from .sinks import SinkStatus


class MetricsSink:
    """A sink that counts records in `Metrics`.

    Args:
        metrics: where they are counted.
    """

    name = "metrics"

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._written = 0

    def write(self, records: Records) -> None:
        """Count them."""
        self._metrics.observe_rows(records.asset, records.rows, records.columns)
        self._written += len(records)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing is open here."""

    def status(self) -> SinkStatus:
        """What was counted."""
        return SinkStatus(self._written)

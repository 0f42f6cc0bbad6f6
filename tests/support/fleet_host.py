"""The table of a fleet in a bare page: made-up ticks of a few assets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import module_host as hosting
import numpy as np

from uspnb.engine.fleet.tables import SPARK_COLUMNS, summary_columns
from uspnb.model.kernels.registry import KERNEL_NAMES
from uspnb.widgets.live_link import shown_kernels

META = {
    "assets": ["a", "b", "c"], "alarm_names": ["mean"], "ticks": 100,
    "live": False, "spark_columns": list(SPARK_COLUMNS),
}  # fmt: skip


class Host(hosting.ModuleHost):
    """The table's module."""

    name, sheet, root = "fleet", "fleet_view", ".uspnb-fleet"

    def open(self, kernels: Sequence[str] = KERNEL_NAMES) -> Host:
        self.width = len(summary_columns(tuple(kernels)))
        columns = {"kernels": shown_kernels(kernels), "summary_columns": list(summary_columns(tuple(kernels)))}
        self.load(
            {"meta": META | columns, "status": {"phase": "paused", "assets": 3, "speed": 10}, "table_height": 300}
        )
        return self

    def send(self, ticks: int, first: int = 0, reset: bool = False) -> int:
        """A frame of so many ticks; its number."""
        self.seq += 1
        assets = len(META["assets"])
        head: list[Any] = [self.seq, reset, first, ticks, assets, time.time() * 1e3, first + ticks]
        head += [len(SPARK_COLUMNS), self.width, 0]
        tick = np.arange(first, first + ticks, dtype=float)
        sparks = np.broadcast_to(np.sin(tick / 5)[:, None, None], (ticks, assets, len(SPARK_COLUMNS)))
        summary = np.full((assets, self.width), 0.25)
        self.frame(np.concatenate([head, summary.ravel(), sparks.ravel()]).astype("<f8").tobytes())
        self.settle()
        return self.seq

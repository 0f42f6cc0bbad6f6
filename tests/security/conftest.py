"""Services in threads, with everything below one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running_service import Running

from uspnb.config.schema import PredictorConfig
from uspnb.engine.service import Service
from uspnb.sources import Source

MakeConfig = Callable[..., PredictorConfig]


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """Default settings, so that all tests share one program, with all files in a folder of the test."""

    def make(**changes: Any) -> PredictorConfig:
        folders = {name: str(tmp_path / "io" / name) for name in ("snapshots", "telemetry", "emergency")}
        usual: dict[str, Any] = {
            "snapshot_path": folders["snapshots"],
            "telemetry_path": folders["telemetry"],
            "emergency_dump_path": folders["emergency"],
            "metrics_port": 0,
            "snapshot_interval_steps": 10,
        }
        return PredictorConfig(**(usual | changes))

    return make


@pytest.fixture
def begin() -> Iterator[Callable[..., Running]]:
    """Starts services, and ends those that a failed test left; their telemetry is written by a thread."""
    begun: list[Running] = []

    def start(config: PredictorConfig, sources: dict[str, Source], **options: Any) -> Running:
        begun.append(Running(Service(config, sources, own_process=False, **options)))
        return begun[-1]

    yield start
    for running in begun:
        running.service.stop("the test is over")

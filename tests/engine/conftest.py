"""Settings of engines that write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from uspnb.config.schema import PredictorConfig


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., PredictorConfig]:
    """Default settings, so that all tests share one program, with everything below one folder."""

    def make(folder: str = "io", **changes: Any) -> PredictorConfig:
        root = tmp_path / folder
        usual: dict[str, Any] = {
            "snapshot_path": str(root / "snapshots"),
            "telemetry_path": str(root / "telemetry"),
            "emergency_dump_path": str(root / "emergency"),
            "metrics_port": 0,
            "snapshot_interval_steps": 40,
        }
        return PredictorConfig(**(usual | changes))

    return make

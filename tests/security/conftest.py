"""Services in threads with everything below one folder, and page servers to attack with a bait for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Served, served
from running_service import Running
from visits import BAIT, PASSWORD

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


@pytest.fixture(scope="session")
def bait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules in which one leaves a file behind when it is imported."""
    folder = tmp_path_factory.mktemp("modules")
    lines = ["import pathlib", "pathlib.Path(__file__).with_suffix('.seen').touch()", "class Part: _css = ['a.css']"]
    (folder / f"{BAIT}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def open_server(bait: Path) -> Iterator[Served]:
    """A server that asks for no password."""
    with served("live", environment={"PYTHONPATH": str(bait)}) as server:
        server.wait_until_warm()
        yield server


@pytest.fixture(scope="session")
def closed_server(bait: Path) -> Iterator[Served]:
    """A server that asks for one, as behind a proxy."""
    environment = {"PYTHONPATH": str(bait), "UNDER_TEST": PASSWORD}
    with served("live", "--password-env", "UNDER_TEST", "--behind-proxy", environment=environment) as server:
        yield server


@pytest.fixture(params=["open_server", "closed_server"])
def server(request: pytest.FixtureRequest) -> Served:
    """Both in turn."""
    return request.getfixturevalue(request.param)

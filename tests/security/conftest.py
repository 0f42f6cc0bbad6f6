"""Page servers to attack: one that asks for no password, one that asks for it, a bait for both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Served, served
from visits import BAIT, PASSWORD


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

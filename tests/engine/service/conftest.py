"""A service of few files and few ports: settings in a temporary folder, and a client of its pages."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from running_service import Running

from uspnb.config.schema import PredictorConfig
from uspnb.engine.service import Service
from uspnb.sources import Source

MakeConfig = Callable[..., PredictorConfig]


@pytest.fixture
def make_config(make_config: MakeConfig) -> MakeConfig:
    """The settings of engines, with longer intervals."""
    return functools.partial(make_config, telemetry_hash_interval_steps=50, snapshot_interval_steps=200)


@pytest.fixture
def begin() -> Iterator[Callable[..., Running]]:
    """Starts services in threads, and ends those that a failed test left.

    Their telemetry is written by a thread: a process takes a second to start.
    """
    begun: list[Running] = []

    def start(config: PredictorConfig, sources: dict[str, Source], **options: Any) -> Running:
        chosen: dict[str, Any] = {"own_process": False} | options
        begun.append(Running(Service(config, sources, **chosen)))
        return begun[-1]

    yield start
    for running in begun:
        running.service.stop("the test is over")

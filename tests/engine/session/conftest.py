"""Sessions that are closed after their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from uspnb.engine.session import Session


@pytest.fixture
def make() -> Iterator[Callable[..., Session]]:
    """Makes sessions and closes them at the end."""
    sessions: list[Session] = []

    def one(*arguments: Any, **rest: Any) -> Session:
        sessions.append(Session(*arguments, **rest))
        return sessions[-1]

    yield one
    for session in sessions:
        session.close()

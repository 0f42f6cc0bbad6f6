"""Sessions that are closed after their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from uspnb.engine.session import Session


@pytest.fixture
def make() -> Iterator[Callable[..., Session]]:
    """Makes sessions and closes them at the end."""
    made: list[Session] = []

    def one(*given: Any, **rest: Any) -> Session:
        made.append(Session(*given, **rest))
        return made[-1]

    yield one
    for session in made:
        session.close()

"""The scripts of this folder as modules: tests are not importable by name here."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def record() -> Any:
    """`record.py`."""
    return _script("record")


@pytest.fixture(scope="session")
def files() -> Any:
    """`files.py`."""
    return _script("files")

"""Configuration files to change, and a disk that is small."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A short configuration whose values are the defaults."""
    file = tmp_path / "config.toml"
    file.write_text("# mine\n[sensitivity]\ncusum_k = 0.5  # slack\nstiffness_low = 100.0\n\n[core]\nseed = 20260221\n")
    return file


@pytest.fixture
def shipped(tmp_path: Path, project_root: Path) -> Path:
    """A copy of the configuration that comes with the package."""
    return Path(shutil.copyfile(project_root / "config.toml", tmp_path / "config.toml"))

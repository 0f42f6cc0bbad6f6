"""A small file system of its own, for tests of what a full disk does."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """A tmpfs of so many bytes ("256k"), mounted at a folder that is made; whoever may not mount skips, and says so."""
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("there is no mount command here, so no small disk; the injected errors are tested all the same")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", f"size={size}", "uspnb-test", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip(f"this machine does not let us mount a small disk: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)

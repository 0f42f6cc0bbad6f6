"""The settings of the numerical runtime, made once and before JAX allocates anything.

Importing this module sets double precision and, where the user has not chosen otherwise, one host thread for XLA's
CPU client.  The last is a correctness measure: jaxlib 0.10 on two cores can deadlock when a scan body holds several
independent batched triangular solves, and one thread is also the faster setting for graphs of small operations.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("PJRT_NPROC", "1")

import jax  # after the variable above, which must be set before the first import of jax

jax.config.update("jax_enable_x64", True)


def compilation_cache_dir() -> Path:
    """Folder of the persistent compilation cache: `USPNB_CACHE_DIR`, else `uspnb` in the user's cache folder."""
    chosen = os.environ.get("USPNB_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "uspnb" / "xla"


def enable_compilation_cache(directory: str | os.PathLike[str] | None = None) -> Path | None:
    """Keep compiled programs on disk, so that a second process starts without compiling.

    Args:
        directory: where to keep them; by default `compilation_cache_dir()`.

    Returns:
        The folder in use, or None where it cannot be written (the programs are then compiled anew each time) or where
        the user already named a cache by `JAX_COMPILATION_CACHE_DIR`.
    """
    named = jax.config.values["jax_compilation_cache_dir"]
    if directory is None and named:
        return Path(named)
    folder = Path(directory) if directory is not None else compilation_cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


def platform() -> str:
    """Name of the platform that JAX computes on: "cpu", "gpu" or "tpu"."""
    return jax.default_backend()

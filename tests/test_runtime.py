"""The settings of the numerical runtime, seen from outside in a fresh process where they are made at import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from uspnb import runtime


def in_fresh_process(code: str, **environment: str) -> str:
    """Standard output of a Python process that knows nothing of this one's JAX settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "XLA_", "PJRT_", "USPNB_", "COV_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {"JAX_PLATFORMS": "cpu"} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip()


def test_double_precision_in_this_process() -> None:
    assert jnp.asarray(1.0).dtype == jnp.float64
    # 1 + 2^-40 is lost in float32.
    assert float(jnp.asarray(1.0) + 2.0**-40) > 1.0


def test_import_sets_precision_and_one_host_thread() -> None:
    code = "import os, uspnb, jax.numpy as jnp; print(jnp.ones(1).dtype, os.environ['PJRT_NPROC'])"
    assert in_fresh_process(code) == "float64 1"


def test_the_users_thread_count_wins() -> None:
    assert in_fresh_process("import os, uspnb; print(os.environ['PJRT_NPROC'])", PJRT_NPROC="2") == "2"


def test_platform_is_one_of_jax() -> None:
    assert runtime.platform() == jax.default_backend() == "cpu"


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("USPNB_CACHE_DIR", str(tmp_path / "mine"))
    assert runtime.compilation_cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("USPNB_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert runtime.compilation_cache_dir() == tmp_path / "xdg" / "uspnb" / "xla"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert runtime.compilation_cache_dir() == Path.home() / ".cache" / "uspnb" / "xla"


def test_a_cache_named_to_jax_is_left_alone() -> None:
    named = jax.config.values["jax_compilation_cache_dir"]
    assert named, "tests/conftest.py names one"
    assert runtime.enable_compilation_cache() == Path(named)
    assert jax.config.values["jax_compilation_cache_dir"] == named


def test_second_process_starts_from_the_compilation_cache(tmp_path: Path) -> None:
    # The program is made slow enough to compile (a deep unrolled chain) that JAX finds it worth keeping.
    code = """
from uspnb import runtime
folder = runtime.enable_compilation_cache()
import jax, jax.numpy as jnp
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name) if name.endswith("cache_hits") else None)
def chain(x):
    for i in range(40):
        x = jnp.sin(x @ x.T) + jnp.linalg.norm(x) * i
    return x
jax.jit(chain)(jnp.eye(3)).block_until_ready()
print(folder, len(hits) > 0)
"""
    cache = tmp_path / "xla"
    assert in_fresh_process(code, USPNB_CACHE_DIR=str(cache)) == f"{cache} False"
    assert any(cache.iterdir())
    assert in_fresh_process(code, USPNB_CACHE_DIR=str(cache)) == f"{cache} True"


def test_folder_that_cannot_be_made_gives_none(tmp_path: Path) -> None:
    obstacle = tmp_path / "file"
    obstacle.write_text("")
    before = jax.config.values["jax_compilation_cache_dir"]
    assert runtime.enable_compilation_cache(obstacle / "xla") is None
    assert jax.config.values["jax_compilation_cache_dir"] == before

"""The settings of the numerical runtime, seen from outside in a fresh process where they are made at import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from fresh_process import in_fresh_process

from uspnb import runtime
from uspnb.runtime import machine


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


def test_settings_that_jax_has_read_already_cannot_change() -> None:
    jnp.ones(1).block_until_ready()
    before = os.environ.get("XLA_FLAGS")
    with pytest.raises(RuntimeError, match=r"would change XLA_FLAGS, but JAX has already begun.*right after"):
        runtime.configure(deterministic=True)
    with pytest.raises(RuntimeError, match="would change XLA_CLIENT_MEM_FRACTION, XLA_PYTHON_CLIENT_ALLOCATOR"):
        runtime.configure(allocator="bfc", memory_fraction=0.5)
    assert os.environ.get("XLA_FLAGS") == before
    assert not runtime.configure().deterministic  # asks for nothing, and says what is in force


@pytest.mark.parametrize(
    ("settings", "flags", "threads", "message"),
    [
        ({"allocator": "pool"}, "", "1", "allocator = 'pool' is not one of default, platform"),
        ({"memory_fraction": 0.0}, "", "1", "memory_fraction = 0.0 must be above 0 and at most 1"),
        ({"memory_fraction": float("nan")}, "", "1", "memory_fraction = nan must be above 0"),
        ({"device": "tpu"}, "", "1", "device = 'tpu' is not one of auto, cpu, gpu"),
        ({"deterministic": True}, "--xla_gpu_deterministic_ops=0", "1", "determinism needs true; take it out"),
        ({"deterministic": True}, "--xla_gpu_autotune_level=4", "1", "xla_gpu_autotune_level=4, determinism needs 0"),
        ({"deterministic": True}, "", "4", "PJRT_NPROC = 4 lets reductions split by thread"),
    ],
)
def test_settings_that_contradict_one_another(
    settings: dict[str, Any], flags: str, threads: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setenv("PJRT_NPROC", threads)
    with pytest.raises(ValueError, match=message):
        runtime.configure(**settings)
    assert os.environ["XLA_FLAGS"] == flags


def test_memory_settings_reach_the_variables_that_jax_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.xla_bridge, "backends_are_initialized", lambda: False)
    for name in ("XLA_PYTHON_CLIENT_ALLOCATOR", "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        monkeypatch.setenv(name, "")  # so that they are as before afterwards
        monkeypatch.delenv(name)
    settings = runtime.configure(allocator="platform", memory_fraction=0.7)
    assert (settings.allocator, settings.memory_fraction) == ("platform", "0.7")
    from jaxlib.xla_client import generate_pjrt_gpu_plugin_options

    options = generate_pjrt_gpu_plugin_options()
    assert options["allocator"] == "platform" and options["memory_fraction"] == 0.7
    # Both names at once are an error of JAX, so the one that is there is the one that is set.
    monkeypatch.delenv("XLA_CLIENT_MEM_FRACTION")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    runtime.configure(memory_fraction=0.5)
    assert generate_pjrt_gpu_plugin_options()["memory_fraction"] == 0.5


HASHES = """
from uspnb import runtime
settings = runtime.configure(deterministic=True)
assert settings.deterministic and runtime.configure(deterministic=True) == settings
import numpy as np, uspnb
from uspnb.predictor.functional import observations
from uspnb.data.processes import autoregression
from uspnb.sinks.parity import exact_hash
functional = uspnb.FunctionalPredictor()
values = autoregression(600, 11).values
state, result = functional.scan(functional.init_state(), observations(values, np.arange(600) * 10**9))
assert runtime.configure(deterministic=True) == settings
told = result.telemetry
print(exact_hash(np.asarray(told.weight).ravel()), exact_hash(np.asarray(told.transport_cost)))
print(exact_hash(np.asarray(result.reference_prediction)))
"""


def test_two_fresh_processes_give_the_same_bits() -> None:
    """The hashes of a parity log, over 600 ticks; benchmarks/service.py compiles anew in each process as well."""
    cache = {name: os.environ[name] for name in ("JAX_COMPILATION_CACHE_DIR", "USPNB_CACHE_DIR")}
    first, second = (in_fresh_process(HASHES, **cache) for _ in range(2))
    assert len(first.split()) == 3 and first == second


def test_freed_memory_stays_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import resource, numpy as np, uspnb.runtime as runtime
kept = runtime.keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults() < 2000)
"""
    told = in_fresh_process(code, MALLOC_TRIM_THRESHOLD_="65536")  # as Dask starts a worker: 2,000 faults an array
    assert told in ("True True", "False False")
    monkeypatch.setattr(machine.sys, "platform", "win32")
    assert not runtime.keep_freed_memory()

"""Programs compiled ahead: a later process adds nothing to the cache, and what cannot be kept is refused."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from fresh_process import in_fresh_process

from uspnb.cli import main
from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError
from uspnb.predictor import warming

WARM = """
import sys
from uspnb.cli import main
sys.stderr = sys.stdout
print(main(["warm", "--config", {settings!r}, *{rest}]))
"""
FORECASTS = """
import numpy as np
import uspnb
config = uspnb.load_config({settings!r})
p = uspnb.UniversalPredictor(config, clock=uspnb.replay_clock)
p.step(uspnb.ProcessState(1.0, 1_000_000_000))
p.state
f = p.functional
f.step(f.init_state(), uspnb.ProcessState(1.0, 1_000_000_000))
f.step_batch(f.init_state(2), [uspnb.ProcessState(1.0, 1_000_000_000)] * 2)
uspnb.backtest(np.arange(80.0).reshape(40, 2), config, progress=False)
"""


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_a_later_process_adds_nothing_to_a_warm_cache(tmp_path: Path) -> None:
    cache, settings = tmp_path / "cache", tmp_path / "c.toml"
    settings.write_text('[structural]\nkernels = ["hilbert"]\nhorizons = [1]\nseason_slots = 0\n')  # compiles fastest
    environment = {"USPNB_CACHE_DIR": str(cache)}
    once = in_fresh_process(WARM.format(settings=str(settings), rest=["--batch", "2"]), **environment).splitlines()
    names = ["initial state", "packed state", "unpacked state", "one series"]
    names += ["initial states of 2 series", "a tick of 2 series", "a backtest of 2 series"]
    assert [line[:32].strip() for line in once] == [*names, f"Cache: {cache}"[:32].strip(), "0"]
    assert all(line.endswith(" s  compiled") for line in once[:-2]), once
    held = entries(cache)
    in_fresh_process(FORECASTS.format(settings=str(settings)), **environment)
    assert entries(cache) == held
    again = in_fresh_process(WARM.format(settings=str(settings), rest=[]), **environment).splitlines()
    assert len(again) == 6 and all(line.endswith(" s  was there already") for line in again[:-2]), again
    assert entries(cache) == held
    (damaged,) = cache.glob("jit_packed_state-*-cache")
    damaged.write_bytes(b"damaged")
    refused = in_fresh_process(WARM.format(settings=str(settings), rest=[]), **environment)
    assert "uspnb: error: Error reading persistent compilation cache entry for 'jit_packed_state'" in refused
    assert f"mend the folder {cache} or remove it" in refused and refused.endswith("2")


@pytest.mark.parametrize("count", ["0", "-3"])
def test_a_batch_below_one_series_is_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warm", "--batch", "2", count]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and f"batch = {count} must be a whole number of at least 1 series" in printed.err


def test_a_batch_that_is_no_number_and_a_missing_file_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["warm", "--batch", "many"])
    assert "argument --batch: invalid int value: 'many'" in capsys.readouterr().err
    assert main(["warm", "--config", "nowhere.toml"]) == 2
    assert "nowhere.toml: no such configuration file" in capsys.readouterr().err


def test_a_cache_that_keeps_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "enable_compilation_cache", lambda: None)
    monkeypatch.setenv("USPNB_CACHE_DIR", "read_only")
    with pytest.raises(DomainError, match="cache read_only cannot be written; name a folder"):
        warming.warm_programs()
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        with pytest.raises(DomainError, match="JAX_ENABLE_COMPILATION_CACHE is off"):
            warming.warm_programs()
    finally:
        jax.config.update("jax_enable_compilation_cache", True)


def test_load_shedding_has_programs_of_every_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "_compiled", lambda name, compute: (None, warming.Warmed(name, 0.0, warming.HIT)))
    monkeypatch.setattr(warming, "shard_assets", lambda states: states)
    names = [program.name for program in warming.warm_programs(PredictorConfig(load_shedding=True), [3, 3])]
    assert names == [
        f"{program}{which}"
        for which in ("", ", depth 2", ", depth 5")
        for program in ("initial state", "packed state", "unpacked state", "one series")
    ] + ["initial states of 3 series", "a tick of 3 series", "a backtest of 3 series"]


def test_what_compiles_too_quickly_for_a_cache_of_the_users_is_said() -> None:
    name = "jax_persistent_cache_min_compile_time_secs"
    least = jax.config.values[name]
    jax.config.update(name, 1e9)
    try:
        value, program = warming._compiled("one", lambda: jax.jit(lambda x: x * 3.25 + 0.125)(jnp.ones(())))
    finally:
        jax.config.update(name, least)
    assert float(value) == 3.375 and program.outcome == warming.NOT_KEPT

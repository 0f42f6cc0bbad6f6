"""The predictor that follows its configuration file: what is kept, what is begun anew, what is refused."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from walks import random_walk

from uspnb.config.load import config_to_toml
from uspnb.config.schema import PredictorConfig
from uspnb.errors import ConfigError, DomainError, ReloadWarning
from uspnb.model.programs import trace_count
from uspnb.model.records import ProcessState
from uspnb.predictor.functional import FunctionalPredictor
from uspnb.predictor.reloading import ConfigReloadablePredictor, carried
from uspnb.predictor.universal import replay_clock
from uspnb.runtime.digest import sha256_pytree

SECOND = 10**9
START = 1_771_675_200 * SECOND
WALK = random_walk(700, 2)


def written(path: Path, config: PredictorConfig) -> None:
    path.write_text(config_to_toml(config), encoding="utf-8")


def tick(k: int) -> ProcessState:
    return ProcessState(WALK[k], START + k * SECOND)


@pytest.fixture
def reloadable(tmp_path: Path) -> ConfigReloadablePredictor:
    path = tmp_path / "config.toml"
    written(path, PredictorConfig())
    predictor = ConfigReloadablePredictor(path, clock=replay_clock)
    predictor.fit_history(WALK[:300], times=START + np.arange(300) * SECOND)
    return predictor


def test_an_unchanged_file_is_not_read_again(reloadable: ConfigReloadablePredictor) -> None:
    assert reloadable.check_and_reload_config() is False
    text = reloadable.config_path.read_text(encoding="utf-8")
    reloadable.config_path.write_text(text + "\n# a remark\n", encoding="utf-8")
    assert reloadable.check_and_reload_config() is False
    assert reloadable.config == PredictorConfig() and reloadable.last_reload is None


def test_a_file_of_the_same_size_and_time_is_told_from_the_old_by_its_content(
    reloadable: ConfigReloadablePredictor,
) -> None:
    """An editor that replaces the file and restores its time (rsync -t, cp -p) must not go unnoticed."""
    path = reloadable.config_path
    about, text = path.stat(), path.read_text(encoding="utf-8")
    fresh = path.with_suffix(".new")
    fresh.write_text(text.replace("cusum_k = 0.5", "cusum_k = 0.6"), encoding="utf-8")
    os.utime(fresh, ns=(about.st_atime_ns, about.st_mtime_ns))
    os.replace(fresh, path)
    assert path.stat().st_size == about.st_size and path.stat().st_mtime_ns == about.st_mtime_ns
    assert reloadable.check_and_reload_config() is True and reloadable.config.cusum_k == 0.6


def test_a_traced_change_keeps_the_state(reloadable: ConfigReloadablePredictor) -> None:
    before, traces = sha256_pytree(reloadable.state), trace_count("series")
    written(reloadable.config_path, PredictorConfig(confidence_level=0.5, cusum_k=0.25))
    assert reloadable.check_and_reload_config() is True
    assert reloadable.config.cusum_k == 0.25 and sha256_pytree(reloadable.state) == before
    assert reloadable.step(tick(300)).telemetry.ticks == 301
    assert trace_count("series") == traces and reloadable.check_and_reload_config() is False
    reload = reloadable.last_reload
    assert reload is not None and not reload.compiled_anew
    assert reload.changed == {"cusum_k": (0.5, 0.25), "confidence_level": (0.95, 0.5)}
    assert reload.text() == "cusum_k = 0.25 (was 0.5), confidence_level = 0.5 (was 0.95); kept: the whole state"


def test_a_host_setting_changes_nothing_of_the_step(reloadable: ConfigReloadablePredictor) -> None:
    before, traces = sha256_pytree(reloadable.state), trace_count("series")
    written(reloadable.config_path, PredictorConfig(snapshot_retention=7))
    assert reloadable.check_and_reload_config() is True and reloadable.config.snapshot_retention == 7
    reloadable.step(tick(300))
    assert trace_count("series") == traces and sha256_pytree(reloadable.state) != before


@pytest.mark.slow
def test_a_static_change_carries_over_what_fits(reloadable: ConfigReloadablePredictor) -> None:
    """The window is cut, kernel D is of another depth, and everything else goes on to the bit."""
    old = jax.tree.map(np.asarray, reloadable.state)
    written(reloadable.config_path, PredictorConfig(wtmm_buffer_size=64, log_sig_depth=2, residual_window=300))
    assert reloadable.check_and_reload_config() is True
    reload, new = reloadable.last_reload, reloadable.state
    assert reload is not None and reload.compiled_anew
    assert reload.fitted == ("window", "residual statistics") and reload.renewed == ("log_signature",)
    assert {"charts", "gate", "weight", "roughness", "hilbert", "deep_galerkin", "ito_levy"} <= set(reload.kept)
    np.testing.assert_array_equal(new.frame.window, old.frame.window[-64:])
    np.testing.assert_array_equal(new.score.residuals, np.r_[np.full(48, np.nan), old.score.residuals])
    for name in ("charts", "gate", "weight", "forecast", "modes"):
        assert sha256_pytree(getattr(new, name)) == sha256_pytree(getattr(old, name))
    for name in ("hilbert", "deep_galerkin", "ito_levy"):
        assert sha256_pytree(new.kernels[name]) == sha256_pytree(old.kernels[name])
    traces = trace_count("series")
    result = reloadable.step(tick(300))  # compiled by the reload, not by the next tick
    assert trace_count("series") == traces and result.telemetry.ticks == 301
    assert np.isfinite(float(result.reference_prediction))
    assert reloadable.history().sizes["time"] == 301  # the columns mean what they meant


def test_a_longer_window_knows_what_the_shorter_one_held() -> None:
    old = FunctionalPredictor().init_state()
    old = old._replace(frame=old.frame._replace(window=jax.numpy.arange(128.0), count=jax.numpy.asarray(900)))
    wide = dataclasses.replace(PredictorConfig(), wtmm_buffer_size=192)
    state, unchanged, fitted, renewed = carried(old, FunctionalPredictor(wide).init_state(), {"wtmm_buffer_size"})
    np.testing.assert_array_equal(state.frame.window, np.r_[np.zeros(64), np.arange(128.0)])
    assert int(state.frame.count) == 128 and fitted == ("window",) and renewed == () and "hilbert" in unchanged
    leaves = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
    assert len(set(leaves)) == len(leaves)  # or a caller could not donate the state


@pytest.mark.parametrize(
    ("name", "value", "block"), [("input_kind", "increments", "roughness"), ("log_sig_window", 64, "log_signature")]
)
def test_a_block_that_means_something_else_begins_anew(name: str, value: object, block: str) -> None:
    fresh = FunctionalPredictor(PredictorConfig(**{name: value})).init_state()  # type: ignore[arg-type]
    assert carried(FunctionalPredictor().init_state(), fresh, {name})[3] == (block,)


def test_a_change_of_the_row_starts_a_new_history(
    reloadable: ConfigReloadablePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FunctionalPredictor, "warm", lambda self, state: None)  # no tick is predicted here
    written(reloadable.config_path, PredictorConfig(koopman_top_k=7))
    assert reloadable.check_and_reload_config() is True
    assert int(reloadable.state.ticks) == 300 and reloadable.last_result is None
    with pytest.raises(DomainError, match="at least one tick"):
        reloadable.history()


@pytest.mark.parametrize("text", ["[sensitivity]\ncusum_k = 9.0\n", "[sensitivity\n", "[sensitivity]\ncusum_kk = 1\n"])
def test_an_invalid_file_keeps_the_old_settings_and_says_so_once(
    reloadable: ConfigReloadablePredictor, text: str
) -> None:
    before = sha256_pytree(reloadable.state)
    reloadable.config_path.write_text(text, encoding="utf-8")
    with pytest.warns(ReloadWarning, match=r"line \d.*the settings in force stay"):
        assert reloadable.check_and_reload_config() is False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        os.utime(reloadable.config_path)
        assert reloadable.check_and_reload_config() is False
    assert reloadable.config == PredictorConfig() and sha256_pytree(reloadable.state) == before
    reloadable.step(tick(300))
    written(reloadable.config_path, dataclasses.replace(PredictorConfig(), cusum_k=0.25))
    assert reloadable.check_and_reload_config() is True


def test_a_file_that_vanishes_keeps_the_old_settings(reloadable: ConfigReloadablePredictor) -> None:
    reloadable.config_path.unlink()
    with pytest.warns(ReloadWarning, match=r"no such configuration file.*the settings in force stay"):
        assert reloadable.check_and_reload_config() is False
    written(reloadable.config_path, PredictorConfig(cusum_k=0.25))
    assert reloadable.check_and_reload_config() is True


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        ConfigReloadablePredictor(tmp_path / "missing.toml")


def test_a_held_predictor_does_not_reload(reloadable: ConfigReloadablePredictor) -> None:
    reloadable.hold("a session on tide")
    with pytest.raises(DomainError, match="a session on tide holds this predictor"):
        reloadable.check_and_reload_config()

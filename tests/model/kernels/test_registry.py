"""Kernels are what the configuration names: a user's own beside the seeds', and some of these without the others."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fresh_process import in_fresh_process
from own_kernel import SMALL, WITH_SEASONS, Mean, MeanState, registered
from walks import random_walk

import uspnb
from uspnb.config.load import parse_config
from uspnb.errors import ConfigError, DomainError
from uspnb.model.kernels import hilbert
from uspnb.model.kernels.registry import (
    KERNEL_NAMES,
    kernel_colour,
    kernel_entry,
    kernel_label,
    packed_kernels,
    register_packed,
    robust_place,
)
from uspnb.persistence.snapshots.payload import snapshot_of
from uspnb.predictor.functional import observations
from uspnb.runtime.digest import sha256_pytree
from uspnb.testing import check_kernel


@pytest.fixture(autouse=True)
def own_kernel() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(scope="module")
def series() -> np.ndarray:
    return random_walk(220, 3)


FIVE = uspnb.PredictorConfig(kernels=(*KERNEL_NAMES, "mine"), **WITH_SEASONS)
BATCH = 4  # the lanes of a fleet of up to four, so that its program is this one


def test_a_kernel_of_ones_own_meets_the_demands() -> None:
    check_kernel(Mean)


def test_it_stands_beside_the_others_in_the_dataset(series: np.ndarray) -> None:
    ds = uspnb.backtest(series, FIVE)
    assert ds["kernel"].values.tolist() == [*KERNEL_NAMES, "mine"]
    own = ds["kernel_prediction"].sel(kernel="mine").values
    assert np.isfinite(own[1:]).all() and np.isfinite(ds["prediction"].values[1:]).all()
    np.testing.assert_allclose(ds["weight"].sum("kernel"), 1.0, atol=1e-12)
    assert float(ds["weight"].sel(kernel="mine")[-1]) > 0
    assert parse_config(ds.attrs["config"]) == FIVE


def test_it_steps_in_a_batch_as_alone(series: np.ndarray) -> None:
    predictor = uspnb.FunctionalPredictor(FIVE)
    state, states = predictor.init_state(), predictor.init_state(BATCH)
    ticks = [uspnb.ProcessState(series[k], 10**9 * (k + 1)) for k in range(30)]
    for tick in ticks[:-1]:
        state, _ = predictor.step(state, tick)
        states, _ = predictor.step_batch(states, BATCH * [tick])
    _, result = predictor.step(state, ticks[-1])
    _, results = predictor.step_batch(states, BATCH * [ticks[-1]])
    assert result.telemetry.weight.shape == (5,) and results.telemetry.weight.shape == (BATCH, 5)
    np.testing.assert_allclose(results.reference_prediction, float(result.reference_prediction), rtol=1e-9)
    assert result.kernels == results.kernels == FIVE.kernels and "mine 0." in result._repr_html_()


def test_a_snapshot_goes_on_to_the_bit_and_restores_it_alone(series: np.ndarray, tmp_path: Path) -> None:
    predictor = uspnb.UniversalPredictor(FIVE, clock=uspnb.replay_clock)
    predictor.fit_history(series[:150], times=10**9 * np.arange(150))
    path = predictor.save_snapshot(tmp_path / "snapshot")
    again = uspnb.UniversalPredictor.from_snapshot(path, clock=uspnb.replay_clock)
    assert again.config == FIVE
    for k in range(150, 160):
        tick = uspnb.ProcessState(series[k], 10**9 * k)
        assert predictor.step(tick).reference_prediction == again.step(tick).reference_prediction
    assert sha256_pytree(predictor.state) == sha256_pytree(again.state)
    cold = uspnb.UniversalPredictor(FIVE)
    cold.load_snapshot(path, only="mine")
    assert float(cold.state.kernels["mine"].average) != 0.0 and int(cold.state.ticks) == 0
    with pytest.raises(DomainError, match="mine"):
        uspnb.UniversalPredictor(FIVE).load_snapshot(path, only="E")


@pytest.mark.parametrize("kernels", [("hilbert",), ("ito_levy", "mine")])
def test_some_kernels_without_the_others(kernels: tuple[str, ...], series: np.ndarray) -> None:
    """Diagnostics of a kernel that is not there are NaN, its warnings are silent, its roles fall to nobody."""
    series = np.concatenate([series, series[-1] + 30.0 * np.sin(np.arange(150.0) ** 2)])
    ds = uspnb.backtest(series, uspnb.PredictorConfig(kernels=kernels, **SMALL))
    assert ds["kernel"].values.tolist() == list(kernels) and np.isfinite(ds["prediction"].values[1:]).all()
    np.testing.assert_allclose(ds["weight"].sum("kernel"), 1.0, atol=1e-12)
    assert np.isfinite(ds["reference_residual"].values[1:]).all()
    for name in ("dgm_entropy", "dgm_expected_entropy", "distance_to_collapse", "entropy_ratio", "pde_residual"):
        assert np.isnan(ds[name]).all(), name
    assert not ds["mode_collapse_warning"].any()
    there = "ito_levy" in kernels
    assert np.isfinite(ds["stiffness"]).all() == there and (ds["solver"] >= 0).all() == there


def test_roles_are_asked_for_by_place() -> None:
    assert robust_place(KERNEL_NAMES) == 3 and robust_place(("log_signature", "hilbert")) == 0
    assert robust_place(("hilbert", "mine")) is None
    uspnb.register_kernel("calm", Mean(), robust=True)
    assert robust_place(("hilbert", "calm")) == 1


def test_labels_and_colours_are_the_registrys() -> None:
    assert (kernel_label("mine"), kernel_colour("mine")) == ("my mean", "#123456")
    assert kernel_label("deep_galerkin") == "deep galerkin"
    # A run of elsewhere may name what is not registered here.
    assert kernel_label("not_here") == "not here" and re.fullmatch("#[0-9a-f]{6}", kernel_colour("not_here"))


def test_registering_anew_takes_the_place_of_the_old(series: np.ndarray) -> None:
    """As a cell that is run again does; compiled programs of the old one are not used any more."""
    config = uspnb.PredictorConfig(kernels=("ito_levy", "mine"), **SMALL)  # the old one is compiled for another test
    ticks = observations(series[:40], 10**9 * np.arange(40))

    class Louder(Mean):
        @staticmethod
        def step(config, state, inputs, key):
            state, output = Mean.step(config, state, inputs, key)
            return state, output._replace(mean=output.mean + 0.5)

    means = []
    for kernel in (Mean, Louder):
        uspnb.register_kernel("mine", kernel)
        predictor = uspnb.FunctionalPredictor(config)
        means.append(predictor.scan(predictor.init_state(), ticks)[1].reference_prediction)
    assert not np.allclose(*means)


@pytest.mark.parametrize(
    ("name", "kernel", "rest", "words"),
    [
        ("hilbert", Mean, {}, "one of the package's own"),
        ("my kernel", Mean, {}, "no name of letters"),
        ("two", jnp, {}, "no function init and no function step"),
        ("two", Mean, {"colour": "red"}, "#rrggbb"),
    ],
)
def test_what_cannot_be_registered(name: str, kernel: Any, rest: dict[str, Any], words: str) -> None:
    with pytest.raises(DomainError, match=words):
        uspnb.register_kernel(name, kernel, **rest)


def test_a_kernel_may_refuse_a_configuration() -> None:
    class Picky(Mean):
        @staticmethod
        def check(config):
            if config.wtmm_buffer_size < 128:
                raise ConfigError("wtmm_buffer_size must be at least 128 for this kernel")

    uspnb.register_kernel("picky", Picky)
    with pytest.raises(ConfigError, match="at least 128"):
        uspnb.FunctionalPredictor(uspnb.PredictorConfig(kernels=("picky",), **SMALL))


def test_a_snapshot_of_the_seeds_kernels_has_the_blocks_that_it_always_had() -> None:
    """So programs of before read it, and what they wrote is read: a missing `kernels` means the four."""
    config = uspnb.PredictorConfig()
    payload = snapshot_of(uspnb.initialize_state(config), config)
    assert list(payload["kernels"]) == ["A", "B", "C", "D"] and "kernels" not in payload["config"]
    other = dataclasses.replace(config, kernels=("mine", "hilbert"), **SMALL)
    payload = snapshot_of(uspnb.initialize_state(other), other)
    assert list(payload["kernels"]) == ["mine", "A"] and payload["config"]["kernels"] == ["mine", "hilbert"]


def test_states_go_by_name_and_their_leaves_by_place() -> None:
    """The paths of the leaves describe the layout of stores."""
    state = uspnb.initialize_state(FIVE)
    assert list(state.kernels) == list(FIVE.kernels) and isinstance(state.kernels["mine"], MeanState)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state.kernels)]
    assert paths[0].startswith("[0].slow") and paths[-1] == "[4].variance"
    moved = state.kernels.replace(mine=MeanState(jnp.ones(()), jnp.ones(())))
    assert float(moved["mine"].average) == 1.0 and moved["hilbert"] is state.kernels["hilbert"]
    with pytest.raises(KeyError, match="nobody"):
        state.kernels.replace(nobody=0)


def test_kernels_travel_by_the_names_of_their_modules() -> None:
    with registered():
        uspnb.register_kernel("again", hilbert, colour="#010203")
        packed = packed_kernels(("hilbert", "again", "mine"), "nobody", "stay here")
        first = kernel_entry("mine")
        register_packed(packed)
        assert kernel_entry("mine") is first  # what is the same is not registered anew, which would compile all anew
    with registered():
        register_packed(packed)
        assert kernel_entry("again").kernel is hilbert and kernel_entry("again").colour == "#010203"
    assert packed_kernels(KERNEL_NAMES, "nobody", "stay here") == ""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a package as pip would install it: a module, and its entry points beside it."""
    shutil.copy(Path(__file__).parents[2] / "support" / "own_kernel.py", tmp_path / "brought.py")
    about = tmp_path / "brought-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    points = "calm = brought:Mean\nlost = brought:NoSuchKernel\nempty = json\n"
    (about / "entry_points.txt").write_text(f"[uspnb.kernels]\n{points}")
    return tmp_path


def test_an_installed_package_brings_its_kernel(package: Path) -> None:
    code = """
import sys, uspnb
assert "brought" not in sys.modules
for names in (("calm",), ("lost",), ("empty",), ("mine",)):
    try:
        uspnb.FunctionalPredictor(uspnb.PredictorConfig(kernels=names))
        print(uspnb.model.kernels.registry.kernel_entry(names[0]).kernel)
    except uspnb.errors.ConfigError as error:
        print(error)
"""
    calm, lost, empty, unknown = in_fresh_process(code, PYTHONPATH=str(package)).splitlines()
    assert calm.startswith("<brought.Mean object")
    assert "names 'lost', whose entry point 'brought:NoSuchKernel' cannot be loaded" in lost
    assert "the kernel 'empty' has no function init and no function step" in empty
    assert "names 'mine', which is not registered; known are hilbert" in unknown and "calm, empty, lost" in unknown
    assert "--plugin MODULE" in unknown and "notebook" in unknown


def test_a_snapshot_is_refused_by_name_where_its_kernel_is_unknown_and_read_where_it_is_imported(
    tmp_path: Path, series: np.ndarray
) -> None:
    config = uspnb.PredictorConfig(kernels=("ito_levy", "mine"), **SMALL)
    predictor = uspnb.UniversalPredictor(config, clock=uspnb.replay_clock)
    predictor.fit_history(series[:100])
    path = predictor.save_snapshot(tmp_path / "snapshot")
    restoring = f"print(uspnb.UniversalPredictor.from_snapshot({str(path)!r}).state.kernels['mine'].average)"
    code = f"""
import uspnb
try:
    {restoring}
except uspnb.errors.ConfigError as error:
    print(error)
from uspnb.cli import main
from uspnb.config.command import import_plugins
import_plugins(["plugged"])
{restoring}
"""
    (tmp_path / "plugged.py").write_text("import own_kernel, uspnb\nuspnb.register_kernel('mine', own_kernel.Mean)\n")
    support = Path(__file__).parents[2] / "support"
    refused, average = in_fresh_process(code, PYTHONPATH=f"{tmp_path}{os.pathsep}{support}").splitlines()
    assert "kernels names 'mine', which is not registered" in refused and "--plugin" in refused
    assert float(average) == float(predictor.state.kernels["mine"].average)

"""Weights files, their provenance and their checks, training, and the ladder of sizes."""

from __future__ import annotations

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.errors import ConfigError, IntegrityError
from uspnb.model.kernels.deep_galerkin import init, ladder, training, trunk


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trunks")
    return folder, training.train_trunk(8, 2, 3, 2, folder)


def test_every_shipped_trunk_loads_and_says_where_it_comes_from():
    manifest = trunk.read_manifest(trunk.WEIGHTS_FOLDER)
    assert (32, 2) in trunk.shipped_sizes()
    for name, entry in manifest.items():
        loaded = trunk.load_trunk(entry["width"], entry["depth"])
        assert loaded.basis.dtype == np.float64
        assert name == trunk.file_name(entry["width"], entry["depth"])
        assert {"command", "seed", "steps", "versions", "family", "loss", "sha256"} <= entry.keys()


def test_a_damaged_file_is_refused(tmp_path):
    shutil.copytree(trunk.WEIGHTS_FOLDER, tmp_path, dirs_exist_ok=True)
    path = tmp_path / trunk.file_name(32, 2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match="trunk_32x2"):
        trunk.load_trunk(32, 2, tmp_path)


def test_a_size_that_is_not_shipped_names_those_that_are_and_the_remedy():
    with pytest.raises(ConfigError, match=r"32x2.*uspnb train-trunk --width 96 --depth 3"):
        init(PredictorConfig(dgm_width_size=96, dgm_depth=3), jnp.zeros(2, jnp.uint32))


def test_training_is_repeatable_and_leaves_a_trunk_that_loads(trained, tmp_path):
    folder, entry = trained
    again = training.train_trunk(8, 2, 3, 2, tmp_path)
    assert again["sha256"] == entry["sha256"]
    assert training.train_trunk(8, 2, 4, 2, tmp_path)["sha256"] != entry["sha256"]
    assert trunk.load_trunk(8, 2, folder).basis.shape[0] == 20
    assert json.loads((folder / trunk.MANIFEST).read_text())[trunk.file_name(8, 2)]["seed"] == 3
    with pytest.raises(ConfigError, match="width"):
        training.train_trunk(4, 2, 0, 1, tmp_path)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_network_of_a_tick_is_the_flax_module_that_was_trained(depth):
    params = training.Trunk(32, depth).init(jax.random.PRNGKey(depth), jnp.zeros(2))
    points = jnp.asarray(np.random.default_rng(depth).uniform([0.0, -1.0], 1.0, (50, 2)))
    for point in points:
        np.testing.assert_array_equal(
            trunk.network(32, depth, params, point), training.Trunk(32, depth).apply(params, point)
        )


@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize("kappa", [0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 50.0])
def test_scaled_architecture_meets_the_criterion_within_four_times_the_base(width, depth, kappa):
    config = PredictorConfig(dgm_width_size=width, dgm_depth=depth)
    w, d = ladder.scale_dgm_architecture(config, kappa)
    base = width * depth
    assert np.log2(w) == int(np.log2(w))
    assert w * d <= 4 * base
    assert w * d >= base * min(max(min(kappa, 10.0), 1.0) ** 0.7, 4.0) - 1e-9
    if kappa <= 1.0:
        assert (w, d) == (width, depth)


def test_entropy_ratio_is_clipped():
    assert float(ladder.compute_entropy_ratio(3.0, 1.5)) == 2.0
    assert float(ladder.compute_entropy_ratio(3.0, -1.0)) == 10.0
    assert float(ladder.compute_entropy_ratio(-1.0, 1.0)) == pytest.approx(0.1)


def test_ladder_goes_up_above_the_trigger_and_comes_down_with_hysteresis():
    state, yes = ladder.ladder_init(), jnp.asarray(True)
    ratio = jnp.zeros(())
    for _ in range(60):
        state, ratio = ladder.update_ladder(state, jnp.asarray(1.0), 2.0, yes)
    assert float(ratio) == pytest.approx(1.0)
    rungs = []
    for entropy in (1.8, 2.2, 1.7, 1.3):
        state, _ = ladder.update_ladder(state, jnp.asarray(entropy), 2.0, yes)
        rungs.append(bool(state.raised))
    assert rungs == [False, True, True, False]
    frozen, _ = ladder.update_ladder(state, jnp.asarray(9.0), 2.0, jnp.asarray(False))
    assert frozen == state

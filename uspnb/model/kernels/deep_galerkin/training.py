"""Offline training of a trunk over a family of drifts and diffusions, by variable projection.

The loss is what the solve of a tick leaves over: for each problem of a random batch the output layer is solved for on
the collocation points, and the trunk's weights descend the relative residual on other points.  So the network learns
features whose span holds the solutions, not any one solution.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform as machine
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen
from tqdm.auto import tqdm

from ....array_types import Array, Float, Key, Scalar
from ....errors import ConfigError
from .galerkin import HALF_WIDTH, chebyshev_points, diffusion_basis, drift_basis
from .trunk import MANIFEST, TrunkWeights, feature_layers, file_name, pack, raw_jet, read_manifest

DEFAULT_STEPS = 400
BATCH = 6
FIRST_LAYER_SPREAD = 0.7
LEARNING_RATE = 3e-3
TRAINING_RIDGE = 1e-11
RANK_TOLERANCE = 1e-9
BASIS_PROBLEMS = 400
FAMILY = (
    "b(z) = theta (mu - z) + c2 (z^2 - 1) w + c3 (z^3 - 3 z) w + c4 tanh(k z + m), w = exp(-z^2 / 6), "
    "theta log-uniform on [0.003, 2.5], mu ~ N(0, .5), (c2, c3, c4) ~ N(0, A), A log-uniform on [1e-3, .3], "
    "k ~ U(0.3, 1.2), m ~ N(0, 1); "
    "s^2(z) log-uniform on [1e-4, 5] times a partition of unity with log-normal (0.5) coefficients; z in [-4, 4]"
)


class Trunk(linen.Module):
    """Perceptron of `depth` hidden layers of `width` tanh units on (tau, xi); its last layers are the features."""

    width: int
    depth: int

    @linen.compact
    def __call__(self, point: Float[Array, "2"]) -> Float[Array, "network"]:
        layers: list[Array] = []
        hidden = point * jnp.array([2.0, 1.0], point.dtype) - jnp.array([1.0, 0.0], point.dtype)
        for layer in range(self.depth):
            start = linen.initializers.normal(FIRST_LAYER_SPREAD) if layer == 0 else linen.initializers.lecun_normal()
            offset = linen.initializers.normal(FIRST_LAYER_SPREAD if layer == 0 else 0.3)
            dense = linen.Dense(self.width, kernel_init=start, bias_init=offset, param_dtype=point.dtype)
            hidden = jnp.tanh(dense(hidden))
            layers.append(hidden)
        return jnp.concatenate(layers[-feature_layers(self.width) :])


def draw_problem(key: Key, z: Float[Array, "points"]) -> tuple[Float[Array, "points"], Float[Array, "points"]]:
    """Drift [z per tick] and squared diffusion [z^2 per tick] of one random member of the family, at places z."""
    keys = jax.random.split(key, 7)
    theta = jnp.exp(jax.random.uniform(keys[0], (), minval=np.log(3e-3), maxval=np.log(2.5)))
    mu = 0.5 * jax.random.normal(keys[1])
    nonlinear = jnp.exp(jax.random.uniform(keys[2], (), minval=np.log(1e-3), maxval=np.log(0.3)))
    bumps = nonlinear * jax.random.normal(jax.random.fold_in(keys[2], 1), (2,))
    steep = jax.random.uniform(keys[3], (), minval=0.3, maxval=1.2)
    c4, offset = nonlinear * jax.random.normal(keys[4]), jax.random.normal(jax.random.fold_in(keys[4], 1))
    coefficients = jnp.concatenate([jnp.stack([theta * mu, -theta]), bumps])
    drift = drift_basis(z) @ coefficients + c4 * jnp.tanh(steep * z + offset)
    level = jnp.exp(jax.random.uniform(keys[5], (), minval=np.log(1e-4), maxval=np.log(5.0)))
    return drift, diffusion_basis(z) @ (level * jnp.exp(0.5 * jax.random.normal(keys[6], (3,))))


def _system(jet: Any, points: Array, drift: Array, diffusion: Array) -> tuple[Array, Array]:
    left, xi = 1.0 - points[:, :1], points[:, 1:]
    b, d = drift[:, None] / HALF_WIDTH, diffusion[:, None] / (2.0 * HALF_WIDTH**2)
    matrix = left * (jet.tau + b * jet.xi + d * jet.xi_xi) - jet.value
    return matrix, jnp.concatenate([-b, -2.0 * (xi * b + d)], axis=1)


def projection_loss(size: tuple[int, int], params: Any, keys: Array, points: Array, others: Array) -> Scalar:
    """Mean log of the relative residual that the solved output layer leaves on `others`, for the problems of `keys`."""
    here, there = raw_jet(*size, params, points), raw_jet(*size, params, others)

    def one(key: Array) -> Scalar:
        matrix, right = _system(here, points, *draw_problem(key, HALF_WIDTH * points[:, 1]))
        other, other_right = _system(there, others, *draw_problem(key, HALF_WIDTH * others[:, 1]))
        scale = jnp.linalg.norm(right, axis=0, keepdims=True)
        normal = matrix.T @ matrix
        loaded = normal + TRAINING_RIDGE * jnp.trace(normal) * jnp.eye(normal.shape[0])
        layer = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(loaded), True), matrix.T @ (right / scale))
        left_over = other @ layer - other_right / scale
        return jnp.mean(jnp.log(jnp.sum(left_over**2, axis=0) * len(points) / len(others))) / 2.0

    return jnp.mean(jax.vmap(one)(keys))


def output_basis(width: int, depth: int, params: Any, key: Key) -> Float[np.ndarray, "raw features"]:
    """Reduced basis of the output layer: the directions that solutions of the family use most.

    Features are first made orthonormal as the operator at rest, (1 - tau) d/dtau - 1, sees them on the collocation
    points; the principal directions of the solutions of `BASIS_PROBLEMS` random problems in these coordinates are kept.
    """
    points = chebyshev_points()
    jet = raw_jet(width, depth, params, jnp.asarray(points))
    at_rest = (1.0 - points[:, :1]) * np.asarray(jet.tau) - np.asarray(jet.value)
    _, singular, right = np.linalg.svd(at_rest, full_matrices=False)
    keep = singular > RANK_TOLERANCE * singular[0]
    whiten = right[keep].T / singular[keep] * np.sqrt(len(points))
    at = jnp.asarray(points)
    draw = jax.jit(jax.vmap(lambda k: _system(jet, at, *draw_problem(k, HALF_WIDTH * at[:, 1]))))
    matrices, rights = (np.asarray(part) for part in draw(jax.random.split(key, BASIS_PROBLEMS)))
    solutions = [
        np.linalg.lstsq(matrix @ whiten, side / np.sqrt(np.linalg.norm(side, axis=0)), rcond=1e-10)[0]
        for matrix, side in zip(matrices, rights, strict=True)
    ]
    directions = np.linalg.svd(np.concatenate(solutions, axis=1), full_matrices=False)[0]
    return whiten @ directions[:, : output_features(width)]


def output_features(width: int) -> int:
    """Columns of the reduced basis of a trunk of that width."""
    return 32 + width // 2


def train_trunk(width: int, depth: int, seed: int, steps: int, out: str | Path) -> dict[str, Any]:
    """Train a trunk and write its weights file and its entry in the manifest.

    Args:
        width: units of a hidden layer, >= 8.
        depth: hidden layers, >= 1.
        seed: of the weights and of every batch; the same seed gives the same file up to the platform's rounding.
        steps: of Adam with a cosine schedule, >= 1.
        out: folder, made where missing; `trunk_WxD.npz` and `trunks.json` in it are replaced.

    Returns:
        The manifest's entry: file, SHA-256, command, seed, versions, family of problems, loss reached.

    Raises:
        ConfigError: a size or number of steps below its bound.
    """
    if width < 8 or depth < 1 or steps < 1:
        raise ConfigError(f"width = {width} must be >= 8, depth = {depth} >= 1 and steps = {steps} >= 1")
    params, loss = _descend(width, depth, seed, steps)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32).astype(np.float64), params)
    trunk = TrunkWeights(width, depth, params, output_basis(width, depth, params, jax.random.PRNGKey(seed + 1)))
    content = pack(trunk)
    entry = {
        "width": width,
        "depth": depth,
        "features": int(trunk.basis.shape[1]),
        "sha256": hashlib.sha256(content).hexdigest(),
        "command": f"uspnb train-trunk --width {width} --depth {depth} --seed {seed} --steps {steps} --out FOLDER",
        "seed": seed,
        "steps": steps,
        "loss": loss,
        "loss_meaning": "geometric mean of the relative residual on held-out points and problems, after the solve",
        "family": FAMILY,
        "versions": {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")},
        "platform": f"{machine.system()} {machine.machine()}, Python {machine.python_version()}",
    }
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file_name(width, depth)).write_bytes(content)
    manifest = dict(sorted({**read_manifest(folder), file_name(width, depth): entry}.items()))
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return entry


def _descend(width: int, depth: int, seed: int, steps: int) -> tuple[Any, float]:
    points, others = jnp.asarray(chebyshev_points()), jnp.asarray(chebyshev_points(7, 19))
    key = jax.random.PRNGKey(seed)
    params = Trunk(width, depth).init(jax.random.fold_in(key, 0), jnp.zeros(2))
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, steps, alpha=0.01))
    )
    loss_of = functools.partial(projection_loss, (width, depth))

    @jax.jit
    def update(params: Any, momenta: Any, index: Array) -> tuple[Any, Any, Array]:
        keys = jax.random.split(jax.random.fold_in(key, index + 1), BATCH)
        loss, gradient = jax.value_and_grad(loss_of)(params, keys, points, others)
        change, momenta = optimiser.update(gradient, momenta)
        return optax.apply_updates(params, change), momenta, loss

    momenta = optimiser.init(params)
    with tqdm(range(steps), desc=f"trunk {width}x{depth}", unit="step") as bar:
        for index in bar:
            params, momenta, loss = update(params, momenta, jnp.asarray(index))
            if index % 20 == 0:
                bar.set_postfix(residual=f"{np.exp(float(loss)):.2e}")
    # Problems that no step has seen: the training keys are fold_in(key, 1 .. steps).
    test_keys = jax.random.split(jax.random.fold_in(key, 2**31 - 1), 64)
    return params, float(np.exp(jax.jit(loss_of)(params, test_keys, points, others)))

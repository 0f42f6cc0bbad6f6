"""The network of features that every tick and every asset shares: a small perceptron that flax trained once, offline.

In normalised coordinates, tau in [0, 1] (one tick) and xi = z / `HALF_WIDTH` in [-1, 1], the features are
phi(tau, xi) = [1, xi, 1 - tau, (1 - tau) xi, trunk(tau, xi)] @ basis, where `basis` keeps the directions that solutions
of the trained family use most.  What a tick needs of them, their values and derivatives at fixed points, does not
depend on the data.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....array_types import Array, Float
from ....errors import ConfigError, IntegrityError

HALF_WIDTH = 4.0
WEIGHTS_FOLDER = Path(__file__).resolve().parent / "weights"
LEAST_FEATURES = 64
MANIFEST = "trunks.json"


def feature_layers(width: int) -> int:
    """How many of the last hidden layers give the features: enough for 64 of them, where the depth allows."""
    return -(-LEAST_FEATURES // width)


class TrunkWeights(NamedTuple):
    """A trained trunk.

    Attributes:
        width, depth: size of the network.
        params: flax variables of `training.Trunk(width, depth)`, float64 NumPy arrays.
        basis: output directions kept, one column each.
    """

    width: int
    depth: int
    params: Any
    basis: Float[np.ndarray, "raw features"]


class Jet(NamedTuple):
    """Features at points and their derivatives in normalised coordinates, one row per point."""

    value: Float[Array | np.ndarray, "points features"]
    tau: Float[Array | np.ndarray, "points features"]
    xi: Float[Array | np.ndarray, "points features"]
    xi_xi: Float[Array | np.ndarray, "points features"]


def network(width: int, depth: int, params: Any, point: Float[Array, "2"]) -> Float[Array, "network"]:
    """`training.Trunk(width, depth).apply(params, point)`, without flax: a forecast has no need to import it."""
    layers: list[Array] = []
    hidden = point * jnp.array([2.0, 1.0], point.dtype) - jnp.array([1.0, 0.0], point.dtype)
    for index in range(depth):
        layer = params["params"][f"Dense_{index}"]
        hidden = jnp.tanh(hidden @ layer["kernel"] + layer["bias"])
        layers.append(hidden)
    return jnp.concatenate(layers[-feature_layers(width) :])


def raw_features(width: int, depth: int, params: Any, point: Float[Array, "2"]) -> Float[Array, "raw"]:
    """[1, xi, 1 - tau, (1 - tau) xi, trunk(tau, xi)] at one point (tau, xi)."""
    left = 1.0 - point[:1]
    fixed = [jnp.ones(1, point.dtype), point[1:], left, left * point[1:]]
    return jnp.concatenate([*fixed, network(width, depth, params, point)])


@functools.partial(jax.jit, static_argnums=(0, 1))
def raw_jet(width: int, depth: int, params: Any, points: Float[Array, "points 2"]) -> Jet:
    """Features and their derivatives by forward differentiation, at all points.

    Args:
        width, depth: size of the trunk.
        params: its flax variables.
        points: rows (tau, xi).

    Returns:
        The jet of the raw features.
    """
    along_tau, along_xi = jnp.array([1.0, 0.0], points.dtype), jnp.array([0.0, 1.0], points.dtype)

    def at(point: Float[Array, "2"]) -> Jet:
        def f(p: Float[Array, "2"]) -> Float[Array, "raw"]:
            return raw_features(width, depth, params, p)

        def slope(p: Float[Array, "2"]) -> tuple[Array, Array]:
            return jax.jvp(f, (p,), (along_xi,))

        (value, xi), (_, xi_xi) = jax.jvp(slope, (point,), (along_xi,))
        return Jet(value, jax.jvp(f, (point,), (along_tau,))[1], xi, xi_xi)

    return jax.vmap(at)(points)


def product(left: Float[np.ndarray, "rows inner"], right: Float[np.ndarray, "inner columns"]) -> np.ndarray:
    """The matrix product without BLAS, whose last bits, and the tables with them, depend on the number of threads."""
    return np.einsum("ri,ci->rc", np.ascontiguousarray(left), np.ascontiguousarray(right.T))


def jet(trunk: TrunkWeights, points: Float[np.ndarray, "points 2"]) -> Jet:
    """The jet of a trained trunk's output features, by the chain rule in NumPy: loading a trunk compiles nothing."""
    tau, xi = points[:, :1], points[:, 1:]
    one, zero = np.ones_like(tau), np.zeros_like(tau)
    value = np.concatenate([2.0 * tau - 1.0, xi], axis=1)
    along_tau, along_xi = np.concatenate([2.0 * one, zero], axis=1), np.concatenate([zero, one], axis=1)
    curvature = np.zeros_like(value)
    layers: list[Jet] = []
    for index in range(trunk.depth):
        layer = trunk.params["params"][f"Dense_{index}"]
        kernel = layer["kernel"]
        value, along_tau, along_xi, curvature = (
            np.tanh(product(value, kernel) + layer["bias"]), product(along_tau, kernel), product(along_xi, kernel),
            product(curvature, kernel),
        )  # fmt: skip
        first = 1.0 - value * value
        curvature = first * (curvature - 2.0 * value * along_xi * along_xi)
        along_tau, along_xi = first * along_tau, first * along_xi
        layers.append(Jet(value, along_tau, along_xi, curvature))
    fixed = Jet(
        np.concatenate([one, xi, 1.0 - tau, (1.0 - tau) * xi], axis=1),
        np.concatenate([zero, zero, -one, -xi], axis=1),
        np.concatenate([zero, one, zero, 1.0 - tau], axis=1),
        np.zeros((len(points), 4)),
    )
    blocks = zip(fixed, *layers[-feature_layers(trunk.width) :], strict=True)
    return Jet(*(product(np.concatenate(block, axis=1), trunk.basis) for block in blocks))


def features(trunk: TrunkWeights, point: Float[Array, "2"]) -> Float[Array, "features"]:
    """Output features phi(tau, xi) at one point that depends on the data."""
    return raw_features(trunk.width, trunk.depth, trunk.params, point) @ trunk.basis


def pack(trunk: TrunkWeights) -> bytes:
    """A trunk as the bytes of an npz file; weights in single precision, which the basis was computed from."""
    layers = trunk.params["params"]
    arrays: dict[str, Any] = {"size": np.array([trunk.width, trunk.depth]), "basis": np.asarray(trunk.basis)}
    for index in range(trunk.depth):
        layer = layers[f"Dense_{index}"]
        arrays[f"kernel_{index}"] = np.asarray(layer["kernel"], np.float32)
        arrays[f"bias_{index}"] = np.asarray(layer["bias"], np.float32)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def unpack(content: bytes) -> TrunkWeights:
    """The inverse of `pack`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        width, depth = (int(number) for number in stored["size"])
        layers = {
            f"Dense_{index}": {
                "kernel": stored[f"kernel_{index}"].astype(np.float64),
                "bias": stored[f"bias_{index}"].astype(np.float64),
            }
            for index in range(depth)
        }
        return TrunkWeights(width, depth, {"params": layers}, stored["basis"])


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Provenance of the trunks in a folder, by file name; empty where there is none."""
    path = folder / MANIFEST
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def shipped_sizes(folder: Path = WEIGHTS_FOLDER) -> tuple[tuple[int, int], ...]:
    """(width, depth) of the trunks in a folder, by growing capacity width x depth, then width."""
    sizes = [(int(entry["width"]), int(entry["depth"])) for entry in read_manifest(folder).values()]
    return tuple(sorted(sizes, key=lambda size: (size[0] * size[1], size[0])))


def file_name(width: int, depth: int) -> str:
    """Name of the weights file of a trunk."""
    return f"trunk_{width}x{depth}.npz"


@functools.lru_cache(maxsize=16)
def load_trunk(width: int, depth: int, folder: Path = WEIGHTS_FOLDER) -> TrunkWeights:
    """The trained trunk of a size, read once and verified.

    Args:
        width: units of a hidden layer.
        depth: hidden layers.
        folder: where the weights and their manifest lie.

    Returns:
        The weights, as NumPy arrays.

    Raises:
        ConfigError: no trunk of that size is in the folder.
        IntegrityError: the file's SHA-256 is not the manifest's.
    """
    name = file_name(width, depth)
    entry = check_shipped(width, depth, folder)
    content = (folder / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry["sha256"]:
        raise IntegrityError(
            f"{name} has SHA-256 {digest}, its manifest says {entry['sha256']}: the file is damaged; "
            "reinstall uspnb or train the trunk anew with uspnb train-trunk"
        )
    return unpack(content)


def check_shipped(width: int, depth: int, folder: Path = WEIGHTS_FOLDER) -> dict[str, Any]:
    """The manifest's entry of a trunk.

    Raises:
        ConfigError: no trunk of that size is in the folder.
    """
    name = file_name(width, depth)
    entry = read_manifest(folder).get(name)
    if entry is None or not (folder / name).exists():
        sizes = ", ".join(f"{w}x{d}" for w, d in shipped_sizes(folder)) or "none"
        raise ConfigError(
            f"no trained Deep Galerkin trunk of dgm_width_size = {width}, dgm_depth = {depth}; there are: {sizes}. "
            f"Choose one of these, or train it: uspnb train-trunk --width {width} --depth {depth} --seed 0 "
            f"--out {folder.name}"
        )
    return entry

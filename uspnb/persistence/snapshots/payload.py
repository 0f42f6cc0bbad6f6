"""What a snapshot holds: a state and what surrounds it, as plain maps and arrays, and back, bit for bit.

The blocks are those of seed 000, section 8: schema_version, timestamp, config, global, telemetry, flags, kernels A to
D.  A block of leaves is a map from a leaf's path, as `jax.tree_util.keystr` writes it, to its array.  In a fleet's
snapshot the arrays of all series are stacked along a leading axis, and a block `assets` has their labels in that order.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ...array_types import PyTree
from ...config.schema import DEFAULTS, PredictorConfig, written_fields
from ...errors import ConfigError, DomainError
from ...model.kernels.deep_galerkin import Solution
from ...model.kernels.hilbert.seasonal import RATES, Smoothing
from ...model.kernels.registry import snapshot_key
from ...model.kernels.regression import RidgeState
from ...model.state import NEVER, KernelStates, PredictorState

SCHEMA_VERSION: str = DEFAULTS["schema_version"]
_written_fields = functools.lru_cache(maxsize=8)(written_fields)  # at every snapshot, of a few configurations
TELEMETRY_NUMBERS = ("kurtosis", "dgm_entropy", "adaptive_threshold")

Payload = dict[str, Any]
Migration = Callable[[Payload], Payload]

# Leaves that a state got after snapshots had been written without them, and what a new state holds there.
ADDED: dict[str, Any] = {
    ".gate.long_intervals_ns": -1,
    ".gate.long_ends_ns": -1,
    ".gate.usual_run": 1.0,
    ".gate.imputed": 0,
    ".roughness.stationary": False,
    ".modes.anomaly_rest": 0,
} | dict.fromkeys((".spectrum.frequency", ".spectrum.power", ".spectrum.paley_wiener_integral"), np.nan)
# Of kernels: what was not solved yet is solved at the next tick.
ADDED |= dict.fromkeys((".coefficients.slow", ".coefficients.features", ".coefficients.ticks"), 0)
# Seasons are looked for from then on.
ADDED |= {".frame.season.values.entries": 0.0, ".frame.season.base": 0.0, ".frame.season.place": -1}
ADDED |= dict.fromkeys((".frame.season.periods", ".frame.season.proposed"), 0)
ADDED |= {f".seasonal.{name}": 0 for name in ("pending", "coefficients", "forecasts", "score", "slow_score")}
ADDED |= {f".seasonal.equations.{name}": 0 for name in RidgeState._fields}
ADDED |= {f".seasonal.smoothing.{name}": 0 for name in Smoothing._fields}
ADDED |= {".seasonal.smoothing.indices.entries": 0, ".seasonal.smoothing.unit": 1}
ADDED |= {".seasonal.worth": 0, ".seasonal.response": 0}
ADDED |= {f".solution.{name}": 0 for name in Solution._fields}
# Horizons beyond the next tick have seen nothing come due.
ADDED |= {f".horizon.{name}": 0 for name in ("past", "count", "log_score")}
ADDED |= {f".horizon.{name}": np.nan for name in ("quantile", "mean", "scale", "half")}
ADDED |= {".horizon.place": -1, ".horizon.made": NEVER, ".horizon.rows": NEVER, ".horizon.error": 1.0}
ADDED |= {".horizon.correlation": 0.5**0.5, ".horizon.weight": lambda shape: 1.0 / shape[-1]}
ADDED |= dict.fromkeys((".coefficients.recursive", ".coefficients.direct", ".drift", ".diffusion"), 0)
ADDED |= {f".ladder.{name}": 0 for name in ("forecasts", "score", "count", "rows")} | {".ladder.variance": 1.0}
ADDED |= {f".ladder.direct.{name}": 0 for name in RidgeState._fields}
ADDED |= dict.fromkeys((".direct.rows", ".direct.moment", ".direct.weight"), 0)
# Tables that got a column, how many stand after it, and what a new state holds in it beside the other columns.
WIDER: dict[str, tuple[int, Callable[[np.ndarray], Any]]] = {
    ".ladder.forecasts": (len(RATES), lambda table: 0.0),
    ".ladder.score": (len(RATES), lambda table: table.min(axis=-1)),
}

_migrations: dict[str, Migration] = {}


class Assets(NamedTuple):
    """The series of a fleet's snapshot.

    Attributes:
        labels: of the series, whole numbers or text, each once, in the order of the leading axis of the states.
        columns: what else is kept of each series, by name: arrays whose leading axis is that of the series.
    """

    labels: tuple[str | int, ...]
    columns: dict[str, np.ndarray]


class Progress(NamedTuple):
    """How far the series had come when a state was taken.

    Attributes:
        ticks: ticks of the source that the state has seen, rejected ones included.
        source: the source, in words.
        last_timestamp_ns: timestamp of the last of them [ns since 1970 UTC].
        extra: what else the writer wants back: text, numbers, booleans.
    """

    ticks: int
    source: str
    last_timestamp_ns: int
    extra: dict[str, str | int | float | bool]


def snapshot_of(
    state: PredictorState,
    config: PredictorConfig,
    *,
    progress: Progress | None = None,
    telemetry: Mapping[str, Any] | None = None,
    timestamp_ns: int | None = None,
    assets: Assets | None = None,
) -> Payload:
    """The payload of a snapshot.

    Args:
        state: S_t, of one series or stacked, of device arrays or NumPy's; it is fetched in one transfer, so this may
            run in another thread than the one that computes, as long as nobody donates the arrays.  Of one series
            `uspnb.model.packing.host_state` gives it for the least time.
        config: the settings under which the state came about.
        progress: what surrounds the state.
        telemetry: of the last tick, by the names of `Telemetry`; `kurtosis`, `dgm_entropy`, `adaptive_threshold`,
            `alarm` and `mode_collapse_warning` are taken over.  Without it those numbers are NaN and those flags None.
        timestamp_ns: when the snapshot is taken [ns since 1970 UTC]; now where left out.
        assets: the series that stacked states belong to, which makes it a fleet's snapshot; telemetry is then a
            column of theirs.

    Returns:
        The blocks, ready for `encode`.

    Raises:
        DomainError: labels or columns that are not one for each of the stacked states.
    """
    blocks = state_blocks(state)
    outer = blocks["global"]
    numbers = {} if telemetry is None else telemetry
    named = {} if assets is None else {"assets": _assets_block(assets, outer[".ticks"].shape)}
    return named | {
        "schema_version": config.schema_version,
        "timestamp": time.time_ns() if timestamp_ns is None else int(timestamp_ns),
        "config": {name: _plain(getattr(config, name)) for name in _written_fields(config)},
        "global": outer,
        "telemetry": {name: float(numbers.get(name, math.nan)) for name in TELEMETRY_NUMBERS},
        "flags": {
            "degraded_inference": bool(np.any(outer[".modes.degraded"])),
            "emergency": bool(np.any(outer[".roughness.emergency"])),
            "regime_change": bool(numbers["alarm"]) if "alarm" in numbers else None,
            "mode_collapse": bool(numbers["mode_collapse_warning"]) if "mode_collapse_warning" in numbers else None,
        },
        "kernels": blocks["kernels"],
        "progress": None if progress is None else progress._asdict(),
    }


def state_blocks(state: PredictorState) -> Payload:
    """The leaves of a state, or of stacked ones, as a snapshot holds them: the blocks "global" and "kernels"."""
    leaves, structure = jax.tree.flatten(state)
    if not all(type(leaf) is np.ndarray for leaf in leaves):
        leaves = jax.device_get(leaves)
    kernels, places = _places_of(structure)
    blocks: dict[str, dict[str, np.ndarray]] = {key: {} for key in ("", *kernels)}
    for (key, name), leaf in zip(places, leaves, strict=True):
        blocks[key][name] = np.asarray(leaf)
    return {"global": blocks.pop(""), "kernels": blocks}


@functools.lru_cache(maxsize=64)
def _places_of(structure: Any) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Keys of the kernels; of each leaf of a state that of its kernel, "" of none, and its path there.

    At every snapshot, of few structures.
    """
    state: PredictorState = jax.tree.unflatten(structure, range(structure.num_leaves))
    places = [("", "")] * structure.num_leaves
    parts = [("", state._replace(kernels=KernelStates()))]
    parts += [(snapshot_key(name), kernel) for name, kernel in state.kernels.items()]
    for key, part in parts:
        for path, place in jax.tree_util.tree_leaves_with_path(part):
            places[place] = key, jax.tree_util.keystr(path)
    return tuple(key for key, _ in parts[1:]), places


def state_from(
    payload: Payload, like: PredictorState, *, only: str | None = None, current: PredictorState | None = None
) -> PredictorState:
    """The state of a snapshot, once every leaf's name, shape and dtype has been found to be that of `like`.

    Args:
        payload: of `read_snapshot` or `decode`; an older schema version is migrated first.
        like: a state of the configuration in force, of arrays or of `jax.ShapeDtypeStruct`s.
        only: the name of a kernel, or its letter, takes its block and leaves everything else as it is in `current`.
        current: the state that a partial restore changes.

    Returns:
        A state of device arrays, placed where the leaves of `like` are committed to.

    Raises:
        DomainError: unknown schema version; a leaf is missing, unknown, or of another shape or dtype.
    """
    payload = migrated(payload)
    if only is not None:
        name = next((name for name in like.kernels if only in (name, snapshot_key(name))), None)
        if name is None or current is None:
            raise DomainError(
                f"only = {only!r} needs a kernel's name or letter ({', '.join(like.kernels)}), "
                "and the current state to put it into"
            )
        return current._replace(kernels=current.kernels.replace(**{name: _kernel(payload, name, like)}))
    outer = _restored(_block(payload, "global"), like._replace(kernels=KernelStates()), "the global block")
    return outer._replace(kernels=KernelStates({name: _kernel(payload, name, like) for name in like.kernels}))


def fleet_states_from(payload: Payload, like: PredictorState, labels: Sequence[str | int]) -> PredictorState:
    """The states of some series of a fleet's snapshot, stacked in the order in which they are named.

    Args:
        payload: of `read_snapshot` or `decode`.
        like: a state of one series under the configuration in force, without a batch axis.
        labels: the series, all or some of the fleet's, in any order.

    Returns:
        A state of NumPy arrays along a leading axis, bit for bit what was saved; a copy of its own.

    Raises:
        DomainError: the snapshot is none of a fleet or does not have these series; see `state_from` for the rest.
    """
    payload = migrated(payload)
    block = assets_from(payload)
    if block is None:
        raise DomainError("this is the snapshot of one series, not of a fleet; load it into a predictor or a session")
    places = {label: place for place, label in enumerate(block.labels)}
    missing = [label for label in labels if label not in places]
    if missing:
        raise DomainError(
            f"{len(missing)} series are not in the snapshot ({', '.join(map(repr, missing[:3]))}); it has "
            f"{len(places)}, {', '.join(map(repr, block.labels[:3]))} ..."
        )
    rows = np.array([places[label] for label in labels], np.int64)
    stacked = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((len(places), *leaf.shape), leaf.dtype), like)
    outer = _checked(_block(payload, "global"), stacked._replace(kernels=KernelStates()), "the global block")
    kernels = {
        name: _checked(_block(payload, "kernels", snapshot_key(name)), of, f"kernel {name}")
        for name, of in stacked.kernels.items()
    }
    states = outer._replace(kernels=KernelStates(kernels))
    return jax.tree.map(lambda leaf: leaf[rows].astype(leaf.dtype.newbyteorder("="), copy=False), states)


def states_from(
    payload: Payload, like: PredictorState, assets: tuple[str, ...] | None
) -> tuple[PredictorState, dict[str, np.ndarray]]:
    """The state of a payload, of a fleet's that of the named assets in their order, with what is kept of each.

    Args:
        payload: of a snapshot.
        like: a state of the same shapes, stacked for a fleet.
        assets: names, None for one series.

    Raises:
        DomainError: it is of another kind, layout or schema version, or has not all of these assets.
    """
    block = assets_from(payload)
    if assets is None:
        if block is not None:
            raise DomainError(
                f"this is the snapshot of a fleet of {len(block.labels)} assets, not of one series; a fleet loads it"
            )
        return state_from(payload, like), {}
    states = fleet_states_from(payload, jax.tree.map(lambda leaf: leaf[0], like), assets)
    if block is None:  # which the line before has refused
        return states, {}
    places = {name: place for place, name in enumerate(block.labels)}
    rows = np.array([places[name] for name in assets])
    return states, {name: column[rows] for name, column in block.columns.items()}


def assets_from(payload: Payload) -> Assets | None:
    """The series of a fleet's snapshot, None in one of a single series.

    Raises:
        DomainError: unknown schema version, or the block is not one that `snapshot_of` writes.
    """
    payload = migrated(payload)
    block = payload.get("assets")
    if block is None:
        return None
    labels, columns = (block.get("labels"), block.get("columns")) if isinstance(block, dict) else (None, None)
    if not isinstance(labels, list) or not isinstance(columns, dict):
        raise DomainError("the snapshot's assets block is not a list of labels and a map of columns")
    assets = Assets(tuple(labels), columns)
    counted = _block(payload, "global").get(".ticks")
    _assets_block(assets, counted.shape if isinstance(counted, np.ndarray) else ())
    return assets


def kind_of(payload: Payload) -> str:
    """The kind of file that a snapshot's payload is written to: "fleet" where it names assets, else "snapshot"."""
    return "fleet" if "assets" in payload else "snapshot"


def config_from(payload: Payload) -> PredictorConfig:
    """The configuration that a snapshot was taken under; a field that it does not name has its default.

    Raises:
        DomainError: unknown schema version or a key that is no field.
        ConfigError: a value outside its range.
    """
    block = _block(migrated(payload), "config")
    unknown = sorted(block.keys() - DEFAULTS.keys())
    if unknown:
        raise DomainError(f"the snapshot's configuration has unknown keys: {', '.join(unknown[:5])}")
    if any(value is None for value in block.values()):  # which a configuration takes for a placeholder of JAX
        raise DomainError("the snapshot's configuration has a field without a value")
    try:
        return PredictorConfig(**block)
    except ConfigError as problem:
        raise ConfigError(f"the snapshot's configuration cannot be used: {problem}") from problem


def progress_from(payload: Payload) -> Progress | None:
    """What surrounds the state of a snapshot, None where its writer said nothing.

    Raises:
        DomainError: unknown schema version, or the block is not one that `snapshot_of` writes.
    """
    block = migrated(payload).get("progress")
    if block is None:
        return None
    kinds = {"ticks": int, "source": str, "last_timestamp_ns": int, "extra": dict}
    if not isinstance(block, dict) or {name: type(value) for name, value in block.items()} != kinds:
        raise DomainError(f"the snapshot's progress block is not {', '.join(kinds)} of their types")
    if block["ticks"] < 0 or not all(isinstance(value, (str, int, float)) for value in block["extra"].values()):
        raise DomainError("the snapshot's progress block has a negative number of ticks, or an extra that is no scalar")
    return Progress(**block)


def ticks_of(payload: Payload) -> int:
    """Ticks that a snapshot's series had seen: of its progress, else counted by the state itself."""
    progress = progress_from(payload)
    if progress is not None:
        return progress.ticks
    counted = _block(payload, "global").get(".ticks")
    return int(np.max(counted)) if isinstance(counted, np.ndarray) and counted.size else 0


def register_migration(from_version: str, function: Migration) -> None:
    """Have snapshots of an older schema version turned into a newer one before they are read.

    Args:
        from_version: the `schema_version` that it takes.
        function: payload -> payload of a later version; it must change `schema_version`.
    """
    _migrations[from_version] = function


def migrated(payload: Payload) -> Payload:
    """The payload in the present schema version, by the registered migrations one after the other.

    Raises:
        DomainError: no migration leads to the present version.
    """
    passed: list[str] = []
    while (version := payload.get("schema_version")) != SCHEMA_VERSION:
        if not isinstance(version, str) or version not in _migrations or version in passed:
            way = " -> ".join([*passed, repr(version)])
            raise DomainError(
                f"schema version {way} cannot be read; this program reads {SCHEMA_VERSION!r}"
                + "".join(f" and migrates {older!r}" for older in sorted(_migrations))
            )
        passed.append(version)
        payload = _migrations[version](payload)
    return payload


def _assets_block(assets: Assets, batch: tuple[int, ...]) -> dict[str, Any]:
    labels = assets.labels
    if len(batch) != 1 or len(labels) != batch[0]:
        raise DomainError(f"{len(labels)} assets do not name states with a batch of {list(batch)}; give one label each")
    if not all(type(label) in (str, int) for label in labels) or len(set(labels)) < len(labels):
        raise DomainError("the labels of the assets are not whole numbers or text, each once")
    for name, column in assets.columns.items():
        if not isinstance(column, np.ndarray) or column.shape[:1] != batch:
            raise DomainError(f"the column {name!r} of the assets is no array with a leading axis of {batch[0]}")
    return {"labels": list(labels), "columns": dict(assets.columns)}


def _plain(value: Any) -> Any:
    # A traced field may hold a batch of candidate settings, which is an array.
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, (bool, int, float, str)) else np.asarray(value)


def _kernel(payload: Payload, name: str, like: PredictorState) -> PyTree:
    return _restored(_block(payload, "kernels", snapshot_key(name)), like.kernels[name], f"kernel {name}")


def _block(payload: Payload, *names: str) -> dict[str, Any]:
    block: Any = payload
    for name in names:
        block = block.get(name)
        if not isinstance(block, dict):
            raise DomainError(f"the snapshot has no block {' / '.join(names)}")
    return block


def _restored(block: dict[str, Any], like: PyTree, where: str) -> Any:
    """The tree of `like` with the block's arrays, on its devices, after every leaf has been checked."""
    # Copies in native byte order: what is decoded is read-only and shares the memory of the whole file.
    leaves, structure = jax.tree.flatten(_checked(block, like, where))
    arrays = [np.array(leaf, dtype=leaf.dtype.newbyteorder("=")) for leaf in leaves]
    places = [leaf.sharding if getattr(leaf, "committed", False) else None for leaf in jax.tree.leaves(like)]
    return jax.tree_util.tree_unflatten(structure, jax.device_put(arrays, places))


def _checked(block: dict[str, Any], like: PyTree, where: str) -> Any:
    """The tree of `like` with the block's arrays as they are, once names, shapes and dtypes have been found equal."""
    expected, structure = jax.tree_util.tree_flatten_with_path(like)
    named = {jax.tree_util.keystr(path): leaf for path, leaf in expected}
    later = ADDED.keys() & named.keys() - block.keys()
    for name in later:
        value, shape = ADDED[name], named[name].shape
        block[name] = np.full(shape, value(shape) if callable(value) else value, named[name].dtype)
    for name in WIDER.keys() & named.keys() & block.keys():
        (after, value), table, shape = WIDER[name], block[name], named[name].shape
        if isinstance(table, np.ndarray) and table.shape == (*shape[:-1], shape[-1] - 1):
            block[name] = np.insert(table, shape[-1] - 1 - after, value(table), axis=-1)
    if block.keys() != named.keys():
        missing, unknown = sorted(named.keys() - block.keys()), sorted(block.keys() - named.keys())
        raise DomainError(
            f"{where} of the snapshot is another state's: {len(missing)} leaves are missing ({', '.join(missing[:3])}),"
            f" {len(unknown)} unknown ({', '.join(unknown[:3])})"
        )
    for name, leaf in named.items():
        value = block[name]
        if not isinstance(value, np.ndarray) or value.shape != leaf.shape or value.dtype != np.dtype(leaf.dtype):
            held = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else "no array"
            raise DomainError(
                f"{where} of the snapshot has {held} at {name}; this configuration needs "
                f"{np.dtype(leaf.dtype)}{list(leaf.shape)}: use the configuration it was taken under, `config_from`"
            )
    return jax.tree_util.tree_unflatten(structure, [block[name] for name in named])

"""A state goes to the disk and comes back as if nothing had been."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from uspnb import FunctionalPredictor, PredictorConfig
from uspnb.errors import ConfigError, DomainError
from uspnb.model.kernels.registry import KERNEL_NAMES
from uspnb.model.packing import host_state
from uspnb.model.programs import packed_state, trace_count
from uspnb.model.state import PredictorState
from uspnb.persistence.snapshots import (
    Assets,
    Progress,
    SnapshotFolder,
    assets_from,
    config_from,
    decode,
    encode,
    fleet_states_from,
    inspect_file,
    progress_from,
    read_snapshot,
    register_migration,
    snapshot_of,
    state_from,
    write_snapshot,
)
from uspnb.persistence.snapshots import payload as payload_module
from uspnb.persistence.snapshots.payload import WIDER
from uspnb.runtime.digest import sha256_pytree

LEARNED = 384
NEXT = 10_000

Advance = Callable[[PredictorState, int, int], tuple[PredictorState, np.ndarray]]


def through_bytes(payload: dict, compression: str = "none") -> dict:
    return decode(encode(payload, compression))


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_the_next_ten_thousand_ticks_are_the_same_bit_for_bit(
    learned: PredictorState, config: PredictorConfig, advance: Advance, tmp_path: Path, compression: str
) -> None:
    path = tmp_path / "state.msgpack"
    write_snapshot(path, snapshot_of(learned, config), compression)
    restored = state_from(read_snapshot(path), FunctionalPredictor(config).init_state())
    assert sha256_pytree(restored) == sha256_pytree(learned)
    traces = trace_count("series")
    last = LEARNED + (NEXT if compression == "none" else 128)
    straight, rows = advance(learned, LEARNED, last)
    resumed, rows_after = advance(restored, LEARNED, last)
    assert trace_count("series") == traces  # weak types or other placements would compile the program anew
    assert len(rows) == last - LEARNED
    assert rows.tobytes() == rows_after.tobytes()
    assert sha256_pytree(straight) == sha256_pytree(resumed)


def test_a_state_in_rows_is_written_to_the_same_bytes(learned: PredictorState, config: PredictorConfig) -> None:
    state = host_state(packed_state(learned))
    held = snapshot_of(state, config, timestamp_ns=1)
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(state))
    assert jax.tree.structure(state) == jax.tree.structure(learned)
    assert encode(held) == encode(snapshot_of(learned, config, timestamp_ns=1))


def test_the_blocks_are_those_of_the_seeds(payload: dict, learned: PredictorState, config: PredictorConfig) -> None:
    assert {"schema_version", "timestamp", "config", "global", "telemetry", "flags", "kernels"} <= payload.keys()
    assert payload["schema_version"] == config.schema_version
    assert payload["telemetry"].keys() == {"kurtosis", "dgm_entropy", "adaptive_threshold"}
    assert payload["flags"].keys() == {"degraded_inference", "emergency", "regime_change", "mode_collapse"}
    assert list(payload["kernels"]) == ["A", "B", "C", "D"]
    leaves = len(payload["global"]) + sum(len(block) for block in payload["kernels"].values())
    assert leaves == len(jax.tree.leaves(learned))  # none is left out, none stands twice


def test_the_telemetry_of_the_last_tick_is_taken_over(learned: PredictorState, config: PredictorConfig) -> None:
    last = {"kurtosis": np.float64(3.5), "alarm": np.bool_(True), "mode_collapse_warning": False, "observation": 7.0}
    held = through_bytes(snapshot_of(learned, config, telemetry=last))
    assert held["telemetry"]["kurtosis"] == 3.5
    assert np.isnan(held["telemetry"]["dgm_entropy"])  # nobody said
    assert held["flags"]["regime_change"] is True
    assert held["flags"]["mode_collapse"] is False
    unsaid = through_bytes(snapshot_of(learned, config))
    assert unsaid["flags"]["regime_change"] is None
    assert "observation" not in str(held["telemetry"])  # no raw signal beside the state


def test_states_of_a_batch_round_trip(learned: PredictorState, cold: PredictorState, config: PredictorConfig) -> None:
    states = jax.tree.map(lambda a, b: np.stack([a, b, a]), learned, cold)  # NumPy's arrays will do as well
    abstract = jax.eval_shape(lambda: states)  # the shapes alone are enough to restore
    back = state_from(through_bytes(snapshot_of(states, config)), abstract)
    assert sha256_pytree(back) == sha256_pytree(states)


@pytest.fixture
def fleet(learned: PredictorState, cold: PredictorState) -> PredictorState:
    """Three series: one that has learned, one that has not, one that has a strange weight."""
    odd = learned._replace(weight=np.array([-0.0, 1.0, 0.0, 5e-324]))
    return jax.tree.map(lambda *leaves: np.stack(leaves), learned, cold, odd)


def of(states: PredictorState, *rows: int) -> PredictorState:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[list(rows)], states)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_fleet_is_one_file_and_comes_back_bit_for_bit(
    fleet: PredictorState, cold: PredictorState, config: PredictorConfig, tmp_path: Path, compression: str
) -> None:
    assets = Assets(("b", 7, "a"), {"last": np.array([1.5, np.nan, -0.0]), "stamp_ns": np.arange(3)})
    progress = Progress(LEARNED, "a fleet", 5, {"speed": 2.5})
    folder = SnapshotFolder(tmp_path, compression=compression)
    written = folder.save(snapshot_of(fleet, config, progress=progress, assets=assets))
    newest = folder.newest_valid()
    assert newest is not None and newest.path == written.path and not newest.skipped
    back = assets_from(newest.payload)
    assert back is not None and back.labels == assets.labels
    assert {name: column.tobytes() for name, column in back.columns.items()} == {
        name: column.tobytes() for name, column in assets.columns.items()
    }
    assert progress_from(newest.payload) == progress
    assert config_from(newest.payload) == config
    whole = fleet_states_from(newest.payload, cold, assets.labels)
    assert sha256_pytree(whole) == sha256_pytree(fleet)
    assert sha256_pytree(fleet_states_from(newest.payload, cold, ["a", "b"])) == sha256_pytree(of(fleet, 2, 0))
    assert all(leaf.flags.writeable and leaf.flags.owndata for leaf in jax.tree.leaves(whole))
    inspected = inspect_file(written.path)
    assert inspected.valid and inspected.kind == "fleet"


def test_a_series_of_a_fleet_goes_on_alone(
    fleet: PredictorState, learned: PredictorState, config: PredictorConfig, advance: Advance
) -> None:
    held = decode(encode(snapshot_of(fleet, config, assets=Assets((1, 2, 3), {})), kind="fleet"), kind="fleet")
    alone = jax.tree.map(lambda leaf: leaf[0], fleet_states_from(held, learned, [1]))
    straight, rows = advance(learned, LEARNED, LEARNED + 128)
    resumed, rows_after = advance(jax.device_put(alone), LEARNED, LEARNED + 128)
    assert rows.tobytes() == rows_after.tobytes()
    assert sha256_pytree(straight) == sha256_pytree(resumed)


def test_a_fleet_that_does_not_fit_is_refused_by_name(
    fleet: PredictorState, cold: PredictorState, config: PredictorConfig, payload: dict
) -> None:
    held = snapshot_of(fleet, config, assets=Assets(("a", "b", "c"), {}))
    with pytest.raises(DomainError, match=r"2 series are not in the snapshot \('d', 3\)"):
        fleet_states_from(held, cold, ["a", "d", 3])
    with pytest.raises(DomainError, match="not of a fleet"):
        fleet_states_from(payload, cold, ["a"])
    other = FunctionalPredictor(dataclasses.replace(config, log_sig_depth=2)).init_state()
    with pytest.raises(DomainError, match="kernel log_signature"):
        fleet_states_from(held, other, ["a"])
    with pytest.raises(DomainError, match="needs"):
        state_from(held, cold)  # one series cannot go on from a fleet's file
    for labels, columns, reason in [
        (("a", "b"), {}, "2 assets do not name"),
        (("a", "b", "b"), {}, "each once"),
        (("a", "b", 1.5), {}, "whole numbers or text"),
        (("a", "b", "c"), {"last": np.zeros(2)}, "'last'"),
    ]:
        with pytest.raises(DomainError, match=reason):
            snapshot_of(fleet, config, assets=Assets(labels, columns))  # type: ignore[arg-type]
        with pytest.raises(DomainError, match=reason):
            assets_from(held | {"assets": {"labels": list(labels), "columns": columns}})
    with pytest.raises(DomainError, match="batch of"):
        snapshot_of(cold, config, assets=Assets(("a",), {}))
    with pytest.raises(DomainError, match="assets block"):
        assets_from(held | {"assets": ["a", "b", "c"]})
    assert assets_from(payload) is None


def test_values_that_compare_equal_or_not_at_all_survive(learned: PredictorState, config: PredictorConfig) -> None:
    odd = np.array([-0.0, np.nan, np.inf, 5e-324], np.float64)
    odd.view(np.uint64)[1] = 0x7FF8_0000_0000_BEEF  # a NaN with a message of its own
    state = learned._replace(weight=jax.numpy.asarray(odd))
    back = state_from(through_bytes(snapshot_of(state, config)), learned)
    assert np.asarray(back.weight).tobytes() == odd.tobytes()


def test_a_restored_state_does_not_hang_on_the_files_memory(payload: dict, learned: PredictorState) -> None:
    data = bytearray(encode(payload))
    restored = state_from(decode(bytes(data)), learned)
    for leaf in jax.tree.leaves(restored):
        assert isinstance(leaf, jax.Array)
        assert not leaf.weak_type
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(restored)]
    assert len(set(pointers)) == len(pointers)  # each its own, so that a caller may donate them


@pytest.mark.parametrize("letter", ["A", "B", "C", "D"])
def test_one_kernel_is_restored_and_the_rest_left(
    payload: dict, learned: PredictorState, cold: PredictorState, letter: str
) -> None:
    mixed = state_from(through_bytes(payload), cold, only=letter, current=cold)
    for k, name in zip(KERNEL_NAMES, "ABCD", strict=True):
        expected = learned if name == letter else cold
        assert sha256_pytree(mixed.kernels[k]) == sha256_pytree(expected.kernels[k])
    assert sha256_pytree(mixed._replace(kernels=())) == sha256_pytree(cold._replace(kernels=()))


def test_one_kernel_is_restored_where_another_has_changed_its_shape(payload: dict, config: PredictorConfig) -> None:
    # The signature kernel of depth 2 has other shapes; the snapshot's other kernels still fit.
    other = FunctionalPredictor(dataclasses.replace(config, log_sig_depth=2)).init_state()
    held = through_bytes(payload)
    mixed = state_from(held, other, only="A", current=other)
    assert sha256_pytree(mixed.kernels["hilbert"]) != sha256_pytree(other.kernels["hilbert"])
    with pytest.raises(DomainError, match=r"kernel log_signature .*float64\[19.*needs float64\["):
        state_from(held, other, only="D", current=other)
    with pytest.raises(DomainError, match="config_from"):
        state_from(held, other)


def test_a_partial_restore_needs_a_letter_and_a_state(payload: dict, cold: PredictorState) -> None:
    with pytest.raises(DomainError, match="letter"):
        state_from(payload, cold, only="E", current=cold)
    with pytest.raises(DomainError, match="current state"):
        state_from(payload, cold, only="A")


def changed(payload: dict, block: str, name: str, value: Any) -> dict:
    return payload | {block: payload[block] | {name: value}}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (".frame.window", np.zeros(64), r"float64\[64\] at .frame.window"),
        (".frame.window", np.zeros(128, np.float32), r"float32\[128\]"),
        (".ticks", np.array(3.0), r"float64\[\] at .ticks"),
        (".ticks", 3, "no array at .ticks"),
        (".ticks", {"dtype": "int64"}, "no array"),
        (".unknown", np.zeros(1), r"1 unknown \(.unknown\)"),
    ],
)
def test_a_leaf_that_does_not_fit_is_named(
    payload: dict, cold: PredictorState, name: str, value: Any, reason: str
) -> None:
    with pytest.raises(DomainError, match=reason):
        state_from(changed(payload, "global", name, value), cold)


def test_a_missing_leaf_or_block_is_named(payload: dict, cold: PredictorState) -> None:
    less = {name: leaf for name, leaf in payload["global"].items() if name != ".weight"}
    with pytest.raises(DomainError, match=r"1 leaves are missing \(.weight\)"):
        state_from(payload | {"global": less}, cold)
    with pytest.raises(DomainError, match="kernels / C"):
        state_from(changed(payload, "kernels", "C", [1]), cold)
    with pytest.raises(DomainError, match="no block global"):
        state_from(payload | {"global": 5}, cold)


def test_a_table_without_its_newest_column_gets_it(
    payload: dict, learned: PredictorState, cold: PredictorState
) -> None:
    """As of a snapshot from before the seasonal filter was fed back; its other experts keep their records."""
    block = dict(payload["kernels"]["A"])
    for name, (after, _) in WIDER.items():
        block[name] = np.delete(block[name], -1 - after, axis=-1)
    old = payload | {"kernels": payload["kernels"] | {"A": block}}
    ladder = state_from(old, cold).kernels["hilbert"].ladder
    for name, (after, value) in WIDER.items():
        new, was = (
            np.asarray(getattr(state, name.split(".")[-1])) for state in (ladder, learned.kernels["hilbert"].ladder)
        )
        others = np.delete(was, -1 - after, axis=-1)
        np.testing.assert_array_equal(np.delete(new, -1 - after, axis=-1), others)
        np.testing.assert_array_equal(new[:, -1 - after], np.broadcast_to(value(others), len(new)))


def test_the_configuration_comes_back(learned: PredictorState) -> None:
    config = PredictorConfig(cusum_k=0.25, snapshot_path="elsewhere", sinkhorn_cost_type="huber", seed=3)
    assert config_from(through_bytes(snapshot_of(learned, config))) == config


def test_a_configuration_that_cannot_be_is_refused(payload: dict) -> None:
    with pytest.raises(DomainError, match="no_such_field"):
        config_from(changed(payload, "config", "no_such_field", 1))
    with pytest.raises(ConfigError, match="cusum_k"):
        config_from(changed(payload, "config", "cusum_k", 1e9))
    with pytest.raises(ConfigError, match="cusum_k"):
        config_from(changed(payload, "config", "cusum_k", "large"))
    with pytest.raises(DomainError, match="without a value"):
        config_from(changed(payload, "config", "cusum_k", None))
    fewer = {name: value for name, value in payload["config"].items() if name != "cusum_k"}
    assert config_from(payload | {"config": fewer}).cusum_k == PredictorConfig().cusum_k


def test_progress_comes_back(payload: dict, learned: PredictorState, config: PredictorConfig) -> None:
    progress = progress_from(through_bytes(payload))
    assert progress is not None
    assert progress.ticks == LEARNED
    assert progress.extra == {"name": "a", "speed": 2.5, "live": True}
    assert progress_from(through_bytes(snapshot_of(learned, config))) is None


@pytest.mark.parametrize(
    "block",
    [
        [],
        {"ticks": 1},
        {"ticks": True, "source": "a", "last_timestamp_ns": 1, "extra": {}},
        {"ticks": -1, "source": "a", "last_timestamp_ns": 1, "extra": {}},
        {"ticks": 1, "source": "a", "last_timestamp_ns": 1, "extra": {"a": [1]}},
        {"ticks": 1, "source": "a", "last_timestamp_ns": 1, "extra": {}, "more": 1},
    ],
)
def test_progress_that_nobody_wrote_is_refused(payload: dict, block: Any) -> None:
    with pytest.raises(DomainError, match="progress"):
        progress_from(payload | {"progress": block})


def test_older_schema_versions_are_migrated_one_after_the_other(
    payload: dict, cold: PredictorState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_module, "_migrations", {})
    leaves = dict(payload["global"])
    leaves[".weights"] = leaves.pop(".weight")  # an imagined past, in which a leaf and a block had other names
    old = {("state" if name == "global" else name): value for name, value in payload.items()}
    old |= {"schema_version": "0.8", "state": leaves}
    with pytest.raises(DomainError, match=r"'0.8' cannot be read; this program reads '1.0'"):
        state_from(old, cold)

    def to_0_9(held: dict) -> dict:
        rest = {name: value for name, value in held.items() if name != "state"}
        return rest | {"schema_version": "0.9", "global": held["state"]}

    def to_1_0(held: dict) -> dict:
        renamed = {(".weight" if name == ".weights" else name): leaf for name, leaf in held["global"].items()}
        return held | {"schema_version": "1.0", "global": renamed}

    register_migration("0.8", to_0_9)
    with pytest.raises(DomainError, match=r"0.8 -> '0.9' cannot be read"):
        state_from(old, cold)
    register_migration("0.9", to_1_0)
    assert sha256_pytree(state_from(old, cold)) == sha256_pytree(state_from(payload, cold))
    assert progress_from(old) == progress_from(payload)
    assert config_from(old) == config_from(payload)


def test_migrations_in_a_circle_end(payload: dict, cold: PredictorState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "_migrations", {})
    register_migration("a", lambda held: held | {"schema_version": "b"})
    register_migration("b", lambda held: held | {"schema_version": "a"})
    with pytest.raises(DomainError, match="a -> b -> 'a'"):
        state_from(payload | {"schema_version": "a"}, cold)


@pytest.mark.parametrize("version", ["2.0", 1, None, [], {}])
def test_a_schema_version_of_the_future_is_refused(payload: dict, cold: PredictorState, version: Any) -> None:
    with pytest.raises(DomainError, match="schema version"):
        state_from(payload | {"schema_version": version}, cold)

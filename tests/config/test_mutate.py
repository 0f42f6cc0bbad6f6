"""Changing a configuration file: what is changed and nothing else, what is refused and why, taking it back."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uspnb
from uspnb.config.load import load_config
from uspnb.config.mutation import Mutation, history, mutate_config, rollback, verify_audit
from uspnb.config.schema import PredictorConfig
from uspnb.errors import ConfigMutationError, DomainError
from uspnb.runtime.digest import sha256_file

NOW = 1_771_664_400_000_000_000  # 2026-02-21 09:00 UTC
HOUR = 3600 * 10**9
posix_only = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


def change(path: Path, changes: dict[str, Any], **rest: Any) -> Mutation:
    return mutate_config(path, changes, **{"trigger": "test", "now_ns": NOW, **rest})


def outcomes(path: Path) -> list[str]:
    return [record.outcome for record in history(path)]


def test_a_change_is_in_the_file_the_backups_and_the_log(shipped: Path) -> None:
    path = shipped
    old = path.read_bytes()
    done = uspnb.mutate_config(path, {"cusum_k": 0.6, "seed": np.int64(10_200_000)}, trigger="hand", now_ns=NOW)
    assert done.changed and done.outcome == "accepted" and done.path == path.resolve()
    assert load_config(path) == PredictorConfig(cusum_k=0.6, seed=10_200_000)
    assert done.changes == {"cusum_k": (0.5, 0.6), "seed": (20260221, 10_200_000)}
    assert done.backup is not None
    assert done.backup == path.resolve().with_name("config.toml.bak.20260221T090000.000000000Z")
    assert done.backup.read_bytes() == path.with_name("config.toml.bak").read_bytes() == old
    (record,) = history(path)
    assert dataclasses.replace(done.record, line=2) == record
    assert (record.outcome, record.trigger, record.time) == ("accepted", "hand", "2026-02-21T09:00:00.000000000Z")
    assert (record.before, record.after) == (done.old_hash, done.new_hash)
    assert (done.old_hash, done.new_hash) == (sha256_file(done.backup), sha256_file(path))
    assert record.backup == done.backup.name and record.override is False
    assert verify_audit(path.parent / "io" / "mutations.log").ok
    assert "accepted: cusum_k 0.5 -> 0.6, seed" in done.text() and "0.6" in done._repr_html_()


REFUSED = {
    "unknown": ({"cusum_kk": 0.6}, r"unknown configuration key 'cusum_kk' \(did you mean 'cusum_k'\?\)"),
    "io": ({"metrics_port": 1}, r"metrics_port stands in section \[io\], which is never changed"),
    "security": ({"telemetry_hash_interval_steps": 1}, r"telemetry_hash_interval_steps stands in section \[security\]"),
    "locked": ({"jax_platform": "cpu"}, "jax_platform is locked"),
    "locked and equal": ({"float_precision": 64}, "float_precision is locked"),
    "campaigns": ({"n_trials": 60}, r"n_trials stands in section \[meta_optimization\]"),
    "locked setting of campaigns": ({"checkpoint_path": "x"}, r"checkpoint_path stands in section \[meta"),
    "ranges of campaigns": ({"cusum_k_max": 0.9}, r"cusum_k_max stands in section \[meta_optimization\]"),
    "range": ({"cusum_k": 5.0}, r"cusum_k = 5.0 is outside its range \[0.05, 2\]"),
    "type": ({"cusum_k": "0.6"}, "cusum_k = '0.6' has type str, expected float"),
    "nothing": ({"cusum_k": None}, "cusum_k = None has type NoneType"),
    "not a number": ({"cusum_k": float("nan")}, "cusum_k = nan is outside"),
    "a batch": ({"cusum_k": np.array([0.5, 0.6])}, "cusum_k = .* has type ndarray, expected float"),
    "choice": ({"input_kind": "level"}, "'level' is not one of 'levels', 'increments'"),
    "too far": ({"cusum_k": 0.8}, "cusum_k from 0.5 to 0.8 is more than 0.25, 50% in one change; go in smaller steps"),
    "two levels": ({"log_sig_depth": 5}, "log_sig_depth from 3 to 5 is more than one step of 1"),
    "one of two": ({"entropy_window_bounds_min": 15, "cusum_k": 99.0}, "cusum_k = 99.0 is outside"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_is_named_leaves_a_line_and_nothing_else(
    path: Path, changes: dict[str, Any], message: str
) -> None:
    before = path.read_bytes()
    with pytest.raises(ConfigMutationError, match=message) as caught:
        change(path, changes)
    assert path.read_bytes() == before
    (record,) = history(path)
    assert record.outcome == "rejected" and record.reason == str(caught.value) and record.before == sha256_file(path)
    assert sorted(os.listdir(path.parent)) == [".config.toml.lock", "config.toml", "io"]


def test_settings_that_contradict_one_another_are_refused_together(path: Path) -> None:
    for changes, words in (
        ({"stiffness_low": 600.0, "stiffness_high": 550.0}, "stiffness_low = 600.0 must be below stiffness_high"),
        ({"wtmm_buffer_size": 64, "log_sig_window": 65}, "log_sig_window = 65 must not exceed wtmm_buffer_size = 64"),
        ({"hilbert_lags": 60, "wtmm_buffer_size": 64, "log_sig_window": 80}, "log_sig_window = 80"),
    ):
        with pytest.raises(ConfigMutationError, match=f"contradict one another: .*{words}"):
            change(path, changes, override_limit=True)
    assert outcomes(path) == ["rejected"] * 3
    assert change(path, {"stiffness_low": 600.0, "stiffness_high": 650.0}, override_limit=True).changed


def test_every_problem_is_named_at_once(path: Path) -> None:
    with pytest.raises(ConfigMutationError) as caught:
        change(path, {"cusum_k": 0.8, "metrics_port": 1, "seed": -1, "cusum_h": 6.0}, ticks_since_last=999)
    assert [word for word in ("cusum_k", "metrics_port", "seed", "999 ticks") if word in str(caught.value)] == [
        "cusum_k", "metrics_port", "seed", "999 ticks",
    ]  # fmt: skip
    (record,) = history(path)
    assert record.changes == {"cusum_k": (0.5, 0.8), "cusum_h": (5.0, 6.0)}


def test_the_limit_can_be_lifted_or_set_and_the_log_says_so(path: Path) -> None:
    assert change(path, {"cusum_k": 1.5, "log_sig_depth": 5}, override_limit=True).record.override
    with pytest.raises(ConfigMutationError, match=r"0\.15, 10%"):
        change(path, {"cusum_k": 1.7}, max_relative_change=0.1)
    assert change(path, {"cusum_k": 0.1}, max_relative_change=1.0).changed
    with pytest.raises(ConfigMutationError, match="outside its range"):
        change(path, {"cusum_k": 3.0}, override_limit=True)


def test_ten_changes_an_hour_by_the_log(path: Path) -> None:
    for number in range(10):
        change(path, {"cusum_k": 0.5 + 0.01 * (number + 1)}, now_ns=NOW + number)
        change(path, {"cusum_k": 0.5 + 0.01 * (number + 1)}, now_ns=NOW + number)  # nothing to do: not counted
    rollback(path, now_ns=NOW + 20)  # nor is this
    with pytest.raises(ConfigMutationError, match="10 changes in the last hour, at most 10 are allowed"):
        change(path, {"cusum_k": 0.7}, now_ns=NOW + 30, override_limit=True)
    with pytest.raises(ConfigMutationError, match="10 changes in the last hour"):
        change(path, {"cusum_k": 0.7}, now_ns=NOW + HOUR - 1)
    assert change(path, {"cusum_k": 0.7}, now_ns=NOW + HOUR).changed
    assert change(path, {"cusum_k": 0.71}, now_ns=NOW + HOUR, rate_limit_per_hour=11).changed
    # A clock that was set back does not open the door.
    with pytest.raises(ConfigMutationError, match="changes in the last hour"):
        change(path, {"cusum_k": 0.72}, now_ns=NOW - 10 * HOUR)


def test_a_thousand_ticks_between_two_changes(path: Path) -> None:
    with pytest.raises(ConfigMutationError, match="999 ticks since the last change, at least 1000 must lie"):
        change(path, {"cusum_k": 0.6}, ticks_since_last=999)
    assert change(path, {"cusum_k": 0.6}, ticks_since_last=1000).changed
    assert change(path, {"cusum_k": 0.65}).changed  # unknown: not judged
    assert change(path, {"cusum_k": 0.7}, ticks_since_last=5, min_stability_ticks=5).changed


def test_nothing_to_change_is_said_and_noted(path: Path) -> None:
    before = path.read_bytes()
    for changes in ({}, {"cusum_k": 0.5, "seed": 20260221}):
        done = change(path, changes, ticks_since_last=0)
        assert (done.changed, done.outcome, done.backup, done.changes) == (False, "unchanged", None, {})
        assert done.old_hash == done.new_hash == sha256_file(path)
        with pytest.raises(ConfigMutationError, match="nothing to take back"):
            done.undo()
    assert path.read_bytes() == before and outcomes(path) == ["unchanged", "unchanged"]
    assert sorted(os.listdir(path.parent)) == [".config.toml.lock", "config.toml", "io"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_relative_change": 0.0}, "max_relative_change = 0.0 must be a number above 0"),
        ({"max_relative_change": float("nan")}, "max_relative_change = nan"),
        ({"rate_limit_per_hour": 0}, "rate_limit_per_hour = 0 must be at least 1"),
        ({"min_stability_ticks": -1}, "must not be below 0"),
        ({"ticks_since_last": -1}, "must not be below 0"),
        ({"trigger": ""}, "trigger = '': expected one line"),
        ({"details": {"a": object()}}, "details.a is a object"),
        ({"now_ns": -5}, "now_ns = -5"),
    ],
)
def test_arguments_without_sense_are_refused(path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DomainError, match=message):
        change(path, {"cusum_k": 0.6}, **arguments)
    assert os.listdir(path.parent) == ["config.toml"]


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    for name, words in (("absent.toml", "no such configuration file"), ("folder", "is a folder, not a configuration")):
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(ConfigMutationError, match=words):
            change(tmp_path / name, {"cusum_k": 0.6})
    with pytest.raises(ConfigMutationError, match="no such configuration file"):
        change(tmp_path / "no" / "config.toml", {"cusum_k": 0.6})
    assert os.listdir(tmp_path) == ["folder"]  # a mistyped path makes nothing
    with pytest.raises(ConfigMutationError, match="there is no backup"):
        rollback(tmp_path / "absent.toml")
    with pytest.raises(ConfigMutationError, match="is a folder"):
        rollback(tmp_path / "folder")
    with pytest.raises(ConfigMutationError, match="no folder"):
        rollback(tmp_path / "no" / "config.toml")


@posix_only
def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "config.toml").symlink_to(tmp_path / "config.toml")
    with pytest.raises(ConfigMutationError, match="no such configuration file"):
        change(tmp_path / "config.toml", {"cusum_k": 0.6})


@posix_only
def test_a_pipe_and_a_file_marked_read_only(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    with pytest.raises(ConfigMutationError, match="is not a regular file"):
        change(path.with_name("pipe"), {"cusum_k": 0.6})
    change(path, {"cusum_k": 0.6})
    path.chmod(0o444)
    before = path.read_bytes()
    for call in (lambda: change(path, {"cusum_k": 0.7}), lambda: rollback(path)):
        with pytest.raises(ConfigMutationError, match=r"config.toml: is read-only; make it writable"):
            call()
    assert path.read_bytes() == before and outcomes(path) == ["accepted", "rejected", "rejected"]


@posix_only
def test_permissions_and_links_survive(path: Path, tmp_path: Path) -> None:
    path.chmod(0o640)
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.toml"
    link.symlink_to(path)
    done = change(link, {"cusum_k": 0.6})
    assert link.is_symlink() and load_config(path).cusum_k == 0.6
    assert done.backup is not None and done.backup.parent == path.parent.resolve()
    for file in (path, done.backup, path.with_name("config.toml.bak")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert history(path) == history(link) and len(history(link)) == 1

"""Taking a change back: which backup is meant, what is refused, what a rollback leaves behind."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from uspnb.config.load import load_config, parse_config
from uspnb.config.mutation import Mutation, history, mutate_config, rollback
from uspnb.config.mutation_place import MOST_BACKUPS, backups_of
from uspnb.errors import ConfigMutationError
from uspnb.runtime.digest import sha256_file

NOW = 1_771_664_400_000_000_000  # 2026-02-21 09:00 UTC
HOUR = 3600 * 10**9


def change(path: Path, changes: dict[str, Any], **rest: Any) -> Mutation:
    return mutate_config(path, changes, **{"trigger": "test", "now_ns": NOW, **rest})


def outcomes(path: Path) -> list[str]:
    return [record.outcome for record in history(path)]


def test_a_file_that_is_itself_refused_is_not_changed_but_can_be_rolled_back(path: Path) -> None:
    good = path.read_bytes()
    change(path, {"cusum_k": 0.6})
    for broken in (b"[core]\nsead = 1\n", b"[core\n", b"\xff\xfe", b"[sensitivity]\nstiffness_low = 5000.0\n"):
        path.write_bytes(broken)
        with pytest.raises(ConfigMutationError, match="the present file cannot be used: "):
            change(path, {"cusum_k": 0.7})
        assert path.read_bytes() == broken
    done = rollback(path)
    assert path.read_bytes() == good and done.changed and done.changes == {}
    path.unlink()
    restored = rollback(path, "2026-02-21T09:00:00")
    assert path.read_bytes() == good and restored.old_hash == "" and restored.backup is None
    assert outcomes(path) == ["accepted", *["rejected"] * 4, "rolled_back", "rolled_back"]


def test_rollback_finds_what_is_meant(path: Path) -> None:
    contents = [path.read_bytes()]
    for number in range(3):
        change(path, {"cusum_k": 0.55 + 0.05 * number}, now_ns=NOW + number * 10**9)
        contents.append(path.read_bytes())
    hashes = [sha256_file(backup.path) for backup in reversed(backups_of(path))]
    for which, expected in (
        ("config.toml.bak.20260221T090001.000000000Z", contents[1]),
        ("2026-02-21T09:00:00Z", contents[0]),
        ("2026-02-21 09:00:02", contents[2]),
        ("20260221T090001", contents[1]),
        (hashes[2][:8], contents[2]),
        (hashes[0].upper(), contents[0]),
        ("config.toml.bak", contents[2]),  # what stood there before the last rollback
    ):
        done = rollback(path, which, now_ns=NOW + HOUR)
        assert path.read_bytes() == expected, which
        assert done.outcome == "rolled_back" and done.record.details["rollback"]
    assert rollback(path, hashes[2][:8], now_ns=NOW).outcome == "unchanged"


def test_rollback_by_default_takes_back_and_forth(path: Path) -> None:
    first = path.read_bytes()
    change(path, {"cusum_k": 0.6})
    second = path.read_bytes()
    assert rollback(path, now_ns=NOW + 1).changes == {"cusum_k": (0.6, 0.5)}
    assert path.read_bytes() == first
    rollback(path, now_ns=NOW + 2)
    assert path.read_bytes() == second
    assert outcomes(path) == ["accepted", "rolled_back", "rolled_back"]


def test_rollback_that_cannot_be_is_refused_and_noted(path: Path) -> None:
    with pytest.raises(ConfigMutationError, match="there is no backup that differs from the present file"):
        rollback(path)
    done = change(path, {"cusum_k": 0.6}, backup=False)
    assert done.backup is None
    with pytest.raises(ConfigMutationError, match=r"in the history, but no backup of it is kept; .*: none"):
        done.undo()
    change(path, {"cusum_k": 0.65})
    change(path, {"cusum_k": 0.7})
    for which in ("2025", "20250101", "abcdef12", "../config.toml", "config.toml", "", "zzz"):
        with pytest.raises(ConfigMutationError, match=r"there is no such backup; the newest backups: config\.toml"):
            rollback(path, which)
    with pytest.raises(ConfigMutationError, match=r"'20260221' means 2 backups of config.toml: .*; name one"):
        rollback(path, "20260221")
    newest = backups_of(path)[0].path
    newest.write_text("[core]\nseed = 1\n")
    with pytest.raises(ConfigMutationError, match="was changed since it was made"):
        rollback(path, newest.name)
    path.with_name("config.toml.bak").write_text("[core]\nsead = 1\n")
    with pytest.raises(ConfigMutationError, match="did you mean 'seed'"):
        rollback(path, "config.toml.bak")
    assert load_config(path).cusum_k == 0.7
    assert outcomes(path) == ["rejected", "accepted", "rejected", "accepted", "accepted", *["rejected"] * 10]


def test_undo_does_not_lose_a_later_edit(path: Path) -> None:
    done = change(path, {"cusum_k": 0.6})
    path.write_text(path.read_text() + "# mine\n")
    with pytest.raises(ConfigMutationError, match=r"its SHA-256 is .*, expected .*: it was changed since"):
        done.undo()
    assert path.read_text().endswith("# mine\n")
    assert rollback(path, done.old_hash).changed


def test_backups_of_one_instant_have_names_of_their_own_and_fifty_are_kept(path: Path) -> None:
    for number in range(3):
        change(path, {"cusum_k": 0.5 + 0.01 * (number + 1)})
    assert [backup.repeat for backup in backups_of(path)] == [2, 1, 0]
    for number in range(MOST_BACKUPS):
        path.with_name(f"config.toml.bak.20250101T0000{number:02d}.000000000Z").write_text("")
    path.with_name("config.toml.bak.mine").write_text("")
    change(path, {"cusum_k": 0.7})
    backups = backups_of(path)
    assert len(backups) == MOST_BACKUPS and [backup.repeat for backup in backups[:4]] == [3, 2, 1, 0]
    assert backups[-1].stamp == "20250101T000004.000000000Z"
    assert path.with_name("config.toml.bak.mine").exists() and path.with_name("config.toml.bak").exists()


def test_the_changes_of_a_log_are_the_way_to_the_present(path: Path) -> None:
    for k in (0.6, 0.7, 0.65):
        change(path, {"cusum_k": k})
    rollback(path, now_ns=NOW + 1)
    config = parse_config(backups_of(path)[-1].path.read_text())
    for record in history(path):
        config = dataclasses.replace(config, **{name: new for name, (_, new) in record.changes.items()})
    assert config == load_config(path)

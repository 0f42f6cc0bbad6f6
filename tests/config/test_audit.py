"""The audit log: bound lines, repaired ends, what a damaged log says, and many who write at once."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from uspnb.config import audit as audit_module
from uspnb.config.audit import AuditLog, AuditRecord, iso_time, plain_json, verify_audit
from uspnb.config.mutation import History, history, record_decision
from uspnb.errors import ConfigMutationError, DomainError, IntegrityError
from uspnb.runtime import files
from uspnb.runtime.files import MAX_LINE_BYTES, START, chained

NOW = 1_771_664_400_123_456_789  # 2026-02-21 09:00:00.123456789 UTC


def record(number: int = 0, **rest: object) -> AuditRecord:
    base = AuditRecord(iso_time(NOW + number), NOW + number, "config.toml", "test", "watching")
    return dataclasses.replace(base, **rest)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "io" / "mutations.log")


def test_time_is_iso_in_utc() -> None:
    assert iso_time(NOW) == "2026-02-21T09:00:00.123456789Z"
    assert iso_time(0) == "1970-01-01T00:00:00.000000000Z"


def test_what_is_written_comes_back_and_every_line_holds_the_hash_of_the_one_before(log: AuditLog) -> None:
    assert log.read() == ([], audit_module.AuditCheck(0, True, None, "", 0, START))
    middle = record(1, changes={"cusum_k": (0.5, 0.6), "seed": (1, 2)}, details={"a": [1, None]}, reason="Hölder")
    heads = [log.append(one).hash for one in (record(), middle, record(2))]
    records, check = log.read()
    assert (check.lines, check.ok, check.head, check.unfinished_bytes) == (3, True, heads[-1], 0)
    assert records[1] == dataclasses.replace(middle, line=2, hash=heads[1])
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert [line["previous"] for line in lines] == [START, *heads[:2]]
    assert [line["hash"] for line in lines] == heads
    assert verify_audit(log.path) == check
    assert check.text() == "3 lines, chain intact"


@pytest.mark.parametrize("length", [1, 40, 300])
def test_an_unfinished_line_is_cut_off_and_the_next_line_says_so(log: AuditLog, length: int) -> None:
    log.append(record())
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + whole[:length])
    assert verify_audit(log.path).unfinished_bytes == length
    assert f"{length} bytes of an unfinished line" in verify_audit(log.path).text()
    assert log.append(record(1)).repaired_bytes == length
    records, check = log.read()
    assert check.ok and [one.repaired_bytes for one in records] == [0, length]


def test_a_log_of_nothing_but_an_unfinished_line(log: AuditLog) -> None:
    log.path.parent.mkdir()
    log.path.write_bytes(b'{"after":')
    assert verify_audit(log.path) == audit_module.AuditCheck(0, True, None, "", 9, START)
    assert log.append(record()).repaired_bytes == 9
    assert verify_audit(log.path).ok


DAMAGES = {
    "edited": (lambda lines: [lines[0], lines[1].replace(b"test", b"best"), *lines[2:]], 2, "does not match its own"),
    "taken out": (lambda lines: [lines[0], *lines[2:]], 2, "does not follow the one before"),
    "swapped": (lambda lines: [lines[1], lines[0], *lines[2:]], 1, "does not follow the one before"),
    "beginning missing": (lambda lines: lines[1:], 1, "does not follow the one before"),
    "twice": (lambda lines: [lines[0], *lines], 2, "does not follow the one before"),
    "spaces": (lambda lines: [lines[0].replace(b":", b": "), *lines[1:]], 1, "was edited"),
    "no JSON": (lambda lines: [*lines[:2], b"hello\n", *lines[2:]], 3, "no JSON of ours"),
    "no object": (lambda lines: [b"[1]\n", *lines], 1, "no JSON object"),
    "binary": (lambda lines: [lines[0], b"\xff\x00\n"], 2, "no JSON of ours"),
    "endless": (lambda lines: [lines[0], b"x" * (MAX_LINE_BYTES + 10)], 2, "longer than any of ours"),
    "another chain": (lambda lines: [chained({"kind": "open"}, START)[0], *lines], 1, "none of an audit log"),
}


@pytest.mark.parametrize(("damage", "line", "reason"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_found_at_its_line(log: AuditLog, damage: Callable, line: int, reason: str) -> None:
    for number in range(4):
        log.append(record(number))
    log.path.write_bytes(b"".join(damage(log.path.read_bytes().splitlines(keepends=True))))
    check = verify_audit(log.path)
    assert (check.ok, check.first_bad_line, check.lines) == (False, line, line - 1)
    assert reason in check.reason and f"NOT INTACT from line {line} on" in check.text()
    with pytest.raises(IntegrityError, match=f"line {line}: "):
        history(log.path.parent.parent / "config.toml")


@pytest.mark.parametrize(
    "wrong",
    [
        {"changes": {"a": [1]}},
        {"changes": {"a": 1}},
        {"changes": []},
        {"time_ns": "1"},
        {"override": 0},
        {"trigger": None},
        {"version": 2},
    ],
)
def test_a_chained_line_of_another_shape_is_no_record(log: AuditLog, wrong: dict) -> None:
    log.append(record())
    body = {name: value for name, value in json.loads(log.path.read_text()).items() if name not in ("hash", "previous")}
    log.path.write_bytes(chained({**body, **wrong}, START)[0])
    assert not verify_audit(log.path).ok


def test_nothing_is_bound_to_a_damaged_line(log: AuditLog) -> None:
    log.append(record())
    log.path.write_bytes(log.path.read_bytes().replace(b"test", b"best"))
    before = log.path.read_bytes()
    with pytest.raises(IntegrityError, match="was edited"):
        log.append(record(1))
    with pytest.raises(ConfigMutationError, match=r"the audit log .* is damaged .* move it away"):
        record_decision(log.path.parent.parent / "config.toml", "watching", "test")
    assert log.path.read_bytes() == before


def test_the_end_of_a_long_log_is_read_alone(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_TAIL_BYTES", 2000)
    for number in range(12):
        log.append(record(number))
    tail = log.recent()
    assert 2 <= len(tail) <= 4 and [one.time_ns for one in tail] == [NOW + k for k in range(12 - len(tail), 12)]
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join([*lines[:10], lines[11]]))
    with pytest.raises(IntegrityError, match="does not follow"):
        log.recent()


def test_a_full_disk_leaves_the_log_as_it_was(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(record())
    before = log.path.read_bytes()
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(data)[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "write", half)
        with pytest.raises(OSError, match="No space left"):
            log.append(record(1))
    assert log.path.read_bytes() == before
    log.append(record(1))
    assert verify_audit(log.path).ok


def test_many_threads_make_one_chain(log: AuditLog) -> None:
    def work(writer: int) -> None:
        for number in range(5):
            log.append(record(number, trigger=f"writer {writer}"))

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records, check = log.read()
    assert check.ok and check.lines == 20
    for writer in range(4):
        assert [one.time_ns - NOW for one in records if one.trigger == f"writer {writer}"] == [0, 1, 2, 3, 4]


def test_a_decision_is_a_line_and_leaves_the_file_alone(path: Path) -> None:
    before = path.read_bytes()
    details = {"p": np.float64(0.25), "unknown": float("nan"), "folds": np.arange(3), "pair": (1, "a"), "none": None}
    decision = record_decision(
        path, "rejected", "autotune", details, reason="not significant", changes={"cusum_k": (0.5, np.float64(0.6))}
    )
    (logged,) = history(path)
    assert logged == dataclasses.replace(decision, line=1)
    assert logged.details == {"p": 0.25, "unknown": None, "folds": [0, 1, 2], "pair": [1, "a"], "none": None}
    assert logged.changes == {"cusum_k": (0.5, 0.6)} and logged.before == logged.after != ""
    assert path.read_bytes() == before
    assert logged.text().endswith("rejected [autotune] cusum_k 0.5 -> 0.6 (not significant)")


def test_a_decision_for_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    assert record_decision(tmp_path / "config.toml", "watching", "autotune").before == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outcome": "accepted"}, "does not say that the file was changed"),
        ({"outcome": "two words"}, "expected one word"),
        ({"outcome": ""}, "expected one word"),
        ({"trigger": " "}, "expected one line of 1 to 200"),
        ({"trigger": "a\nb"}, "expected one line of 1 to 200"),
        ({"trigger": "a" * 201}, "expected one line of 1 to 200"),
        ({"details": {"a": {"b": {1, 2}}}}, "details.a.b is a set, which a line of JSON cannot hold"),
        ({"details": {"a": [b"x"]}}, r"details.a\[0\] is a bytes"),
        ({"details": {"a": "x" * 20_000}}, "shorten them"),
        ({"now_ns": -1}, "is no time in nanoseconds since 1970"),
    ],
)
def test_arguments_without_sense_are_refused(path: Path, arguments: dict, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        record_decision(path, **{"outcome": "watching", "trigger": "test", **arguments})
    assert not (path.parent / "io").exists()


def test_a_line_longer_than_any_is_refused(log: AuditLog) -> None:
    with pytest.raises(DomainError, match=f"longer than {MAX_LINE_BYTES}; shorten"):
        log.append(record(reason="é" * 20_000))
    assert log.path.read_bytes() == b""


def test_two_files_of_one_folder_share_a_log(path: Path) -> None:
    other = path.with_name("other.toml")
    record_decision(path, "watching", "a")
    record_decision(other, "watching", "b")
    assert [one.trigger for one in history(path)] == ["a"]
    assert [one.trigger for one in history(other)] == ["b"]
    elsewhere = path.parent / "audit" / "log.jsonl"
    record_decision(path, "watching", "c", audit=elsewhere)
    assert [one.trigger for one in history(path, audit=elsewhere)] == ["c"]


def test_no_log_is_an_empty_history_and_cannot_be_verified(path: Path) -> None:
    assert history(path) == []
    with pytest.raises(DomainError, match="there is no such audit log"):
        verify_audit(path.parent / "io" / "mutations.log")
    assert not (path.parent / "io").exists()


def test_a_history_is_text_and_a_table() -> None:
    lines = History([record(changes={"cusum_k": (0.5, 0.6)}, outcome="accepted", override=True), record(reason="<i>")])
    first, second = lines.text().splitlines()
    assert first == "2026-02-21 09:00:00Z accepted [test] cusum_k 0.5 -> 0.6 (limit lifted)"
    assert second == "2026-02-21 09:00:00Z watching [test] (<i>)"
    assert "&lt;i&gt;" in lines._repr_html_() and "<i>" not in lines._repr_html_()


def test_plain_json_takes_arrays_of_any_shape() -> None:
    assert plain_json(np.array([[1.0, np.inf]])) == [[1.0, None]]
    assert plain_json({1: True}) == {"1": True}

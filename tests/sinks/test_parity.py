"""The parity log: its hashes, its chain, and where two logs first differ."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uspnb.errors import DomainError, IntegrityError
from uspnb.runtime.files import chained
from uspnb.sinks import ParityLog, Records, compare, verify
from uspnb.sinks.parity import exact_hash, parse_line, rounded_hash

WEIGHTS = np.array([0.1, 0.2, 0.3, 0.4])


def _log(path: Path, ticks: int = 8, *, asset: str = "a", nudge: tuple[int, float] = (0, 0.0)) -> Path:
    """A closed log of `ticks` ticks, whose numbers are nudged from a tick on."""
    log = ParityLog(path, 1)
    for tick in range(1, ticks + 1):
        factor = 1.0 + (nudge[1] if nudge[0] and tick >= nudge[0] else 0.0)
        log.observe(asset, tick, WEIGHTS * factor, 0.123456789 * tick)
    log.close()
    return path


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_hashes_are_those_of_little_endian_float64(tmp_path: Path) -> None:
    """The authorities are `struct` and `hashlib`."""
    path = _log(tmp_path / "p", 1)
    line = json.loads(_lines(path)[1])
    assert line["exact"] == {
        "weights": hashlib.sha256(struct.pack("<4d", *WEIGHTS)).hexdigest(),
        "cost": hashlib.sha256(struct.pack("<d", 0.123456789)).hexdigest(),
    }
    assert line["rounded"]["6"][1] == hashlib.sha256(struct.pack("<d", 0.123457)).hexdigest()[:32]
    assert set(line["rounded"]) == {"12", "9", "6"}


def test_rounding_forgives_what_it_should() -> None:
    """The sign of a zero and the bits of a NaN are no difference after rounding; exactly, the sign is."""
    zeros, nans = np.array([0.0, -0.0]), np.array([struct.unpack("<d", bytes.fromhex("010000000000f87f"))[0], np.nan])
    assert rounded_hash(zeros[:1], 6) == rounded_hash(zeros[1:], 6)
    assert exact_hash(zeros[:1]) != exact_hash(zeros[1:])
    assert exact_hash(nans[:1]) == exact_hash(nans[1:])
    assert rounded_hash(np.array([1.0 + 1e-8]), 6) == rounded_hash(np.array([1.0]), 6)
    assert rounded_hash(np.array([1.0 + 1e-8]), 12) != rounded_hash(np.array([1.0]), 12)
    assert rounded_hash(np.array([np.inf, 1e300, 1e-300]), 6) != rounded_hash(np.array([np.inf, 1e300, 2e-300]), 6)


def test_a_line_for_each_multiple_of_the_interval(
    tmp_path: Path, make_rows: Callable[..., np.ndarray], columns: dict[str, slice]
) -> None:
    """However the ticks are cut into stretches; none at all with interval 0."""
    rows, logs = make_rows(100), [tmp_path / "one", tmp_path / "pieces"]
    for path, cuts in zip(logs, ([0, 100], [0, 1, 7, 8, 39, 40, 41, 99, 100]), strict=True):
        log = ParityLog(path, 8)
        for start, stop in itertools.pairwise(cuts):
            log.write(Records("a", start + 1, np.arange(start, stop), rows[start:stop], columns))
        log.close()
        assert log.status() == (100, 0, None)
        lines = [json.loads(line) for line in _lines(path)[1:-1]]
        assert [line["tick"] for line in lines] == list(range(8, 101, 8))
        assert lines[0]["exact"]["weights"] == exact_hash(rows[7, columns["weight"]])
        assert lines[0]["exact"]["cost"] == exact_hash(rows[7, columns["transport_cost"]])
    assert logs[0].read_bytes() == logs[1].read_bytes() and compare(*logs).equal
    silent = ParityLog(tmp_path / "none", 0)
    silent.write(Records("a", 1, np.arange(100), rows, columns))
    silent.close()
    assert not (tmp_path / "none").exists()


def test_a_whole_log_verifies(tmp_path: Path) -> None:
    """Header, ticks, closing line."""
    verified = verify(_log(tmp_path / "p"))
    assert verified.ok and verified.closed and verified.lines == 10 and verified.first_bad_line is None
    assert verify(tmp_path / "p", verified.head).ok


def test_every_edited_line_is_found(tmp_path: Path) -> None:
    """One character of each line is changed, wherever it stands; and a line whose own hash was made anew as well."""
    path = _log(tmp_path / "p")
    lines, rng = _lines(path), np.random.default_rng(5)
    for number, line in enumerate(lines, 1):
        for place in rng.choice(len(line) - 1, 12, replace=False):
            edited = bytearray(line)
            edited[place] = ord("0") if edited[place] != ord("0") else ord("1")
            path.write_bytes(b"".join([*lines[: number - 1], edited, *lines[number:]]))
            verified = verify(path)
            assert not verified.ok and verified.first_bad_line == number, (number, place)
    parsed = json.loads(lines[3])
    body = {name: value for name, value in parsed.items() if name not in ("hash", "previous")} | {"tick": 99}
    forged, _ = chained(body, parsed["previous"])
    path.write_bytes(b"".join([*lines[:3], forged, *lines[4:]]))
    assert verify(path).first_bad_line == 5  # its successor does not follow it


def test_every_missing_doubled_or_moved_line_is_found(tmp_path: Path) -> None:
    """At the beginning, in the middle, and two that changed places."""
    path = _log(tmp_path / "p")
    lines = _lines(path)
    for i in range(len(lines) - 1):
        path.write_bytes(b"".join(lines[:i] + lines[i + 1 :]))
        assert verify(path).first_bad_line == i + 1
        path.write_bytes(b"".join([*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]]))
        assert verify(path).first_bad_line == i + 1
        path.write_bytes(b"".join(lines[: i + 1] + lines[i:]))
        assert verify(path).first_bad_line == i + 2


def test_a_chain_forged_over_a_missing_line_is_betrayed_by_the_count(tmp_path: Path) -> None:
    """All hashes are made anew after a line is taken out; the closing line still says how many there were."""
    path = _log(tmp_path / "p")
    forged, previous = [], "0" * 64
    for i, line in enumerate(_lines(path)):
        if i != 4:
            body = {name: value for name, value in json.loads(line).items() if name not in ("hash", "previous")}
            forgery, previous = chained(body, previous)
            forged.append(forgery)
    path.write_bytes(b"".join(forged))
    verified = verify(path)
    assert not verified.ok and verified.first_bad_line == 9 and "counts 9" in verified.reason


def test_a_cut_end_is_not_closed_and_a_noted_head_is_missed(tmp_path: Path) -> None:
    """A chain cannot know what follows; the closing line and a hash noted elsewhere can."""
    path = _log(tmp_path / "p")
    head, content = verify(path).head, path.read_bytes()
    for lines in range(1, 10):
        path.write_bytes(b"".join(content.splitlines(keepends=True)[:lines]))
        verified = verify(path)
        assert verified.ok and not verified.closed and "not closed" in verified.reason and verified.lines == lines
        missed = verify(path, head)
        assert not missed.ok and "noted" in missed.reason
    path.write_bytes(content[:-5])
    verified = verify(path)
    assert not verified.ok and verified.first_bad_line == 10 and "unfinished" in verified.reason
    path.write_bytes(b"")
    assert not verify(path).ok


def test_a_log_is_continued(tmp_path: Path) -> None:
    """After an end, and after a kill that left half a line: the chain goes on."""
    path = _log(tmp_path / "p", 3)
    killed = ParityLog(path, 1, config_hash="second")
    killed.observe("a", 4, WEIGHTS, 0.5)
    killed.observe("a", 5, WEIGHTS, 0.5)
    path.write_bytes(path.read_bytes()[:-7])
    del killed
    third = ParityLog(path, 1)
    third.observe("a", 5, WEIGHTS, 0.5)
    third.close()
    verified = verify(path)
    assert verified.ok and verified.closed
    lines = [json.loads(line) for line in _lines(path)]
    assert [line["kind"] for line in lines] == ["open", *["tick"] * 3, "close", "open", "tick", "open", "tick", "close"]
    assert [line["config_hash"] for line in lines if line["kind"] == "open"] == ["", "second", ""]


def test_a_damaged_log_is_put_aside(tmp_path: Path) -> None:
    """Its successor begins a new chain and names it."""
    path = _log(tmp_path / "p", 3)
    damaged = path.read_bytes()[:-10] + b"x" * 9 + b"\n"
    path.write_bytes(damaged)
    log = ParityLog(path, 1)
    log.observe("a", 4, WEIGHTS, 0.5)
    log.close()
    after = json.loads(_lines(path)[0])["after"]
    assert verify(path).ok and (tmp_path / after).read_bytes() == damaged


def test_a_log_that_is_moved_away_is_followed_by_a_new_one(tmp_path: Path) -> None:
    """Both verify."""
    path = tmp_path / "p"
    log = ParityLog(path, 1)
    log.observe("a", 1, WEIGHTS, 0.5)
    path.rename(tmp_path / "old")
    log.observe("a", 2, WEIGHTS, 0.5)
    log.close()
    assert verify(tmp_path / "old").lines == 2 and verify(path).lines == 3
    assert verify(tmp_path / "old").ok and verify(path).ok


def test_a_full_disk_makes_lines_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain is whole afterwards, and no line is missing."""
    log, write = ParityLog(tmp_path / "p", 1), os.write
    log.observe("a", 1, WEIGHTS, 0.5)

    def full(descriptor: int, data: memoryview) -> int:
        write(descriptor, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for tick in (2, 3):
            log.observe("a", tick, WEIGHTS, 0.5)
    written, lost, condition = log.status()
    assert (written, lost) == (1, 0) and condition is not None and "No space left" in condition
    assert verify(tmp_path / "p").ok
    log.observe("a", 4, WEIGHTS, 0.5)
    log.close()
    assert log.status() == (4, 0, None) and verify(tmp_path / "p").lines == 6


def test_two_writers_do_not_share_a_log(tmp_path: Path) -> None:
    """The second one waits, and loses its lines if it ends first."""
    first, second = ParityLog(tmp_path / "p", 1), ParityLog(tmp_path / "p", 1)
    first.observe("a", 1, WEIGHTS, 0.5)
    second.observe("b", 1, WEIGHTS, 0.5)
    condition = second.status().condition
    assert condition is not None and "another service" in condition
    second.close()
    assert second.status()[:2] == (0, 1)
    first.close()
    assert verify(tmp_path / "p").ok and verify(tmp_path / "p").lines == 3


def test_equal_runs_are_equal(tmp_path: Path) -> None:
    """Of one series, whatever else differs in the files."""
    comparison = compare(_log(tmp_path / "a"), _log(tmp_path / "b"))
    assert comparison.equal and comparison.compared == 8 and comparison.first_rounded == {12: None, 9: None, 6: None}
    assert "no difference" in comparison.text()


@pytest.mark.parametrize(
    ("size", "first"),
    [
        (1e-15, {12: None, 9: None, 6: None}),
        (3e-11, {12: 5, 9: None, 6: None}),
        (3e-8, {12: 5, 9: 5, 6: None}),
        (3e-4, {12: 5, 9: 5, 6: 5}),
    ],
)
def test_the_first_difference_is_found_at_each_precision(
    tmp_path: Path, size: float, first: dict[int, int | None]
) -> None:
    """From tick 5 on the weights differ by a relative `size`: no more digits than that agree."""
    comparison = compare(_log(tmp_path / "a"), _log(tmp_path / "b", nudge=(5, size)))
    assert comparison.first_exact == 5 and comparison.first_rounded == first and not comparison.equal
    assert "tick 5 ('a': weights)" in comparison.text()


def test_ticks_of_one_log_alone_are_counted(tmp_path: Path) -> None:
    """Nothing in common is not equal."""
    diff = compare(_log(tmp_path / "a", 8), _log(tmp_path / "b", 5))
    assert (diff.compared, diff.only_a, diff.only_b, diff.first_exact) == (
        5,
        3,
        0,
        None,
    ) and not diff.equal
    apart = compare(tmp_path / "a", _log(tmp_path / "c", 2, asset="c"))
    assert apart.compared == 0 and apart.only_b == 2 and not apart.equal


def test_a_run_that_went_back_is_compared_once(tmp_path: Path) -> None:
    """After a kill ticks are computed again; the same numbers are a repetition, others a contradiction."""
    whole = _log(tmp_path / "a", 4)
    log = ParityLog(tmp_path / "b", 1)
    for tick in (1, 2, 3, 2, 3, 4):
        log.observe("a", tick, WEIGHTS, 0.123456789 * tick)
    log.close()
    comparison = compare(whole, tmp_path / "b")
    assert comparison.equal and comparison.repeated == 2 and "stand twice" in comparison.text()
    log = ParityLog(tmp_path / "b", 1)
    log.observe("a", 3, WEIGHTS * 1.1, 0.0)
    log.close()
    comparison = compare(whole, tmp_path / "b")
    assert not comparison.equal and comparison.contradicted == (("b", "a", 3),) and "contradicts" in comparison.text()


def test_a_damaged_log_is_not_compared(tmp_path: Path) -> None:
    """The message names the file and the line; only an unfinished last line may pass."""
    a, b = _log(tmp_path / "a"), _log(tmp_path / "b")
    b.write_bytes(b.read_bytes()[:-5])
    assert compare(a, b).compared == 8
    lines = _lines(a)
    b.write_bytes(b"".join(lines[:3] + lines[4:]))
    with pytest.raises(IntegrityError, match="b, line 4"):
        compare(a, b)


@given(data=st.data())
def test_mutated_lines_are_refused(data: st.DataObject) -> None:
    """No change of a line's bytes passes."""
    line, _ = chained({"kind": "close", "lines": 3}, "0" * 64)
    changed = bytearray(line)
    place = data.draw(st.integers(0, len(line) - 2))
    changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if bytes(changed) != line:
        with pytest.raises(IntegrityError):
            parse_line(bytes(changed))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "exact", "6"]), inner),
        max_leaves=8,
    ),
    st.sampled_from(["open", "tick", "close", "other"]),
)
def test_a_chained_line_of_another_shape_is_refused(content: Any, kind: str) -> None:
    """A right hash does not make a line of a log out of anything."""
    body = {"kind": kind, "asset": "a", "tick": 1, "exact": content, "rounded": content, "lines": content}
    line, _ = chained(body, "0" * 64)
    with pytest.raises(IntegrityError):
        parse_line(line)


@given(st.binary(max_size=400))
def test_verifying_any_file_ends_in_an_answer(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Nothing random is a log."""
    path = tmp_path_factory.mktemp("any") / "log"
    path.write_bytes(content)
    assert not verify(path).ok


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    """The message names the value."""
    with pytest.raises(DomainError, match="interval = -1"):
        ParityLog(tmp_path / "p", -1)
    with pytest.raises(DomainError, match="18"):
        ParityLog(tmp_path / "p", 1, (18,))

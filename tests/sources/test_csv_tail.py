"""A CSV file read while a program writes it: torn lines, garbage, rotation."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from waiting import stays, until

from uspnb.errors import DomainError
from uspnb.sources import CsvTailSource

START = pd.Timestamp("2026-02-21T09:30", tz="UTC").value
MINUTE = 60_000_000_000
HEAD = "time,load\n2026-02-21T09:30:00Z,1\n2026-02-21T09:31:00Z,2.5\n"


@pytest.fixture
def grow(tmp_path):
    """A file to append to; `path` is where it lies."""

    class File:
        path = tmp_path / "grows.csv"

        def write(self, text: str | bytes) -> None:
            self.path.write_bytes(text.encode() if isinstance(text, str) else text)

        def append(self, text: str | bytes) -> None:
            with self.path.open("ab") as file:
                file.write(text.encode() if isinstance(text, str) else text)

    return File()


@pytest.fixture
def follow(grow, drain):
    """Follow the file from its present rows on."""
    opened = []

    def start(text, **options):
        grow.write(text)
        opened.append(CsvTailSource(grow.path, poll_s=0.01, **options))
        return drain(opened[-1])

    yield start
    for source in opened:
        source.close()


def test_rows_that_stand_there_and_rows_appended(follow, grow):
    taken = follow(HEAD).until(ticks=2)
    grow.append("2026-02-21T09:32:00Z,3\n\n2026-02-21T09:33:00Z,\n")
    taken.until(ticks=4)
    np.testing.assert_array_equal(taken.values, [1.0, 2.5, 3.0, np.nan])
    assert taken.stamps == [START + i * MINUTE for i in range(4)] and taken.faults == []
    assert taken.source.name == "load" and not taken.source.time_is_grid


def test_a_torn_line_waits_for_its_end(follow, grow):
    taken = follow(HEAD + "2026-02-21T09:32:00Z,1").until(ticks=2)
    assert stays(lambda: len(taken.take().values) == 2)
    grow.append("7")
    assert stays(lambda: len(taken.take().values) == 2)
    grow.append(".5\n")
    assert taken.until(ticks=3).values[2] == 17.5


def test_a_character_torn_in_two_is_whole_again(follow, grow):
    taken = follow("time,load,remark\n2026-02-21T09:30:00Z,1,a\n").until(ticks=1)
    row = "2026-02-21T09:31:00Z,2,\u00e9t\u00e9\n".encode()
    grow.append(row[:-5])
    assert stays(lambda: len(taken.take().values) == 1)
    grow.append(row[-5:])
    assert taken.until(ticks=2).values == [1.0, 2.0] and taken.faults == []


def test_history_is_not_live_and_a_take_does_not_mix_it_with_later_rows(follow, grow):
    taken = follow(HEAD)
    source = taken.source
    until(lambda: source._history == 2)  # the end of the file was met
    assert not source.live
    grow.append("2026-02-21T09:32:00Z,3\n")
    until(lambda: source.waiting == 3)
    assert source.take(10).values.tolist() == [1.0, 2.5] and source.live
    assert source.take(10).values.tolist() == [3.0] and source.live


def test_later_rows_may_be_declared_past_too(follow):
    taken = follow(HEAD, live=False).until(ticks=2)
    assert not taken.source.live


def test_a_decimal_comma_after_whole_numbers_is_read_where_semicolons_separate(follow, grow):
    taken = follow("time;load\n2026-02-21 09:30;3\n").until(ticks=1)
    grow.append("2026-02-21 09:31;4,5\n")
    assert taken.until(ticks=2).values == [3.0, 4.5]


GARBAGE = {
    "word": ("2026-02-21T09:32:00Z,oops", "load = 'oops' is not a number; leave the cell empty"),
    "time": ("soon,3", "time = 'soon' is not a time; write times as 2026"),
    "now": ("now,3", "time = 'now' is not a time"),
    "no time": (",3", "time is empty; every row needs its time"),
    "short": ("2026-02-21T09:32:00Z", r"1 cells stand under 2 columns \(time, load\)"),
    "decimal comma": ("2026-02-21T09:32:00Z,3,5", "where a comma is the decimal mark, semicolons must separate"),
    "quotes": ('2026-02-21T09:32:00Z,"3', "not a row of cells"),
    "bytes": (b"2026-02-21T09:32:00Z,\xff\xfe", "not UTF-8"),
    "nul": (b"\x00\x00\x00", "line 4 was left out"),
    "underscore": ("2026-02-21T09:32:00Z,1_000", "not a number"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_told_of_with_its_line_and_the_next_lines_are_read(follow, grow, name):
    line, reason = GARBAGE[name]
    taken = follow(HEAD).until(ticks=2)
    grow.append((line.encode() if isinstance(line, str) else line) + b"\n2026-02-21T09:33:00Z,4\n")
    taken.until(ticks=3, faults=1)
    assert taken.values == [1.0, 2.5, 4.0]
    ((place, fault),) = taken.faults
    assert place == 2 and fault.can_continue and fault.item
    with pytest.raises(type(fault), match=f"line 4 was left out: .*{reason}" if name != "nul" else reason):
        raise fault


def test_backward_times_are_ticks(follow, grow):
    taken = follow(HEAD).until(ticks=2)
    grow.append("2026-02-20T00:00:00Z,9\n")
    assert taken.until(ticks=3).stamps[2] < START and taken.faults == []


def _shorten(grow):
    grow.write("time,load\n")


def _rewrite(grow):
    grow.write(HEAD.replace("2.5", "9.5") + "2026-02-21T09:32:00Z,3\n")


def _replace(grow):
    fresh = grow.path.with_suffix(".new")
    fresh.write_text(HEAD + "2026-02-21T09:32:00Z,3\n")
    os.replace(fresh, grow.path)


def _remove(grow):
    grow.path.unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [(_shorten, "became shorter"), (_rewrite, "written anew"), (_replace, "replaced"), (_remove, "removed")],
)
def test_a_file_that_does_not_merely_grow_is_a_fault_and_the_next_start_reads_it_anew(follow, grow, change, reason):
    taken = follow(HEAD).until(ticks=2)
    until(lambda: taken.source._history == 2)  # the end of the file was met
    change(grow)
    taken.until(faults=1)
    fault = taken.faults[0][1]
    assert reason in fault.reason and fault.can_continue and not taken.source.exhausted
    grow.write("time,load\n2026-02-21T10:30:00Z,7\n")
    taken.source.start(taken.woken.set)
    assert taken.until(ticks=3).values == [1.0, 2.5, 7.0] and len(taken.faults) == 1


def test_a_program_that_writes_the_same_rows_and_more_goes_on(follow, grow):
    taken = follow(HEAD).until(ticks=2)
    grow.write(HEAD + "2026-02-21T09:32:00Z,3\n")  # as pandas.to_csv does; a poll in the midst may see it shorter
    taken.until(ticks=3) if not taken.faults else None
    assert taken.values[:3] == [1.0, 2.5, 3.0]


def test_a_file_that_is_gone_at_the_next_start_is_told_of(follow, grow):
    taken = follow(HEAD).until(ticks=2)
    grow.path.unlink()
    taken.until(faults=1)
    taken.source.start(taken.woken.set)
    taken.until(faults=2)
    assert "cannot be read: No such file" in taken.faults[1][1].reason and taken.faults[1][1].can_continue


@pytest.mark.parametrize("text", ["", "time,load\n", "time,lo"])
def test_a_file_of_zero_rows_is_waited_for(follow, grow, text):
    taken = follow(text)
    until(lambda: taken.source._history == 0)  # its end was met
    grow.append(HEAD[len(text) :])
    assert taken.until(ticks=2).values == [1.0, 2.5] and taken.faults == []


def test_a_line_without_end_is_refused_before_it_fills_the_memory(follow, grow):
    taken = follow(HEAD).until(ticks=2)
    grow.append("7" * 200_000)
    taken.to_the_end()
    fault = taken.faults[0][1]
    assert "line 4 exceeds 65,536 bytes" in fault.reason and not fault.can_continue


def test_a_large_file_is_read_in_blocks(follow):
    rows = "".join(f"{i + 0.5:020}\n" for i in range(8_000))  # more than two blocks
    taken = follow("load\n" + rows, capacity=500)
    taken.most = 400
    taken.until(ticks=8_000)
    assert taken.values == [i + 0.5 for i in range(8_000)] and taken.faults == []


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        (HEAD, {"value": "price"}, "no column 'price'; its columns are time, load"),
        (HEAD, {"time": "day"}, "no column 'day'"),
        ("time,a,b\n2026-01-01,1,2\n", {}, "several columns of numbers: a, b; choose one with --value a"),
        ("time,a\n2026-01-01,x\n", {}, "no column of numbers among time, a"),
        (HEAD, {"poll_s": 0.0}, "poll_s = 0.0"),
    ],
)
def test_what_cannot_be_followed_is_refused_at_once(grow, text, options, reason):
    grow.write(text)
    with pytest.raises(DomainError, match=reason):
        CsvTailSource(grow.path, **options)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(DomainError, match="there is no file"):
        CsvTailSource(tmp_path / "nothing.csv")
    with pytest.raises(DomainError, match="is a folder"):
        CsvTailSource(tmp_path)


def test_a_column_that_turns_out_missing_in_a_file_that_was_empty_is_a_fault(follow, grow):
    taken = follow("", value="price")
    grow.append(HEAD)
    taken.until(faults=1)
    assert "no column 'price'" in taken.faults[0][1].reason

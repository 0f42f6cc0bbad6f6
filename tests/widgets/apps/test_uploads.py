"""Uploads: pieces in order, a bound that the server keeps by itself, and messages that name the reader's file."""

from __future__ import annotations

import numpy as np
import pytest

from uspnb.errors import DomainError
from uspnb.widgets.apps.opening import Upload, header, open_table


def uploaded(content: bytes, piece: int, claimed: int | None = None):
    """What comes of sending some bytes as a page does, whatever it claims about their number."""
    files, refusals = [], []
    upload = Upload(lambda path, name: files.append((name, path.read_bytes(), path)), refusals.append, most_bytes=1_000)
    size = len(content) if claimed is None else claimed
    at = 0
    while True:
        data = content[at : at + piece]
        upload._handle_msg({"id": "1", "name": "../a/b.csv", "size": size, "from": at, "data": data})
        at = upload.received["bytes"]
        if upload.received.get("stop"):
            return files, refusals, upload


def test_a_file_arrives_whole_under_its_bare_name_and_is_removed():
    content = bytes(range(250)) * 2
    files, refusals, _ = uploaded(content, 7)
    assert refusals == [] and [(name, came) for name, came, _ in files] == [("b.csv", content)]
    assert not files[0][2].exists()


@pytest.mark.parametrize(
    ("piece", "claimed", "reason"),
    [
        (2_000, None, "at most 0.001 MB"),
        (2_000, 10, "at most 0.001 MB"),
        (600, 1_000, "at most 0.001 MB"),
        (2_000, 0, "is empty"),
    ],
)
def test_the_server_counts_for_itself(piece, claimed, reason):
    files, refusals, upload = uploaded(b"x" * 1_001, piece, claimed=claimed)
    assert files == [] and len(refusals) == 1 and upload.received["stop"] and reason in refusals[0]


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        {"id": "1", "name": "a", "size": 9, "from": 0, "data": "text"},
        {"id": "1", "name": "a", "size": 9, "from": 5, "data": b"xx"},
    ],
)
def test_nonsense_is_refused_in_words(message):
    refusals = []
    Upload(lambda path, name: None, refusals.append)._handle_msg(message)
    assert len(refusals) == 1


def test_several_columns_are_offered_and_a_choice_is_read(tmp_path):
    path = tmp_path / "upload-17.csv"
    path.write_text("when,a,b,word\n2026-01-01,1,2,x\n2026-01-02,3,4.5,y\n", encoding="utf-8")
    table = open_table(path, "mine.csv")
    assert table.series is None and table.columns == ("when", "a", "b", "word")
    assert table.reason.startswith("mine.csv has several columns") and "--value" not in table.reason
    series = open_table(path, "mine.csv", None, "when", "b").series
    assert series is not None
    np.testing.assert_array_equal(series.values, [2.0, 4.5])
    with pytest.raises(DomainError, match=r"^mine\.csv, line 2: word = 'x' is not a number"):
        open_table(path, "mine.csv", value="word")


def test_a_refusal_names_the_file_as_the_reader_knows_it(tmp_path):
    path = tmp_path / "upload-17.csv"
    path.write_text("time,word\n2026-01-01,x\n", encoding="utf-8")
    with pytest.raises(DomainError) as refused:
        open_table(path, "mine.csv")
    assert "upload-17" not in str(refused.value) and "--value" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"a,b\n1,2\n", ("a", "b")),
        (b"\xef\xbb\xbfa;b c\r\n1;2\r\n", ("a", "b c")),
        (b'"a x"\tb\n', ("a x", "b")),
        (b"", ()),
        (bytes(range(128, 200)), None),
    ],
)
def test_the_first_line_names_the_columns(content, names):
    assert names is None or header(content) == names
    assert isinstance(header(content), tuple)


def test_dates_with_two_readings_are_asked_for_and_the_answer_is_kept(tmp_path):
    path = tmp_path / "upload-17.csv"
    path.write_text("when,a\n" + "".join(f"{day:02d}/01/2026,{day}\n" for day in range(1, 12)), "utf-8")
    asked = open_table(path, "mine.csv")
    assert asked.readings == {"day first": "2026-01-02", "month first": "2026-02-01"} and asked.series is None
    assert asked.reason.endswith("which is meant?") and "dayfirst" not in asked.reason
    for dayfirst, second in ((True, "2026-01-02"), (False, "2026-02-01")):
        answered = open_table(path, "mine.csv", dayfirst)
        assert answered.series is not None and answered.series.time_coordinate[1] == np.datetime64(second)


def test_dates_are_asked_for_after_the_columns_where_there_are_several(tmp_path):
    path = tmp_path / "upload-17.csv"
    path.write_text("when,a,b\n" + "".join(f"{day:02d}/01/2026,{day},2\n" for day in range(1, 12)), "utf-8")
    table = open_table(path, "mine.csv")
    assert "several columns" in table.reason and not table.readings
    asked = open_table(path, "mine.csv", value="b")
    assert asked.series is None and asked.readings
    answered = open_table(path, "mine.csv", True, value="b")
    assert answered.series is not None and not answered.readings
    assert answered.series.time_coordinate[1] == np.datetime64("2026-01-02")

"""Uploads that cost time and memory: refused in a sentence, while the reader of the next file is well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import reading_costs as costs

from uspnb.errors import DomainError
from uspnb.widgets.apps.opening import open_table
from uspnb.widgets.apps.page import MOST_TEXT, Notice
from uspnb.widgets.apps.reading import MOST_WAITING, Reader

PLAIN = b"time,flow\n2026-01-01,1.5\n2026-01-02,2.5\n"


@pytest.fixture(scope="module", autouse=True)
def costs_in_the_helper() -> Iterator[None]:
    """The folder of `reading_costs` on the path of helper processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(costs.__file__).parent))
        yield


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """With little memory to spend."""
    reader = Reader(most_s=300.0, most_memory=500_000_000)
    yield reader
    reader.close()


def test_a_file_is_read_and_refused_under_its_own_name(reader):
    assert list(reader.read(open_table, PLAIN, "plain.csv").series.values) == [1.5, 2.5]
    with pytest.raises(DomainError, match=r"^words\.csv has no column of numbers"):
        reader.read(open_table, b"time,word\n2026-01-01,x\n", "words.csv")
    with pytest.raises(DomainError) as refused:
        reader.read(costs.refuse_path, b"", "mine.csv")
    assert "uspnb-upload" not in str(refused.value) and "mine.csv" in str(refused.value)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (costs.spend_time, "takes more than 1 s to read"),
        (costs.spend_memory, "needs more memory"),
        (costs.end_process, "could not be read"),
        (costs.fail, "could not be read"),
    ],
)
def test_what_costs_too_much_is_refused_and_the_next_file_is_read(reader, function, reason, monkeypatch):
    if function is costs.spend_time:
        monkeypatch.setattr(reader, "_most_s", 1.0)
    with pytest.raises(DomainError, match=rf"^bomb\.csv {reason}"):
        reader.read(function, b"", "bomb.csv")
    monkeypatch.undo()
    assert len(reader.read(open_table, PLAIN, "plain.csv").series) == 2


def test_so_many_wait_and_the_next_is_asked_to_come_again(reader):
    for _ in range(MOST_WAITING):
        reader._places.acquire()
    with pytest.raises(DomainError, match=f"^{MOST_WAITING} files are being read on this server; open plain.csv again"):
        reader.read(open_table, PLAIN, "plain.csv")
    reader._places.release(MOST_WAITING)
    assert len(reader.read(open_table, PLAIN, "plain.csv").series) == 2


def test_a_text_on_a_page_is_no_longer_than_can_be_read():
    notice = Notice()
    notice.refuse("\0" * 4_000_000)
    assert len(notice.text) == MOST_TEXT and notice.text.endswith("...")
    notice.tell("short")
    assert notice.text == "short"


def test_the_helper_ends_with_its_server():
    reader = Reader()
    pid = reader.read(costs.process_number, b"", "a.csv")
    reader.close()
    assert not psutil.pid_exists(pid)

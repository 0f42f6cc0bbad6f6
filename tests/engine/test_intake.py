"""Where a series stands in its source: seeking, skipping, faults, and what is live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from waiting import until

from uspnb.engine.intake import Intake, Taken
from uspnb.errors import DomainError
from uspnb.sources import CsvTailSource, FeedSource, IteratorSource, ReplaySource

SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every intake that a test starts is closed behind it, and its source with it."""
    started: list[Intake] = []
    start = Intake.start
    monkeypatch.setattr(Intake, "start", lambda self, wake: (started.append(self), start(self, wake))[1])
    yield
    for intake in started:
        intake.close()


def nobody() -> None:
    """Wakes nobody."""


def all_of(intake: Intake, count: int) -> list[float]:
    """The next `count` values."""
    got: list[float] = []

    def enough() -> bool:
        got.extend(values_of(intake, 7))
        return len(got) >= count

    until(enough)
    return got


def values_of(intake: Intake, most: int = 10) -> list[float]:
    """What there is to take now."""
    taken = intake.take(most)
    return [] if taken is None else taken.ticks.values.tolist()


def replay(count: int = 50) -> ReplaySource:
    """Values 0, 1, 2 ... a second apart."""
    return ReplaySource(np.arange(count, dtype=float), np.arange(1, count + 1) * SECOND)


def table(path: Path, count: int) -> Path:
    """The same as a CSV file, in the year 2024."""
    path.write_text("time,value\n" + "".join(row(k) for k in range(count)))
    return path


def row(k: int) -> str:
    """A row of it."""
    return f"{np.datetime64('2024-01-01') + np.timedelta64(k, 's')}Z,{k}\n"


def stamp(k: int) -> int:
    """Its time."""
    return int((np.datetime64("2024-01-01", "ns") + np.timedelta64(k, "s")).astype(np.int64))


def test_replay_goes_on_at_the_next_tick() -> None:
    intake = Intake("a", retry=True, source=replay())
    intake.resume(20, 20 * SECOND)
    intake.start(nobody)
    assert all_of(intake, 30) == list(range(20, 50))
    assert intake.finished and intake.reread and intake.position == 50
    assert intake.last_stamp_ns == 50 * SECOND


def test_another_replay_is_refused() -> None:
    with pytest.raises(DomainError, match=r"tick 20 of the source .*00:00:20.*knows it as .*00:00:21.*--fresh"):
        Intake("a", retry=True, source=replay()).resume(20, 21 * SECOND)
    with pytest.raises(DomainError, match=r"taken after 60 ticks, but the source has 50"):
        Intake("a", retry=True, source=replay()).resume(60, 60 * SECOND)


def test_growing_file_is_read_again_up_to_the_position_and_then_followed(tmp_path: Path) -> None:
    path = table(tmp_path / "grows.csv", 30)
    intake = Intake("a", retry=True, source=CsvTailSource(path, poll_s=0.01))
    intake.resume(25, stamp(24))
    intake.start(nobody)
    assert all_of(intake, 5) == [25.0, 26.0, 27.0, 28.0, 29.0]
    with path.open("a") as file:
        file.write(row(30))
    assert all_of(intake, 1) == [30.0] and intake.position == 31
    assert intake.close() == 0  # what waits is in the file


def test_file_with_other_rows_is_at_its_end_with_a_condition(tmp_path: Path) -> None:
    intake = Intake("a", retry=True, source=CsvTailSource(table(tmp_path / "other.csv", 30), poll_s=0.01))
    intake.resume(25, stamp(7))
    intake.start(nobody)
    assert until(lambda: values_of(intake) == [] and intake.failed)
    assert intake.finished and "--fresh" in str(intake.condition)


def test_file_with_fewer_rows_waits_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uspnb.engine.intake.PATIENCE_S", 0.2)
    path = table(tmp_path / "shorter.csv", 10)
    intake = Intake("a", retry=True, source=CsvTailSource(path, poll_s=0.01))
    intake.resume(12, stamp(11))
    intake.start(nobody)
    assert until(lambda: values_of(intake) == [] and intake.condition)
    assert not intake.failed and "2 rows fewer than the 12" in str(intake.condition)
    with path.open("a") as file:
        file.write(row(10) + row(11) + row(12))
    assert all_of(intake, 1) == [12.0] and intake.condition is None


def test_file_that_was_begun_anew_is_read_from_its_first_row(tmp_path: Path) -> None:
    path = table(tmp_path / "rotates.csv", 10)
    intake = Intake("a", retry=True, source=CsvTailSource(path, poll_s=0.01))
    intake.start(nobody)
    assert all_of(intake, 10) == list(range(10))
    path.write_text("time,value\n" + row(100))
    assert all_of(intake, 1) == [100.0]
    assert intake.position == 1 and intake.condition is None


def test_line_that_is_no_tick_is_left_out_and_the_position_counts_ticks(tmp_path: Path) -> None:
    path = tmp_path / "spoiled.csv"
    path.write_text("time,value\n" + row(0) + "2024-01-01T00:00:01Z,nonsense\n" + row(2))
    intake = Intake("a", retry=True, source=CsvTailSource(path, poll_s=0.01))
    intake.start(nobody)
    assert all_of(intake, 2) == [0.0, 2.0] and intake.position == 2 and intake.condition is None
    intake.close()


def test_broken_iterator_is_asked_again_after_a_pause_and_the_condition_clears() -> None:
    class Flaky:
        """Raises at its fourth item."""

        def __init__(self) -> None:
            self.count = 0

        def __iter__(self) -> Flaky:
            return self

        def __next__(self) -> float:
            self.count += 1
            if self.count == 4:
                raise OSError("the line dropped")
            if self.count > 6:
                raise StopIteration
            return float(self.count)

    intake = Intake("a", retry=True, source=IteratorSource(Flaky()))
    intake.start(nobody)
    conditions: list[str] = []
    got: list[float] = []

    def ended() -> bool:
        got.extend(values_of(intake))
        conditions.extend([intake.condition] if intake.condition else [])
        return intake.finished

    until(ended)
    assert got == [1.0, 2.0, 3.0, 5.0, 6.0]
    assert any("the line dropped" in condition for condition in conditions) and intake.condition is None


def test_source_that_cannot_go_on_ends_its_series_alone() -> None:
    def broken() -> object:
        yield 1.0
        raise ValueError("no more")

    intake = Intake("a", retry=True, source=IteratorSource(broken()))
    intake.start(nobody)
    assert until(lambda: values_of(intake) == [] and intake.finished)


def test_live_ticks_have_the_clocks_time_and_what_was_missed_its_own() -> None:
    feed = FeedSource()
    past, coming = time.time_ns() - 3600 * SECOND, time.time_ns() + 3600 * SECOND
    feed.put(1.0, past)
    intake = Intake("a", retry=True, source=feed)
    intake.start(nobody)
    feed.put(2.0, coming)
    taken: Taken | None = intake.take(10)
    assert taken is not None and taken.live
    assert taken.now_ns[0] == past and abs(int(taken.now_ns[1]) - time.time_ns()) < 60 * SECOND
    feed.put(3.0)
    assert intake.close() == 1 and not intake.reread  # accepted, and nowhere else to be had
    with pytest.raises(DomainError):
        feed.put(4.0)
    assert all_of(intake, 1) == [3.0] and intake.finished


def test_source_is_woken_by_its_wake(tmp_path: Path) -> None:
    woken: list[int] = []
    wake: Callable[[], None] = lambda: woken.append(1)  # noqa: E731
    intake = Intake("a", retry=True, source=FeedSource())
    intake.start(wake)
    assert intake.take(5) is None and intake.wait_s() is None and not woken

"""Saving without waiting: what is handed over is written, the oldest gives way, and the disk stops nobody."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import jax
import numpy as np
import pytest
from waiting import PATIENCE_S

from uspnb import PredictorConfig
from uspnb.errors import DomainError
from uspnb.model.state import PredictorState
from uspnb.persistence.snapshots import (
    Progress,
    SnapshotFolder,
    SnapshotWriter,
    Written,
    progress_from,
    read_snapshot,
    snapshot_of,
    state_from,
)
from uspnb.runtime.digest import sha256_pytree


class SlowFolder(SnapshotFolder):
    """A folder whose disk lets a write through only when the test says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.threads: list[str] = []

    def save(self, payload: dict) -> Written:
        self.threads.append(threading.current_thread().name)
        self.begun.release()
        assert self.go_on.acquire(timeout=PATIENCE_S)
        return super().save(payload)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[SlowFolder, SnapshotWriter]]:
    folder = SlowFolder(tmp_path / "slow")
    writer = SnapshotWriter(folder)
    yield folder, writer
    folder.go_on.release(100)
    assert writer.close(PATIENCE_S)


def numbered(payload: dict, ticks: int) -> Callable[[], dict]:
    return lambda: payload | {"progress": Progress(ticks, "s", 0, {})._asdict()}


def test_the_state_that_was_handed_over_is_written_while_the_predictor_goes_on(
    learned: PredictorState,
    config: PredictorConfig,
    advance: Callable,
    slow: tuple[SlowFolder, SnapshotWriter],
) -> None:
    folder, writer = slow
    before = sha256_pytree(learned)
    future = writer.submit(functools.partial(snapshot_of, learned, config))
    assert folder.begun.acquire(timeout=PATIENCE_S)
    state, _ = advance(learned, 384, 1_000)  # the disk is still at it
    assert not future.done()
    assert writer.status().pending == 1
    folder.go_on.release()
    written = future.result(PATIENCE_S)
    restored = state_from(read_snapshot(written.path), learned)
    assert sha256_pytree(restored) == before != sha256_pytree(state)
    assert folder.threads == ["snapshot_io_0"]


def test_the_oldest_waiting_gives_way_and_the_newest_never(
    payload: dict, slow: tuple[SlowFolder, SnapshotWriter]
) -> None:
    folder, writer = slow
    futures = [writer.submit(numbered(payload, 0))]
    assert folder.begun.acquire(timeout=PATIENCE_S)  # the first one is with the disk, so it cannot be dropped
    futures += [writer.submit(numbered(payload, n)) for n in range(1, 101)]
    status = writer.status()
    assert (status.pending, status.dropped, status.saved) == (3, 98, 0)
    assert [f.cancelled() for f in futures] == [False, *[True] * 98, False, False]
    with pytest.raises(CancelledError):
        futures[1].result(0)
    folder.go_on.release(3)
    assert writer.wait(PATIENCE_S)
    assert [f.result(0).path for f in futures if not f.cancelled()] == folder.paths()
    status = writer.status()
    assert (status.pending, status.dropped, status.saved, status.failed) == (0, 98, 3, 0)
    assert (status.last_path, status.last_ticks) == (folder.paths()[-1], 100)
    assert status.last_saved_ns is not None
    assert status.last_seconds > 0


def test_one_that_its_owner_cancels_is_not_written(payload: dict, slow: tuple[SlowFolder, SnapshotWriter]) -> None:
    folder, writer = slow
    writer.submit(numbered(payload, 0))
    assert folder.begun.acquire(timeout=PATIENCE_S)
    unwanted = writer.submit(numbered(payload, 1))
    wanted = writer.submit(numbered(payload, 2))
    assert unwanted.cancel()
    folder.go_on.release(2)
    wanted.result(PATIENCE_S)
    assert writer.wait(PATIENCE_S)
    assert [progress_from(read_snapshot(path)).ticks for path in folder.paths()] == [0, 2]  # type: ignore[union-attr]


def test_a_failing_disk_is_told_and_clears_by_itself(payload: dict, tmp_path: Path) -> None:
    place = tmp_path / "snapshots"
    place.write_text("a file in the way")
    writer = SnapshotWriter(SnapshotFolder(place))
    assert writer.status().condition is None
    with pytest.raises(FileExistsError):
        writer.submit(numbered(payload, 1)).result(PATIENCE_S)
    assert "snapshots cannot be written" in str(writer.status().condition)
    assert (writer.status().failed, writer.status().saved) == (1, 0)
    assert np.isnan(writer.status().last_seconds)
    place.unlink()
    writer.submit(numbered(payload, 2)).result(PATIENCE_S)
    assert writer.status().condition is None
    shutil.rmtree(place)
    writer.submit(numbered(payload, 3)).result(PATIENCE_S)
    assert (writer.status().failed, writer.status().saved, writer.status().last_ticks) == (1, 2, 3)
    assert writer.close(PATIENCE_S)


def test_a_full_disk_is_told_and_clears_by_itself(payload: dict, small_disk: Path) -> None:
    folder = SnapshotFolder(small_disk / "snapshots")
    writer = SnapshotWriter(folder)
    writer.submit(numbered(payload, 1)).result(PATIENCE_S)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - 20_000))
    for n in (2, 3):
        assert isinstance(writer.submit(numbered(payload, n)).exception(PATIENCE_S), OSError)
    assert "No space left" in str(writer.status().condition) or "are free" in str(writer.status().condition)
    newest = folder.newest_valid()
    assert newest is not None
    assert progress_from(newest.payload).ticks == 1  # type: ignore[union-attr]
    filler.unlink()
    writer.submit(numbered(payload, 4)).result(PATIENCE_S)
    assert writer.status().condition is None
    assert writer.close(PATIENCE_S)


def test_a_payload_that_cannot_be_made_stops_nothing(payload: dict, tmp_path: Path) -> None:
    writer = SnapshotWriter(SnapshotFolder(tmp_path))

    def broken() -> dict:
        raise ZeroDivisionError("the caller's own mistake")

    with pytest.raises(ZeroDivisionError):
        writer.submit(broken).result(PATIENCE_S)
    with pytest.raises(DomainError):
        writer.submit(lambda: payload | {"global": {".ticks": object()}}).result(PATIENCE_S)
    assert writer.status().failed == 2
    writer.submit(numbered(payload, 1)).result(PATIENCE_S)
    assert writer.status().condition is None
    assert writer.close(PATIENCE_S)


def test_a_path_of_its_own_needs_no_folder(payload: dict, tmp_path: Path) -> None:
    writer = SnapshotWriter(None)
    written = writer.submit(lambda: payload, path=tmp_path / "mine.msgpack").result(PATIENCE_S)
    assert written.path == tmp_path.resolve() / "mine.msgpack"
    assert read_snapshot(written.path)["timestamp"] == payload["timestamp"]
    with pytest.raises(DomainError, match="path"):
        writer.submit(lambda: payload)
    assert writer.close(PATIENCE_S)


def test_closing_writes_what_waits_and_takes_nothing_more(payload: dict, tmp_path: Path) -> None:
    folder = SlowFolder(tmp_path)
    writer = SnapshotWriter(folder, queue_maxlen=3)
    futures = [writer.submit(numbered(payload, n)) for n in range(3)]
    assert not writer.close(0.01)  # the disk is still at the first
    with pytest.raises(DomainError, match="closed"):
        writer.submit(numbered(payload, 9))
    folder.go_on.release(3)
    assert writer.close(PATIENCE_S)
    assert [future.result(0).path for future in futures] == folder.paths()
    assert writer.close(0)  # twice is no mistake


def test_two_workers_write_two_at_a_time(payload: dict, tmp_path: Path) -> None:
    folder = SlowFolder(tmp_path)
    writer = SnapshotWriter(folder, workers=2)
    futures = [writer.submit(numbered(payload, n)) for n in range(2)]
    assert folder.begun.acquire(timeout=PATIENCE_S)
    assert folder.begun.acquire(timeout=PATIENCE_S)
    assert sorted(folder.threads) == ["snapshot_io_0", "snapshot_io_1"]
    folder.go_on.release(2)
    assert {f.result(PATIENCE_S).path for f in futures} == set(folder.paths())
    assert writer.close(PATIENCE_S)


def test_no_program_is_traced_or_compiled_for_a_snapshot(
    learned: PredictorState, config: PredictorConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Tracing beside the compute thread would hold the interpreter for milliseconds to seconds.
    # Shapes that nothing has met before.
    states: PredictorState = jax.device_put(jax.tree.map(lambda leaf: np.stack([leaf] * 7), learned))
    writer = SnapshotWriter(SnapshotFolder(tmp_path))
    with jax.log_compiles():
        writer.submit(lambda: snapshot_of(states, config)).result(PATIENCE_S)
        assert not caplog.records
        jax.block_until_ready(states.weight * 3)  # which is what the log would have shown
    assert caplog.records
    assert writer.close(PATIENCE_S)


@pytest.mark.parametrize(("queue", "workers"), [(0, 1), (1, 0)])
def test_a_writer_without_room_or_threads_is_refused(queue: int, workers: int) -> None:
    with pytest.raises(DomainError, match="at least 1"):
        SnapshotWriter(None, queue_maxlen=queue, workers=workers)

"""A run that snapshots every 50 ticks, killed again and again: `python tests/support/interrupted_run.py --kills 3`.

Prints one JSON object.  Every run is a child of its own, forked before JAX has started, so that none pays the imports.
A child tells through a pipe where it began, where it is, and which snapshots it has acknowledged; the kill (SIGKILL)
comes at a random moment, for every other child at a random moment of a write.  What must hold: a child begins where an
acknowledged snapshot was, or later; every file in the folder is whole; and in the end the state is that of a run that
nobody killed, bit for bit.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import select
import signal
import tempfile
import time
import warnings
from pathlib import Path
from typing import NoReturn

import numpy as np
from waiting import PATIENCE_S

from uspnb.config.schema import PredictorConfig
from uspnb.errors import IntegrityError
from uspnb.model.programs import SERIES_LENGTH
from uspnb.model.records import Observation
from uspnb.persistence.snapshots import (
    Progress,
    SnapshotFolder,
    SnapshotWriter,
    progress_from,
    read_snapshot,
    snapshot_of,
    state_from,
)
from uspnb.predictor.functional import FunctionalPredictor
from uspnb.runtime.digest import sha256_pytree

EVERY = 50
INTERVAL_NS = 10**9
FOREVER = 10**9
WRITE_S = 0.012


def ticks_at(start: int) -> Observation:
    """The ticks from `start` on: the same numbers for every run, however often it began."""
    noise = np.random.default_rng((41, start // EVERY)).standard_normal(EVERY)
    values = np.resize(np.sin(np.arange(start, start + EVERY) / 9.0) + 0.3 * noise, SERIES_LENGTH)
    stamps = np.arange(start, start + SERIES_LENGTH, dtype=np.int64) * INTERVAL_NS
    return Observation(values, stamps, stamps, np.full(SERIES_LENGTH, np.nan))


def run(folder: Path, last: int, pipe: int) -> None:
    """Go on from the newest valid snapshot to tick `last`, and tell."""

    def tell(*words: object) -> None:
        os.write(pipe, (" ".join(map(str, words)) + "\n").encode())

    config = PredictorConfig()
    functional = FunctionalPredictor(config)
    state, at = functional.init_state(), 0
    functional.advance(state, ticks_at(0), 1)  # traced before it says that it has begun, which takes seconds
    snapshots = SnapshotFolder(folder)
    found = snapshots.newest_valid()
    if found is not None:
        state = state_from(found.payload, state)
        progress = progress_from(found.payload)
        assert progress is not None
        at = progress.ticks
    writer = SnapshotWriter(snapshots)
    tell("start", at, len(found.skipped) if found else 0)
    while at < last:
        state, _ = functional.advance(state, ticks_at(at), EVERY)
        at += EVERY
        tell("at", at)
        progress = Progress(at, "the same numbers", (at - 1) * INTERVAL_NS, {})
        future = writer.submit(functools.partial(snapshot_of, state, config, progress=progress))
        future.add_done_callback(
            lambda done, at=at: None if done.cancelled() else tell("saved", at, done.result().bytes)
        )
    assert writer.close(PATIENCE_S)
    tell("end", at, sha256_pytree(state))


def child(folder: Path, last: int) -> tuple[int, int]:
    """Fork a run; its process id and the end of the pipe to read from."""
    read, write = os.pipe()
    process = os.fork()
    if process:
        os.close(write)
        return process, read
    leave(folder, last, write)


def leave(folder: Path, last: int, pipe: int) -> NoReturn:
    code = 1
    try:
        run(folder, last, pipe)
        code = 0
    finally:
        os._exit(code)


def listen(pipe: int, until: float | None, word: str = "") -> list[list[str]]:
    """What a child says until a word comes, an instant passes, or it is gone."""
    data = b""
    end = time.monotonic() + PATIENCE_S if until is None else until
    while not (word and f"{word} ".encode() in data):
        ready, _, _ = select.select([pipe], [], [], max(end - time.monotonic(), 0))
        if not ready:
            break
        piece = os.read(pipe, 65536)
        if not piece:
            break
        data += piece
    return [line.split() for line in data.decode().splitlines()]


def killed_runs(folder: Path, kills: int, window_s: float, seed: int) -> dict[str, object]:
    """Kill that many runs; what was seen."""
    rng = random.Random(seed)
    acknowledged, reached, lost, leftovers, bad_starts, damaged, replayed = 0, 0, 0, 0, 0, 0, 0
    for k in range(kills):
        process, pipe = child(folder, FOREVER)
        told = listen(pipe, None, "start")
        if k == kills - 1:  # what goes on after the last kill goes on from a snapshot
            told += listen(pipe, None, "saved")
        told += listen(pipe, time.monotonic() + rng.uniform(0.0, window_s))
        if k % 2:  # every other time just after a hand-over, when the writer is at work
            told += listen(pipe, None, "at")
            time.sleep(rng.uniform(0.0, WRITE_S))  # to any moment of the write
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        told += listen(pipe, None)  # what was still in the pipe
        os.close(pipe)
        start = next((int(words[1]) for words in told if words[0] == "start"), None)
        if start is None:
            raise RuntimeError("a run died before it began")
        bad_starts += start < acknowledged
        lost, replayed = max(lost, reached - start), replayed + reached - start
        acknowledged = max([start, *(int(words[1]) for words in told if words[0] == "saved")])
        reached = max([start, *(int(words[1]) for words in told if words[0] == "at")])
        leftovers += sum(name.endswith(".tmp") for name in os.listdir(folder)) if folder.exists() else 0
        for path in SnapshotFolder(folder).paths():
            try:
                read_snapshot(path)
            except IntegrityError:
                damaged += 1
    return {
        "kills": kills,
        "restarts_before_an_acknowledged_snapshot": bad_starts,
        "damaged_files": damaged,
        "kills_in_the_middle_of_a_write": leftovers,
        "most_ticks_replayed": lost,
        "ticks_replayed": replayed,
        "reached": reached,
    }


def finished(folder: Path, last: int) -> tuple[int, str]:
    """Where a run began that nobody kills, and the digest of its last state."""
    process, pipe = child(folder, last)
    told = listen(pipe, None, "end")
    _, status = os.waitpid(process, 0)
    os.close(pipe)
    if status or not told or told[-1][0] != "end":
        raise RuntimeError(f"the run that nobody killed ended with status {status}")
    return int(told[0][1]), told[-1][2]


def main() -> None:
    """Kill, finish, compare."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--kills", type=int, default=3)
    line.add_argument("--window", type=float, default=0.5, help="longest time between a start and its kill [s]")
    line.add_argument("--seed", type=int, default=7)
    line.add_argument("--no-reference", action="store_true", help="leave the run that nobody kills to the caller")
    options = line.parse_args()
    # Nothing of JAX runs before the forks, so that the warning about its threads does not apply.
    warnings.filterwarnings("ignore", message=r".*os\.fork\(\)", category=RuntimeWarning)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        seen = killed_runs(Path(place) / "killed", options.kills, options.window, options.seed)
        last = int(str(seen["reached"])) + 10 * EVERY
        resumed_at, digest = finished(Path(place) / "killed", last)
        seen |= {"last": last, "resumed_at": resumed_at, "digest": digest}
        if not options.no_reference:
            seen["equal"] = finished(Path(place) / "straight", last)[1] == digest
    print(json.dumps(seen | {"seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()

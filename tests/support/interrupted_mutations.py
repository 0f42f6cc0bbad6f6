"""Changes of a configuration that are killed, and many at once: `python tests/support/interrupted_mutations.py phases`.

Prints one JSON object.  Every change runs in a child that is forked from here, so that none pays the imports.

- `phases`: a child dies (SIGKILL) before each of the calls that a change makes to the operating system in turn, and in
  the middle of each write to the log.
- `kills`: children that change the file without a pause are killed at random moments.
- `writers`: several children change one file at once while it is read here without a pause.

What must hold after a kill: the file is the old or the new one; the next call settles what was left, so that the log
says "accepted" for exactly the changes that took place; the chain is intact; nothing temporary stays.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uspnb.config.audit import AuditLog
from uspnb.config.load import parse_config
from uspnb.config.mutation import history, mutate_config, rollback, verify_audit
from uspnb.errors import ConfigError, ConfigMutationError
from uspnb.runtime.digest import sha256_file

FIRST = "# settings of a test\n[sensitivity]\n# slack\ncusum_k = 0.5  # to be changed\n\n[io]\nmetrics_port = 0\n"
CALLS = ("fsync", "replace", "chmod", "write", "unlink", "mkdir", "open", "close", "ftruncate")
SEED = 5001
UNLIMITED = 10**9


def fresh(folder: Path) -> Path:
    """A configuration with one change behind it, so that there is a log and a backup."""
    path = folder / "config.toml"
    path.write_text(FIRST)
    mutate_config(path, {"cusum_k": 0.55}, trigger="first")
    return path


def in_child(work: Callable[[], None]) -> int:
    """Fork, work, leave; the process id."""
    process = os.fork()
    if not process:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return process


def dying_at(call: int) -> None:
    """Let this process die before so many calls, or within the last one where it writes to a log."""
    made = 0

    def patched(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def replacement(*args: Any, **rest: Any) -> Any:
            nonlocal made
            made += 1
            if made == call:
                if name == "write":
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **rest)

        return replacement

    for name in CALLS:
        setattr(os, name, patched(name, getattr(os, name)))


def checked(path: Path, contents: set[str]) -> None:
    """Assert everything that must hold after a kill, in this order: the file, then the log, then both."""
    present = sha256_file(path)
    assert present in contents, f"the file is neither the old nor the new one: {path.read_text()!r}"
    parse_config(path.read_text())
    told = history(path)
    assert [record for record in told if record.outcome in ("intent", "unknown")] == []
    changed = [record for record in told if record.outcome in ("accepted", "rolled_back")]
    assert changed[-1].after == present, "the last change that the log tells of is not the one that took place"
    for earlier, later in itertools.pairwise(changed):
        assert earlier.after == later.before, "a change is missing from the log"
    check = verify_audit(path.parent / "io" / "mutations.log")
    assert check.ok, check.reason


def settled(path: Path) -> Counter[str]:
    """How often a call found something unfinished, and what it made of it."""
    told, _ = AuditLog(path.parent / "io" / "mutations.log").read()
    counted = Counter(f"settled as {record.outcome}" for record in told if record.reason.startswith("interrupted"))
    counted["lines left unfinished"] = sum(record.repaired_bytes > 0 for record in told)
    return counted


def phases(options: argparse.Namespace) -> dict[str, Any]:
    """Die at each call of one change in turn."""
    counted: Counter[str] = Counter()
    call, ended = 0, False
    while not ended:
        call += 1
        with tempfile.TemporaryDirectory() as place:
            path = fresh(Path(place))
            old = sha256_file(path)

            def work(call: int = call, path: Path = path) -> None:
                dying_at(call)
                mutate_config(path, {"cusum_k": 0.6}, trigger="killed")

            _, status = os.waitpid(in_child(work), 0)
            ended = not os.WIFSIGNALED(status)
            assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
            new = path.with_name("expected.toml")
            new.write_text(FIRST.replace("0.5 ", "0.6 "))
            counted["left the new file" if sha256_file(path) != old else "left the old file"] += not ended
            checked(path, {old, sha256_file(new)})
            # Then life goes on: nobody waits for a dead writer's lock, and nothing temporary stays.
            mutate_config(path, {"cusum_k": 0.7}, trigger="after", ticks_since_last=1000)
            rollback(path)
            assert parse_config(path.read_text()).cusum_k in (0.55, 0.6)
            assert [name for name in os.listdir(place) if name.endswith(".tmp")] == []
            checked(path, {sha256_file(path)})
            counted += settled(path)
    return {"calls": call - 1, **counted}


def kills(options: argparse.Namespace) -> dict[str, Any]:
    """Kill at random moments."""
    rng = random.Random(SEED)
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        path = fresh(Path(place))

        def work() -> None:
            values = random.Random(os.getpid())
            while True:
                change = {"cusum_k": round(values.uniform(0.5, 0.7), 6)}
                mutate_config(path, change, trigger="killed", rate_limit_per_hour=UNLIMITED)

        for _ in range(options.kills):
            process = in_child(work)
            time.sleep(rng.uniform(0.02, options.window))  # a kill comes at any moment
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            checked(path, {record.after for record in history(path)})
        mutate_config(path, {"cusum_k": 0.75}, trigger="after", rate_limit_per_hour=UNLIMITED)
        counted["accepted"] = sum(record.outcome == "accepted" for record in history(path))
        counted["temporary files left"] = sum(name.endswith(".tmp") for name in os.listdir(place))
        return {"kills": options.kills, **counted, **settled(path)}


def writers(options: argparse.Namespace) -> dict[str, Any]:
    """Several children at once, and a reader."""
    with tempfile.TemporaryDirectory() as place:
        path = fresh(Path(place))

        def work() -> None:
            values = random.Random(os.getpid())
            done = refused = 0
            for _ in range(options.rounds):
                change = {"cusum_k": round(values.uniform(0.5, 0.7), 9)}
                try:
                    mutate_config(path, change, trigger=str(os.getpid()), rate_limit_per_hour=options.limit)
                    done += 1
                except ConfigMutationError:
                    refused += 1
            path.with_name(f"done-{os.getpid()}").write_text(json.dumps([done, refused]))

        processes = [in_child(work) for _ in range(options.writers)]
        reads, invalid, alive = 0, 0, set(processes)
        while alive:
            with contextlib.suppress(ChildProcessError):
                while (ended := os.waitpid(-1, os.WNOHANG)[0]) > 0:
                    alive.discard(ended)
            try:
                parse_config(path.read_text())
            except (ConfigError, OSError):
                invalid += 1
            reads += 1
        reports = {p: json.loads(path.with_name(f"done-{p}").read_text()) for p in processes}
        checked(path, {sha256_file(path)})
        told = history(path)
        by_writer = Counter(record.trigger for record in told if record.outcome == "accepted")
        rejected = Counter(record.trigger for record in told if record.outcome == "rejected")
        return {
            "writers": options.writers,
            "accepted": sum(done for done, _ in reports.values()),
            "accepted by the log": sum(by_writer[str(p)] for p in processes),
            "refused": sum(refused for _, refused in reports.values()),
            "refused by the log": sum(rejected[str(p)] for p in processes),
            "agree": all([by_writer[str(p)], rejected[str(p)]] == reports[p] for p in processes),
            "reads": reads,
            "invalid reads": invalid,
            "log": verify_audit(path.parent / "io" / "mutations.log").text(),
        }


def main() -> None:
    """Do what was asked for and print what was seen."""
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    line.add_argument("what", nargs="+", choices=("phases", "kills", "writers"))
    line.add_argument("--kills", type=int, default=50)
    line.add_argument("--window", type=float, default=0.15, help="longest time before a kill [s]")
    line.add_argument("--writers", type=int, default=8)
    line.add_argument("--rounds", type=int, default=3, help="changes of a writer")
    line.add_argument("--limit", type=int, default=UNLIMITED, help="changes an hour")
    options = line.parse_args()
    warnings.filterwarnings("ignore", message=".*fork.*")
    print(json.dumps({name: globals()[name](options) for name in options.what}))


if __name__ == "__main__":
    main()

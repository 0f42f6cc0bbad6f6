"""Changing the configuration under fire: kills at every call and at random moments, many writers; how long it takes.

python benchmarks/mutation.py                        # 50 kills, 8 writers, 100 timed changes
python benchmarks/mutation.py --stages kills --kills 500

Settings and their defaults:

    --kills 50     at random moments
    --writers 8    processes at once
    --rounds 10    changes of each writer
    --changes 100  that are timed
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tables import parser, show_stages
from tqdm.auto import tqdm

from uspnb.config.mutation import History, history, mutate_config, rollback, verify_audit

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tests" / "support" / "interrupted_mutations.py"
COLUMNS = {"stage": "", "what": "", "value": ",.4g", "unit": ""}
UNLIMITED = 10**9

Rows = list[list[Any]]


def interrupted(stage: str, options: Any) -> Rows:
    """What the children of the script went through; it ends with an error where anything that must hold does not."""
    sizes = ["--kills", str(options.kills), "--writers", str(options.writers), "--rounds", str(options.rounds)]
    done = subprocess.run([sys.executable, str(SCRIPT), stage, *sizes], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    seen = json.loads(done.stdout)[stage]
    return [[stage, what, float(value), ""] for what, value in seen.items() if not isinstance(value, str)]


def latency(options: Any) -> Rows:
    """How long the calls take on the shipped configuration, with a log that grows."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(shutil.copyfile(ROOT / "config.toml", Path(place) / "config.toml"))
        spent: dict[str, list[float]] = {}

        def timed(what: str, call: Callable[[], Any]) -> None:
            began = time.perf_counter()
            call()
            spent.setdefault(what, []).append((time.perf_counter() - began) * 1e3)

        def change(k: float) -> None:
            mutate_config(path, {"cusum_k": k}, trigger="benchmark", rate_limit_per_hour=UNLIMITED)

        for i in tqdm(range(options.changes), desc="changes", disable=None):
            k = 0.5 + (i + 1) / (4 * options.changes)
            timed("change", lambda k=k: change(k))
            timed("nothing to change", lambda k=k: change(k))
            timed("rollback", lambda: rollback(path))
        log = path.parent / "io" / "mutations.log"
        timed("history", lambda: history(path))
        timed("verify the log", lambda: verify_audit(log))
        told: History = history(path)
        rows: Rows = [["latency", "lines of the log", float(verify_audit(log).lines), ""]]
        rows += [["latency", "bytes of a line", log.stat().st_size / verify_audit(log).lines, ""]]
        assert sum(record.outcome == "accepted" for record in told) == options.changes
    for what, times in spent.items():
        rows.append(["latency", f"{what}: median of {len(times)}", statistics.median(times), "ms"])
        if len(times) > 1:
            rows.append(["latency", f"{what}: longest", max(times), "ms"])
    return rows


STAGES: dict[str, Callable[[Any], Rows]] = {
    "phases": lambda options: interrupted("phases", options),
    "kills": lambda options: interrupted("kills", options),
    "writers": lambda options: interrupted("writers", options),
    "latency": latency,
}


def main() -> None:
    """Run the stages that were asked for."""
    options = parser(__doc__, STAGES).parse_args()
    note = (
        "After every kill the file was the old or the new one and the log told which, or this table would not be here."
    )
    show_stages("Changing the configuration", COLUMNS, STAGES, options, note)


if __name__ == "__main__":
    main()

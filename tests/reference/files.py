"""Files as one version of the package writes them, for later versions to read.

    python tests/reference/files.py ARCHIVE.zip    write a snapshot, saved runs, a campaign and settings into an archive

The archives in `stored/` are named by the month that they were written in, and are never written anew: a later
version must read what an earlier one wrote.  A version that changes a format adds an archive of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # under pytest the settings are those of conftest.py
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np

import uspnb

SPEC = importlib.util.spec_from_file_location("record", Path(__file__).with_name("record.py"))
assert SPEC is not None and SPEC.loader is not None
record = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(record)

FED, LAST = 240, 280  # ticks behind the snapshot, and where the ones that follow end
RUN = 96  # ticks of the saved runs
TRIALS, ALL_TRIALS = 8, 12


def series() -> np.ndarray:
    """What the snapshot's predictor has seen and goes on to see."""
    return record.processes.regime_switching_autoregression(LAST, 21).values


def following(predictor: uspnb.UniversalPredictor) -> dict[str, Any]:
    """Forecasts of a predictor that goes on where the snapshot was taken, its weights and its alarm charts."""
    record.step_through(predictor, series(), FED, LAST)
    ds = predictor.history().isel(time=slice(-(LAST - FED), None))
    names = ("prediction", "lower", "upper", "kernel_prediction", "weight", "cusum_up", "holder_exponent")
    return {f"following/{name}": ds[name].values for name in names}


def bowl(params: dict[str, Any]) -> float:
    """Lowest at x = 1 and n = 1."""
    return (params["x"] - 1.0) ** 2 + 0.1 * params["n"]


def campaign(folder: Path) -> uspnb.BayesianMetaOptimizer:
    """A campaign whose files lie in a folder."""
    space = {
        "x": uspnb.SearchSpace("x", "float", (-5.0, 5.0)),
        "n": uspnb.SearchSpace("n", "int", (1, 9)),
    }
    meta = uspnb.MetaOptimizationConfig(
        batch_size=4, n_startup_trials=4, n_trials=ALL_TRIALS, checkpoint_interval=4, checkpoint_path=str(folder)
    )
    return uspnb.BayesianMetaOptimizer(space, bowl, study_name="bowl", meta_config=meta, progress=False)


def tried(optimizer: uspnb.BayesianMetaOptimizer) -> dict[str, Any]:
    """Parameters and value of every trial, in order."""
    rows = [[trial.params["x"], trial.params["n"], trial.value] for trial in optimizer.trials]
    return {"trials": np.array(rows, float)}


def command(*words: str) -> tuple[int, str]:
    """Exit code and output of a `uspnb` command."""
    from uspnb.cli import main

    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = main(list(words))
    return code, output.getvalue()


def write(folder: Path) -> None:
    """Write every file, and what a reader must get from them to `expected`."""
    expected: dict[str, Any] = {}
    predictor = uspnb.UniversalPredictor(clock=uspnb.replay_clock)
    predictor.fit_history(series()[:FED], times=record.START_NS + record.SECOND_NS * np.arange(FED))
    predictor.save_snapshot(folder / "snapshot")
    expected |= following(predictor)

    with uspnb.Session(record.assets_table()["levy"].iloc[:RUN], name="levy", units="K") as session:
        session.step(RUN)
        record.reach(session, RUN)
        for suffix in (".nc", ".zarr"):
            session.export(folder / f"run{suffix}")
        expected |= record.of_dataset("run", session.history())

    (folder / "tuning").mkdir()
    optimizer = campaign(folder / "tuning")
    optimizer.optimize(TRIALS)
    optimizer.save_study(folder / "study.json")
    with tempfile.TemporaryDirectory() as other:
        whole = campaign(Path(other))
        whole.optimize(ALL_TRIALS)
        expected |= tried(whole)

    (folder / "settings").mkdir()
    settings = folder / "settings" / "config.toml"
    settings.write_text(command("config", "template")[1])
    uspnb.mutate_config(settings, {"cusum_k": 0.4}, trigger="first")
    uspnb.mutate_config(settings, {"cusum_k": 0.3, "confidence_level": 0.9}, trigger="second")
    with contextlib.suppress(uspnb.ConfigMutationError):
        uspnb.mutate_config(settings, {"cusum_k": 2.0}, trigger="too far")
    record.write(expected, folder / "expected")


def main(archive: str) -> None:
    """Write the archive."""
    socket.gethostname = lambda: "elsewhere"  # a campaign names the machine that it ran on
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "files"
        folder.mkdir()
        write(folder)
        for lock in folder.rglob("*.lock"):
            lock.unlink()
        shutil.make_archive(str(Path(archive).with_suffix("")), "zip", folder)


if __name__ == "__main__":
    main(sys.argv[1])

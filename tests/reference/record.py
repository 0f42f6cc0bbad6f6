"""Reference runs: what the package computes, written down to the last bit and compared.

    python tests/reference/record.py OUT [--data FOLDER]    write a recording to the folder OUT
    python tests/reference/record.py --compare A B          compare two recordings; exit code 1 where they differ
    python tests/reference/record.py --store                write anew what `test_reference.py` compares with

A recording holds Datasets of `backtest` over synthetic series and the sample series, the history of a session whose
settings change on the way, a fleet's windows and table, a snapshot and what follows from it, a campaign's trials, and
the help of every command.  Two recordings of one commit on one machine are equal to the bit.  A commit that changes a
number on purpose records the stored reference anew, in the same commit and with its reason in the message.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # under pytest the settings are those of conftest.py
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
import pandas as pd
import xarray as xr

import uspnb

Recording = dict[str, Any]  # name -> array, or text

STORED = Path(__file__).with_name("stored")
SECOND_NS = 10**9
START_NS = 1_771_632_000 * SECOND_NS
# Ticks of each recorded axis that the stored reference has, and the length above which an axis is thinned.
STORED_ROWS = 24
# A whole run takes seconds; this only keeps a run that hangs from hanging for ever.
GIVE_UP_S = 1800.0
SNAPSHOTS = ("uspnb.persistence", "uspnb.persistence.snapshots", "uspnb.snapshots")
# What two runs of one commit do not have in common, and what two machines do not.
PASSING = re.compile(r"^(version_.*|platform|events)$")


def room(*names: str, having: str = "__name__") -> Any:
    """The first of these modules that this version of the package has, with a name that it must have."""
    for name in names:
        with contextlib.suppress(ModuleNotFoundError):
            module = importlib.import_module(name)
            if hasattr(module, having):
                return module
    raise ModuleNotFoundError(f"none of {', '.join(names)} is there and has {having}")


processes = room("uspnb.data.processes", "uspnb.processes")


def sample(ticks: int) -> Any:
    """The first ticks of the sample series, with their times."""
    return room("uspnb.data.samples", "uspnb.demo").demo_series(ticks)


def shifted(ticks: int = 600) -> np.ndarray:
    """White noise whose level rises by six standard deviations half-way; it raises an alarm."""
    return processes.mean_shift(ticks, 11, size=6.0).values


def assets_table(ticks: int = 320) -> pd.DataFrame:
    """Three assets on one axis of times; one has missing values and an outlier, the axis a gap."""
    columns = {
        "levy": processes.jump_diffusion(ticks, 3).values,
        "rough": processes.fractional_brownian_motion(ticks, 4, hurst=0.2).values,
        "step": processes.variance_shift(ticks, 5, ratio=5.0).values,
    }
    columns["levy"][[40, 41, 200]] = np.nan
    columns["step"][120] = 1e6
    stamps = START_NS + SECOND_NS * np.arange(ticks)
    stamps[250:] += 90 * SECOND_NS
    return pd.DataFrame(columns, index=pd.DatetimeIndex(stamps.astype("datetime64[ns]"), tz="UTC"))


def other_settings() -> uspnb.PredictorConfig:
    """Settings that take the other side of every switch, with short windows."""
    return uspnb.PredictorConfig(
        wtmm_buffer_size=64,
        wtmm_stride=3,
        log_sig_window=16,
        log_sig_depth=2,
        hilbert_lags=12,
        hilbert_features=16,
        residual_window=64,
        kernel_c_jump_max_events=4,
        input_kind="increments",
        holder_breaker="absolute",
        robustness_force_kernel_d=False,
        grace_freezes_weights=True,
        sinkhorn_coupled=False,
        jko_adaptive=False,
        sinkhorn_cost_type="huber",
        dgm_adaptive_architecture=False,
        cusum_target_arl=0.0,
        cusum_kurtosis_beta=0.2,
        confidence_level=0.8,
    )


# --- what is recorded -------------------------------------------------------------------------------------------


def record(data: Path | None = None) -> Recording:
    """Make every reference run.

    Args:
        data: a folder of CSV files; the first column of numbers of each is replayed too.
    """
    recording: Recording = {}
    for part in (series_runs, session_run, fleet_run, snapshot_run, campaign_run, help_texts):
        recording |= {f"{part.__name__.rpartition('_')[0]}/{name}": value for name, value in part().items()}
    if data is not None:
        for file in sorted(data.rglob("*.csv")):
            numbers = pd.read_csv(file).select_dtypes("number")
            values = numbers.iloc[-1500:, 0].to_numpy(float) if numbers.shape[1] else np.empty(0)
            if len(values) >= 2:
                recording |= of_dataset(f"data/{file.relative_to(data)}", uspnb.backtest(values, progress=False))
    return recording


def series_runs() -> Recording:
    """Datasets of `backtest` over six series, one of them several assets, one under other settings; a comparison."""
    runs = {
        "ornstein_uhlenbeck": (processes.ornstein_uhlenbeck(500, 1).values, None),
        "garch": (processes.garch(500, 2).values, None),
        "mean_shift": (shifted(), None),
        "assets": (assets_table(), None),
        "sample": (sample(700), None),
        "other_settings": (processes.threshold_autoregression(500, 6).values, other_settings()),
    }
    recording: Recording = {}
    for name, (values, config) in runs.items():
        recording |= of_dataset(name, uspnb.backtest(values, config, progress=False))
    return recording | of_dataset("comparison", uspnb.compare(processes.sine_in_noise(400, 7).values))


def session_run() -> Recording:
    """The history of a session: a change of settings, an alarm, a step back and the same ticks once more."""
    with uspnb.Session(shifted(), name="shifted", units="K") as session:
        session.step(280)
        reach(session, 280)
        session.configure(cusum_k=0.4, confidence_level=0.9)
        session.step(260)
        reach(session, 540)
        session.seek(420)
        reach(session, 420)
        session.step(180)
        reach(session, 600)
        recording = of_dataset("history", session.history()) | of_dataset("window", session.history(300, 360))
        recording |= of_table("alarms", session.alarms())
        recording["events"] = json.dumps([[event["tick"], event["kind"]] for event in session.events])
    if not recording["alarms/tick"].size:
        raise AssertionError("the session raised no alarm")
    return recording


def fleet_run() -> Recording:
    """The windows of a fleet's assets, its table and its alarms."""
    table = assets_table()
    with uspnb.Fleet(table, ring=len(table), workers=1) as fleet:
        fleet.run()
        reach(fleet, len(table))
        recording = of_table("table", fleet.table()) | of_table("alarms", fleet.alarms())
        for asset in fleet.assets:
            recording |= of_dataset(f"window/{asset}", fleet.window(asset))
    return recording


def snapshot_run() -> Recording:
    """Every array of a predictor's snapshot, and the ticks that follow when it is loaded."""
    values = processes.regime_switching_autoregression(360, 8).values
    first = uspnb.UniversalPredictor(clock=uspnb.replay_clock)
    first.fit_history(values[:256], times=START_NS + SECOND_NS * np.arange(256))
    step_through(first, values, 256, 320)
    with tempfile.TemporaryDirectory() as folder:
        path = first.save_snapshot(Path(folder) / "snapshot")
        payload = room(*SNAPSHOTS, having="read_snapshot").read_snapshot(path)
        second = uspnb.UniversalPredictor.from_snapshot(path, clock=uspnb.replay_clock)
    step_through(second, values, 320, 360)
    recording: Recording = {}
    for block, content in payload.items():
        if block != "timestamp":
            recording |= flattened(f"payload/{block}", content)
    return recording | of_dataset("before", first.history()) | of_dataset("after", second.history())


def campaign_run() -> Recording:
    """Parameters and values of eight trials of a campaign over a short series."""
    fields = ("cusum_k", "volatility_alpha", "sinkhorn_alpha", "score_forgetting")
    tuning = room("uspnb.tuning")
    every = tuning.fast_space() | tuning.traced_space()
    space = {name: every[name] for name in fields}
    values = processes.autoregression(300, 9).values
    objective = tuning.WalkForwardObjective(values, n_folds=2)
    with tempfile.TemporaryDirectory() as folder:
        meta = uspnb.MetaOptimizationConfig(
            n_trials=8, n_startup_trials=4, batch_size=4, n_folds=2, checkpoint_path=folder
        )
        optimizer = uspnb.BayesianMetaOptimizer(space, objective, study_name="r", meta_config=meta, progress=False)
        result = optimizer.optimize()
        trials = optimizer.trials
        recording = {f"params/{name}": np.array([trial.params[name] for trial in trials]) for name in fields}
        recording["value"] = np.array([trial.value for trial in trials], float)
        recording["state"] = np.array([trial.state.name for trial in trials])
        dataset = optimizer.results
    timed = [name for name in dataset.variables if re.search("second|time|start|end", str(name))]
    recording |= of_dataset("results", dataset.drop_vars(timed).drop_attrs())
    names = ("best_params", "best_objective", "default_objective", "p_value", "recommended_params")
    return recording | flattened("result", {name: getattr(result, name) for name in names})


def help_texts() -> Recording:
    """`uspnb --help` and the help of every command and of its commands."""
    recording: Recording = {}
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR", "PYTHON_COLORS")}
    os.environ.update(COLUMNS="100", NO_COLOR="1", PYTHON_COLORS="0")
    try:
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            command = waiting.pop()
            text = help_of(command)
            recording[" ".join(("uspnb", *command))] = text
            listed = re.search(r"^commands:\n(.*)", text, re.MULTILINE | re.DOTALL)
            waiting += [
                (*command, name) for name in re.findall(r"^    (\w\S*)", listed.group(1) if listed else "", re.M)
            ]
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    return recording


def help_of(command: tuple[str, ...]) -> str:
    """What a command prints for `--help`."""
    from uspnb.cli import main

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return output.getvalue()


# --- how it is recorded -----------------------------------------------------------------------------------------


def step_through(predictor: uspnb.UniversalPredictor, values: np.ndarray, start: int, stop: int) -> None:
    """Take the ticks start..stop, one a second."""
    for k in range(start, stop):
        predictor.step(uspnb.ProcessState(float(values[k]), START_NS + k * SECOND_NS))


def reach(engine: Any, ticks: int) -> None:
    """Wait until a session or a fleet is at rest after so many ticks.

    Raises:
        RuntimeError: it stopped with an error, or nothing moved for half an hour.
    """
    changed = threading.Event()
    unsubscribe = engine.subscribe(changed.set)
    last, waited = -1, 0.0
    try:
        while not (engine.status.ticks == ticks and engine.status.at_rest):
            if engine.status.error is not None:
                raise RuntimeError(f"{engine!r}: {engine.status.error}")
            # A change may have come before the subscription; a look twice a second costs nothing.
            if not changed.wait(0.5):
                waited = waited + 0.5 if (reached := engine.status.ticks) == last else 0.0
                last = reached
                if waited > GIVE_UP_S:
                    raise RuntimeError(f"{engine!r} does not reach tick {ticks}")
            changed.clear()
    finally:
        unsubscribe()


def plain(values: Any) -> np.ndarray:
    """An array that NumPy stores without pickling: text where it was objects, integers where it was times."""
    array = np.asarray(values)
    if array.dtype.kind in "mM":
        return array.astype("datetime64[ns]" if array.dtype.kind == "M" else "timedelta64[ns]").astype(np.int64)
    return array.astype(str) if array.dtype.kind in "OT" else array


def of_dataset(name: str, ds: xr.Dataset) -> Recording:
    """Every variable, coordinates included, and as text the attributes that do not depend on when and where."""
    recording: Recording = {f"{name}/{key}": plain(variable.values) for key, variable in ds.variables.items()}
    attributes = {str(key): lasting(variable.attrs) for key, variable in ds.variables.items()}
    recording[f"{name}/attributes"] = json.dumps({"": lasting(ds.attrs)} | attributes, sort_keys=True, default=repr)
    dims = {str(key): variable.dims for key, variable in ds.variables.items()}
    recording[f"{name}/dims"] = json.dumps(dims, sort_keys=True)
    return recording


def lasting(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes without those that name versions, the platform or moments."""
    return {
        str(key): value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in attributes.items()
        if not PASSING.match(str(key))
    }


def of_table(name: str, table: pd.DataFrame) -> Recording:
    """Every column of a table, and its index."""
    columns = {f"{name}/{key}": plain(table[key].to_numpy()) for key in table.columns}
    return columns | {f"{name}/index": plain(table.index.to_numpy())}


def flattened(name: str, content: Any) -> Recording:
    """The numbers and texts of nested maps, by their path."""
    if isinstance(content, dict):
        return {key: v for part, value in content.items() for key, v in flattened(f"{name}/{part}", value).items()}
    return {name: json.dumps(content) if content is None or isinstance(content, str) else plain(content)}


# --- recordings on the disk -------------------------------------------------------------------------------------


def write(recording: Recording, folder: Path) -> None:
    """Write a recording to `arrays.npz` and `texts.json` of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: value for name, value in recording.items() if not isinstance(value, str)}
    np.savez_compressed(folder / "arrays.npz", **arrays)
    texts = {name: value for name, value in recording.items() if isinstance(value, str)}
    (folder / "texts.json").write_text(json.dumps(texts, indent=0, sort_keys=True) + "\n")


def read(folder: Path) -> Recording:
    """A recording that `write` wrote."""
    with np.load(folder / "arrays.npz") as arrays:
        recording: Recording = {name: arrays[name] for name in arrays.files}
    return recording | json.loads((folder / "texts.json").read_text())


def thinned(name: str, value: Any) -> Any:
    """What the stored reference holds of an item: of long axes evenly spaced entries, the last one among them."""
    if isinstance(value, str):
        return value
    for axis, length in enumerate(value.shape):
        if length > 2 * STORED_ROWS:
            value = np.take(value, np.linspace(1, length - 1, STORED_ROWS).round().astype(int), axis)
    return value


def difference(a: Any, b: Any) -> str:
    """In what two items differ, "" where they are equal to the bit."""
    if isinstance(a, str) or isinstance(b, str):
        return "" if a == b else "texts differ"
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.dtype}{a.shape} against {b.dtype}{b.shape}"
    if a.tobytes() == b.tobytes():
        return ""
    if a.dtype.kind not in "fiub":
        return f"{int((a != b).sum())} of {a.size} entries differ"
    with np.errstate(invalid="ignore"):
        apart = np.abs(a.astype(float) - b.astype(float))
    apart_text = "nothing finite" if np.isnan(apart).all() else f"{np.nanmax(apart):.3g}"
    return f"largest difference {apart_text}, NaN in other places: {bool((np.isnan(a) != np.isnan(b)).any())}"


def compare(a: Recording, b: Recording, say: Callable[[str], object] = print) -> int:
    """Say of every item whether two recordings agree on it; how many they do not."""
    apart = 0
    for name in sorted({*a, *b}):
        text = difference(a[name], b[name]) if name in a and name in b else f"only in {'A' if name in a else 'B'}"
        apart += bool(text)
        say(f"{text or 'equal to the bit'}: {name}")
    say(f"{len({*a, *b}) - apart} items equal to the bit, {apart} not")
    return apart


def main(arguments: Iterable[str] | None = None) -> int:
    """Record, compare or store; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT", help="folder of the recording")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="replay the CSV files below it too")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="compare two recordings")
    parser.add_argument("--store", action="store_true", help="write the reference of the test suite anew")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.compare:
        return 1 if compare(read(options.compare[0]), read(options.compare[1])) else 0
    if options.store:
        write({name: thinned(name, value) for name, value in record().items()}, STORED)
        return 0
    if options.out is None:
        parser.error("name the folder OUT, or --compare A B, or --store")
    write(record(options.data), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

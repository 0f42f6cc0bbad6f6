"""`benchmarks/league.py` at a tiny size without rivals, and its scores on forecasts whose scores are known."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def league(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module; what it imports from its own folder goes with it, since tests have a `tables` too."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("tables", "league"):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    return importlib.import_module("league")


def test_scores_of_a_constant_error(league: Any) -> None:
    """Two above the truth, in an interval of width 1 about the forecast: 1 + 2 / 0.05 * 1.5."""
    known = league.Known("ramp", np.arange(100.0), ())
    origins = np.arange(10, 60)
    truth = np.stack([known.values[origins + h] for h in league.HORIZONS], axis=1)
    rows = np.stack([truth + 2.0, truth + 1.5, truth + 2.5], axis=1)
    np.testing.assert_allclose(league.scores(known, origins, rows), [[2.0, 2.0], [61.0, 61.0]])


def test_the_last_value_and_its_interval(league: Any) -> None:
    """Of a walk of independent steps the interval of h steps is 1.96 sqrt(h) wide to each side."""
    rng = np.random.default_rng(1)
    known = league.Known("walk", rng.normal(size=4000).cumsum(), ())
    origins = np.arange(600, 3900, 7)
    rows = league.last_value(known, origins).rows
    np.testing.assert_array_equal(rows[:, 0], np.repeat(known.values[origins][:, None], 2, axis=1))
    half = (rows[:, 2] - rows[:, 1]).mean(axis=0) / 2
    assert half[0] == pytest.approx(1.96, rel=0.05) and half[1] == pytest.approx(1.96 * np.sqrt(24), rel=0.3)


def test_origins_have_a_value_now_and_at_every_horizon(league: Any) -> None:
    values = np.ones(200)
    values[[110, 134, 150]] = np.nan
    options = argparse.Namespace(first=100, every=1)
    left = set(range(100, 176)) - set(league.origins_of(league.Known("holes", values, ()), options).tolist())
    assert left == {110, 134, 150, 109, 133, 149, 134 - 24, 150 - 24}
    filled = league.carried_on(np.array([np.nan, 1.0, np.nan, 3.0, np.nan]))
    np.testing.assert_array_equal(filled, [1.0, 1.0, 1.0, 3.0, 3.0])


def test_a_quick_run_without_rivals_says_why_and_knows_the_season(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(BENCHMARKS / "league.py"),
        "--quick",
        "--json",
        "--environment",
        str(tmp_path / "none"),
    ]
    done = subprocess.run(
        command, env=os.environ | {"JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    means, every = json.loads(done.stdout)["tables"]
    assert "there is no environment in none" in means["note"]
    errors = {row["method"]: row["error, 1"] for row in means["rows"] if row["series"].startswith("with a season")}
    assert errors["last value"] == 1.0 and errors["uspnb, seasons told"] < errors["uspnb"] < 0.7
    assert {row["series"] for row in every["rows"]} == {"demand, 12 ticks a day", "autoregression"}

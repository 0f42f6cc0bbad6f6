"""`benchmarks/scaling.py` at a tiny size, and its fit on a known power law."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
TINY = ("--json", "--ticks", "128", "--calls", "4", "--repeats", "2", "--lags", "--kernels")


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module; what it imports from its own folder goes with it, since tests have a `tables` too."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("tables", "scaling"):
        monkeypatch.setitem(sys.modules, name, None)
        del sys.modules[name]
    return importlib.import_module("scaling")


@pytest.mark.parametrize("power", [0.0, 1.0, 2.2])
def test_the_exponent_of_a_power_law(scaling: Any, power: float) -> None:
    sizes = np.array([4, 8, 15, 30, 60])
    assert scaling.exponent(sizes, 3.7 * sizes**power) == pytest.approx(power, abs=1e-12)
    # a fixed part lowers it: that is the cost itself, and the table gives the range
    assert scaling.exponent(sizes, 50 + sizes**power) <= power + 1e-12
    assert math.isnan(scaling.exponent([8], [1.0]))


def test_rows_are_judged_by_their_own_scale(scaling: Any) -> None:
    costs = {"assets": [(1, 10.0), (10, 100.0), (100, 1000.0)], "window": [(64, 1.0), (128, 4.0)], "lags": [(48, 5.0)]}
    rows = [[scale, size, 0.0, us, "", 0.0] for scale, pairs in costs.items() for size, us in pairs]
    judged = {row[0]: row[1:] for row in scaling.exponents(rows)}
    assert judged["assets"] == [1, 100, 3, pytest.approx(1.0), 1.0, judged["assets"][-1]]
    assert judged["window"] == [64, 128, 2, pytest.approx(2.0), 1.3, "no"]
    assert set(judged) == {"assets", "window"}


def test_every_kernel_is_there_equally_often(scaling: Any) -> None:
    for count in (1, 2, 3, 4):
        names = [name for names in scaling.turned(count) for name in names]
        assert {names.count(name) for name in scaling.KERNELS} == {1 if count == 4 else count}


def measured(*options: str) -> dict[str, Any]:
    """What it prints, as JSON, in a process of its own."""
    command = [sys.executable, str(BENCHMARKS / "scaling.py"), *TINY, *options]
    done = subprocess.run(
        command, env=os.environ | {"JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_costs_at_two_sizes_and_a_large_batch(scaling: Any) -> None:
    """Two programs of a series and one of a batch are compiled."""
    options = ("--assets", "--windows", "64", "128", "--batch", "2", "--large", "2")
    costs, exponents, large = measured("--stages", "cost", "large", *options)["tables"]
    assert [(row["scale"], row["size"]) for row in costs["rows"]] == [("window", 64), ("window", 128)]
    assert all(1 < row["us"] < 1e6 and row["processor us"] > 0 and row["yardsticks"] > 0 for row in costs["rows"])
    (fitted,) = exponents["rows"]
    assert (fitted["scale"], fitted["from"], fitted["to"], fitted["bar"]) == ("window", 64, 128, 1.3)
    assert fitted["exponent"] == pytest.approx(
        scaling.exponent([64, 128], [row["processor us"] for row in costs["rows"]])
    )
    values = {row["what"]: row["value"] for row in large["rows"] if row["unit"] != "yardsticks"}
    each = values["an asset of it"]
    assert values["an asset of the large against one of the small"] == pytest.approx(each / values["an asset of 2"])
    assert values["a call, of the processor"] * 1e3 == pytest.approx(2 * each)
    assert values["states"] > 0

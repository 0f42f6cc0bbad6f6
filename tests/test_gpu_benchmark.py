"""`benchmarks/gpu.py` at a tiny size, on one device of the host and spread over two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from uspnb import PredictorConfig

BENCHMARK = Path(__file__).resolve().parent.parent / "benchmarks" / "gpu.py"
TINY = ("--json", "--cached", "--ticks", "4", "--repeats", "1")
EXACT = 1e-9


def measured(*options: str, devices: int = 1, limit_s: float = 600) -> dict[str, Any]:
    """What it prints, as JSON, in a process that has some devices of the host."""
    surroundings = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PJRT_NPROC": str(2 * devices if devices > 1 else 1),
    }
    command = [sys.executable, str(BENCHMARK), *TINY, *options]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, timeout=limit_s)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def parity(printed: dict[str, Any], between: str) -> dict[str, Any]:
    """The row of two programs."""
    (row,) = (row for row in printed["tables"][1]["rows"] if row["between"].startswith(between))
    return row


@pytest.mark.slow
def test_sizes_parity_and_yardstick_on_a_cpu() -> None:
    """The second size would pass the budget: it is named, not measured."""
    printed = measured("--assets", "4", "4_000_000", "--seconds", "600")
    steps, _, yardstick = printed["tables"]
    (row,) = steps["rows"]
    assert row["assets"] == 4 and row["ms a step"] > 0 and row["ms a call"] > 0 and row["program MiB"] > 0
    assert row["us per asset"] == pytest.approx(row["ms a step"] / 4 * 1e3)
    assert "Not run: 4,000,000 assets" in steps["note"] and "resident memory" in steps["note"]
    seconds = yardstick["rows"][0]["value"]
    assert 1e-7 < seconds < 1e-2
    # A batch adds up in another order than a series alone, over 192 ticks.
    agreed = parity(printed, "a batch and a loop")
    assert agreed["weights"] < 1e-8 and agreed["forecasts, relative"] < 1e-8 and agreed["states"] < 1e-7


@pytest.mark.slow
def test_two_devices_agree_with_one() -> None:
    """Three series are rounded up to four, two a device; the results of the transport are as exact as it stops.

    Several devices of a host may stand still for ever in jaxlib 0.10: then nothing is known, and the output says so.
    """
    try:
        printed = measured("--assets", "3", "--sharded", devices=2, limit_s=240)
    except subprocess.TimeoutExpired:
        pytest.skip("the sharded batch stood still on two devices of the host, as jaxlib 0.10 does at times")
    assert printed["tables"][0]["rows"][0]["assets"] == 4
    agreed = parity(printed, "2 devices and one")
    assert agreed["weights"] < EXACT and agreed["forecasts, relative"] < EXACT and agreed["states"] < EXACT
    assert agreed["forecasts, states within 1e-09"] == "yes"
    assert agreed["results"] <= PredictorConfig().validation_simplex_atol

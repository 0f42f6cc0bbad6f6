"""A fleet of other kernels than the four of the seeds: its table and its Dataset name the ones that it has."""

from __future__ import annotations

import numpy as np
import pytest
from own_kernel import SMALL, registered
from waiting import until

import uspnb
from uspnb.engine.fleet import lanes
from uspnb.errors import DomainError
from uspnb.model.kernels.registry import KERNEL_NAMES


def test_table_and_window_name_the_kernels_of_the_configuration() -> None:
    values = np.cumsum(np.random.default_rng(0).normal(size=(30, 3)), axis=0)
    config = uspnb.PredictorConfig(kernels=(*KERNEL_NAMES, "mine"), **SMALL)
    with registered(), uspnb.Fleet(values, config=config, workers=1) as fleet:
        fleet.step(20)
        until(lambda: fleet.status.ticks == 20)
        table, window = fleet.table(), fleet.window(fleet.assets[0])
    weights = [name for name in table.columns if name.startswith("weight_")]
    assert weights == [f"weight_{name}" for name in config.kernels] and set(table["leader"]) <= set(config.kernels)
    np.testing.assert_allclose(table[weights].sum(axis=1), 1.0, atol=1e-12)
    assert window["kernel"].values.tolist() == list(config.kernels) and window["weight"].shape == (20, 5)


def test_a_kernel_of_ones_own_is_computed_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helper processes do not know it; they used to end with the first tick."""
    monkeypatch.setattr(lanes.os, "cpu_count", lambda: 4)
    assert lanes.FleetComputation(uspnb.PredictorConfig(kernels=("hilbert",), **SMALL), 600).workers == 4
    with registered():
        config = uspnb.PredictorConfig(kernels=("hilbert", "mine"), **SMALL)
        assert lanes.FleetComputation(config, 600).workers == 1
        with pytest.raises(DomainError, match=r"workers = 2.* do not know the kernel mine.*workers=1"):
            uspnb.Fleet(assets=600, config=config, workers=2)

"""A fleet of other kernels than the four of the seeds: its table and its Dataset name them, its processes know them."""

from __future__ import annotations

import numpy as np
import pytest
from own_kernel import SMALL, WITH_SEASONS, Mean, registered
from waiting import until
from walks import random_walk

import uspnb
from uspnb.engine.fleet import lanes
from uspnb.errors import DomainError
from uspnb.model.kernels.registry import KERNEL_NAMES


def test_table_and_window_name_the_kernels_of_the_configuration() -> None:
    values = np.cumsum(np.random.default_rng(0).normal(size=(30, 3)), axis=0)
    config = uspnb.PredictorConfig(kernels=(*KERNEL_NAMES, "mine"), **WITH_SEASONS)
    with registered(), uspnb.Fleet(values, config=config, workers=1) as fleet:
        fleet.step(20)
        until(lambda: fleet.status.ticks == 20)
        table, window = fleet.table(), fleet.window(fleet.assets[0])
    weights = [name for name in table.columns if name.startswith("weight_")]
    assert weights == [f"weight_{name}" for name in config.kernels] and set(table["leader"]) <= set(config.kernels)
    np.testing.assert_allclose(table[weights].sum(axis=1), 1.0, atol=1e-12)
    assert window["kernel"].values.tolist() == list(config.kernels) and window["weight"].shape == (20, 5)


class Cell(Mean):
    """A kernel as a cell of a notebook defines it."""

    __module__ = "__main__"


def test_a_kernel_of_a_cell_is_computed_in_this_process_and_refused_by_name_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes.os, "cpu_count", lambda: 4)
    config = uspnb.PredictorConfig(kernels=("hilbert", "mine"), **SMALL)
    with registered():
        assert lanes.FleetComputation(config, 600).workers == 4
        uspnb.register_kernel("mine", Cell)
        assert lanes.FleetComputation(config, 600).workers == 1
        with pytest.raises(DomainError, match=r"cannot import the registered kernel mine .*into a module.*workers=1"):
            uspnb.Fleet(assets=600, config=config, workers=2)


def test_helper_processes_know_a_kernel_of_an_importable_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes give the bits of one."""
    monkeypatch.setattr(lanes, "WIDEST_LANE", 4)
    values = random_walk((30, 8), 11)
    config = uspnb.PredictorConfig(kernels=("ito_levy", "mine"), **SMALL)
    with (
        registered(),
        uspnb.Fleet(values, config=config, workers=1) as alone,
        uspnb.Fleet(values, config=config, workers=2) as fleet,
    ):
        for one in (alone, fleet):
            one.step(30)
            status = one.wait()
            assert status.ticks == 30, status
        shown = ("prediction", "lower", "upper")
        np.testing.assert_array_equal(*(one.columns(shown, 0, 30)[1] for one in (alone, fleet)))
        helped = [lane for _, lane in fleet._only.timeline.computation.lanes if isinstance(lane, lanes.RemoteLane)]  # type: ignore[attr-defined]
        assert len(helped) == 1

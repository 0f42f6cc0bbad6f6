"""A fleet of other kernels than the four of the seeds: its table and its Dataset name the ones that it has."""

from __future__ import annotations

import numpy as np
from waiting import until

import uspnb


def test_table_and_window_name_the_kernels_of_the_configuration() -> None:
    values = np.cumsum(np.random.default_rng(0).normal(size=(30, 3)), axis=0)
    config = uspnb.PredictorConfig(
        kernels=("hilbert", "ito_levy"), wtmm_buffer_size=64, log_sig_window=16, hilbert_lags=8, hilbert_features=8
    )
    with uspnb.Fleet(values, config=config, workers=1) as fleet:
        fleet.step(20)
        until(lambda: fleet.status.ticks == 20)
        table, window = fleet.table(), fleet.window(fleet.assets[0])
    weights = [name for name in table.columns if name.startswith("weight_")]
    assert weights == ["weight_hilbert", "weight_ito_levy"] and set(table["leader"]) <= set(config.kernels)
    np.testing.assert_allclose(table[weights].sum(axis=1), 1.0, atol=1e-12)
    assert window["kernel"].values.tolist() == list(config.kernels) and window["weight"].shape == (20, 2)

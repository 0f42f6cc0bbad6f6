"""Neither the signal nor a secret gets into anything that telemetry writes; a real run, start to end."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from uspnb import FunctionalPredictor, Telemetry
from uspnb.config.schema import PredictorConfig
from uspnb.data import processes
from uspnb.model.fields import FORECAST
from uspnb.model.packing import row_columns
from uspnb.model.programs import SERIES_LENGTH
from uspnb.predictor.functional import observations
from uspnb.sinks import (
    RECORD_FIELDS,
    Consumer,
    JsonLinesSink,
    Metrics,
    MetricsSink,
    ParityLog,
    TelemetryBuffer,
    read_records,
    verify,
)

SECRET = "planted-7c1d9e-secret"
# A level that no number of telemetry has by chance: it shows in every value in units of the input.
LEVEL, COUNT = 7_654_321.0, 2 * SERIES_LENGTH


def _numbers(text: str) -> np.ndarray:
    """Every number that stands in a text, but for hashes."""
    plain = re.sub(r"[0-9a-f]{32,}", "", text)
    return np.array([float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", plain)])


@pytest.fixture(scope="module")
def predictor() -> FunctionalPredictor:
    """Its configuration names a secret, too."""
    return FunctionalPredictor(PredictorConfig(credentials_vault_path=f"/vault/{SECRET}"))


@pytest.fixture(scope="module")
def table(predictor: FunctionalPredictor) -> np.ndarray:
    """Packed results of a run on planted values, a missing one and an outlier among them."""
    values = LEVEL + processes.autoregression(COUNT, 3).values
    values[100], values[150] = np.nan, LEVEL * 3
    state, rows = predictor.init_state(), []
    for start in range(0, COUNT, SERIES_LENGTH):
        stamps = np.arange(start + 1, start + SERIES_LENGTH + 1) * 10**9
        ticks = observations(values[start : start + SERIES_LENGTH], stamps)
        state, done = predictor.advance(state, ticks, SERIES_LENGTH)
        rows.append(done)
    return np.concatenate(rows)


@pytest.mark.parametrize("process", [False, True])
def test_neither_the_signal_nor_a_secret_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, predictor: FunctionalPredictor, table: np.ndarray, process: bool
) -> None:
    """Every file and the exposition are searched for planted values and all numbers in units of the input."""
    monkeypatch.setenv("USPNB_SOURCE_TOKEN", SECRET)
    columns = row_columns(predictor.layout)
    buffer, metrics = TelemetryBuffer(10_000), Metrics()
    sinks = [JsonLinesSink(tmp_path / "t"), ParityLog(tmp_path / "p", 10), MetricsSink(metrics)]
    with Consumer(buffer, sinks, columns, process=process):
        buffer.emit("series", 1, table, np.arange(COUNT) * 10**9)
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    written += metrics.exposition().decode()
    assert len(list(read_records(tmp_path / "t"))) == COUNT and verify(tmp_path / "p").ok
    assert SECRET not in written and "vault" not in written
    raw_fields = {field.name for field in dataclasses.fields(Telemetry)} - set(RECORD_FIELDS)
    raw_fields -= {"transport_plan", "koopman_frequency", "koopman_power"}  # left out for their size, no units
    raw = np.concatenate([table[:, columns[name]].ravel() for name in (*sorted(raw_fields), *FORECAST)])
    raw = np.unique(np.abs(raw[np.isfinite(raw) & (np.abs(raw) > LEVEL / 2)]))
    assert len(raw) > 4 * COUNT  # values, forecasts, bounds
    numbers = np.abs(_numbers(written))
    nearest = np.abs(np.subtract.outer(numbers[(numbers > LEVEL / 4) & (numbers < LEVEL * 10)], raw))
    assert len(numbers) > 50 * COUNT and not (nearest <= 1e-6 * raw).any()
    _check_counts(metrics, table, columns)


def _check_counts(metrics: Metrics, table: np.ndarray, columns: dict[str, slice]) -> None:
    """The metrics of a real run are the sums of its rows."""
    families = {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}
    rejected = {
        s.labels["reason"]: s.value for s in families["predictor_rejections"].samples if s.name.endswith("total")
    }
    assert rejected == {
        name: np.count_nonzero(table[:, columns[name]]) for name in ("not_finite", "outlier", "out_of_order")
    }
    assert rejected["not_finite"] == 1 and rejected["outlier"] == 1
    assert sum(rejected.values()) == np.count_nonzero(table[:, columns["rejected"]])
    weights = {s.labels["kernel"]: s.value for s in families["predictor_kernel_weight"].samples}
    assert list(weights.values()) == table[-1, columns["weight"]].tolist()

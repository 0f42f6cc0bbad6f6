"""Snapshots as a predictor offers them: bit for bit, by file and by folder, waiting and not."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError, StalenessWarning
from uspnb.model.records import ProcessState
from uspnb.predictor.universal import UniversalPredictor, replay_clock
from uspnb.runtime.digest import sha256_pytree
from uspnb.sinks import TelemetryBuffer

SECOND = 10**9
START = 1_771_675_200 * SECOND
WALK = random_walk(700, 2)


def tick(k: int) -> ProcessState:
    return ProcessState(WALK[k], START + k * SECOND)


def fed(config: PredictorConfig | None = None, ticks: int = 300, **rest: Any) -> UniversalPredictor:
    predictor = UniversalPredictor(config, clock=replay_clock, **rest)
    predictor.fit_history(WALK[:ticks], times=START + np.arange(ticks) * SECOND)
    return predictor


def test_a_restored_predictor_goes_on_bit_for_bit(tmp_path: Path) -> None:
    first = fed()
    path = first.save_snapshot(tmp_path / "tide.msgpack")
    second = UniversalPredictor(clock=replay_clock)
    loaded = second.load_snapshot(path)
    assert loaded.path == path and loaded.progress.ticks == 300 and loaded.differing == {}
    assert sha256_pytree(second.state) == sha256_pytree(first.state) and second.last_result is None
    for k in range(300, 320):
        assert sha256_pytree(first.step(tick(k))) == sha256_pytree(second.step(tick(k)))
    assert second.history().sizes["time"] == 20


def test_without_waiting_the_newest_is_written(tmp_path: Path) -> None:
    first = fed(PredictorConfig(snapshot_path=str(tmp_path / "a"), snapshot_compression="zstd"))
    futures: list[Future[Any]] = []
    for k in range(300, 320):
        first.step(tick(k))
        futures.append(first.save_snapshot_nonblocking())
    path = futures[-1].result().path
    status = first.snapshot_status()
    assert status is not None and status.saved + status.dropped == 20 and status.last_ticks == 320
    assert sum(future.cancelled() for future in futures) == status.dropped
    second = UniversalPredictor.from_snapshot(path, clock=replay_clock)
    assert sha256_pytree(second.state) == sha256_pytree(first.state) and second.config == first.config
    alone = first.save_snapshot_nonblocking(tmp_path / "alone.msgpack").result()
    assert alone.path == tmp_path / "alone.msgpack" and alone.path.is_file()


def test_one_kernel_alone(tmp_path: Path) -> None:
    path = fed().save_snapshot(tmp_path / "s.msgpack")
    other = UniversalPredictor(clock=replay_clock)
    other.fit_history(-WALK[:200], times=START + np.arange(200) * SECOND)
    before = other.state
    other.load_snapshot(path, only="C")
    assert sha256_pytree(other.state.kernels["ito_levy"]) == sha256_pytree(fed().state.kernels["ito_levy"])
    assert sha256_pytree(other.state._replace(kernels=())) == sha256_pytree(before._replace(kernels=()))
    assert other.last_result is not None
    with pytest.raises(DomainError, match="a kernel's name or letter"):
        other.load_snapshot(path, only="E")


def test_other_settings_are_named_or_refused(tmp_path: Path) -> None:
    path = fed().save_snapshot(tmp_path / "s.msgpack")
    tuned = UniversalPredictor(PredictorConfig(cusum_k=0.25, snapshot_retention=9), clock=replay_clock)
    assert tuned.load_snapshot(path).differing == {"cusum_k": (0.5, 0.25)}
    wide = UniversalPredictor(dataclasses.replace(PredictorConfig(), wtmm_buffer_size=256), clock=replay_clock)
    with pytest.raises(
        DomainError, match=r"float64\[128\] at \.frame\.window; this configuration needs float64\[256\]"
    ):
        wide.load_snapshot(path)
    assert int(wide.state.ticks) == 0


def test_an_episode_of_stale_ticks_warns_once_across_a_restart(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    late = START + 10_000 * SECOND
    first = UniversalPredictor(clock=lambda: late)
    for k in range(3):
        first.step(tick(k))
    assert [w.category for w in recwarn].count(StalenessWarning) == 1
    second = UniversalPredictor(clock=lambda: late)
    second.load_snapshot(first.save_snapshot(tmp_path / "s.msgpack"))
    second.step(tick(3))
    assert [w.category for w in recwarn].count(StalenessWarning) == 1


def test_what_cannot_be_saved_or_loaded_is_said(tmp_path: Path) -> None:
    predictor = UniversalPredictor(PredictorConfig(snapshot_path=str(tmp_path / "none")))
    with pytest.raises(DomainError, match="is a folder; name a file in it, or set snapshot_path"):
        predictor.save_snapshot(tmp_path)
    with pytest.raises(DomainError, match="no valid snapshot in this folder"):
        predictor.load_snapshot()
    with pytest.raises(FileNotFoundError):
        predictor.load_snapshot(tmp_path / "missing.msgpack")
    with pytest.raises(FileNotFoundError, match="no/such"):
        predictor.save_snapshot(tmp_path / "no" / "such" / "s.msgpack")
    predictor.hold("a session on tide")
    with pytest.raises(DomainError, match="a session on tide holds"):
        predictor.load_snapshot()


def test_telemetry_counts_on_after_a_restart(tmp_path: Path) -> None:
    buffer = TelemetryBuffer(1000)
    first = fed(telemetry=buffer, asset="tide")
    first.step(tick(300))
    path = first.save_snapshot(tmp_path / "s.msgpack")
    second = UniversalPredictor(clock=replay_clock, telemetry=buffer, asset="tide")
    assert second.load_snapshot(path).progress.source == "tide"
    second.step(tick(301))
    batches = buffer.take(1000, 0.0)
    assert [(b.asset, b.first_tick, b.count) for b in batches] == [("tide", 1, 300), ("tide", 301, 1), ("tide", 302, 1)]
    assert batches[2].stamps_ns[0] == START + 301 * SECOND

"""A service in this process: restarts bit for bit, nothing accepted is lost, and a bad disk stops nothing."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from waiting import PATIENCE_S

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import autoregression
from uspnb.engine.service import Service
from uspnb.errors import ConfigError, DomainError
from uspnb.persistence.snapshots import SnapshotFolder, progress_from, read_snapshot, state_from
from uspnb.predictor.functional import FunctionalPredictor, observations
from uspnb.sinks import compare, read_records, verify
from uspnb.sources import FeedSource, ReplaySource, Ticks

MakeConfig = Callable[..., PredictorConfig]
Begin = Callable[..., Any]
SECOND = 1_000_000_000
SERIES = autoregression(1200, 31).values
TIMES = np.arange(1, 1201) * SECOND


class Interrupting(ReplaySource):
    """A replay that has its service stopped at a tick."""

    def __init__(self, stop_at: int) -> None:
        super().__init__(SERIES, TIMES, name="a")
        self.stop_at = stop_at
        self.service: Service | None = None

    def take(self, most: int) -> Ticks:
        """Ticks, and a stop once so many were taken."""
        ticks = super().take(most)
        if self.service is not None and self._next >= self.stop_at:
            self.service.stop("the test interrupts")
        return ticks


def replayed(config: PredictorConfig, stop_at: int | None = None, **options: Any) -> Service:
    """A service that has replayed the series, all of it or up to a stop."""
    source = Interrupting(stop_at) if stop_at else ReplaySource(SERIES, TIMES, name="a")
    service = Service(config, {"a": source}, once=True, own_process=False, **options)
    if isinstance(source, Interrupting):
        source.service = service
    assert service.run() == 0
    return service


def newest(config: PredictorConfig) -> dict[str, Any]:
    """The newest snapshot of series a."""
    return read_snapshot(SnapshotFolder(Path(config.snapshot_path) / "a").paths()[-1])


def leaves(payload: dict[str, Any]) -> dict[str, bytes]:
    """Every leaf of a snapshot's state as bytes."""
    blocks = {"global": payload["global"], **payload["kernels"]}
    return {f"{block}{name}": leaf.tobytes() for block, named in blocks.items() for name, leaf in named.items()}


def parity(config: PredictorConfig) -> Path:
    """The parity log."""
    return Path(config.telemetry_path) / "parity.log"


def test_interrupted_run_equals_an_uninterrupted_one_bit_for_bit(make_config: MakeConfig) -> None:
    whole, parts = make_config("whole"), make_config("parts")
    replayed(whole)
    for stop_at in (333, 601, 602):
        stopped = replayed(parts, stop_at)
        assert newest(parts)["progress"]["ticks"] == stopped.series[0].ticks >= stop_at
    # As a kill -9 leaves it: the newest snapshot is gone, the logs know more than the one before.
    paths = SnapshotFolder(Path(parts.snapshot_path) / "a").paths()
    paths[-1].unlink()
    resumed = replayed(parts)
    assert resumed.series[0].resumed_at < stopped.series[0].ticks and resumed.series[0].ticks == 1200

    assert leaves(newest(parts)) == leaves(newest(whole))
    compared = compare(parity(whole), parity(parts))
    assert compared.equal and compared.compared == 24 and compared.first_exact is None
    # Written twice is what lies between the snapshot that was left and the tick at which the third part stopped.
    again = stopped.series[0].ticks // 50 - resumed.series[0].resumed_at // 50
    assert compared.repeated == again and not compared.contradicted
    assert verify(parity(parts)).ok and verify(parity(parts)).closed
    alike = [
        {(r["tick"], json.dumps(r, sort_keys=True)) for r in read_records(config.telemetry_path)}
        for config in (whole, parts)
    ]
    assert alike[0] == alike[1] and len(alike[0]) == 1200


def test_service_gives_the_numbers_of_the_functional_predictor(make_config: MakeConfig) -> None:
    config = make_config()
    replayed(config)
    functional = FunctionalPredictor(config)
    state, _ = functional.scan(functional.init_state(), observations(SERIES, TIMES))
    restored = state_from(newest(config), functional.init_state())
    there, here = (jax.tree.leaves(whole.frame) for whole in (restored, state))
    assert [np.asarray(leaf).tobytes() for leaf in there] == [np.asarray(leaf).tobytes() for leaf in here]
    assert np.asarray(restored.weight).tobytes() == np.asarray(state.weight).tobytes()


def test_every_accepted_tick_of_a_feed_is_in_the_final_snapshot(make_config: MakeConfig, begin: Begin) -> None:
    generator = np.random.default_rng(5)
    for trial in range(4):
        config = make_config(f"trial{trial}", snapshot_interval_steps=100)
        feed, accepted = FeedSource(name="a"), threading.Event()
        counts = [0]

        def put(feed: FeedSource = feed, counts: list[int] = counts, ended: threading.Event = accepted) -> None:
            value = 0.0
            try:
                while True:
                    value = 0.9 * value + generator.standard_normal()
                    feed.put(value)
                    counts[0] += 1
                    time.sleep(2e-4)  # a sensor's pace, at which the feed does not fill
            except DomainError:  # not accepted any more
                ended.set()

        running = begin(config, {"a": feed}).ready()
        feeder = threading.Thread(target=put, daemon=True)
        feeder.start()
        running.until(lambda counts=counts, least=100 + 300 * trial: counts[0] > least)  # a moment of the run
        assert running.end() == 0
        assert accepted.wait(PATIENCE_S)
        progress = progress_from(newest(config))
        assert progress is not None and progress.ticks == counts[0] > 0
        assert int(newest(config)["global"][".ticks"]) == counts[0]


def test_what_the_budget_does_not_allow_is_kept_in_the_snapshot_and_finished_after_the_restart(
    make_config: MakeConfig, begin: Begin
) -> None:
    config = make_config(shutdown_budget_s=0.1)  # 65 ms for what waits, some hundreds of ticks
    feed = FeedSource(name="a", live=False)
    running = begin(config, {"a": feed}).ready()
    for value, time_ns in zip(SERIES.tolist(), TIMES.tolist(), strict=True):
        feed.put(value, time_ns)
    running.service.stop("at once")
    running.end()
    assert running.service.series[0].keeper.wait(PATIENCE_S)  # longer than so small a budget
    snapshot = newest(config)
    waiting, done = len(snapshot["backlog"]["values"]), snapshot["progress"]["ticks"]
    assert waiting > 0 and waiting + done == 1200 and running.service.unfinished == waiting

    again = begin(make_config(), {"a": FeedSource(name="a", live=False)}).ready()
    again.until(lambda: again.service.series[0].ticks == 1200)
    assert again.service.series[0].resumed_at == done
    assert again.end() == 0
    assert "backlog" not in newest(config)
    whole = make_config("whole")
    replayed(whole)
    assert leaves(newest(config)) == leaves(newest(whole))


def test_pages_of_a_running_service(make_config: MakeConfig, begin: Begin) -> None:
    feed = FeedSource(name="a")
    running = begin(make_config(snapshot_interval_steps=10), {"a": feed, "b": ReplaySource(SERIES[:30], TIMES[:30])})
    running.ready()
    for k in range(25):
        feed.put(float(np.sin(k)))
    running.until(lambda: running.status()["series"]["a"]["ticks"] == 25 and running.service.series[1].ticks == 30)
    assert running.page("/healthz") == (200, "alive\n") and running.page("/readyz") == (200, "ready\n")
    running.until(lambda: running.status()["series"]["a"]["snapshot_ticks"] == 20)
    status = running.status()
    assert status["phase"] == "running" and status["series"]["b"]["finished"] and status["conditions"] == {}
    assert status["telemetry"]["emitted"] == 55 and status["telemetry"]["dropped"] == 0
    assert running.metric('predictor_snapshots_saved_total{asset="a"}') == 2
    assert running.metric('predictor_step_latency_seconds_count{asset="a"}') == 25
    assert running.metric('predictor_log_signature_depth{asset="a"}') == 3
    running.until(lambda: running.metric('predictor_ticks_total{asset="b"}') == 30)
    assert running.end() == 0
    last = (Path(running.service.config.telemetry_path) / "last_metrics.prom").read_text()
    samples = {s.name: s.value for f in text_string_to_metric_families(last) for s in f.samples if not s.labels}
    assert samples["predictor_graceful_shutdowns_total"] == 1
    assert samples["predictor_shutdown_duration_seconds_count"] == 1
    assert samples["predictor_shutdown_residual_observations_count"] == 1


def test_disk_that_fails_stops_nothing_shows_and_clears(make_config: MakeConfig, begin: Begin) -> None:
    config = make_config(snapshot_interval_steps=10, emergency_dump_interval_s=0.0)
    feed = FeedSource(name="a", live=False)
    running = begin(config, {"a": feed}).ready()

    def feed_ticks(count: int) -> None:
        before = running.service.series[0].ticks
        for k in range(count):
            feed.put(float(np.cos(before + k)), (before + k + 1) * SECOND)
        running.until(lambda: running.service.series[0].ticks == before + count)

    feed_ticks(20)
    assert running.service.series[0].keeper.wait(PATIENCE_S)
    root = Path(config.snapshot_path)
    moved = root.with_name("snapshots.kept")
    root.rename(moved)
    root.write_text("a file where the folder was")  # also root cannot make a folder here
    feed_ticks(20)
    running.until(lambda: running.metric('predictor_condition{part="snapshots"}') == 1)
    status, text = running.page("/readyz")
    assert status == 503 and "snapshots" in text and running.page("/healthz")[0] == 200
    assert running.metric('predictor_snapshots_failed_total{asset="a"}') >= 1
    assert len(list((moved / "a").glob("snapshot_*"))) == 2  # what was there is untouched
    root.unlink()  # the folder is gone now, and is made anew
    feed_ticks(10)
    running.until(lambda: running.metric('predictor_condition{part="snapshots"}') == 0)
    assert running.page("/readyz")[0] == 200
    feed_ticks(7)
    assert running.end() == 0
    assert newest(config)["progress"]["ticks"] == 57


def test_final_snapshot_that_cannot_be_written_is_no_clean_end(make_config: MakeConfig, begin: Begin) -> None:
    config = make_config(snapshot_interval_steps=0)
    running = begin(config, {"a": ReplaySource(SERIES[:50], TIMES[:50], name="a")}).ready()
    running.until(lambda: running.service.series[0].ticks == 50)
    os.replace(config.snapshot_path, f"{config.snapshot_path}.kept")
    Path(config.snapshot_path).write_text("in the way")
    assert running.end() == 1


def test_load_shedding_lowers_the_depth_of_a_live_series_and_a_restart_keeps_it(
    make_config: MakeConfig, begin: Begin
) -> None:
    # A tick interval of a nanosecond: every latency is overload.
    config = make_config(load_shedding=True, shedding_min_steps=5, tick_interval_ns=1, snapshot_interval_steps=0)
    feed = FeedSource(name="a")
    running = begin(config, {"a": feed}).ready()
    for k in range(30):
        feed.put(float(np.sin(k)))
    running.until(lambda: running.service.series[0].timeline.computation.depth == 2)
    assert running.status()["series"]["a"]["ticks"] == 30
    assert running.metric('predictor_depth_switches_total{asset="a"}') >= 1
    assert running.end() == 0
    payload = newest(config)
    # The snapshot holds the depth that the series began with, and says at which it is.
    assert payload["config"]["log_sig_depth"] == 3 and payload["progress"]["extra"]["depth"] == 2

    again = begin(config, {"a": FeedSource(name="a")}).ready()
    assert (again.service.series[0].timeline.computation.depth, again.service.series[0].resumed_at) == (2, 30)
    assert again.end() == 0


def test_snapshot_of_other_settings_is_refused_until_fresh(make_config: MakeConfig) -> None:
    config = make_config()
    replayed(config, 300)
    other = make_config(input_kind="increments")
    before = SnapshotFolder(Path(config.snapshot_path) / "a").paths()
    with pytest.raises(ConfigError, match=r"input_kind was 'levels' and is 'increments'.*--fresh"):
        raise_refusal(other)
    shorter = ReplaySource(SERIES[:100], TIMES[:100])
    with pytest.raises(DomainError, match="the source has 100"):
        Service(config, {"a": shorter}, once=True, own_process=False).run()
    shifted = ReplaySource(SERIES, TIMES + 1)
    with pytest.raises(DomainError, match="give the source that it was taken from"):
        Service(config, {"a": shifted}, once=True, own_process=False).run()
    assert SnapshotFolder(Path(config.snapshot_path) / "a").paths() == before
    fresh = replayed(config, fresh=True)
    assert (fresh.series[0].resumed_at, fresh.series[0].ticks) == (0, 1200)
    aside = [path for path in Path(config.snapshot_path).iterdir() if ".before-" in path.name]
    assert len(aside) == 1 and len(list(aside[0].glob("snapshot_*"))) == len(before)


def raise_refusal(config: PredictorConfig) -> None:
    """Read the newest snapshot under other settings, without compiling their program."""
    from uspnb.engine.snapshots import resumed

    resumed(SnapshotFolder(Path(config.snapshot_path) / "a"), config, lambda depth: pytest.fail("was not refused"))


def test_damaged_snapshots_are_passed_over_or_refused(make_config: MakeConfig) -> None:
    config = make_config()
    replayed(config, 500)
    paths = SnapshotFolder(Path(config.snapshot_path) / "a").paths()
    paths[-1].write_bytes(paths[-1].read_bytes()[:-1])
    resumed = replayed(config, 501)
    assert resumed.series[0].resumed_at == 400
    for path in SnapshotFolder(Path(config.snapshot_path) / "a").paths():
        path.write_bytes(b"")
    with pytest.raises(DomainError, match=r"none of the \d snapshots.*is whole; --fresh"):
        Service(config, {"a": ReplaySource(SERIES, TIMES)}, once=True, own_process=False).run()


def test_bad_arguments(make_config: MakeConfig) -> None:
    config = make_config()
    with pytest.raises(DomainError, match="0 series were given"):
        Service(config, {})
    with pytest.raises(DomainError, match="2 series were given; a service serves at least 1 and at most pool_size = 1"):
        Service(config, {"a": FeedSource(), "b": FeedSource()}, pool_size=1)
    with pytest.raises(DomainError, match="monitor_interval_s = 0"):
        Service(config, {"a": FeedSource()}, monitor_interval_s=0.0)
    with pytest.raises(ConfigError, match="jax_platform = 'gpu' is not to be had"):
        Service(config, {"a": FeedSource()}, device="gpu")
    with pytest.raises(DomainError, match="--allow-public"):
        Service(make_config(metrics_address="0.0.0.0"), {"a": FeedSource()}, own_process=False).run()


def test_two_services_on_one_folder_are_refused(make_config: MakeConfig, begin: Begin) -> None:
    config = make_config()
    running = begin(config, {"a": FeedSource(name="a")}).ready()
    with pytest.raises(DomainError, match="another service runs on"):
        Service(config, {"a": FeedSource(name="a")}, own_process=False).run()
    assert running.end() == 0

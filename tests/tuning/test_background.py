"""Campaigns in the background: held, stepped, watched, saved without waiting."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from study_stubs import bowl, campaign, sequence
from waiting import PATIENCE_S

from uspnb.errors import DomainError
from uspnb.tuning.background import AsyncMetaOptimizer
from uspnb.tuning.checkpoint import read_checkpoint


class Watch:
    """What a campaign says, and waiting until it says something."""

    def __init__(self, campaign: AsyncMetaOptimizer) -> None:
        self.campaign, self.states, self._changed = campaign, [], threading.Condition()
        self.threads: set[str] = set()
        self.end = campaign.subscribe(self)

    def __call__(self) -> None:
        status = self.campaign.status()
        with self._changed:
            self.threads.add(threading.current_thread().name)
            self.states.append((status.state, status.trials))
            self._changed.notify_all()

    def until(self, *what: tuple[str, int]) -> None:
        """Wait until the last thing said is one of these."""
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.states) and self.states[-1] in what, PATIENCE_S), (
                self.states
            )


def test_a_campaign_is_stepped_held_resumed_and_equals_one_in_the_foreground(tmp_path: Path) -> None:
    whole = campaign(tmp_path / "whole")
    whole.optimize()
    with AsyncMetaOptimizer(optimizer=campaign(tmp_path / "held")) as background:
        assert background.status().state == "idle" and background.wait(0)
        watch = Watch(background)
        background.step()
        watch.until(("paused", 4))
        assert not background.wait(0.01)
        background.step(2)
        watch.until(("paused", 12))
        assert background.best_value == background.result().best_objective
        background.resume()
        assert background.wait(PATIENCE_S)
        watch.until(("finished", 20))
        assert watch.threads == {"uspnb-campaign"}
        assert watch.states[0] == ("running", 0) and ("running", 16) in watch.states
        watch.end()
        watch.end()
        assert background.start(20) is background and background.wait(PATIENCE_S)
        assert watch.states[-1] == ("finished", 20)
        assert background.study_name == "bowl" and background.results.sizes["trial"] == 20
    assert sequence(background.optimizer) == sequence(whole)
    with pytest.raises(DomainError, match="was shut down"):
        background.start()
    with pytest.raises(DomainError, match="after shutdown"):
        background.save_study_async(tmp_path / "late.json")


def test_pause_and_stop_end_with_the_running_batch_and_start_goes_on(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def waiting(params: dict[str, Any]) -> float:
        entered.set()
        leave.wait(PATIENCE_S)
        return bowl(params)

    with AsyncMetaOptimizer(optimizer=campaign(tmp_path, waiting)) as background:
        watch = Watch(background)
        background.start(12)
        assert entered.wait(PATIENCE_S)
        for act in (background.start, background.optimize):
            with pytest.raises(DomainError, match="runs already"):
                act()
        background.pause()
        leave.set()
        watch.until(("paused", 4))
        background.stop()
        watch.until(("stopped", 4))
        assert background.status().reason == "stop was called"
        background.start(12)
        background.stop()  # even before its thread has come to anything
        assert background.wait(PATIENCE_S) and background.status().state == "stopped"
        assert background.optimize(12).total_iterations == 12


def test_what_ends_a_campaign_surfaces_in_its_result(tmp_path: Path) -> None:
    def broken(status: Any) -> None:
        raise OSError(28, "No space left on device")

    with AsyncMetaOptimizer(optimizer=campaign(tmp_path)) as background:
        background.start(8, after_batch=broken)
        assert background.wait(PATIENCE_S)
        assert background.status().state == "failed" and "No space left" in background.status().reason
        with pytest.raises(OSError, match="No space"):
            background.result()
        assert background.events[-1]["kind"] == "fault" and "No space left" in background.events[-1]["text"]
        assert background.optimize(8).total_iterations == 8
        for wrong in ({"n_trials": 0}, {"n_trials": 8, "timeout_s": -1.0}):
            with pytest.raises(DomainError):
                background.start(**wrong)
        for wrong in (0, True):
            with pytest.raises(DomainError, match="batches = "):
                background.step(wrong)


def test_a_subscriber_that_raises_is_dropped_and_the_campaign_goes_on(tmp_path: Path) -> None:
    calls = []

    def broken() -> None:
        calls.append(1)
        raise ZeroDivisionError

    with AsyncMetaOptimizer(optimizer=campaign(tmp_path)) as background:
        background.subscribe(broken)
        watch = Watch(background)
        assert background.optimize(8).total_iterations == 8
        watch.until(("finished", 8))
        assert [event["kind"] for event in background.events] == ["subscriber"]
    assert len(calls) == 1


def test_saves_hand_over_the_last_batch_and_surface_their_errors(tmp_path: Path) -> None:
    with AsyncMetaOptimizer(optimizer=campaign(tmp_path / "c")) as background:
        watch = Watch(background)
        background.step(2)
        watch.until(("paused", 8))
        saved = background.save_study_async(tmp_path / "a.json")
        assert saved.result(PATIENCE_S) == tmp_path / "a.json"
        assert len(read_checkpoint(tmp_path / "a.json").trials) == 8
        background.wait_all_saves(PATIENCE_S)
        (tmp_path / "file").write_text("")
        failed = background.save_study_async(tmp_path / "file" / "b.json")
        with pytest.raises(OSError):
            failed.result(PATIENCE_S)
        with pytest.raises(OSError):
            background.wait_all_saves(PATIENCE_S)
        background.wait_all_saves(PATIENCE_S)  # it was said once
        background.save_study_async(tmp_path / "file" / "b.json")
        assert not background.wait_for_io_completion(PATIENCE_S)
        background.save_study_async(tmp_path / "c.json")
        assert background.wait_for_io_completion(PATIENCE_S)
        loading = AsyncMetaOptimizer.load_study_async(
            tmp_path / "a.json", bowl, storage=str(tmp_path / "other.journal")
        )
        with loading.result(PATIENCE_S) as other:
            assert other.status().trials == 8
        with pytest.raises(FileNotFoundError):
            AsyncMetaOptimizer.load_study_async(tmp_path / "missing.json", bowl).result(PATIENCE_S)


def test_of_too_many_saves_the_oldest_is_dropped_and_no_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, leave, written = threading.Semaphore(0), threading.Event(), []

    class Result:
        def export_to_toml(self, path: Path) -> str:
            written.append(path.name)
            return path.name

    with AsyncMetaOptimizer(optimizer=campaign(tmp_path), max_workers=1, queue_maxlen=2) as background:

        def save_image(path: Path, image: object) -> None:
            entered.release()
            leave.wait(PATIENCE_S)
            written.append(path.name)

        monkeypatch.setattr(background.optimizer, "save_image", save_image)
        background.save_study_async(tmp_path / "0")
        assert entered.acquire(timeout=PATIENCE_S)
        submit = AsyncMetaOptimizer.export_config_async.__wrapped__  # type: ignore[attr-defined]
        export = submit(background, Result(), tmp_path / "c.toml")
        rest = [background.save_study_async(tmp_path / str(n)) for n in range(1, 5)]
        assert [one.cancelled() for one in rest] == [True, True, False, False]
        with pytest.raises(TimeoutError, match="4 files are still being written"):
            background.wait_all_saves(0.01)
        leave.set()
        background.wait_all_saves(PATIENCE_S)
        assert export.result() == "c.toml" and sorted(written) == ["0", "3", "4", "c.toml"]


def test_an_export_writes_the_configuration(tmp_path: Path) -> None:
    class Result:
        """What of an `OptimizationResult` an export needs."""

        def export_to_toml(self, path: Path, **options: Any) -> str:
            return f"{path.name} {options}"

    with AsyncMetaOptimizer(optimizer=campaign(tmp_path)) as background:
        # the annotation asks for the real thing; what is handed on is what counts here
        submit = AsyncMetaOptimizer.export_config_async.__wrapped__  # type: ignore[attr-defined]
        done = submit(background, Result(), tmp_path / "c.toml", override_limit=True)
        assert done.result(PATIENCE_S) == "c.toml {'override_limit': True}"


@pytest.mark.parametrize("settings", [{"max_workers": 0}, {"queue_maxlen": 0}, {"max_workers": True}])
def test_pools_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(DomainError, match="must be a whole number of at least 1"):
        AsyncMetaOptimizer(bowl, **settings)


def test_an_optimizer_and_its_settings_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match="leave the search space, objective and settings out"):
        AsyncMetaOptimizer(objective=bowl, optimizer=campaign(tmp_path))
    assert AsyncMetaOptimizer(campaign(tmp_path)).study_name == "bowl"
    with pytest.raises(AttributeError):
        _ = AsyncMetaOptimizer(campaign(tmp_path)).nothing

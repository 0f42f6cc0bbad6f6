"""`Controls` and `Workbench` on a real session that replays a short series; what a browser adds is in tests/browser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from waiting import until

import uspnb
from uspnb.data import processes
from uspnb.engine.session import Session
from uspnb.widgets.controls import Controls, Workbench, show

TICKS = 900


class View:
    """Stands for the live view: remembers where it was sent."""

    def __init__(self) -> None:
        self.jumps: list[int] = []

    def jump(self, tick: int) -> None:
        self.jumps.append(tick)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Noise whose mean moves by five of its scales, which cannot go unnoticed."""
    return processes.mean_shift(TICKS, seed=1, at=600, size=5.0).values


@pytest.fixture
def session(values, tmp_path) -> Iterator[Session]:
    with Session(values, uspnb.PredictorConfig(snapshot_path=str(tmp_path / "kept")), name="steps") as opened:
        yield opened


@pytest.fixture
def controls(session) -> Iterator[Controls]:
    opened = Controls(session, View())  # type: ignore[arg-type]
    yield opened
    opened.close()


def played(session: Session, tick: int) -> None:
    """Run to a tick and stop there."""
    session.step(tick - session.status.ticks)
    session.wait()


def test_step_play_and_pause(controls, session):
    controls.transport.step_size.value = 5
    controls.transport.step.click()
    session.wait(until=5)
    assert session.status.ticks == 5
    session.set_speed(50.0)
    controls.transport.play.click()
    session.wait(until=8)
    until(lambda: controls.transport.play.description == "Pause")
    assert controls.transport.step.disabled
    controls.transport.play.click()
    session.wait(phase="paused")
    until(lambda: controls.transport.play.description == "Play")
    assert "paused" in controls.badges.badges.value
    assert 8 <= session.status.ticks < 80


def test_speed_goes_to_the_session_and_comes_from_it(controls, session):
    controls.transport.speed.value = 20.0
    until(lambda: session.status.speed == 20.0)
    session.set_speed(460.0)
    until(lambda: controls.transport.speed.value == 500.0)
    # The control shows the nearest rung; it must not round the session's own speed.
    assert session.status.speed == 460.0
    controls.transport.speed.value = math.inf
    until(lambda: session.status.speed is None)


def test_the_slider_looks_back_and_the_session_goes_back(controls, session):
    played(session, 300)
    until(lambda: controls.transport.scrub.value == 299)
    before = session.history()
    controls.transport.scrub.value = 120
    assert controls.view.jumps[-1] == 120 and not controls.transport.following
    played(session, 310)
    until(lambda: controls.transport.scrub.max == 309)
    assert controls.transport.scrub.value == 120 and session.status.ticks == 310
    controls.transport.go_back.click()
    until(lambda: session.status.ticks == 121 and session.status.at_rest)
    assert np.array_equal(session.history()["prediction"], before["prediction"][:121], equal_nan=True)
    until(lambda: controls.transport.scrub.max == 120 and controls.transport.following)


def test_following_again(controls, session):
    played(session, 50)
    until(lambda: controls.transport.scrub.max == 49)
    controls.transport.scrub.value = 10
    assert not controls.transport.newest.disabled
    controls.transport.newest.click()
    assert controls.transport.scrub.value == 49 and controls.view.jumps[-1] == 49


def test_a_setting_acts_on_the_next_tick(controls, session, values):
    played(session, 200)
    controls.settings.rows["confidence_level"].slider.value = 0.8
    until(lambda: session.config.confidence_level == 0.8)
    played(session, 260)
    changed, plain = session.history(), uspnb.backtest(values[:260])
    width = (changed["upper"] - changed["lower"]) / (plain["upper"] - plain["lower"])
    assert np.array_equal(changed["upper"][:200], plain["upper"][:200], equal_nan=True)
    # A Gaussian's 80 % interval is 0.65 times as wide as its 95 % one.
    assert float(width[-20:].mean()) < 0.85
    until(lambda: "confidence_level=0.8" in controls.settings.code.code)


def test_a_setting_out_of_range_is_caught(controls, session):
    row = controls.settings.rows["cusum_k"]
    row.box.value = 99.0
    assert "cusum_k" in row.notice.text and "[0.05, 2]" in row.notice.text and row.box.value == 0.5
    assert session.config.cusum_k == 0.5


def test_settings_changed_in_a_cell_show_and_reset(controls, session):
    before = session.config
    session.configure(cusum_k=0.7)
    until(lambda: controls.settings.rows["cusum_k"].box.value == 0.7)
    assert session.config.cusum_k == 0.7
    controls.settings.reset.click()
    until(lambda: session.config == before)
    assert controls.settings.rows["cusum_k"].slider.value == 0.5


def test_every_setting_has_a_row_and_six_stand_in_front(controls, session):
    assert len(controls.settings.rows) == 6
    for group in controls.settings.groups.values():
        group.opener.value = True
        assert group.body.layout.display == "" and "Hide" in group.opener.description
    assert set(controls.settings.rows) == {setting.name for setting in session.settings}


def test_an_alarm_jumps_to_its_tick(controls, session):
    played(session, TICKS)
    until(lambda: len(controls.alarms.ticks) > 0)
    assert controls.alarms.ticks[-1] == session.alarms()["tick"].iloc[max(0, len(session.alarms()) - 6)]
    controls.alarms.rows[0].click()
    assert controls.view.jumps[-1] == controls.alarms.ticks[0] == controls.transport.scrub.value


def test_mark_and_restore(controls, session):
    played(session, 150)
    assert controls.marks.choice.label == "no mark yet" and controls.marks.restore.disabled
    controls.marks.label.value = "calm"
    controls.marks.make.click()
    until(lambda: "calm" in str(controls.marks.choice.label))
    played(session, 250)
    later = session.history()
    session.mark("later")
    until(lambda: len(controls.marks.choice.options) == 2)
    controls.marks.choice.value = next(m for _, m in controls.marks.choice.options if m.label == "calm")
    controls.marks.restore.click()
    until(lambda: session.status.ticks == 150)
    played(session, 250)
    assert np.array_equal(session.history()["prediction"], later["prediction"], equal_nan=True)


def test_a_snapshot_outlives_the_session(controls, session, values):
    played(session, 150)
    controls.marks.save.click()
    until(lambda: "written to" in controls.marks.notice.text)
    written = session.snapshots()
    assert str(written[0]) in controls.marks.notice.text
    played(session, 250)
    expected = session.history(150)["prediction"].values
    session.close()
    with Session(values, session.config, name="steps") as second:
        again = Controls(second, View())  # type: ignore[arg-type]
        assert again.marks.choice.label.startswith("on disk: 20") and "(tick 150)" in again.marks.choice.label
        again.marks.restore.click()
        played(second, 100)
        assert np.array_equal(second.history()["prediction"], expected)
        written[0].unlink()
        again.marks.restore.click()
        assert "No such file" in again.marks.notice.text and 'role="alert"' in again.marks.notice.value
        again.close()


def test_a_disk_that_refuses_a_snapshot_is_told_of_and_nothing_stops(controls, session, tmp_path):
    played(session, 20)
    (tmp_path / "kept").write_text("a file where the folder should be")
    controls.marks.save.click()
    until(lambda: "no snapshot was written" in controls.marks.notice.text)
    played(session, 40)


@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".html"])
def test_export(controls, session, tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    played(session, 200)
    controls.export.kind.value = suffix
    assert Path(controls.export.path.value).suffix == suffix
    controls.export.write.click()
    until(lambda: not controls.export.write.disabled)
    written = tmp_path / controls.export.path.value
    assert written.exists() and str(written.name) in controls.export.notice.text
    # A link downloads a file; a Zarr archive is a folder.
    assert (written.name in str(controls.export.link.outputs)) == (suffix != ".zarr")
    if suffix != ".html":
        assert uspnb.load(written).sizes["time"] == 200


def test_an_export_that_fails_says_why(controls, session, tmp_path):
    played(session, 20)
    for bad, why in (("run.txt", "run.txt"), (str(tmp_path / "no" / "run.nc"), "no"), ("", "")):
        controls.export.path.value = bad
        controls.export.write.click()
        until(lambda: not controls.export.write.disabled)
        assert why in controls.export.notice.text and 'role="alert"' in controls.export.notice.value


def test_the_view_asks_its_host(controls, session):
    controls.command("snapshot")
    assert 'role="alert"' in controls.marks.notice.value  # nothing is computed yet, so there is nothing to keep
    played(session, 10)
    controls.command("snapshot")
    until(lambda: len(session.snapshots()) == 1)
    controls.command("something else")


def test_a_closed_session_refuses_politely(values):
    session = Session(values)
    controls = Controls(session)
    session.close()
    controls.refresh()
    assert controls.transport.play.disabled and controls.transport.step.disabled and controls.marks.make.disabled
    row = controls.settings.rows["cusum_k"]
    row.box.value = 0.9
    assert row.notice.text and row.box.value == 0.5
    controls.close()


def test_a_feed_cannot_go_back_or_be_sped_up():
    with Session() as session:
        controls = Controls(session)
        assert controls.transport.speed.disabled and controls.transport.go_back.disabled
        assert "Only a replay" in controls.transport.go_back.tooltip
        controls.close()


def test_every_control_has_a_name(controls):
    import ipywidgets

    for group in controls.settings.groups.values():
        group.opener.value = True
    widgets, queue = [], [controls]
    while queue:
        widget = queue.pop()
        queue.extend(getattr(widget, "children", ()))
        if isinstance(widget, (ipywidgets.Button, ipywidgets.ToggleButton, ipywidgets.ValueWidget)):
            widgets.append(widget)
    controls_only = [w for w in widgets if not isinstance(w, ipywidgets.HTML)]
    assert len(controls_only) > 100
    unnamed = [w for w in controls_only if not w.tooltip and getattr(w.layout, "display", None) != "none"]
    assert unnamed == []


def test_workbench_shows_once_and_closes(session, values):
    first = show(session)
    assert isinstance(first, Workbench) and show(session) is first
    data = first._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data and "text/html" in data
    first.close()
    second = show(session)
    assert second is not first
    second.close()
    session.step(1)
    session.wait(until=1)

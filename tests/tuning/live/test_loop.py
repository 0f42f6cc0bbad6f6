"""The loop beside an engine: a session, one asset of a fleet, one series of a service."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop_stubs import FORGETFUL

from uspnb.config.schema import PredictorConfig
from uspnb.data.processes import logistic_map
from uspnb.engine.control import Control
from uspnb.engine.fleet import Fleet
from uspnb.engine.service import Service
from uspnb.engine.session import Session
from uspnb.errors import DomainError
from uspnb.model.records import ProcessState
from uspnb.sources import ReplaySource
from uspnb.tuning.live import Autotuner, CampaignTask, Verdict

SECOND = 10**9
LONG_S = 600.0  # a bound that a loaded machine does not meet by being slow
SHORT: dict[str, Any] = {
    "min_history": 300,
    "history": 900,
    "watch_ticks": 100,
    "cooldown_ticks": 50,
    "min_stability_ticks": 0,
    "background": False,
}
BEFORE, AFTER = 300, 200
RNG = np.random.default_rng(0)
# A map in noise, which a predictor that forgets at once cannot learn; then noise, which nobody can know.
VALUES = np.concatenate(
    [logistic_map(800, 1, rate=3.9).values + 0.02 * RNG.standard_normal(800), RNG.standard_normal(420)]
)
BOTH = np.stack([RNG.standard_normal(len(VALUES)), VALUES], axis=1)
STAMPS = np.arange(1, len(VALUES) + 1) * SECOND
NAMES = ("noise", "map")


class Watched:
    """An engine and the series of it that is watched.

    Attributes:
        exact: whether the watched series is computed by the program that computes it on probation.
    """

    def __init__(self, control: Control, series: str | None, end: Callable[[], object], *, exact: bool = True) -> None:
        self.control, self.series, self.end, self.exact = control, series, end, exact

    @property
    def one(self) -> Control:
        """The readings of the watched series."""
        return self.control if self.series is None else self.control.open(self.series)

    def advance(self, ticks: int) -> None:
        """Process so many more ticks and wait until they are done."""
        self.control.step(ticks)
        self.control.wait(timeout=LONG_S)

    def predictions(self) -> np.ndarray:
        """The forecast that was made for each tick."""
        return self.one.history()["prediction"].values

    def tuner(self, changes: Mapping[str, Any], **settings: Any) -> Autotuner:
        """A tuner whose campaign finds these changes and whose held-out test is passed."""

        def judge(task: CampaignTask, changes: Mapping[str, Any]) -> Verdict:
            return Verdict(0.5, 1e-12, task.held_out)

        return Autotuner(
            self.control, series=self.series, campaign=lambda task: dict(changes), judge=judge, **SHORT | settings
        )


def session(folder: Path) -> Watched:
    """Of the map alone."""
    engine = Session(VALUES, name="map", source_options={"times": STAMPS.astype("datetime64[ns]")})
    return Watched(engine, None, engine.close)


def fleet(folder: Path) -> Watched:
    """Of noise and the map, which is watched."""
    times = STAMPS.astype("datetime64[ns]")
    engine = Fleet(BOTH, assets=NAMES, times=times, workers=1, ring=len(VALUES))
    return Watched(engine, "map", engine.close, exact=False)


def service(folder: Path) -> Watched:
    """Of noise and the map, which is watched."""
    config = PredictorConfig(
        snapshot_path=str(folder / "snapshots"),
        telemetry_path=str(folder / "telemetry"),
        emergency_dump_path=str(folder / "emergency"),
        metrics_port=0,
    )
    sources = {name: ReplaySource(BOTH[:, k], STAMPS, name=name) for k, name in enumerate(NAMES)}
    served = Service(config, sources, autostart=False, own_process=False, ring=len(VALUES))
    errors: list[Exception] = []

    def run() -> None:
        try:
            served.run()
        except Exception as error:  # the thread that began it raises it
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while served.phase != "running" and thread.is_alive():
        thread.join(0.01)
    assert not errors, errors

    def end() -> None:
        served.stop("the test ends")
        thread.join(LONG_S)

    return Watched(served.control, "map", end)


Begin = Callable[..., Watched]
FACES = {"session": session, "fleet": fleet, "service": service}


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Makes engines and ends them."""
    engines: list[Watched] = []

    def one(face: str = "session") -> Watched:
        engines.append(FACES[face](tmp_path / str(len(engines))))
        return engines[-1]

    yield one
    for watched in engines:
        watched.end()


def outcomes(tuner: Autotuner) -> list[str]:
    return [decision.outcome for decision in tuner.decisions]


@pytest.mark.parametrize("face", FACES)
def test_a_planted_bad_candidate_is_rolled_back(begin: Begin, face: str) -> None:
    """After it the series is where it would be had nobody touched it."""
    untouched, watched = begin(face), begin(face)
    untouched.advance(BEFORE + AFTER)
    before = watched.one.config
    with watched.tuner(FORGETFUL) as tuner:
        watched.advance(BEFORE)
        assert tuner.status().ticks == BEFORE
        tuner.tune_now()
        assert outcomes(tuner) == ["triggered", "tuning"]
        watched.advance(25)
        assert outcomes(tuner)[-1] == "adopted" and watched.one.config.hilbert_forgetting == 0.9
        watched.advance(AFTER - 25)
        assert outcomes(tuner) == ["triggered", "tuning", "adopted", "rolled_back", "watching"]
        adopted, undone = tuner.decisions[2], tuner.decisions[3]
    assert 50 <= undone.tick - adopted.tick <= 100 and undone.details["rise"] > 0.3
    assert watched.one.config == before
    got, expected = watched.predictions(), untouched.predictions()
    # A tick's forecast was made after the tick before; the first has none.
    assert np.array_equal(got[: adopted.tick + 2], expected[: adopted.tick + 2], equal_nan=True)
    between = slice(adopted.tick + 2, undone.tick + 1)
    assert not (got[between] == expected[between]).any()
    after = slice(undone.tick + 1, None)
    if watched.exact:
        assert np.array_equal(got[after], expected[after])
    else:  # a lane of many assets rounds otherwise than a single series
        np.testing.assert_allclose(got[after], expected[after], rtol=1e-6)
    texts = [event["text"] for event in watched.control.events if event["kind"] == "loop"]
    assert len(texts) == 5 and "rolled_back" in texts[3]


@pytest.mark.parametrize("face", FACES)
def test_a_harmless_change_stays(begin: Begin, face: str) -> None:
    watched = begin(face)
    with watched.tuner({"cusum_k": 0.6}) as tuner:
        watched.advance(BEFORE)
        tuner.tune_now()
        watched.advance(125)
        assert outcomes(tuner) == ["triggered", "tuning", "adopted", "confirmed"]
    assert watched.one.config.cusum_k == 0.6
    watched.advance(10)
    assert outcomes(tuner)[-1] == "confirmed" and tuner.status().ticks == BEFORE + 125, "closed, it looks no more"


def test_a_change_of_the_dynamics_starts_an_attempt_on_the_ticks_since_then(begin: Begin) -> None:
    watched = begin()
    with watched.tuner({}) as tuner:
        watched.advance(800)
        assert tuner.decisions == []
        watched.advance(420)
        first, second = tuner.decisions[:2]
    assert (first.outcome, second.outcome) == ("triggered", "tuning") and first.trigger in ("skill", "regime")
    assert 800 < first.tick < 900 and abs(first.details["onset"] - 800) < 20
    assert 300 <= second.tick - first.details["onset"] <= 325 and "log_sig_depth" not in second.details["space"]


def test_settings_that_somebody_changes_on_probation_stay(begin: Begin) -> None:
    watched = begin()
    with watched.tuner(FORGETFUL) as tuner:
        watched.advance(BEFORE)
        tuner.tune_now()
        watched.advance(25)
        watched.control.configure(cusum_h=6.0)
        watched.advance(AFTER)
        failed = tuner.decisions.of("failed")
    assert len(failed) == 1 and "cannot be taken back: the settings were changed since" in failed[0].reason
    assert watched.one.config.cusum_h == 6.0 and watched.one.config.hilbert_forgetting == 0.9


def test_what_the_policy_refuses_is_a_decision(begin: Begin) -> None:
    watched = begin()
    changes: dict[str, Any] = {"cusum_k": 1.5}
    with watched.tuner(changes, min_stability_ticks=1000, rate_limit_per_hour=1) as tuner:
        watched.advance(BEFORE)
        for proposed, message in (
            ({"cusum_k": 1.5}, "cusum_k from 0.5 to 1.5 is more than"),
            ({"log_sig_depth": 2}, "log_sig_depth is compiled in"),
            ({"cusum_k": 0.6}, ""),
            ({"cusum_k": 0.7}, "1 changes in the last hour, at most 1 are allowed; .* ticks since the last change"),
        ):
            changes.clear()
            changes.update(proposed)
            tuner.tune_now()
            watched.advance(125 if not message else 25)
            last = tuner.decisions[-1]
            if message:
                assert last.outcome == "refused"
                with pytest.raises(AssertionError, match=message):
                    raise AssertionError(last.reason)
            else:
                assert last.outcome == "confirmed"
            tuner.enabled = False
            tuner.enabled = True


def test_going_back_has_the_loop_forget_and_never_beyond_a_state_that_it_has_put_in_force(begin: Begin) -> None:
    watched = begin()
    with watched.tuner({"cusum_k": 0.6}) as tuner:
        watched.advance(BEFORE)
        tuner.tune_now()
        watched.advance(25)
        watched.control.seek(100)
        watched.advance(10)
        assert outcomes(tuner)[-1] == "unwatched" and tuner.status().state == "watching"
        assert tuner.status().ticks == 10 and "went from tick 325 to tick 100" in tuner.decisions[-1].reason
    with watched.tuner(FORGETFUL) as tuner:
        watched.advance(BEFORE)
        tuner.tune_now()
        watched.advance(AFTER)
        undone = tuner.decisions.of("rolled_back")[0]
    back_at = 110 + undone.tick + 1
    with pytest.raises(DomainError, match=f"k = {back_at - 1} must be a whole number from {back_at}"):
        watched.control.seek(back_at - 1)
    watched.control.seek(back_at)
    watched.control.wait(timeout=LONG_S)
    assert watched.control.status.ticks == back_at


def test_wrong_arguments_are_refused_with_the_reason(begin: Begin) -> None:
    watched = begin("fleet")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "the engine has 2 series; say which"),
        ({"series": "c"}, "series = 'c' is not one of 'noise', 'map'"),
        ({"series": "map", "audit": "log"}, "audit= is the log of a configuration file"),
    ]
    for arguments, message in wrong:
        with pytest.raises(DomainError, match=message):
            Autotuner(watched.control, **arguments)
    tuner = watched.tuner({})
    with pytest.raises(DomainError, match="takes its own ticks"):
        tuner.step(ProcessState(0.0, SECOND))
    assert "Fleet" in tuner._repr_html_()

"""The loop around a real predictor, with planted campaigns: every way that an attempt can end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loop_stubs import FORGETFUL
from waiting import PATIENCE_S

from uspnb import UniversalPredictor
from uspnb.config.mutation import history
from uspnb.data.processes import autoregression
from uspnb.errors import DomainError
from uspnb.model.records import ProcessState
from uspnb.predictor.reloading import ConfigReloadablePredictor
from uspnb.predictor.universal import replay_clock
from uspnb.tuning.live import Autotuner, CampaignTask, loop_space

Ticks = list[ProcessState]
Planted = Callable[..., Autotuner]
Begin = Callable[..., Autotuner]


def feed(tuner: Autotuner, ticks: Ticks) -> np.ndarray:
    """The forecasts made after each tick."""
    return np.array([float(tuner.step(tick).reference_prediction) for tick in ticks])


@pytest.fixture
def begin(planted: Planted, ticks: Ticks) -> Begin:
    """Makes a tuner as `planted` does, whose attempt begins `at` ticks."""

    def one(*arguments: Any, at: int = 300, **settings: Any) -> Autotuner:
        tuner = planted(*arguments, **settings)
        feed(tuner, ticks[:at])
        tuner.tune_now()
        return tuner

    return one


def outcomes(tuner: Autotuner) -> list[str]:
    return [decision.outcome for decision in tuner.decisions]


def logged(predictor: ConfigReloadablePredictor) -> list[str]:
    return [record.outcome for record in history(predictor.config_path)]


def test_a_planted_bad_candidate_is_rolled_back_and_leaves_no_trace(
    planted: Planted, predictor: ConfigReloadablePredictor, ticks: Ticks
) -> None:
    """File and forecasts are those of a predictor that nobody ever touched: the former bit for bit, so the latter."""
    untouched = UniversalPredictor(clock=replay_clock)
    reference = np.array([float(untouched.step(tick).reference_prediction) for tick in ticks[:520]])
    before = predictor.config_path.read_bytes()
    tuner = planted(FORGETFUL)
    got = feed(tuner, ticks[:400])
    tuner.tune_now()
    assert outcomes(tuner) == ["triggered", "tuning"]
    got = np.append(got, feed(tuner, ticks[400:401]))
    assert outcomes(tuner)[-1] == "adopted" and predictor.config.hilbert_forgetting == 0.9
    assert predictor.config_path.read_bytes() != before
    got = np.append(got, feed(tuner, ticks[401:520]))
    assert outcomes(tuner) == ["triggered", "tuning", "adopted", "rolled_back", "watching"]
    undone = tuner.decisions.of("rolled_back")[0]
    assert undone.tick - tuner.decisions.of("adopted")[0].tick <= 75 and undone.details["rise"] > 0.3
    assert predictor.config_path.read_bytes() == before and predictor.config == untouched.config
    same = got == reference
    assert same[:401].all() and not same[401 : undone.tick].any() and same[undone.tick + 1 :].all()
    assert logged(predictor) == ["triggered", "tuning", "accepted", "rolled_back", "watching"]
    assert tuner.status()[6:8] == (1, 1)


def test_a_harmless_change_passes_its_probation(
    begin: Begin, predictor: ConfigReloadablePredictor, ticks: Ticks
) -> None:
    tuner = begin({"cusum_k": 0.6}, at=350)
    feed(tuner, ticks[350:451])
    assert outcomes(tuner) == ["triggered", "tuning", "adopted", "confirmed"]
    assert predictor.config.cusum_k == 0.6 and b"# mine" in predictor.config_path.read_bytes()
    adopted = tuner.decisions[2]
    assert adopted.changes == {"cusum_k": (0.5, 0.6)} and adopted.details["level"] == pytest.approx(0.01 * 6 / np.pi**2)
    records = history(predictor.config_path)
    assert records[2].outcome == "accepted" and records[2].trigger == "autotune: asked"
    assert records[2].details["p_value"] == 1e-12 and records[2].changes == {"cusum_k": (0.5, 0.6)}
    assert tuner.status().state == "cooldown" and tuner.status().left == 50
    feed(tuner, ticks[451:501])
    assert outcomes(tuner)[-1] == "watching" and tuner.status().state == "watching"


@pytest.mark.parametrize("p_value, improvement", [(0.007, 0.5), (1e-9, 0.019), (float("nan"), 0.5), (1e-9, -0.2)])
def test_what_is_not_significant_or_not_worth_it_is_not_written(
    begin: Begin, predictor: ConfigReloadablePredictor, ticks: Ticks, p_value: float, improvement: float
) -> None:
    before = predictor.config_path.read_bytes()
    tuner = begin({"cusum_k": 0.6}, p_value, improvement)
    feed(tuner, ticks[300:301])
    assert outcomes(tuner) == ["triggered", "tuning", "kept"] and logged(predictor) == outcomes(tuner)
    assert f"improvement {improvement:.2%}" in tuner.decisions[-1].reason
    assert predictor.config_path.read_bytes() == before and tuner.status().tests == 1


def test_a_promising_result_is_looked_at_once_more_with_more_ticks_and_a_stricter_level(
    begin: Begin, ticks: Ticks
) -> None:
    tuner = begin({"cusum_k": 0.7}, p_value=0.008)
    feed(tuner, ticks[300:460])
    assert outcomes(tuner) == ["triggered", "tuning", "kept", "triggered", "tuning", "kept", "watching"]
    first, second = tuner.decisions.of("kept")
    assert second.trigger == "unfinished" and second.details["ticks"] > first.details["ticks"]
    assert second.details["level"] == pytest.approx(first.details["level"] / 4)


def test_a_refusal_by_the_policy_is_a_decision(
    begin: Begin, predictor: ConfigReloadablePredictor, ticks: Ticks
) -> None:
    before = predictor.config_path.read_bytes()
    tuner = begin({"cusum_k": 1.5})
    feed(tuner, ticks[300:302])
    assert (
        outcomes(tuner) == ["triggered", "tuning", "refused"]
        and "cusum_k from 0.5 to 1.5" in tuner.decisions[-1].reason
    )
    assert logged(predictor) == ["triggered", "tuning", "rejected", "refused"]
    assert predictor.config_path.read_bytes() == before and predictor.config.cusum_k == 0.5


def test_a_second_change_must_wait_for_the_stability_that_the_policy_asks_for(begin: Begin, ticks: Ticks) -> None:
    changes = {"cusum_k": 0.6}
    tuner = begin(changes, min_stability_ticks=1000)
    feed(tuner, ticks[300:402])
    changes["cusum_k"] = 0.7
    tuner.tune_now()
    feed(tuner, ticks[402:404])
    assert tuner.decisions[-1].outcome == "refused"
    assert "ticks since the last change, at least 1000" in tuner.decisions[-1].reason


def test_settings_that_are_not_those_that_were_tested_stay(
    planted: Planted, predictor: ConfigReloadablePredictor, ticks: Ticks
) -> None:
    tuner = planted({"cusum_k": 0.6})
    feed(tuner, ticks[:300])
    text = predictor.config_path.read_text(encoding="utf-8")
    edited = text.replace("cusum_h = 5.0", "cusum_h = 6.0")
    predictor.config_path.write_text(edited, encoding="utf-8")
    tuner.tune_now()
    assert outcomes(tuner) == ["triggered", "failed"] and "are not in force" in tuner.decisions[-1].reason
    predictor.check_and_reload_config()
    feed(tuner, ticks[300:350])
    tuner.tune_now()
    predictor.config_path.write_text(text, encoding="utf-8")  # while the campaign runs
    predictor.check_and_reload_config()
    feed(tuner, ticks[350:351])
    assert tuner.decisions[-1].outcome == "refused" and "other settings meanwhile" in tuner.decisions[-1].reason
    assert predictor.config_path.read_text(encoding="utf-8") == text


def test_an_edit_during_the_probation_is_not_undone(
    begin: Begin, predictor: ConfigReloadablePredictor, ticks: Ticks
) -> None:
    tuner = begin(FORGETFUL)
    feed(tuner, ticks[300:310])
    edited = predictor.config_path.read_bytes() + b"# looked at by a person\n"
    predictor.config_path.write_bytes(edited)
    feed(tuner, ticks[310:400])
    failed = tuner.decisions[-1]
    assert failed.outcome == "failed" and "it was changed since" in failed.reason
    assert predictor.config_path.read_bytes() == edited


def test_a_campaign_that_fails_ends_the_attempt_and_nothing_else(
    predictor: ConfigReloadablePredictor, ticks: Ticks
) -> None:
    def broken(task: CampaignTask) -> Mapping[str, Any]:
        raise ZeroDivisionError("by design")

    tuner = Autotuner(predictor, campaign=broken, background=False, min_history=300)
    feed(tuner, ticks[:300])
    tuner.tune_now()
    feed(tuner, ticks[300:302])
    assert outcomes(tuner) == ["triggered", "tuning", "failed"]
    assert tuner.decisions[-1].reason == "ZeroDivisionError: by design" and tuner.status().state == "cooldown"


def test_the_caller_never_waits_for_the_background(predictor: ConfigReloadablePredictor, ticks: Ticks) -> None:
    going, threads = threading.Event(), []

    def slow(task: CampaignTask) -> Mapping[str, Any]:
        threads.append(threading.current_thread())
        assert going.wait(PATIENCE_S)
        return {}

    with Autotuner(predictor, campaign=slow, min_history=300, cooldown_ticks=0) as tuner:
        feed(tuner, ticks[:300])
        tuner.tune_now()
        feed(tuner, ticks[300:320])
        assert tuner.status().state == "tuning" and not tuner.wait(0.0)
        going.set()
        assert tuner.wait(PATIENCE_S) and tuner.status().state == "tuning", "decided after a tick, in this thread"
        feed(tuner, ticks[320:321])
        assert outcomes(tuner)[-1] == "kept" and threads[0] is not threading.current_thread()


def test_switched_off_it_does_nothing(planted: Planted, predictor: ConfigReloadablePredictor, ticks: Ticks) -> None:
    tuner = planted(None, enabled=False, skill_fall=0.01, entropy_rise=0.1)
    noise = np.random.default_rng(3).standard_normal(120)
    feed(tuner, ticks[:800])
    feed(tuner, [ProcessState(x, ticks[799].timestamp_ns + (k + 1) * 10**9) for k, x in enumerate(noise)])
    assert not tuner.enabled and tuner.status().state == "off" and tuner.decisions == []
    assert not (predictor.config_path.parent / "io").exists()
    with pytest.raises(DomainError, match="the loop stands at 'off'"):
        tuner.tune_now()


def test_switched_off_on_probation_it_ends_that_first(begin: Begin, ticks: Ticks) -> None:
    tuner = begin({"cusum_k": 0.6})
    feed(tuner, ticks[300:310])
    tuner.enabled = False
    assert tuner.status().state == "probation" and not tuner.enabled
    feed(tuner, ticks[310:402])
    assert outcomes(tuner)[-1] == "confirmed" and tuner.status().state == "off"
    tuner.enabled = True
    assert tuner.enabled and tuner.status().state == "watching"


def test_a_fall_of_the_skill_starts_an_attempt_on_the_ticks_since_then(
    planted: Planted, ticks: Ticks, predictor: ConfigReloadablePredictor
) -> None:
    """From a map that is known to white noise, which nobody can know."""
    tuner = planted({})
    noise = np.random.default_rng(3).standard_normal(420)
    stream = [ProcessState(x, ticks[799].timestamp_ns + (k + 1) * 10**9) for k, x in enumerate(noise)]
    feed(tuner, ticks[:800])
    assert tuner.decisions == []
    feed(tuner, stream)
    first, second = tuner.decisions[:2]
    assert (first.outcome, second.outcome) == ("triggered", "tuning") and first.trigger in ("skill", "regime")
    assert 800 < first.tick < 900 and abs(first.details["onset"] - 800) < 20
    assert second.tick - first.details["onset"] == pytest.approx(300, abs=1)
    assert second.details["held_out"] == 90


def test_a_stationary_stream_keeps_its_settings_whatever_is_asked(predictor: ConfigReloadablePredictor) -> None:
    """A real campaign and a real test on an AR(2), on which the defaults are within 2 % of the best known."""
    before = predictor.config_path.read_bytes()
    space = {name: loop_space()[name] for name in ("hilbert_fast_forgetting", "kernel_ridge_lambda")}
    tuner = Autotuner(predictor, space=space, background=False, n_trials=8, min_history=400, min_gain=0.0)
    feed(tuner, [ProcessState(x, k * 10**9) for k, x in enumerate(autoregression(700, 1).values)])
    assert tuner.decisions == []
    tuner.tune_now()
    feed(tuner, [ProcessState(0.0, 700 * 10**9)])
    assert outcomes(tuner) == ["triggered", "tuning", "kept"] and tuner.decisions[-1].details["trials"] == 8
    assert predictor.config_path.read_bytes() == before


def test_where_decisions_cannot_be_written_down_nothing_is_decided(
    begin: Begin, predictor: ConfigReloadablePredictor, ticks: Ticks, tmp_path: Path
) -> None:
    tuner = begin({"cusum_k": 0.6}, audit=tmp_path)
    feed(tuner, ticks[300:303])
    assert tuner.status().state == "off" and str(tmp_path) in tuner.status().reason
    assert predictor.config.cusum_k == 0.5 and outcomes(tuner) == ["triggered"]


def test_a_new_structure_learns_from_the_past_before_it_is_put_in_force(
    begin: Begin, predictor: ConfigReloadablePredictor, ticks: Ticks
) -> None:
    """Its state is that of a predictor that had it all along, from the first tick that the campaign saw."""
    tuner = begin({"log_sig_depth": 2})
    feed(tuner, ticks[300:310])
    assert tuner.status().state == "rehearsing" and predictor.config.log_sig_depth == 3
    assert tuner.status().left == 12, "310 ticks and one more with each tick, 16 at a time, 9 times so far"
    feed(tuner, ticks[310:321])
    assert tuner.status().state == "rehearsing"
    feed(tuner, ticks[321:322])
    assert outcomes(tuner)[-1] == "adopted" and predictor.config.log_sig_depth == 2
    alone = UniversalPredictor(predictor.config, clock=replay_clock)
    for one in ticks[:322]:
        alone.step(one)
    got, expected = tuner.step(ticks[322]), alone.step(ticks[322])
    assert float(got.reference_prediction) == float(expected.reference_prediction)
    assert got.telemetry.ticks == 323


def test_bad_arguments_are_refused_with_the_reason(predictor: ConfigReloadablePredictor, ticks: Ticks) -> None:
    with pytest.raises(DomainError, match="expected ConfigReloadablePredictor"):
        Autotuner(UniversalPredictor())
    with pytest.raises(DomainError, match="unknown settings: n_trails"):
        Autotuner(predictor, n_trails=5)
    with pytest.raises(DomainError, match="'quick' is not one of"):
        Autotuner(predictor, tier="quick")
    with pytest.raises(DomainError, match="holds no parameter"):
        Autotuner(predictor, space={})
    tuner = Autotuner(predictor, min_history=300)
    for ticks_back, message in (
        (-1, "must be a whole number"),
        (5, "only 0 ticks have been seen"),
        (9999, "from 0 to 4,000"),
    ):
        with pytest.raises(DomainError, match=message):
            tuner.tune_now(ticks_back)
    tuner.close()
    tuner.close()
    with pytest.raises(DomainError, match="the tuner was closed"):
        tuner.step(ticks[0])
    with pytest.raises(DomainError, match="the tuner was closed"):
        tuner.enabled = True


def test_closing_on_probation_leaves_the_change_and_says_so(
    planted: Planted, predictor: ConfigReloadablePredictor, ticks: Ticks
) -> None:
    with planted({"cusum_k": 0.6}) as tuner:
        feed(tuner, ticks[:300])
        tuner.tune_now()
        feed(tuner, ticks[300:305])
        page = tuner._repr_html_()
    assert outcomes(tuner)[-1] == "unwatched" and predictor.config.cusum_k == 0.6
    assert "probation" in page and "adopted" in page and "cusum_k 0.5 -&gt; 0.6" in page
    assert repr(tuner) == "Autotuner(closed, 305 ticks, 1 adopted, 0 undone)"

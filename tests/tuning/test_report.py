"""The report says everything a reader decides by, stays narrow, needs no network, and believes no text of others'."""

from __future__ import annotations

import math
import re
from typing import Any

import campaign_dataset
import numpy as np
import pytest
from pages import Page

from uspnb.errors import DomainError
from uspnb.runtime.words import change
from uspnb.tuning.report import html_report, text_report
from uspnb.tuning.result import OptimizationResult

campaign = campaign_dataset.campaign


def result_of(ds, **other: Any) -> OptimizationResult:
    state, value = ds["state"].values.astype(str), ds["value"].values
    complete = np.flatnonzero((state == "complete") & np.isfinite(value))
    best = complete[np.argmin(value[complete])] if len(complete) else None
    names = [str(name) for name in ds["parameter"].values] if best is not None else []
    params = {name: float(ds[f"param_{name}"].values[best]) for name in names}
    params |= {name: int(params[name]) for name in ("log_sig_depth", "seed") if name in params}
    fields = {
        "study_name": "demo", "tier": "fast", "best_params": params, "total_iterations": len(value),
        "best_objective": math.nan if best is None else float(value[best]), "default_objective": float(value[0]),
        "early_stopped": False, "convergence_delta": 0.001, "timestamp_utc": "2026-02-21T09:30:00Z", "metric": "mase",
        "p_value": 0.0123, "failed": int((state == "failed").sum()), "pruned": int((state == "pruned").sum()),
        "seconds": 75.3,
    }  # fmt: skip
    return OptimizationResult(**fields | other)


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_section_tells_what_it_should():
    ds = campaign()
    result = result_of(ds)
    text = words(text_report(ds, result))
    best = ds.attrs["best_trial"]
    assert f"mase {result.best_objective:.5g} against {result.default_objective:.5g}" in text
    assert "24: 16 complete, 5 pruned, 3 failed" in text and "mean absolute scaled error" in text and "75.3 s" in text
    assert f"cusum_k 0.5 {result.best_params['cusum_k']:.5g} {change(0.5, result.best_params['cusum_k'])}" in text
    assert "seed 7 7 same" in text and "cusum_k 62.0%" in text and "by PED-ANOVA" in text
    assert f"The best one is trial {best}; {23 - best} trials came after it" in text
    assert "3 failed the losses are <not finite> & so no number" in text and "5 pruned worse than the median" in text
    assert 'result.export_to_toml("config.toml")' in text and 'rollback("config.toml")' in text
    assert "p = 0.0123" in text and "no trial has seen" in text and "best of 24 trials" in text


def test_folds_and_their_spread_are_those_of_the_two_trials():
    ds = campaign(series=("sea", "glucose"))
    text = words(text_report(ds, result_of(ds)))
    best, default = (ds["fold_value"].values[row] for row in (ds.attrs["best_trial"], 0))
    assert f"mean {default.mean():.5g} {best.mean():.5g}" in text
    assert f"standard deviation {default.std(ddof=1):.5g} {best.std(ddof=1):.5g}" in text
    assert f"largest {default.max():.5g} {best.max():.5g}" in text
    assert f"fold 3, glucose {default[3, 1]:.5g} {best[3, 1]:.5g}" in text
    assert f"better on {int((best < default).sum())} of 10 pairs of fold and series" in text
    many = campaign(series=tuple(f"s{i}" for i in range(9)))
    best, default = (many["fold_value"].values[row] for row in (many.attrs["best_trial"], 0))
    mean = f"fold 3, mean of 9 series {default[3].mean():.5g} {best[3].mean():.5g}"
    assert mean in words(text_report(many, result_of(many)))


def test_convergence_reads_the_best_after_each_quarter():
    ds = campaign()
    text = words(text_report(ds, result_of(ds)))
    for share, trials in ((25, 6), (50, 12), (75, 18), (100, 24)):
        assert f"{share}% ({trials} trials) {float(ds['best_value'][trials - 1]):.5g}" in text
    assert f"75% ({23 * 3 // 4 + 1} trials)" in words(text_report(ds.isel(trial=slice(0, 23)), result_of(ds)))


def test_it_stays_narrower_than_a_hundred_columns():
    ds = campaign(series=("a long name of a series " * 8, "b"))
    ds["reason"].values[ds["state"].values == "failed"] = "word " * 60 + "x" * 200
    ds.attrs["study_name"] = "n" * 230
    text = text_report(ds, result_of(ds, study_name="n" * 230))
    assert max(map(len, text.splitlines())) < 100 and text.count("x" * 50) >= 2


def test_a_campaign_that_found_nothing_says_so():
    ds = campaign()
    ds["state"].values[:], ds["best_value"].values[:], ds["importance"].values[:] = "failed", np.nan, np.nan
    ds.attrs["importance_note"] = "fewer than two complete trials"
    text = words(text_report(ds, result_of(ds, default_objective=math.nan, p_value=None)))
    assert "None of 24 trials is complete: there is nothing to apply." in text
    assert "Not known: fewer than two complete trials." in text and "rollback" not in text and "no paired test" in text
    one = campaign(1, tame=True)
    text = words(text_report(one, result_of(one)))
    assert "No trial of 1 was better than the default configuration" in text and "better on 0 of 5 folds" in text
    assert "Every trial was evaluated to its end." in text and "100% (1 trial)" in text


def test_reasons_are_counted_and_rare_ones_summed_up():
    ds = campaign(60)
    ds["state"].values[1:41] = "failed"
    ds["reason"].values[1:41] = ["the same"] * 20 + [f"reason {chr(97 + i)}" for i in range(20)]
    text = words(text_report(ds, result_of(ds)))
    assert "20 failed the same" in text and "1 failed reason j" in text and "reason t" not in text
    assert re.search(r"\d further trials ended for other reasons", text)
    ds["reason"].values[1:41] = [f"x = {i * 1.5e-3} is too large" for i in range(40)]
    assert "x = 0.0 is too large (and with other numbers)" in words(text_report(ds, result_of(ds)))


def test_a_users_own_objective_has_parameters_of_its_own():
    ds = campaign(series=("objective",)).isel(fold=[0]).drop_vars(["default", "importance"])
    ds["param_way"] = ("trial", np.array(["down", "up"] * 12))
    result = result_of(ds, best_params={"learning": 0.1, "way": "up"}, p_value=None, metric="")
    text = words(text_report(ds.assign_attrs(metric=""), result))
    assert "learning not known 0.1 not known" in text and "way down up changed" in text and "folds" not in text
    assert "read them from `result.best_params`" in text and "objective of the best and of the default" in text
    ds = campaign().drop_vars("fold_value")
    assert "default's" not in words(text_report(ds, result_of(ds)))


def test_unknown_defaults_come_from_the_stored_configuration():
    ds = campaign().drop_vars("default").assign_attrs(config="[sensitivity]\ncusum_k = 0.45\n")
    result = result_of(ds, best_params={"cusum_k": 0.9, "sinkhorn_cost_type": "huber"})
    text = words(text_report(ds, result))
    assert "cusum_k 0.45 0.9 +100.0%" in text and "sinkhorn_cost_type squared huber changed" in text


def test_results_of_something_else_are_refused():
    ds = campaign()
    with pytest.raises(DomainError, match="of the campaign 'demo', the result is of 'other'"):
        text_report(ds, result_of(ds, study_name="other"))
    with pytest.raises(DomainError, match="no variable 'state'; pass the `results`"):
        text_report(ds.drop_vars("state"), result_of(ds))
    with pytest.raises(DomainError, match="'sepia' is not one of"):
        html_report(ds, result_of(ds), "sepia")


@pytest.fixture(scope="module")
def page():
    ds = campaign()
    evil = "</pre><script>alert(1)</script>\x1b[31m"
    ds["reason"].values[ds["state"].values == "failed"] = evil
    ds.attrs |= {"study_name": evil, "importance_evaluator": evil}
    return html_report(ds, result_of(ds, study_name=evil))


def test_the_page_says_the_same_fetches_nothing_and_escapes(page):
    parsed = Page(page)
    assert parsed.fetched == [] and "url(http" not in page and "@import" not in page.split("</style>")[0]
    text = words(" ".join(parsed.words))
    for heading in (
        "Campaign", "Best parameters against the defaults", "mase on the held-out folds",
        "Importance of the parameters", "Convergence", "Failed and pruned trials", "Applying and undoing",
    ):  # fmt: skip
        assert f"{heading} " in text
    assert "<script>alert(1)</script>" in text and "<script>alert" not in page and "\x1b" not in page
    assert page.count("data-root-id") >= 4 and 'result.export_to_toml("config.toml")' in text


def test_the_page_follows_the_readers_theme_and_shows_two_forecasts(page):
    assert 'asked = "auto"' in page and "prefers-color-scheme: dark" in page
    times = np.arange(30)
    run = {name: ("time", times * 1.0) for name in ("observation", "prediction", "lower", "upper", "change_onset")}
    ds = campaign(6).assign_attrs(study_name="demo")
    import xarray as xr

    forecasts = xr.Dataset(run | {"alarm": ("time", times < 0)}, {"time": times})
    forecasts["change_onset"][:] = np.nan
    text = html_report(ds, result_of(ds), "dark", forecasts=(forecasts, forecasts))
    assert 'asked = "dark"' in text and "Forecasts of the tuned and the default settings" in text
    assert "Forecasts of the tuned" not in page

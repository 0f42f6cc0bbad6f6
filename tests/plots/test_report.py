"""The report is one file that asks the network for nothing and says what happened."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pages import Page
from walks import random_walk

from uspnb.config.schema import PredictorConfig
from uspnb.errors import DomainError
from uspnb.plots.report_file import report, run_report
from uspnb.plots.report_tables import (
    alarm_table,
    changed_settings,
    comparison_table,
    html_table,
    moment,
    number,
    summary_rows,
)
from uspnb.predictor.comparison import compare


@pytest.fixture(scope="module")
def page(one_series, make_run):
    ds = make_run(one_series)
    return run_report(ds, compare(one_series, dataset=ds), "Sea <&> temperature").html


def test_it_fetches_nothing(page):
    assert Page(page).fetched == []
    assert "@import" not in page.split("</style>")[0] and "url(http" not in page


def test_it_says_what_happened(page):
    words = " ".join(Page(page).words)
    assert "Sea <&> temperature" in words and "uspnb beats last value" in words
    for heading in ("Overview", "Against simpler forecasters", "Alarms", "Settings", "Made with"):
        assert heading in words
    assert "2026-03-01 17:30:00" in words and "scale" in words  # row 400 of half hours
    assert "Every setting has its default" in words and "confidence_level = 0.95" in words


def test_it_fits_a_phone_and_follows_the_readers_theme(page):
    assert 'name="viewport"' in page and "prefers-color-scheme: dark" in page and "max-width: 600px" in page


def test_a_long_run_stays_below_six_megabytes(make_run, tmp_path):
    from uspnb.data.series import read_series

    ds = make_run(read_series(random_walk(17_000, 0)))
    path = run_report(ds, theme="dark").write(tmp_path / "long.html")
    assert path.stat().st_size < 6_000_000


def test_assets_and_changed_settings(several_series, make_run):
    config = dataclasses.replace(PredictorConfig(), confidence_level=0.9)
    ds = make_run(several_series, config)
    page = run_report(ds, compare(several_series, dataset=ds), asset="south").html
    words = " ".join(Page(page).words)
    assert "Asset south, one of 2." in words and "nominal coverage of the interval" in words and "2 assets" in words
    assert changed_settings(ds)["confidence_level"][:2] == (0.9, 0.95)


def test_bad_targets_are_refused(run, tmp_path):
    for path, theme, reason in (
        (tmp_path, "auto", "is a folder"),
        (tmp_path / "no" / "r.html", "auto", "does not exist"),
        (tmp_path / "r.html", "sepia", "'sepia' is not one of"),
    ):
        with pytest.raises(DomainError, match=reason):
            report(run, path, theme=theme)
    assert list(tmp_path.iterdir()) == []


def test_the_alarm_table(run, run_of_several):
    table = alarm_table(run)
    assert table["chart"].tolist() == ["scale", "scale"]
    np.testing.assert_array_equal(table["began"].to_numpy(), run["time"].values[[388, 688]])
    assert table["observation"].tolist() == run["observation"].values[[400, 700]].tolist()
    assert alarm_table(run_of_several)["asset"].tolist() == ["north", "south"]
    assert alarm_table(run.isel(time=slice(0, 10))).empty


def test_tables_escape_and_format(run, one_series):
    import pandas as pd

    text = html_table(pd.DataFrame({"<b>": ["<script>", 1.23456789, np.datetime64("2026-02-21T09:30:00", "ns")]}))
    assert "<script>" not in text and "&lt;script&gt;" in text and "1.2346" in text and "2026-02-21 09:30:00" in text
    assert number(float("nan")) == "not known" and moment(7) == "7"
    assert moment(np.datetime64("2026-02-21T09:30:00.5", "ns")) == "2026-02-21 09:30:00.500000"
    rows = summary_rows(run)
    assert (
        rows["refused by the gate"] == "1" and rows["alarms"] == "2" and "6.0% emergency" in rows["time in other modes"]
    )
    table = comparison_table(compare(one_series, dataset=run))
    assert str(table.loc["last value", "root mean squared error"]).endswith("(1.000)")

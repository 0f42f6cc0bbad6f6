"""`uspnb tune`: begun, refused, resumed, applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import killed_campaigns
import numpy as np
import pytest

from uspnb.cli import INTERRUPTED, REFUSED, main
from uspnb.config.load import load_config
from uspnb.config.meta_optimization import load_meta_optimization_config
from uspnb.data.series import Series
from uspnb.tuning import objective, report
from uspnb.tuning.checkpoint import read_checkpoint
from uspnb.tuning.objective import Comparison

CONFIG = "[sensitivity]\ncusum_k = 0.9\n\n[meta_optimization]\nn_trials = 12\nbatch_size = 4\nn_startup_trials = 4\n"


class Measured(killed_campaigns.FoldObjective):
    """In the place of the walk-forward objective: no predictor runs."""

    instances: list[dict[str, Any]] = []  # noqa: RUF012  a record of all instances

    def __init__(self, series: Series, metric: str, **settings: Any) -> None:
        super().__init__(0.0)
        self.metric, self.base_config = metric, settings["base_config"]
        self.instances.append({"ticks": len(series), "metric": metric} | settings)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a table of 300 rows and a file of settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(objective, "WalkForwardObjective", Measured)
    Measured.instances.clear()
    rows = "".join(f"{k},{value:.6f}\n" for k, value in enumerate(np.random.default_rng(1).normal(size=300)))
    (tmp_path / "my data.csv").write_text("row,level\n" + rows)
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def test_a_horizon_is_asked_for_on_the_command_line_or_in_the_file(table: Path) -> None:
    arguments = ["tune", "my data.csv", "--value", "level", "--config", "config.toml", "--quiet", "--trials", "4"]
    assert main([*arguments, "--name", "next"]) == main([*arguments, "--name", "far", "--ahead", "8"]) == 0
    (table / "config.toml").write_text(CONFIG + "ahead = 24\n")
    assert main([*arguments, "--name", "farther"]) == 0
    assert [one["ahead"] for one in Measured.instances] == [1, 8, 24]


class NoBetter(Measured):
    """Settings that are never more than chance better than those in force."""

    def compare_many(self, candidates: list[dict[str, Any]], base: dict[str, Any]) -> list[Comparison]:
        return [Comparison(-0.5, 0.3, 0.001, 1.0) for _ in candidates]


def test_nothing_is_applied_where_the_settings_should_stay(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objective, "WalkForwardObjective", NoBetter)
    arguments = ["tune", "my data.csv", "--value", "level", "--config", "config.toml", "--quiet", "--trials", "4"]
    assert main([*arguments, "--apply"]) == 0
    output = capsys.readouterr().out
    assert "Nothing applied: the middle of the best trials" in output and "should stay" in output
    assert (table / "config.toml").read_text() == CONFIG


def test_a_campaign_is_begun_refused_resumed_and_applied(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the page itself has tests of its own; its figures take seconds
    monkeypatch.setattr(report, "html_report", lambda ds, result: f"<!doctype html>{ds.sizes['trial']} trials")
    arguments = ["tune", "my data.csv", "--value", "level", "--config", "config.toml", "--quiet"]
    assert main([*arguments, "--trials", "4", "--metric", "crps", "--folds", "2", "--ticks", "200"]) == 0
    assert Measured.instances[0] | {"base_config": 0} == {
        "ticks": 200, "metric": "crps", "n_folds": 2, "train_ratio": 0.7, "max_memory": 0, "base_config": 0,
        "ahead": 1,
    }  # fmt: skip
    output = capsys.readouterr().out
    assert "Tuning campaign my-data-fast" in output and "my-data-fast.journal" in output

    def again(*more: str) -> tuple[int, str, str]:
        code = main([*arguments, "--metric", "crps", *more])
        out, err = capsys.readouterr()
        return code, out, err

    code, _, refused = again()
    assert code == REFUSED and "with 4 of 12 trials; go on with it by --resume, or begin another with --name" in refused
    code, output, _ = again("--resume", "--report", "report.html", "--apply", "--override-limit")
    assert code == 0 and "4 of 12 trials are there." in output
    assert (table / "report.html").read_text() == "<!doctype html>12 trials"
    assert len(read_checkpoint(table / "io/tuning/my-data-fast_iter12.json").trials) == 12
    assert load_config("config.toml").cusum_k < 0.9  # the bowl is lowest at 0.4
    assert "uspnb config rollback config.toml" in output
    assert load_meta_optimization_config("config.toml").n_trials == 12


def test_a_finished_campaign_is_told_again_and_nothing_is_run(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tune", "my data.csv", "--value", "level", "--quiet", "--trials", "4", "--name", "mine"]
    assert main([*arguments, "--storage", "mine.journal", "--resume"]) == 0
    assert "Nothing to resume: a new campaign." in capsys.readouterr().out
    size = (table / "mine.journal").stat().st_size
    assert main([*arguments, "--storage", "mine.journal"]) == 0
    assert (table / "mine.journal").stat().st_size == size


def test_an_interrupted_campaign_says_how_to_go_on(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Measured, "evaluate", interrupted)
    assert main(["tune", "my data.csv", "--value", "level", "--quiet"]) == INTERRUPTED
    assert "goes on with the same command and --resume" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["missing.csv"], "there is no file missing.csv"),
        (["my data.csv", "--apply"], "--apply needs the file to write to"),
        (["my data.csv", "--override-limit"], "belongs to --apply"),
        (["my data.csv", "--value", "level", "--ticks", "1"], "--ticks = 1 must be a whole number of at least 2"),
        (["sea", "--value", "level"], "--value is for CSV files"),
        (["my data.csv", "--value", "level", "--trials", "0"], "n_trials = 0"),
        (["my data.csv", "--value", "level", "--name", "a/b"], "study_name = 'a/b'"),
        (["my data.csv", "--value", "level", "--folds", "0"], "n_folds = 0"),
        (["my data.csv", "--value", "level", "--report", "nowhere/r.html"], "nowhere"),
    ],
)
def test_what_cannot_be_tuned_is_refused(
    table: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], output: str
) -> None:
    assert main(["tune", *arguments, "--quiet"]) == REFUSED
    assert output in capsys.readouterr().err
    assert not (table / "io").exists()

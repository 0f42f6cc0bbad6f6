"""The command line: what it prints, writes and refuses."""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
import types

import numpy as np
import pandas as pd
import pytest
from walks import random_walk

from uspnb import cli
from uspnb.cli import main
from uspnb.config import command
from uspnb.config.load import load_config, parse_config
from uspnb.config.schema import PredictorConfig
from uspnb.data.series import read_series
from uspnb.predictor.results import load


@pytest.fixture
def replayed(monkeypatch, make_run):
    """Commands replay through the synthetic run, so that these tests are about the command line alone."""
    calls = []

    def backtest(series, config=None, *, times=None, progress=True):
        calls.append((series, config, progress))
        return make_run(read_series(series, times), config)

    monkeypatch.setattr(importlib.import_module("uspnb.predictor.backtest"), "backtest", backtest)
    return calls


@pytest.fixture
def csv(tmp_path):
    values = random_walk((800, 2), 3)
    times = pd.date_range("2026-02-21T09:30", periods=800, freq="min", tz="UTC")
    path = tmp_path / "two.csv"
    pd.DataFrame({"time": times.strftime("%Y-%m-%dT%H:%M:%SZ"), "a": values[:, 0], "b": values[:, 1]}).to_csv(
        path, index=False
    )
    return path


def test_backtest_writes_report_and_archive(replayed, csv, tmp_path, capsys):
    out, archive = tmp_path / "r.html", tmp_path / "run.zarr"
    code = main(
        ["backtest", str(csv), "--value", "a", "--out", str(out), "--save", str(archive), "--theme", "dark", "--quiet"]
    )
    printed = capsys.readouterr().out
    assert code == 0 and f"Report: {out}" in printed and f"Result: {archive}" in printed
    assert "last value" in printed and "rmse" in printed and "95% interval held" in printed and "2 alarms" in printed
    assert out.read_text().startswith("<!DOCTYPE html>") and load(archive).sizes["time"] == 800
    assert replayed[0][2] is False


def test_backtest_of_several_assets_with_settings(replayed, csv, tmp_path, capsys):
    settings = tmp_path / "config.toml"
    settings.write_text("[orchestration]\nconfidence_level = 0.8\n")
    out = tmp_path / "r.html"
    assert (
        main(["backtest", str(csv), "--value", "a,b", "--config", str(settings), "--asset", "b", "--out", str(out)])
        == 0
    )
    printed = capsys.readouterr().out
    assert "2 assets" in printed and "Asset b, one of 2." in out.read_text()
    assert replayed[0][1].confidence_level == 0.8 and replayed[0][2] is True


def test_demo_replays_sea_temperature(replayed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--ticks", "900"]) == 0
    series = replayed[0][0]
    assert len(series) == 900 and series.units == "degC" and series.has_times
    assert str(tmp_path / "uspnb_report.html") in capsys.readouterr().out
    assert "Half-hourly sea temperature" in (tmp_path / "uspnb_report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing.csv"], "there is no file"),
        (["two.csv"], "several columns of numbers: a, b"),
        (["two.csv", "--value", "z"], "no column 'z'"),
        (["two.csv", "--value", "a", "--config", "no.toml"], "no.toml"),
        (["two.csv", "--value", "a", "--config", "bad.toml"], "bad.toml, line 2: unknown key 'cusum_hh'"),
        (["two.csv", "--value", "a", "--out", "no/r.html"], "does not exist"),
        (["two.csv", "--value", "a", "--save", "run.pkl"], "end it in .nc"),
        (["two.csv", "--value", "a,b", "--asset", "c"], "--asset 'c' is not among the assets: a, b"),
        (["two.csv", "--value", "a", "--asset", "a"], "not among the assets: none"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_code_2_before_anything_runs(
    replayed, csv, monkeypatch, capsys, arguments, reason
):
    monkeypatch.chdir(csv.parent)
    (csv.parent / "bad.toml").write_text("[sensitivity]\ncusum_hh = 1.0\n")
    assert main(["backtest", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("uspnb: error: ") and reason in printed.err and printed.err.count("\n") == 1
    assert replayed == []


def test_an_interrupt_is_code_130(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", interrupted)
    assert main(["config"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_programming_error_is_not_swallowed(monkeypatch):
    def broken(options):
        raise RuntimeError("bug")

    monkeypatch.setattr(command, "run", broken)
    with pytest.raises(RuntimeError, match="bug"):
        main(["config"])


@pytest.fixture
def server(monkeypatch):
    """What the server would be asked for, without one."""
    calls = []
    module = types.ModuleType("uspnb.widgets.apps.server")
    vars(module)["serve"] = lambda app, **settings: calls.append((app, settings))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_serve_passes_its_arguments_on(server, monkeypatch, tmp_path):
    monkeypatch.setenv("UNDER_TEST", "open sesame")
    settings = tmp_path / "config.toml"
    settings.write_text("[orchestration]\nconfidence_level = 0.8\n")
    more = ["--source", "a.csv", "--follow", "--value", "a", "--allow-origin", "a.example", "--allow-origin", "b:80"]
    reach = ["--address", "0.0.0.0", "--port", "0", "--password-env", "UNDER_TEST", "--serve-seconds", "2"]
    assert main(["serve", "explore", *reach, *more, "--config", str(settings), "--open"]) == 0
    app, call = server[0]
    assert app == "explore" and call["source"] == "a.csv" and call["source_options"] == {"follow": True, "value": "a"}
    assert (call["address"], call["port"], call["password"], call["seconds"]) == (
        "0.0.0.0",
        0,
        "open sesame",
        2.0,
    )
    assert call["allow_origin"] == ["a.example", "b:80"] and call["open_browser"] is True
    assert call["config"].confidence_level == 0.8


def test_serve_is_for_this_machine_alone_unless_told_otherwise(server):
    assert main(["serve"]) == 0
    app, call = server[0]
    assert (app, call["address"], call["port"], call["password"]) == ("live", "127.0.0.1", 5006, None)
    assert call["source"] is None and call["source_options"] == {} and call["open_browser"] is False


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--address", "0.0.0.0"], "no password is set"),
        (["--address", "192.0.2.7"], "can be reached from other machines"),
        (["--address", "some.host.example"], "--password-env NAME"),
        (["--password-env", "NOT_SET_UNDER_TEST"], "holds no password"),
        (["--port", "70000"], "from 0 to 65,535"),
        (["--port", "-1"], "from 0 to 65,535"),
        (["--follow"], "name one with --source FILE.csv"),
        (["--time", "t", "--source", "run.nc"], "--time is for a CSV file"),
        (["--config", "no.toml"], "no.toml"),
        (["--scheduler", "tcp://127.0.0.1:9"], "--scheduler is for the app fleet, not for live"),
        (["fleet", "--scheduler", "somewhere://x"], "is no address of a scheduler"),
    ],
)
def test_what_cannot_be_served_is_one_line_and_code_2(server, monkeypatch, tmp_path, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("uspnb: error: ") and reason in printed.err and printed.err.count("\n") == 1
    assert server == []


def test_demo_does_not_serve_for_ever_on_ci(replayed, server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")
    assert main(["demo", "--ticks", "900", "--serve"]) == 0
    assert server == [] and "uspnb serve" in capsys.readouterr().out
    monkeypatch.delenv("CI")
    assert main(["demo", "--ticks", "900", "--serve"]) == 0
    assert server[0][1]["seconds"] is None


def test_demo_serves_after_the_report(replayed, server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 5006))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which serves as well
        assert main(["demo", "--ticks", "900", "--serve-seconds", "1"]) == 0
    app, call = server[0]
    assert (app, call["port"], call["seconds"]) == ("live", 0, 1.0)
    assert (tmp_path / "uspnb_report.html").exists()
    assert main(["demo", "--ticks", "900", "--serve-seconds", "1", "--port", "6001", "--quiet"]) == 0
    assert server[1][1]["port"] == 6001


def test_lab_starts_jupyterlab_on_the_notebooks_and_asks_nobody_for_news(monkeypatch, project_root):
    started = []

    class Lab:
        def __init__(self, command):
            started.append(command)
            self.interrupts = [KeyboardInterrupt, 0]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def wait(self):
            came = self.interrupts.pop(0)
            if came == 0:
                return 0
            raise came

    monkeypatch.setattr(cli.subprocess, "Popen", Lab)
    monkeypatch.chdir(project_root)
    assert main(["lab", "--port", "9001", "--no-browser"]) == 0
    command = started[0]
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={project_root / 'notebooks'}" in command and "--ServerApp.port=9001" in command
    assert "--ServerApp.ip=127.0.0.1" in command and "--LabApp.news_url=None" in command and "--no-browser" in command
    assert main(["lab", "--port", "70000"]) == 2


def test_lab_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    assert main(["lab"]) == 2
    assert "pip install 'uspnb[demo]'" in capsys.readouterr().err


def test_config_prints_what_can_be_read_back(tmp_path, capsys):
    for what in ("show", "template"):
        assert main(["config", what]) == 0
        text = capsys.readouterr().out
        assert parse_config(text) == PredictorConfig()
    path = tmp_path / "c.toml"
    path.write_text(text.replace("confidence_level = 0.95", "confidence_level = 0.9"))
    assert main(["config", "--config", str(path)]) == 0
    assert parse_config(capsys.readouterr().out) == load_config(path) != PredictorConfig()


def test_train_trunk_passes_its_arguments_on(monkeypatch, tmp_path, capsys):
    from uspnb.model.kernels.deep_galerkin import training

    calls = []
    monkeypatch.setattr(training, "train_trunk", lambda *arguments: calls.append(arguments) or {"loss": 0.5})
    main(["train-trunk", "--width", "16", "--depth", "3", "--seed", "4", "--steps", "5", "--out", str(tmp_path)])
    assert calls == [(16, 3, 4, 5, tmp_path)] and '"loss": 0.5' in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["--help"], 0), ([], 2), (["fly"], 2)])
def test_argparse_speaks_for_itself(arguments, code, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == code


def test_the_module_runs_and_help_does_not_load_the_drawing_libraries():
    done = subprocess.run([sys.executable, "-m", "uspnb", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("uspnb ")
    script = "import sys, uspnb.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    script += "print([m for m in ('holoviews', 'bokeh', 'panel') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


def test_how_a_file_is_read_is_told_on_the_command_line(tmp_path, monkeypatch, capsys):
    path = tmp_path / "level.csv"
    path.write_text("day;place;level\n" + "".join(f"{d:02d}/01/2026;{p};9,216\n" for p in "ab" for d in range(1, 12)))
    read = []
    monkeypatch.setattr("uspnb.cli._replay", lambda series, *rest, **more: read.append(series) or 0)
    group, decimal = ["--group", "place"], ["--decimal", ","]
    whole = ["backtest", str(path), "--value", "level"]
    for options, missing in ((["--dayfirst", *decimal], "--group place"), ([*group, *decimal], "--dayfirst")):
        assert main([*whole, *options]) == 2 and missing in capsys.readouterr().err
    assert main([*whole, *group, "--monthfirst"]) == 2 and "--decimal" in capsys.readouterr().err
    settled = [*whole, *group, *decimal]
    january, february = np.datetime64("2026-01-02"), np.datetime64("2026-02-01")
    for order, second in (
        (["--dayfirst"], january),
        (["--monthfirst"], february),
        (["--time-format", "%d/%m/%Y"], january),
    ):
        assert main([*settled, *order]) == 0
        assert (
            read[-1].assets == ("a", "b") and read[-1].time_coordinate[1] == second and read[-1].values[0, 0] == 9.216
        )
    with pytest.raises(SystemExit):
        main([*settled, "--dayfirst", "--monthfirst"])


@pytest.mark.parametrize(
    "command",
    ["demo", "backtest x.csv", "serve", "run", "warm", "tune sea", "config", "config show", "config rollback x.toml"],
)
def test_commands_that_read_settings_take_plugins(command):
    options = cli._parser().parse_args([*command.split(), "--plugin", "one", "--plugin", "two"])
    assert options.plugin == ["one", "two"]
    assert not hasattr(cli._parser().parse_args(command.split()), "plugin")

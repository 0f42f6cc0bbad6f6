"""`uspnb config`: show and template as ever, and what a file's past is: validate, history, rollback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from own_kernel import registered

from uspnb.cli import main
from uspnb.config.load import config_hash, config_to_toml, load_config
from uspnb.config.meta_optimization import MetaOptimizationConfig, parse_meta_optimization_config
from uspnb.config.mutation import history, mutate_config, record_decision
from uspnb.config.schema import PredictorConfig
from uspnb.config.template import render_template
from uspnb.model.kernels import registry

NOW = 1_771_664_400_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text("[sensitivity]\ncusum_k = 0.5\n\n[meta_optimization]\nn_trials = 9\n")
    return file


def run(*arguments: object) -> int:
    return main(["config", *map(str, arguments)])


def test_show_and_template_with_the_file_named_before_or_after(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(path.read_text().replace("0.5", "0.25"))
    values = config_to_toml(PredictorConfig(cusum_k=0.25), every=True)
    commented = render_template(PredictorConfig(cusum_k=0.25), MetaOptimizationConfig(n_trials=9))
    for arguments, expected in (
        ((), config_to_toml(PredictorConfig(), every=True)),
        (("show",), config_to_toml(PredictorConfig(), every=True)),
        (("template",), render_template()),
        (("--config", path), values),
        (("show", "--config", path), values),
        (("--config", path, "show"), values),
        (("template", "--config", path), commented),
    ):
        assert run(*arguments) == 0
        assert capsys.readouterr().out == expected
    assert parse_meta_optimization_config(commented).n_trials == 9


def test_validate_says_that_a_file_is_valid(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("[sensitivity]\ncusum_k = 0.25\n")
    assert run("validate", path) == 0
    output = capsys.readouterr().out
    assert f"{path}: valid, 1 settings differ from their defaults: cusum_k" in output
    assert config_hash(PredictorConfig(cusum_k=0.25)) in output


def test_validate_names_everything_that_is_wrong(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("[sensitivity]\ncusum_kk = 0.25\n[meta_optimization]\nn_folds = 0\n")
    assert run("validate", path) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("uspnb: error: ")
    assert "line 2: unknown key 'cusum_kk'" in output.err and "line 4: n_folds = 0 is outside its range" in output.err
    assert run("validate", path.with_name("absent.toml")) == 2
    assert "no such configuration file" in capsys.readouterr().err


def test_history_is_a_table_with_the_state_of_the_chain(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("history", path) == 0
    assert "no changes; there is nothing in" in capsys.readouterr().out
    mutate_config(path, {"cusum_k": 0.6}, trigger="by hand", now_ns=NOW)
    mutate_config(path, {"cusum_k": 1.8}, trigger="export", override_limit=True, now_ns=NOW + 10**9)
    record_decision(path, "rejected", "autotune", reason="not significant", now_ns=NOW + 2 * 10**9)
    assert run("history", path) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["when", "trigger", "outcome", "changes"]
    assert rows[1] == "2026-02-21 09:00:00Z  by hand   accepted                cusum_k 0.5 -> 0.6"
    assert rows[2] == "2026-02-21 09:00:01Z  export    accepted, limit lifted  cusum_k 0.6 -> 1.8"
    assert rows[3] == "2026-02-21 09:00:02Z  autotune  rejected                (not significant)"
    assert rows[5] == f"{path.parent / 'io' / 'mutations.log'}: 5 lines, chain intact"
    # From the edited line on nothing is told: it cannot be trusted.
    log = path.parent / "io" / "mutations.log"
    log.write_bytes(log.read_bytes().replace(b"1.8", b"1.7"))
    assert run("history", path) == 1
    output = capsys.readouterr().out
    assert "0.5 -> 0.6" in output and "1.7" not in output and "NOT INTACT from line 3 on" in output


def test_rollback_and_back(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = path.read_bytes()
    mutate_config(path, {"cusum_k": 0.6}, trigger="test", now_ns=NOW)
    assert run("rollback", path) == 0
    output = capsys.readouterr().out
    assert "rolled back: cusum_k 0.6 -> 0.5" in output and path.read_bytes() == original
    undo = output.splitlines()[1].removeprefix("To take this back: uspnb config ").split()
    assert run(*undo) == 0
    assert load_config(path).cusum_k == 0.6
    assert run("rollback", path, "--to", "2026-02-21T09:00:00Z") == 0
    assert path.read_bytes() == original
    assert run("rollback", path, "--to", "2026-02-21T09:00:00Z") == 0
    assert "unchanged: nothing changed" in capsys.readouterr().out
    assert run("rollback", path, "--to", "zzz") == 2
    assert "'zzz': there is no such backup" in capsys.readouterr().err
    assert [record.trigger for record in history(path)][1:] == ["uspnb config rollback"] * 5


def test_another_log_can_be_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = path.parent / "audit" / "log.jsonl"
    mutate_config(path, {"cusum_k": 0.6}, trigger="test", audit=log)
    assert run("rollback", path, "--audit", log) == 0
    assert run("history", path, "--audit", log) == 0
    assert "4 lines, chain intact" in capsys.readouterr().out
    assert not (path.parent / "io").exists()


def test_a_plugin_brings_the_kernel_that_a_file_names(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text('[structural]\nkernels = ["hilbert", "mine"]\n')
    (tmp_path / "plugged_kernel.py").write_text(
        "import own_kernel, uspnb\nuspnb.register_kernel('mine', own_kernel.Mean)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "plugged_kernel", raising=False)
    with registered():
        registry._entries.pop("mine")
        assert run("validate", path) == 2
        assert "names 'mine', which is not registered" in capsys.readouterr().err
        assert run("validate", path, "--plugin", "plugged_kernel") == 0
        assert run("validate", path, "--plugin", "no_such_module") == 2
        assert "--plugin 'no_such_module' cannot be imported" in capsys.readouterr().err
        for name in ("", ".relative"):
            assert run("--plugin", name) == 2

"""What a configuration asks for must exist: a trunk that is not shipped is refused at every door."""

from __future__ import annotations

from pathlib import Path

import pytest

import uspnb
from uspnb.cli import main
from uspnb.config.load import parse_config
from uspnb.errors import ConfigError, ConfigMutationError, ReloadWarning
from uspnb.model.kernels.registry import trunk_sizes

WORDS = "no trained Deep Galerkin trunk of dgm_width_size = 96, dgm_depth = 2; there are: 32x2"
BAD = "[structural]\ndgm_width_size = 96\n"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("[structural]\ndgm_width_size = 32\n\n[sensitivity]\ncusum_k = 0.5\n")
    return path


def test_the_size_is_one_that_is_not_shipped() -> None:
    assert (96, 2) not in trunk_sizes() and (32, 2) in trunk_sizes()


def test_a_file_is_not_loaded(settings: Path) -> None:
    settings.write_text(BAD)
    with pytest.raises(ConfigError, match=f"config.toml, line 2: {WORDS}"):
        uspnb.load_config(settings)
    assert parse_config(BAD).dgm_width_size == 96  # the text of a run of elsewhere can still be read


def test_the_command_says_so(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings.write_text(BAD)
    assert main(["config", "validate", str(settings)]) != 0
    printed = capsys.readouterr()
    assert WORDS in printed.err + printed.out and ": valid" not in printed.out


def test_it_is_not_written(settings: Path) -> None:
    before = settings.read_text()
    with pytest.raises(ConfigMutationError, match=WORDS):
        uspnb.mutate_config(settings, {"dgm_width_size": 96}, trigger="test", override_limit=True)
    assert settings.read_text() == before


def test_a_file_that_asks_for_it_can_be_mended(settings: Path) -> None:
    settings.write_text(BAD)
    assert uspnb.mutate_config(settings, {"dgm_width_size": 64}, trigger="test", override_limit=True).changed
    assert uspnb.load_config(settings).dgm_width_size == 64


def test_a_backup_that_asks_for_it_is_not_put_back(settings: Path) -> None:
    settings.write_text(BAD)
    uspnb.mutate_config(settings, {"dgm_width_size": 64}, trigger="test", override_limit=True)
    assert main(["config", "rollback", str(settings)]) != 0
    assert uspnb.load_config(settings).dgm_width_size == 64


def test_a_reload_keeps_the_settings_in_force(settings: Path) -> None:
    predictor = uspnb.ConfigReloadablePredictor(settings)
    settings.write_text(BAD)
    with pytest.warns(ReloadWarning, match=WORDS):
        assert not predictor.check_and_reload_config()
    assert predictor.config.dgm_width_size == 32


def test_no_predictor_is_made_of_it() -> None:
    with pytest.raises(ConfigError, match=WORDS):
        uspnb.FunctionalPredictor(uspnb.PredictorConfig(dgm_width_size=96))


def test_an_unregistered_kernel_is_refused_in_the_same_way(settings: Path) -> None:
    settings.write_text('[structural]\nkernels = ["hilbert", "nobodys"]\n')
    with pytest.raises(
        ConfigError, match="line 2: kernels names 'nobodys', which is not registered; known are hilbert"
    ):
        uspnb.load_config(settings)

"""Files that earlier versions wrote are read, and what goes on from them goes on to the right numbers."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uspnb
from uspnb.config.schema import PredictorConfig
from uspnb.persistence.snapshots import config_from, read_snapshot

# When the files were written, every kernel solved its equations at every tick, and its first errors counted alike.
EVERY_TICK: dict[str, Any] = {"hilbert_stride": 1, "dgm_stride": 1, "impute": False, "score_youth": 1.0}
ARCHIVES = sorted(Path(__file__).with_name("stored").glob("files_*.zip"))


@pytest.fixture(params=ARCHIVES, ids=lambda archive: archive.stem)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What an archive holds."""
    shutil.unpack_archive(request.param, tmp_path)
    return tmp_path


@pytest.fixture
def expected(folder: Path, record: Any) -> Any:
    """What a reader must get from them."""
    return record.read(folder / "expected")


def test_a_predictor_goes_on_from_a_snapshot(folder: Path, expected: Any, files: Any) -> None:
    """To the same forecasts where every kernel solves at every tick, as all did when the files were written."""
    config = dataclasses.replace(config_from(read_snapshot(folder / "snapshot")), **EVERY_TICK)
    predictor = uspnb.UniversalPredictor(config, clock=uspnb.replay_clock)
    predictor.load_snapshot(folder / "snapshot")
    following = files.following(predictor)
    assert len(following) == 7
    for name, values in following.items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(values, expected[name], rtol=1e-9, atol=1e-9 * scale, err_msg=name)


def test_a_snapshot_passes_inspection(folder: Path, files: Any) -> None:
    code, output = files.command("inspect", str(folder / "snapshot"))
    assert code == 0 and f"{files.FED}" in output


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_saved_run_is_read_to_the_bit(folder: Path, expected: Any, record: Any, suffix: str) -> None:
    recorded = record.of_dataset("run", uspnb.load(folder / f"run{suffix}"))
    differences: list[str] = []
    assert set(recorded) == {name for name in expected if name.startswith("run/")}
    apart = record.compare(recorded, {name: expected[name] for name in recorded}, differences.append)
    assert apart == 0, [line for line in differences if not line.startswith("equal")]


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_saved_run_is_replayed_to_the_same_forecasts(
    folder: Path, expected: Any, record: Any, files: Any, suffix: str
) -> None:
    with uspnb.Session(folder / f"run{suffix}", PredictorConfig(**EVERY_TICK)) as session:
        session.step(files.RUN)
        record.reach(session, files.RUN)
        again = session.history()
    for name in ("time", "prediction", "lower", "upper", "weight"):
        was = expected[f"run/{name}"]
        np.testing.assert_allclose(record.plain(again[name].values), was, rtol=1e-9, atol=1e-9, err_msg=name)


def _is_continued(files: Any, optimizer: Any, expected: np.ndarray) -> None:
    """What was read to the bit; what is sampled after it to the last digits, which are those of a processor."""
    tried = files.tried(optimizer)["trials"]
    np.testing.assert_array_equal(tried[: files.TRIALS], expected[: files.TRIALS])
    np.testing.assert_allclose(tried, expected, rtol=1e-13)


def test_a_campaign_goes_on_from_its_journal(folder: Path, expected: Any, files: Any) -> None:
    optimizer = files.campaign(folder / "tuning")
    assert optimizer.status().trials == files.TRIALS
    optimizer.disown("elsewhere")
    optimizer.optimize(files.ALL_TRIALS)
    _is_continued(files, optimizer, expected["trials"])


@pytest.mark.parametrize("file", ["study.json", "tuning/bowl_best.json", "tuning/bowl_iter8.json"])
def test_a_campaign_goes_on_from_a_checkpoint(
    folder: Path, expected: Any, files: Any, tmp_path: Path, file: str
) -> None:
    optimizer = files.campaign(tmp_path / "anew")
    optimizer.load_study(folder / file)
    assert optimizer.status().trials == files.TRIALS
    optimizer.optimize(files.ALL_TRIALS)
    _is_continued(files, optimizer, expected["trials"])


def test_settings_their_log_and_their_backups_are_read_and_gone_on_with(folder: Path, files: Any) -> None:
    settings = folder / "settings" / "config.toml"
    config = uspnb.load_config(settings)
    assert (config.cusum_k, config.confidence_level) == (0.3, 0.9)
    code, output = files.command("config", "history", str(settings))
    assert code == 0 and all(trigger in output for trigger in ("first", "second", "too far"))
    first = sorted((folder / "settings").glob("config.toml.bak.*"))[0]
    uspnb.mutate_config(settings, {"cusum_k": 0.25}, trigger="third")
    assert uspnb.load_config(settings).cusum_k == 0.25
    assert files.command("config", "rollback", str(settings), "--to", first.name)[0] == 0
    assert settings.read_bytes() == first.read_bytes() and uspnb.load_config(settings) == uspnb.PredictorConfig()
    code, output = files.command("config", "history", str(settings))
    assert code == 0 and "third" in output and "rolled back" in output.replace("_", " ")

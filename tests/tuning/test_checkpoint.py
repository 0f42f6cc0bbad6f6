"""Campaigns as files of data: exact, verified, never half."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from study_stubs import bowl, campaign, sequence

from uspnb.errors import DomainError, IntegrityError
from uspnb.runtime import files
from uspnb.runtime.digest import sha256_bytes
from uspnb.tuning import checkpoint
from uspnb.tuning.checkpoint import read_checkpoint
from uspnb.tuning.study import BayesianMetaOptimizer


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A campaign of 12 trials, saved."""
    optimizer = campaign(tmp_path / "first")
    optimizer.optimize(12)
    return optimizer.save_study(tmp_path / "saved" / "study.json")


def test_a_loaded_campaign_goes_on_exactly(tmp_path: Path, saved: Path) -> None:
    whole = campaign(tmp_path / "whole")
    whole.optimize()
    optimizer = campaign(tmp_path / "second")
    optimizer.load_study(saved)
    assert optimizer.status().trials == 12
    optimizer.optimize()
    assert sequence(optimizer) == sequence(whole)
    # the seeds' other way: on the class, with the file's own space, tier and settings
    third = BayesianMetaOptimizer.load_study(saved, bowl, storage=str(tmp_path / "third.journal"), progress=False)
    third._checkpoints.folder = tmp_path
    third.optimize(20)
    assert sequence(third) == sequence(whole) and third.search_space == whole.search_space


def test_a_batch_that_ran_when_it_was_saved_is_taken_over(tmp_path: Path) -> None:
    whole = campaign(tmp_path / "whole")
    whole.optimize(12)
    optimizer, calls = campaign(tmp_path / "first"), []

    def saving(params: dict[str, Any]) -> float:
        calls.append(params)
        if len(calls) == 6:
            # what lies in the storage at this moment: four trials told, four running
            other = campaign(tmp_path / "first")
            other.save_study(tmp_path / "half.json")
        return bowl(params)

    optimizer.objective.function = saving
    optimizer.optimize(12)
    loaded = campaign(tmp_path / "second")
    loaded.load_study(tmp_path / "half.json")
    assert [trial.state.name for trial in loaded.trials] == ["COMPLETE"] * 4 + ["RUNNING"] * 4
    loaded.optimize(12)
    assert sequence(loaded) == sequence(whole) == sequence(optimizer)


def test_every_attribute_comes_back(tmp_path: Path, saved: Path) -> None:
    first, second = campaign(tmp_path / "first"), campaign(tmp_path / "second")
    second.load_study(saved)
    assert second.results.drop_attrs().equals(first.results.drop_attrs())
    for ours, theirs in zip(first.trials, second.trials, strict=True):
        assert ours.datetime_start == theirs.datetime_start and ours.datetime_complete == theirs.datetime_complete
        assert ours.distributions == theirs.distributions
        assert ours.user_attrs | {"owner": ""} == theirs.user_attrs
    # what is saved again says the same
    again = json.loads(second.save_study(tmp_path / "again.json").read_text())["study"]
    assert again | {"saved_at": ""} == json.loads(saved.read_text())["study"] | {"saved_at": ""}


def test_the_file_and_its_sidecar_are_what_sha256sum_reads(saved: Path) -> None:
    digest, name = saved.with_name("study.json.sha256").read_text().split()
    assert (digest, name) == (sha256_bytes(saved.read_bytes()), "study.json")
    assert json.loads(saved.read_text())["study"]["campaign"]["format"] == "uspnb campaign"


@pytest.mark.parametrize("place", [0, 40, 700, -2])
def test_a_damaged_file_is_refused_before_it_is_read(
    tmp_path: Path, saved: Path, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(saved.read_bytes())
    content[place] ^= 1
    saved.write_bytes(bytes(content))
    monkeypatch.setattr(json, "loads", None)
    with pytest.raises(IntegrityError, match=r"does not match its checksum in study\.json\.sha256"):
        read_checkpoint(saved)


def test_a_file_whose_sidecar_was_made_to_fit_is_refused_by_the_checksum_inside(saved: Path) -> None:
    saved.write_text(saved.read_text().replace('"number":3', '"number":7', 1))
    saved.with_name("study.json.sha256").write_text(f"{sha256_bytes(saved.read_bytes())}  study.json\n")
    with pytest.raises(IntegrityError, match="the checksum that it holds"):
        read_checkpoint(saved)


@pytest.mark.parametrize("content", ["{}", "[]", '{"study": 3, "sha256": ""}', "no json", ""])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    path.with_name("a.json.sha256").write_text(f"{sha256_bytes(path.read_bytes())}  a.json\n")
    with pytest.raises((IntegrityError, DomainError), match=r"no checkpoint|no campaign"):
        read_checkpoint(path)


def test_what_is_missing_is_named(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing.json \(checkpoint\)"):
        read_checkpoint(tmp_path / "missing.json")
    saved.with_name("study.json.sha256").unlink()
    with pytest.raises(FileNotFoundError, match=r"study.json.sha256 \(checksum"):
        campaign(tmp_path / "second").load_study(saved)


def test_another_version_another_name_and_another_campaign_are_refused(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(DomainError, match="is of the study 'bowl', this one is 'cup'"):
        campaign(tmp_path / "second", study_name="cup").load_study(saved)
    with pytest.raises(DomainError, match=r"another campaign .*seed 20260221, not 4"):
        campaign(tmp_path / "second", seed=4).load_study(saved)
    optimizer = campaign(tmp_path / "first")
    image = optimizer.image()
    checkpoint.write_checkpoint(saved, image._replace(identity=image.identity | {"version": 0}))
    with pytest.raises(DomainError, match="has version 0"):
        optimizer.load_study(saved)


def test_a_storage_that_goes_further_stays_and_one_that_differs_is_refused(tmp_path: Path, saved: Path) -> None:
    further = campaign(tmp_path / "further")
    further.optimize(16)
    further.load_study(saved)
    assert further.status().trials == 16
    other = campaign(tmp_path / "other", lambda params: 2.0)
    other.objective.metric = "bowl"
    other._identity["metric"] = "bowl"
    other.optimize(4)
    with pytest.raises(DomainError, match="trial 0 of the checkpoint is another"):
        other.load_study(saved)


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_save_that_is_cut_off_anywhere_leaves_a_pair_that_loads(
    tmp_path: Path, saved: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()
    optimizer = campaign(tmp_path / "first")
    optimizer.optimize(16)
    done: list[Path] = []

    def dying(path: Path, data: Any, **settings: Any) -> Path:
        if len(done) == writes:
            raise OSError(28, "No space left on device")
        done.append(path)
        return files.write_atomic(path, data, **settings)

    monkeypatch.setattr(checkpoint, "write_atomic", dying)
    with pytest.raises(OSError, match="No space"):
        optimizer.save_study(saved)
    monkeypatch.undo()
    assert len(read_checkpoint(saved).trials) == (16 if writes == 2 else 12)
    assert (saved.read_bytes() == before) == (writes < 2)
    optimizer.save_study(saved)
    assert len(saved.with_name("study.json.sha256").read_text().splitlines()) == 1


def test_a_campaign_writes_checkpoints_at_intervals_and_of_its_best(tmp_path: Path) -> None:
    optimizer = campaign(tmp_path)
    optimizer.optimize(20, checkpoint_interval=8)
    names = sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".json")
    assert names == ["bowl_best.json", "bowl_iter16.json", "bowl_iter8.json"]
    best = read_checkpoint(tmp_path / "bowl_best.json")
    assert min(trial.value for trial in best.trials if trial.value is not None) == optimizer.best_value
    assert len(read_checkpoint(tmp_path / "bowl_iter8.json").trials) == 8


def test_a_checkpoint_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bowl_iter8.json").mkdir()
    assert campaign(tmp_path).optimize(8, checkpoint_interval=8).total_iterations == 8
    assert "bowl_iter8.json was not written" in caplog.text

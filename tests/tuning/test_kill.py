"""Campaigns that are killed at random moments, stopped by signals, cut off anywhere in their journal."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import killed_campaigns
import pytest

campaign, told = killed_campaigns.campaign, killed_campaigns.told


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One campaign that nobody disturbed, and those that somebody did."""
    folder = str(tmp_path_factory.mktemp("kill"))
    command = [sys.executable, killed_campaigns.__file__, folder, "--kills", "5", "--seed", "11"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a campaign that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    campaign(folder, fold_s=0.0).optimize()
    return folder / "campaign.journal"


@pytest.mark.parametrize(
    ("how", "codes"),
    [
        ("killed", {-signal.SIGKILL}),
        ("torn", {-signal.SIGKILL}),
        ("terminated", {143, -signal.SIGTERM}),  # the latter where it comes before the campaign has begun
        ("interrupted", {130}),
    ],
)
def test_a_disturbed_campaign_equals_the_undisturbed_one(campaigns: dict[str, Any], how: str, codes: set[int]) -> None:
    disturbed, expected = campaigns[how], campaigns["whole"]
    assert set(disturbed["codes"]) <= codes and len(disturbed["codes"]) >= (5 if how == "killed" else 2)
    for one in disturbed["campaigns"]:
        assert one["trials"] == expected["trials"]
        assert one["best"] == expected["best"]


def test_the_undisturbed_campaign_has_trials_of_every_kind(campaigns: dict[str, Any]) -> None:
    assert {trial[1] for trial in campaigns["whole"]["trials"]} == {"COMPLETE", "PRUNED", "FAIL"}


def test_a_journal_cut_off_at_any_byte_goes_on_to_the_same_campaign(whole: Path, tmp_path: Path) -> None:
    # A crash leaves a prefix of the journal: this is every crash, of which 12 are tried.
    content, expected = whole.read_bytes(), told(campaign(whole.parent))
    for place in random.Random(5).sample(range(len(content)), 12):
        folder = tmp_path / str(place)
        folder.mkdir()
        (folder / "campaign.journal").write_bytes(content[:place])
        optimizer = campaign(folder, fold_s=0.0)
        optimizer.optimize()
        assert told(optimizer) == expected, place


def test_usr1_writes_a_checkpoint_and_the_campaign_goes_on(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    optimizer = campaign(tmp_path, fold_s=0.0, n_trials=10, checkpoint_interval=1000)
    optimizer.optimize(10, after_batch=lambda status: signal.raise_signal(signal.SIGUSR1))
    # the first is written before the second batch is evaluated, the other at the end
    assert {path.name for path in tmp_path.glob("*iter*.json")} == {"campaign_iter5.json", "campaign_iter10.json"}
    evaluate = optimizer.objective.evaluate

    def signalled(candidates: Any, *, keep: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        (tmp_path / "campaign_iter10.json").rename(tmp_path / "while_evaluating.json")
        return evaluate(candidates, keep=keep)

    optimizer.objective.evaluate = signalled
    assert optimizer.optimize(15).total_iterations == 15 and (tmp_path / "while_evaluating.json").exists()
    assert signal.getsignal(signal.SIGUSR1) == before


def test_after_sigterm_the_handler_that_was_there_is_called(tmp_path: Path) -> None:
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: numbers.append(number))
    optimizer = campaign(tmp_path, fold_s=0.0)
    try:
        with pytest.raises(SystemExit) as ended:
            optimizer.optimize(after_batch=lambda status: signal.raise_signal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert numbers == [signal.SIGTERM] and ended.value.code == 143
    assert optimizer.status().state == "stopped" and (tmp_path / "campaign_iter5.json").exists()

"""Several processes on one study: no number twice, none lost, none too many."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import killed_campaigns
import pytest


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Four processes on one study, left alone and with one of them killed."""
    command = [sys.executable, killed_campaigns.__file__, str(tmp_path_factory.mktemp("shared")), "--shared", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("how", "codes"), [("shared", [0, 0, 0, 0]), ("bereft", [-9, 0, 0, 0])])
def test_four_processes_on_one_study(campaigns: dict[str, Any], how: str, codes: list[int]) -> None:
    outcome = campaigns[how]
    assert outcome["codes"] == codes
    assert outcome["owners"] > 1  # it was shared
    trials = outcome["trials"]
    assert [trial[0] for trial in trials] == list(range(30))
    assert {trial[1] for trial in trials} <= {"COMPLETE", "PRUNED", "FAIL"}
    batches = [trial[4] for trial in trials]
    assert sorted(batches) == batches and all(batches.count(number) == 5 for number in range(6))
    assert len({json.dumps(trial[2]) for trial in trials}) == 30  # nobody drew what another had drawn


def test_what_a_killed_process_left_is_taken_over(campaigns: dict[str, Any]) -> None:
    assert campaigns["shared"]["left"] == 0
    assert campaigns["bereft"]["left"] <= 5  # one batch at the most, and the next call ends it

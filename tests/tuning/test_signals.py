"""Signals of a campaign in the main thread: when they act, when they wait, and that the handlers before come back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from uspnb.tuning.signals import CHECKPOINT, TERMINATED, CampaignSignals, Terminated

pytestmark = pytest.mark.skipif(CHECKPOINT is None, reason="SIGUSR1 is not there on Windows")


@pytest.fixture
def written() -> list[int]:
    """A one for every checkpoint that was written."""
    return []


@pytest.fixture
def signals(written: list[int]) -> Iterator[CampaignSignals]:
    """Those of a campaign, and the handlers of before in force again after it."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    yield CampaignSignals(lambda: written.append(1))
    assert [signal.getsignal(number) for number in numbers] == before


def test_an_interrupt_and_a_termination_act_at_once(signals: CampaignSignals) -> None:
    for number, kind in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)):
        with pytest.raises(kind), signals:
            signal.raise_signal(number)
            raise AssertionError("it was not heard")


def test_while_the_study_is_written_they_wait_for_its_end(signals: CampaignSignals) -> None:
    done = []
    with pytest.raises(Terminated), signals:
        with signals.sheltered():
            signal.raise_signal(signal.SIGTERM)
            done.append("written")
        raise AssertionError("it was forgotten")
    assert done == ["written"]


def test_a_checkpoint_is_written_while_a_batch_is_evaluated_or_before_the_next(
    signals: CampaignSignals, written: list[int]
) -> None:
    with signals:
        signal.raise_signal(signal.SIGUSR1)
        assert not written
        with signals.evaluating():
            assert len(written) == 1
            signal.raise_signal(signal.SIGUSR1)
            assert len(written) == 2
        signal.raise_signal(signal.SIGUSR1)
    assert len(written) == 3, "what was asked for after the last batch"


def test_in_another_thread_nothing_is_installed(signals: CampaignSignals) -> None:
    handlers = []

    def run() -> None:
        with signals:
            handlers.append(signal.getsignal(signal.SIGUSR1))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGUSR1)]


def test_a_termination_is_handed_on(signals: CampaignSignals) -> None:
    with pytest.raises(SystemExit) as ended:
        signals.hand_on()
    assert ended.value.code == TERMINATED == 143

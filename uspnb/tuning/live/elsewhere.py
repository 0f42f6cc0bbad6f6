"""A campaign in a process of its own, and what the two say to each other.

A process, because the CPU client of XLA has one thread here: a campaign in the predictor's own process would make every
tick wait for a whole batch of candidates.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from typing import Any, BinaryIO

import numpy as np

from ...config.load import config_to_toml, parse_config
from ...errors import UspnbError
from ...runtime.child import Child, ChildEnded, Message, read_message, write_message
from ..space import SearchSpace
from .proposing import CampaignTask, Found, Proposal, Verdict, propose

POLL_S = 0.2
NICE = 10


class HelperError(UspnbError):
    """The helper process ended without a proposal."""


def propose_elsewhere(task: CampaignTask, stop: threading.Event) -> Proposal:
    """`propose` in a process of its own, with a lower priority.

    Args:
        task: what to work on.
        stop: set to give up; the process is ended then, and with the main thread.

    Raises:
        HelperError: it was stopped, or the process ended without a proposal; the message says why.
        OSError: no process can be started.
    """
    # On a GPU the predictor's process may hold most of the memory already.
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
    child = Child("uspnb.tuning.live.elsewhere:serve", environment=environment)
    try:
        with contextlib.suppress(ChildEnded):  # it died at once; its exit code tells
            child.send(*message_of(task))
        while child.exit_code is None and not stop.wait(POLL_S):
            if not threading.main_thread().is_alive():
                stop.set()
        if child.exit_code is None:
            raise HelperError("the campaign was stopped")
        return proposal_from(child.receive().head)
    except ChildEnded as error:
        raise HelperError(str(error)) from error
    finally:
        child.kill()
        child.close()


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """The far end: read a task, work on it at a lower priority, answer."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    message = read_message(source)
    if message is None:
        return
    # The parent never writes again: the end of the pipe is the end of the parent, or of its interest.
    threading.Thread(target=_end_with, args=(source,), daemon=True).start()
    try:
        answer = answer_of(propose(task_from(message)))
    except UspnbError as error:
        answer = {"error": str(error)}
    write_message(sink, answer)


def _end_with(source: BinaryIO) -> None:
    # Not by the buffered reader, whose lock the interpreter would wait for at its end.
    os.read(source.fileno(), 1)
    os._exit(1)


def message_of(task: CampaignTask) -> tuple[dict[str, Any], bytes, bytes]:
    """A task as a message: its settings, then the values and the timestamps as they lie in memory."""
    head = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    head |= {"values": len(task.values), "stamps": None, "config": config_to_toml(task.config)}
    head["space"] = [dataclasses.asdict(one) for one in task.space.values()]
    stamps = np.ascontiguousarray(task.stamps, np.int64).tobytes()
    return head, np.ascontiguousarray(task.values, np.float64).tobytes(), stamps


def task_from(message: Message) -> CampaignTask:
    """What `message_of` packed."""
    head, count = dict(message.head), message.head["values"]
    space = [SearchSpace(**{**one, "range": tuple(one["range"])}) for one in head["space"]]
    head["values"] = np.frombuffer(message.body, np.float64, count)
    head["stamps"] = np.frombuffer(message.body, np.int64, count, 8 * count)
    head |= {"config": parse_config(head["config"]), "space": {one.name: one for one in space}}
    return CampaignTask(**head)


def answer_of(proposal: Proposal) -> dict[str, Any]:
    """A proposal as JSON can hold it."""
    answer: dict[str, Any] = {**proposal._asdict(), "found": proposal.found._asdict()}
    answer["verdict"] = None if proposal.verdict is None else proposal.verdict._asdict()
    return answer


def proposal_from(answer: dict[str, Any]) -> Proposal:
    """What `answer_of` made, or the error that the process met.

    Raises:
        HelperError: the answer is an error.
    """
    if "error" in answer:
        raise HelperError(answer["error"])
    verdict = None if answer["verdict"] is None else Verdict(**answer["verdict"])
    return Proposal(answer["changes"], Found(**answer["found"]), verdict, answer["reason"], tuple(answer["cut"]))

"""A campaign in a process of its own, and what the two say to each other.

A process, because the CPU client of XLA has one thread here: a campaign in the predictor's own process would make every
tick wait for a whole batch of candidates.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
from typing import Any, BinaryIO, cast

import numpy as np

from ...config.load import config_to_toml, parse_config
from ...errors import UspnbError
from ..space import SearchSpace
from .proposing import CampaignTask, Found, Proposal, Verdict

POLL_S = 0.2


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
    command = [sys.executable, "-P", "-m", "uspnb.tuning.live.campaign_process"]
    # On a GPU the predictor's process may hold most of the memory already.
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # it died at once; its exit code tells
                write_task(cast(BinaryIO, process.stdin), task)
            while process.poll() is None and not stop.wait(POLL_S):
                if not threading.main_thread().is_alive():
                    stop.set()
            if process.poll() is None:
                raise HelperError("the campaign was stopped")
            line = process.stdout.readline()
        finally:
            process.kill()
    if not line:
        raise HelperError(f"the helper process ended with code {process.returncode}; standard error has its messages")
    return parse_answer(line)


def write_task(sink: BinaryIO, task: CampaignTask) -> None:
    """A line of JSON, then the values and the timestamps as they lie in memory."""
    told = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    told |= {"values": len(task.values), "stamps": None, "config": config_to_toml(task.config)}
    told["space"] = [dataclasses.asdict(one) for one in task.space.values()]
    sink.write(json.dumps(told).encode() + b"\n")
    sink.write(np.ascontiguousarray(task.values, np.float64).tobytes())
    sink.write(np.ascontiguousarray(task.stamps, np.int64).tobytes())
    sink.flush()


def read_task(source: BinaryIO) -> CampaignTask:
    """What `write_task` wrote."""
    told = json.loads(source.readline())
    count = told["values"]
    space = [SearchSpace(**{**one, "range": tuple(one["range"])}) for one in told["space"]]
    told["values"] = np.frombuffer(source.read(8 * count), np.float64)
    told["stamps"] = np.frombuffer(source.read(8 * count), np.int64)
    told |= {"config": parse_config(told["config"]), "space": {one.name: one for one in space}}
    return CampaignTask(**told)


def answer_of(proposal: Proposal) -> bytes:
    """A proposal as a line of JSON."""
    told: dict[str, Any] = {**proposal._asdict(), "found": proposal.found._asdict()}
    told["verdict"] = None if proposal.verdict is None else proposal.verdict._asdict()
    return json.dumps(told).encode() + b"\n"


def parse_answer(line: bytes) -> Proposal:
    """What `answer_of` made, or the error that the process met.

    Raises:
        HelperError: the line holds an error.
    """
    told = json.loads(line)
    if "error" in told:
        raise HelperError(told["error"])
    verdict = None if told["verdict"] is None else Verdict(**told["verdict"])
    return Proposal(told["changes"], Found(**told["found"]), verdict, told["reason"], tuple(told["cut"]))


def error_of(error: UspnbError) -> bytes:
    """An error as a line of JSON."""
    return json.dumps({"error": str(error)}).encode() + b"\n"

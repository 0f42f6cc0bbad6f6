"""Work in the background: a campaign in a process of its own, and compiling what it proposes.

A process, because the CPU client of XLA has one thread here: a campaign in the predictor's own process would make every
tick wait for a whole batch of candidates.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from ...config.schema import STATIC_FIELDS, PredictorConfig
from ...errors import UspnbError
from ...model.kernels.registry import packed_kernels, register_packed
from ...predictor.functional import FunctionalPredictor
from ...runtime.child import Child, ChildEnded, extend_path, read_message, write_message
from .proposing import CampaignTask, Proposal, held_out, propose, search

POLL_S = 0.2
NICE = 10

Work = Callable[[CampaignTask], Proposal]


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
            child.send({"path": sys.path, "kernels": _kernels(task.config)}, pickle.dumps(task))
        while child.exit_code is None and not stop.wait(POLL_S):
            if not threading.main_thread().is_alive():
                stop.set()
        if child.exit_code is None:
            raise HelperError("the campaign was stopped")
        answer = child.receive()
        if answer.head["error"]:
            raise HelperError(answer.head["error"])
        return pickle.loads(answer.body)
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
    proposal, problem = None, ""
    try:
        extend_path(message.head["path"])
        register_packed(message.head["kernels"])
        proposal = propose(pickle.loads(message.body))
    except UspnbError as error:
        problem = str(error)
    write_message(sink, {"error": problem}, pickle.dumps(proposal))


def _kernels(config: PredictorConfig) -> str:
    return packed_kernels(config.kernels, "the process of the campaigns", "tune with background=False")


def _end_with(source: BinaryIO) -> None:
    # Not by the buffered reader, whose lock the interpreter would wait for at its end.
    os.read(source.fileno(), 1)
    os._exit(1)


class Background:
    """Runs one campaign at a time.

    Args:
        work: what makes a proposal of a task; None is a helper process.
        wait: whether `submit` comes back only when it is done.
    """

    def __init__(self, work: Work | None, wait: bool) -> None:
        self._work, self._wait = work, wait
        self._stop = threading.Event()  # of the campaign that runs

    def check(self, config: PredictorConfig) -> None:
        """Refuse settings that the helper process could not work on.

        Raises:
            DomainError: it cannot import one of their kernels.
        """
        if self._work is None:
            _kernels(config)

    def submit(self, task: CampaignTask) -> Future[Proposal]:
        """Begin; whatever goes wrong is the Future's exception."""
        self._stop = threading.Event()
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="uspnb-autotune")
        future = thread.submit(self._run, task, self._stop)
        thread.shutdown(wait=self._wait)
        return future

    def stop(self) -> None:
        """Give up what runs; returns at once."""
        self._stop.set()

    def _run(self, task: CampaignTask, stop: threading.Event) -> Proposal:
        proposal = propose_elsewhere(task, stop) if self._work is None else self._work(task)
        if proposal.changes.keys() & set(STATIC_FIELDS) and not stop.is_set():
            functional = FunctionalPredictor(dataclasses.replace(task.config, **proposal.changes))
            functional.warm(functional.init_state())
        return proposal


def background_for(background: bool, campaign: Callable | None, judge: Callable | None) -> Background:
    """A helper process; this process where `background` is off, or the campaign or its test is the caller's own."""
    if background and campaign is None and judge is None:
        return Background(None, wait=False)
    return Background(lambda task: propose(task, campaign or search, judge or held_out), wait=not background)

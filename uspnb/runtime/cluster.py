"""A Dask cluster as uspnb uses it: tasks that each come to an end, whatever becomes of their workers."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

from ..errors import DomainError, UspnbError

# What `distributed` calls so; it is an optional package, and its own annotations mix values with coroutines.
Client = Any
Future = Any

WORKER_PATIENCE_S = 60.0
POLL_S = 5.0
# How Dask's scheduler begins its report on a task that it cannot load; the cause follows.
UNREADABLE = "Error during deserialization of the task graph"


class Outcome(NamedTuple):
    """How a task ended.

    Attributes:
        value: what it returned; None where it failed.
        reason: why it failed, "" where it did not.
        killed: whether it failed because its workers died under it.
    """

    value: Any
    reason: str
    killed: bool


class Lacks(NamedTuple):
    """What a call returns on a worker that lacks what it works on; it is called again with the whole of it."""


def checked_client(client: Any) -> Client:
    """The client of a cluster that has a worker.

    Raises:
        DomainError: `distributed` is not installed, it is no client, an asynchronous or a closed one, or no worker
            comes.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise DomainError(
            f"client = {client!r:.80} needs the package {error.name}; install it with: pip install 'uspnb[cluster]'"
        ) from error
    if not isinstance(client, Client):
        raise DomainError(
            f"client has type {type(client).__name__}, expected distributed.Client, for example "
            "Client(LocalCluster(n_workers=2))"
        )
    if client.asynchronous:
        raise DomainError("client is asynchronous; make it with Client(..., asynchronous=False)")
    if client.status != "running":
        raise DomainError(f"client is {client.status}; connect a new one to the cluster")
    with _connected():
        try:
            client.wait_for_workers(1, timeout=WORKER_PATIENCE_S)
        except TimeoutError as error:
            raise DomainError(f"the cluster has had no worker for {WORKER_PATIENCE_S:g} s; start one") from error
    return client


def worker_threads(client: Client) -> int:
    """How many tasks the workers run at once, 1 at least.

    Raises:
        UspnbError: the scheduler was lost.
    """
    if client.status in ("closing", "closed"):
        raise UspnbError(f"the client of the Dask cluster is {client.status}; run it again with a connected one")
    with _connected():
        return max(1, sum(client.nthreads().values()))


def outcomes(
    client: Client,
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    ended: Callable[[int], None] = lambda call: None,
    whole: Callable[[int], tuple[Any, ...]] = lambda call: (),
) -> list[Outcome]:
    """Run calls of a function on the workers and wait for all of them.

    No more calls are handed out than the workers have threads: Dask counts the death of a worker against all that waits
    there.  What was killed runs elsewhere, as often as Dask's setting ``distributed.scheduler.allowed-failures`` says.
    Arguments are plain data and not futures, since Dask prefers the worker that holds a future and leaves others idle.

    Args:
        client: of the cluster.
        function: what the workers call.
        calls: its arguments.
        ended: told the index of each call as it ends.
        whole: the arguments for a call that came back as `Lacks`.

    Returns:
        One outcome for each call, in order.

    Raises:
        UspnbError: the scheduler was lost, or all workers were and none came back.
        TypeError: an argument cannot be sent to another process.
    """
    results: list[Outcome] = [Outcome(None, "", False)] * len(calls)
    waiting = collections.deque(enumerate(calls))
    running: dict[Future, int] = {}
    try:
        while waiting or running:
            with _connected():
                while waiting and len(running) < worker_threads(client):
                    call, arguments = waiting.popleft()
                    running[client.submit(function, *arguments, pure=False)] = call
            for future in first_done(client, list(running)):
                call = running.pop(future)
                with _connected():
                    results[call] = _outcome(future)
                # What a dying worker still holds for somebody would be computed again.
                future.release()
                if isinstance(results[call].value, Lacks):
                    waiting.appendleft((call, whole(call)))
                else:
                    ended(call)
    finally:
        if running and client.status == "running":
            client.cancel(list(running))
    return results


def alone(client: Client, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome:
    """`outcomes` of one call with nothing of ours beside it: what is killed alone did it itself."""
    return outcomes(client, function, [arguments])[0]


def first_done(client: Client, futures: list[Future]) -> set[Future]:
    """Those of the futures that have ended, one at least.

    Raises:
        UspnbError: the scheduler was lost, or there has been no worker for too long.
    """
    # The public `wait` asks for a default client, and `as_current` makes one through Dask's global settings, which two
    # threads that wait at once leave changed for the whole process.
    from distributed.client import _wait

    waited = 0.0
    while waited < WORKER_PATIENCE_S:
        with _connected():
            try:
                ended: Any = client.sync(_wait, futures, timeout=POLL_S, return_when="FIRST_COMPLETED")
                return ended.done
            except TimeoutError:
                waited = 0.0 if client.nthreads() else waited + POLL_S
    raise UspnbError(
        f"all workers are gone and none came back within {WORKER_PATIENCE_S:g} s; start some and run it again"
    )


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    from distributed.client import ClosedClientError

    try:
        yield
    except (CancelledError, ClosedClientError, OSError) as error:
        raise UspnbError(f"the Dask cluster was lost ({error}); run it again with a connected client") from error


def _outcome(future: Future) -> Outcome:
    from distributed import KilledWorker

    try:
        return Outcome(future.result(), "", False)
    except KilledWorker as error:
        # the scheduler's own text names addresses and pages of its documentation
        return Outcome(None, f"{error.allowed_failures + 1} workers died while they ran it", True)
    except Exception as error:  # whatever the task raised is how it ended
        if future.status != "error":
            raise
        cause = error.__cause__ if str(error).startswith(UNREADABLE) and error.__cause__ else error
        return Outcome(None, f"{type(cause).__name__}: {cause}", False)

"""A Dask cluster as uspnb uses it: tasks that each come to an end whatever becomes of their workers, and objects that
live on one worker and are known to be lost with it.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, wait
from typing import Any, NamedTuple

from ..errors import DomainError, ResourceBusyError, UspnbError

# What `distributed` calls so; it is an optional package, and its own annotations mix values with coroutines.
Client = Any
Future = Any

WORKER_PATIENCE_S = 60.0
POLL_S = 5.0
GLANCE_S = 0.2  # between two looks at whether the worker that a call waits for is still there
LONGEST_CALL_S = 600.0
CONNECT_S = 10.0
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


class WorkerLost(UspnbError):
    """A worker of the cluster is gone, with all that was held there."""


class Lacks(NamedTuple):
    """What a call returns on a worker that lacks what it works on; it is called again with the whole of it."""


@contextlib.contextmanager
def connected(address: str) -> Iterator[Client]:
    """The client of the scheduler at an address such as tcp://10.0.0.5:8786, closed in the end.

    Raises:
        DomainError: `distributed` is not installed, or it is no address.
        ResourceBusyError: nobody answers there.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise DomainError(
            f"a scheduler needs the package {error.name}; install it with: pip install 'uspnb[cluster]'"
        ) from error
    try:
        client = Client(address, set_as_default=False, timeout=CONNECT_S)
    except OSError as error:
        raise ResourceBusyError(f"no scheduler answers at {address!r} within {CONNECT_S:g} s ({error})") from error
    except (ValueError, TypeError) as error:
        raise DomainError(f"{address!r} is no address of a scheduler ({error}); give tcp://HOST:PORT") from error
    try:
        yield client
    finally:
        client.close()


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
    return max(1, sum(_threads_by_worker(client).values()))


def worker_addresses(client: Client) -> list[str]:
    """The workers that the scheduler knows, by address.

    Raises:
        UspnbError: the scheduler was lost.
    """
    return sorted(_threads_by_worker(client))


def _threads_by_worker(client: Client) -> dict[str, int]:
    _refuse_closed(client)
    with _connected():
        return dict(client.nthreads())


def _refuse_closed(client: Client) -> None:
    if client.status in ("closing", "closed"):
        raise UspnbError(f"the client of the Dask cluster is {client.status}; run it again with a connected one")


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


class Hosted:
    """An object that lives on one worker until it is released or the worker is lost: an actor of Dask.

    Calls go to the worker by Dask's own message for actors, straight or, for ``Client(..., direct_to_workers=False)``,
    through the scheduler.  Dask's own class for that is not used: it knows none but the default client, makes a call
    again by itself when the connection breaks, and waits without end for one that the worker refuses.

    Args:
        client: of the cluster.
        make: a class or function without arguments that the worker can import.
        address: of the worker.

    Raises:
        WorkerLost: the worker is gone.
        DomainError: the object cannot be made there.
        UspnbError: the scheduler was lost.
    """

    def __init__(self, client: Client, make: Callable[[], Any], address: str) -> None:
        from distributed.client import _wait

        self.address, self._client = address, client
        _refuse_closed(client)
        with _connected():
            self._future: Future = client.submit(make, actor=True, workers=[address], pure=False)
        try:
            self._run(lambda: _wait([self._future]), lambda: address not in worker_addresses(client), WORKER_PATIENCE_S)
            if self._future.status != "finished":
                outcome = _outcome(self._future)
                if address not in worker_addresses(client):
                    raise self._lost("gone")
                raise DomainError(
                    f"the worker {address} cannot load it ({outcome.reason}); install there what is installed here, in "
                    "the same versions"
                )
        except BaseException:
            self.release()
            raise

    def call(self, name: str, *arguments: Any) -> Any:
        """What a method of the object returns; calls are to be made one after another.

        Raises:
            WorkerLost: the worker is gone; nobody knows whether the method ran.
            UspnbError: the client was closed.
            Exception: whatever the method raises.
        """
        from distributed.protocol.serialize import to_serialize

        _refuse_closed(self._client)
        if self._future.status != "finished":
            raise self._lost("gone")
        message = {
            "function": name, "actor": self._future.key, "args": [to_serialize(a) for a in arguments], "kwargs": {},
        }  # fmt: skip

        async def answered() -> Any:
            client = self._client
            if client.direct_to_workers is False:
                return await client.scheduler.proxy(worker=self.address, msg={"op": "actor_execute", **message})
            return await client.rpc(self.address).actor_execute(**message)

        try:
            reply = self._run(answered, lambda: self._future.status != "finished", LONGEST_CALL_S)
        except KeyError as error:  # a new worker at the same address
            raise self._lost("another one now") from error
        if reply["status"] == "OK":
            return reply["result"]
        raise reply["exception"]

    def release(self) -> None:
        """Let go of the object; what is lost already is none's concern."""
        self._future.release()

    def _run(self, work: Callable[[], Coroutine[Any, Any, Any]], is_gone: Callable[[], bool], longest_s: float) -> Any:
        """Have the client's loop do something, for as long as the worker is there."""
        given_up = time.monotonic() + longest_s
        running = asyncio.run_coroutine_threadsafe(work(), self._client.loop.asyncio_loop)
        try:
            while not wait([running], GLANCE_S).done:
                _refuse_closed(self._client)
                if is_gone():
                    raise self._lost("gone")
                if time.monotonic() > given_up:
                    raise self._lost(f"silent for {longest_s:g} s")
            return running.result()
        except (OSError, CancelledError) as error:
            _refuse_closed(self._client)
            raise self._lost("gone") from error
        finally:
            running.cancel()

    def _lost(self, how: str) -> WorkerLost:
        return WorkerLost(f"the worker {self.address} is {how}")


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

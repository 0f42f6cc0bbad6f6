"""A fleet on the workers of a Dask cluster: shares of its lanes as actors, which go on elsewhere when a worker is lost.

The near end of a share holds its states of a past moment and everything that was asked since.  A new actor takes the
states, does the same again, and has the same bits; what was answered once is not answered again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from typing import Any, NamedTuple

import numpy as np

from ... import runtime
from ...errors import UspnbError
from ...runtime import cluster
from ...runtime.child import Message
from ...runtime.cluster import Client, Hosted, WorkerLost, checked_client, worker_addresses
from .lanes import FarEnd, LaneFault

# Shares of one worker take turns there: while rows of one are on their way, another is computed.  A lost worker's
# shares go to as many others.
SHARES_A_WORKER = 2
# What is asked of a new actor again at most [ticks].  To fetch the states takes about as long as two ticks, a sixteenth
# of the time; two shares of 500 assets are computed again within 9 s by one worker that has a quarter of a core.
REPLAYED_TICKS = 32
MOST_ASKS = 4 * REPLAYED_TICKS
MOST_LOSSES = 5  # of workers in a row, without an answer in between
PAUSE_S = 0.5
SUSPICION_S = 2.0  # after which a worker that was thought to be lost, and that the scheduler still has, is tried again
ANSWERED = ("ticks", "states", "warm")
REMEDY = "what is in the store is kept: make the fleet anew on a cluster that has workers"


class Ask(NamedTuple):
    """What a far end is asked; see `FarEnd.answer`."""

    head: dict[str, Any]
    body: Any = b""


class Shard:
    """The far end of a share, an actor on a worker; its calls are numbered, so that none is done twice or left out."""

    def __init__(self) -> None:
        runtime.enable_compilation_cache()
        runtime.keep_freed_memory()
        self._next = 0
        self._far: FarEnd | None = None

    def versions(self) -> dict[str, str]:
        """On what the bits depend there."""
        return versions()

    def do(self, number: int, unanswered: list[Ask], answered: list[Ask]) -> list[np.ndarray]:
        """Do what is asked for in order; the answers to the second list.

        Raises:
            WorkerLost: it is not the call that comes next, so that this is not the object that was called before.
        """
        if number != self._next:
            raise WorkerLost(f"call {number} came where {self._next} was due")
        self._next += 1
        for message in unanswered:
            self._done(message)
        return [np.empty(0) if (made := self._done(message)) is None else made for message in answered]

    def _done(self, message: Ask) -> np.ndarray | None:
        head, body = message
        if head["ask"] == "open":
            self._far = FarEnd(head)
        elif self._far is not None:
            return self._far.answer(head, body)
        return None


def versions() -> dict[str, str]:
    """On what the bits of a process depend, by name."""
    installed = {name: metadata.version(name) for name in ("uspnb", "jax", "jaxlib", "numpy")}
    return installed | {"XLA_FLAGS": os.environ.get("XLA_FLAGS", ""), "platform": runtime.platform()}


class ClusterHosts:
    """The workers of a cluster, which shares of a fleet's lanes are dealt out to; see `uspnb.engine.fleet.lanes.Hosts`.

    Args:
        client: of the cluster, ``distributed.Client``.

    Raises:
        DomainError: a client that cannot be used.
        UspnbError: the scheduler was lost.
    """

    def __init__(self, client: Any) -> None:
        self._client: Client = checked_client(client)
        self.count = len(worker_addresses(self._client))
        self.closing = threading.Event()
        self.movers = ThreadPoolExecutor(1, thread_name_prefix="uspnb-mover")
        self._lock = threading.Lock()
        self._places: dict[object, str] = {}  # shares by worker; lost ones are still noted where they were
        self._suspects: dict[str, float] = {}  # when they were thought to be lost
        self._versions: dict[str, str] | None = None

    def shares(self, lanes: int) -> list[int]:
        """Nearly equal ones, `SHARES_A_WORKER` for each worker where there are lanes enough."""
        return [len(share) for share in np.array_split(np.arange(lanes), min(lanes, SHARES_A_WORKER * self.count))]

    def link(self) -> ClusterLink:
        """The way to a new share."""
        return ClusterLink(self)

    def close(self) -> None:
        """Whoever waits for a worker stops."""
        self.closing.set()
        self.movers.shutdown(wait=False, cancel_futures=True)

    def host(self, share: object, address: str = "") -> Hosted:
        """A new actor on the worker with the fewest shares, or on the one that `elsewhere` has named; waits for a
        worker `WORKER_PATIENCE_S`.

        Raises:
            LaneFault: no worker came, or what is installed there differs.
            WorkerLost: it went away meanwhile.
            UspnbError: the scheduler was lost.
        """
        address, hosted = address or self._chosen(share), None
        try:
            hosted = Hosted(self._client, Shard, address)
            self._check_versions(address, hosted.call("versions"))
        except BaseException as error:
            if hosted is not None:
                hosted.release()
            if isinstance(error, WorkerLost):
                self.suspect(address)
            raise
        return hosted

    def suspect(self, address: str) -> None:
        """A worker is thought to be lost."""
        with self._lock:
            self._suspects[address] = time.monotonic()

    def settle(self, share: object, address: str) -> None:
        """Note where a share is."""
        with self._lock:
            self._places[share] = address

    def elsewhere(self, share: object) -> str | None:
        """The worker that a share had better move to, as it has two fewer; it counts as there from now on."""
        with self._lock:
            here, counts = self._places[share], Counter(self._places.values())
            workers = [one for one in worker_addresses(self._client) if one not in self._suspects]
            emptiest = min(workers, key=lambda one: counts[one], default=here)
            if counts[here] - counts[emptiest] < 2:
                return None
            self._places[share] = emptiest
            return emptiest

    def _chosen(self, share: object) -> str:
        given_up = time.monotonic() + cluster.WORKER_PATIENCE_S
        while not self.closing.is_set():
            with self._lock:
                self._places.pop(share, None)
                counts, workers = Counter(self._places.values()), worker_addresses(self._client)
                # Those that the scheduler has missed too are forgotten: who comes back is another one.
                self._suspects = {one: when for one, when in self._suspects.items() if one in workers}
                tried = [one for one in workers if one not in self._suspects] or [
                    one for one, when in self._suspects.items() if time.monotonic() > when + SUSPICION_S
                ]
                if tried:
                    self._places[share] = min(tried, key=lambda one: counts[one])
                    return self._places[share]
            if time.monotonic() > given_up:
                raise LaneFault(
                    f"all workers of the cluster are gone and none came back within {cluster.WORKER_PATIENCE_S:g} s; "
                    + REMEDY
                )
            self.closing.wait(PAUSE_S)
        raise LaneFault("the fleet was closed")

    def _check_versions(self, address: str, there: dict[str, str]) -> None:
        with self._lock:
            here = self._versions or versions() | {"platform": there["platform"]}
            self._versions = here
        differing = [f"{name} {there[name]!r} and not {here[name]!r}" for name in here if there[name] != here[name]]
        if differing:
            raise LaneFault(
                f"the worker {address} has {', '.join(differing)}, and would give other bits; install there what is "
                "installed here, and have all workers compute on the same kind of device"
            )


class ClusterLink:
    """The near end of a share; see `uspnb.engine.fleet.lanes.Link`.

    What needs no answer is sent with what does.  A thread of its own waits for the answer, and makes a lost share good:
    a new actor takes the states of the moment, does again what was asked since, and the call that was interrupted.  The
    moment is moved on every `REPLAYED_TICKS` ticks; states that somebody keeps from before it are fetched then.  Where
    another worker has two shares fewer, such as one that was started anew, an actor is made ready there meanwhile,
    which takes over at the next such time.

    Args:
        hosts: where the share may be.
    """

    def __init__(self, hosts: ClusterHosts) -> None:
        self._hosts = hosts
        self._hosted: Hosted | None = None
        self._ready: Future[Hosted] | None = None  # where the share moves to
        self._calls = 0
        self._opening: dict[str, Any] = {}
        self._config = ""
        self._base: Any = None  # states of the moment, None for cold ones
        self._done: list[Ask] = []  # since the moment, in order
        self._first: list[Ask] = []  # of a new actor, before all else
        self._waiting: list[Ask] = []  # not yet sent
        self._ticks = 0  # in `_done`
        self._kept: set[int] = set()  # numbers that the far end holds and somebody needs
        self._held: dict[int, Any] = {}  # bytes of those from before the moment
        self._answers: list[Future[Any]] = []
        self._fault: LaneFault | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="uspnb-shard")

    def send(self, head: Mapping[str, Any], *parts: bytes | memoryview) -> None:
        """See `Link`; never waits.

        Raises:
            LaneFault: the share cannot go on.
        """
        if self._fault is not None:
            raise self._fault
        ask = head["ask"]
        if ask == "open":
            self._opening, self._config = dict(head), head["config"]
            return
        for number in head["dropped"]:
            self._kept.discard(number)
            self._held.pop(number, None)
        message = self._noted(Ask(dict(head), np.frombuffer(b"".join(parts), np.uint8) if parts else b""))
        if ask not in ANSWERED:
            self._waiting.append(message)
        elif ask == "states" and head["number"] in self._held:
            self._waiting.append(Ask({"ask": "drop", "dropped": head["dropped"]}))
            here: Future[Any] = Future()
            here.set_result(self._held[head["number"]])
            self._answers.append(here)
        else:
            self._answers.append(self._thread.submit(self._exchange, message))

    def receive(self) -> Message:
        """See `Link`.

        Raises:
            LaneFault: the share cannot go on: no worker, or the scheduler was lost.
        """
        return Message({}, self._answers.pop(0).result().tobytes())

    def close(self, timeout_s: float | None = None) -> None:
        """Let the actor go; nothing is waited for."""
        self._fault = self._fault or LaneFault("the fleet was closed")
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._hosted is not None:
            self._hosted.release()
        if self._ready is not None:
            self._ready.add_done_callback(_released)

    def _noted(self, message: Ask) -> Ask:
        """The message as it is to be sent, with what it changes here noted."""
        head = message.head
        if head["ask"] == "configure":
            self._config = head["config"]
        elif head["ask"] == "keep":
            self._kept.add(head["number"])
        elif head["ask"] == "put" and head["number"] in self._held:
            return Ask({"ask": "take", "dropped": head["dropped"]}, self._held[head["number"]])
        return message

    # the thread

    def _exchange(self, message: Ask) -> Any:
        try:
            return self._answered(message)
        except LaneFault as fault:
            self._fault = fault
            raise
        except Exception as error:  # whatever it is, no tick goes on without this share
            told = str(error) if isinstance(error, UspnbError) else f"{type(error).__name__}: {error}"
            self._fault = LaneFault(f"{self._opening['assets']} assets cannot go on: {told}; {REMEDY}")
            raise self._fault from error

    def _answered(self, message: Ask) -> Any:
        is_ticks = message.head["ask"] == "ticks"
        if is_ticks and (self._ticks >= REPLAYED_TICKS or len(self._done) + len(self._waiting) >= MOST_ASKS):
            return self._move_on(message)
        answer = self._carried([message])[-1]
        self._done += [*self._waiting, message if is_ticks else _only_drops(message)]
        self._ticks += message.head.get("count", 0)
        self._waiting = []
        return answer

    def _move_on(self, ticks: Ask) -> Any:
        """Let the states before these ticks be the moment; the answer to the ticks."""
        present = self._present()
        fetched = sorted(self._kept - {present})
        asks = [{"ask": "present"}, *({"ask": "states", "number": number} for number in fetched)]
        base, *states, answer = self._carried([*(Ask({**ask, "dropped": []}) for ask in asks), ticks])
        self._base = base
        self._held.update(zip(fetched, states, strict=True))
        if present in self._kept:
            self._held[present] = base
        # What the far end still keeps of them it may drop, and a new one has none of them.
        self._waiting = [Ask({"ask": "drop", "dropped": sorted(self._kept)})]
        self._kept.clear()
        self._opening = self._opening | {"config": self._config}
        self._done, self._ticks = [ticks], ticks.head["count"]
        self._move()
        return answer

    def _present(self) -> int:
        """The number under which the states are kept that it has after all that was asked so far; 0 for none."""
        for head, _ in reversed(self._done + self._waiting):
            if head["ask"] in ("keep", "put"):
                return head["number"]
            if head["ask"] in ("ticks", "take"):
                break
        return 0

    def _move(self) -> None:
        """Leave a crowded worker for an actor that is ready elsewhere, or have one made ready there."""
        here, ready = self._hosted, self._ready
        assert here is not None
        if ready is None:
            address = self._hosts.elsewhere(self)
            if address is not None:
                self._ready = self._hosts.movers.submit(self._made_ready, address, Ask(self._opening))
        elif ready.done():
            self._ready = None
            if not ready.cancelled() and ready.exception() is None:  # else it is tried again next time
                here.release()
                here, self._calls = ready.result(), 1
                settings = Ask({"ask": "configure", "dropped": [], "config": self._config})
                self._hosted, self._first = here, [settings, *self._since_opening()]
            self._hosts.settle(self, here.address)

    def _made_ready(self, address: str, opening: Ask) -> Hosted:
        hosted = self._hosts.host(self, address)
        try:
            hosted.call("do", 0, [opening], [Ask({"ask": "warm", "dropped": []})])
        except BaseException:
            hosted.release()
            raise
        return hosted

    def _carried(self, answered: list[Ask]) -> list[Any]:
        """Have everything that waits done, and these; their answers.  What a lost worker had is made good first."""
        losses = 0
        while True:
            try:
                if self._hosted is None:
                    self._hosted, self._calls = self._hosts.host(self), 0
                    self._first = [Ask(self._opening), *self._since_opening()]
                answers = self._hosted.call("do", self._calls, [*self._first, *self._waiting], answered)
                self._calls, self._first = self._calls + 1, []
                return answers
            except WorkerLost as lost:
                losses += 1
                if self._hosted is not None:
                    self._hosts.suspect(self._hosted.address)
                    self._hosted.release()
                    self._hosted = None
                if losses > MOST_LOSSES:
                    raise LaneFault(
                        f"{self._opening['assets']} assets cannot go on: {losses} workers in a row were lost with them "
                        f"({lost}); give the workers more memory, or more of them; {REMEDY}"
                    ) from lost

    def _since_opening(self) -> list[Ask]:
        """What a new actor is asked, so that it has the states of now."""
        base = [] if self._base is None else [Ask({"ask": "take", "dropped": []}, self._base)]
        return [*base, *self._done]


def _only_drops(message: Ask) -> Ask:
    return Ask({"ask": "drop", "dropped": message.head["dropped"]})


def _released(ready: Future[Hosted]) -> None:
    if not ready.cancelled() and ready.exception() is None:
        ready.result().release()

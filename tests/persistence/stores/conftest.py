"""A Redis server of our own, a line to it that can be cut, and stores of every kind."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from waiting import until

from uspnb.config.schema import PredictorConfig
from uspnb.model.state import KernelStates, PredictorState, empty_state
from uspnb.persistence.stores import MemoryStore, StateStore, Store, StoreUnavailableError, open_store, register_store

from .user_store import NamedStore

KINDS = ("memory", "sqlite", "redis", "user")
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
QUIET_S = 0.03


class RedisServer:
    """`redis-server` on a free loopback port, with a folder of its own."""

    def __init__(self, folder: Path, *settings: str) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("there is no redis-server on the PATH; `make test` installs it (.ci/redis.sh)")
        folder.mkdir(parents=True, exist_ok=True)
        self._command = [program, "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *settings]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen([*self._command, "--port", str(self.port)], stdout=subprocess.DEVNULL)
        until(lambda: self._answers() or self._process.poll() is not None)
        assert self._process.poll() is None, "redis-server did not start"

    def kill(self) -> None:
        """As `kill -9` does."""
        self._process.kill()
        self._process.wait()

    def pause(self, paused: bool) -> None:
        self._process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as line:
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class Line:
    """A line to a server on which the next request, or the next answer, can be lost."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lose: str | None = None
        self.marker = b""
        self.lost = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def lose_next(self, what: str, marker: bytes = b"EVAL") -> None:
        """Cut the line when a request with `marker` comes: before it passes ("request") or after ("answer")."""
        self.lose, self.marker = what, marker

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        swallow = threading.Event()
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            threading.Thread(target=self._back, args=(server, client, swallow), daemon=True).start()
            while data := client.recv(1 << 20):
                marked = self.marker in data
                if marked and self.lose == "request":
                    self.lose, self.lost = None, self.lost + 1
                    return
                if marked and self.lose == "answer":
                    swallow.set()
                server.sendall(data)

    def _back(self, server: socket.socket, client: socket.socket, swallow: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                if swallow.is_set():
                    server.settimeout(QUIET_S)
                    with contextlib.suppress(TimeoutError):
                        while server.recv(1 << 20):  # until the server has done all that it was asked for
                            pass
                    self.lose, self.lost = None, self.lost + 1
                    break
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)
            server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server without persistence for all tests that need no more than an answer."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """A server with settings of its own."""
    started: list[RedisServer] = []

    def start(*settings: str) -> RedisServer:
        started.append(RedisServer(tmp_path / f"redis{len(started)}", *settings))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def line(redis_server: RedisServer) -> Iterator[Line]:
    """A line to the server of the session."""
    cuttable = Line(redis_server.port)
    yield cuttable
    cuttable.close()


_namespaces = (f"test{number}" for number in itertools.count())


@pytest.fixture
def handles(tmp_path: Path, redis_server: RedisServer) -> Iterator[Callable[[str, int], list[Store]]]:
    """Open a fresh store of a kind, several times: each handle stands for a writer of its own."""
    opened: list[Store] = []
    files = (tmp_path / f"states{number}.db" for number in itertools.count())

    def open_handles(kind: str, count: int = 1) -> list[Store]:
        if kind == "memory":
            stores: list[Store] = [MemoryStore()] * count  # a second handle on a dictionary is the same one
        elif kind == "sqlite":
            path = next(files)
            stores = [open_store(path) for _ in range(count)]
        elif kind == "user":
            register_store("named", NamedStore)
            space = next(_namespaces)
            stores = [open_store(f"named:{space}") for _ in range(count)]
        else:
            space = next(_namespaces)
            stores = [open_store(redis_server.url, namespace=space, retries=3) for _ in range(count)]
        opened.extend(stores)
        return stores

    yield open_handles
    for store in opened:
        store.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def store(kind: str, handles: Callable[..., list[Store]]) -> Store:
    """An empty store of each kind in turn."""
    return handles(kind)[0]


@pytest.fixture(scope="session")
def small_state() -> PredictorState:
    """A cold state of one kernel that holds nothing, in NumPy: small, and made without compiling anything."""
    cold = empty_state(PredictorConfig(), jax.random.PRNGKey(0), KernelStates({"none": ()}))
    return jax.tree.map(np.asarray, cold)


class Away(MemoryStore):
    """A store that can be away: `before` a write reaches it, or `after`, when only the answer is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.away: str | None = None
        self.calls = 0

    def get_many(self, keys: Any) -> Any:
        self.calls += 1
        if self.away == "before":
            raise StoreUnavailableError("gone")
        return super().get_many(keys)

    def compare_and_set(self, key: str, value: Any, version: int) -> int:
        if self.away == "before":
            raise StoreUnavailableError("gone")
        return super().compare_and_set(key, value, version)

    def set_many(self, writes: Any) -> Any:
        self.calls += 1
        if self.away == "before":
            raise StoreUnavailableError("gone")
        versions = super().set_many(writes)
        if self.away == "after":
            raise StoreUnavailableError("gone before the answer")
        return versions


@pytest.fixture
def away() -> Away:
    return Away()


@pytest.fixture
def fleet(away: Away, small_state: PredictorState) -> StateStore:
    return StateStore(away, small_state, PredictorConfig())

"""What visitors upload is read in a helper process, within a time and a memory.

A file can be made so that reading it takes minutes or gigabytes.  The server goes on meanwhile; what a file costs too
much is the helper, and the next file gets a new one.
"""

from __future__ import annotations

import importlib
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from uspnb.errors import DomainError, UspnbError
from uspnb.runtime.child import Child, ChildEnded, read_message, write_message

MOST_S, MOST_MEMORY, MOST_WAITING = 20.0, 2_000_000_000, 8
START_S = 300.0
#: where the functions are that read, imported before the clock runs
MODULES = ("opening", "comparing")


class Reader:
    """Reads files one after the other; from any thread, which waits.

    Args:
        most_s: how long one may take [s].
        most_memory: what the helper may need for it beyond its own [bytes].
    """

    def __init__(self, most_s: float = MOST_S, most_memory: int = MOST_MEMORY) -> None:
        self._most_s, self._most_memory = most_s, most_memory
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._child: Child | None = None

    def read(self, function: Callable[..., Any], content: bytes, name: str, *more: Any) -> Any:
        """What a function makes of a file.

        Args:
            function: of a module; called in the helper with the path of the file, its name and what is in `more`.
            content: of the file.
            name: what the visitor calls it.
            more: arguments that a pickle can hold.

        Raises:
            DomainError: the function refused the file, it took too long or too much memory, or too many wait.
        """
        if not self._places.acquire(blocking=False):
            raise DomainError(f"{MOST_WAITING} files are being read on this server; open {name} again in a moment")
        try:
            with self._lock:
                if self._child is None:
                    self._child = self._start()
                answer = self._exchange(self._child, name, pickle.dumps((function, content, name, more)))
        finally:
            self._places.release()
        refusal, outcome = pickle.loads(answer)
        if refusal:
            raise DomainError(refusal)
        return outcome

    def close(self) -> None:
        """End the helper, whatever it reads."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.close()

    def _start(self) -> Child:
        child = Child(f"{__name__}:serve", shielded=True)
        _receive(child, START_S, str(self._most_memory).encode())
        return child

    def _exchange(self, child: Child, name: str, request: bytes) -> bytes:
        try:
            return _receive(child, self._most_s, request)
        except TimeoutError:
            self.close()
            raise DomainError(
                f"{name} takes more than {self._most_s:g} s to read; cut it, or give its path on the server: "
                "uspnb serve --source FILE"
            ) from None
        except ChildEnded:
            self.close()
            raise DomainError(
                f"{name} could not be read: it needs more than {self._most_memory / 1e9:g} GB of memory, or has met an "
                "error in uspnb; the server's log has the details"
            ) from None


def _receive(child: Child, most_s: float, request: bytes) -> bytes:
    """The answer to a request.

    Raises:
        TimeoutError: none came in time; the child has been ended.
        ChildEnded: it has ended by itself.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(most_s, end)
    timer.start()
    try:
        child.send({}, request)
        answer = child.receive().body
    except ChildEnded:
        if late.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
        timer.join()
    if late.is_set():
        raise TimeoutError
    return answer


# the far end


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Read files until there are no more."""
    for module in MODULES:
        importlib.import_module(f".{module}", __package__)
    limit = read_message(source)
    if limit is None:
        return
    _limit_memory(int(limit.body))
    write_message(sink, {})
    while (message := read_message(source)) is not None:
        write_message(sink, {}, pickle.dumps(_outcome(*pickle.loads(message.body))))


def _outcome(function: Callable[..., Any], content: bytes, name: str, more: tuple[Any, ...]) -> tuple[str, Any]:
    """Why a file was refused, "" if it was not, and what was made of it."""
    with tempfile.NamedTemporaryFile(prefix="uspnb-upload-", suffix=Path(name).suffix.lower()) as file:
        file.write(content)
        file.flush()
        try:
            return "", function(Path(file.name), name, *more)
        except MemoryError:
            return f"{name} needs more memory to read than a page may use; cut it", None
        except (UspnbError, OSError) as error:
            return str(error).replace(file.name, name).replace(Path(file.name).name, name), None


def _limit_memory(most: int) -> None:
    """Bound what this process may need beyond what it has now; Windows has no such bound."""
    if sys.platform != "win32":
        import resource

        bound = psutil.Process().memory_info().vms + most
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))

"""Helper processes: how one is started, what the two ends say to each other, and how it ends.

The near end is a `Child`.  The far end is this file run as a script: it takes the standard streams for messages, sends
whatever else prints to standard error, and calls a function `serve(source, sink)` of the package.  A message is a JSON
object and bytes.  Only the standard library is imported here, so that a light child has neither JAX nor the package's
own imports: empty packages stand in their places, from which the modules that the function needs, and they alone, are
imported.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
KILLED_WAIT_S = 5.0
_LENGTHS = struct.Struct("<qq")  # bytes of the JSON object, of the rest


class Message(NamedTuple):
    """What crosses the pipe: a JSON object, and bytes such as those of arrays."""

    head: dict[str, Any]
    body: bytes = b""


class ChildEnded(OSError):
    """The helper process has ended or cannot be reached any more."""


def write_message(sink: BinaryIO, head: Mapping[str, Any], *parts: bytes | memoryview) -> None:
    """Write one message; waits while the pipe is full.

    Raises:
        OSError: the other end is gone; it has not seen a whole message.
    """
    text = json.dumps(head).encode()
    body = b"".join(parts)
    sink.write(_LENGTHS.pack(len(text), len(body)) + text + body)
    sink.flush()


def read_message(source: BinaryIO) -> Message | None:
    """Read one message; None where the pipe ends, in the middle of a message or after one."""
    if len(lengths := source.read(_LENGTHS.size)) < _LENGTHS.size:
        return None
    texts, rest = _LENGTHS.unpack(lengths)
    data = source.read(texts + rest)
    return None if len(data) < texts + rest else Message(json.loads(data[:texts]), data[texts:])


class Child:
    """The near end of a helper process, which is started at once.

    Args:
        target: what serves there, "module:function", called with the streams of `read_message` and `write_message`;
            it returns when its source ends.
        light: whether the child does without the package's own imports, JAX among them.
        shielded: whether it ignores Ctrl-C and SIGTERM, which reach a whole unit, and ends with its pipe alone.
        environment: variables of the child; those of this process where None.
        answered: called with each answer by a thread of its own; without it answers are fetched by `receive`.
        name: of that thread.

    Raises:
        OSError: no process can be started.
    """

    def __init__(
        self,
        target: str,
        *,
        light: bool = False,
        shielded: bool = False,
        environment: Mapping[str, str] | None = None,
        answered: Callable[[Message], object] | None = None,
        name: str = "uspnb-answers",
    ) -> None:
        self.target = target
        flags = [flag for flag, wanted in (("--light", light), ("--shielded", shielded)) if wanted]
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, *flags, target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._answered = answered
        self._reader: threading.Thread | None = None
        if answered is not None:
            self._reader = threading.Thread(target=self._read, name=name, daemon=True)
            self._reader.start()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs."""
        return self._process.poll()

    def send(self, head: Mapping[str, Any], *parts: bytes | memoryview) -> None:
        """Send a message; waits while the child is behind.

        Raises:
            ChildEnded: it is gone, and has not seen the whole message.
        """
        try:
            write_message(_stream(self._process.stdin), head, *parts)
        except (OSError, ValueError) as error:  # ValueError: closed at this end
            raise self._ended() from error

    def receive(self) -> Message:
        """Wait for the next answer.

        Raises:
            ChildEnded: it ended without one.
        """
        message = read_message(_stream(self._process.stdout))
        if message is None:
            raise self._ended()
        return message

    def kill(self) -> None:
        """End it at once, from any thread; whoever waits in `send` or `receive` comes back."""
        self._process.kill()

    def close(self, timeout_s: float | None = None) -> int:
        """Let it finish what it was sent and end; it is killed after `timeout_s` [s], None waits as long as it takes.

        Answers that nobody fetched are dropped.

        Returns:
            The exit code; negative where a signal ended it.
        """
        with contextlib.suppress(OSError):
            _stream(self._process.stdin).close()
        reader = self._reader
        if reader is None:  # a child that waits to write an answer would never see the end of its pipe
            reader = threading.Thread(target=self._read, name="uspnb-last-answers", daemon=True)
            reader.start()
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait(KILLED_WAIT_S)
        reader.join(KILLED_WAIT_S)
        if not reader.is_alive():  # else a process that the child started still has the pipe
            _stream(self._process.stdout).close()
        return code

    def _read(self) -> None:
        source = _stream(self._process.stdout)
        with contextlib.suppress(ValueError):  # closed at this end
            while (message := read_message(source)) is not None:
                if self._answered is not None:
                    self._answered(message)

    def _ended(self) -> ChildEnded:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILLED_WAIT_S)
        return ChildEnded(
            f"the helper process {self.target} has ended (exit status {self._process.poll()}); its messages stand on "
            "standard error"
        )


def _stream(stream: Any) -> BinaryIO:
    return stream


# the far end


def empty_packages() -> None:
    """Put packages without content in the place of `uspnb` and all below it."""
    for init in sorted(ROOT.rglob("__init__.py")):
        name = ".".join((ROOT.name, *init.parent.relative_to(ROOT).parts))
        package = types.ModuleType(name)
        package.__path__ = [str(init.parent)]
        sys.modules[name] = package


def extend_path(folders: Sequence[str]) -> None:
    """Have this process import what its parent can, whose `sys.path` these are."""
    sys.path += [folder for folder in folders if folder not in sys.path]


def main(arguments: list[str]) -> None:
    """Serve on the standard streams until they end."""
    *flags, target = arguments
    if "--shielded" in flags:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.path.append(str(ROOT.parent))
    if "--light" in flags:
        empty_packages()
    module, _, function = target.partition(":")
    serve = getattr(importlib.import_module(module), function)
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):  # the parent is gone, or ends us with itself
        serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main(sys.argv[1:])

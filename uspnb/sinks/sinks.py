"""What a sink of telemetry is, the one that is a function, and the registry from which sinks are made by name.

A sink of one's own is any object with the methods of `Sink`; it is handed to a `Consumer` as it is, or registered under
a name and made from settings.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..errors import DomainError
from ..runtime.arguments import check_function, check_text
from .records import Records

# Modules of the sinks that are shipped, and their classes; those that write files may live in a process of their own.
SHIPPED = {
    "json_lines": ("json_lines", "JsonLinesSink"),
    "parity": ("parity", "ParityLog"),
    "metrics": ("metrics", "MetricsSink"),
    "callback": ("sinks", "CallbackSink"),
}
_registered: dict[str, Callable[..., Sink]] = {}


class SinkStatus(NamedTuple):
    """How a sink fares.

    Attributes:
        written: records that reached it and were kept.
        lost: records that could not be written.
        condition: what keeps it from working, a sentence; None where all is well.
    """

    written: int = 0
    lost: int = 0
    condition: str | None = None


@runtime_checkable
class Sink(Protocol):
    """Where records end up.  Only one thread calls a sink, but `status` may be asked by any.

    Attributes:
        name: what it is called in the status of a consumer and in the metrics.
    """

    name: str

    def write(self, records: Records) -> None:
        """Take records in; what cannot be written is counted as lost, not raised."""

    def flush(self) -> None:
        """Let what was written reach its place."""

    def close(self) -> None:
        """Finish; nothing is written afterwards."""

    def status(self) -> SinkStatus:
        """Records written and lost, and what keeps the sink from working."""
        ...


@runtime_checkable
class FileSink(Sink, Protocol):
    """A sink that writes files: it gets a thread or a process of its own, so that a slow disk holds up nothing else."""

    def order(self) -> dict[str, object]:
        """What another process needs to make the same sink, as JSON can hold it: "kind" and arguments."""
        ...

    def fields(self) -> tuple[str, ...]:
        """Fields that it writes; nothing else reaches its process."""
        ...


class CallbackSink:
    """Hands records to a function, such as a live session's.

    Args:
        function: called with each `Records`, by the consumer's thread.
        name: of the sink.
    """

    def __init__(self, function: Callable[[Records], object], name: str = "callback") -> None:
        self._function, self.name = function, name
        self._written = 0

    def write(self, records: Records) -> None:
        """Call the function."""
        self._function(records)
        self._written += len(records)

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing is open here."""

    def status(self) -> SinkStatus:
        """What was handed on; what the function raised is counted by the consumer."""
        return SinkStatus(self._written)


def register_sink(kind: str, make: Any) -> None:
    """Let `make_sink` make sinks of a further kind.

    Args:
        kind: its name.
        make: a class or a function that returns the sink; called with the keywords that `make_sink` is given.

    Raises:
        DomainError: the kind is shipped or registered already, or `make` cannot be called.
    """
    kind = check_text("kind", kind)
    if not kind or kind in SHIPPED or kind in _registered:
        raise DomainError(f"kind = {kind!r} is taken or empty; sinks have the kinds {', '.join(sink_kinds())}")
    _registered[kind] = check_function("make", make, "give a class or a function that returns the sink")


def make_sink(kind: str, **arguments: Any) -> Any:
    """A sink by the name of its kind.

    Args:
        kind: "json_lines", "parity", "metrics", "callback", or one that was registered.
        arguments: of the class or function that makes it.

    Raises:
        DomainError: an unknown kind, or what was made is no sink.
    """
    if kind in SHIPPED:
        module, name = SHIPPED[kind]
        return getattr(importlib.import_module(f".{module}", __package__), name)(**arguments)
    if kind not in _registered:
        raise DomainError(f"kind = {kind!r} is no sink; known are {', '.join(sink_kinds())}")
    return check_sink(_registered[kind](**arguments))


def sink_kinds() -> tuple[str, ...]:
    """The kinds that `make_sink` knows."""
    return (*SHIPPED, *_registered)


def check_sink(sink: Any) -> Sink:
    """Something that a `Consumer` can write to.

    Raises:
        DomainError: it lacks a method or the name of a `Sink`.
    """
    lacking = [name for name in ("name", "write", "flush", "close", "status") if not hasattr(sink, name)]
    if lacking or isinstance(sink, type):
        problem = "is a class that was not called" if isinstance(sink, type) else f"has no {' and no '.join(lacking)}"
        raise DomainError(f"{sink!r:.80} is no sink: it {problem}; see uspnb.sinks.Sink")
    return sink

"""What a sink of telemetry is, and the one that is a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from .records import Records


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
        ...

    def flush(self) -> None:
        """Let what was written reach its place."""
        ...

    def close(self) -> None:
        """Finish; nothing is written afterwards."""
        ...

    def status(self) -> SinkStatus:
        """How it fares."""
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

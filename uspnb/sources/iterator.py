"""`IteratorSource`: ticks from any Python iterator, generator or async iterator."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ..errors import DomainError, shown
from .base import SourceFault
from .items import Clock, Tick, read_item
from .reader import ReadingSource, error_text

# A tick that comes without a time gets that of its reading: read far ahead, it would be stale when it is processed.
CAPACITY = 1_000
PAUSE_S = 0.02


class IteratorSource(ReadingSource):
    """A source that reads an iterator in a thread of its own, no further ahead than its capacity.

    Items are real numbers, which get the clock's time, pairs (value, time) or `ProcessState`s.  Anything else is left
    out with a fault.  An exception of the iterator is a fault; a generator is then at its end, any other iterator is
    asked again after the next `start`.

    A `next()` that waits cannot be interrupted from outside: `close` then leaves its daemon thread behind, which ends
    with that call or with the process.  Async iterators run in an event loop of that thread and are cancelled; what
    they use must not belong to another loop.

    Args:
        items: the iterator, iterable or async iterator.
        name, units: of the series.
        capacity: ticks read ahead.
        live: False for ticks that are each processed at their own timestamp.
        clock: gives the time of a tick that comes without one [ns since 1970 UTC].

    Raises:
        DomainError: not an iterator, or text, bytes, a dict or a set.
    """

    kind = "an iterator"

    def __init__(
        self,
        items: Any,
        *,
        name: str = "",
        units: str = "",
        capacity: int = CAPACITY,
        live: bool = True,
        clock: Clock = time.time_ns,
    ) -> None:
        if isinstance(items, (str, bytes, bytearray, dict, set, frozenset)) or not (
            hasattr(items, "__aiter__") or hasattr(items, "__iter__") or hasattr(items, "__next__")
        ):
            raise DomainError(
                f"a {type(items).__name__} gives no ticks one after another; give an iterator, a generator or an async "
                "iterator of numbers, (value, time) pairs or ProcessStates"
            )
        super().__init__(name or getattr(items, "__name__", "iterator"), units, capacity, live, clock)
        self._restartable = not (inspect.isgenerator(items) or inspect.isasyncgen(items))
        self._async = hasattr(items, "__aiter__")
        self._items: Any = items
        self._iterator: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def _read(self) -> None:
        # The iterator is the user's: it may raise anything, which must reach the user and not end a thread unseen.
        try:
            if self._async:
                asyncio.run(self._drain())
            else:
                self._loop_over()
        except asyncio.CancelledError:
            self._break("the iterator cancelled itself", can_continue=False)
        except (Exception, SystemExit) as error:
            self._break(f"the iterator raised {error_text(error)}", can_continue=self._restartable)

    def _loop_over(self) -> None:
        if self._iterator is None:
            self._iterator = self._items if hasattr(self._items, "__next__") else iter(self._items)
        iterator: Iterator[Any] = self._iterator
        while not self._stop.is_set():
            try:
                item = next(iterator)
            except StopIteration:
                return
            read = self._judge(item)
            if not (self._put(read) if isinstance(read, Tick) else self._skip(read.reason, read.item)):
                return

    async def _drain(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._iterator is None:
            self._iterator = aiter(self._items)
        iterator: AsyncIterator[Any] = self._iterator
        while not self._stop.is_set():
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                return
            read = self._judge(item)
            # Waiting for room must not stop the loop, in which the iterator's own tasks run.
            while not (self._buffer.offer(*read) if isinstance(read, Tick) else self._buffer.offer_fault(read)):
                await asyncio.sleep(PAUSE_S)
            self._wake()

    def _judge(self, item: Any) -> Tick | SourceFault:
        try:
            return read_item(item, self._arrival)
        except DomainError as error:
            return SourceFault(self.name, f"an item was left out: {error}", shown(item), can_continue=True)

    def _interrupt(self) -> None:
        loop, task = self._loop, self._task
        if loop is None or task is None:
            return
        try:
            loop.call_soon_threadsafe(task.cancel)
        except RuntimeError:
            return  # the loop has ended meanwhile, and the reader with it

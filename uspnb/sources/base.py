"""What a source of ticks is: `Ticks`, the `Source` protocol and `SourceFault`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..array_types import Float, Int
from ..errors import MOST_SHOWN, UspnbError


class Ticks(NamedTuple):
    """Ticks that a source hands over, oldest first; `len` counts them.

    Attributes:
        values: y [input units], (n,); NaN and infinities are ticks, which the gate flags.
        stamps_ns: when each was measured [ns since 1970 UTC], (n,); backward times are ticks too.
        proxies: an outside estimate of the dispersion of the next tick [any unit], (n,); NaN where there is none.
        covariates: what is known of the covariates at these ticks and at those after them, a row for each tick from the
            first one on; nothing where the source has none.
    """

    values: Float[np.ndarray, "tick"]
    stamps_ns: Int[np.ndarray, "tick"]
    proxies: Float[np.ndarray, "tick"]
    covariates: Any = ()

    def __len__(self) -> int:
        return self.values.shape[0]


class SourceFault(UspnbError):
    """A source met something that is no tick, or broke.

    Attributes:
        source: name of the source.
        reason: a plain sentence: what came, and what to do about it.
        item: what came, its `repr` cut to 80 characters; "" where nothing came.  Never a credential.
        can_continue: True where the source can go on: a bad item was left out, or a new `start` takes up a connection,
            a file or an iterator again.  False where the source is dead.
    """

    def __init__(self, source: str, reason: str, item: str = "", can_continue: bool = False) -> None:
        super().__init__(source, reason, item, can_continue)
        self.source, self.reason, self.item, self.can_continue = source, reason, item[:MOST_SHOWN], can_continue

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}" if self.source else self.reason


@runtime_checkable
class Source(Protocol):
    """Where the ticks of one series come from.

    Every method may be called from any thread, and none waits for a tick.

    Attributes:
        name: what the series is called, "" if unknown.
        units: unit of the values, "" if unknown.
        live: whether ticks come at their own pace, so that a tick is processed at the time of the clock; otherwise it
            belongs to the past and is processed at its own timestamp.  Read it before each `take`.
        length: how many ticks there are, where that is known: such a source can be sought in.  None elsewhere.
        time_is_grid: whether no times were given, so that the axis counts ticks.
        notes: readings of the input that the user should know of.
    """

    @property
    def name(self) -> str: ...

    @property
    def units(self) -> str: ...

    @property
    def live(self) -> bool: ...

    @property
    def length(self) -> int | None: ...

    @property
    def time_is_grid(self) -> bool: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def exhausted(self) -> bool:
        """Whether no tick will ever come again and all that came were taken."""
        ...

    @property
    def waiting(self) -> int:
        """Ticks that were read and not yet taken."""
        ...

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to read; while reading, nothing but the callback changes.

        After a fault that can continue it takes up what had broken.  `wake` is called from the reader's thread
        whenever ticks, a fault or the end arrive, and once in here where some already wait; it must only set an event.

        Raises:
            DomainError: the source was closed.
        """

    def take(self, most: int) -> Ticks:
        """Up to `most` ticks that are here now, maybe none.

        Raises:
            SourceFault: once for each fault, after the ticks that came before it were taken.
        """
        ...

    def seek(self, k: int) -> None:
        """Go to tick `k`, which the next `take` begins with.

        Raises:
            DomainError: the source cannot be replayed, or has no such tick.
        """

    def close(self) -> None:
        """End the reader; what was read may still be taken.  A second call does nothing."""

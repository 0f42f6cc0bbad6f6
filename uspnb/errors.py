"""Exceptions and warnings of uspnb, one hierarchy under `UspnbError`.

An error names the value that was refused, the bound that it broke and what to do about it.  Inside jit nothing
raises: there the result's flags speak.
"""

from __future__ import annotations

import reprlib
from collections.abc import Hashable
from typing import Any

MOST_SHOWN = 80


class UspnbError(Exception):
    """Base of every exception that uspnb raises on purpose."""


class DomainError(UspnbError, ValueError):
    """A value outside the domain of the operation: a tick beyond the outlier bound, a series of the wrong shape."""


class ResourceBusyError(DomainError):
    """A port or a folder that another program holds at present: the same call may succeed later."""


class ConfigError(UspnbError, ValueError):
    """A configuration value, key, type or file that cannot be used."""


class ConfigMutationError(ConfigError):
    """A change of the configuration that the mutation policy refuses."""


class ConfigWriteError(ConfigMutationError, OSError):
    """A change of the configuration that the disk or the file's permissions did not allow."""

    __new__ = OSError.__new__  # what makes one again from a pickle asks the class for it, and ValueError's does not fit


class IntegrityError(UspnbError):
    """Stored bytes do not match their checksum, or hold what their writer cannot have had."""


class PartialResultError(UspnbError):
    """Some members of a collection failed.

    Attributes:
        results: what came of the others, by name.
        reasons: why each of the rest failed, by name.
    """

    def __init__(self, results: dict[Hashable, Any], reasons: dict[Hashable, str]) -> None:
        super().__init__(results, reasons)
        self.results, self.reasons = results, reasons

    def __str__(self) -> str:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in self.reasons.items())
        return (
            f"{len(self.reasons)} of {len(self.results) + len(self.reasons)} series failed: {reasons}; "
            "the others are in the attribute `results` of this error"
        )


class ForkError(UspnbError, RuntimeError):
    """A process that was forked after JAX had begun to compute asks for a computation, which would wait for ever."""


class StalenessWarning(UserWarning):
    """A tick is older than its time to live; the weights are held until fresh ticks come."""


class FrequencyWarning(UserWarning):
    """Ticks are further apart than the sampling limit; the roughness estimate may alias."""


class InstantWarning(UserWarning):
    """An integer was read as seconds, milliseconds or microseconds since 1970, by its size."""


class OrderWarning(UserWarning):
    """More than a tenth of the ticks of a series are earlier than one before them, and so are refused."""


class ReloadWarning(UserWarning):
    """A changed configuration file cannot be used; the settings in force stay."""


def shown(item: Any) -> str:
    """A `repr` of at most 80 characters for a message, whatever the item: it neither fails nor grows with the item."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = MOST_SHOWN
    return brief.repr(item)[:MOST_SHOWN]

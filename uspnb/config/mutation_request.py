"""Who asks for a change of the configuration, when and why: what every line about it has in common."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ..errors import DomainError
from .audit import plain_json

LONGEST_TRIGGER = 200
LONGEST_DETAILS = 16_384


@dataclasses.dataclass(frozen=True)
class Request:
    """The checked arguments that say so.

    Attributes:
        trigger: who or what asks.
        details: whatever else the log should hold, of JSON's types.
        override: whether the limit of a change is lifted.
        now_ns: when [ns since 1970].
    """

    trigger: str
    details: dict[str, Any]
    override: bool
    now_ns: int


def checked_request(trigger: str, details: Mapping[str, Any] | None, override: bool, now_ns: int | None) -> Request:
    """A request from the arguments of a public function.

    Raises:
        DomainError: a trigger that is no short line of text, details that JSON cannot hold, a time before 1970.
    """
    if not trigger.strip() or len(trigger) > LONGEST_TRIGGER or not trigger.isprintable():
        raise DomainError(f"trigger = {trigger!r}: expected one line of 1 to {LONGEST_TRIGGER} printable characters")
    plain = plain_json(dict(details or {}))
    if len(repr(plain)) > LONGEST_DETAILS:
        raise DomainError(f"details have {len(repr(plain))} characters, at most {LONGEST_DETAILS} fit; shorten them")
    now_ns = time.time_ns() if now_ns is None else now_ns
    if not 0 <= now_ns < 2**63:
        raise DomainError(f"now_ns = {now_ns} is no time in nanoseconds since 1970")
    return Request(trigger, plain, override, now_ns)

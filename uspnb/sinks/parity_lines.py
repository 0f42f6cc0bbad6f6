"""The lines of a parity log: canonical hashes of numbers, and the chain that binds each line to the one before.

A line is a chained line of `uspnb.runtime.files`.  The kinds are "open" (a writer began; the first one is the header),
"tick" and "close" (a writer ended, with the number of lines before it).
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import IntegrityError
from ..runtime.files import parse_chained

VERSION = 1
WEIGHTS, COST = "weight", "transport_cost"


def exact_hash(values: Float[np.ndarray, "entry"]) -> str:
    """SHA-256 of the values as little-endian float64; every NaN has the same bits, -0.0 and 0.0 differ."""
    canonical = np.ascontiguousarray(values, "<f8").copy()
    canonical[np.isnan(canonical)] = np.nan
    return hashlib.sha256(canonical.tobytes()).hexdigest()


def rounded_hash(values: Float[np.ndarray, "entry"], digits: int) -> str:
    """The first half of `exact_hash` after rounding to significant digits, -0.0 folded to 0.0.

    Two values on either side of a rounding boundary differ here however near they are, so that a single difference at
    few digits means less than a run of them.
    """
    rounded = [float(f"{value:.{digits - 1}e}") + 0.0 if math.isfinite(value) else value for value in values.tolist()]
    return exact_hash(np.array(rounded, np.float64))[:32]


def tick_body(
    asset: str,
    tick: int,
    weights: Float[np.ndarray, "kernel"],
    cost: Float[np.ndarray, "one"],
    digits: tuple[int, ...],
) -> dict[str, Any]:
    """What a line says of a tick."""
    return {
        "kind": "tick",
        "asset": asset,
        "tick": tick,
        "exact": {"weights": exact_hash(weights), "cost": exact_hash(cost)},
        "rounded": {str(places): [rounded_hash(weights, places), rounded_hash(cost, places)] for places in digits},
    }


def parse_line(line: bytes | str) -> dict[str, Any]:
    """A line of a parity log that is intact in itself.

    Args:
        line: with or without the newline.

    Returns:
        Its members; the chain to the line before is for the caller to check.

    Raises:
        IntegrityError: no line of a parity log, or edited: its hash is not that of its content.
    """
    parsed = parse_chained(line)
    _check_shape(parsed)
    return parsed


def _check_shape(parsed: dict[str, Any]) -> None:
    shapes = {
        "open": {"version": int, "interval": int, "digits": list, "config_hash": str, "after": str},
        "tick": {"asset": str, "tick": int, "exact": dict, "rounded": dict},
        "close": {"lines": int},
    }
    kind = parsed.get("kind")
    if not isinstance(kind, str) or kind not in shapes:
        raise IntegrityError("the line is none of a parity log: it has no known kind")
    shape = {"kind": str, "previous": str, "hash": str, **shapes[kind]}
    for name, wanted in shape.items():
        if type(parsed.get(name)) is not wanted:
            raise IntegrityError(f"the line is none of a parity log: it has no {name!r} as {wanted.__name__}")
    if len(parsed) != len(shape):
        raise IntegrityError("the line is none of a parity log: it has members that no line has")
    if kind == "open" and not all(type(places) is int for places in parsed["digits"]):
        raise IntegrityError("the line is none of a parity log: its digits are no numbers")
    if kind == "tick":
        _check_hashes(parsed["exact"], parsed["rounded"])


def _check_hashes(exact: dict[str, Any], rounded: dict[str, Any]) -> None:
    if exact.keys() != {"weights", "cost"}:
        raise IntegrityError("the line is none of a parity log: its exact hashes are not two")
    hashes = list(exact.values())
    for places, pair in rounded.items():
        if not re.fullmatch("[0-9]{1,2}", places) or not isinstance(pair, list) or len(pair) != 2:
            raise IntegrityError("the line is none of a parity log: its rounded hashes are not pairs")
        hashes += pair
    if not all(isinstance(entry, str) for entry in hashes):
        raise IntegrityError("the line is none of a parity log: a hash of it is no text")

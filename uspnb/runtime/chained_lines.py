"""Lines of JSON that bind one another: each holds the SHA-256 of itself and of the line before.

A line is a JSON object with sorted names and no spaces; its "hash" is the SHA-256 of the line without that member, and
its "previous" is the hash of the line before.  A log of such lines that was edited, cut in the middle or reordered
shows it; who can write the file can also write a whole new chain.  Nothing here imports JAX.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from ..errors import IntegrityError

MAX_LINE_BYTES = 65_536
START = "0" * 64


def chained(body: dict[str, Any], previous: str) -> tuple[bytes, str]:
    """The line of a body after the line with hash `previous`, and its own hash."""
    bound = {**body, "previous": previous}
    hashed = _hash(bound)
    return _text(bound | {"hash": hashed}).encode() + b"\n", hashed


def parse_chained(line: bytes | str) -> dict[str, Any]:
    """The members of a line, which is intact in itself.

    Args:
        line: with or without the newline.

    Returns:
        Its members; that it follows the line before is for the caller to check.

    Raises:
        IntegrityError: no JSON object, or edited: its hash is not that of its content.
    """
    text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
    text = text.removesuffix("\n")
    parsed = parse_json_line(text)
    body = {name: value for name, value in parsed.items() if name != "hash"}
    # The text itself must be the canonical one: spaces or another spelling of a number are edits as well.
    if _hash(body) != parsed.get("hash") or _text(parsed) != text:
        raise IntegrityError("the line does not match its own hash: it was edited")
    return parsed


def parse_json_line(line: bytes | str) -> dict[str, Any]:
    """A JSON object from one line of a log, bounded in length and depth.

    Raises:
        IntegrityError: too long, no UTF-8, no JSON object, the same name twice, a number that is not finite.
    """
    if len(line) > MAX_LINE_BYTES:
        raise IntegrityError(f"a line of {len(line)} bytes is longer than any of ours ({MAX_LINE_BYTES})")
    try:
        parsed = json.loads(line, object_pairs_hook=_once, parse_float=_finite, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"a line that is no JSON of ours ({type(error).__name__}): {shown(line)}") from error
    if not isinstance(parsed, dict):
        raise IntegrityError(f"a line that is no JSON object: {shown(line)}")
    return parsed


def shown(line: bytes | str) -> str:
    """The beginning of a line, for a message about it."""
    return repr(line[:60])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice")
    return made


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number beyond float64")
    return value


def _refused(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def _hash(body: dict[str, Any]) -> str:
    return hashlib.sha256(_text(body).encode()).hexdigest()

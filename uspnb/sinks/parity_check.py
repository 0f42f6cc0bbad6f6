"""Whether a parity log is whole, and where two of them first differ."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import IntegrityError
from ..runtime.files import MAX_LINE_BYTES, START
from .parity import parse_line

MOST_SHOWN = 10


class Verified(NamedTuple):
    """What a look at the chain of a log found.

    Attributes:
        lines: intact lines from the start.
        ok: whether every line is intact and follows the one before.
        first_bad_line: number of the first that is not, counted from 1; None where all are.
        reason: what is wrong, or what cannot be known, a sentence.
        closed: whether the log ends with the line of a writer that finished; where not, lines may be missing at the
            end without a trace.
        head: hash of the last intact line.
    """

    lines: int
    ok: bool
    first_bad_line: int | None
    reason: str
    closed: bool
    head: str


def verify(path: str | os.PathLike[str], head: str | None = None) -> Verified:
    """Check the chain of a parity log.

    Args:
        path: the log.
        head: hash of a line that was noted elsewhere and must occur, so that a cut end or a chain written anew shows.

    Returns:
        What was found; a damaged log is no exception.

    Raises:
        OSError: the file cannot be read.
    """
    previous, lines, closed, met = START, 0, False, head is None
    try:
        for parsed in _chain(path):
            lines += 1
            previous, closed = parsed["hash"], parsed["kind"] == "close"
            met = met or previous == head
    except IntegrityError as error:
        return Verified(lines, False, lines + 1, str(error), False, previous)
    if lines == 0:
        return Verified(0, False, 1, "the log is empty", False, previous)
    if not met:
        return Verified(
            lines,
            False,
            lines + 1,
            "no line has the hash that was noted: the end is missing, or it is another log",
            closed,
            previous,
        )
    reason = "whole and closed" if closed else "not closed: lines cut off its end would leave no trace"
    return Verified(lines, True, None, reason, closed, previous)


def _chain(path: str | os.PathLike[str], *, unfinished: bool = False) -> Iterator[dict[str, Any]]:
    """The lines of a log, as long as each is intact and follows the one before; an unfinished last one may pass."""
    previous, lines = START, 0
    with Path(path).open("rb") as stream:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            if not line.endswith(b"\n"):
                if unfinished and len(line) <= MAX_LINE_BYTES:
                    return
                raise IntegrityError("the last line is unfinished: its writer was killed, or the file was cut")
            parsed = parse_line(line)
            if lines == 0 and parsed["kind"] != "open":
                raise IntegrityError("the log does not begin with its header: its beginning is missing")
            if parsed["previous"] != previous:
                raise IntegrityError("the line does not follow the one before: lines were taken out, added or moved")
            if parsed["kind"] == "close" and parsed["lines"] != lines:
                raise IntegrityError(f"the closing line counts {parsed['lines']} lines before it, there are {lines}")
            yield parsed
            previous, lines = parsed["hash"], lines + 1


class Comparison(NamedTuple):
    """Where two logs differ.

    Attributes:
        first_exact: first tick whose exact hashes differ, None where none do.
        first_rounded: the same after rounding, by number of digits, for the digits that both logs have.
        compared: ticks that both logs have.
        only_a, only_b: ticks that one log alone has.
        repeated: ticks that a log has twice, with the same hashes (a run that went back to a snapshot).
        contradicted: (log, asset, tick) of those it has twice with different hashes: "a" or "b".
        places: asset and what differs at the first difference, by "exact" or the number of digits.
    """

    first_exact: int | None
    first_rounded: dict[int, int | None]
    compared: int
    only_a: int
    only_b: int
    repeated: int
    contradicted: tuple[tuple[str, str, int], ...]
    places: dict[str, str]

    @property
    def equal(self) -> bool:
        """Whether both logs have the same ticks and every exact hash agrees."""
        return self.first_exact is None and not (self.only_a or self.only_b or self.contradicted) and self.compared > 0

    def text(self) -> str:
        """The comparison, one sentence a line."""
        sentences = [
            f"{self.compared} ticks stand in both logs, {self.only_a} only in the first, "
            f"{self.only_b} only in the second.",
            self._sentence("Exactly", "exact", self.first_exact),
            *(self._sentence(f"To {d} digits", str(d), tick) for d, tick in self.first_rounded.items()),
        ]
        if self.repeated:
            sentences.append(f"{self.repeated} ticks stand twice in a log, with the same hashes: its run went back.")
        for log, asset, tick in self.contradicted[:MOST_SHOWN]:
            which = "first" if log == "a" else "second"
            sentences.append(f"The {which} log contradicts itself at tick {tick} of {asset!r}.")
        return "\n".join(sentences)

    def _sentence(self, how: str, key: str, first: int | None) -> str:
        if first is None:
            return f"{how}: no difference."
        return f"{how}: first different at tick {first} ({self.places[key]})."


def compare(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> Comparison:
    """Where two parity logs first differ, exactly and after rounding.

    Args:
        a, b: the logs; what they hold must verify, but the last line may be unfinished.

    Raises:
        IntegrityError: a log is damaged; the message names it and the line.
        OSError: a file cannot be read.
    """
    first, second = _read(a, "a"), _read(b, "b")
    common = sorted(first.ticks.keys() & second.ticks.keys())
    digits = sorted(
        {int(d) for t in common for d in first.ticks[t]["rounded"] if d in second.ticks[t]["rounded"]}, reverse=True
    )
    places: dict[str, str] = {}
    firsts: dict[str, int | None] = dict.fromkeys(["exact", *map(str, digits)])
    for key in common:
        tick, asset = key
        for name, what in _differences(first.ticks[key], second.ticks[key]).items():
            if firsts[name] is None:
                firsts[name], places[name] = tick, f"{asset!r}: {what}"
    return Comparison(
        firsts["exact"],
        {d: firsts[str(d)] for d in digits},
        len(common),
        len(first.ticks) - len(common),
        len(second.ticks) - len(common),
        first.repeated + second.repeated,
        first.contradicted + second.contradicted,
        places,
    )


class _Log(NamedTuple):
    ticks: dict[tuple[int, str], dict[str, Any]]
    repeated: int
    contradicted: tuple[tuple[str, str, int], ...]


def _read(path: str | os.PathLike[str], which: str) -> _Log:
    ticks: dict[tuple[int, str], dict[str, Any]] = {}
    repeated, contradicted, lines = 0, [], 0
    try:
        for parsed in _chain(path, unfinished=True):
            lines += 1
            if parsed["kind"] != "tick":
                continue
            key = (parsed["tick"], parsed["asset"])
            if key not in ticks:
                ticks[key] = {"exact": parsed["exact"], "rounded": parsed["rounded"]}
            elif _differences(ticks[key], parsed):
                contradicted.append((which, parsed["asset"], parsed["tick"]))
            else:
                repeated += 1
    except IntegrityError as error:
        raise IntegrityError(f"{path}, line {lines + 1}: {error}") from error
    return _Log(ticks, repeated, tuple(contradicted))


def _differences(a: dict[str, Any], b: dict[str, Any]) -> dict[str, str]:
    """What differs between two lines, by "exact" or the number of digits."""
    differences = {"exact": _what(*((line["exact"]["weights"], line["exact"]["cost"]) for line in (a, b)))}
    for digits in a["rounded"].keys() & b["rounded"].keys():
        differences[digits] = _what(a["rounded"][digits], b["rounded"][digits])
    return {name: what for name, what in differences.items() if what}


def _what(a: Any, b: Any) -> str:
    names = [name for name, left, right in zip(("weights", "transport cost"), a, b, strict=True) if left != right]
    return " and ".join(names)

"""Counts, settings, changes and spans of time as a reader of a campaign's report wants them."""

from __future__ import annotations

import math
from typing import Any

from ..plots.wording import number


def counted(count: int, word: str, plural: str = "s") -> str:
    """A count and its noun."""
    return f"{count:,} {word}{'' if count == 1 else plural}"


def plain(text: Any) -> str:
    """Text of somebody else's as one line of printable characters."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))


def probability(p: float) -> str:
    """A p value; below 0.0001 its size tells nothing more."""
    return "below 0.0001" if p < 1e-4 else f"{p:.4f}"


def setting(value: Any) -> str:
    """A parameter's value."""
    if value is None:
        return "not known"
    return number(value) if isinstance(value, float) else plain(value)


def change(before: Any, after: Any) -> str:
    """How far a value moved: in per cent, as a factor where that is plainer, in words where it is no number."""
    numbers = [isinstance(v, (int, float)) and not isinstance(v, bool) for v in (before, after)]
    if before is None or not all(numbers):
        return "not known" if before is None else ("same" if before == after else "changed")
    if not (math.isfinite(before) and math.isfinite(after)):
        return "not known"
    if before == after:
        return "same"
    ratio = after / before if before else math.inf
    if before == 0:
        return f"{after - before:+.4g}"
    return f"x {ratio:.4g}" if ratio >= 10.0 or 0.0 < ratio <= 0.1 else f"{ratio - 1.0:+.1%}"


def duration(seconds: float) -> str:
    """A time span in the units that suit its length."""
    if math.isnan(seconds):
        return "not known"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = seconds / 60.0
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60.0:.1f} h"

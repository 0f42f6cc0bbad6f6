"""Numbers, counts, instants and spans of time as a reader wants them, and small HTML tables of them for notebooks.

In HTML every text is escaped and colours are taken from the page, so that light and dark both read: no colour is fixed
but half-transparent grey, which stands on any background; a front end that strips styles still shows a plain table.
"""

from __future__ import annotations

import datetime
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

NOT_KNOWN = "not known"
_LINE = "border-bottom:1px solid rgba(127,127,127,.35)"
_TABLE = "border-collapse:collapse;margin:4px 0;background:transparent"
_CELL = f"text-align:left;vertical-align:top;padding:2px 14px 2px 0;{_LINE};background:transparent"
_NUMBER = f"{_CELL};font-variant-numeric:tabular-nums"
_CAPTION = "caption-side:top;text-align:left;padding:2px 0;color:inherit"


def number(value: float) -> str:
    """A number with five significant digits."""
    return NOT_KNOWN if math.isnan(value) else f"{value:.5g}"


def counted(count: int, word: str, plural: str = "s") -> str:
    """A count and its noun."""
    return f"{count:,} {word}{'' if count == 1 else plural}"


def moment(value: Any) -> str:
    """A time coordinate's entry: an instant to the second (finer where it has a fraction), or a tick's number."""
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            return NOT_KNOWN
        seconds, _, fraction = str(value.astype("datetime64[ns]")).replace("T", " ").partition(".")
        digits = 0 if not int(fraction) else 9 if int(fraction) % 1000 else 6
        return f"{seconds}.{fraction[:digits]}" if digits else seconds
    if not isinstance(value, datetime.datetime):
        return str(value)
    if value != value:  # pandas' NaT, which is a datetime
        return NOT_KNOWN
    fine = value.microsecond or getattr(value, "nanosecond", 0)
    return value.isoformat(sep=" ", timespec="auto" if fine else "seconds")


def duration(seconds: float) -> str:
    """A time span in the units that suit its length."""
    if math.isnan(seconds):
        return NOT_KNOWN
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = seconds / 60.0
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60.0:.1f} h"


def season_words(periods: Iterable[float], weight: float | None = None) -> str:
    """The seasons in use and what they are worth, as the live view says it too; "" where there is none.

    Args:
        periods: of the seasons [ticks]; NaN or 0 in a slot without one.
        weight: share of the seasonal experts within the Hilbert kernel, 0 to 1; left out, the periods alone are named.
    """
    used = " and ".join(f"{period:,.0f}" for period in periods if period > 0)
    if not used or weight is None:
        return f"{used} ticks" if used else ""
    share = f"{math.floor(100.0 * weight + 0.5)} %" if math.isfinite(weight) else "-"
    return f"{used} ticks; {share} of the Hilbert kernel's forecast comes from them"


def probability(p: float) -> str:
    """A p value; below 0.0001 its size tells nothing more."""
    return "below 0.0001" if p < 1e-4 else f"{p:.4f}"


def change(before: Any, after: Any) -> str:
    """How far a value moved: in per cent, as a factor where that is plainer, in words where it is no number."""
    numbers = [isinstance(v, (int, float)) and not isinstance(v, bool) for v in (before, after)]
    if before is None or not all(numbers):
        return NOT_KNOWN if before is None else ("same" if before == after else "changed")
    if not (math.isfinite(before) and math.isfinite(after)):
        return NOT_KNOWN
    if before == after:
        return "same"
    ratio = after / before if before else math.inf
    if before == 0:
        return f"{after - before:+.4g}"
    return f"x {ratio:.4g}" if ratio >= 10.0 or 0.0 < ratio <= 0.1 else f"{ratio - 1.0:+.1%}"


def setting(value: Any) -> str:
    """A parameter's value."""
    if value is None:
        return NOT_KNOWN
    return number(value) if isinstance(value, float) else one_line(value)


def one_line(text: Any) -> str:
    """Foreign text as one line of printable characters."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))


def plain_text(value: Any) -> str:
    """A value as a reader wants it: six digits, short arrays, instants, nothing for None; not yet escaped."""
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    if isinstance(value, np.datetime64):
        return str(value)
    if not isinstance(value, (str, int)) and hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.ndim == 0 and array.dtype.kind in "bfiu":
            return plain_text(array.item())
        return np.array2string(array, precision=5, threshold=8)
    return str(value)


def pairs_table(title: str, rows: Mapping[str, Any], sections: Mapping[str, str] | None = None) -> str:
    """A table of names and values.

    Args:
        title: its caption.
        rows: the names and what stands beside them, formatted by `plain_text`.
        sections: heading before a row, by the name of that row.
    """
    parts = []
    for name, value in rows.items():
        if sections and name in sections:
            parts.append(f"<tr><td colspan='2' style='{_CELL};padding-top:8px'>{_strong(sections[name])}</td></tr>")
        parts.append(f"<tr><td style='{_CELL}'>{_text(name)}</td><td style='{_NUMBER}'>{_text(value)}</td></tr>")
    return _table(title, "", parts)


def columns_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], bold: Iterable[int] = ()) -> str:
    """A table with named columns; `bold` are the numbers of the rows that stand out."""
    strong = set(bold)
    head = "".join(f"<th style='{_CELL};font-weight:600'>{_text(name)}</th>" for name in columns)
    body = []
    for i, row in enumerate(rows):
        mark = " style='font-weight:bold'" if i in strong else ""
        body.append(f"<tr{mark}>" + "".join(f"<td style='{_NUMBER}'>{_text(value)}</td>" for value in row) + "</tr>")
    return _table(title, f"<thead><tr>{head}</tr></thead>", body)


def folded(title: str, sentence: str, body: str, opened: bool = False) -> str:
    """A part that a click unfolds: a bold title, one sentence about it, and HTML that is inserted as it is."""
    rest = f": {_text(sentence)}" if sentence else ""
    return f"<details{' open' if opened else ''}><summary>{_strong(title)}{rest}</summary>{body}</details>"


def headline(title: str, sentence: str) -> str:
    """A bold title and one sentence."""
    return f"<div>{_strong(title)}{f': {_text(sentence)}' if sentence else ''}</div>"


def _table(title: str, head: str, rows: Sequence[str]) -> str:
    caption = f"<caption style='{_CAPTION}'>{_strong(title)}</caption>" if title else ""
    table = f"<table style='{_TABLE}'>{caption}{head}<tbody>{''.join(rows)}</tbody></table>"
    reach = " tabindex='0'" if head else ""  # a wide table scrolls, by keyboard too
    return f"<div{reach} style='overflow-x:auto;max-width:100%'>{table}</div>"


def _strong(text: str) -> str:
    return f"<b>{_text(text)}</b>"


def _text(value: Any) -> str:
    return html.escape(plain_text(value), quote=True)

"""Small HTML tables for notebooks: every text escaped, colours taken from the page, so that light and dark both read.

No colour is fixed but half-transparent grey, which stands on any background; a front end that strips styles still
shows a plain table.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_LINE = "border-bottom:1px solid rgba(127,127,127,.35)"
_TABLE = "border-collapse:collapse;margin:4px 0;background:transparent"
_CELL = f"text-align:left;vertical-align:top;padding:2px 14px 2px 0;{_LINE};background:transparent"
_NUMBER = f"{_CELL};font-variant-numeric:tabular-nums"
_CAPTION = "caption-side:top;text-align:left;padding:2px 0;color:inherit"


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


def folded(title: str, told: str, body: str, opened: bool = False) -> str:
    """A part that a click unfolds: a bold title, one sentence about it, and HTML that is inserted as it is."""
    rest = f": {_text(told)}" if told else ""
    return f"<details{' open' if opened else ''}><summary>{_strong(title)}{rest}</summary>{body}</details>"


def headline(title: str, told: str) -> str:
    """A bold title and one sentence."""
    return f"<div>{_strong(title)}{f': {_text(told)}' if told else ''}</div>"


def _table(title: str, head: str, rows: Sequence[str]) -> str:
    caption = f"<caption style='{_CAPTION}'>{_strong(title)}</caption>" if title else ""
    table = f"<table style='{_TABLE}'>{caption}{head}<tbody>{''.join(rows)}</tbody></table>"
    reach = " tabindex='0'" if head else ""  # a wide table scrolls, by keyboard too
    return f"<div{reach} style='overflow-x:auto;max-width:100%'>{table}</div>"


def _strong(text: str) -> str:
    return f"<b>{_text(text)}</b>"


def _text(value: Any) -> str:
    return html.escape(plain_text(value), quote=True)

"""Numbers as people write them: marks of decimals and thousands, units, currencies; found over a whole column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..array_types import Float
from ..errors import DomainError, shown

MISSING = frozenset(
    ("", "na", "n/a", "nan", "-nan", "null", "none", "<na>", "#n/a", "#na", "#n/a n/a", "1.#ind", "-1.#ind", "1.#qnan")
)
EMPTY_REMEDY = "leave the cell empty where a value is missing"
_SPACES = " \xa0\u2009\u202f"
_QUOTES = "'\u2019"
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NUMBER = re.compile(
    rf"[+-]?\d?[\d.,{_QUOTES}{_SPACES}]*\d[.,]?(?:[eE][+-]?\d+)?|[+-]?\d[.,]?(?:[eE][+-]?\d+)?", re.ASCII
)
_AFFIXED = re.compile(
    rf"(?P<sign>[+-]?)(?P<before>[^\d+\-.,]*?)\s*(?P<number>{_NUMBER.pattern})\s*(?P<after>[^\d]*)", re.ASCII
)
_MARKS = (".", "")  # of a plain number
_BEFORE = re.compile(
    r"(?:[A-Z]{0,3}[$\u20ac\u00a3\u00a5\u20b9\u20bd\u20a9]|[A-Z]{3})?"
)  # a currency, not the letter of a name
_AFTER = re.compile(r"[^\d+\-.,;()]{0,12}", re.ASCII)


class NumberFormat(NamedTuple):
    """How the numbers of one column are written.

    Attributes:
        decimal: their mark of decimals.
        thousands: what separates groups of digits: "", ",", ".", " " for any blank, "'" for any apostrophe.
        before, after: signs of a unit or currency around each number.
    """

    decimal: str = "."
    thousands: str = ""
    before: str = ""
    after: str = ""

    @property
    def unit(self) -> str:
        """What stands around the numbers, "" where nothing does."""
        return f"{self.before} {self.after}".strip()

    def read(self, cell: str) -> float:
        """The value of a cell, NaN where it is empty or says that there is none.

        Raises:
            DomainError: no number of this format.
        """
        text = cell.strip()
        if text.lower() in MISSING:
            return float("nan")
        if self == PLAIN and is_float(text):
            return float(text)
        taken = _split(text)
        if taken is not None and taken[1:] == (self.before, self.after):
            number = _plain(taken[0], self.decimal, self.thousands)
            if number is not None:
                return number
        if is_float(text) and not any(letter.isdigit() for letter in text):
            return float(text)  # inf
        if self.decimal == "," and is_float(text) and "." in text:
            raise DomainError(
                f"{shown(cell)} has a decimal point where other cells have commas; write one or the other"
            )
        raise DomainError(f"{shown(cell)} is not a number{self._wanted(text)}")

    def _wanted(self, text: str) -> str:
        if self != PLAIN:
            example = f"1{self.thousands}234{self.decimal}5" if self.thousands else f"3{self.decimal}5"
            return (
                f" written as the others of this column, as {self.before}{example}{self.after}; write one or the other"
            )
        return f"; {advise(text)}"


PLAIN = NumberFormat()


def is_missing(value: Any) -> bool:
    """Whether a single value is one that NumPy has masked or that pandas and Arrow call missing."""
    return bool(np.ma.is_masked(value)) or type(value).__name__ == "NAType"


def is_float(text: str) -> bool:
    """Whether a text is a number as programs write it, nan and inf included."""
    if "_" in text or not text.isascii():  # Python reads 1_000 and digits of other scripts
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_number(cell: str) -> bool:
    """Whether a cell is a number in any writing, with or without a unit or a currency."""
    text = cell.strip()
    if is_float(text):
        return True
    taken = _split(text)
    return taken is not None and bool(_readings([taken[0]]))


def shape_of(cell: str) -> str | None:
    """A cell with its digits made alike, None where it has fewer than four: then they do not tell it from a name."""
    shape, digits = re.subn(r"\d", "0", cell)
    return shape if digits >= 4 else None


def advise(text: str) -> str:
    """What to do about a cell that is no number."""
    taken = _split(text)
    if taken is None:
        return EMPTY_REMEDY
    readings = _readings([taken[0]])
    if (taken[1] or taken[2]) and readings:
        return "a unit or sign is taken off where every cell of the column has the same; leave it out"
    if any(mark == "," for mark, _ in readings) and not any(mark == "." for mark, _ in readings):
        return (
            f"a decimal comma is read where the whole column is written so; write {taken[0].replace(',', '.')} instead"
        )
    if readings:
        return "marks of thousands are read where the whole column is written so; leave them out"
    return EMPTY_REMEDY


def find_number_format(
    cells: Sequence[str], name: str, separator: str, marks: str = "", decimal: str | None = None
) -> NumberFormat | None:
    """The format of a column's numbers by all of its cells; None where nothing in them tells it, so that any may come.

    Args:
        cells: of the column; missing ones are passed over.
        name: of the column.
        separator: of the file's cells.
        marks: marks of decimals that other columns of the file are sure to have, "." or "," or "".
        decimal: the mark of decimals where the user said it.

    Raises:
        DomainError: the numbers can be read in two ways.
    """
    some = [text for cell in cells if (text := cell.strip()).lower() not in MISSING]
    joined = "".join(some)
    if not some or (joined.isascii() and joined.replace("-", "").replace("+", "").isdigit()):
        return NumberFormat(decimal) if decimal else None
    split = [_split(text) for text in some]
    numbers = [taken for taken in split if taken is not None]
    if 2 * len(numbers) < len(some):
        return PLAIN
    ((before, after), _), *_ = Counter((before, after) for _, before, after in numbers).most_common(1)
    # A cell with another unit, or that is a number in no writing, is a bad line of its own.
    numbers = [number for number, *affix in numbers if affix == [before, after]]
    readings = _readings(numbers)
    if not readings:
        numbers = [number for number in numbers if _readings([number])]
        readings = _readings(numbers) if numbers else {}
    if decimal is not None:
        readings = {key: values for key, values in readings.items() if key[0] == decimal}
        if not readings:
            raise DomainError(
                f"not all numbers of column {name} have {decimal!r} as their mark of decimals: {shown(some[0])}"
            )
    if not readings:
        return NumberFormat(_likely_mark(numbers), "", before, after)
    plain = _MARKS in readings and separator == ","
    if plain and ((",", ".") not in readings or all("." in number for number in numbers)):
        return NumberFormat(".", "", before, after)  # where commas separate the cells, points are decimal
    distinct = {values.tobytes(): key for key, values in reversed(readings.items())}
    if len(distinct) > 1 and marks:
        distinct = {value: key for value, key in distinct.items() if key[0] == marks} or distinct
    if len(distinct) > 1:
        raise _two_ways(readings, numbers, list(distinct.values())[::-1], name)
    (key,) = distinct.values()
    return NumberFormat(*key, before, after)


def sure_mark(cells: Sequence[str]) -> str:
    """The mark of decimals that the numbers of a column are sure to have, "" where they leave it open."""
    numbers = [taken[0] for cell in cells if (taken := _split(cell.strip())) is not None]
    if not any(mark in number for number in numbers for mark in ".,"):
        return ""
    marks = {mark for mark, _ in _readings(numbers)}
    return marks.pop() if len(marks) == 1 else ""


def _regular(text: str) -> str:
    return text if text.isascii() else text.replace("\u2212", "-")


def _split(text: str) -> tuple[str, str, str] | None:
    """A number with its sign, and what stands before and after it; None where there is no number."""
    text = _regular(text)
    if _PLAIN.fullmatch(text):
        return text, "", ""
    match = _AFFIXED.fullmatch(text)
    if match is None:
        return None
    sign, number = match["sign"], match["number"].strip(_SPACES)
    before, after = match["before"].strip(), match["after"].strip()
    if (sign and number[0] in "+-") or not (_BEFORE.fullmatch(before) and _AFTER.fullmatch(after)):
        return None
    return sign + number, before, after


_GROUPED = {
    ",": r"\d{1,3}(?:,\d\d)*,\d{3}",  # with pairs between, as in India
    ".": r"\d{1,3}(?:\.\d{3})+",
    " ": rf"\d{{1,3}}(?:[{_SPACES}]\d{{3}})+",
    "'": rf"\d{{1,3}}(?:[{_QUOTES}]\d{{3}})+",
}
_WRITINGS = {
    (mark, group): re.compile(
        rf"[+-]?(?:{grouped}|\d+)(?:{re.escape(mark)}\d*)?(?:[eE][+-]?\d+)?|[+-]?{re.escape(mark)}\d+(?:[eE][+-]?\d+)?"
    )
    for mark in ".,"
    for group, grouped in {"": r"\d+", **_GROUPED}.items()
    if group != mark
}


def _plain(number: str, mark: str, group: str) -> float | None:
    """A number of these marks, None where it is none."""
    if not _WRITINGS[mark, group].fullmatch(number):
        return None
    for letter in {" ": _SPACES, "'": _QUOTES}.get(group, group):
        number = number.replace(letter, "")
    return float(number.replace(mark, "."))


def _readings(numbers: Sequence[str]) -> dict[tuple[str, str], Float[np.ndarray, "row"]]:
    """The values of all the numbers by the marks that fit every one of them; a group mark that none has is left out."""
    readings = {}
    for (mark, group), writing in _WRITINGS.items():
        letters = {" ": _SPACES, "'": _QUOTES}.get(group, group)
        if group and not any(letter in number for number in numbers for letter in letters):
            continue
        if all(map(writing.fullmatch, numbers)):
            grouped = [number for number in numbers if any(letter in number for letter in letters)]
            if any(number.lstrip("+-").startswith("0") for number in grouped):
                continue  # 0,123 has no thousands
            readings[mark, group] = np.array([_plain(number, mark, group) for number in numbers], np.float64)
    return readings


def _likely_mark(numbers: Sequence[str]) -> str:
    """The mark of decimals of most cells, where no format fits all of them; of as many of each, that of the first."""
    commas = [number for number in numbers if "," in number and "." not in number]
    points = [number for number in numbers if "." in number and "," not in number]
    if len(commas) == len(points) and commas:
        return "," if numbers.index(commas[0]) < numbers.index(points[0]) else "."
    return "," if len(commas) > len(points) else "."


def _two_ways(
    readings: dict[tuple[str, str], np.ndarray], numbers: Sequence[str], keys: list[tuple[str, str]], name: str
) -> DomainError:
    one, other = (readings[key] for key in keys[:2])
    row = int(np.flatnonzero(one != other)[0])
    return DomainError(
        f"numbers of column {name} can be read in two ways: {shown(numbers[row])} is {one[row]:g} (decimal "
        f"{keys[0][0]!r}) or {other[row]:g} (decimal {keys[1][0]!r}); say which with decimal={keys[0][0]!r} or "
        f"decimal={keys[1][0]!r} (--decimal)"
    )

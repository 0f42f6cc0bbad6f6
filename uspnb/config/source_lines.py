"""On which line of a TOML text a key stands, for error messages that point at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_BARE_OR_QUOTED = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_BARE_OR_QUOTED}(?:[ \t]*\.[ \t]*{_BARE_OR_QUOTED})*"
_SECTION = re.compile(rf"^[ \t]*\[[ \t]*({_DOTTED})[ \t]*\]")
_KEY = re.compile(rf"^[ \t]*({_DOTTED})[ \t]*=")
_INLINE_KEY = re.compile(rf"[{{,][ \t]*({_BARE_OR_QUOTED})[ \t]*=")
_PART = re.compile(_BARE_OR_QUOTED)
_FENCE = re.compile(r'"""|\'\'\'')


class Entry(NamedTuple):
    """A section header (`key` empty) or a key, and its line counted from one."""

    line: int
    section: str
    key: str


class SourceLines:
    """Positions of the sections and keys of a TOML text.

    It reads the text line by line and does not judge it, so that it serves for texts that no parser accepts.
    """

    def __init__(self, text: str) -> None:
        self.entries: list[Entry] = list(_entries(text))

    def of(self, section: str, key: str = "") -> int | None:
        """Line of `[section]`, or of `key` in it; None where it is not written in a form that is looked for."""
        for entry in self.entries:
            if entry.section == section and key in ("", entry.key):
                return entry.line
        return None

    def of_key(self, key: str) -> int | None:
        """Line of the first occurrence of a key in any section."""
        return next((entry.line for entry in self.entries if entry.key == key), None)

    def duplicate(self) -> tuple[Entry, Entry] | None:
        """The first entry that repeats an earlier one, after that earlier one."""
        seen: dict[tuple[str, str], Entry] = {}
        for entry in self.entries:
            earlier = seen.setdefault((entry.section, entry.key), entry)
            if earlier is not entry:
                return earlier, entry
        return None


def _entries(text: str) -> Iterator[Entry]:
    section, fence = "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        if fence:
            fence = "" if fence in line else fence
            continue
        if header := _SECTION.match(line):
            section = ".".join(_parts(header[1]))
            yield Entry(number, section, "")
        elif pair := _KEY.match(line):
            parts = _parts(pair[1])
            yield Entry(number, ".".join(filter(None, (section, *parts[:-1]))), parts[-1])
            value = line[pair.end() :]
            if value.lstrip().startswith("{"):
                table = ".".join(filter(None, (section, *parts)))
                yield from (Entry(number, table, _parts(inner[1])[0]) for inner in _INLINE_KEY.finditer(value))
            fence = _open_fence(value)


def _open_fence(value: str) -> str:
    """The quotes of a multi-line string that this line opens and does not close."""
    opened = _FENCE.match(value.lstrip())
    return opened[0] if opened and value.count(opened[0]) % 2 else ""


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]

"""Reading `config.toml` strictly, and writing a configuration as TOML.

A file is accepted or refused as a whole.  What is refused is named with its line, the value, the range and, for a
misspelt name, the nearest one that exists; all problems of a file are reported together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tomlkit
from tomlkit.exceptions import ParseError, TOMLKitError

from ..errors import ConfigError
from ..runtime.digest import sha256_bytes
from .meta_schema import META_SECTION, MOST_PROBLEMS, read_settings
from .schema import DECLARATIONS, SECTIONS, PredictorConfig, check_value, unknown_name, written_fields

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
        first: dict[tuple[str, str], Entry] = {}
        for entry in self.entries:
            earlier = first.setdefault((entry.section, entry.key), entry)
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


# The template, which explains every key, has some 600 lines and 50,000 bytes; the parser takes a second for a megabyte.
LARGEST_FILE_BYTES = 1 << 18
MOST_LINES, LONGEST_LINE = 5000, 16_384

LONGEST_PROBLEM = 3000


_checks: list[Callable[[PredictorConfig], None]] = []


def add_check(check: Callable[[PredictorConfig], None]) -> None:
    """Have every file that is loaded, validated or changed checked by a function of a room above this one.

    Args:
        check: raises ConfigError where the configuration asks for what does not exist; its message names the settings.
    """
    _checks.append(check)


def load_config(path: str | os.PathLike[str] = "config.toml", **overrides: Any) -> PredictorConfig:
    """Read a configuration file; keys that it does not name have their defaults.

    Args:
        path: a TOML file with the sections of `schema.SECTIONS`.
        overrides: values that win over those of the file, by field name.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: the file cannot be read or is no TOML; a section or key is unknown, misplaced or written twice; a
            value has the wrong type or lies outside its range; two values contradict one another; it asks for a kernel
            or a trained network that does not exist.
    """
    unknown = [_unknown("configuration key", name, DECLARATIONS) for name in overrides if name not in DECLARATIONS]
    if unknown:
        raise ConfigError("; ".join(unknown))
    source = os.fspath(path)
    return configuration(checked_tables(read_text(Path(source)), source), source, exists=True, **overrides)


def parse_config(text: str, *, source: str = "<text>", **overrides: Any) -> PredictorConfig:
    """The configuration that a TOML text describes.

    Args:
        text: the content of a configuration file.
        source: what error messages call it.
        overrides: values that win over those of the text, by field name.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: as `load_config`; but whether the kernels and networks exist is left to the predictor.
    """
    return configuration(checked_tables(text, source), source, **overrides)


class Tables(NamedTuple):
    """What a configuration file holds, each key checked by itself.

    Attributes:
        values: the predictor's settings, by field name.
        meta: keys and values of `[meta_optimization]`.
        lines: on which line each stands.
    """

    values: dict[str, Any]
    meta: dict[str, Any]
    lines: SourceLines


def checked_tables(text: str, source: str) -> Tables:
    """The settings of a TOML text, before those that depend on one another are compared.

    Args:
        text: the content of a configuration file.
        source: what error messages call it.

    Raises:
        ConfigError: no TOML; an unknown, misplaced or repeated section or key; a wrong type or a value out of range.
    """
    longest = max(map(len, text.split("\n")))
    if text.count("\n") > MOST_LINES or longest > LONGEST_LINE:
        raise ConfigError(
            f"{source}: has {text.count(chr(10)) + 1:,} lines, the longest of {longest:,} characters; at most "
            f"{MOST_LINES:,} of {LONGEST_LINE:,} are read, so this is no configuration file"
        )
    lines = SourceLines(text)
    values: dict[str, Any] = {}
    meta: dict[str, Any] = {}
    problems: list[tuple[int | None, str]] = []
    for section, table in _parse_toml(text, source, lines).items():
        if len(problems) > MOST_PROBLEMS:
            break
        if section not in SECTIONS and section != META_SECTION:
            problems.append((_line_of(lines, section), _misplaced_section(section)))
        elif not isinstance(table, Mapping):
            problems.append((_line_of(lines, section), f"{section} must be a section, written [{section}]"))
        elif section == META_SECTION:
            meta = dict(table)
            faults = read_settings(meta).problems
            problems += [(_line_in(lines, section, key), f"{what} in section [{section}]") for key, what in faults]
        else:
            for key, value in table.items():
                if len(problems) > MOST_PROBLEMS:
                    break
                problem = _problem_of(section, key, value)
                if problem is None:
                    values[key] = value
                else:
                    problems.append((_line_in(lines, section, key), problem))
    if problems:
        named = [_located(source, line, problem) for line, problem in problems[:MOST_PROBLEMS]]
        more = [f"{source}: there are more problems than these; mend them first"] if len(problems) > len(named) else []
        raise ConfigError("\n".join([*named, *more]))
    return Tables(values, meta, lines)


def config_to_toml(config: PredictorConfig, *, every: bool = False) -> str:
    """The canonical TOML of a configuration: every section and key, in the order of their declaration, no comments.

    Args:
        config: any configuration whose values are plain numbers, not a batch of candidates.
        every: whether keys that were added later are there at their default too; the canonical text leaves them out.

    Returns:
        A text that `parse_config` reads back to an equal configuration.

    Raises:
        ConfigError: a field holds an array or a traced value, which no file can hold.
    """
    blocks, names = [], DECLARATIONS if every else written_fields(config)
    for section in SECTIONS:
        rows = [f"{name} = {toml_value(config, name)}" for name in fields_of(section) if name in names]
        blocks.append("\n".join([f"[{section}]", *rows]))
    return "\n\n".join(blocks) + "\n"


def config_hash(config: PredictorConfig) -> str:
    """SHA-256 of a configuration's canonical TOML: equal configurations have equal hashes."""
    return sha256_bytes(config_to_toml(config).encode())


def fields_of(section: str) -> list[str]:
    """Names of the fields of a section, in the order of their declaration."""
    return [name for name, about in DECLARATIONS.items() if about.section == section]


def toml_value(config: PredictorConfig, name: str) -> str:
    """One field's value in TOML notation.

    Raises:
        ConfigError: the field holds an array or a traced value.
    """
    value = getattr(config, name)
    if not isinstance(value, (bool, int, float, str, tuple)):
        raise ConfigError(
            f"{name} holds a value of type {type(value).__name__}, which a file cannot hold; "
            "write one candidate of the batch at a time"
        )
    return tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()


def read_text(path: Path) -> str:
    """The text of a configuration file.

    Raises:
        ConfigError: there is none, or it is a folder, cannot be read, is too large or is not UTF-8.
    """
    return text_of(read_content(path), os.fspath(path))


def unreadable(path: Path) -> str | None:
    """Why no configuration can be read from a path, None where there is a file."""
    if path.is_dir():
        return f"{path}: is a folder, not a configuration file; name the TOML file in it"
    if not path.exists():
        return f"{path}: no such configuration file; `python -m uspnb.config.template` prints one with every default"
    return None if path.is_file() else f"{path}: is not a regular file"


def read_content(path: Path) -> bytes:
    """The bytes of a configuration file.

    Raises:
        ConfigError: there is none, or it is a folder, cannot be read or is too large.
    """
    problem = unreadable(path)
    if problem is not None:
        raise ConfigError(problem)
    try:
        data = path.read_bytes() if path.stat().st_size <= LARGEST_FILE_BYTES else None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    if data is None:
        raise ConfigError(f"{path}: is larger than {LARGEST_FILE_BYTES} bytes and so is no configuration file")
    return data


def text_of(data: bytes, source: str) -> str:
    """The text of a configuration file's bytes.

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        # Editors on Windows put a byte order mark first; "utf-8-sig" drops it.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(_located(source, line, "not a text file in UTF-8, so no TOML")) from error


def _parse_toml(text: str, source: str, lines: SourceLines) -> dict[str, Any]:
    try:
        return tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        repeated = lines.duplicate()
        if repeated is not None:
            earlier, entry = repeated
            what = f"key {entry.key!r} of section [{entry.section}]" if entry.key else f"section [{entry.section}]"
            problem = f"{what} is written twice, first on line {earlier.line}; keep one"
            raise ConfigError(_located(source, entry.line, problem)) from error
        line = error.line if isinstance(error, ParseError) else None
        # The parser's text ends in its own "at line 3 col 0", which we say first.
        reason = re.sub(r" at line \d+ col \d+$", "", str(error))
        raise ConfigError(_located(source, line, f"not valid TOML (is the file truncated?): {reason}")) from error


def _problem_of(section: str, key: str, value: Any) -> str | None:
    """Why a key may not stand here with this value, None where it may."""
    if key not in DECLARATIONS:
        return _unknown("key", key, DECLARATIONS) + f" in section [{section}]"
    home = DECLARATIONS[key].section
    if home != section:
        return f"{key} belongs in section [{home}], not in [{section}]"
    try:
        check_value(key, value)
    except ConfigError as error:
        return str(error)
    return None


def _misplaced_section(section: str) -> str:
    if section in DECLARATIONS:
        return f"{section} belongs in section [{DECLARATIONS[section].section}], not at the top of the file"
    return _unknown("section", section, (*SECTIONS, META_SECTION))


def _unknown(what: str, name: str, names: Iterable[str]) -> str:
    return unknown_name(what, name, names, f"known: {', '.join(sorted(names))}")


def configuration(tables: Tables, source: str, *, exists: bool = False, **overrides: Any) -> PredictorConfig:
    """The configuration that checked tables describe.

    Args:
        tables: of a file.
        source: what error messages call it.
        exists: whether what it asks for must exist, by the functions of `add_check`.
        overrides: values that win over those of the tables, by field name.

    Raises:
        ConfigError: two values contradict one another, an override is wrong, or something does not exist.
    """
    lines = tables.lines
    try:
        config = PredictorConfig(**{**tables.values, **overrides})
        for check in _checks if exists else ():
            check(config)
        return config
    except ConfigError as error:
        # Of two values that contradict one another, the one further down is where a reader meets the contradiction.
        named = (lines.of_key(word) for word in re.findall(r"\w+", str(error)) if word in DECLARATIONS)
        line = max((line for line in named if line), default=None)
        raise ConfigError(_located(source, line, str(error))) from error


def _line_of(lines: SourceLines, name: str) -> int | None:
    """Line of a top-level name: a section header, else a key before the first header."""
    return lines.of(name) or lines.of("", name)


def _line_in(lines: SourceLines, section: str, key: str) -> int | None:
    """Line of a key of a section, or of a table of that name."""
    return lines.of(section, key) or lines.of(f"{section}.{key}")


def _located(source: str, line: int | None, problem: str) -> str:
    # What is wrong may be a megabyte long itself.
    problem = problem if len(problem) <= LONGEST_PROBLEM else problem[:LONGEST_PROBLEM] + " ..."
    return f"{source}, line {line}: {problem}" if line else f"{source}: {problem}"

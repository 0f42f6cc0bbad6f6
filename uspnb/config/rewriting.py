"""Setting keys in the text of a `config.toml` without touching anything else: comments, order, spacing, line ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from ..errors import ConfigError, ConfigMutationError
from .load import SourceLines, Tables, checked_tables, configuration
from .schema import DECLARATIONS


def with_values(text: str, tables: Tables, changes: Mapping[str, Any], source: str) -> str:
    """The text with some keys set to new values.

    A key that stands in the text keeps its place and its comment; one that does not is added below the last key of
    its section, in a new section at the end where there is none.

    Args:
        text: a configuration file.
        tables: what it holds.
        changes: valid values by field name.
        source: what error messages call the file.

    Returns:
        A text that holds the same with these changes.

    Raises:
        ConfigMutationError: the values contradict one another or what else the file says, ask for what does not exist,
            or the text is laid out in a way that cannot be changed without changing other parts.
    """
    expected = tables._replace(values={**tables.values, **changes})
    for exists, fault in ((False, "contradict one another"), (True, "ask for what does not exist")):
        try:
            configuration(expected, source, exists=exists)
        except ConfigError as error:
            raise ConfigMutationError(f"the changed settings {fault}: {error}") from error
    try:
        new = _with_missing(_with_replaced(text, tables, changes), tables, changes)
        read = checked_tables(new, source)
    except (ConfigError, TOMLKitError) as error:
        raise ConfigMutationError(_cannot(source, str(error))) from error
    # Whatever the layout was, the file must say what was asked for and nothing else.
    if read.values != expected.values or read.meta != tables.meta:
        raise ConfigMutationError(_cannot(source, "the result would read differently"))
    return new


def _with_replaced(text: str, tables: Tables, changes: Mapping[str, Any]) -> str:
    document = tomlkit.parse(text)
    for name, value in changes.items():
        section = DECLARATIONS[name].section
        if name in tables.values or _is_without_header(text, section):
            document[section][name] = value  # type: ignore[index]
    return tomlkit.dumps(document)


def _is_without_header(text: str, section: str) -> bool:
    """Whether a section is written as dotted keys or an inline table, so that no line can be added below a header."""
    entries = [entry for entry in SourceLines(text).entries if entry.section == section]
    return bool(entries) and bool(entries[0].key)


def _with_missing(text: str, tables: Tables, changes: Mapping[str, Any]) -> str:
    for name, value in changes.items():
        section = DECLARATIONS[name].section
        if name not in tables.values and not _is_without_header(text, section):
            text = _with_line(text, section, f"{name} = {tomlkit.item(value).as_string()}")
    return text


def _with_line(text: str, section: str, written: str) -> str:
    lines = text.splitlines(keepends=True)
    end = "\r\n" if "\r\n" in text else "\n"
    entries = [entry for entry in SourceLines(text).entries if entry.section == section]
    # Not at the end of the section, where comments may belong to the next one.
    at = max((entry.line for entry in entries), default=len(lines))
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += end
    if not entries:
        return "".join([*lines, *([end] if lines else []), f"[{section}]{end}", f"{written}{end}"])
    above = lines[at - 1]
    indent = above[: len(above) - len(above.lstrip(" \t"))]
    return "".join([*lines[:at], f"{indent}{written}{end}", *lines[at:]])


def _cannot(source: str, reason: str) -> str:
    return f"{source} cannot be changed without changing other parts of it ({reason}); write the keys by hand"

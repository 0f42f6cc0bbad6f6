"""`uspnb run`: the sources that it opens, and what it refuses before anything is compiled."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from uspnb.engine.service.command import add_arguments, open_sources, run
from uspnb.errors import ConfigError, DomainError
from uspnb.sources import CsvTailSource, LineSource


def options(*arguments: str) -> argparse.Namespace:
    """The options of a command line."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of two columns of values."""
    path = tmp_path / "rooms.csv"
    path.write_text("time,north,south\n" + "".join(f"2024-01-01T00:00:{k:02d}Z,{k},{-k}\n" for k in range(10)))
    return path


def test_columns_of_a_table_are_series(table: Path) -> None:
    sources = open_sources([str(table)], value="north,south")
    assert list(sources) == ["north", "south"]
    assert sources["south"].take(3).values.tolist() == [0.0, -1.0, -2.0]
    assert list(open_sources([f"house={table}"], value="north,south")) == ["house.north", "house.south"]
    assert list(open_sources([f"house={table}"], value="south")) == ["house"]
    assert not sources["north"].time_is_grid


def test_growing_tables_are_followed(table: Path) -> None:
    sources = open_sources([str(table)], follow=True, value="north,south")
    assert list(sources) == ["north", "south"] and all(isinstance(s, CsvTailSource) for s in sources.values())


def test_a_growing_table_beside_sources_of_other_kinds(table: Path) -> None:
    sources = open_sources([f"a={table}", "b=ws://127.0.0.1:9/", "c=http://127.0.0.1:9/"], follow=True, value="south")
    assert [type(source) for source in sources.values()] == [CsvTailSource, LineSource, LineSource]


def test_several_sources_and_their_names(tmp_path: Path) -> None:
    other = tmp_path / "a=b.csv"  # a file that exists is a file, whatever its name
    other.write_text("value\n1\n2\n3\n")
    assert list(open_sources([str(other), f"y={other}"])) == ["value", "y"]
    with pytest.raises(DomainError, match=r"two series are called 'value'.*NAME="):
        open_sources([str(other), str(other)])
    live = open_sources(["ws://127.0.0.1:9/ticks?key=abc", "far=http://127.0.0.1:9/x"])
    assert len(live) == 2 and "far" in live and not any("abc" in name for name in live)


@pytest.mark.parametrize(
    ("texts", "options", "reason"),
    [
        ([], {}, "no --source was given"),
        (["sea"], {"follow": True}, "--follow is for CSV files, and no --source is one"),
        (["ws://127.0.0.1/?key=planted", "sea"], {"time_format": "%H:%M"}, "--time-format is for CSV files"),
        (["nowhere.csv"], {}, "there is no file nowhere.csv"),
        (["nowhere.xyz"], {}, "is not a source of ticks"),
        (["ws://user:planted@127.0.0.1/"], {}, "holds a user or a password"),
    ],
)
def test_sources_that_are_refused(texts: list[str], options: dict[str, Any], reason: str) -> None:
    with pytest.raises(DomainError, match=reason) as refused:
        open_sources(texts, **options)
    assert "planted" not in str(refused.value)


def test_several_columns_without_a_choice_are_refused(table: Path) -> None:
    with pytest.raises(DomainError, match="several columns of numbers: north, south"):
        open_sources([str(table)])


def test_bad_settings_and_a_vault_that_is_open_to_others_are_refused(table: Path, tmp_path: Path) -> None:
    settings = tmp_path / "c.toml"
    settings.write_text("[io]\nsnapshot_retention = 0\n")
    with pytest.raises(ConfigError, match="snapshot_retention"):
        run(options("--config", str(settings), "--source", str(table)))
    vault = tmp_path / "vault.env"
    vault.write_text("USPNB_SOURCE_TOKEN=planted\n")
    vault.chmod(0o644)
    settings.write_text(f'[io]\ncredentials_vault_path = "{vault}"\n')
    with pytest.raises(DomainError, match="mode 0644") as refused:
        run(options("--config", str(settings), "--source", str(table)))
    assert "planted" not in str(refused.value)
    settings.write_text("[io]\nmetrics_port = 0\n")
    with pytest.raises(DomainError, match=r"2 series were given.*pool_size = 1"):
        run(options("--config", str(settings), "--source", str(table), "--value", "north,south", "--pool-size", "1"))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--source", "sea", "--scheduler", "tcp://127.0.0.1:9"), "--scheduler is for a fleet.*add --fleet"),
        (("--source", "sea", "--fleet"), "--fleet is for one --source, a CSV file"),
        (("--source", "a.csv", "--source", "b.csv", "--fleet"), "--fleet is for one --source"),
        (("--source", "a.csv", "--fleet", "--follow"), "--follow is for series"),
        (("--source", "a.csv", "--fleet", "--fresh"), "--fresh is for series"),
    ],
)
def test_what_a_fleet_of_the_command_line_cannot_be_is_refused(arguments: tuple[str, ...], match: str) -> None:
    with pytest.raises(DomainError, match=match):
        run(options(*arguments))

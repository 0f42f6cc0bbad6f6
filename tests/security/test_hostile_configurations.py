"""Configuration files that are large or full of mistakes: refused within a second, in few words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from uspnb.config.load import load_config, parse_config
from uspnb.errors import ConfigError

SHORT = 70_000  # twenty problems, each with the names that there are
FILES = {
    "unknown keys": "[io]\n" + "".join(f"k{i} = 1\n" for i in range(20_000)),
    "unknown keys, fewer": "[io]\n" + "".join(f"k{i} = 1\n" for i in range(4900)),
    "unknown sections": "".join(f"[s{i}]\n" for i in range(4900)),
    "unknown keys of a campaign": "[meta_optimization]\n" + "".join(f"k{i} = 1\n" for i in range(4900)),
    "newlines": "\n" * 1_000_000,
    "carriage returns": "\r\n" * 500_000,
    "keys on a line": "[io]\nx = {" + ", ".join(f"k{i} = 1" for i in range(20_000)) + "}\n",
    "a long key": "[io]\n" + "k" * 200_000 + " = 1\n",
    "a long value": "[io]\nsnapshot_path = '" + "k" * 200_000 + "'\n",
    "a long number": "[io]\nsnapshot_retention = " + "9" * 200_000 + "\n",
    "brackets": "[io]\nsnapshot_retention = " + "[" * 100_000 + "\n",
    "quotes": "[io]\n" + "\"'" * 100_000 + "\n",
    "spaces": "[io]\n" + " " * 200_000 + "x\n",
    "a key again and again": "[io]\n" + "snapshot_retention = 5\n" * 4900,
}


@pytest.mark.parametrize("name", FILES)
def test_it_is_refused_at_once_and_in_few_words(name: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(FILES[name])
    began = time.monotonic()
    for refuse in (lambda: load_config(path), lambda: parse_config(FILES[name])):
        with pytest.raises(ConfigError) as refused:
            refuse()
        assert len(str(refused.value)) < SHORT
    # Two readings, each within a second on a machine that does nothing else; ten times that on a busy one.
    assert time.monotonic() - began < 20.0


def test_twenty_problems_are_named_and_the_rest_is_announced() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config("[io]\n" + "".join(f"k{i} = 1\n" for i in range(100)))
    lines = str(refused.value).splitlines()
    assert len(lines) == 21 and "there are more problems" in lines[-1]

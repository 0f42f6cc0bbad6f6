"""The names of the kernels in a configuration: a list in the file, a tuple in memory, not in the canonical default."""

from __future__ import annotations

from typing import Any

import pytest

from uspnb.config.load import config_hash, config_to_toml, parse_config
from uspnb.config.schema import DEFAULTS, PredictorConfig
from uspnb.errors import ConfigError

# Of the default configuration before the field was added: journals and archives name it.
HASH_OF_THE_DEFAULT = "8ff8285045681dcb4e85bfdb61fccb8b8069d83ed9877b56a3d2e41f3a7eaf46"


def test_the_hash_of_the_default_is_what_it_was() -> None:
    assert config_hash(PredictorConfig()) == HASH_OF_THE_DEFAULT
    assert config_hash(PredictorConfig(kernels=("hilbert",))) != HASH_OF_THE_DEFAULT
    assert "kernels" not in config_to_toml(PredictorConfig())
    assert "kernels" in config_to_toml(PredictorConfig(), every=True)


def test_a_list_becomes_a_tuple_and_comes_back() -> None:
    config = PredictorConfig(kernels=["log_signature", "mine"])  # type: ignore[arg-type]
    assert config.kernels == ("log_signature", "mine") and hash(config) != hash(PredictorConfig())
    assert parse_config(config_to_toml(config)) == config
    assert parse_config(config_to_toml(PredictorConfig())).kernels == DEFAULTS["kernels"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("hilbert", "has type str, expected a list of names"),
        (["hilbert", 3], "has type list, expected a list of names"),
        ([], "is not a list of 1 to 16 different names"),
        (["hilbert", "hilbert"], "is not a list of 1 to 16 different names"),
        (["my kernel"], "is not a list of 1 to 16 different names"),
        ([f"k{i}" for i in range(17)], "is not a list of 1 to 16 different names"),
    ],
)
def test_what_is_no_list_of_names_is_refused(value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PredictorConfig(kernels=value)

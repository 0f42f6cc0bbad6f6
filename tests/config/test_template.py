"""The shipped `config.toml` and `docs/configuration.md` are what the declarations say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from uspnb.config.load import load_config, parse_config
from uspnb.config.meta_optimization import MetaOptimizationConfig, load_meta_optimization_config
from uspnb.config.meta_schema import META_DECLARATIONS, META_SECTION
from uspnb.config.schema import DECLARATIONS, SECTIONS, PredictorConfig
from uspnb.config.template import allowed_values, main, reference_table, render_template


def test_shipped_config_is_generated(project_root: Path) -> None:
    shipped = (project_root / "config.toml").read_text()
    assert shipped == render_template(), "run `python -m uspnb.config.template > config.toml`"


def test_shipped_reference_is_generated(project_root: Path) -> None:
    shipped = (project_root / "docs" / "configuration.md").read_text()
    assert shipped == reference_table(), "run `python -m uspnb.config.template --markdown > docs/configuration.md`"


def test_shipped_config_is_the_default(project_root: Path) -> None:
    assert load_config(project_root / "config.toml") == PredictorConfig()
    assert load_meta_optimization_config(project_root / "config.toml") == MetaOptimizationConfig()


def test_template_of_a_changed_config_reads_back() -> None:
    config = PredictorConfig(seed=5, input_kind="increments", jko_adaptive=False, numerical_epsilon=1e-200)
    assert parse_config(render_template(config)) == config
    assert render_template(config) != render_template()


@pytest.mark.parametrize("name", sorted(DECLARATIONS))
def test_each_key_is_explained(name: str) -> None:
    about = DECLARATIONS[name]
    rows = render_template().splitlines()
    at = next(number for number, row in enumerate(rows) if row.startswith(f"{name} = "))
    above = next(number for number in range(at, -1, -1) if rows[number] == "")
    comment = " ".join(row.removeprefix("#").strip() for row in rows[above + 1 : at])
    assert about.meaning in comment
    assert not about.unit or f"[{about.unit}]" in comment
    assert allowed_values(name) in comment
    assert f"default {rows[at].split(' = ')[1]}" in comment
    assert all(len(row) <= 120 for row in rows)


def test_each_key_has_one_row_in_the_reference() -> None:
    page = reference_table()
    for name, about in DECLARATIONS.items():
        rows = [row for row in page.split(f"## [{META_SECTION}]")[0].splitlines() if row.startswith(f"| `{name}` |")]
        assert len(rows) == 1
        assert about.meaning in rows[0]
    sections = [*SECTIONS, META_SECTION]
    assert [row for row in page.splitlines() if row.startswith("## ")] == [f"## [{name}]" for name in sections]
    for name in META_DECLARATIONS:
        assert sum(row.startswith(f"| `{name}` |") for row in page.split(f"## [{META_SECTION}]")[1].splitlines()) == 1


def test_range_is_printed_as_it_is_enforced() -> None:
    for name, about in DECLARATIONS.items():
        default = PredictorConfig().__getattribute__(name)
        if isinstance(default, (bool, str, tuple)) or about.low == about.high:
            continue
        low, high = (type(default)(text) for text in allowed_values(name).split(" to "))
        assert (low, high) == (about.low, about.high)


def test_command_prints_either_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == render_template()
    assert main(["--markdown"]) == 0
    assert capsys.readouterr().out == reference_table()


def test_every_field_is_declared_once_in_a_known_section() -> None:
    assert {field.name for field in dataclasses.fields(PredictorConfig)} == set(DECLARATIONS)
    assert {about.section for about in DECLARATIONS.values()} == set(SECTIONS)

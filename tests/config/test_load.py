"""Reading a configuration: what is accepted comes back equal, what is refused is named with its line."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uspnb.config.load import LARGEST_FILE_BYTES, config_hash, config_to_toml, load_config, parse_config
from uspnb.config.schema import DECLARATIONS, DEFAULTS, SEASON_FIELDS, SECTIONS, PredictorConfig
from uspnb.errors import ConfigError

# Of fields whose texts mean something outside the configuration.
OTHER: dict[str, Any] = {
    "covariates": ("temperature", "wind (m/s)"),
    "calendar": ("weekday", "hour"),
    "holidays": ("2026-12-25",),
    "calendar_zone": "Europe/Berlin",
}


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Every value that a field's declaration allows."""
    about, default = DECLARATIONS[name], DEFAULTS[name]
    if name in OTHER:
        return st.just(OTHER[name])
    if isinstance(default, bool):
        return st.booleans()
    if about.choices:
        return st.sampled_from(about.choices)
    if isinstance(default, str):
        return st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)
    if isinstance(default, int):
        return st.integers(int(about.low), int(about.high))
    return st.floats(about.low, about.high, allow_nan=False)


@st.composite
def configs(draw: st.DrawFn) -> PredictorConfig:
    """Random configurations: a few fields away from their defaults, contradictions between fields left out."""
    names = draw(st.lists(st.sampled_from(sorted(DECLARATIONS)), max_size=12, unique=True))
    config = PredictorConfig()
    for name in names:
        value = draw(values_of(name))
        try:
            config = dataclasses.replace(config, **{name: value})
        except ConfigError:
            continue
    return config


@given(configs())
def test_round_trip(config: PredictorConfig) -> None:
    text = config_to_toml(config)
    back = parse_config(text)
    assert back == config
    assert config_to_toml(back) == text
    assert config_hash(back) == config_hash(config)


# A period needs a slot; tests/predictor/test_seasons.py has both.
@pytest.mark.parametrize("name", sorted(DECLARATIONS.keys() - set(SEASON_FIELDS)))
def test_each_field_can_be_set_alone_and_changes_the_hash(name: str) -> None:
    about, default = DECLARATIONS[name], DEFAULTS[name]
    if name in OTHER:
        value: Any = OTHER[name]
    elif isinstance(default, bool):
        value = not default
    elif about.choices:
        value = about.choices[-1] if about.choices[-1] != default else about.choices[0]
    elif isinstance(default, str):
        value = default + "x"
    elif isinstance(default, tuple):
        value = default[1:]
    else:
        change = 1 if isinstance(default, int) else 0.005 * (about.high - default)
        value = type(default)(default + change if default < about.high else default - change)
    plain = list(value) if isinstance(value, tuple) else value
    written = str(value).lower() if isinstance(value, bool) else repr(plain).replace("'", '"')
    if value == default or not (isinstance(value, (str, tuple)) or about.low <= value <= about.high):
        assert about.low == about.high or len(about.choices) == 1, f"{name} has room to vary, so the test must vary it"
        return
    config = parse_config(f"[{about.section}]\n{name} = {written}\n")
    assert getattr(config, name) == value
    assert type(getattr(config, name)) is type(default)
    assert config_hash(config) != config_hash(PredictorConfig())


def test_missing_keys_sections_and_files_of_nothing_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for text in ("", "# nothing\n", "[core]\n", "[core]\nseed = 20260221\n[ingestion]\n"):
        path.write_text(text)
        assert load_config(path) == load_config(str(path)) == PredictorConfig()


def test_default_path_is_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text("[core]\nseed = 5\n")
    assert load_config().seed == 5


def test_overrides_win_and_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[core]\nseed = 5\n[sensitivity]\ncusum_k = 0.25\n")
    config = load_config(path, seed=6)
    assert (config.seed, config.cusum_k) == (6, 0.25)
    with pytest.raises(ConfigError, match=r"unknown configuration key 'sead' \(did you mean 'seed'\?\)"):
        load_config(path, sead=6)
    with pytest.raises(ConfigError, match=r"cusum_k = 99\.0 is outside its range"):
        load_config(path, cusum_k=99.0)


def test_other_spellings_of_toml() -> None:
    assert parse_config("core.seed = 5").seed == 5
    assert parse_config("core = { seed = 5 }").seed == 5
    assert parse_config('["core"]\r\n"seed" = 0x05\r\n').seed == 5
    assert parse_config("[sensitivity]\ncusum_h = 4\n").cusum_h == 4.0
    assert parse_config("[ingestion]\nstaleness_ttl_ns = 1_000\n").staleness_ttl_ns == 1000


def test_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf[core]\nseed = 5\n")
    assert load_config(path).seed == 5


REFUSED = {
    "unknown section": (
        "[core]\n\n[sensitivty]\n",
        3,
        r"unknown section 'sensitivty' \(did you mean 'sensitivity'\?\)",
    ),
    "section like nothing": ("[qqq]\n", 1, "unknown section 'qqq' .known: core, ingestion"),
    "unknown key": ("[core]\nsead = 1\n", 2, r"unknown key 'sead' \(did you mean 'seed'\?\) in section \[core\]"),
    "case of a key": ("[core]\nSeed = 1\n", 2, "did you mean 'seed'"),
    "wrong section": (
        "[core]\n# x\nwtmm_stride = 4\n",
        3,
        r"wtmm_stride belongs in section \[structural\], not in \[core",
    ),
    "no section": ("\nseed = 4\n", 2, r"seed belongs in section \[core\], not at the top of the file"),
    "section as value": ("core = 5\n", 1, r"core must be a section, written \[core\]"),
    "array of sections": ("[[core]]\nseed = 1\n", None, r"core must be a section"),
    "nested section": ("[core.seed]\nx = 1\n", 1, "seed = .* has type dict, expected int"),
    "duplicate key": (
        "[core]\nseed = 1\n\nseed = 2\n",
        4,
        r"key 'seed' of section \[core\] is written twice, first on line 2",
    ),
    "duplicate quoted key": ('[core]\nseed = 1\n"seed" = 2\n', 3, "written twice, first on line 2"),
    "duplicate inline key": ("core = { seed = 1, seed = 2 }\n", 1, "'seed' of section .core. is written twice"),
    "duplicate section": ("[core]\n[structural]\n[core]\n", 3, r"section \[core\] is written twice, first on line 1"),
    "text for a number": ('[core]\nseed = "1"\n', 2, "seed = '1' has type str, expected int"),
    "float for an integer": ("[core]\nseed = 1.0\n", 2, "has type float, expected int"),
    "truth for a number": ("[sensitivity]\ncusum_k = true\n", 2, "has type bool, expected float"),
    "number for a truth": ("[structural]\njko_adaptive = 1\n", 2, "has type int, expected bool"),
    "number for a text": ("[structural]\ninput_kind = 1\n", 2, "has type int, expected str"),
    "date": ("[core]\nseed = 2026-02-21\n", 2, "expected int"),
    "list": ("[sensitivity]\ncusum_k = [0.5]\n", 2, r"cusum_k = \[0.5\] has type list, expected float"),
    "below": ("[core]\nseed = -1\n", 2, r"seed = -1 is outside its range \[0, 2147483647\]"),
    "above": ("[sensitivity]\n\n\ncusum_k = 1e300\n", 4, r"cusum_k = 1e\+300 is outside its range \[0.05, 2\]"),
    "nan": ("[sensitivity]\ncusum_k = nan\n", 2, "cusum_k = nan is outside"),
    "inf": ("[sensitivity]\ncusum_k = inf\n", 2, "cusum_k = inf is outside"),
    "integer of 400 digits": (f"[sensitivity]\ncusum_k = {'9' * 400}\n", 2, "cusum_k is too large for a float"),
    "choice": ('[structural]\ninput_kind = "level"\n', 2, "'level' is not one of 'levels', 'increments'"),
    "contradiction": (
        "[sensitivity]\nstiffness_low = 500.0\nstiffness_high = 400.0\n",
        3,
        "must be below stiffness_high",
    ),
    "contradiction with a default": ("[structural]\n\nlog_sig_window = 1000\n", 3, "must not exceed wtmm_buffer_size"),
    "cut in a value": ("[core]\nseed =", 2, "not valid TOML"),
    "cut in a number": ("[sensitivity]\n\ncusum_k = 1e", 3, "not valid TOML"),
    "cut in a header": ("[core]\nseed = 1\n[struct", 3, "not valid TOML"),
    "cut in a text": ('[structural]\ninput_kind = "lev', 2, "not valid TOML"),
    "cut in a key": ("[core]\nse", 2, "not valid TOML"),
    "not TOML": ("{'seed': 1}\n", 1, "not valid TOML"),
    "control characters": ("\x00\x01\x02", 1, "not valid TOML"),
    "deep nesting": (f"x = {'[' * 5000}", 1, "not valid TOML"),
    "huge integer": (f"[core]\nseed = {'9' * 5000}", 2, "not valid TOML"),
}


@pytest.mark.parametrize(("text", "line", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_text_is_named_with_its_line(text: str, line: int | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text, newline="")
    where = f"config.toml, line {line}: " if line else "config.toml"
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert where in str(caught.value)


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("[core]\nsead = 1\n[structural]\nwtmm_stride = 0\n[nowhere]\n", source="a.toml")
    first, second, third = str(caught.value).splitlines()
    assert first.startswith("a.toml, line 2: unknown key 'sead'")
    assert second.startswith("a.toml, line 4: wtmm_stride = 0 is outside its range [1, 64]")
    assert third.startswith("a.toml, line 5: unknown section 'nowhere'")


def test_lines_inside_a_multiline_text_are_no_keys() -> None:
    text = '[structural]\ninput_kind = """\n[core]\nseed = 1\n"""\nwtmm_stride = 0\n'
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert [problem.split(":")[0] for problem in str(caught.value).splitlines() if problem.startswith("<text>")] == [
        "<text>, line 2",
        "<text>, line 6",
    ]


def test_folder_missing_file_and_binary_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder, not a configuration file"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match=r"absent\.toml: no such configuration file"):
        load_config(tmp_path / "absent.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"[core]\nseed = 1\n\xff\xfe\x80\n")
    with pytest.raises(ConfigError, match=r"binary\.toml, line 3: not a text file in UTF-8"):
        load_config(binary)
    binary.write_bytes(os.urandom(4096) + b"\xff")
    with pytest.raises(ConfigError, match=r"binary\.toml, line \d+: not"):
        load_config(binary)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is not a regular file"):
        load_config(tmp_path / "pipe")


def test_unreadable_and_oversized_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"#" * (LARGEST_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match="is larger than"):
        load_config(path)
    path.write_text("")

    # Permission bits do not bind the superuser, under whom CI containers run.
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError, match=r"config\.toml: cannot be read: Permission denied"):
        load_config(path)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    for candidate in (text, f"[core]\nseed = {text}", f"[core]\n{text} = 1"):
        try:
            parse_config(candidate)
        except ConfigError as error:
            assert str(error).startswith("<text>")


@given(st.integers(0, 20_000))
def test_a_truncated_file_is_refused_or_read_as_far_as_it_goes(cut: int) -> None:
    text = config_to_toml(PredictorConfig())
    prefix = text[: cut % len(text)]
    try:
        config = parse_config(prefix)
    except ConfigError as error:
        assert f"line {prefix.count(chr(10)) + 1}:" in str(error)
    else:
        # Cut inside a number the rest may still be a number, so only the last key may differ.
        changed = [name for name in DEFAULTS if getattr(config, name) != DEFAULTS[name]]
        assert changed in ([], [prefix.rstrip().splitlines()[-1].split(" ")[0]] if prefix.strip() else [])


def test_canonical_text_holds_every_key_once_in_order() -> None:
    text = config_to_toml(PredictorConfig(), every=True)
    keys = [line.split(" = ")[0] for line in text.splitlines() if " = " in line]
    assert sorted(keys) == sorted(DECLARATIONS)
    assert [line for line in text.splitlines() if line.startswith("[")] == [f"[{name}]" for name in SECTIONS]


def test_hash_is_sha256_and_sees_the_last_bit() -> None:
    config = PredictorConfig(cusum_k=0.5)
    assert len(config_hash(config)) == 64
    assert config_hash(config) == config_hash(PredictorConfig())
    assert config_hash(dataclasses.replace(config, cusum_k=math.nextafter(0.5, 1.0))) != config_hash(config)


def test_batch_of_candidates_has_no_text() -> None:
    batch = dataclasses.replace(PredictorConfig(), cusum_k=jnp.array([0.25, 0.5]))
    with pytest.raises(ConfigError, match="cusum_k holds a value of type"):
        config_to_toml(batch)

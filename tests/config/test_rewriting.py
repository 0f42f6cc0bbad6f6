"""Only what was asked for changes in a file: comments, order, spacing and line ends stay, to the byte."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uspnb.config import rewriting
from uspnb.config.load import checked_tables, config_to_toml, load_config
from uspnb.config.mutation import Mutation, mutate_config, rollback
from uspnb.config.rewriting import with_values
from uspnb.config.schema import DECLARATIONS, PredictorConfig
from uspnb.errors import ConfigMutationError

NOW = 1_771_664_400_000_000_000  # 2026-02-21 09:00 UTC


def change(path: Path, changes: dict[str, Any], **rest: Any) -> Mutation:
    return mutate_config(path, changes, **{"trigger": "test", "now_ns": NOW, **rest})


def test_only_the_lines_of_the_changed_keys_differ(shipped: Path) -> None:
    path = shipped
    old = path.read_text().splitlines()
    change(path, {"cusum_k": 0.6, "wtmm_buffer_size": 192, "input_kind": "increments", "jko_adaptive": False})
    new = path.read_text().splitlines()
    differing = {b for a, b in zip(old, new, strict=True) if a != b}
    assert differing == {
        "cusum_k = 0.6",
        "wtmm_buffer_size = 192",
        'input_kind = "increments"',
        "jko_adaptive = false",
    }


LAYOUTS = {
    "comments and spaces": (
        "# a\n[core]\nseed = 5  # mine\n\n\n[sensitivity] # b\n\n  # c\n  cusum_k   =\t0.5   # d\n\n# e\n[io]\n",
        "# a\n[core]\nseed = 6  # mine\n\n\n[sensitivity] # b\n\n  # c\n  cusum_k   =\t0.6   # d\n\n# e\n[io]\n",
    ),
    "windows": (
        "[core]\r\nseed = 5\r\n\r\n[sensitivity]\r\ncusum_k = 0.5 # c\r\n",
        "[core]\r\nseed = 6\r\n\r\n[sensitivity]\r\ncusum_k = 0.6 # c\r\n",
    ),
    "dotted": ("core.seed = 5\nsensitivity.cusum_k = 0.5 # z\n", "core.seed = 6\nsensitivity.cusum_k = 0.6 # z\n"),
    "dotted and missing": ("core.seed = 5\nsensitivity.cusum_h = 5.0\n", None),
    "inline": (
        "core = { seed = 5 }\nsensitivity = { cusum_k = 0.5 } # t\n",
        "core = { seed = 6 }\nsensitivity = { cusum_k = 0.6 } # t\n",
    ),
    "inline and missing": ("core = { seed = 5 }\nsensitivity = { cusum_h = 5.0 } # t\n", None),
    "quoted": (
        "[\"core\"]\n\"seed\" = 0x05\n['sensitivity']\n'cusum_k' = 5e-1\n",
        "[\"core\"]\n\"seed\" = 6\n['sensitivity']\n'cusum_k' = 0.6\n",
    ),
    "keys missing": (
        "[core]\n\n# about s\n[sensitivity]\n  cusum_h = 5.0 # h\n\n# about io\n[io]\nmetrics_port = 1",
        "[core]\nseed = 6\n\n# about s\n[sensitivity]\n  cusum_h = 5.0 # h\n  cusum_k = 0.6\n\n# about io\n[io]\n"
        "metrics_port = 1",
    ),
    "sections missing": (
        "[io]\nmetrics_port = 1",
        "[io]\nmetrics_port = 1\n\n[core]\nseed = 6\n\n[sensitivity]\ncusum_k = 0.6\n",
    ),
    "sections missing on windows": (
        "[io]\r\nmetrics_port = 1\r\n",
        "[io]\r\nmetrics_port = 1\r\n\r\n[core]\r\nseed = 6\r\n\r\n[sensitivity]\r\ncusum_k = 0.6\r\n",
    ),
    "empty": ("", "[core]\nseed = 6\n\n[sensitivity]\ncusum_k = 0.6\n"),
    "only a comment": ("# hello\n", "# hello\n\n[core]\nseed = 6\n\n[sensitivity]\ncusum_k = 0.6\n"),
    "no end of line": (
        "[sensitivity]\ncusum_h = 5.0",
        "[sensitivity]\ncusum_h = 5.0\ncusum_k = 0.6\n\n[core]\nseed = 6\n",
    ),
    "campaigns in the middle": (
        "[core]\nseed = 5\n[meta_optimization]\nseed = 5\ncusum_k_min = 0.2\n[sensitivity]\n",
        "[core]\nseed = 6\n[meta_optimization]\nseed = 5\ncusum_k_min = 0.2\n[sensitivity]\ncusum_k = 0.6\n",
    ),
}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize(("old", "new"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_layout_stays(tmp_path: Path, old: str, new: str | None, mark: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(mark + old.encode())
    before = load_config(path)
    change(path, {"seed": 6, "cusum_k": 0.6}, override_limit=True)
    assert load_config(path) == dataclasses.replace(before, seed=6, cusum_k=0.6)
    if new is not None:
        assert path.read_bytes() == mark + new.encode()
    rollback(path)
    assert path.read_bytes() == mark + old.encode()


@settings(max_examples=30)
@given(st.data())
def test_a_change_and_back_is_the_same_bytes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    names = sorted(n for n, about in DECLARATIONS.items() if about.search is not None and not about.locked)
    fields = data.draw(st.sets(st.sampled_from(sorted(DECLARATIONS)), max_size=40), "keys of the file")
    gap = data.draw(st.sampled_from(["", "\n", "\n# comment = 1\n", "  # [core]\n", "\r\n"]), "between the lines")
    lines = [
        line
        for line in config_to_toml(PredictorConfig()).splitlines()
        if line.startswith("[") or line.split(" =")[0] in fields
    ]
    original = "".join(f"{line}\n{gap}" for line in lines)
    path = tmp_path_factory.mktemp("changed") / "config.toml"
    path.write_bytes(original.encode())
    changes: dict[str, Any] = {}
    for name in data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=4), "changed"):
        search = DECLARATIONS[name].search
        assert search is not None
        low, high = search.low, search.high
        whole = type(getattr(PredictorConfig(), name)) is int
        changes[name] = data.draw(st.integers(int(low), int(high)) if whole else st.floats(low, high), name)
    try:
        done = change(path, changes, override_limit=True)
    except ConfigMutationError as error:
        assert "contradict" in str(error) or "does not exist" in str(error)
        assert path.read_bytes() == original.encode()
        return
    assert load_config(path) == dataclasses.replace(PredictorConfig(), **changes)
    touched = {name for name in done.changes if name in fields}
    stay = [line for line in original.split("\n") if line.split(" =")[0] not in touched]
    assert [line for line in path.read_bytes().decode().split("\n") if line in stay] == stay
    if done.changed:
        assert done.undo().new_hash == done.old_hash
    assert path.read_bytes() == original.encode()


def test_a_layout_that_cannot_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[sensitivity]\ncusum_h = 5.0\n[io]\nsnapshot_path = "a"\n'
    monkeypatch.setattr(rewriting, "_with_line", lambda text, section, written: text)
    with pytest.raises(ConfigMutationError, match=r"a.toml cannot be changed without .* would read differently"):
        with_values(text, checked_tables(text, "a.toml"), {"cusum_k": 0.6}, "a.toml")

"""Words for numbers, counts, instants and spans; tables of which everything is escaped and both themes can be read."""

from __future__ import annotations

import html.parser
import math
import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.runtime.words import (
    change,
    columns_table,
    counted,
    duration,
    folded,
    headline,
    moment,
    number,
    one_line,
    pairs_table,
    plain_text,
    probability,
    setting,
)

ATTACK = "<script>alert(1)</script>\"'&"


class Nesting(html.parser.HTMLParser):
    """Fails on tags that do not close in their order; gathers the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.parametrize(
    "page",
    [
        pairs_table(ATTACK, {ATTACK: ATTACK}, {ATTACK: ATTACK}),
        columns_table(ATTACK, [ATTACK], [[ATTACK]], [0]),
        folded(ATTACK, ATTACK, "", opened=True),
        headline(ATTACK, ATTACK),
    ],
)
def test_every_text_is_escaped(page):
    assert "<script" not in page
    assert ATTACK in "".join(Nesting(page).words)


@pytest.mark.parametrize("page", [pairs_table("t", {"a": 1.0}), PredictorConfig(cusum_k=0.3)._repr_html_()])
def test_colours_come_from_the_page(page):
    Nesting(page)
    colours = re.findall(r"(?:color|background|border[a-z-]*):([^;'\"]+)", page)
    assert colours and all(c in ("inherit", "transparent", "collapse") or "rgba(127,127,127" in c for c in colours)


def test_values_read_well():
    texts = {
        None: "",
        True: "yes",
        1.23456789: "1.23457",
        7: "7",
        "x": "x",
    }
    assert {value: plain_text(value) for value in texts} == texts
    assert plain_text(np.float64("nan")) == "nan" and plain_text(np.bool_(False)) == "no"
    assert plain_text(jnp.asarray(2.5)) == "2.5" and plain_text(np.array([1.0, 2.0])) == "[1. 2.]"
    assert (
        "..." in plain_text(np.arange(1000.0)) and plain_text(np.datetime64("2026-02-21T12:00")) == "2026-02-21T12:00"
    )


def test_counts_numbers_and_spans():
    assert [counted(n, "tick") for n in (0, 1, 2, 12_000)] == ["0 ticks", "1 tick", "2 ticks", "12,000 ticks"]
    assert [counted(n, "series", "") for n in (1, 3)] == ["1 series", "3 series"]
    assert [number(x) for x in (1.23456789, 1e-9, math.inf, math.nan)] == ["1.2346", "1e-09", "inf", "not known"]
    assert [duration(s) for s in (1.0, 600.0, 9e3, math.nan)] == ["1 s", "10.0 min", "2.5 h", "not known"]
    assert [probability(p) for p in (1e-9, 0.0321)] == ["below 0.0001", "0.0321"]


def test_settings_and_how_far_they_moved():
    assert [setting(v) for v in (None, 0.1 + 0.2, 5, "a\nb")] == ["not known", "0.3", "5", "a b"]
    assert [change(1.0, 1.5), change(2.0, 1.0), change(1.0, 20.0), change(1.0, 0.05)] == [
        "+50.0%", "-50.0%", "x 20", "x 0.05",
    ]  # fmt: skip
    assert [change(0, 2), change("a", "b"), change("a", "a"), change(None, 1.0), change(1.0, math.nan)] == [
        "+2", "changed", "same", "not known", "not known",
    ]  # fmt: skip
    assert one_line(" a\n b\x00\x1b ") == "a b??"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.datetime64("2026-02-21T12:00", "m"), "2026-02-21 12:00:00"),
        (np.datetime64("2026-02-21T12:00:01.5", "ms"), "2026-02-21 12:00:01.500000"),
        (np.datetime64("2026-02-21T12:00:01.000000007", "ns"), "2026-02-21 12:00:01.000000007"),
        (np.datetime64("NaT"), "not known"),
        (pd.NaT, "not known"),
        (pd.Timestamp("2026-02-21T12:00:01.25", tz="UTC"), "2026-02-21 12:00:01.250000+00:00"),
        (7, "7"),
        (np.int64(1200), "1200"),
    ],
)
def test_instants(value: Any, words: str):
    assert moment(value) == words


def test_instants_are_written_as_pandas_writes_them():
    rng = np.random.default_rng(0)
    for ns in rng.integers(-(2**62), 2**62, 200) // 10 ** rng.integers(0, 10, 200) * 10 ** rng.integers(0, 10, 200):
        instant = np.datetime64(int(ns) % 2**62, "ns")
        stamp = pd.Timestamp(instant)
        fine = stamp.microsecond or stamp.nanosecond
        expected = stamp.isoformat(sep=" ", timespec="auto" if fine else "seconds")
        assert moment(instant) == moment(stamp) == expected

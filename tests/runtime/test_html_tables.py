"""Tables for notebooks: everything escaped, no colour that only one theme can show."""

from __future__ import annotations

import html.parser
import re

import jax.numpy as jnp
import numpy as np
import pytest

from uspnb.config.schema import PredictorConfig
from uspnb.runtime.html_tables import columns_table, folded, headline, pairs_table, plain_text

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
    told = {
        None: "",
        True: "yes",
        1.23456789: "1.23457",
        7: "7",
        "x": "x",
    }
    assert {value: plain_text(value) for value in told} == told
    assert plain_text(np.float64("nan")) == "nan" and plain_text(np.bool_(False)) == "no"
    assert plain_text(jnp.asarray(2.5)) == "2.5" and plain_text(np.array([1.0, 2.0])) == "[1. 2.]"
    assert (
        "..." in plain_text(np.arange(1000.0)) and plain_text(np.datetime64("2026-02-21T12:00")) == "2026-02-21T12:00"
    )

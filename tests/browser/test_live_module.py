"""The live view's module in real Chromium, without a server: frames in, acknowledgements and words out."""

from __future__ import annotations

from typing import Any

import live_host as live
import numpy as np
import pytest
from default_columns import VIEW_COLUMNS

from uspnb.config.schema import PredictorConfig
from uspnb.engine.views import PHRASES, reason_text
from uspnb.model.fields import view_columns
from uspnb.model.kernels.registry import KERNEL_NAMES
from uspnb.widgets.live_link import shown_kernels

AT, WIDE, NARROW, rows_of = live.AT, live.WIDE, live.NARROW, live.rows_of


# -- the protocol -------------------------------------------------------------------------------------------------


def test_it_says_hello_and_acknowledges_what_it_has_drawn(host) -> None:
    host.open()
    assert len(host.sent("hello")) == 1
    host.send(rows_of(500), reset=True)
    host.send(rows_of(10, first=500))
    assert host.sent("acknowledged") == [1, 2]
    assert (host.data("ticks"), host.data("first"), host.data("gaps"), host.data("frames")) == ("510", "0", "0", "2")


def test_two_frames_before_a_picture_are_acknowledged_as_one(host) -> None:
    host.open()
    host.send(rows_of(50), reset=True)
    host.page.evaluate("() => { window.held = window.requestAnimationFrame; window.requestAnimationFrame = () => 1; }")
    # A picture that was asked for before is waited for: it would acknowledge what comes now.
    host.page.evaluate("() => new Promise((done) => held(() => held(done)))")
    host.send(rows_of(5, first=50), draw=False)
    host.send(rows_of(5, first=55), draw=False)
    assert host.sent("acknowledged") == [1]
    host.page.evaluate("() => { window.requestAnimationFrame = window.held; window.view.uspnb.view.draw(); }")
    assert host.sent("acknowledged") == [1, 3]


def test_missing_ticks_are_counted_and_left_blank(host) -> None:
    host.open()
    host.send(rows_of(100), reset=True)
    host.send(rows_of(100, first=130))
    assert (host.data("ticks"), host.data("gaps")) == ("230", "30")
    host.send(rows_of(40), reset=True)
    assert (host.data("ticks"), host.data("gaps")) == ("40", "0")


def test_the_browser_keeps_the_newest_twenty_thousand(host) -> None:
    host.open({"has_times": False})
    host.send_blank(15_000, reset=True)
    host.send_blank(15_000, first=15_000)
    rows = host.page.evaluate(live.KEPT)
    assert rows == [10_000, 30_000, 10_000]
    assert host.data("gaps") == "0"


def test_a_second_display_shares_the_ticks_and_says_no_hello(host) -> None:
    host.open()
    host.send(rows_of(300), reset=True)
    host.page.evaluate("() => { window.unshow2 = window.show(); }")
    host.settle()
    views = host.page.locator(".uspnb-live")
    assert views.count() == 2 and views.nth(1).get_attribute("data-ticks") == "300"
    assert len(host.sent("hello")) == 1
    host.send(rows_of(5, first=300))
    assert host.sent("acknowledged") == [1, 2]
    host.page.evaluate("() => { window.unshow(); window.unshow2(); window.show(); }")
    assert len(host.sent("hello")) == 2


def test_home_asks_for_ticks_that_the_browser_no_longer_has(host) -> None:
    host.open({"has_times": False})
    host.send_blank(20_000, first=30_000, reset=True)
    host.key("Home")
    requests = host.sent("window")
    assert requests and requests[-1]["first"] == 0
    host.send(rows_of(2_000), kind=1)
    assert host.data("crosshair") == "0"
    assert host.data("ticks") == "50000" and host.data("gaps") == "0"
    first, _, oldest = host.page.evaluate(live.SHOWN)
    assert first == oldest == 0


def test_nobody_answers_and_the_view_says_so_until_somebody_does(new_host) -> None:
    host = new_host(live.Host, held_clock=True).open()
    page = host.page
    page.clock.run_for(1_000)
    host.send(rows_of(50), reset=True, draw=False)
    page.clock.run_for(5_000)
    assert page.locator(".uspnb-banner").is_hidden()
    page.clock.run_for(8_000)
    assert page.locator(".uspnb-banner").inner_text() == "Connection lost; the picture stands still."
    assert [one["name"] for one in host.sent("command")].count("ping") >= 1
    page.evaluate("window.host.push('status', { phase: 'running', ticks: 50, pong: [1, 1] })")
    page.clock.run_for(1_100)
    assert page.locator(".uspnb-banner").is_hidden()
    assert len(host.sent("hello")) == 2


# -- words --------------------------------------------------------------------------------------------------------


def test_the_reason_reads_as_in_python(host) -> None:
    draw = np.random.default_rng(3)
    rows = rows_of(64)
    rows[:, AT["reason"]] = np.arange(64) % len(PHRASES)
    rows[:, AT["alarm_chart"]] = draw.integers(-1, 4, 64)
    for name in ("weight_hilbert", "target_weight_hilbert"):
        share = draw.dirichlet(np.ones(4), 64)
        share[::5] = [0.625, 0.125, 0.125, 0.125]
        rows[:, AT[name] : AT[name] + 4] = share
    rows[::7, AT["target_weight_hilbert"] : AT["target_weight_hilbert"] + 4] = np.nan
    host.open()
    host.send(rows, reset=True)
    host.push("status", {"phase": "finished", "ticks": 64})
    host.key("Home")
    for k in range(64):
        assert host.data("crosshair") == str(k)
        expected = reason_text(dict(zip(VIEW_COLUMNS, rows[k], strict=True)), KERNEL_NAMES)
        assert host.page.locator(".uspnb-reason").text_content() == expected
        if k < 63:
            host.key("ArrowRight")


@pytest.mark.parametrize("kernels", [("hilbert",), (*KERNEL_NAMES, "mine")])
def test_the_kernels_are_those_that_are_named(host, kernels: tuple[str, ...]) -> None:
    """Their number, labels and shares; with one of them there is no next one to name."""
    names = view_columns(PredictorConfig(kernels=kernels))
    columns = dict(zip(VIEW_COLUMNS, rows_of(len(PHRASES)).T, strict=True)) | {"reason": np.arange(float(len(PHRASES)))}
    shares = np.random.default_rng(4).dirichlet(np.ones(len(kernels)), len(PHRASES))
    for field in ("weight", "target_weight"):
        columns |= {f"{field}_{name}": shares[:, k] for k, name in enumerate(kernels)}
    rows = np.stack([columns.get(name, np.zeros(len(PHRASES))) for name in names], axis=1)
    host.open({"columns": list(names), "kernels": shown_kernels(kernels)})
    host.send(rows, reset=True)
    host.push("status", {"phase": "finished", "ticks": len(PHRASES)})
    host.key("Home")
    for k in range(len(PHRASES)):
        expected = reason_text(dict(zip(names, rows[k], strict=True)), kernels)
        assert host.page.locator(".uspnb-reason").text_content() == expected
        host.key("ArrowRight")


def overlaps(texts: list[Any]) -> list[tuple[str, str]]:
    pairs = []
    for i, (one, left, top, right, bottom) in enumerate(texts):
        for other, left2, top2, right2, bottom2 in texts[i + 1 :]:
            if min(right, right2) - max(left, left2) > 0.5 and min(bottom, bottom2) - max(top, top2) > 1.5:
                pairs.append((one, other))
    return pairs


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scale", [1.0, 1e-7, 4e8])
def test_no_text_lies_on_another(host, size, scale) -> None:
    host.page.set_viewport_size(size)
    host.open()
    rows = rows_of(3_000)
    rows[:, live.SIGNAL] *= scale
    host.send(rows, reset=True)
    for keys in ((), ("ArrowLeft",), ("Home",), ("End",)):
        host.key(*keys)
        # The plate at the crosshair stands over the time axis on purpose, on a ground of its own.
        for layer in ("uspnb-plots", "uspnb-over"):
            texts = host.page.evaluate("layer => window.texts.get(layer)", layer)
            assert len(texts) > 3
            assert overlaps(texts) == [], layer
            assert all(left >= 0 and right <= size["width"] for _, left, _, right, _ in texts)
    boxes = host.page.evaluate(live.BOXES)
    assert overlaps(boxes) == []
    assert host.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert host.page.locator(".uspnb-readings").is_visible() == (size is NARROW)


def test_the_summary_is_spoken_at_most_every_five_seconds(new_host) -> None:
    host = new_host(live.Host, held_clock=True).open()
    page = host.page
    host.send(rows_of(10), reset=True, draw=False)
    sentences = set()
    for k in range(20):
        host.send(rows_of(1, first=10 + k), draw=False)
        page.clock.run_for(1_000)
        sentences.add(page.locator(".uspnb-spoken").text_content())
    assert 3 <= len(sentences - {""}) <= 5
    assert all("observation" in text for text in sentences - {""})

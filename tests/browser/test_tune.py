"""The tuning monitor in a browser: its module in a bare page, and the served page on a real campaign."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tuning_host as hosting
from browser import OVERLAPS, STILL, served
from playwright.sync_api import Page, expect
from walks import write_walk

from uspnb.plots.style import THEMES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

META = """
[meta_optimization]
n_trials = 4
batch_size = 4
n_folds = 2
checkpoint_path = "{folder}"
"""


@pytest.fixture
def monitor(new_host: Callable[..., Any]) -> Any:
    """The monitor's module in a bare page, with a stand-in for JupyterLab and Panel."""
    return new_host(hosting.Host)


def test_five_hundred_trials_are_drawn_and_told_by_pointer_and_keys(monitor, record_property):
    page, rows = monitor.open().page, hosting.made_up(500)
    monitor.show(rows, target=500, state="finished")
    assert page.evaluate("window.view.dataset.trials") == "500"
    assert monitor.sent("acknowledged")[-1] == 1
    expect(page.locator(".legend")).to_contain_text("428 complete")
    chart = page.get_by_role("slider", name="Trials")
    expect(chart).to_have_attribute("aria-valuemax", "499")
    # the blue of complete trials is on the canvas
    painted = "(() => { const c = document.querySelector('.plot'); const p = c.getContext('2d')" \
        ".getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 0; i < p.length; i += 4)" \
        " if (p[i] === 31 && p[i + 1] === 111 && p[i + 2] === 174) n++; return n; })()"  # fmt: skip
    assert page.evaluate(painted) > 2_000
    chart.focus()
    page.keyboard.press("End")
    expect(chart).to_have_attribute("aria-valuetext", re.compile("^Trial 499, complete; value 0"))
    page.keyboard.press("Home")
    expect(page.locator(".tip")).to_contain_text("every parameter at its default")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tip")).to_contain_text(f"cusum k {rows[1, 6]:.4g} (default 0.5)")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".tip")).to_contain_text("Trial 7, failed")
    expect(page.locator(".tip")).to_contain_text("the losses are <not finite>")
    page.keyboard.press("Escape")
    expect(page.locator(".tip")).to_be_hidden()
    box = page.locator(".plot").bounding_box()
    # trial 0 stands at the left end, at the height of the default's line
    left, at = box["x"] + 70, page.evaluate("window.view.querySelector('.plot').clientHeight")
    for y in range(20, at, 12):
        page.mouse.move(left, box["y"] + y)
        if page.evaluate("window.view.dataset.trial") == "0":
            break
    expect(page.locator(".tip")).to_contain_text("Trial 0, complete")
    spent = page.evaluate("""() => {
      const { look, chart, trials } = window.view.uspnb.view;
      const began = performance.now();
      for (let k = 0; k < 20; k++) chart.draw(trials, look, { usual: 0.9, last: 499, reasons: {}, empty: "" });
      return (performance.now() - began) / 20;
    }""")
    record_property("ms_to_draw_500_trials", spent)
    print(f"500 trials are drawn in {spent:.2f} ms")


def test_buttons_follow_the_state_and_command(monitor):
    page = monitor.open().page
    named = {name: page.get_by_role("button", name=name, exact=True) for name in ("Start", "Pause", "Resume", "Stop")}
    enabled = {
        "idle": {"Start"}, "running": {"Pause", "Stop"}, "paused": {"Resume", "Stop"}, "failed": {"Start"},
    }  # fmt: skip
    for state, wanted in enabled.items():
        monitor.push("status", hosting.STATUS | {"state": state, "trials": 0})
        assert {name for name, one in named.items() if one.is_enabled()} == wanted, state
    monitor.push("status", hosting.STATUS | {"state": "idle", "trials": 0, "message": ""})
    expect(page.get_by_text("No trial yet.", exact=False)).to_be_visible()
    page.get_by_label("Trials in all").fill("0")
    expect(named["Start"]).to_be_disabled()
    page.get_by_label("Trials in all").fill("80")
    named["Start"].press("Enter")
    monitor.push("status", hosting.STATUS | {"state": "running", "trials": 0})
    expect(page.get_by_text("is being compiled", exact=False)).to_be_visible()
    named["Pause"].press("Space")
    assert monitor.commands() == [("start", 80), ("pause", None)]
    assert [one["id"] for one in monitor.sent("command")[-1]["recent"]] == [2, 3]
    monitor.push("status", hosting.STATUS | {"state": "failed", "message": "no finite forecast", "trials": 0})
    expect(page.get_by_text("no finite forecast")).to_be_visible()
    # all trials done: only a larger number goes on
    monitor.show(hosting.made_up(50), state="finished", target=50)
    page.get_by_label("Trials in all").fill("50")
    go_on = page.get_by_role("button", name="Go on")
    expect(go_on).to_be_disabled()
    expect(go_on).to_have_attribute("title", "50 trials are done; raise the number to go on")
    page.get_by_label("Trials in all").fill("60")
    expect(go_on).to_be_enabled()


def test_apply_undo_and_download(monitor):
    page = monitor.open().page
    rows = hosting.made_up(50)
    apply, undo = (page.get_by_role("button", name=name, exact=True) for name in ("Apply", "Undo"))
    expect(apply).to_be_disabled()
    monitor.show(rows)
    expect(undo).to_be_disabled()
    expect(page.get_by_role("region", name="Best against default")).to_contain_text("+42.0 %0.66 sd")
    expect(page.get_by_text("Recommendation: the middle of the best trials is +10.10%", exact=False)).to_be_visible()
    page.get_by_label("Configuration file").fill("other.toml")
    page.get_by_label("Settings").select_option(label="the best trial")
    page.get_by_label("allow changes beyond the limit").check()
    apply.click()
    assert monitor.commands() == [("apply", {"path": "other.toml", "which": "best", "beyond": True})]
    monitor.push("reply", {"id": 1, "act": "apply", "kind": "refused", "text": "cusum_k is <locked>"})
    expect(page.get_by_role("alert")).to_have_text("cusum_k is <locked>")
    monitor.show(rows, undoable=True)
    undo.click()
    assert monitor.commands()[-1] == ("undo", {"path": "other.toml"})
    monitor.push("status", hosting.STATUS | {"undoable": True, "busy": True})
    expect(apply).to_be_disabled()
    page.get_by_role("button", name="Copy as code").click()
    expect(page.get_by_role("status").filter(has_text=re.compile("^(copied|selected)"))).to_be_visible()
    monitor.push("meta", {"writes": "download", "path": "config.toml"})
    monitor.show(rows)
    expect(undo).to_be_hidden()
    with page.expect_download() as fetched:
        page.get_by_role("button", name="Download as TOML").click()
        assert monitor.commands()[-1][0] == "toml"
        monitor.push("download", {"id": 1, "name": "sea.toml", "text": "[core]\n"})
    assert fetched.value.suggested_filename == "sea.toml"
    assert Path(fetched.value.path()).read_text() == "[core]\n"


def test_lost_rows_are_asked_for_again_and_an_end_stops_everything(monitor):
    page = monitor.open().page
    rows = hosting.made_up(40)
    monitor.show(rows[:20])
    greetings = len(monitor.sent("hello"))
    page.evaluate("() => { window.real = window.host.push; window.host.push = () => {}; }")
    monitor.put(rows[:30])
    page.evaluate("() => { window.host.push = window.real; }")
    monitor.put(rows)
    monitor.settle()
    assert len(monitor.sent("hello")) == greetings + 1
    monitor.frames.hello("again")
    monitor.put(rows)
    monitor.settle()
    assert page.evaluate("window.view.dataset.trials") == "40"
    sent = len(page.evaluate("window.sent"))
    page.evaluate("window.unshow()")
    monitor.put(rows[:10])
    monitor.settle()
    assert len(page.evaluate("window.sent")) == sent


def test_looks(new_host, screenshots, grave_findings):
    for theme in ("light", "dark"):
        monitor = new_host(hosting.Host, color_scheme=theme).open()
        page, look = monitor.page, THEMES[theme]
        page.add_style_tag(content=f"body {{ background: {look['background']}; color: {look['text']} }}")
        monitor.show(hosting.made_up(120), target=200, message="the storage was reopened")
        page.get_by_text("failed trials with reasons").click()
        page.get_by_text("The campaign as code").click()
        assert grave_findings(page) == [], theme
        for name, size in (("wide", hosting.WIDE), ("narrow", hosting.NARROW)):
            page.set_viewport_size(size)
            expect(page.locator(".uspnb-tuning")).to_have_attribute("data-size", name)
            page.evaluate(STILL)
            page.screenshot(path=str(screenshots / f"tuning-{theme}-{name}.png"), full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            assert page.evaluate(OVERLAPS) == [], (theme, name)


def test_a_served_campaign_is_run_applied_undone_and_found_again(new_page, tmp_path, screenshots, grave_findings):
    config = tmp_path / "mine.toml"
    config.write_text(META.format(folder=tmp_path / "kept"))
    before = config.read_text()
    walk = write_walk(tmp_path / "walk.csv", 360)  # a campaign is over with it in seconds
    with served("tune", "--source", str(walk), "--config", str(config)) as server:
        page: Page = new_page()
        page.goto(f"{server.address}/tune")
        expect(page.get_by_role("heading", level=1, name="Tune")).to_be_visible()
        start = page.get_by_role("button", name="Start")
        start.wait_for()
        expect(page.get_by_label("Trials in all")).to_have_value("4")
        start.click()
        expect(page.locator(".uspnb-tuning[data-state=finished][data-trials='4']")).to_be_visible()
        expect(page.get_by_role("heading", level=2)).to_contain_text("walk-fast-mase-")
        expect(page.get_by_text("Recommendation: the middle of the best trials", exact=False)).to_be_visible()
        page.get_by_label("Settings").select_option(label="the best trial")
        page.get_by_label("allow changes beyond the limit").check()
        page.get_by_role("button", name="Apply to mine.toml").click()
        expect(page.get_by_role("status").filter(has_text="mine.toml: accepted")).to_be_visible()
        assert config.read_text() != before
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_text("mine.toml: rolled back", exact=False)).to_be_visible()
        assert config.read_text() == before
        page.screenshot(path=str(screenshots / "tune-served.png"), full_page=True)
        assert page.evaluate(OVERLAPS) == [] and grave_findings(page) == []
        # another page looks at the same campaign, which nobody has to run again
        other = new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        other.goto(f"{server.address}/tune")
        expect(other.locator(".uspnb-tuning[data-state=finished][data-trials='4']")).to_be_visible()
        other.screenshot(path=str(screenshots / "tune-served-narrow.png"), full_page=True)
        assert other.evaluate("document.documentElement.scrollWidth") <= 390
        # a metric that this series cannot have is refused in words
        other.get_by_label("Metric").select_option(label="Mean absolute percentage error (mape)")
        expect(other.get_by_role("alert").filter(has_text="mape")).to_be_visible()

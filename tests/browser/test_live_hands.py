"""Keys, pointer and looks of the live view in real Chromium, without a server."""

from __future__ import annotations

import live_host as live
import numpy as np
import pytest

AT, WIDE, NARROW, rows_of = live.AT, live.WIDE, live.NARROW, live.rows_of


# -- hands --------------------------------------------------------------------------------------------------------


def test_keys_command_the_session(host) -> None:
    host.open()
    host.send(rows_of(200), reset=True)
    host.push("status", {"phase": "paused", "ticks": 200, "speed": 10})
    host.key(" ", "ArrowRight", "Shift+ArrowRight", "+", "-", "e", "s")
    expected = [("toggle", None), ("step", 1), ("step", 10), ("speed", 20), ("speed", 5), ("export", None)]
    assert host.commands() == [*expected, ("snapshot", None)]


def test_arrows_look_back_and_at_a_running_series_take_no_step(host) -> None:
    host.open()
    host.send(rows_of(200), reset=True)
    host.key("ArrowLeft", "ArrowLeft", "Shift+ArrowLeft")
    assert host.data("crosshair") == "187"
    host.key("ArrowRight")
    assert host.data("crosshair") == "188"
    host.key("End", "ArrowRight")
    assert host.data("crosshair") == "" and host.commands() == []


def test_keys_stay_in_the_view_and_do_not_scroll_the_page(host) -> None:
    host.open()
    host.page.evaluate("() => { document.body.style.height = '5000px'; window.heard = 0;"
                       " document.addEventListener('keydown', () => window.heard++); }")  # fmt: skip
    host.send(rows_of(50), reset=True)
    host.key(" ", "End", "Home", "ArrowLeft", "f", "?", "Escape")
    assert host.page.evaluate("[window.scrollY, window.heard]") == [0, 0]
    assert host.page.locator(".uspnb-live[data-lm-suppress-shortcuts='true']").count() == 1


def test_a_button_under_the_focus_is_pressed_once_by_space(host) -> None:
    host.open()
    host.send(rows_of(50), reset=True)
    host.page.get_by_role("button", name="Pause").focus()
    host.page.keyboard.press(" ")
    assert host.commands() == [("toggle", None)]


def test_help_opens_takes_the_focus_and_gives_it_back(host) -> None:
    host.open()
    host.send(rows_of(50), reset=True)
    host.key("?")
    dialog = host.page.get_by_role("dialog", name="Keyboard help")
    assert dialog.is_visible() and "play or pause" in dialog.inner_text()
    assert host.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Close help"
    host.page.keyboard.press(" ")
    assert dialog.is_hidden() and host.page.evaluate("document.activeElement === window.view")
    host.key("?", "Escape")
    assert dialog.is_hidden() and host.commands() == []


def test_buttons_have_names_and_follow_says_whether_it_is_pressed(host) -> None:
    host.open()
    host.send(rows_of(50), reset=True)
    names = host.page.locator(".uspnb-toolbar button").evaluate_all(
        "all => all.map((b) => b.getAttribute('aria-label'))"
    )
    assert names == ["Pause", "Step one tick", "Slower", "Faster", "Follow the newest tick", "Save picture",
                     "Export session", "Keyboard help"]  # fmt: skip
    follow = host.page.get_by_role("button", name="Follow the newest tick")
    assert follow.get_attribute("aria-pressed") == "true"
    follow.click()
    assert follow.get_attribute("aria-pressed") == "false"
    host.push("status", {"phase": "paused", "ticks": 50})
    assert host.page.get_by_role("button", name="Play").is_enabled()


def test_wheel_drag_click_and_double_click(host) -> None:
    host.open()
    host.send(rows_of(4_000), reset=True)
    window = "(() => { const s = window.view.uspnb.view.stretch; return [s.follow, s.x1 - s.x0]; })()"
    _, whole = host.page.evaluate(window)
    mouse = host.page.mouse
    mouse.move(600, 200)
    mouse.wheel(0, -600)
    host.settle()
    assert host.page.evaluate(window) == [True, whole], "a view without the focus leaves the wheel to the page"
    mouse.click(600, 200)
    pinned = host.sent("selected")[-1]["tick"]
    assert host.data("crosshair") == str(pinned) and 1_500 < pinned < 2_500
    mouse.wheel(0, -600)
    host.settle()
    follow, zoomed = host.page.evaluate(window)
    assert not follow and zoomed < 0.5 * whole
    before = host.page.evaluate("window.view.uspnb.view.stretch.x0")
    mouse.down()
    mouse.move(700, 200, steps=4)
    mouse.up()
    host.settle()
    assert host.page.evaluate("window.view.uspnb.view.stretch.x0") < before
    mouse.dblclick(600, 200)
    host.settle()
    assert host.page.evaluate(window) == [True, whole]


def test_python_can_send_the_view_to_a_tick(host) -> None:
    host.open()
    host.send(rows_of(6_000), reset=True)
    host.push("target", {"tick": 1_234, "id": 1})
    assert host.data("crosshair") == "1234"
    first, stop, _ = host.page.evaluate(live.SHOWN)
    assert first < 1_234 < stop and stop - first < 1_000


# -- looks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "dark"),
    [
        ("document.body.dataset.jpThemeLight = 'false'", True),
        ("document.documentElement.setAttribute('data-theme', 'dark')", True),
        ("document.body.dataset.jpThemeLight = 'true'", False),
    ],
)
def test_auto_follows_the_theme_of_the_page_as_it_changes(host, how, dark) -> None:
    host.open()
    assert host.data("theme") == "light"
    host.page.evaluate(f"() => {{ {how}; }}")
    host.settle()
    assert host.data("theme") == ("dark" if dark else "light")
    host.push("theme", "light" if dark else "dark")
    assert host.data("theme") == ("light" if dark else "dark")


def test_extremes_of_a_long_series_are_on_the_picture(host) -> None:
    """One tick among ten thousand that stands out is drawn, and the axis makes room for it."""
    rows = rows_of(10_000)
    rows[6_000, AT["observation"]] = 25.0
    host.open({"has_times": False})
    host.send(rows, reset=True)
    low, high = host.page.evaluate(live.RANGE)
    assert high > 25.0 and low < 10.0
    rows[6_000, AT["rejected"]] = 1.0
    host.send(rows, reset=True)
    assert host.page.evaluate("window.view.uspnb.view.ranges.forecast.high") < 25.0


def test_the_value_axis_stands_still_while_the_data_fits(host) -> None:
    host.open()
    host.send(rows_of(2_000), reset=True)
    ranges = set()
    for k in range(16):
        host.send(rows_of(12, first=2_000 + 12 * k))
        ranges.add(tuple(host.page.evaluate(live.RANGE)))
    assert len(ranges) <= 2


@pytest.mark.parametrize(
    "values", [np.full(300, 5.0), np.full(300, np.nan), np.array([1e300, -1e300] * 150), np.zeros(1)]
)
def test_odd_values_draw_without_a_fault(host, values) -> None:
    rows = rows_of(len(values))
    rows[:, live.SIGNAL] = values[:, None]
    host.open()
    host.send(rows, reset=True)
    host.key("ArrowLeft")
    assert host.data("ticks") == str(len(values))


def test_ten_thousand_ticks_draw_in_a_few_milliseconds(host) -> None:
    host.open()
    host.send(rows_of(10_000), reset=True)
    spent = host.page.evaluate(live.DRAW_MS)
    assert spent < 20.0

"""What the modules of the live view, the fleet's table and the tuning monitor share: how they talk to Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fleet_host as fleet
import live_host as live
import pytest
import tuning_host as tuning

from uspnb.model.kernels.registry import KERNEL_NAMES, kernel_colour


class Live(live.Host):
    """A live view; pressing plays."""

    def more(self, first: int, reset: bool = False) -> None:
        self.send(live.rows_of(5, first=first), reset=reset)

    def press(self) -> None:
        self.page.get_by_role("button", name="Pause").first.click()


class Fleet(fleet.Host):
    """A fleet's table; pressing plays."""

    def more(self, first: int, reset: bool = False) -> None:
        self.send(5, first=first, reset=reset)

    def press(self) -> None:
        self.page.get_by_role("button", name="Play").first.click()


class Tuning(tuning.Host):
    """A campaign's monitor; pressing runs trials."""

    def more(self, first: int, reset: bool = False) -> None:
        if reset:
            self.frames.hello("page")
        self.put(tuning.made_up(50)[: first + 5])
        self.settle()

    def press(self) -> None:
        self.push("status", tuning.STATUS | {"state": "idle", "trials": 0})
        self.page.get_by_role("button", name="Start").first.click()


@pytest.fixture(params=[Live, Fleet, Tuning], ids=lambda kind: kind.name)
def opened(request, new_host: Callable[..., Any]) -> Callable[..., Any]:
    """Opens one front end after the other, each in a page of its own whose clock the test may hold."""
    return lambda **options: new_host(request.param, **options).open()


def test_one_hello_and_each_frame_is_acknowledged_once_it_is_drawn(opened) -> None:
    host = opened()
    assert len(host.sent("hello")) == 1
    host.more(0, reset=True)
    host.more(5)
    assert host.sent("acknowledged") == [1, 2]
    assert host.data("frames") == "2"


def test_commands_are_numbered_and_signed_by_their_front_end(opened) -> None:
    host, other = opened(), opened()
    for one in (host, other):
        one.more(0, reset=True)
        one.press()
        one.press()
    commands, others = host.sent("command"), other.sent("command")
    (hello,) = host.sent("hello")
    assert {one["client"] for one in commands} == {hello["client"]}
    assert {one["client"] for one in others} == {other.sent("hello")[0]["client"]} != {hello["client"]}
    assert 0 < commands[0]["id"] < commands[1]["id"]
    assert [one["id"] for one in commands[1]["recent"]] == [one["id"] for one in commands]
    assert commands[1]["recent"][0] == {name: commands[0][name] for name in ("name", "value", "id")}


def test_eight_commands_travel_with_the_newest(opened) -> None:
    host = opened()
    host.page.evaluate("() => { for (let k = 0; k < 11; k++) window.view.uspnb.link.command('pause', k); }")
    recent = host.sent("command")[-1]["recent"]
    assert [one["value"] for one in recent] == list(range(3, 11))


def test_displays_of_one_widget_share_link_and_data(opened) -> None:
    host = opened()
    host.more(0, reset=True)
    host.page.evaluate("() => { window.unshow2 = window.show(); }")
    host.settle()
    frames = f"[...document.querySelectorAll('{host.root}')].map((one) => one.dataset.frames)"
    assert host.page.evaluate(frames) == ["1", "1"]
    host.more(5)
    assert host.page.evaluate(frames) == ["2", "2"]
    assert len(host.sent("hello")) == 1 and host.sent("acknowledged") == [1, 2]
    host.page.evaluate("() => { window.unshow(); window.unshow2(); }")
    host.more(10)
    assert host.sent("acknowledged") == [1, 2], "without a display nothing is taken in"
    host.page.evaluate("() => { window.show(); }")
    assert len(host.sent("hello")) == 2


def test_a_hidden_page_takes_frames_in_without_drawing(opened) -> None:
    host = opened()
    host.more(0, reset=True)
    host.page.evaluate("() => Object.defineProperty(document, 'hidden', { get: () => true })")
    host.page.evaluate("() => { window.requestAnimationFrame = () => 1; }")
    acknowledged = "window.sent.filter(([name]) => name === 'acknowledged').length"
    host.settle = lambda: host.page.wait_for_function(f"{acknowledged} === 2")
    host.more(5)
    assert host.sent("acknowledged") == [1, 2]


def test_a_lost_greeting_is_said_again_until_it_is_answered(opened) -> None:
    host = opened(held_clock=True)
    host.page.clock.run_for(8_000)
    greetings = host.sent("hello")
    assert len(greetings) >= 2 and len({one["client"] for one in greetings}) == 1
    assert len({one["id"] for one in greetings}) == len(greetings), "a message that is not new is not passed on"
    host.settle = lambda: host.page.clock.run_for(100)
    host.more(0, reset=True)
    host.page.clock.run_for(5_000)
    assert len(host.sent("hello")) == len(greetings)


@pytest.mark.parametrize("kernels", [("hilbert",), (*KERNEL_NAMES, "mine")])
def test_a_row_of_the_table_has_a_part_for_each_kernel(new_host, kernels: tuple[str, ...]) -> None:
    """In the colours that the link sends, which are those of the live view and of the figures."""
    host = new_host(fleet.Host).open(kernels)
    host.send(5, reset=True)
    read = "parts => parts.map(part => part.style.background)"
    colours = host.page.locator(".row[data-asset='0'] .bar i").evaluate_all(read)
    wanted = [kernel_colour(name) for name in kernels]
    assert colours == [f"rgb({int(c[1:3], 16)}, {int(c[3:5], 16)}, {int(c[5:7], 16)})" for c in wanted]
    assert host.page.locator(".row[data-asset='0'] .leader").text_content() == "hilbert 25 %"

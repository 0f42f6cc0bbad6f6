"""The fan in the live view: from the newest tick, from the crosshair, room for it, and the seasons in words."""

from __future__ import annotations

from typing import Any

import live_host as live
import numpy as np
import pytest

from uspnb.runtime.words import season_words

AT, HORIZONS, rows_of = live.AT, live.HORIZONS, live.rows_of
FAN = """(() => {
  const { fan, sample, stretch } = window.view.uspnb.view;
  const edges = { left: sample.left, right: sample.left + sample.width, x0: stretch.x0, x1: stretch.x1 };
  if (!fan) return { tick: null, ...edges };
  const { tick, ahead, stretched, exact, mean, bands } = fan;
  const list = (numbers) => Array.from(numbers);
  return { ...edges, tick, ahead, stretched, exact: list(exact), mean: list(mean),
    bands: bands.map(({ level, lower, upper }) => ({ level, lower: list(lower), upper: list(upper) })) };
})()"""
PIXELS_OF = """(ticks) => {
  const { sample, store } = window.view.uspnb.view;
  return ticks.map((tick) => sample.toX(store.xAt(tick)));
}"""


def fan_of(host: Any) -> dict[str, Any]:
    return host.page.evaluate(FAN)


def near(host: Any, ticks: int) -> None:
    """Show so many ticks, following the newest."""
    host.page.evaluate(f"() => {{ const v = window.view.uspnb.view; v.stretch.rows = {ticks}; v.redraw(); }}")
    host.settle()


def test_it_grows_from_the_newest_tick_with_every_level(host) -> None:
    rows = rows_of(200)
    host.open()
    host.send(rows, reset=True)
    fan = fan_of(host)
    assert fan["tick"] == 199 and fan["ahead"] == [0, *HORIZONS] and not fan["stretched"]
    at = {name: rows[-1, k] for name, k in AT.items()}
    np.testing.assert_array_equal(fan["mean"], [at["observation"], *(at[f"horizon_prediction_{h}"] for h in HORIZONS)])
    assert [band["level"] for band in fan["bands"]] == [0.9, 0.8, 0.5]
    outer, inner = fan["bands"][0], fan["bands"][2]
    np.testing.assert_array_equal(outer["upper"][1:], [at[f"horizon_upper_{h}"] for h in HORIZONS])
    widths = [at[f"horizon_level_width_{h}_0.5"] for h in HORIZONS]
    np.testing.assert_allclose(inner["lower"][1:], np.array(fan["mean"][1:]) - widths, rtol=1e-12)
    host.send(rows_of(3, first=200))
    assert fan_of(host)["tick"] == 202


def test_an_inner_level_reaches_no_further_down_than_the_outer(host) -> None:
    rows = rows_of(60)
    for h in HORIZONS:
        rows[:, AT[f"horizon_lower_{h}"]] = 9.99
        rows[:, AT[f"horizon_level_width_{h}_0.5"]] = 5.0
    host.open()
    host.send(rows, reset=True)
    assert fan_of(host)["bands"][2]["lower"][1:] == [9.99] * len(HORIZONS)


def test_a_whole_run_leaves_it_room_to_be_seen_and_names_no_time_there(host) -> None:
    host.open()
    host.send(rows_of(4_000), reset=True)
    fan = fan_of(host)
    assert fan["stretched"]
    assert 0.1 < (fan["exact"][-1] - fan["exact"][0]) / (fan["right"] - fan["left"]) < 0.13
    assert fan["exact"][-1] <= fan["right"]
    steps = np.diff(fan["exact"]) / np.diff(fan["ahead"])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)
    texts = host.page.evaluate("window.texts.get('uspnb-plots')")
    assert "next 48 ticks" in [text for text, *_ in texts]
    foot = max(top for _, _, top, _, _ in texts)
    beyond = [text for text, left, top, *_ in texts if top > foot - 12 and left > fan["exact"][0]]
    assert beyond == ["UTC"]


@pytest.mark.parametrize("ticks", [60, 300])
def test_near_the_newest_tick_its_scale_is_that_of_the_time_axis(host, ticks: int) -> None:
    host.open()
    host.send(rows_of(4_000), reset=True)
    near(host, ticks)
    fan = fan_of(host)
    assert not fan["stretched"]
    per_tick = live.HALF_HOUR_MS * (fan["right"] - fan["left"]) / (fan["x1"] - fan["x0"])
    np.testing.assert_allclose(np.diff(fan["exact"]) / np.diff(fan["ahead"]), per_tick, rtol=1e-3)
    assert fan["exact"][-1] <= fan["right"] + 1 and fan["exact"][0] >= (fan["left"] + fan["right"]) / 2


def test_while_looking_back_it_is_that_of_the_crosshair_and_lies_on_the_ticks_that_came(host) -> None:
    host.open()
    host.send(rows_of(400), reset=True)
    host.key(*["Shift+ArrowLeft"] * 9)
    fan = fan_of(host)
    assert fan["tick"] == 309 == int(host.data("crosshair"))
    ticks = [309, *(309 + h for h in HORIZONS)]
    np.testing.assert_allclose(fan["exact"], host.page.evaluate(PIXELS_OF, ticks), atol=1e-2)
    host.key("ArrowLeft")
    assert fan_of(host)["tick"] == 308
    host.key("End")
    assert fan_of(host)["tick"] == 399


def test_a_sliver_at_the_crosshair_gives_way_to_the_newest(host) -> None:
    host.open()
    host.send(rows_of(10_000), reset=True)
    host.page.mouse.move(500, 200)
    host.settle()
    assert int(host.data("crosshair")) < 9_000 and fan_of(host)["tick"] == 9_999


def test_panning_stops_where_the_newest_fan_ends(host) -> None:
    host.open()
    host.send(rows_of(4_000), reset=True)
    near(host, 100)
    before = fan_of(host)
    host.page.evaluate("() => { const v = window.view.uspnb.view; v.stretch.pan(1e12); v.redraw(); }")
    host.settle()
    after = fan_of(host)
    assert after["x1"] == pytest.approx(before["x1"], abs=live.HALF_HOUR_MS) and after["tick"] == 3_999


def test_without_horizons_or_their_numbers_there_is_none(host) -> None:
    """`horizons=(1,)` leaves one place beyond the newest tick as it did before; a fleet's rows hold no horizons."""
    host.open({"horizons": [1]})
    host.send(rows_of(50), reset=True)
    plain = fan_of(host)
    newest = 1.45e12 + 49 * live.HALF_HOUR_MS
    assert plain["tick"] is None and plain["x1"] == pytest.approx(newest + live.HALF_HOUR_MS, abs=1)
    rows = rows_of(50)
    rows[:, [k for name, k in AT.items() if name.startswith("horizon_")]] = np.nan
    host.open()
    host.send(rows, reset=True)
    assert fan_of(host)["tick"] is None


def test_a_wide_fan_does_not_press_the_observations_flat(host) -> None:
    rows = rows_of(300)
    for h in HORIZONS:
        rows[-1, AT[f"horizon_upper_{h}"]] = 1e6
    host.open()
    host.send(rows, reset=True)
    low, high = host.page.evaluate(live.RANGE)
    observed = rows[:, AT["observation"]]
    assert high - low < 4 * (observed.max() - observed.min() + 0.6)


def test_seasons_are_told_beside_the_reason_and_failed_kernels_beside_their_names(host) -> None:
    rows = rows_of(30)
    rows[-1, [AT["season_0"], AT["season_1"], AT["season_weight"]]] = [48, 1336, 0.625]
    rows[-1, AT["kernel_failed_deep_galerkin"]] = 1.0
    host.open()
    host.send(rows[:-1], reset=True)
    reason = host.page.locator(".uspnb-reason")
    assert "eason" not in (reason.text_content() or "")
    host.send(rows[-1:])
    host.key("End")
    words = season_words([48, 1336], 0.625)
    assert words == "48 and 1,336 ticks; 63 % of the Hilbert kernel's forecast comes from them"
    assert (reason.text_content() or "").endswith(f" Season: {words}.")
    texts = [text for text, *_ in host.page.evaluate("window.texts.get('uspnb-over')")]
    assert texts.count("failed") == 1 and texts[texts.index("failed") - 1] == "deep galerkin"
    assert season_words([np.nan, 0.0], 0.0) == ""

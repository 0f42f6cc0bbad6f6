"""The served pages in a real browser: watched, controlled, handed good and bad files, left in the middle of a run."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import zipfile
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr
from browser import served, until_so
from playwright.sync_api import Page, expect
from waiting import stays
from walks import write_walk

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

VIEW = ".uspnb-live"


def ticks(page: Page) -> int:
    """Ticks that the live view has drawn."""
    return int(page.locator(VIEW).get_attribute("data-ticks") or 0)


def opened(page: Page, server: Any, path: str = "/live") -> Page:
    """The live page once its view moves."""
    page.goto(server.address + path)
    page.locator(VIEW).wait_for()
    until_so(page, lambda: ticks(page) > 20, "no tick was drawn")
    return page


def at_full_speed(page: Page) -> None:
    page.get_by_label("Speed", exact=True).select_option("as fast as it can")


def test_live_moves_pauses_steps_and_goes_on(chromium_page, live_server):
    page = opened(chromium_page, live_server)
    before, picture = ticks(page), page.locator(VIEW).screenshot()
    until_so(page, lambda: ticks(page) > before + 50, "the view stands still")
    assert page.locator(VIEW).screenshot() != picture
    assert page.locator(VIEW).get_attribute("data-gaps") == "0"
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-badge=phase]")).to_have_text("Paused")
    badge = page.locator("[data-badge=ticks]")
    until_so(page, lambda: badge.inner_text().startswith(f"{ticks(page):,} "), "the view is behind")
    stopped = ticks(page)
    assert stays(lambda: ticks(page) == stopped, 0.6)
    page.get_by_role("button", name="Step one tick").click()
    until_so(page, lambda: ticks(page) == stopped + 1, "a step was not one tick")
    page.get_by_role("button", name="Play").click()
    until_so(page, lambda: ticks(page) > stopped + 20, "the run did not go on")


def test_sliders_act_are_copied_as_code_and_refuse_in_words(new_page, live_server):
    page = opened(new_page(permissions=["clipboard-read", "clipboard-write"]), live_server)
    slider, number = page.get_by_label("cusum_k", exact=True), page.get_by_label("cusum_k, as a number")
    slider.press("ArrowRight")
    code = page.get_by_label("The settings as code")
    expect(code).to_contain_text("cusum_k=")
    moved = float(number.input_value())
    assert moved > 0.5 and f"cusum_k={moved:g}" in code.inner_text()
    page.get_by_role("button", name="Copy as code").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == code.inner_text()
    for typed, reason in (("900", "outside its range [0.05, 2]"), ("much", "'much' is not a number")):
        number.fill(typed)
        number.press("Enter")
        expect(page.get_by_role("alert").filter(has_text=reason)).to_be_visible()
        expect(number).to_have_value(f"{moved:g}")
    before = ticks(page)
    until_so(page, lambda: ticks(page) > before + 20, "a refused setting stopped the run")
    page.get_by_role("button", name="Reset all").click()
    expect(code).to_have_text("uspnb.PredictorConfig()")


def test_an_alarm_jumps_the_run_goes_back_and_a_snapshot_is_restored(chromium_page, live_server):
    page = opened(chromium_page, live_server, "/live?series=mean-shift")
    page.get_by_label("Keep the state as it is now").fill("early")
    page.get_by_role("button", name="Snapshot").click()
    early = page.get_by_text(re.compile(r"early \(tick \d+\)"))
    early.wait_for()
    marked = int(re.search(r"tick (\d+)", early.inner_text())[1])  # type: ignore[index]
    at_full_speed(page)
    jump = page.get_by_role("button", name=re.compile("Jump to tick 3,0"))
    jump.first.wait_for()
    tick = int(jump.first.inner_text().replace(",", ""))
    assert 3_000 <= tick < 3_100
    page.get_by_role("button", name="Pause").click()
    jump.first.click()
    until_so(page, lambda: page.locator(VIEW).get_attribute("data-crosshair") == str(tick), "the view did not jump")
    page.get_by_label("Speed", exact=True).select_option("100 ticks a second")
    page.get_by_role("button", name=re.compile("Restore early")).click()
    until_so(page, lambda: ticks(page) < 2_000, "the snapshot was not restored")
    assert ticks(page) >= marked
    page.get_by_role("button", name="Start over").click()
    until_so(page, lambda: ticks(page) < marked + 100, "the run did not start over")
    page.get_by_role("button", name="Play").or_(page.get_by_role("button", name="Pause")).first.wait_for()


def test_exports_come_as_files(chromium_page, live_server, tmp_path):
    page = opened(chromium_page, live_server)
    until_so(page, lambda: ticks(page) > 150, "the run does not go on")
    page.get_by_role("button", name="Pause").click()
    files = {}
    for name in ("netCDF (.nc)", "Report (.html)", "Zarr (.zip)"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        files[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[name])
        expect(page.get_by_text("is ready.")).to_be_visible()
    with xr.open_dataset(files["netCDF (.nc)"], engine="h5netcdf") as ds:
        assert ds.sizes["time"] >= 150 and "prediction" in ds
    assert files["Report (.html)"].read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with zipfile.ZipFile(files["Zarr (.zip)"]) as archive:
        assert any(name.endswith("zarr.json") for name in archive.namelist())
    with page.expect_download():
        page.get_by_role("button", name="Export session").click()


def test_the_choice_of_colours_reaches_the_view_and_stays(chromium_page, live_server):
    page = opened(chromium_page, live_server)
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator(VIEW)).to_have_attribute("data-theme", "dark")
    page.reload()
    page.locator(VIEW).wait_for()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(VIEW)).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Light", exact=True).click()
    expect(page.locator(VIEW)).to_have_attribute("data-theme", "light")


def test_good_files_are_opened(chromium_page, live_server, tmp_path):
    page = opened(chromium_page, live_server)
    chooser = page.get_by_label("or open a CSV file")
    chooser.set_input_files(write_walk(tmp_path / "good.csv"))
    expect(page.locator("[data-badge=ticks]")).to_contain_text("of 400 ticks")
    plain = write_walk(tmp_path / "plain.csv", 500).read_bytes()
    marked = tmp_path / "marked.csv"
    marked.write_bytes(b"\xef\xbb\xbf" + plain)
    chooser.set_input_files(marked)
    expect(page.locator("[data-badge=ticks]")).to_contain_text("of 500 ticks")
    commas = tmp_path / "commas.csv"
    commas.write_text("tag;flow\n" + "".join(f"a;{i * i % 9},5\n" for i in range(450)), encoding="utf-8")
    chooser.set_input_files(commas)
    expect(page.locator("[data-badge=ticks]")).to_contain_text("of 450 ticks")
    several = tmp_path / "several.csv"
    rows = [f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z,{i * i % 7},{i % 5 + 0.5},low" for i in range(600)]
    several.write_text("when,a,b,word\n" + "\n".join(rows) + "\n", encoding="utf-8")
    chooser.set_input_files(several)
    expect(page.get_by_text("several columns of numbers: a, b; choose one below")).to_be_visible()
    page.get_by_label("Column of values").select_option("word")
    page.get_by_role("button", name="Predict this column").click()
    expect(
        page.get_by_role("alert").filter(has_text="several.csv, line 2: word = 'low' is not a number")
    ).to_be_visible()
    page.get_by_label("Column of values").select_option("b")
    page.get_by_role("button", name="Predict this column").click()
    expect(page.locator("[data-badge=ticks]")).to_contain_text("of 600 ticks")


def test_dates_with_two_readings_are_asked_for_with_two_buttons(chromium_page, live_server, tmp_path):
    page = opened(chromium_page, live_server)
    path = tmp_path / "level.csv"
    path.write_text("day,level\n" + "".join(f"{d:02d}/{m:02d}/2026,{d + m}\n" for m in range(1, 13) for d in (3, 7)))
    page.get_by_label("or open a CSV file").set_input_files(path)
    expect(page.get_by_text("can be read in 2 ways", exact=False)).to_be_visible()
    page.screenshot(path=tmp_path / "asked.png")
    page.get_by_role("button", name="month first").click()
    expect(page.locator("[data-badge=ticks]")).to_contain_text("of 24 ticks")
    expect(page.get_by_role("button", name="month first")).to_be_hidden()


def test_bad_files_are_refused_in_words_and_the_page_lives_on(chromium_page, live_server, tmp_path):
    page = opened(chromium_page, live_server)
    chooser = page.get_by_label("or open a CSV file")
    bad = {
        "words.csv": (b"time,colour\n2026-01-01,red\n2026-01-02,blue\n", "has no column of numbers"),
        "mixed.csv": (b"time,flow\n2026-01-01,1.5\n2026-01-02,high\n", "line 3: flow = 'high' is not a number"),
        "headed.csv": (b"time,flow\n", "holds no rows"),
        "nothing.csv": (b"", "is empty"),
        "picture.csv": (bytes(range(128, 256)) * 40, "is not UTF-8 text"),
    }
    for name, (content, reason) in bad.items():
        (tmp_path / name).write_bytes(content)
        chooser.set_input_files(tmp_path / name)
        expect(page.get_by_role("alert").filter(has_text=name).filter(has_text=reason)).to_be_visible()
    before = ticks(page)
    until_so(page, lambda: ticks(page) > before + 20, "a bad file stopped the run")


def test_a_file_of_200_megabytes_is_refused_before_it_is_read(chromium_page, live_server, tmp_path):
    page = opened(chromium_page, live_server)
    big = tmp_path / "big.csv"
    with big.open("wb") as file:
        file.truncate(200_000_000)
    page.evaluate("""() => { window.read = 0;
      for (const name of ["slice", "arrayBuffer", "text", "stream"]) {
        const own = Blob.prototype[name];
        Blob.prototype[name] = function (...given) { window.read += 1; return own.apply(this, given); };
      } }""")
    page.get_by_label("or open a CSV file").set_input_files(big)
    refusal = page.get_by_role("alert").filter(has_text="big.csv has 200 MB; at most 50 MB can be uploaded")
    expect(refusal).to_be_visible()
    assert page.evaluate("window.read") == 0
    before = ticks(page)
    until_so(page, lambda: ticks(page) > before + 20, "the page is dead")


def test_closing_the_page_in_the_middle_of_a_run_ends_its_session(chromium, live_server):
    context = chromium.new_context()
    opened(context.new_page(), live_server)
    assert live_server.status()["sessions"] >= 1
    context.close()
    live_server.wait_until("sessions", 0)
    live_server.wait_until("pages", 0)


def test_explore_scrubs_jumps_and_compares(chromium_page, live_server):
    page = chromium_page
    page.goto(f"{live_server.address}/explore")
    page.get_by_text("Drag in a panel to select").wait_for()
    values = page.get_by_role("region", name="Values at the tick")
    expect(values).to_contain_text("5,999")
    scrub = page.get_by_label("Values at tick")
    scrub.press("Home")
    expect(values.locator("tr").first).to_contain_text("0")
    page.get_by_role("button", name=re.compile("Jump to tick")).last.click()
    tick = page.get_by_role("button", name=re.compile("Jump to tick")).last.inner_text()
    expect(values).to_contain_text(tick)
    expect(values).to_contain_text("alarm")
    page.get_by_label("Compare with").select_option(label="Sea temperature, quicker to forget")
    scores = page.get_by_role("region", name="Scores")
    scores.wait_for()
    expect(scores).to_contain_text("root mean squared error")
    expect(page.get_by_role("region", name="Settings that differ")).to_contain_text("score_forgetting")


def test_explore_opens_saved_runs_and_refuses_others(chromium_page, live_server, tmp_path):
    page = opened(chromium_page, live_server)
    until_so(page, lambda: ticks(page) > 150, "the run does not go on")
    with page.expect_download() as download:
        page.get_by_role("button", name="netCDF (.nc)").click()
    run = tmp_path / "mine.nc"
    download.value.save_as(run)
    page.goto(f"{live_server.address}/explore")
    chooser = page.get_by_label("or open a saved run")
    chooser.set_input_files(run)
    expect(page.get_by_label("Run", exact=True)).to_have_value("mine.nc")
    (tmp_path / "other.nc").write_bytes(b"no archive at all" * 99)
    chooser.set_input_files(tmp_path / "other.nc")
    alert = page.get_by_role("alert")
    expect(alert.filter(has_text="other.nc is not a netCDF file that uspnb has written")).to_be_visible()
    xr.Dataset({"height": ("x", np.arange(3.0))}).to_netcdf(tmp_path / "hills.nc", engine="h5netcdf")
    chooser.set_input_files(tmp_path / "hills.nc")
    expect(alert.filter(has_text="hills.nc holds no run of uspnb")).to_be_visible()


def test_fleet_lists_series_and_opens_one(chromium_page, live_server):
    page = chromium_page
    page.goto(f"{live_server.address}/fleet")
    row = page.locator(".uspnb-fleet .body .row").first
    row.wait_for()
    row.click()
    page.locator(VIEW).wait_for()
    # without a compilation cache the program of 250 series takes a minute or two on a busy machine
    until_so(page, lambda: ticks(page) > 5, "the opened series stands still")
    page.get_by_role("button", name="Back to all series").click()
    expect(page.locator(VIEW)).to_have_count(0)


def test_the_front_page_leads_everywhere(chromium_page, live_server):
    for name in ("Live", "Fleet", "Explore", "Tune"):
        chromium_page.goto(live_server.address)
        chromium_page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(chromium_page.get_by_role("heading", level=1, name=name)).to_be_visible()


def test_a_websocket_from_another_origin_is_refused(live_server):
    parts = urlsplit(live_server.address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers |= {"Origin": "http://elsewhere.example", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    connection.request("GET", "/live/ws", headers=headers)
    assert connection.getresponse().status == 403
    connection.close()


def test_serving_beyond_this_machine_without_a_password_is_refused():
    command = [sys.executable, "-m", "uspnb", "serve", "--address", "0.0.0.0", "--port", "0"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stdout == ""
    assert "no password is set" in refused.stderr and "--password-env" in refused.stderr


def test_with_a_password_the_page_asks_for_it(new_page, grave_findings, screenshots):
    secret = {"UNDER_TEST": "open sesame"}
    with served("live", "--address", "0.0.0.0", "--password-env", "UNDER_TEST", environment=secret) as server:
        page = new_page()
        page.goto(f"{server.address}/live")
        assert urlsplit(page.url).path == "/login"
        page.get_by_label("Password").fill("guess")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("That is not the password.")
        page.screenshot(path=str(screenshots / "sign-in.png"))
        assert grave_findings(page) == []
        page.get_by_label("Password").fill("open sesame")
        page.get_by_role("button", name="Sign in").click()
        page.goto(f"{server.address}/live")
        page.locator(VIEW).wait_for()
        until_so(page, lambda: ticks(page) > 20, "no tick came through after the password")
        assert "open sesame" not in "".join(server.lines)


def test_a_file_that_grows_is_one_session_for_all_pages(new_page, tmp_path):
    path = write_walk(tmp_path / "growing.csv", 300)
    with served("live", "--source", str(path), "--follow") as server:
        server.wait_until_warm()
        pages = [opened(new_page(), server) for _ in range(2)]
        assert server.status()["sessions"] == 1
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"2026-01-01T06:{i:02d}:00Z,{i % 3}\n" for i in range(40))
        for page in pages:
            until_so(page, lambda page=page: ticks(page) == 340, "appended rows did not come")
        expect(pages[0].get_by_label("Series", exact=True)).to_have_count(0)

"""The workbench in a real JupyterLab: notebook 05 as a person would use it, a reload, a cell that blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupyter_server
import pytest
from browser import OVERLAPS, STILL, until_so

HERE = Path(__file__).parent
VIEW = ".jp-OutputArea-output .uspnb-live"
CONTROLS = ".jp-OutputArea-output .uspnb-controls"
ERROR = ".jp-OutputArea-output[data-mime-type*='error']"

# The kernel of the notebook in front, and how to ask it for the value of an expression without a cell.
IN_KERNEL = """async (code) => {
  const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({ code, silent: false, store_history: false });
  let text = "";
  future.onIOPub = (message) => {
    if (message.header.msg_type === "stream") text += message.content.text;
    if (message.header.msg_type === "error") text += "ERROR " + message.content.evalue;
  };
  await future.done;
  return text;
}"""
# Of each canvas, seen through open shadow roots, the number of pixels that differ from its first one.
PAINTED = """() => {
  const counts = [];
  (function walk(root) {
    for (const e of root.querySelectorAll("*")) {
      if (e.shadowRoot) walk(e.shadowRoot);
      if (e.tagName !== "CANVAS" || !e.width || !e.height) continue;
      const image = e.getContext("2d")?.getImageData(0, 0, e.width, e.height);
      const pixels = new Uint32Array(image?.data.buffer ?? 0);
      counts.push(pixels.filter((pixel) => pixel !== pixels[0]).length);
    }
  })(document);
  return counts;
}"""
# A cell that blocks for as long as the session takes for 500 ticks, five seconds or more: a session that stands still
# holds it for ever.
BLOCK = "before = session.status.ticks; session.wait(until=before + 500)"
# Run code in the kernel and count the states that the view draws meanwhile.
WHILE_BLOCKED = """async ([inKernel, code, view]) => {
  const states = () => Number(document.querySelector(view).dataset.states);
  const before = states();
  await eval(inKernel)(code);
  return states() - before;
}"""
IDLE = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"

WATCHED = """\
import uspnb
from uspnb.data import processes
from uspnb.widgets import show
session = uspnb.Session(processes.mean_shift(30_000, seed=1, at=600, size=5.0).values, name="steps", speed=100.0)
session.step()
session.wait()
show(session)
"""

MONITOR = ".jp-OutputArea-output .uspnb-tuning"
TUNED = """\
from uspnb.config.meta_optimization import MetaOptimizationConfig
from uspnb.tuning.background import AsyncMetaOptimizer
from uspnb.tuning.space import SearchSpace
from uspnb.widgets import show
space = {"cusum_k": SearchSpace("cusum_k", "float", (0.3, 0.7))}
meta = MetaOptimizationConfig(batch_size=8, early_stopping_patience=1000, checkpoint_path="kept")
optimizer = AsyncMetaOptimizer(space, lambda p: 1 + (p["cusum_k"] - 0.6) ** 2, study_name="bowl", meta_config=meta)
show(optimizer)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Any]:
    """One JupyterLab for the tests of this file."""
    with jupyter_server.jupyter_server(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture
def small_notebook(tmp_path) -> Path:
    """A notebook with one session, shown."""
    return notebook_of(WATCHED, tmp_path / "watched.ipynb")


def notebook_of(source: str, path: Path) -> Path:
    """A notebook of one cell."""
    cell = {
        "cell_type": "code", "id": "one", "metadata": {}, "execution_count": None, "outputs": [], "source": source,
    }  # fmt: skip
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    path.write_text(json.dumps({"cells": [cell], "metadata": about, "nbformat": 4, "nbformat_minor": 5}))
    return path


def run_cells(page, address: str) -> None:
    """Open a notebook and run all its cells."""
    page.goto(address)
    page.wait_for_function(IDLE)
    page.evaluate("async () => { await jupyterapp.commands.execute('notebook:run-all-cells') }")
    assert page.locator(ERROR).count() == 0, page.locator(ERROR).first.inner_text()


def run_all(page, address: str) -> None:
    """Open a notebook, run all its cells, and wait until the live view stands there."""
    run_cells(page, address)
    page.wait_for_selector(VIEW, state="attached")
    page.wait_for_selector(CONTROLS, state="attached")


def ask(page, expression: str) -> str:
    """What the kernel prints for an expression, while its cells may be running."""
    return page.evaluate(IN_KERNEL, f"print({expression})").strip()


def run(page, code: str) -> None:
    """Run code in the kernel."""
    output = page.evaluate(IN_KERNEL, code)
    assert "ERROR" not in output, output


def data(page, name: str) -> str:
    """A figure that the live view writes about itself: `ticks`, `gaps`, `frames`, `phase`."""
    return page.eval_on_selector(VIEW, f"element => element.dataset.{name}")


def until(page, expression: str) -> None:
    """Wait until the kernel says True."""
    until_so(page, lambda: ask(page, expression) == "True", f"never true: {expression}")


def bring(page, element: str) -> None:
    """Scroll something into sight: a notebook leaves out what is far away, and what is not seen is not drawn."""
    page.evaluate("(element) => document.querySelector(element).scrollIntoView({ block: 'start' })", element)


def until_drawn(page, ticks: int) -> None:
    """Wait until the live view has drawn so many ticks."""
    page.wait_for_function(
        "([view, ticks]) => Number(document.querySelector(view)?.dataset.ticks) >= ticks",
        arg=[VIEW, ticks],
    )


def press(page, name: str) -> None:
    """Press a button of the controls."""
    page.locator(CONTROLS).get_by_role("button", name=name, exact=True).click()


def test_notebook_05_is_alive(lab, chromium_page, project_root):
    page = chromium_page
    run_all(page, lab.open(project_root / "notebooks" / "05_live_in_the_notebook.ipynb", "alive"))
    assert ask(page, "session.status.phase, session.status.ticks") == "paused 1500"
    bring(page, VIEW)
    until_drawn(page, 1500)

    press(page, "Play")
    until(page, "session.status.phase == 'running'")
    until_drawn(page, 1510)
    press(page, "Pause")
    until(page, "session.status.phase == 'paused'")
    ticks = int(ask(page, "session.status.ticks"))
    press(page, "Step")
    until(page, f"session.status.ticks == {ticks + 1}")
    until_drawn(page, ticks + 1)

    move_a_slider(page)
    type_out_of_range(page)
    choose_an_alarm(page)
    export(page, lab.folder)
    assert data(page, "gaps") == "0"


def move_a_slider(page) -> None:
    """By keyboard, as a person without a mouse would."""
    before = float(ask(page, "session.config.cusum_k"))
    handle = page.locator(CONTROLS).get_by_role("slider", name="cusum k")
    handle.focus()
    page.keyboard.press("ArrowRight")
    until(page, f"session.config.cusum_k > {before}")
    code = page.locator(CONTROLS).locator(".uspnb-control-code")
    page.wait_for_function("() => document.querySelector('.uspnb-control-code').textContent.includes('cusum_k=')")
    page.locator(CONTROLS).get_by_role("button", name="Copy as code").click()
    assert code.inner_text() == ask(page, "session.settings_code()")


def type_out_of_range(page) -> None:
    value = ask(page, "session.config.cusum_k")
    box = page.locator(CONTROLS).get_by_role("spinbutton", name="cusum_k:")
    box.fill("99")
    box.press("Enter")
    page.locator(CONTROLS).get_by_role("alert").filter(has_text="outside its range").wait_for()
    assert float(box.input_value()) == float(value) and ask(page, "session.config.cusum_k") == value


def choose_an_alarm(page) -> None:
    row = page.locator(CONTROLS).locator("button.uspnb-control-alarm:visible").first
    tick = int(row.inner_text().split()[0])
    row.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "([view, tick]) => Number(document.querySelector(view).dataset.crosshair) === tick",
        arg=[VIEW, tick],
    )
    assert ask(page, "bench.controls.transport.scrub.value") == str(tick)


def export(page, folder: Path) -> None:
    controls = page.locator(CONTROLS)
    for name in ("taken.zarr", "taken.nc"):
        box = controls.get_by_role("textbox", name="Where to write")
        box.fill(name)
        box.press("Enter")
        press(page, "Export")
        controls.get_by_role("status").filter(has_text=f"written to {name}").wait_for()
    assert (folder / "taken.zarr" / "zarr.json").is_file() and (folder / "taken.nc").is_file()
    controls.get_by_role("link", name="taken.nc").wait_for()


def test_a_reload_reattaches(lab, chromium_page, small_notebook):
    page = chromium_page
    run_all(page, lab.open(small_notebook, "reload"))
    press(page, "Play")
    until_drawn(page, 50)
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    page.reload()
    page.wait_for_selector(VIEW, state="attached")
    bring(page, VIEW)
    # It went on while nobody looked, and the view that came back has all of it and goes on.
    ticks = int(ask(page, "session.status.ticks"))
    until_drawn(page, ticks)
    until_drawn(page, ticks + 100)
    assert data(page, "gaps") == "0" and data(page, "first") == "0"
    press(page, "Pause")
    until(page, "session.status.phase == 'paused'")
    press(page, "Play")
    until(page, "session.status.phase == 'running'")
    run(page, "session.close()")


def test_a_cell_that_blocks_stops_nothing(lab, chromium_page, small_notebook):
    page = chromium_page
    run_all(page, lab.open(small_notebook, "blocks"))
    press(page, "Play")
    # Acknowledgements travel in a subshell of the kernel, which JupyterLab makes when the first is sent; without one
    # the view would stop after two frames of a block.  A busy machine draws few frames, so it may be looked at again.
    until_so(page, lambda: int(data(page, "states")) >= 10, "the view stands still")
    drawn = int(data(page, "ticks"))
    assert any(page.evaluate(WHILE_BLOCKED, [IN_KERNEL, BLOCK, VIEW]) >= 4 for _ in range(4))
    until_drawn(page, drawn + 500)
    assert data(page, "gaps") == "0"
    run(page, "session.close()")


def test_looks(lab, chromium_page, small_notebook, screenshots):
    page = chromium_page
    run_all(page, lab.open(small_notebook, "looks"))
    run(page, "session.seek(1500)")
    until(page, "session.status.ticks == 1500 and session.status.at_rest")
    until_drawn(page, 1500)
    for theme in ("Light", "Dark"):
        command = "(theme) => jupyterapp.commands.execute('apputils:change-theme', { theme })"
        page.evaluate(command, f"JupyterLab {theme}")
        page.wait_for_function(
            "(light) => document.body.dataset.jpThemeLight === light", arg=str(theme == "Light").lower()
        )
        for width, height in ((1280, 800), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            for part, element in (("view", VIEW), ("controls", CONTROLS)):
                name = f"jupyterlab-{part}-{theme.lower()}-{width}.png"
                look(page, element, width, screenshots / name)
    run(page, "session.close()")


def look(page, element: str, width: int, picture: Path) -> None:
    """Take a picture, and see that nothing stands out to the right and no two texts of the controls overlap."""
    bring(page, element)
    page.evaluate(STILL)
    page.screenshot(path=picture)
    box = page.locator(element).bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
    assert page.eval_on_selector(element, OVERLAPS) == []


def test_the_first_figure_of_a_kernel_is_drawn_without_a_network(
    lab, chromium_page, project_root, tmp_path, screenshots
):
    """The ten lines of the README, in a cell: four panels, not a blank."""
    readme = (project_root / "README.md").read_text(encoding="utf-8")
    source = readme.partition("## Ten lines of Python\n\n```python\n")[2].partition("```")[0]
    assert source.splitlines()[-1].startswith("plots.overview(ds)")
    page = chromium_page
    run_cells(page, lab.open(notebook_of(source, tmp_path / "ten.ipynb"), "ten"))
    page.wait_for_function(f"() => ({PAINTED})().filter((pixels) => pixels > 1000).length >= 4", polling=200)
    page.screenshot(path=screenshots / "jupyterlab-ten-lines.png")


def test_a_campaign_is_driven_from_its_monitor(lab, chromium_page, tmp_path, screenshots):
    page = chromium_page
    run_cells(page, lab.open(notebook_of(TUNED, tmp_path / "tuned.ipynb"), "tuned"))
    monitor = page.locator(MONITOR)
    monitor.get_by_role("button", name="Start", exact=True).wait_for()
    trials = monitor.get_by_label("Trials in all")
    trials.fill("40")
    trials.press("Tab")
    monitor.get_by_role("button", name="Start", exact=True).press("Enter")
    page.wait_for_selector(f"{MONITOR}[data-state=finished][data-trials='40']")
    assert ask(page, "optimizer.status().trials") == "40"
    # keys belong to the chart, not to the notebook: no cell is added or cut
    chart = monitor.get_by_role("slider", name="Trials", exact=True)
    chart.focus()
    for key in ("End", "a", "x", "ArrowLeft"):
        page.keyboard.press(key)
    assert "Trial 38, complete" in (chart.get_attribute("aria-valuetext") or "")
    assert page.locator(".jp-Notebook .jp-Cell").count() == 1
    (lab.folder / "tuned.toml").write_text("[sensitivity]\ncusum_k = 0.5\n")
    monitor.get_by_label("Configuration file").fill("tuned.toml")
    monitor.get_by_role("button", name="Apply", exact=True).click()
    monitor.get_by_role("status").filter(has_text="tuned.toml: accepted").wait_for()
    best = ask(page, "optimizer.best_params['cusum_k']")
    assert f"cusum_k = {best}" in (lab.folder / "tuned.toml").read_text()
    page.evaluate("element => document.querySelector(element).scrollIntoView()", MONITOR)
    page.screenshot(path=screenshots / "jupyterlab-tuning.png")
    monitor.get_by_role("button", name="Undo", exact=True).click()
    monitor.get_by_role("status").filter(has_text="rolled back").wait_for()
    assert "cusum_k = 0.5" in (lab.folder / "tuned.toml").read_text()
    run(page, "optimizer.shutdown()")

"""What a notebook stores of a figure names no server: run in a real kernel, because only there it differs."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

from uspnb.predictor.results import save

CELLS = {
    "setup": "import uspnb\nfrom uspnb import plots\nds = uspnb.load('run.nc')",
    "written": "plots.report(ds, 'report.html').name",
    "first": "plots.weights_plot(plots.weights_data(ds))",
    "overview": "plots.overview(ds)",
    "one panel": "plots.holder_plot(plots.holder_data(ds))",
    "linked": "plots.linked(ds, theme='dark')",
    "two runs": "plots.compare_runs(ds, ds)",
    "report": "plots.report(ds.isel(time=slice(0, 100)))",
}
# a style sheet, script or image by its address; comments and links to documentation fetch nothing
FETCHED = re.compile(r"""(?:src|href|url)[\\"'=:(` ]{1,8}(https?://[^"'\\ )<>]+)""")


@pytest.fixture(scope="module")
def outputs(one_series, make_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    save(make_run(one_series), folder / "run.nc")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS.values()])
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return dict(zip(CELLS, (cell.outputs for cell in book.cells), strict=True))


@pytest.mark.parametrize("cell", ["overview", "one panel", "linked", "two runs"])
def test_a_figure_brings_its_style_sheets_along(outputs, cell):
    shown = outputs[cell][-1]
    assert shown["output_type"] == "execute_result" and "Bokeh" in shown["data"]["text/html"]
    text = str(outputs[cell])  # the library itself came with the first cell
    assert FETCHED.findall(text) == []
    assert "cdn.holoviz.org" not in text


def test_writing_a_report_shows_nothing_and_the_first_figure_brings_the_library(outputs):
    assert outputs["setup"] == [] and outputs["written"][0]["data"] == {"text/plain": "'report.html'"}
    assert len(outputs["written"]) == 1
    assert len(str(outputs["first"])) > 1_000_000 and outputs["first"][-1]["output_type"] == "execute_result"


def test_a_report_shows_in_a_frame(outputs):
    page = outputs["report"][0]["data"]["text/html"]
    assert page.startswith("<iframe title='uspnb run of sea' srcdoc=\"&lt;!DOCTYPE html&gt;")

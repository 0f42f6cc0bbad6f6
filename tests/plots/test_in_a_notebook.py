"""What a notebook stores of a figure names no server: run in a real kernel, because only there it differs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbformat import NotebookNode

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


LIBRARY_BYTES = 1_000_000  # BokehJS is larger, its loader smaller


def executed(folder: Path, cells: list[str]) -> NotebookNode:
    """A notebook of these cells, run in a kernel of its own."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    NotebookClient(book, timeout=1200, resources={"metadata": {"path": str(folder)}}).execute()
    return book


@pytest.fixture(scope="module")
def folder(one_series, make_run, tmp_path_factory) -> Path:
    """A folder with a saved run."""
    place = tmp_path_factory.mktemp("notebook")
    save(make_run(one_series), place / "run.nc")
    return place


@pytest.fixture(scope="module")
def outputs(folder):
    book = executed(folder, list(CELLS.values()))
    return dict(zip(CELLS, (cell.outputs for cell in book.cells), strict=True))


def test_a_figure_in_the_first_cell_of_a_kernel_brings_the_library(folder):
    # As in the README: the drawing library is imported by the cell that shows the first figure.
    book = executed(folder, ["import uspnb\nfrom uspnb import plots\nplots.overview(uspnb.load('run.nc'))"])
    outputs = book.cells[0].outputs
    assert len(str(outputs)) > LIBRARY_BYTES and outputs[-1]["output_type"] == "execute_result"
    page, _ = HTMLExporter().from_notebook_node(book)
    assert "Bokeh" in page and len(page) > LIBRARY_BYTES
    assert FETCHED.findall(str(outputs[-1])) == []  # the library before it knows addresses that it does not ask


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
    assert len(str(outputs["first"])) > LIBRARY_BYTES and outputs["first"][-1]["output_type"] == "execute_result"


def test_a_report_shows_in_a_frame(outputs):
    page = outputs["report"][0]["data"]["text/html"]
    assert page.startswith("<iframe title='uspnb run of sea' srcdoc=\"&lt;!DOCTYPE html&gt;")

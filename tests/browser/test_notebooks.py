"""A notebook of one's own: given a value in the browser, run in the background, and read as a page."""

from __future__ import annotations

import nbformat
import pytest
from conftest import SLOW, Server, expect, go, run_id
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import workbench as wb

pytestmark = pytest.mark.browser


def test_upload_set_a_parameter_run_and_read(page, server: Server, tmp_path):
    path = tmp_path / "squares.ipynb"
    cells = [
        new_markdown_cell("# Squares <b>& more</b>"),
        new_code_cell("n = 3", metadata={"tags": ["parameters"]}),
        new_code_cell("import plotly.graph_objects as go\nprint([i * i for i in range(n)])"),
        new_code_cell("go.Figure(go.Scatter(y=[i * i for i in range(n)]))"),
    ]
    nbformat.write(new_notebook(cells=cells), path)
    go(page, "/notebooks")
    page.locator("input[type=file]").set_input_files(path)
    field = page.get_by_label("n", exact=True)
    expect(field).to_have_value("3", timeout=SLOW)
    field.fill("5")
    field.press("Tab")
    page.get_by_role("button", name="Run", exact=True).click()
    run = wb.open(server.store).run(run_id(page)).wait(timeout=300)
    assert run.state == "done", run.error

    expect(page.get_by_role("heading", name="Cells")).to_be_visible(timeout=SLOW)
    inside = page.frame_locator("iframe").first.frame_locator("iframe[title=Contents]")
    expect(inside.get_by_text("[0, 1, 4, 9, 16]")).to_be_visible(timeout=SLOW)
    expect(inside.get_by_role("heading", name="Squares & more")).to_be_visible(timeout=SLOW)
    drawn = page.locator(".js-plotly-plot").first
    expect(drawn).to_be_visible(timeout=SLOW)
    assert drawn.evaluate("plot => Array.from(plot.data[0].y)") == [0, 1, 4, 9, 16]


def test_what_is_no_notebook_is_refused_in_one_sentence(page, tmp_path):
    path = tmp_path / "broken.ipynb"
    path.write_text("{")
    go(page, "/notebooks")
    page.locator("input[type=file]").set_input_files(path)
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("broken.ipynb is no notebook", timeout=SLOW)
    assert "Traceback" not in alert.inner_text()

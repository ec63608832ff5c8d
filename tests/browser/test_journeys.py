"""What a person does with the workbench, done in a browser on real data.

The journeys share one server and go on from each other: import, look, start, watch, come back, read the
result, export, cancel.
"""

from __future__ import annotations

import json
import re

import nbformat
import pytest
from conftest import AEON, SLOW, Server, expect, go, photograph, run_id, upload, views
from nbclient import NotebookClient
from playwright.sync_api import TimeoutError as PlaywrightTimeout

import workbench as wb

WIDTHS = (1280, 390)

pytestmark = pytest.mark.browser


def _started(page, data: str, **params: int) -> str:
    """Start CSL from the form; returns the run's id."""
    go(page, f"/time-series?data={data}")
    for name, value in params.items():
        field = page.get_by_label(name, exact=True)
        field.fill(str(value))
        field.press("Tab")
    page.get_by_role("button", name="Start", exact=True).click()
    return run_id(page)


def test_import_preview_and_series(page, server: Server):
    go(page, "/datasets")
    files = [AEON / "GunPoint" / f"GunPoint_{part}.ts" for part in ("TRAIN", "TEST")]
    upload(page, *files)
    page.get_by_role("textbox", name=re.compile(r"^Name \(empty")).fill("Draw or point")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("Imported Draw or point@1")).to_be_visible(timeout=SLOW)
    page.wait_for_url(re.compile("data="))
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=SLOW)

    data = wb.open(server.store).dataset("Draw or point").to_series()
    assert data.X.shape == (200, 150, 1)
    assert (data.split == "train").sum() == 50

    page.get_by_role("radio", name="Series").click()
    expect(page.locator(".js-plotly-plot").nth(1)).to_be_visible(timeout=SLOW)
    drawn = page.evaluate("document.querySelectorAll('.js-plotly-plot')[0].data[0].y")
    assert drawn == pytest.approx(data.X[0, :, 0].tolist())
    assert "view=Series" in page.url


def test_a_file_that_cannot_be_read_is_one_sentence(page, tmp_path):
    bad = tmp_path / "broken.ts"
    bad.write_text("@problemName x\n@data\n1,2,oops:a\n")
    go(page, "/datasets")
    upload(page, bad)
    page.get_by_role("button", name="Import", exact=True).click()
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("broken.ts", timeout=SLOW)
    text = alert.inner_text()
    assert "Traceback" not in text
    assert "upload-" not in text


def test_start_watch_reload_and_the_result_is_there(page, server: Server):
    run = _started(page, "Draw or point@1", n_epochs=3, n_scales=2)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible(timeout=SLOW)
    page.reload()
    assert run_id(page) == run
    page.close()  # the run goes on without a browser

    done = wb.open(server.store).run(run).wait(timeout=600)
    assert done.state == "done", done.error


def test_the_result_page_answers_a_click_with_the_series(page, server: Server):
    store = wb.open(server.store)
    run = store.runs(state="done")[0]
    go(page, f"/run?run={run.id}")
    expect(page.get_by_text("Map of the series")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(f"untrained {run.scores['untrained_test_accuracy']:.3f}").first).to_be_visible()
    plot = page.locator(".js-plotly-plot").first
    expect(plot).to_be_visible(timeout=SLOW)
    plot.scroll_into_view_if_needed()
    plot.locator("path.point").first.wait_for(timeout=SLOW)
    page.wait_for_timeout(2000)  # the page above the map may still grow and move it
    # A click that meets a redraw is lost, as a person's would be: try the next point.
    assert any(_click_shows_its_series(page, plot, number) for number in range(5))


def _click_shows_its_series(page, plot, number: int) -> bool:
    box = plot.locator("path.point").nth(number).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 30, y - 30)
    page.mouse.move(x, y, steps=5)
    hover = plot.locator(".hoverlayer .hovertext").first
    hover.wait_for(timeout=SLOW)
    # Points may overlap: the one that answers is the one whose name is shown.
    name = re.search(r"series (\S+) \(", hover.text_content() or "")[1]
    page.mouse.click(x, y)
    try:
        page.wait_for_function(
            "name => [...document.querySelectorAll('.js-plotly-plot')].some("
            "plot => plot.data.length === 1 && (plot.data[0].name || '').startsWith(name + ' '))",
            arg=name,
            timeout=15_000,
        )
    except PlaywrightTimeout:
        return False
    return True


def test_the_exported_notebook_reaches_the_same_score(page, server: Server, tmp_path):
    run = wb.open(server.store).runs(state="done")[0]
    go(page, f"/run?run={run.id}")
    with page.expect_download(timeout=SLOW) as downloading:
        page.get_by_role("button", name="Notebook").click()
    path = tmp_path / "run.ipynb"
    downloading.value.save_as(path)
    notebook = nbformat.read(path, as_version=4)
    # Its last cells compare every score with the run's and fail where one differs.
    assert "recorded = " in "".join(cell.source for cell in notebook.cells)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = json.dumps([cell.get("outputs") for cell in notebook.cells])
    assert run.headline in printed


def test_cancel(page, server: Server):
    run = _started(page, "Draw or point@1", n_epochs=5000)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("This run was cancelled")).to_be_visible(timeout=SLOW)
    assert wb.open(server.store).run(run).state == "cancelled"

    go(page, "/runs?state=cancelled")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible(timeout=SLOW)


def test_a_kept_model_is_applied_to_another_data_set(page, server: Server):
    store = wb.open(server.store)
    run = store.runs(state="done")[0]
    go(page, f"/run?run={run.id}")
    page.get_by_role("button", name="Keep the model").click()
    page.get_by_label(re.compile("^Name")).fill("pointer")
    page.get_by_role("button", name="Keep", exact=True).click()
    expect(page.get_by_text("Saved as pointer@1")).to_be_visible(timeout=SLOW)

    go(page, "/models?model=pointer@1&data=Draw%20or%20point@1")
    page.get_by_role("button", name="Apply", exact=True).click()
    applied = store.run(run_id(page)).wait(timeout=600)
    assert applied.state == "done", applied.error
    expect(page.get_by_text(applied.headline).first).to_be_visible(timeout=SLOW)
    features = applied.report().tables["features"]
    assert len(features) == 200
    expected = run.estimator().transform(store.dataset("Draw or point").to_series().X)
    assert features.drop(columns="id").to_numpy() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_is_photographed(page, server: Server, width: int):
    for name, path in views(server).items():
        photograph(page, path, name, width)

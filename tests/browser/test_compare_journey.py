"""Compare runs as an analyst does: select rows, look, copy the link, open it somewhere else."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from conftest import SLOW, Server, Watch, expect, go, settle

import workbench as wb

pytestmark = pytest.mark.browser

FOREST = "sklearn.ensemble:RandomForestClassifier"


@pytest.fixture(scope="module")
def compared(server: Server) -> list[str]:
    """Four finished runs: two forests, two seeds each, on a table of other names than the samples'."""
    store = wb.open(server.store)
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.normal(size=(150, 4)), columns=["flow", "heat", "load", "tilt"])
    frame["verdict"] = np.where(frame["flow"] + frame["load"] > 0, "keep", "scrap")
    roles = {"field": ["flow", "heat", "load", "tilt"], "label": ["verdict"]}
    ref = store.datasets.publish_frame(frame, "press line", roles=roles).ref
    runs = [
        store.submit(FOREST, ref, params={"n_estimators": trees}, seed=seed, name=f"press {trees}/{seed}")
        for trees in (1, 20)
        for seed in (0, 1)
    ]
    assert all(run.wait(timeout=300).state == "done" for run in runs)
    return [run.id for run in runs]


def test_compare_copy_the_link_and_open_it_fresh(page, browser, server: Server, compared: list[str]):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    go(page, "/runs?text=press")
    grid = page.get_by_test_id("stDataFrame").first
    expect(grid.locator("canvas").first).to_be_visible(timeout=SLOW)
    page.wait_for_timeout(1000)
    box = grid.locator("canvas").first.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 18)  # the box that selects all rows
    page.get_by_role("button", name="Compare (4)").click(timeout=SLOW)
    page.wait_for_url("**/compare?**")
    (asked,) = parse_qs(urlsplit(page.url).query)["runs"]
    assert set(asked.split(",")) == set(compared)
    expect(page.get_by_role("heading", name="What was changed")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Wilcoxon's signed-rank test")).to_be_visible(timeout=SLOW)
    settle(page)

    page.get_by_role("combobox", name="Score").click()
    page.get_by_role("option", name="test_balanced_accuracy", exact=True).click()
    page.wait_for_url("**score=test_balanced_accuracy**")
    settle(page)
    expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=SLOW)
    drawn = _points(page)

    page.get_by_text("Link to this view").click()
    code = page.get_by_test_id("stCode").filter(has_text="score=test_balanced_accuracy").first
    copy = code.get_by_role("button").first  # it is there while the mouse is
    for _ in range(20):
        page.mouse.move(0, 0)
        code.hover()
        if copy.is_visible():
            break
        page.wait_for_timeout(500)
    copy.click()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(server.address)

    fresh = browser.new_context(viewport={"width": 1280, "height": 900})
    watch = Watch(fresh, server.address)
    other = fresh.new_page()
    other.set_default_timeout(SLOW)
    other.goto(link)
    settle(other)
    expect(other.get_by_text("Wilcoxon's signed-rank test")).to_be_visible(timeout=SLOW)
    expect(other.locator(".js-plotly-plot").first).to_be_visible(timeout=SLOW)
    assert _points(other) == drawn
    title = other.evaluate("document.querySelector('.js-plotly-plot').layout.xaxis.title.text")
    assert title == "Test balanced accuracy"
    fresh.close()
    assert not watch.faults, "\n".join(watch.faults)


def _points(page) -> list[float]:
    """The scores of the runs as the first figure shows them."""
    page.wait_for_function("document.querySelector('.js-plotly-plot')?.data?.length === 2")
    values = page.evaluate("[...document.querySelector('.js-plotly-plot').data[0].x]")
    assert len(values) == 4
    return values

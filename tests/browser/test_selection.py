"""What a person does on the page of feature selection, in a browser, on a log that no sample holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import SLOW, Server, expect, go, photograph, run_id, settle

import workbench as wb
from workbench import models

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def clicks(server: Server) -> pd.DataFrame:
    """A log whose clicks depend on three of seven fields."""
    rng = np.random.default_rng(0)
    n = 2500
    shop, hour = rng.choice(list("abcdef"), n), rng.integers(24, size=n)
    frame = pd.DataFrame(
        {
            "shop": shop,
            "hour": hour,
            "price": rng.lognormal(3, 1, n).round(2),
            "banner": rng.integers(50, size=n).astype(str),
            "colour": rng.choice(["red", "blue", "green"], n),
            "server": rng.choice([f"s{i}" for i in range(200)], n),
            "visitor": [f"v{i}" for i in range(n)],
        }
    )
    strength = pd.Series({"a": 2, "b": -2, "c": 1, "d": -1, "e": 2, "f": -2})
    logit = strength[shop].to_numpy() + np.where(hour > 11, 1.5, -1.5) - np.log(frame["price"] / 20)
    frame["click"] = np.where(rng.random(n) < 1 / (1 + np.exp(-logit)), "yes", "no")
    fields = [name for name in frame if name != "click"]
    wb.open(server.store).datasets.publish_frame(frame, "Clicks", roles={"label": "click", "field": fields})
    return frame


def _fill(page, label: str, value: str) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(value)
    field.press("Tab")


def test_search_watch_and_read_the_result(page, server: Server, clicks, tmp_path):
    go(page, "/selection?data=Clicks%401&DeepFMClassifier.n_epochs=8&DeepFMClassifier.batch_size=64")
    expect(page.get_by_text("Find out which fields a click model needs")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Start", exact=True).click()
    run = run_id(page)
    # Live: every gate has a line before the run has ended.
    expect(page.get_by_role("button", name="Cancel")).to_be_visible(timeout=SLOW)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot')].some("
        "plot => plot.data.some(line => line.name === 'shop'))",
        timeout=5 * SLOW,
    )
    done = wb.open(server.store).run(run).wait(timeout=900)
    assert done.state == "done", done.error

    go(page, f"/run?run={run}")
    expect(page.get_by_text("Gates over the search")).to_be_visible(timeout=SLOW)
    expect(page.get_by_test_id("stAlert")).to_contain_text("'visitor' is an identifier", timeout=SLOW)
    report = done.report()
    kept = report.tables["importance"].query("kept")["component"].tolist()
    assert {"shop", "hour"} <= set(kept)
    assert "server" not in kept
    expect(page.get_by_text(f"Kept ({len(kept)})")).to_be_visible(timeout=SLOW)
    with page.expect_download(timeout=SLOW) as downloading:
        page.get_by_role("button", name="Model", exact=True).click()
    assert downloading.value.suggested_filename.endswith("model.zip")
    smaller = models.load(done.folder / "artifacts" / "model")
    assert set(smaller.feature_names_in_) == set(kept)

    page.get_by_role("link", name="Run it in the SQL box").click()
    settle(page)
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=SLOW)


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_and_are_photographed(page, server: Server, clicks, width: int):
    store = wb.open(server.store)
    run = next(r for r in store.runs(state="done") if r.estimator_name.startswith("selection."))
    photograph(page, "/selection?data=Clicks%401", "selection", width)
    photograph(page, f"/run?run={run.id}", "selection-run", width)

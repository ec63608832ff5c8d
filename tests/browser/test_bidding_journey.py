"""A person compares bidders: scenario, bidders, run, result, and what would have been otherwise."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from conftest import SLOW, Server, expect, go, photograph, run_id, settle

import workbench as wb
from workbench.gui.text import count

pytestmark = pytest.mark.browser

REQUESTS, MERCHANTS = 1_500, 200
#: Everything between a click and its answer may wait for a busy machine.
LONG = 5 * SLOW


def _fill(page, label: str, value: int) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Tab")
    settle(page)


@pytest.fixture(scope="module")
def scenario(server: Server) -> str:
    """The data set that the first journey leaves behind."""
    return f"auctions-{REQUESTS}-{MERCHANTS}-0@1"


def test_a_scenario_is_generated_and_bidders_compete(page, server: Server, scenario: str):
    go(page, "/bidding")
    fold = page.get_by_test_id("stExpander").filter(has_text="Generate a log")
    fold.wait_for()
    if fold.locator("details[open]").count() == 0:
        fold.locator("summary").click()
    page.get_by_label("Requests", exact=True).wait_for(timeout=LONG)
    _fill(page, "Requests", REQUESTS)
    _fill(page, "Merchants", MERCHANTS)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.get_by_text("What if", exact=True)).to_be_visible(timeout=LONG)
    data = wb.open(server.store).dataset(scenario)
    assert data.n_rows == REQUESTS * 60

    go(page, f"/bidding?data={scenario}")
    page.get_by_text("More parameters", exact=True).click()
    _fill(page, "n_episodes", 3)
    page.get_by_role("button", name="Start", exact=True).click()
    run = wb.open(server.store).run(run_id(page))
    assert run.wait(timeout=LONG / 1000).state == "done", run.refresh().error
    assert run.spec["params"]["n_episodes"] == 3
    assert "UniformScale" in run.spec["params"]["bidders"]


def test_the_result_shows_what_the_report_holds(page, server: Server, scenario: str):
    run = next(r for r in wb.open(server.store).runs(state="done") if r.dataset == scenario)
    go(page, f"/run?run={run.id}")
    for title in (
        "Bidders beside one another",
        "Who wins which consumers",
        "What the agents do over the hours",
    ):
        expect(page.get_by_text(title, exact=True)).to_be_visible(timeout=LONG)
    expect(page.locator(".js-plotly-plot")).to_have_count(7, timeout=LONG)
    drawn = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(p => p.data.map(d => d.type))"
    )
    assert sum("heatmap" in kinds for kinds in drawn) == 2
    comparison = run.report().tables["comparison"]
    total = comparison[comparison["cluster"] == "total"].set_index("bidder")["gmv"]
    bars = page.evaluate(
        "document.querySelectorAll('.js-plotly-plot')[0]._fullData.map(d => [[...d.x], [...d.y]])"
    )
    sums = pd.concat([pd.Series(y, index=x) for x, y in bars]).groupby(level=0).sum()
    pd.testing.assert_series_equal(sums.sort_index(), total.sort_index(), check_names=False)


def test_learned_multipliers_are_downloaded(page, server: Server, scenario: str, tmp_path):
    run = next(r for r in wb.open(server.store).runs(state="done") if r.dataset == scenario)
    go(page, f"/run?run={run.id}")
    expect(page.get_by_text("Learned multipliers", exact=True)).to_be_visible(timeout=LONG)
    with page.expect_download(timeout=LONG) as downloading:
        page.locator(".st-key-csv-multipliers-by-merchant").get_by_role("button").click()
    path = tmp_path / "multipliers.csv"
    downloading.value.save_as(path)
    table = pd.read_csv(path)
    assert len(table) == MERCHANTS
    assert (table["Manual"].dropna() == 1).all()
    assert table["UniformScale"].dropna().sub(0.333).abs().max() < 0.001


def test_the_what_if_answers_a_moved_slider(page, server: Server, scenario: str):
    go(page, f"/bidding?data={scenario}")
    changes = page.get_by_test_id("stMetricDelta")
    expect(changes.first).to_contain_text("+0.0%", timeout=LONG)
    slider = page.get_by_role("slider", name="Factor on all bids")
    for _ in range(13):
        slider.press("ArrowLeft")
    # 0.35 of each bid with 0.35 of the budget: what was spent in a third of the day lasts for all of it.
    expect(changes.first).to_contain_text(re.compile(r"\+\d{2,3}\.\d%"), timeout=LONG)
    expect(page.get_by_text(f"{count(REQUESTS)} auctions, run twice.")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_and_are_photographed(page, server: Server, scenario: str, width: int):
    run = next(r for r in wb.open(server.store).runs(state="done") if r.dataset == scenario)
    photograph(page, f"/bidding?data={scenario}", "bidding", width)
    photograph(page, f"/run?run={run.id}", "bidding-run", width)

"""What the engineer does: start a pipeline by hand, read its graph, and have it start by itself."""

from __future__ import annotations

import re

import pytest
from conftest import SLOW, Server, expect, go, photograph, run_id
from sklearn.datasets import load_wine

import workbench as wb

pytestmark = pytest.mark.browser


def test_once_by_hand_then_every_night(page, server: Server):
    store = wb.open(server.store)
    frame = load_wine(as_frame=True).frame.rename(columns={"target": "label"})
    store.datasets.publish_frame(frame, "cellar")

    go(page, "/pipelines?pipeline=nightly")
    for name, value in {
        "name": "wine by night",
        "sql": "SELECT * FROM cellar",
        "estimator": "sklearn.ensemble:RandomForestClassifier",
    }.items():
        field = page.get_by_label(name, exact=True)
        field.fill(value)
        field.press("Tab")
    page.get_by_role("button", name="Start", exact=True).click()
    run = store.run(run_id(page)).wait(timeout=600)
    assert run.state == "done", run.error
    assert store.models.aliased("wine by night").version == 1

    expect(page.get_by_text("is the new champion").first).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("heading", name="Steps")).to_be_visible(timeout=SLOW)
    graph = page.locator(".js-plotly-plot").first
    expect(graph).to_be_visible(timeout=SLOW)
    for step in ("import", "drift", "train", "compare", "promote", "report"):
        expect(graph.get_by_text(step, exact=False).first).to_be_visible(timeout=SLOW)
    with page.expect_download() as report:
        page.get_by_role("button", name="report.html").click()
    assert "wine by night" in report.value.path().read_text()
    photograph(page, f"/run?run={run.id}", "pipeline-run", 1280)

    go(page, "/pipelines?pipeline=nightly")
    page.get_by_text("Add a schedule, with the parameters").click()
    field = page.get_by_label("Time zone", exact=True)
    field.fill("Europe/Berlin")
    page.get_by_label("name", exact=True).fill("cellar")
    page.get_by_label("name", exact=True).press("Tab")
    page.get_by_label("sql", exact=True).fill("SELECT * FROM cellar")
    page.get_by_label("sql", exact=True).press("Tab")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("Nothing starts this pipeline by itself yet")).to_have_count(0, timeout=SLOW)
    (schedule,) = store.schedules.list()
    assert (schedule.pipeline, schedule.zone, schedule.params["name"]) == (
        "nightly",
        "Europe/Berlin",
        "cellar",
    )
    assert re.match("At 02:30", schedule.words)
    store.schedules.delete(schedule.name)

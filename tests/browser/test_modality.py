"""From a table to its modalities, a run that is watched, and a result that says what to do."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from conftest import SLOW, Server, expect, go, photograph, run_id

import workbench as wb

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _patient(page) -> None:
    """A page and a run beside one another on a busy machine take their time."""
    page.set_default_timeout(4 * SLOW)


def activities() -> pd.DataFrame:
    """Three activities; ears tell talking from the rest, limbs walking from the rest."""
    rng = np.random.default_rng(5)
    y = rng.integers(3, size=300)
    ears = rng.normal(size=(300, 4)) + 2.5 * (y == 0)[:, None]
    limbs = rng.normal(size=(300, 3)) + 2.5 * (y == 1)[:, None]
    parts = [pd.DataFrame(ears).add_prefix("ears_"), pd.DataFrame(limbs).add_prefix("limbs_")]
    return pd.concat(parts, axis=1).assign(activity=np.array(["talk", "walk", "rest"])[y])


@pytest.fixture(scope="module")
def data(server: Server) -> str:
    frame = activities()
    roles = {"label": "activity", "field": [name for name in frame if name != "activity"]}
    return wb.open(server.store).datasets.publish_frame(frame, "Activities", roles=roles).ref


def fill(page, label: str, value: object) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Tab")


def test_from_a_table_to_a_run_and_its_result(page, server: Server, data: str):
    go(page, f"/modality?data={data}&estimator=modality.ModalityCompetitionAnalyzer")
    # Both tables are canvases; what they chose stands in the Python below.
    expect(page.get_by_text("Column by column (7)")).to_be_visible(timeout=4 * SLOW)
    page.get_by_text("Show the Python", exact=True).click()
    expect(page.get_by_text("'ears': ['ears_0'").first).to_be_visible(timeout=4 * SLOW)
    fill(page, "n_epochs", 40)
    fill(page, "hidden", 16)
    page.get_by_role("button", name="Start", exact=True).click()
    run = run_id(page)
    # Live: the loss of each modality and the share of the gradient; a quick machine may be done already.
    live = page.get_by_text(re.compile("Share of the joint gradient")).or_(page.get_by_text("What to do"))
    expect(live.first).to_be_visible(timeout=4 * SLOW)
    page.reload()
    assert run_id(page) == run

    done = wb.open(server.store).run(run).wait(timeout=600)
    assert done.state == "done", done.error
    assert done.spec["params"]["modalities"] == {
        "ears": [f"ears_{i}" for i in range(4)],
        "limbs": [f"limbs_{i}" for i in range(3)],
    }
    go(page, f"/run?run={run}")
    expect(page.get_by_text(done.headline[:40]).first).to_be_visible(timeout=4 * SLOW)
    for title in (
        "What to do",
        "What each encoder keeps",
        "Who wins each class",
        "What each modality contributes",
        "Over the epochs",
    ):
        expect(page.get_by_role("heading", name=title)).to_be_visible(timeout=4 * SLOW)
    report = done.report()
    kept = report.tables["modalities"].set_index("modality")["retention"]
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot')].filter(p => p.data).length >= 6",
        timeout=4 * SLOW,
    )
    drawn = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(p => p.data.map(t => [t.type, t.x, t.y]))"
    )
    (bars,) = [traces[0] for traces in drawn if traces[0][0] == "bar" and len(traces[0][2]) == 2]
    assert dict(zip(bars[2], bars[1], strict=True)) == pytest.approx({m: 100 * kept[m] for m in kept.index})
    types = [traces[0][0] for traces in drawn]
    assert types.count("heatmap") == 2  # winners by class, and synergy
    assert "waterfall" in types


@pytest.mark.parametrize("width", [1280, 390])
def test_the_result_fits_and_is_photographed(page, server: Server, width: int):
    (run, *_) = [
        run for run in wb.open(server.store).runs(state="done") if run.spec["recipe"] == "modality.analyze"
    ]
    photograph(page, f"/modality?data={run.dataset}", "modality", width)
    photograph(page, f"/run?run={run.id}", "modality-run", width)


def test_a_race_shows_each_remedy_beside_its_baseline(page, server: Server, data: str):
    params = {"remedies": ["none", "auxiliary", "umt"], "n_epochs": 6, "hidden": 8, "depth": 1}
    run = wb.open(server.store).submit("modality.RemedyRace", data, params=params, seed=0).wait(timeout=600)
    assert run.state == "done", run.error
    go(page, f"/run?run={run.id}")
    expect(page.get_by_text(run.headline[:40]).first).to_be_visible(timeout=4 * SLOW)
    expect(page.get_by_role("heading", name="What was raced")).to_be_visible(timeout=4 * SLOW)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot')].some(p => p.data)", timeout=4 * SLOW
    )
    drawn = page.evaluate("[...document.querySelector('.js-plotly-plot').data].map(t => [t.name, t.x, t.y])")
    dots = {name: dict(zip(y, x, strict=True)) for name, x, y in drawn if name}
    mean = run.report().tables["race"].set_index("remedy")
    assert dots["remedy"] == pytest.approx(mean["validation"].to_dict())
    assert dots["plain, same budget"] == pytest.approx(mean["baseline"].to_dict())
    for width in (1280, 390):
        photograph(page, f"/run?run={run.id}", "modality-race", width)


def test_what_cannot_be_analysed_is_one_sentence_before_a_run(page, server: Server):
    store = wb.open(server.store)
    notes = pd.DataFrame({"note_text": [f"patient {i} slept well again" for i in range(40)]})
    notes = notes.assign(blood_a=np.arange(40.0), blood_b=np.arange(40.0) ** 2, class_=["ill", "well"] * 20)
    roles = {"label": "class_", "modality:notes": ["note_text"], "modality:blood": ["blood_a", "blood_b"]}
    ref = store.datasets.publish_frame(notes, "Notes", roles=roles).ref
    before = len(store.runs())
    go(page, f"/modality?data={ref}&estimator=modality.ModalityCompetitionAnalyzer")
    page.get_by_role("button", name="Start", exact=True).click()
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("'note_text' of the modality 'notes' holds raw text", timeout=4 * SLOW)
    assert "Traceback" not in alert.inner_text()
    assert len(store.runs()) == before

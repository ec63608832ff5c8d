"""From a file of measurements to a smaller model by clicks alone: roles, host, budget, run, result."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SLOW, Server, drawn, expect, go, run_id, settle, upload
from sklearn.datasets import load_breast_cancer
from test_datasets import choose, set_role

import workbench as wb
from workbench import models

pytestmark = pytest.mark.browser

BUDGET = 4


@pytest.fixture(scope="module")
def tumours(tmp_path_factory) -> Path:
    """569 tumours with a dozen measurements each, and what they were."""
    bundled = load_breast_cancer(as_frame=True)
    frame = bundled.data.iloc[:, [*range(8), 20, 23, 24, 28]].rename(columns=lambda name: name.title())
    frame.insert(0, "finding", np.where(bundled.target == 1, "benign", "malignant"))
    path = tmp_path_factory.mktemp("tumours") / "tumours.csv"
    frame.to_csv(path, index=False)
    return path


def fill(page, label: str, value: object) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Tab")
    settle(page)


def plots(page) -> dict[str, dict[str, list[float]]]:
    """What is drawn: the titles of a plot's axes → its lines → their heights."""
    found = page.evaluate(
        """() => [...document.querySelectorAll('.js-plotly-plot')].map(plot => [
            `${plot.layout.xaxis?.title?.text} | ${plot.layout.yaxis?.title?.text ?? ''}`,
            plot.data.map(line => [line.name ?? '', [...(line.y ?? [])]])])"""
    )
    return {title: dict(lines) for title, lines in found}


def test_a_file_becomes_a_smaller_model_by_clicks(page, server: Server, tumours: Path, tmp_path):
    store = wb.open(server.store)
    go(page, "/datasets")
    upload(page, tumours)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("Imported tumours@1")).to_be_visible(timeout=SLOW)

    # Without a label the page says so and leads to the roles.
    page.get_by_role("link", name="Features").click()
    settle(page)
    choose(page, "Data set", "tumours@1")
    expect(page.get_by_text("The data set has no label")).to_be_visible(timeout=SLOW)
    page.get_by_role("link", name="Give it roles").click()
    settle(page)
    page.get_by_role("radio", name="Roles").click()
    expect(page.get_by_role("button", name="Save the roles")).to_be_visible(timeout=SLOW)
    settle(page)
    assert any(set_role(page, row=0, role="label") for _ in range(3))
    assert store.dataset("tumours").roles["label"] == ["finding"]

    page.get_by_role("link", name="Features").click()
    settle(page)
    choose(page, "Data set", "tumours@1")
    choose(page, "Host model", "ctr.DCNv2Classifier")
    choose(page, "Method", "selection.LPFSPlusPlus")
    expect(page.get_by_text("or a budget")).to_be_visible(timeout=SLOW)
    fill(page, "max_fields", BUDGET)
    fill(page, "hidden", "[16]")
    page.get_by_role("button", name="Start", exact=True).click()
    run = store.run(run_id(page))
    assert run.spec["params"]["max_fields"] == BUDGET

    # Live: a line a gate, which begin at 1; the page turns into the result by itself.
    page.wait_for_function(
        "() => [...document.querySelectorAll('button')].some(button => button.innerText.includes('Cancel'))"
        " && [...document.querySelectorAll('.js-plotly-plot')].some("
        "plot => plot.data.filter(line => line.y && line.y[0] === 1).length >= 12)",
        timeout=5 * SLOW,
    )
    run = run.wait(timeout=900)
    assert run.state == "done", run.error
    expect(page.get_by_text("Gates over the search")).to_be_visible(timeout=2 * SLOW)
    drawn(page)

    tables = run.report().tables
    importance = tables["importance"]
    kept = importance.loc[importance["kept"], "component"].tolist()
    assert 1 <= len(kept) <= BUDGET
    expect(page.get_by_text(f"Kept ({len(kept)})", exact=True)).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(f"Dropped ({12 - len(kept)})", exact=True)).to_be_visible()
    for heading in ("AUC by number of fields", "Before and after", "The path of penalties", "Calibration"):
        expect(page.get_by_role("heading", name=heading)).to_be_visible(timeout=SLOW)
    difference = re.compile(rf"{12 - len(kept)} fields less: .* a request of 100 rows, AUC")
    expect(page.get_by_text(difference)).to_be_visible()

    page.wait_for_function("() => document.querySelectorAll('.js-plotly-plot').length >= 7", timeout=SLOW)
    found = plots(page)
    gates = found["Step | Size of the gate"]
    assert set(gates) == set(importance["component"])
    for field, heights in gates.items():
        assert heights[0] == 1
        assert (heights[-1] == 0) == (field not in kept)
    assert found["Penalty | AUC on the rows kept for judging"][""] == pytest.approx(tables["path"]["auc"])
    rankings = found["Fields used | AUC on the test rows"]
    assert {"LPFS++", "SHARK (signed)", "SHARK (absolute)", "Mutual information", "At random"} <= set(
        rankings
    )
    sizes = found["Size of the model (kB) | AUC on the test rows"]
    judged = tables["models"].set_index("model")["auc"]
    assert {name: sizes[name][0] for name in judged.index} == pytest.approx(judged.to_dict())
    assert {"full", "pruned", "retrained"} <= set(found["Predicted rate | Observed rate"])

    # What is taken away works without the workbench's page: the query and the model agree on the columns.
    with page.expect_download(timeout=SLOW) as downloading:
        page.get_by_role("button", name="Query", exact=True).click()
    rows = store.datasets.sql(Path(downloading.value.path()).read_text().rstrip().rstrip(";"))
    with page.expect_download(timeout=SLOW) as downloading:
        page.get_by_role("button", name="Model", exact=True).click()
    with zipfile.ZipFile(downloading.value.path()) as archive:
        archive.extractall(tmp_path / "model")
    smaller = models.load(tmp_path / "model")
    assert set(rows.columns) == set(smaller.feature_names_in_) == set(kept)
    right = smaller.predict(rows) == pd.read_csv(tumours)["finding"].to_numpy()
    assert right.mean() > 0.85

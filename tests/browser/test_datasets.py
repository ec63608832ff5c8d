"""What an analyst does with files that no sample holds, done in a browser: import, ask, prepare, label, care.

Every journey makes its own data, with odd content, and shares nothing with the others but the server.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SLOW, Server, choose, expect, go, run_id, settle, upload
from playwright.sync_api import TimeoutError as PlaywrightTimeout

import workbench as wb

pytestmark = pytest.mark.browser


# --- what hands do ------------------------------------------------------------------------------


def write_query(page, sql: str) -> None:
    area = page.get_by_label("Query", exact=True)
    area.fill(sql)
    area.blur()
    settle(page)


def drag(page, plot, left: float, right: float, top: float = 0.02, bottom: float = 0.98) -> None:
    """Drag over a part of a plot's area, named in shares of it."""
    plot.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)  # what stands above it may still grow
    box = plot.locator(".nsewdrag").first.bounding_box()
    x, y, width, height = (box[key] for key in ("x", "y", "width", "height"))
    page.mouse.move(x + left * width, y + top * height)
    page.mouse.down()
    page.mouse.move(x + (left + right) / 2 * width, y + (top + bottom) / 2 * height, steps=5)
    page.mouse.move(x + right * width, y + bottom * height, steps=5)
    page.mouse.up()
    settle(page)


def alert(page):
    return page.get_by_test_id("stAlert").first


# --- a strange CSV, from the file to a result ---------------------------------------------------


@pytest.fixture(scope="module")
def strange(tmp_path_factory) -> Path:
    """Semicolons, Latin-1, decimal commas, German dates, duplicates, a gap, a number that means nothing."""
    rng = np.random.default_rng(3)
    times = pd.date_range("2024-03-01", periods=400, freq="10min").delete(range(150, 160))
    rows = ["lfd;Zeitpunkt;Druck;Durchfluß;Gerät"]
    for i, time in enumerate(times):
        druck = f"{np.sin(i / 9) + rng.normal(0, 0.1):.3f}".replace(".", ",")
        fluss = "" if i % 50 == 7 else f"{np.cos(i / 5) * 3:.2f}".replace(".", ",")
        rows.append(f"{i};{time:%d.%m.%Y %H:%M:%S};{druck};{fluss};Förderpumpe Süd")
        if i % 100 == 3:
            rows.append(rows[-1])
    path = tmp_path_factory.mktemp("strange") / "Förderpumpe Süd.csv"
    path.write_bytes("\r\n".join(rows).encode("latin-1"))
    return path


def test_a_strange_file_becomes_a_result(page, server: Server, strange: Path):
    store = wb.open(server.store)
    go(page, "/datasets")
    upload(page, strange)
    page.get_by_role("textbox", name=re.compile(r"^Name \(empty")).fill("pumpe")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(alert(page)).to_contain_text("is not UTF-8 text", timeout=SLOW)
    assert "pumpe" not in store.datasets

    page.get_by_text("If the guess is wrong").click()
    choose(page, "Encoding", "latin-1")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("Imported pumpe@1")).to_be_visible(timeout=SLOW)
    types = {column.name: column.type for column in store.dataset("pumpe").columns}
    assert types["Druck"] == "DOUBLE"
    assert types["Zeitpunkt"] == "TIMESTAMP"
    assert types["Durchfluß"] == "DOUBLE"

    # The running number is no measurement: take its role away.
    page.get_by_role("radio", name="Roles").click()
    settle(page)
    assert "lfd" in store.dataset("pumpe").roles["value"]
    # A double click that meets a redraw is lost, as a person's would be: try again.
    assert any(set_role(page, row=0, role="–") for _ in range(3))
    assert store.dataset("pumpe").roles["value"] == ["Druck", "Durchfluß"]

    # Ask for a part of it, completing a name, and keep the answer.
    go(page, "/sql")
    area = page.get_by_label("Query", exact=True)
    area.fill('SELECT Zeitpunkt AS "time", Druck AS "druck ≥", Durchfluß AS fluss FROM pumpe WHERE Dur')
    area.press("End")
    word = page.get_by_role("option", name="Durchfluß")
    expect(word).to_be_visible(timeout=SLOW)
    area.press("Tab")
    expect(area).to_have_value(re.compile('WHERE "?Durchfluß"?$'))
    area.press_sequentially(" IS NOT NULL OR true")
    area.press("Control+Enter")
    expect(page.get_by_text(re.compile(r"^394 rows"))).to_be_visible(timeout=SLOW)
    page.get_by_label("Keep the whole result as a data set named").fill("pumpe rein")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.wait_for_url(re.compile("/datasets.*pumpe"), timeout=SLOW)
    kept = store.dataset("pumpe rein")
    assert kept.parent == "pumpe@1"
    assert kept.n_rows == 394

    # Make windows of it; the preview tells what the steps do.
    page.get_by_role("link", name="Prepare").last.click()
    expect(page.get_by_text("4 duplicate time stamps")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Regular windows, split by time").click()
    expect(page.get_by_text("· Cut windows")).to_be_visible(timeout=SLOW)
    field = page.get_by_label("length", exact=True)
    field.fill("20")
    field.press("Enter")
    expect(page.locator(".js-plotly-plot").nth(1)).to_be_visible(timeout=SLOW)
    settle(page)
    page.get_by_role("textbox", name=re.compile(r"^Name \(")).last.fill("pumpe fenster")
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url(re.compile("/datasets.*fenster"), timeout=SLOW)
    windows = store.dataset("pumpe fenster").to_series()
    assert windows.X.shape[1:] == (20, 2)
    assert set(windows.split) == {"train", "test"}
    assert not np.isnan(windows.X).any()

    page.get_by_role("link", name="Use it in a run").click()
    run = trained(page, store)
    assert run.dataset == "pumpe fenster@1"
    expect(page.get_by_text("Map of the series")).to_be_visible(timeout=SLOW)


def trained(page, store):
    """The form's run of a short training, when it is done."""
    for name, value in (("n_epochs", 1), ("n_scales", 2)):
        field = page.get_by_label(name, exact=True)
        expect(field).to_be_visible(timeout=SLOW)
        field.fill(str(value))
        field.press("Tab")
    page.get_by_role("button", name="Start", exact=True).click()
    run = store.run(run_id(page)).wait(timeout=600)
    assert run.state == "done", run.error
    return run


def set_role(page, row: int, role: str) -> bool:
    """Change a cell of the roles' table, whose canvas has no elements to click, and save; whether it went."""
    grid = page.get_by_test_id("stDataFrame").first
    grid.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    box = grid.locator("canvas").first.bounding_box()
    page.mouse.dblclick(box["x"] + box["width"] * 0.9, box["y"] + 35 * (row + 1) + 17)
    try:
        page.locator("#portal input").first.wait_for(timeout=10_000)
        page.keyboard.type(role)
        page.locator("#portal").get_by_text(role, exact=True).first.wait_for(timeout=10_000)
        page.keyboard.press("Enter")
        page.wait_for_timeout(1000)
        page.get_by_role("button", name="Save the roles").click()
        page.get_by_text("Saved as role revision 2").wait_for(timeout=20_000)
    except PlaywrightTimeout:
        page.keyboard.press("Escape")
        return False
    return True


# --- labels by brush, used by the next run ------------------------------------------------------


def test_brushed_labels_are_trained_with(page, server: Server):
    store = wb.open(server.store)
    rng = np.random.default_rng(5)
    frame = pd.concat(
        pd.DataFrame(
            {
                "series_id": f"Gerät <b>{i:02d}</b>",
                "time": np.arange(20 + i % 5),
                "höhe": (8 if i < 20 else -8 if i < 40 else 0) + rng.normal(size=20 + i % 5),
            }
        )
        for i in range(50)
    )
    store.datasets.publish_frame(frame, "brush me")
    go(page, "/labels?data=brush me@1")
    choose(page, "Across", "mean")
    for left, right, label in ((0.0, 0.25, "tief"), (0.75, 1.0, "hoch & <i>laut</i>")):
        plot = page.locator(".js-plotly-plot").first
        drag(page, plot, left, right)
        expect(page.get_by_text("Label for the 20 chosen")).to_be_visible(timeout=SLOW)
        box = page.get_by_role("combobox", name=re.compile("^Label for the"))
        box.click()
        box.fill(label)
        box.press("Enter")
        page.get_by_role("button", name="Assign").click()
        expect(page.get_by_text("Not saved yet")).to_be_visible(timeout=SLOW)
        settle(page)
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.get_by_text("Saved as brush me@2")).to_be_visible(timeout=SLOW)
    data = store.dataset("brush me").to_series()
    assert [list(data.y).count(label) for label in ("tief", "hoch & <i>laut</i>", None)] == [20, 20, 10]
    by_name = dict(zip(data.ids, data.y, strict=True))
    assert by_name["Gerät <b>00</b>"] == "hoch & <i>laut</i>"
    assert by_name["Gerät <b>45</b>"] is None

    page.get_by_role("link", name="Choose method and parameters").click()
    run = trained(page, store)
    assert run.dataset == "brush me@2"
    assert 0 <= run.scores["test_accuracy"] <= 1

    # The run's own map is there to go on labelling with.
    go(page, "/labels?data=brush me@2")
    choose(page, "Points of", f"the map of run {run.name}")
    expect(page.get_by_text("map x").first).to_be_visible(timeout=SLOW)


def test_a_stretch_of_a_recording_is_labelled_and_cleared(page, server: Server):
    store = wb.open(server.store)
    times = pd.date_range("2023-12-31 23:00", periods=200, freq="min")
    store.datasets.publish_frame(pd.DataFrame({"ts": times, "x y": np.sin(np.arange(200) / 7)}), "stretch")
    store.dataset("stretch").set_roles({"time": ["ts"], "value": ["x y"]})
    go(page, "/labels?data=stretch@1")
    drag(page, page.locator(".js-plotly-plot").first, 0.3, 0.5)
    expect(page.get_by_text("Label for the 1 chosen")).to_be_visible(timeout=SLOW)
    box = page.get_by_role("combobox", name=re.compile("^Label for the"))
    box.click()
    box.fill("Störung")
    box.press("Enter")
    page.get_by_role("button", name="Assign").click()
    expect(page.get_by_text("Not saved yet")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.get_by_text("Saved as stretch@2")).to_be_visible(timeout=SLOW)
    labels = store.dataset("stretch").frame(["label"])["label"]
    marked = np.flatnonzero(labels.eq("Störung"))
    assert 30 < len(marked) < 50
    assert (np.diff(marked) == 1).all()
    expect(page.get_by_role("link", name="Cut it into windows")).to_be_visible(timeout=SLOW)


# --- the query page -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def formulas(server: Server) -> str:
    frame = pd.DataFrame({"who": ["=1+1", "Ann", "@SUM(A1)"], "n": [1, 2, 3]})
    return wb.open(server.store).datasets.publish_frame(frame, "formulas").ref


def test_a_query_is_shared_explained_and_exported(page, browser, server: Server, formulas: str, tmp_path):
    go(page, "/sql")
    sql = 'SELECT who, n * 2 AS "twice & more" FROM formulas -- ünïcode & ?\nORDER BY n'
    write_query(page, sql)
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_text("Plan", exact=True)).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Order By").first).to_be_visible(timeout=SLOW)

    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text(re.compile("^3 rows"))).to_be_visible(timeout=SLOW)
    for word, suffix in (("CSV", "csv"), ("Parquet", "parquet")):
        page.get_by_role("button", name=f"Whole result as {word}").click()
        with page.expect_download(timeout=SLOW) as downloading:
            page.get_by_role("button", name=f"Save query.{suffix}").click()
        downloading.value.save_as(tmp_path / f"out.{suffix}")
    assert pd.read_csv(tmp_path / "out.csv")["who"].tolist() == ["'=1+1", "Ann", "'@SUM(A1)"]
    assert pd.read_parquet(tmp_path / "out.parquet")["who"].tolist() == ["=1+1", "Ann", "@SUM(A1)"]

    page.get_by_role("button", name="Share").click()
    link = page.get_by_test_id("stPopoverBody").locator("code").inner_text()
    assert link.startswith(f"{server.address}/sql?sql=")
    context = browser.new_context()
    fresh = context.new_page()
    fresh.goto(link)
    expect(fresh.get_by_label("Query", exact=True)).to_have_value(sql, timeout=SLOW)
    expect(fresh.get_by_text(re.compile("^3 rows"))).to_be_visible(timeout=SLOW)
    context.close()

    page.keyboard.press("Escape")
    write_query(page, f"SELECT '{'x' * 7000}' AS long FROM formulas")
    page.get_by_role("button", name="Share").click()
    expect(alert(page)).to_contain_text("too long for a link", timeout=SLOW)


def test_a_long_query_is_cancelled_and_a_write_refused(page, formulas: str):
    go(page, "/sql")
    write_query(page, "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b")
    page.get_by_role("button", name="Run", exact=True).click()
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(re.compile(r"^Running, [1-9]"))).to_be_visible(timeout=SLOW)  # the page is alive
    cancel.click()
    expect(alert(page)).to_contain_text("The query was cancelled", timeout=SLOW)

    write_query(page, "DELETE FROM formulas")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(alert(page)).to_contain_text("data sets are only read", timeout=SLOW)
    assert "Traceback" not in page.content()

    page.get_by_role("button", name="History").click()
    expect(page.get_by_test_id("stPopoverBody").get_by_test_id("stDataFrame")).to_be_visible(timeout=SLOW)


# --- care ---------------------------------------------------------------------------------------


def test_changes_lineage_and_a_delete_that_is_refused(page, server: Server):
    store = wb.open(server.store)
    rng = np.random.default_rng(1)
    for shift in (0, 3):
        frame = pd.DataFrame({"x": rng.normal(shift, 1, 500), "wörter": rng.choice(["a <b>", "c"], 500)})
        store.datasets.publish_frame(frame, "drifting")
    store.datasets.publish_query('SELECT * FROM "drifting@2" WHERE x > 3', "drifting part")
    kept = store.datasets.publish_arrays(np.random.default_rng(0).normal(size=(12, 20, 1)), name="kept")
    run = store.submit("timeseries.CSL", kept.ref, params={"n_epochs": 1, "n_scales": 2}, name="keeps it")

    go(page, "/datasets?data=drifting@2&view=Changes")
    expect(page.get_by_text("Columns drifted much")).to_be_visible(timeout=SLOW)
    expect(page.locator(".js-plotly-plot").nth(2)).to_be_visible(timeout=SLOW)
    names = page.locator(".js-plotly-plot").first.evaluate("plot => plot.data[0].y")
    assert names[-1] == "x"  # the most drifted one is drawn at the top

    go(page, "/datasets?data=drifting part@1&view=Lineage")
    graph = page.locator(".js-plotly-plot").first
    expect(graph).to_be_visible(timeout=SLOW)
    expect(graph.get_by_text("drifting@2")).to_be_visible(timeout=SLOW)

    go(page, f"/datasets?data={kept.ref}&view=Versions")
    grid = page.get_by_test_id("stDataFrame").first
    box = grid.locator("canvas").first.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 18)  # the box that selects all rows
    page.get_by_role("button", name=re.compile(r"^Delete \(")).click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text(re.compile("cannot be deleted")).first).to_contain_text(run.id, timeout=SLOW)
    assert kept.ref in store.datasets


# --- files that no sample holds -----------------------------------------------------------------


def _odd_tsv(path: Path) -> None:
    path.write_text('a"b\t<b>bold</b>\t  \t日本語\n1\t=cmd()\tx\t2024-02-30\n\t"two\nlines"\ty\tnever\n')


def _lists(path: Path) -> None:
    vectors = np.arange(30, dtype="float32").reshape(10, 3).tolist()
    pd.DataFrame({"embedding": vectors, "Straße": ["ß"] * 10, "n": [None] * 9 + [1]}).to_parquet(path)


def _nested(path: Path) -> None:
    path.write_text('{"a": {"b": [1, 2]}, "c": "x", "when": "2024-01-01T00:00:00Z"}\n{"a": null, "c": ""}\n')


@pytest.mark.parametrize(
    ("name", "write"), [("odd.tsv", _odd_tsv), ("lists.parquet", _lists), ("nested.jsonl", _nested)]
)
def test_odd_files_can_be_looked_at_from_every_side(page, server: Server, tmp_path, name, write):
    write(tmp_path / name)
    go(page, "/datasets")
    upload(page, tmp_path / name)
    page.get_by_role("button", name="Import", exact=True).click()
    stem = name.partition(".")[0]
    expect(page.get_by_text(f"Imported {stem}@1")).to_be_visible(timeout=SLOW)
    for view in ("Preview", "Profile", "Roles", "Versions", "Changes", "Lineage"):
        go(page, f"/datasets?data={stem}@1&view={view}")
        assert "did not foresee" not in page.content(), view
    for other in ("prepare", "labels", "sql"):
        go(page, f"/{other}?data={stem}@1")
        assert "did not foresee" not in page.content(), other

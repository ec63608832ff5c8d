"""The shipped pipelines on small data: what they decide, and what they leave."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from workbench.runs import notices
from workbench.runs.worker import Worker

pytestmark = pytest.mark.slow


def work(store, name, params, **options):
    run = store.pipelines.run(name, params, **options)
    Worker(store.dir, ["cpu"]).run_until_done(run.id)
    done = run.refresh()
    assert done.state == "done", (done.error, done.log())
    page = done.artifacts["files/report/report.html"].read_text()
    assert "<script src" not in page
    assert "http-equiv" not in page
    return done, page


def signal(n, shift, noise, seed):
    """A label that two columns decide, more or less; the fourth column is shifted."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    X[:, 3] += shift
    up = X[:, 0] + X[:, 1] + noise * rng.normal(size=n) > 0
    return pd.DataFrame(X, columns=list("abcd")).assign(label=np.where(up, "up", "down"))


def test_nightly_promotes_what_is_better_keeps_what_is_not_and_tells_of_drift(store, tmp_path):
    # Night one: noisy labels. Night two: clean ones, and a column that has moved. Night three: few and
    # noisy rows.
    nights = [signal(300, 0, 3, 0), signal(600, 2, 0.3, 1), signal(300, 2, 0.3, 2)]
    for i, frame in enumerate(nights, start=1):
        folder = tmp_path / "in" / f"2026-01-0{i}"
        folder.mkdir(parents=True)
        frame.to_csv(folder / "data.csv", index=False)
        (folder / "README").write_text("not data")
    params = {
        "name": "signal",
        "folder": str(tmp_path / "in" / "{date}"),
        "estimator": "sklearn.linear_model:LogisticRegression",
    }
    first, _ = work(store, "nightly", params, date="2026-01-01")
    assert store.models.aliased("signal").ref == "signal@1"
    assert "There was no champion" in _
    assert notices.recent(store.dir) == []

    second, page = work(store, "nightly", params, date="2026-01-02")
    assert second.scores["new_log_loss"] < second.scores["champion_log_loss"]
    assert second.scores["drifted"] == 1
    assert store.models.aliased("signal").ref == "signal@2"
    (notice,) = notices.recent(store.dir)
    assert (notice["kind"], notice["run"]) == ("drift", second.id)
    assert "d (index" in notice["text"]
    assert "Population stability index" in page
    # The same number from the data by hand: the champion of night one on the test rows of night two.
    from workbench.arrays import Split

    table = store.dataset("signal@2").to_table()
    _, test = Split().indices(len(table.X), y=table.y, seed=0)
    old = store.models.get("signal@1").load()
    by_hand = log_loss(table.y[test], old.predict_proba(table.X.iloc[test]), labels=old.classes_)
    assert second.scores["champion_log_loss"] == pytest.approx(by_hand)

    third, _ = work(store, "nightly", params, date="2026-01-03")
    assert third.scores["new_log_loss"] > third.scores["champion_log_loss"]
    assert third.scores["promoted"] == 0
    assert store.models.aliased("signal").ref == "signal@2"
    assert [model.ref for model in store.models.list()] == ["signal@2", "signal@1"]

    again, _ = work(store, "nightly", params, date="2026-01-03")
    reused = store.pipelines.steps(again.id).set_index("name")["reused"]
    # The verdict is reached anew, and is the same: so is the report on it.
    assert set(reused.dropna().index) == {"import", "drift", "train", "report"}
    assert len(store.datasets.versions("signal")) == 3
    assert first.scores["promoted"] == 1


def test_nightly_takes_a_query(store):
    store.datasets.publish_frame(signal(300, 0, 1, 0), "raw")
    work(
        store,
        "nightly",
        {
            "name": "asked",
            "sql": 'SELECT a, b, label FROM "raw" WHERE c > 0',
            "estimator": "sklearn.linear_model:LogisticRegression",
            "score": "auc",
        },
    )
    assert [column.name for column in store.dataset("asked").columns] == ["a", "b", "label"]


def test_one_encoder_serves_three_tasks(store):
    done, _ = work(store, "pretrain_tune", {"data": "BasicMotions", "epochs": 2, "tune_epochs": 2})
    assert done.scores["accuracy"] > done.scores["control_accuracy"]
    assert done.scores["filled_mae"] < done.scores["straight_line_mae"]
    steps = store.pipelines.steps(done.id).set_index("name")
    encoders = [
        store.run(steps.loc[name, "child"]).spec["params"]["encoders"] for name in ("classify", "group")
    ]
    assert encoders == [[{"$model": "BasicMotions-TS2Vec@1"}]] * 2


def test_fields_are_selected_and_probabilities_calibrated(store):
    rng = np.random.default_rng(0)
    n = 2000
    a, b, c = (rng.integers(6, size=n) for _ in range(3))
    frame = pd.DataFrame(
        {"a": a.astype(str), "b": b.astype(str), "c": c.astype(str), "x": rng.normal(size=n)}
    )
    logit = np.array([-2, 0, 1, 2, -1, 0])[a] + np.array([2, -1, 0, -2, 1, 0])[b] + 1.5 * frame["x"]
    frame["click"] = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    store.datasets.publish_frame(frame, "clicks", roles={"field": ["a", "b", "c", "x"], "label": ["click"]})
    done, _ = work(store, "select_retrain", {"data": "clicks", "selector": "MutualInformationSelector"})
    assert done.scores["after_error"] < done.scores["before_error"]
    left = {column.name for column in store.dataset("clicks-selected").columns}
    assert {"click"} < left <= {"a", "b", "c", "x", "click"}
    assert len(left) == done.scores["n_kept"] + 1


def test_bidders_are_tried_in_every_setting(store):
    from workbench.bidding.generate import generate_log

    log = generate_log(400, n_merchants=30, n_candidates=10, n_calibration=500, random_state=0)
    store.datasets.publish_frame(log.to_frame(), "bids")
    params = {"data": "bids", "budgets": [0.2, 0.5], "bidders": "Manual, UniformScale"}
    done, _ = work(store, "bidding_sweep", params)
    table = pd.read_csv(done.artifacts["files/report/sweep.csv"])
    assert sorted(set(zip(table["budget_fraction"], table["bidder"], strict=True))) == [
        (0.2, "Manual"), (0.2, "UniformScale"), (0.5, "Manual"), (0.5, "UniformScale"),
    ]  # fmt: skip
    assert done.scores["best_gmv"] == table["gmv"].max()


@pytest.fixture
def views(store):
    """Three classes, of which each of two modalities tells one."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=240)
    parts = {f"a_{i}": rng.normal(size=240) + 2.5 * (y == 0) for i in range(3)}
    parts |= {f"m_{i}": rng.normal(size=240) + 2.5 * (y == 1) for i in range(3)}
    frame = pd.DataFrame(parts).assign(label=np.array(["rest", "walk", "talk"])[y])
    roles = {f"modality:{part}": [f"{part}_{i}" for i in range(3)] for part in "am"} | {"label": ["label"]}
    store.datasets.publish_frame(frame, "views", roles=roles)


def test_modalities_are_reported_on_one_page(store, views):
    done, page = work(store, "modality_report", {"data": "views", "epochs": 2, "seeds": 1})
    assert done.headline.split(".")[0] in page
    assert "plotly" in page


def test_a_race_is_a_run_for_each_remedy_and_the_best_on_validation_rows_wins(store, views):
    params = {"data": "views", "remedies": "none auxiliary umt", "epochs": 4}
    done, page = work(store, "remedy_race", params)
    runs = {run.name.rpartition(": ")[2]: run for run in store.runs(state="done") if run.id != done.id}
    raced = {
        run.spec["params"].get("remedy", "none"): run for run in runs.values() if run.spec["split"]["inner"]
    }
    assert set(raced) == {"none", "auxiliary", "umt"}
    budgets = {
        run.spec["params"].get("n_epochs") for run in runs.values() if "remedy" not in run.spec["params"]
    }
    assert 8 in budgets  # umt's own baseline
    (winner,) = [run for run in runs.values() if not run.spec["split"]["inner"]]
    best = max(run.scores["test_accuracy"] for run in raced.values())
    assert done.scores["validation_score"] == best
    assert raced[winner.spec["params"]["remedy"]].scores["test_accuracy"] == best
    assert done.scores["test_score"] == winner.scores["test_accuracy"]
    assert done.headline[:30] in page


def test_a_single_run_is_done_again_on_the_latest_version(store):
    frame = signal(200, 0, 0.5, 0)
    roles = {"field": list("abcd"), "label": ["label"]}
    store.datasets.publish_frame(frame, "signal", roles=roles)
    first = store.submit("sklearn.linear_model:LogisticRegression", "signal", params={"C": 0.5}, seed=3)
    Worker(store.dir, ["cpu"]).run_until_done(first.id)
    store.datasets.publish_frame(frame.iloc[:150], "signal", roles=roles)
    run = store.pipelines.run("again", {"run": first.id})
    Worker(store.dir, ["cpu"]).run_until_done(run.id)
    assert run.refresh().state == "done", run.refresh().error
    (second,) = [each for each in store.runs() if each.parent == run.id]
    assert (second.state, second.dataset) == ("done", "signal@2")
    assert (second.spec["params"], second.spec["seed"]) == (first.spec["params"], 3)
    nothing = store.pipelines.run("again", {"run": run.id})
    Worker(store.dir, ["cpu"]).run_until_done(nothing.id)
    assert "only an estimator's run" in nothing.refresh().error

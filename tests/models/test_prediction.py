"""A model applied to a data set gives a data set, with its lineage; the card says what a model is."""

import json
import signal

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler
from streamlit.testing.v1 import AppTest

from workbench.cli import main
from workbench.ctr import LRClassifier
from workbench.errors import RunError, UsageError
from workbench.gui import models as page
from workbench.gui.config import PAGES
from workbench.models import prediction, save
from workbench.runs import process, queue
from workbench.runs.events import read_result
from workbench.timeseries import CSL


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Carry runs out here, which saves each of them the start of a process."""

    def carry_out(store, run):
        before = signal.getsignal(signal.SIGTERM)
        assert queue.claim(store.dir, "w", "cpu", ("cpu", "auto"), lease=60)["id"] == run.id
        process.main(run.folder)
        signal.signal(signal.SIGTERM, before)
        queue.finish(store.dir, run.id, "w", **read_result(run.folder))
        return store.run(run.id)

    monkeypatch.setattr("workbench.serving.wait_for", carry_out)


@pytest.fixture
def table(store):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"])
    frame["predicted"] = 1.0  # a column of that name is there already
    frame["label"] = np.where(frame["a"] > 0, "up", "down")
    roles = {"field": ["a", "b"], "label": ["label"]}
    return store.datasets.publish_frame(frame, "points", roles=roles)


@pytest.fixture
def keep(store, tmp_path):
    """``keep(estimator, name)``: save a fitted estimator as a model."""

    def make(estimator, name="line", dataset="points@1", **card):
        save(estimator, tmp_path / name)
        return store.models.add(tmp_path / name, name, dataset=dataset, card=card)

    return make


@pytest.fixture
def fitted(table, keep):
    frame = table.frame()
    model = LogisticRegression().fit(frame[["a", "b"]], frame["label"])
    keep(model, scores={"test_accuracy": 0.9}, headline="Good.", params={"C": 1.0}, seed=7)
    return model


def test_predictions_become_a_data_set_with_its_lineage(store, table, fitted):
    made = store.predict("line", "points", to="points scored")
    frame, original = made.frame(), table.frame()
    pd.testing.assert_frame_equal(frame[list(original.columns)], original)
    assert frame["predicted_2"].tolist() == fitted.predict(original[["a", "b"]]).tolist()
    proba = fitted.predict_proba(original[["a", "b"]])
    np.testing.assert_allclose(frame[["p_down", "p_up"]], proba)
    assert made.roles == table.roles  # what a model said is no feature of the next
    assert (made.importer, made.parent) == ("predict", "points@1")
    said = json.loads(made.recipe)["predict"]
    assert said["model"] == "line@1"
    assert store.run(said["run"]).state == "done"
    assert store.datasets.lineage("points").loc[0, ["parent", "child"]].tolist() == ["points@1", made.ref]
    assert [dataset.ref for dataset in prediction.made_by(store.datasets, "line@1")] == [made.ref]
    assert store.predict("line@1", "points", to="points scored").ref == "points scored@2"


def test_a_regressor_and_a_transformer(store, table, keep):
    frame = table.frame()
    X = frame[["a", "b"]]
    keep(LinearRegression().fit(X, frame["a"] * 2), "twice")
    np.testing.assert_allclose(
        store.predict("twice", "points", to="t").frame()["predicted_2"], frame["a"] * 2
    )
    keep(StandardScaler().fit(X), "scale")
    scaled = store.predict("scale", "points", to="s").frame()
    np.testing.assert_allclose(scaled[["f0", "f1"]], (X - X.mean()) / X.std(ddof=0))


def test_series_get_one_row_each(store, keep):
    X = np.random.default_rng(0).normal(size=(6, 16, 1))
    data = store.datasets.publish_arrays(X, np.array(list("abcabc")), name="waves")
    encoder = CSL(n_epochs=0, n_scales=2, n_shapelets=3, random_state=0).fit(X)
    keep(encoder, "shapelets", dataset=data.ref)
    made = store.predict("shapelets", "waves", to="features")
    frame = made.frame()
    names = [f"f{i}" for i in range(6)]
    assert list(frame.columns) == ["id", *names]
    assert made.roles == {"field": names}
    np.testing.assert_allclose(frame[names], encoder.transform(X), rtol=1e-5)


def test_a_model_of_some_columns_predicts_from_all(store, table, keep):
    """What a search for fields leaves reads fewer columns than the table that it was made from has."""
    frame = table.frame()
    keep(LogisticRegression().fit(frame[["b"]], frame["label"]), "smaller")
    made = store.predict("smaller", "points", to="by one column").frame()
    expected = LogisticRegression().fit(frame[["b"]], frame["label"]).predict(frame[["b"]])
    assert made["predicted_2"].tolist() == expected.tolist()


def test_values_that_were_not_learned_are_a_note(store, keep, capsys):
    frame = pd.DataFrame({"shop": ["a", "b"] * 30, "label": [0, 1] * 30})
    store.datasets.publish_frame(frame, "log", roles={"field": ["shop"], "label": ["label"]})
    keep(
        LRClassifier(batch_size=20, random_state=0).fit(frame[["shop"]], frame["label"]),
        "lr",
        dataset="log@1",
    )
    store.datasets.publish_frame(frame.assign(shop="z"), "new", roles={"field": ["shop"], "label": ["label"]})
    made = store.predict("lr", "new", to="said")
    sentence = "Rows hold values that were rare or absent in the training rows, in 'shop' (100%)"
    assert len(made.notes) == 1
    assert made.notes[0].startswith(sentence)
    assert main(["--store", str(store.root), "models", "predict", "lr", "new", "--to", "again"]) == 0
    assert f"note: {sentence}" in capsys.readouterr().out


def test_what_cannot_be_predicted_is_one_sentence_and_makes_nothing(store, table, fitted):
    store.datasets.publish_frame(pd.DataFrame({"z": [1.0, 2.0, 3.0]}), "other", roles={"field": ["z"]})
    with pytest.raises(RunError, match="does not fit this model"):
        store.predict("line", "other", to="x")
    with pytest.raises(UsageError, match="cannot be a name"):
        store.predict("line", "points", to="../x")
    with pytest.raises(UsageError, match="no model"):
        store.predict("none", "points", to="x")
    run = store.submit("sklearn.linear_model:LogisticRegression", "points")
    store.queue.cancel(run.id)
    with pytest.raises(RunError, match="applied no model"):
        prediction.publish(store.datasets, run, "x")
    assert "x" not in store.datasets


def test_the_commands(store, table, fitted, capsys):
    at = ["--store", str(store.root), "models"]
    assert main([*at, "predict", "line@1", "points", "--to", "scored", "--json"]) == 0
    out = capsys.readouterr().out
    told = json.loads(out[out.index("{") :])  # the run's own words stand before it
    assert (told["ref"], told["rows"]) == ("scored@1", 30)
    assert main([*at, "show", "line", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == {"test_accuracy": 0.9}


def test_the_card_shows_scores_parameters_and_lineage(store, table, fitted, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STORE", str(store.root))
    store.predict("line", "points", to="scored")
    app = AppTest.from_file(PAGES / "models.py", default_timeout=60)
    app.query_params["model"] = "line@1"
    app.run()
    assert not app.exception, app.exception
    assert not app.error
    assert any(header.value == "line\\@1" for header in app.subheader)
    scores = next(frame.value for frame in app.dataframe if "value" in frame.value)
    assert scores.iloc[0].tolist() == ["Test accuracy", "0.900"]
    facts = json.loads(app.json[0].value)
    assert facts["params"] == {"C": 1.0}
    assert facts["seed"] == 7
    assert facts["versions"]
    monkeypatch.setattr(page, "store", lambda: store)
    edges = page.lineage(store.models.get("line"))
    assert edges[["parent", "child"]].to_numpy().tolist() == [
        ["points@1", "model line@1"],
        ["model line@1", "scored@1"],
    ]


def test_the_run_page_keeps_predictions_as_a_data_set(store, table, fitted, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STORE", str(store.root))
    from workbench.serving import wait_for

    run = wait_for(store, store.apply("line", "points"))
    app = AppTest.from_file(PAGES / "run.py", default_timeout=60)
    app.query_params["run"] = run.id
    app.run()
    assert not app.exception, app.exception
    assert any(text.value == "points predicted" for text in app.text_input)

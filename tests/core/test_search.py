"""A search over hyper-parameters: what is drawn, what it is judged by; the test part stays unseen."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench import search
from workbench.arrays import Split
from workbench.errors import UsageError
from workbench.parameters import describe
from workbench.timeseries import TS2Vec, UniTSClassifier


def test_what_is_drawn_is_allowed_and_differs():
    vary = ["encoders", "fusion", "learning_rate", "batch_size", "mode"]
    drawn = search.draw(UniTSClassifier, 30, params={"penalty": 0.5}, vary=vary, seed=1)
    assert drawn[0] == {"penalty": 0.5}
    assert len({json.dumps(one, sort_keys=True) for one in drawn}) == 30
    for one in drawn[1:]:
        UniTSClassifier(**one)._validate_params()
        assert one["penalty"] == 0.5
        assert 1e-3 / 8.01 <= one["learning_rate"] <= 1e-3 * 8.01
        assert 8 <= one["batch_size"] <= 512
    rates = np.log([one["learning_rate"] for one in drawn[1:]])
    assert rates.std() > 0.5
    assert drawn == search.draw(UniTSClassifier, 30, params={"penalty": 0.5}, vary=vary, seed=1)


def test_what_can_be_searched_comes_from_the_estimator():
    names = {parameter.name for parameter in search.searchable(TS2Vec)}
    assert {"n_epochs", "learning_rate", "scaling", "nonneg", "depth"} <= names
    assert not {"random_state", "device", "verbose"} & names
    assert names < {parameter.name for parameter in describe(TS2Vec)}
    with pytest.raises(UsageError, match="penalty of UniTSClassifier cannot be searched"):
        search.draw(UniTSClassifier, 3, params={}, vary=["penalty"])
    assert search.draw(UniTSClassifier, 3, params={"penalty": 1.0}, vary=["penalty"])[2]["penalty"] > 0


def test_an_inner_split_leaves_the_test_part_out():
    y = np.repeat(["a", "b"], 40)
    column = np.tile(["train", "train", "train", "test"], 20)
    train, test = Split().indices(80, y=y, column=column)
    inner = Split(inner=True)
    learns, judges = inner.indices(80, y=y, column=column)
    assert set(learns) | set(judges) == set(train)
    assert not set(judges) & set(test)
    assert sorted(y[judges]).count("a") == len(judges) // 2


@pytest.fixture
def store(tmp_path):
    store = wb.open(tmp_path / "store")
    rng = np.random.default_rng(0)
    y = np.repeat(["low", "high"], 30)
    frame = pd.DataFrame({"a": np.where(y == "low", 0, 3) + rng.normal(size=60), "b": rng.normal(size=60)})
    frame["label"] = y
    store.datasets.publish_frame(frame, "Rows", roles={"label": "label", "field": ["a", "b"]})
    return store


def _finish(store, run):
    """Carry a run out, and enter what came of it as a worker would."""
    subprocess.run(
        [sys.executable, "-m", "workbench", "run", str(run.folder)], check=True, capture_output=True
    )
    result = json.loads((run.folder / "result.json").read_text())
    with store.dir.write() as connection:
        connection.execute(
            "UPDATE runs SET state = 'done', scores = ?, headline = ? WHERE id = ?",
            (json.dumps(result["scores"]), result["headline"], run.id),
        )


@pytest.mark.slow
def test_trials_are_runs_and_the_best_is_tested(store):
    estimator = "sklearn.tree:DecisionTreeClassifier"
    name = search.start(store, estimator, "Rows", n_trials=2, vary=["criterion"], seed=3)
    queued = search.trials(store, name)
    assert [run.name for run in queued] == [f"{name} trial 0{i} of DecisionTreeClassifier" for i in (1, 2)]
    assert all(run.spec["split"]["inner"] for run in queued)
    assert search.winner(queued) is None
    for run in queued:
        _finish(store, run)
    ended = search.trials(store, name)
    board = search.leaderboard(ended)
    assert board["score"].tolist() == sorted((search.objective(run)[1] for run in ended), reverse=True)
    best = search.winner(ended)
    assert best.id == board["id"].iloc[0]
    last = search.submit_winner(store, best)
    assert last.spec["params"] == best.spec["params"]
    assert not last.spec["split"]["inner"]
    assert last.spec["estimator"].endswith(":DecisionTreeClassifier")


def test_what_cannot_be_searched_is_said(store):
    with pytest.raises(UsageError, match="at least two trials and one parameter"):
        search.start(store, "timeseries.CSL", "Rows", n_trials=1, vary=["n_epochs"])
    with pytest.raises(UsageError, match="has no score to choose by"):
        search.start(store, "bidding.MarketComparison", "Rows", n_trials=3, vary=["x"])

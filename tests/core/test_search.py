"""A search over hyper-parameters: what is drawn, what it is judged by; the test part stays unseen."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench import search, smart
from workbench.arrays import Split
from workbench.errors import UsageError
from workbench.parameters import describe
from workbench.runs.worker import Worker
from workbench.timeseries import TS2Vec, UniTSClassifier


def tuned(score, n, *, vary=("encoders", "fusion", "learning_rate", "batch_size", "mode"), **options):
    """A tuner, and its trials by what they came to: ``(parameters of the last rung, rungs, score)``."""
    tuner = smart.Tuner(UniTSClassifier, {"penalty": 0.5}, vary, maximize=True, **options)
    trials = []
    for _ in range(n):
        trial, rung = tuner.ask(), 0
        while tuner.tell(trial, rung, score(tuner.params(trial, rung))):
            rung += 1
        trials.append((tuner.params(trial, rung), rung + 1, score(tuner.params(trial, rung))))
    return tuner, trials


def near(params):
    """Best at a learning rate of 0.004, with CSL, and with many epochs."""
    return -abs(math.log(params["learning_rate"] / 4e-3)) + ("CSL" in params["encoders"])


def test_what_is_drawn_is_allowed_and_differs():
    tuner, trials = tuned(near, 30, seed=1)
    first = trials[0][0]
    assert first | {"pretrain_epochs": None} == {
        "penalty": 0.5, "encoders": "TS2Vec", "fusion": "concat", "learning_rate": 1e-3, "batch_size": 64,
        "mode": "freeze", "pretrain_epochs": None,
    }  # fmt: skip
    drawn = [params for params, *_ in trials]
    assert len({json.dumps({**p, "pretrain_epochs": 0}, sort_keys=True) for p in drawn}) == 30
    for one in drawn:
        UniTSClassifier(**one)._validate_params()
        assert one["penalty"] == 0.5
        assert 1e-3 / 8.01 <= one["learning_rate"] <= 1e-3 * 8.01
        assert 8 <= one["batch_size"] <= 512
    assert tuner.epochs == [1, 3, 9]
    again, same = tuned(near, 30, seed=1)
    assert same == trials  # so a search that was cut short goes on where it was
    assert again.best() == tuner.best()
    assert tuned(near, 30, seed=2)[1] != trials


def test_optuna_draws_where_it_was_good():
    _, trials = tuned(near, 40, seed=0)
    found = [score for *_, score in trials]
    assert np.mean(found[-15:]) > np.mean(found[:15]) + 0.3


def test_what_is_no_good_ends_after_few_epochs():
    tuner, trials = tuned(near, 30, seed=0)
    rungs = np.array([n for _, n, _ in trials])
    scores = np.array([score for *_, score in trials])
    assert (rungs == 1).sum() >= 10
    assert 1 <= (rungs == 3).sum() <= 15
    assert scores[rungs == 3].mean() > scores[rungs == 1].mean()
    best = tuner.best()
    assert best["pretrain_epochs"] == 9
    assert near(best) == scores[rungs == 3].max()
    whole, trials = tuned(near, 5, halve=False)
    assert whole.epochs is None
    assert {n for _, n, _ in trials} == {1}


def test_failed_trials_are_passed_over():
    tuner, _ = tuned(lambda params: None if params["fusion"] == "concat" else near(params), 12)
    assert tuner.best()["fusion"] != "concat"
    assert tuned(lambda params: None, 3)[0].best() is None


def test_few_values_are_asked_for_once_each():
    tuner = smart.Tuner(UniTSClassifier, {}, ["mode"], maximize=True, halve=False)
    asked = []
    for _ in range(2):
        trial = tuner.ask()
        asked.append(trial.params["mode"])
        tuner.tell(trial, 0, 0.5)
    assert sorted(asked) == ["fine_tune", "freeze"]


def test_what_can_be_searched_comes_from_the_estimator():
    names = {parameter.name for parameter in search.searchable(TS2Vec)}
    assert {"n_epochs", "learning_rate", "scaling", "nonneg", "depth"} <= names
    assert not {"random_state", "device", "verbose"} & names
    assert names < {parameter.name for parameter in describe(TS2Vec)}
    with pytest.raises(UsageError, match="penalty of UniTSClassifier cannot be searched"):
        smart.space(UniTSClassifier, {}, ["penalty"])
    with pytest.raises(UsageError, match="other than the epochs"):
        smart.Tuner(TS2Vec, {}, ["n_epochs"], maximize=True)
    drawn = smart.space(UniTSClassifier, {"penalty": 1.0}, ["penalty"])["penalty"]
    assert (drawn.low, drawn.high, drawn.log) == (0.125, 8.0, True)


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


@pytest.mark.slow
def test_trials_are_runs_and_the_best_is_tested(store):
    estimator = "sklearn.tree:DecisionTreeClassifier"
    main = search.start(store, estimator, "Rows", n_trials=2, vary=["criterion"], seed=3)
    Worker(store.dir, ["cpu", "cpu"]).run_until_done(main.id)
    main = main.refresh()
    assert main.state == "done", main.log()
    found = search.trials(store, main.id)
    assert [run.name for run in found] == ["smart_search: trial 01", "smart_search: trial 02"]
    board = search.leaderboard(found)
    assert board["score"].tolist() == sorted((search.objective(run)[1] for run in found), reverse=True)
    best, test = search.winner(found), search.tested(store, main.id)
    assert best.id == board["id"].iloc[0]
    assert test.spec["params"]["criterion"] == best.spec["params"]["criterion"]
    assert not test.spec["split"]["inner"]
    assert main.scores["test_accuracy"] == test.scores["test_accuracy"]


def test_what_cannot_be_searched_is_said(store):
    with pytest.raises(UsageError, match="at least two trials and one parameter"):
        search.start(store, "timeseries.CSL", "Rows", n_trials=1, vary=["n_epochs"])
    with pytest.raises(UsageError, match="has no score to choose by"):
        search.start(store, "bidding.MarketComparison", "Rows", n_trials=3, vary=["x"])
    assert store.runs() == []

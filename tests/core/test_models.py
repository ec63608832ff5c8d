"""Saved estimators: what comes back is what was saved, and nothing unsafe is ever built."""

import functools
import json
import math
import os

import numpy as np
import pytest
from acme_workbench import BandPower
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from workbench.errors import ModelError, UsageError
from workbench.models import load, save

SERIES = np.random.default_rng(0).normal(size=(6, 32, 2))
pytestmark = pytest.mark.usefixtures("third_party")


class Everything(BaseEstimator):
    """Learned attributes of every kind that can be saved."""

    def __init__(self, inner=None, bounds=(0.0, math.inf)):
        self.inner = inner
        self.bounds = bounds

    def fit(self, X, y):
        self.nested_ = {"w": [np.arange(3.0), np.float32(2.5)], 7: ("a", None, True)}
        self.classes_ = np.unique(y)
        self.labels_ = np.array(["a", None, 3], dtype=object)
        self.empty_ = np.empty((0, 3), dtype=np.float32)
        self.missing_ = math.nan
        self.model_ = LogisticRegression().fit(X, y)
        return self


@pytest.fixture
def fitted():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return Everything(inner=LogisticRegression(C=3)).fit(X, np.where(X[:, 0] > 0, "up", "down"))


def test_every_kind_of_learned_attribute_comes_back(fitted, tmp_path):
    save(fitted, tmp_path / "m")
    back = load(tmp_path / "m", trusted={f"{__name__}:Everything": Everything})
    assert back.inner.C == 3
    assert back.bounds == (0.0, math.inf)
    np.testing.assert_array_equal(back.nested_["w"][0], fitted.nested_["w"][0])
    assert back.nested_["w"][1] == np.float32(2.5)
    assert isinstance(back.nested_["w"][1], np.float32)
    assert back.nested_[7] == ("a", None, True)
    assert back.classes_.dtype == fitted.classes_.dtype
    assert back.labels_.tolist() == ["a", None, 3]
    assert back.empty_.shape == (0, 3)
    assert back.empty_.dtype == np.float32
    assert math.isnan(back.missing_)
    X = np.random.default_rng(1).normal(size=(5, 3))
    np.testing.assert_array_equal(back.model_.predict_proba(X), fitted.model_.predict_proba(X))


def test_a_registered_estimator_needs_no_trust(tmp_path):
    fitted = BandPower(n_bands=3).fit(SERIES)
    save(fitted, tmp_path / "m", note="kept")
    np.testing.assert_array_equal(load(tmp_path / "m").transform(SERIES), fitted.transform(SERIES))
    head = json.loads((tmp_path / "m" / "estimator.json").read_text())
    assert head["class"] == "acme.BandPower"
    assert head["card"] == {"note": "kept"}


def test_a_class_that_is_not_installed_is_not_built(fitted, tmp_path):
    save(fitted, tmp_path / "m")
    with pytest.raises(ModelError, match="not installed"):
        load(tmp_path / "m")


@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "builtins:eval"])
def test_a_tampered_class_is_not_built(fitted, tmp_path, name):
    save(fitted, tmp_path / "m")
    path = tmp_path / "m" / "estimator.json"
    head = json.loads(path.read_text())
    head["state"]["nested_"] = {"estimator": {"class": name, "params": {}, "state": {}}}
    path.write_text(json.dumps(head))
    with pytest.raises(ModelError, match="not installed"):
        load(tmp_path / "m", trusted={f"{__name__}:Everything": Everything})


@pytest.mark.parametrize("code", [print, functools.partial(os.system, "true")])
def test_a_skops_file_with_foreign_code_is_refused(tmp_path, code):
    import skops.io

    save(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "m")
    skops.io.dump(FunctionTransformer(func=code), tmp_path / "m" / "evil.skops")
    path = tmp_path / "m" / "estimator.json"
    head = json.loads(path.read_text())
    path.write_text(json.dumps(head | {"skops": "evil.skops"}))
    with pytest.raises(ModelError, match="safely"):
        load(tmp_path / "m")
    path.write_text(json.dumps(head | {"skops": "../evil.skops"}))
    with pytest.raises(ModelError, match="not a file of the saved estimator"):
        load(tmp_path / "m")


def test_state_may_only_set_learned_attributes(tmp_path):
    save(BandPower().fit(SERIES), tmp_path / "m")
    path = tmp_path / "m" / "estimator.json"
    head = json.loads(path.read_text())
    path.write_text(json.dumps(head | {"state": {"fit": 1}}))
    with pytest.raises(ModelError, match="learned attribute"):
        load(tmp_path / "m")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_damaged_file_is_one_sentence(tmp_path, damage):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "estimator.json").write_text(damage)
    with pytest.raises(ModelError):
        load(tmp_path / "m")


def test_what_cannot_be_plain_data_is_named_and_nothing_is_left(fitted, tmp_path):
    fitted.callback_ = print
    with pytest.raises(ModelError, match="callback_ is a builtin"):
        save(fitted, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_versions_of_a_model_in_a_store(store, tmp_path):
    save(BandPower().fit(SERIES), tmp_path / "m")
    first = store.models.add(tmp_path / "m", "bands", card={"scores": {"a": 1}})
    second = store.models.add(tmp_path / "m", "bands")
    assert (first.ref, second.ref) == ("bands@1", "bands@2")
    assert store.models.get("bands").ref == "bands@2"
    assert store.models.get("bands@1").card == {"scores": {"a": 1}}
    assert isinstance(store.models.get("bands@1").load(), BandPower)
    store.models.delete("bands@2")
    assert [model.ref for model in store.models.list()] == ["bands@1"]
    assert not second.path.exists()
    with pytest.raises(UsageError, match="no model 'other'"):
        store.models.get("other")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a@b", "x" * 101, "a'b"])
def test_names_that_could_leave_the_store_are_refused(store, tmp_path, name):
    save(BandPower().fit(SERIES), tmp_path / "m")
    with pytest.raises(UsageError, match="cannot be a name"):
        store.models.add(tmp_path / "m", name)


def test_a_frozen_estimator_of_ours_inside_another_is_saved_with_it(tmp_path):
    from sklearn.frozen import FrozenEstimator

    from workbench.timeseries import TS2Vec, UniTSClusterer

    X = np.random.default_rng(0).normal(size=(12, 16, 2))
    encoder = TS2Vec(n_epochs=1, random_state=0).fit(X)
    model = UniTSClusterer(2, [FrozenEstimator(encoder)], random_state=0).fit(X)
    save(model, tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert (loaded.predict(X) == model.predict(X)).all()
    assert isinstance(loaded.encoders[0], FrozenEstimator)
    assert (loaded.encoders[0].transform(X) == encoder.transform(X)).all()


# --- decision trees -----------------------------------------------------------------------------

TREES = {
    "forest": RandomForestClassifier(3, random_state=0),
    "boosted": GradientBoostingClassifier(n_estimators=2, random_state=0),
    "histogram": HistGradientBoostingClassifier(max_iter=2, categorical_features=[1], random_state=0),
    "isolation": IsolationForest(n_estimators=3, random_state=0),
    "a network": MLPClassifier((4,), tol=1.0, random_state=0),
    "best first": DecisionTreeClassifier(max_leaf_nodes=5, random_state=0),
    "in a pipeline": make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=3, random_state=0)),
}


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=120), rng.integers(4, size=120)])
    return X, (X[:, 0] + (X[:, 1] == 2) > 0).astype(int)


@pytest.mark.parametrize("name", TREES)
def test_trees_come_back_and_predict_the_same(rows, tmp_path, name):
    X, y = rows
    fitted = clone(TREES[name]).fit(X, y)
    save(fitted, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict(X), fitted.predict(X))


def _beyond(tree):
    tree.children_left[0] = tree.node_count


def _round(tree):
    tree.children_right[0] = 0


def _feature(tree):
    tree.feature[0] = tree.n_features


@pytest.mark.parametrize("tamper", [_beyond, _round, _feature])
def test_a_tree_that_leads_nowhere_is_refused(rows, tmp_path, tamper):
    fitted = clone(TREES["forest"]).fit(*rows)
    tamper(fitted.estimators_[1].tree_)
    save(fitted, tmp_path / "model")
    with pytest.raises(ModelError, match="A decision tree of the saved estimator"):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    ("field", "value"), [("left", 10**6), ("right", 0), ("feature_idx", 2), ("bitset_idx", 9)]
)
def test_a_boosted_tree_that_leads_nowhere_is_refused(rows, tmp_path, field, value):
    fitted = clone(TREES["histogram"]).fit(*rows)
    nodes = fitted._predictors[0][0].nodes
    wanted = (nodes["is_leaf"] == 0) & ((field != "bitset_idx") | (nodes["is_categorical"] == 1))
    nodes[field][np.flatnonzero(wanted)[0]] = value
    save(fitted, tmp_path / "model")
    with pytest.raises(ModelError, match="A decision tree of the saved estimator"):
        load(tmp_path / "model")

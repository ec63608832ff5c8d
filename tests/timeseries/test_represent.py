"""The recipe: what its report holds, with labels, without, in part; and that it continues."""

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from workbench.arrays import SeriesData, Split
from workbench.report import IMPORTANCE_COLUMNS, NullReporter, Report
from workbench.timeseries import CSL
from workbench.timeseries._importance import explained_by_classes, kept_by_accuracy
from workbench.timeseries.recipe import embedding_map, represent
from workbench.training import Callback, Checkpoint, Stopped, callbacks


class Series:
    """A data set held in memory."""

    ref = "BasicMotions@1"

    def __init__(self, X, y, split):
        ids = np.array([f"s{i}" for i in range(len(X))])
        self.series = SeriesData(X, y, split, ids, tuple(f"axis {i}" for i in range(X.shape[2])))

    def to_series(self):
        return self.series


class Recording(NullReporter):
    """Names stages, and checkpoints what is fitted inside, as a run's reporter does."""

    def __init__(self, folder=None, stop_after=None):
        self.folder, self.stop_after = folder, stop_after
        self.planned, self.stages, self.batches = {}, [], 0

    def plan(self, stages):
        self.planned = stages

    @contextmanager
    def stage(self, name, *, weight=1.0):
        self.stages.append(name)
        outer = self

        class Watch(Callback):
            def on_batch_end(self, loop):
                outer.batches += 1
                if outer.batches == outer.stop_after:
                    loop.interrupt()

        added = (Watch(),) if self.folder is None else (Checkpoint(self.folder / name), Watch())
        with callbacks(*added):
            yield


def small(n_epochs):
    """A bank of 60 shapelets of 5 and 40 steps."""
    return CSL(n_epochs=n_epochs, n_scales=2, n_shapelets=30, device="cpu")


@pytest.fixture(scope="module")
def data(basic_motions):
    X, y, X_test, y_test = basic_motions
    X, X_test = X[:, ::2], X_test[:, ::2]
    split = np.array(["train"] * len(X) + ["test"] * len(X_test))
    return Series(np.concatenate([X, X_test]), np.concatenate([y, y_test]), split)


@pytest.fixture(scope="module")
def estimator():
    return small(3)


@pytest.fixture(scope="module")
def report(data, estimator):
    return represent(estimator, data, Split(), 0, NullReporter())


def test_scores_stand_beside_the_untrained_control(report, data):
    assert report.scores["test_accuracy"] >= 0.9
    for name in ("test_accuracy", "nmi", "rand_index", "cv_accuracy"):
        assert 0 < report.scores[name] <= 1
        assert 0 < report.scores[f"untrained_{name}"] <= 1
    assert report.scores["nmi"] > report.scores["untrained_nmi"]
    assert report.scores["seconds"] > 0
    assert report.headline.startswith(
        f"Test accuracy {report.scores['test_accuracy']:.3f} on 40 series; untrained"
    )
    table = report.tables["scores"].set_index(["model", "metric"])["value"]
    assert table["trained", "test_accuracy"] == report.scores["test_accuracy"]
    assert table["untrained", "test_accuracy"] == report.scores["untrained_test_accuracy"]


def test_the_estimator_given_stays_unfitted_and_the_seed_is_used(data, estimator, report):
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    assert estimator.random_state is None
    assert report.estimator.random_state == 0
    by_hand = clone(report.estimator).fit(data.series.X[:40])
    np.testing.assert_array_equal(by_hand.transform(data.series.X), report.estimator.transform(data.series.X))


def test_tables_agree_with_each_other(report, data):
    embedding, confusion = report.tables["embedding"], report.tables["confusion"]
    assert embedding["id"].tolist() == data.series.ids.tolist()
    assert embedding["split"].value_counts().to_dict() == {"train": 40, "test": 40}
    test = embedding[embedding["split"] == "test"]
    assert test["correct"].mean() == pytest.approx(report.scores["test_accuracy"])
    assert ((test["label"] == test["predicted"]) == test["correct"]).all()
    assert embedding.loc[embedding["split"] == "train", "predicted"].isna().all()
    assert confusion["count"].sum() == 40
    hits = confusion.loc[confusion["true"] == confusion["predicted"], "count"].sum()
    assert hits / 40 == pytest.approx(report.scores["test_accuracy"])
    assert report.tables["per_class"]["support"].tolist() == [10] * 4
    assert set(report.tables["curve"]["name"]) == {"loss", "coarse", "fine", "alignment", "decorrelation"}
    assert report.tables["curve"]["epoch"].max() == 3
    assert report.tables["features"].shape == (80, 61)


def test_importance_ranks_all_shapelets_and_counts_their_multiplications(report):
    table = report.tables["importance"]
    assert set(IMPORTANCE_COLUMNS) <= set(table.columns)
    assert len(table) == 60
    assert table["score"].is_monotonic_decreasing
    assert 0 < table["kept"].sum() < 60
    assert table["kept"].is_monotonic_decreasing
    one = table[table["component"] == "cosine_5_3"].iloc[0]
    assert one["kind"] == "cosine"
    assert one["cost"] == (50 - 5 + 1) * 5 * 6


def test_shapelets_and_matches_are_those_of_the_estimator(report, data):
    shapelets, matches = report.tables["shapelets"], report.tables["matches"]
    best = report.tables["importance"].iloc[0]
    drawn = shapelets[shapelets["shapelet"] == best["component"]]
    expected = report.estimator.shapelets_[best["feature"]]
    np.testing.assert_allclose(drawn.pivot_table(index="step", columns="channel", values="value"), expected)
    start, value = report.estimator.locate(data.series.X)
    for row in matches[matches["shapelet"] == best["component"]].itertuples():
        assert row.start == start[row.series, best["feature"]]
        assert row.score == pytest.approx(value[row.series, best["feature"]])
        assert row.start + row.length <= 50
        assert row.id == data.series.ids[row.series]


def test_the_report_survives_saving(report, tmp_path):
    report.save(tmp_path)
    loaded = Report.load(tmp_path)
    assert loaded.scores == report.scores
    for name, table in report.tables.items():
        pd.testing.assert_frame_equal(loaded.tables[name], table, check_dtype=False)


def test_without_labels_it_is_a_representation_only(data, tmp_path):
    bare = Series(data.series.X, None, None)
    found = represent(small(1), bare, Split(), 0, NullReporter())
    assert set(found.scores) == {"seconds"}
    assert {"embedding", "importance", "curve", "shapelets", "matches"} <= set(found.tables)
    assert "confusion" not in found.tables
    assert found.tables["embedding"]["label"].isna().all()
    found.save(tmp_path)


def test_missing_labels_are_left_out(data, tmp_path):
    y = np.array(data.series.y, dtype=object)
    y[::3] = None
    found = represent(small(1), Series(data.series.X, y, data.series.split), Split(), 0, NullReporter())
    assert found.tables["confusion"]["count"].sum() == pd.notna(y[40:]).sum()
    assert found.scores["test_accuracy"] > 0.8
    found.save(tmp_path)


def test_any_transformer_will_do(data):
    found = represent(PCA(5), data, Split(), 0, NullReporter())
    assert "untrained_test_accuracy" not in found.scores
    assert found.scores["test_accuracy"] > 0.4
    assert found.tables["importance"]["component"].tolist() != []
    assert "shapelets" not in found.tables


def test_an_interrupted_run_continues_to_the_same_report(data, tmp_path, report):
    with pytest.raises(Stopped):
        represent(small(3), data, Split(), 0, Recording(tmp_path, stop_after=7))
    again = Recording(tmp_path)
    resumed = represent(small(3), data, Split(), 0, again)
    assert again.batches == 15 - 7
    assert again.stages == list(again.planned) == ["train", "untrained", "evaluate"]
    for name, table in report.tables.items():
        pd.testing.assert_frame_equal(resumed.tables[name], table)


def test_explained_by_classes_equals_the_ratio_of_sums_of_squares():
    generator = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    Z = np.column_stack([y + generator.normal(size=60), generator.normal(size=60), np.ones(60)])
    found = explained_by_classes(Z, y)
    within = sum(((Z[y == k, 0] - Z[y == k, 0].mean()) ** 2).sum() for k in range(3))
    assert found[0] == pytest.approx(1 - within / ((Z[:, 0] - Z[:, 0].mean()) ** 2).sum())
    assert found[0] > found[1] > found[2] == 0


def test_one_telling_feature_is_kept_among_noise():
    generator = np.random.default_rng(0)
    y = np.repeat(["a", "b"], 40)
    Z = generator.normal(size=(80, 30))
    Z[:, 7] = np.where(y == "a", 8, -8)
    assert kept_by_accuracy(Z, y, C=1.0, seed=0) <= 2


@pytest.mark.parametrize(("n", "p"), [(2, 5), (6, 1), (9, 4), (40, 3)])
def test_embedding_map_of_any_size(n, p):
    Z = np.random.default_rng(0).normal(size=(n, p))
    plane = embedding_map(Z)
    assert plane.shape == (n, 2)
    assert np.isfinite(plane).all()
    np.testing.assert_array_equal(plane, embedding_map(Z))

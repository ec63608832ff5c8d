"""Split, Report and the registry: the interfaces that every family and every third party is written to."""

import math

import numpy as np
import pandas as pd
import pytest

from workbench import Split, registry
from workbench.errors import DatasetError, EstimatorNotFound, RunError, UsageError
from workbench.report import Report


def test_a_split_column_is_obeyed_and_its_order_kept():
    column = np.array(["test", "train", "Train", "test", "TRAIN"])
    train, test = Split("auto").indices(5, column=column)
    assert train.tolist() == [1, 2, 4]
    assert test.tolist() == [0, 3]


def test_a_random_split_is_stratified_disjoint_complete_and_seeded():
    y = np.repeat(["a", "b", "c"], [60, 30, 10])
    train, test = Split("random", 0.3).indices(100, y=y, seed=1)
    assert sorted([*train, *test]) == list(range(100))
    assert np.unique(y[test], return_counts=True)[1].tolist() == [18, 9, 3]
    again = Split("random", 0.3).indices(100, y=y, seed=1)[1]
    other = Split("random", 0.3).indices(100, y=y, seed=2)[1]
    assert test.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize(
    "y",
    [
        np.array(["a"] * 9 + ["b"]),  # a class with one member
        np.array(["a", None] * 5, dtype=object),  # missing labels
        np.arange(10.0),  # a regression target
    ],
)
def test_a_random_split_without_strata_still_splits(y):
    train, test = Split("random", 0.3).indices(10, y=y)
    assert len(train) == 7
    assert len(test) == 3


def test_a_split_that_cannot_be_made_says_why():
    with pytest.raises(DatasetError, match="no split column"):
        Split("column").indices(4)
    with pytest.raises(DatasetError, match="both 'train' and 'test'"):
        Split("column").indices(2, column=np.array(["train", "train"]))
    with pytest.raises(DatasetError, match="At least two rows"):
        Split("random").indices(1)
    with pytest.raises(UsageError, match="between 0 and 1"):
        Split("random", 1.5)
    with pytest.raises(UsageError, match="not one of"):
        Split("time")


def test_a_report_comes_back_as_it_was_saved(tmp_path):
    table = pd.DataFrame({"x": [1.5, math.nan], "label": ["a", None], "n": [1, 2]})
    report = Report("r", "One sentence.", {"accuracy": 0.5, "loss": math.nan}, {"table": table})
    report.save(tmp_path / "report")
    back = Report.load(tmp_path / "report")
    assert (back.recipe, back.headline, back.scores["accuracy"]) == ("r", "One sentence.", 0.5)
    assert math.isnan(back.scores["loss"])
    assert back.tables["table"]["x"].iloc[0] == 1.5
    assert back.tables["table"]["n"].dtype == np.int64
    assert back.tables["table"].isna().to_numpy().tolist() == table.isna().to_numpy().tolist()


def test_an_importance_table_has_its_columns():
    with pytest.raises(RunError, match="component, kind, score, cost, kept"):
        Report("r", "", {}, {"importance": pd.DataFrame({"name": ["a"]})})


def test_a_damaged_report_is_one_sentence(tmp_path):
    Report("r", "", {}, {"t": pd.DataFrame({"x": [1]})}).save(tmp_path)
    (tmp_path / "t.parquet").write_bytes(b"x")
    with pytest.raises(RunError, match="missing or damaged"):
        Report.load(tmp_path)


def test_a_third_party_is_found_by_entry_point():
    assert "acme.BandPower" in registry.estimator_names()
    cls = registry.estimator("acme.BandPower")
    assert cls.__name__ == "BandPower"
    assert registry.name_of(cls) == "acme.BandPower"
    assert registry.recipe_of(cls) == "acme.band_ranking"
    assert registry.recipe("acme.band_ranking").__name__ == "band_ranking"
    assert registry.figures_of("acme.band_ranking") is not None
    assert registry.view_of("acme.band_ranking") is not None
    assert registry.view_of("nothing") is None


def test_an_import_path_is_an_estimator_too():
    from sklearn.svm import SVC

    assert registry.estimator("sklearn.svm:SVC") is SVC
    assert registry.recipe_of(SVC) == "fit_score"
    assert registry.name_of(SVC) == "sklearn.svm._classes:SVC"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timeseries.CLS", "Did you mean 'timeseries.CSL'"),
        ("sklearn.svm:Nothing", "cannot be imported"),
        ("no_such_module:X", "cannot be imported"),
    ],
)
def test_an_unknown_estimator_is_one_sentence(name, words):
    with pytest.raises(EstimatorNotFound, match=words):
        registry.estimator(name)

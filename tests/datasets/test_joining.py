"""Series of several data sets as one."""

import numpy as np
import pytest

import workbench as wb
from workbench.arrays import Split
from workbench.datasets.joining import join_series
from workbench.errors import DatasetError


@pytest.fixture
def library(tmp_path):
    return wb.open(tmp_path / "store").datasets


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_series_follow_one_another_and_only_the_first_ones_are_labelled_and_tested(library):
    X, other = numbers(10, 8, 2), numbers(6, 5, 2, seed=1)
    other[2, 3:] = np.nan
    X[1, 2, 0] = np.nan
    first = library.publish_arrays(X, np.array(["a", "b"] * 5), name="first", channels=["u", "v"])
    second = library.publish_arrays(other, np.arange(6), name="second")
    joined = join_series(library, [first, second], "both", split=Split(test_size=0.4), seed=3)
    series = joined.to_series()
    assert series.X.shape == (16, 8, 2)
    np.testing.assert_array_equal(series.X[:10], X)
    np.testing.assert_array_equal(series.X[10:, :5], other)
    assert np.isnan(series.X[10:, 5:]).all()
    assert series.channels == ("u", "v")
    assert series.ids[[0, 9, 10]].tolist() == ["first/0", "first/9", "second/0"]
    assert series.y[:10].tolist() == ["a", "b"] * 5
    assert [label is None for label in series.y] == [False] * 10 + [True] * 6
    _, test = Split(test_size=0.4).indices(10, y=first.to_series().y, seed=3)
    assert np.flatnonzero(series.split == "test").tolist() == test.tolist()
    assert joined.parent == "first@1, second@1"


def test_a_shift_keeps_all_labels_and_says_which_series_are_the_target(library):
    first = library.publish_arrays(numbers(4, 6, 1), np.array(["a", "b"] * 2), name="first")
    second = library.publish_arrays(
        numbers(4, 6, 1, seed=1), np.array([1.0, 2.0, np.nan, 1.0]), name="second"
    )
    series = join_series(library, [first, second], "both", domain=True).to_series()
    assert series.domain.tolist() == ["source"] * 4 + ["target"] * 4
    assert series.y.tolist() == ["a", "b", "a", "b", "1", "2", None, "1"]
    assert series.split is None


def test_names_of_variables_are_kept(library):
    first = library.publish_arrays(numbers(4, 6, 1), name="first", channels=["Split"])
    second = library.publish_arrays(numbers(3, 6, 1), name="first")
    series = join_series(library, [first, second], "both").to_series()
    assert series.channels == ("Split",)
    assert series.ids[[0, 4]].tolist() == ["first@1/0", "first@2/0"]


def test_another_number_of_variables_is_refused(library):
    first = library.publish_arrays(numbers(4, 6, 1), name="first")
    second = library.publish_arrays(numbers(4, 6, 3), name="second")
    with pytest.raises(DatasetError, match="second@1 has 3 variables and first@1 has 1"):
        join_series(library, [first, second], "both")
    with pytest.raises(DatasetError, match="first@1 is named twice"):
        join_series(library, [first, first], "both")
    assert "both" not in library

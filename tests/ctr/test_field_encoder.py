"""The field encoder against what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench import models
from workbench.ctr import FieldEncoder, FieldsError
from workbench.ctr._numbers import NumbersBuilder
from workbench.ctr.encoder import MISSING, UNSEEN


@parametrize_with_checks([FieldEncoder(), FieldEncoder(numeric="bins")])
def test_scikit_learn_rules(estimator, check):
    check(estimator)


def frame():
    return pd.DataFrame(
        {
            "city": ["Rome", "Oslo", None, "Rome", "Lima", "Oslo", "Rome"],
            "price": [1.0, 10.0, 100.0, np.nan, 2.0, 4.0, 8.0],
            "tags": [["a", "b"], [], None, ["b"], ["b", "c"], ["a"], ["b"]],
            "seen": ["x|y|z|w", "x", "", None, "w|x", "y", "x"],
        }
    )


def encoder(**options):
    return FieldEncoder(kinds={"seen": "sequence"}, max_length=3, **options)


def test_indices_follow_frequency_then_value():
    fitted = encoder().fit(frame())
    assert fitted.vocabularies_["city"].tolist() == ["Rome", "Oslo", "Lima"]
    assert fitted.counts_["city"].tolist() == [0, 1, 3, 2, 1]
    assert fitted.encode(frame()).ids[:, 0].tolist() == [2, 3, MISSING, 2, 4, 3, 2]


def test_lists_are_cut_and_padded_and_a_sequence_keeps_its_end():
    fitted = encoder().fit(frame())
    tags, seen = fitted.encode(frame()).lists
    place = {value: i + 2 for i, value in enumerate(fitted.vocabularies_["tags"])}
    assert tags[0].tolist() == [place["a"], place["b"], MISSING]
    assert tags[1].tolist() == tags[2].tolist() == [MISSING] * 3
    place = {value: i + 2 for i, value in enumerate(fitted.vocabularies_["seen"])}
    assert seen[0].tolist() == [place["y"], place["z"], place["w"]]
    assert seen[2].tolist() == seen[3].tolist() == [MISSING] * 3


def test_unseen_and_rare_values_share_the_reserved_index():
    fitted = encoder(min_count=2).fit(frame())
    assert fitted.vocabularies_["city"].tolist() == ["Rome", "Oslo"]
    assert fitted.counts_["city"].tolist() == [1, 1, 3, 2]
    new = frame().head(2).assign(city=["Lima", "Paris"])
    assert fitted.encode(new).ids[:, 0].tolist() == [UNSEEN, UNSEEN]


@pytest.mark.parametrize(
    ("numeric", "expected"),
    [
        ("log", lambda x: np.log1p(x)),
        ("standard", lambda x: x),
        ("quantile", lambda x: (pd.Series(x).rank() - 0.5) / len(x)),
    ],
)
def test_numbers_have_mean_0_and_variance_1(numeric, expected):
    x = np.random.default_rng(0).lognormal(5, 2, 400)
    X = pd.DataFrame({"x": np.r_[x, np.nan]})
    out = FieldEncoder(numeric=numeric).fit(X).encode(X).numbers[:, 0]
    wanted = np.asarray(expected(x))
    np.testing.assert_allclose(out[:-1], (wanted - wanted.mean()) / wanted.std(), atol=5e-3)
    assert np.isnan(out[-1])


def test_bins_hold_equally_many_rows():
    X = pd.DataFrame({"x": np.random.default_rng(0).permutation(1000.0 + np.arange(1000))})
    out = FieldEncoder(numeric="bins", n_bins=10).fit(X).encode(X).ids[:, 0]
    assert np.unique(out, return_counts=True)[1].tolist() == [100] * 10


def test_a_column_of_whole_numbers_is_the_same_with_gaps_and_as_text():
    fitted = FieldEncoder(kinds={"id": "categorical"}).fit(pd.DataFrame({"id": [7, 7, 9]}))
    for column in ([9.0, np.nan, 7.0], ["9", None, "7"], pd.array([9, None, 7], dtype="Int64")):
        assert fitted.encode(pd.DataFrame({"id": column})).ids[:, 0].tolist() == [3, MISSING, 2]
    assert fitted.encode(pd.DataFrame({"id": [7.5, 9.0]})).ids[:, 0].tolist() == [UNSEEN, 3]


def test_hashing_needs_no_vocabulary_and_gives_new_values_a_bucket():
    X = pd.DataFrame({"user": [f"u{i}" for i in range(1000)]})
    fitted = FieldEncoder(n_buckets=64).fit(X)
    assert len(fitted.vocabularies_["user"]) == 0
    ids = fitted.encode(X).ids[:, 0]
    assert ids.min() >= 2
    assert ids.max() < 66
    assert fitted.counts_["user"].tolist() == np.bincount(ids, minlength=66).tolist()
    new = fitted.encode(pd.DataFrame({"user": ["never seen", None]})).ids[:, 0]
    assert new[0] >= 2
    assert new[1] == MISSING
    assert len(set(ids.tolist())) > 55  # of 64


def test_batches_are_learned_like_the_whole_table():
    whole = pd.concat([frame()] * 30, ignore_index=True)
    parts = pa.Table.from_pandas(whole, preserve_index=False).to_batches(max_chunksize=37)
    one, many = encoder().fit(whole), encoder().fit(parts)
    for name in one.counts_:
        assert one.counts_[name].tolist() == many.counts_[name].tolist()
        assert one.vocabularies_[name].tolist() == many.vocabularies_[name].tolist()
    np.testing.assert_allclose(one.transform(whole), many.transform(pa.table(whole)), rtol=1e-6)


def test_a_shared_vocabulary_counts_both_fields():
    X = pd.DataFrame({"item": ["a", "b"], "history": [["b", "c"], ["c", "c"]]})
    fitted = FieldEncoder(kinds={"history": "sequence"}, shared={"history": "item"}, max_length=2).fit(X)
    assert fitted.vocabularies_["item"].tolist() == ["c", "b", "a"]
    assert "history" not in fitted.vocabularies_
    assert fitted.encode(X).lists[0].tolist() == [[3, 2], [2, 2]]
    assert fitted.layout().n_rows == 5


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=2, max_size=40))
@example(["", "\x00", None, "0", "0\x00", "\x000"])  # NUL is a character like any other
def test_every_cell_gets_back_its_value(cells):
    X = pd.DataFrame({"c": pd.Series(cells, dtype="str")})
    fitted = FieldEncoder(kinds={"c": "categorical"}).fit(X)
    ids = fitted.encode(X).ids[:, 0]
    back = [None if i == MISSING else str(fitted.vocabularies_["c"][i - 2]) for i in ids]
    assert back == [None if value is None else value for value in cells]
    assert np.bincount(ids, minlength=len(fitted.counts_["c"])).tolist() == fitted.counts_["c"].tolist()


def test_saving_keeps_it(tmp_path):
    fitted = encoder(min_count=2).fit(frame())
    models.save(fitted, tmp_path / "encoder")
    again = models.load(tmp_path / "encoder")
    np.testing.assert_array_equal(fitted.transform(frame()), again.transform(frame()))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kinds": {"city": "numeric"}}, "column 'city' cannot be numeric: row 0 holds 'Rome'"),
        ({"kinds": {"town": "categorical"}}, "column 'town', which the table does not have"),
        ({"kinds": {"city": "number"}}, "kind 'number' of 'city' is not one of"),
        ({"shared": {"price": "city"}}, "numeric field has no vocabulary"),
    ],
)
def test_a_wrong_option_is_one_sentence(options, sentence):
    with pytest.raises(FieldsError, match=sentence):
        FieldEncoder(**options).fit(frame())


def test_an_infinite_number_is_named():
    X = pd.DataFrame({"x": [1.0, 2.0, np.inf]})
    with pytest.raises(FieldsError, match="'x' holds an infinite number in row 2"):
        FieldEncoder().fit(X)


def test_batches_that_can_be_read_once_only_are_refused():
    parts = iter(pa.table(frame()).to_batches())
    with pytest.raises(FieldsError, match="read only once"):
        encoder().fit(parts)


@pytest.mark.parametrize(
    ("cells", "kinds", "sentence"),
    [
        ([[1, 2], [3]], {"f": "categorical"}, "'f' holds lists: make its kind 'multi' or 'sequence'"),
        ([{"k": 1}, {"k": 2}], None, r"'f' hold struct<k: int64>: a field has plain values"),
        ([[[1], [2]], [[3]]], None, r"'f' hold list<.*>: a field has plain values"),
        ([b"\xff\xfe", b"a"], None, "'f' holds bytes that are no text"),
    ],
)
def test_cells_that_no_field_can_hold_are_one_sentence(cells, kinds, sentence):
    encoder = FieldEncoder(kinds=kinds)
    with pytest.raises(FieldsError, match=sentence):
        encoder.fit(pd.DataFrame({"f": cells}))
    known = FieldEncoder(kinds={"f": "categorical"}).fit(pd.DataFrame({"f": ["a", "b"]}))
    with pytest.raises(FieldsError, match="'f'"):
        known.encode(pd.DataFrame({"f": cells}))


def test_bytes_of_text_are_text_and_a_table_without_columns_is_refused():
    encoder = FieldEncoder().fit(pd.DataFrame({"f": [b"a", b"b"]}))
    assert encoder.encode(pd.DataFrame({"f": ["b", "a"]})).ids.tolist() == [[3], [2]]
    with pytest.raises(FieldsError, match="no column to learn from"):
        FieldEncoder().fit(pd.DataFrame(index=range(3)))


def test_quantiles_of_a_long_stream_are_those_of_the_column_and_do_not_favour_its_end():
    """A column that grows with time: a sample that thins out what came first would find other quantiles."""
    values = np.linspace(0.0, 1.0, 700_001)
    whole, streamed = NumbersBuilder(), NumbersBuilder()
    whole.add(values)
    for part in np.split(values, [3, 70_000, 70_001, 310_000, 640_000]):
        streamed.add(part)
    learned = streamed.learn("quantile", 10)
    np.testing.assert_array_equal(learned["quantiles"], whole.learn("quantile", 10)["quantiles"])
    np.testing.assert_allclose(learned["quantiles"], np.linspace(0, 1, 1001), atol=1e-4)
    assert sum(map(len, streamed.sample)) < 300_000

"""Training from a stream: blocks of one size, read ahead, with the answers of a table in memory."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from workbench.ctr import DeepFMClassifier, FieldEncoder, FieldsError, FMClassifier
from workbench.ctr import _stream as stream

OPTIONS = {"batch_size": 128, "learning_rate": 0.02, "random_state": 0}


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(stream, "_BLOCK", 1000)


@pytest.fixture(scope="module")
def whole(log) -> pa.Table:
    X, y = log
    return pa.Table.from_pandas(X.assign(click=y), preserve_index=False)


def cut(table: pa.Table, sizes: list[int]) -> list[pa.Table]:
    starts = np.cumsum([0, *sizes])
    return [table.slice(a, b - a) for a, b in zip(starts, [*starts[1:], len(table)], strict=False)]


def test_blocks_are_full_and_keep_every_row_in_order(small_blocks, whole):
    batches = cut(whole, [1, 0, 700, 1300, 64])
    blocks = list(stream.blocks_of(batches, 128))
    assert [len(block) for block in blocks] == [1024, 1024, 952]
    assert pa.concat_tables(blocks).combine_chunks().equals(whole.combine_chunks())


def test_the_result_does_not_depend_on_how_the_log_is_cut(small_blocks, whole):
    one = DeepFMClassifier(n_epochs=2, hidden=(8,), **OPTIONS).fit_batches([whole], "click")
    many = DeepFMClassifier(n_epochs=2, hidden=(8,), **OPTIONS).fit_batches(
        [batch for part in cut(whole, [10, 990, 1500]) for batch in part.to_batches()], "click"
    )
    for name, value in one.weights_.items():
        np.testing.assert_array_equal(value, many.weights_[name])


def test_a_folder_of_parquet_files_is_read_as_it_is(small_blocks, whole, tmp_path):
    for i, part in enumerate(cut(whole, [1700])):
        pq.write_table(part, tmp_path / f"{i}.parquet")
    model = DeepFMClassifier(n_epochs=2, hidden=(8,), **OPTIONS).fit_batches(ds.dataset(tmp_path), "click")
    again = DeepFMClassifier(n_epochs=2, hidden=(8,), **OPTIONS).fit_batches([whole], "click")
    np.testing.assert_allclose(model.weights_["table"], again.weights_["table"], atol=1e-6)


def test_the_optimizer_goes_on_from_block_to_block(small_blocks, whole):
    """Adam counts its steps over the whole stream."""
    model = FMClassifier(n_epochs=2, **OPTIONS).fit_batches([whole], "click")
    _, tensors = model._moments
    steps = {float(value) for name, value in tensors.items() if name.endswith(".step")}
    assert steps == {2 * (8 + 8 + 8)}


def test_vocabularies_of_many_batches_are_those_of_one(whole):
    X = whole.drop_columns(["click", "tags"])
    one = FieldEncoder().fit(X)
    many = FieldEncoder().fit(X.to_batches(max_chunksize=37))
    assert {name: list(v) for name, v in one.vocabularies_.items()} == {
        name: list(v) for name, v in many.vocabularies_.items()
    }
    assert {name: list(v) for name, v in one.counts_.items()} == {
        name: list(v) for name, v in many.counts_.items()
    }


def test_one_block_is_made_while_the_last_is_used():
    begun = [threading.Event() for _ in range(3)]

    def work(i: int) -> int:
        begun[i].set()
        return i

    for i in stream.ahead(work, range(3)):  # type: ignore[type-var]
        if i < 2:
            assert begun[i + 1].wait(5)
        if i == 0:
            assert not begun[2].is_set()


def test_an_error_of_the_reader_reaches_the_caller():
    def work(i: int) -> int:
        if i == 1:
            raise FieldsError("row 7 is bad")
        return i

    with pytest.raises(FieldsError, match="row 7"):
        list(stream.ahead(work, range(3)))  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("batches", "label", "weight", "sentence"),
    [
        (lambda t: [t], "clicks", None, "no column 'clicks' for the label; they have city"),
        (lambda t: [t], "click", "w", "no column 'w' for the weight"),
        (lambda t: [t.append_column("c", pa.nulls(len(t), pa.int64()))], "c", None, "'c' has empty cells"),
        (lambda t: [t.append_column("w", pa.array([-1.0] * len(t)))], "click", "w", "a number of 0 or more"),
        (lambda t: [t.append_column("w", pa.array(["a"] * len(t)))], "click", "w", "'w' must be a number"),
        (lambda t: iter([t]), "click", None, "can be read only once"),
        (lambda t: 3, "click", None, "not int"),
        (lambda t: [], "click", None, "no batch of rows"),
        (lambda t: [t], "device", None, None),
    ],
)
def test_bad_streams_are_one_sentence(whole, batches, label, weight, sentence):
    model = FMClassifier(**OPTIONS)
    if sentence is None:  # a label of text is as good as one of numbers
        assert model.fit_batches(batches(whole), label).classes_.tolist() == ["desk", "phone"]
        return
    with pytest.raises(FieldsError, match=sentence):
        model.fit_batches(batches(whole), label, weight=weight)


def test_a_row_that_is_left_over_does_not_stop_a_normalised_model(small_blocks, whole):
    model = DeepFMClassifier(hidden=(8,), batch_norm=True, **OPTIONS)
    assert np.isfinite(model.fit_batches([whole.slice(0, 2049)], "click").history_[0]["loss"])

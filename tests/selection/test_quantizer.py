"""Row-wise quantisation: the numbers, the tiers, the bytes, and what is left of the AUC."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.ctr import DeepFMClassifier, FieldsError
from workbench.selection.quantizer import RowQuantizer, priorities, quantize_rows


def test_a_row_by_hand():
    q, scale = quantize_rows(np.array([[1.27, -0.635, 0.0], [0, 0, 0]], dtype=np.float32))
    assert scale[0] == pytest.approx(0.01)
    assert q.tolist() == [[127, -64, 0], [0, 0, 0]] or q.tolist() == [[127, -63, 0], [0, 0, 0]]


def test_the_error_is_half_a_step_and_stochastic_rounding_keeps_the_mean():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 16)).astype(np.float32)
    q, scale = quantize_rows(rows)
    assert (np.abs(q * scale[:, None] - rows) <= 0.5001 * scale[:, None]).all()
    row = np.tile(np.array([[1.0, 0.3301]], dtype=np.float32), (20_000, 1))
    q, scale = quantize_rows(row, rng)
    assert len(np.unique(q[:, 1])) == 2
    assert (q * scale[:, None]).mean(0)[1] == pytest.approx(0.3301, abs=1e-4)


def test_priority_is_the_decayed_count():
    found = priorities(np.array([8.0]), np.array([2.0]), np.array([3.0]), positive_weight=4.0, decay=0.25)
    assert found[0] == pytest.approx(0.75 * 8 + 0.25 * 11)


@pytest.fixture(scope="module")
def model(log):
    X, y = log
    return DeepFMClassifier(
        embedding_dim=8, hidden=(16,), n_epochs=6, batch_size=64, learning_rate=5e-3, random_state=0
    ).fit(X, y)


def test_rare_rows_become_small_and_the_answers_stay(model, log):
    X, y = log
    quantizer = RowQuantizer(random_state=0).fit(model, X, y)
    table = quantizer.tables_["table"]
    often, rare = quantizer.priority_[table["tier"] == 2], quantizer.priority_[table["tier"] == 0]
    assert often.min() > rare.max()
    n = len(model.weights_["table"])
    assert len(table["int8"]) == pytest.approx(0.7 * n, abs=0.05 * n)
    width = model.weights_["table"].shape[1]
    sizes = [len(table[name]) for name in ("int8", "fp16", "fp32")]
    expected = sizes[0] * (width + 4) + sizes[1] * 2 * width + sizes[2] * 4 * width
    expected += sizes[0] * (1 + 4) + sizes[1] * 2 + sizes[2] * 4  # the linear weights
    assert quantizer.n_bytes() == expected == quantizer.report_["bytes_after"]
    assert quantizer.report_["bytes_after"] < 0.6 * quantizer.report_["bytes_before"]
    assert quantizer.report_["auc_after"] == pytest.approx(quantizer.report_["auc_before"], abs=1e-3)
    again = quantizer.dequantized()
    np.testing.assert_array_equal(again.weights_["table"][table["tier"] == 2], table["fp32"])
    assert not np.array_equal(again.weights_["table"], model.weights_["table"])


def test_wrong_shares_are_one_sentence(model, log):
    with pytest.raises(FieldsError, match="three numbers that sum to 1"):
        RowQuantizer(shares=(0.5, 0.1, 0.1)).fit(model, *log)


@pytest.mark.parametrize("shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.5, 0), (0.5, 0, 0.5)])
def test_a_format_without_a_share_has_no_row(shares, model, log):
    table = RowQuantizer(shares=shares).fit(model, *log).tables_["table"]
    for share, name in zip(shares, ("int8", "fp16", "fp32"), strict=True):
        assert (len(table[name]) > 0) == (share > 0)


def test_wrong_input_is_one_sentence(model, log):
    X, y = log
    with pytest.raises(FieldsError, match="three numbers that sum to 1"):
        RowQuantizer(shares=("a", "b", "c")).fit(model, X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        RowQuantizer().fit(model, X, y[:-1])
    with pytest.raises(ValueError, match="'n_parts' parameter"):
        RowQuantizer(n_parts=2.5).fit(model, X, y)

"""Quotient-remainder embeddings: which rows make a value, what vector they give, pruning, size and use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.ctr import DeepFMClassifier, FieldEncoder, UnseenValuesWarning, metrics
from workbench.ctr._batch import make_batch
from workbench.ctr._networks import NETWORKS
from workbench.ctr._training import build
from workbench.ctr.encoded import Encoded, Field, Layout
from workbench.selection._size import field_bytes


def layout(operation="product"):
    """13 values of `ad` in 5 remainders and 3 quotients; `past` holds ads; `site` is plain."""
    return Layout(
        (
            Field("site", "categorical", "site", 6),
            Field("ad", "categorical", "ad", 15, 1, 5, operation),
            Field("age", "numeric", "age", 2),
            Field("past", "sequence", "ad", 15, 3, 5, operation),
        )
    )


def rows(n=30):
    rng = np.random.default_rng(0)
    ids = np.column_stack([rng.integers(6, size=n), rng.integers(15, size=n)]).astype(np.int32)
    return Encoded(
        ids,
        rng.normal(size=(n, 1)).astype(np.float32),
        (rng.integers(1, 15, size=(n, 3)).astype(np.int32),),
    )


def network(kind, operation):
    options = {
        "hidden": (6,),
        "dropout": 0.0,
        "batch_norm": True,
        "n_cross": 1,
        "bottom": (5,),
        "attention_hidden": 4,
        "activation": "dice",
    }
    made = build(kind, layout(operation), 4, options, 0).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in made.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    made.scale.fill_(1.0)
    return made


def test_the_place_in_the_vocabulary_divided_by_m_gives_both_rows():
    field = Field("ad", "categorical", "ad", 15, 1, 5)
    remainders, quotients = field.split(np.arange(15))
    # Rows: unseen, missing, five remainders, three quotients.
    assert remainders.tolist() == [0, 1, 2, 3, 4, 5, 6, 2, 3, 4, 5, 6, 2, 3, 4]
    assert quotients.tolist() == [0, 1, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 9, 9, 9]
    assert field.stored_rows == 10
    assert len(set(zip(remainders.tolist(), quotients.tolist(), strict=True))) == 15


@pytest.mark.parametrize("operation", ["product", "sum"])
def test_a_vector_by_hand(operation):
    made, encoded = network("fm", operation), rows()
    start = {name: first for name, (first, _) in made.layout.tables.items()}

    def of(table, index):
        if index < 2:
            return table[start["ad"] + index]
        quotient, remainder = divmod(int(index) - 2, 5)
        one, two = table[start["ad"] + 2 + remainder], table[start["ad"] + 7 + quotient]
        return one * two if operation == "product" else one + two

    with torch.no_grad():
        vectors, parts = made.embed(make_batch(encoded, made.layout))
        for row in range(len(encoded)):
            torch.testing.assert_close(vectors[row, 1], of(made.table, encoded.ids[row, 1]))
            torch.testing.assert_close(parts[row, 1], of(made.weight, encoded.ids[row, 1])[0])
            past = [of(made.table, i) for i in encoded.lists[0][row] if i != 1]
            mean = torch.stack(past).mean(0) if past else torch.zeros(4).double()
            torch.testing.assert_close(vectors[row, 3], mean)
            torch.testing.assert_close(vectors[row, 0], made.table[start["site"] + encoded.ids[row, 0]])


def test_a_value_begins_as_its_remainder_and_unseen_ones_say_nothing():
    made = build("deepfm", layout(), 4, {"hidden": (4,), "dropout": 0.0, "batch_norm": False}, 0)
    first = made.layout.tables["ad"][0]
    assert (made.table[first : first + 2] == 0).all()
    assert (made.table[first + 7 : first + 10] - 1).abs().max() < 0.1
    assert (made.weight[first + 7 : first + 10] == 1).all()


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_pruned_network_gives_the_gated_networks_logits(kind):
    made, encoded = network(kind, "product"), rows()
    for keep in ([0, 1, 1, 1], [1, 0, 0, 1], [1, 1, 0, 0]):
        mask = np.array(keep, dtype=bool)
        gates = torch.tensor([0.3, 0.7, 1.1, 0.5], dtype=torch.float64) * torch.tensor(keep)
        with torch.no_grad():
            gated = made(make_batch(encoded, made.layout), gates)
            pruned = made.prune(mask, gates)
            alone = pruned(make_batch(encoded.keep(made.layout, mask), pruned.layout))
        assert (alone - gated).abs().max() <= 1e-12


def test_gradients_reach_both_tables_and_stay_sparse():
    made, encoded = network("fm", "product"), rows(4)
    made.requires_grad_(True)
    made(make_batch(encoded, made.layout)).sum().backward()
    first = made.layout.tables["ad"][0]
    touched = set(made.table.grad.coalesce().indices()[0].tolist())
    field = made.layout.fields[1]
    for part in field.split(encoded.ids[:, 1]):
        assert {first + int(row) for row in part} <= touched


def test_rows_are_counted_by_all_values_that_use_them():
    field = Field("ad", "categorical", "ad", 9, 1, 3)
    counts = np.array([5, 4, 10, 20, 30, 1, 2, 3, 7])
    # Remainders 0: 10 + 1 + 7, 1: 20 + 2, 2: 30 + 3. Quotients 0: 60, 1: 6, 2: 7.
    assert field.stored_counts(counts).tolist() == [5, 4, 18, 22, 33, 60, 6, 7]


@pytest.fixture(scope="module")
def shops():
    """Clicks depend on which of 300 shops it is."""
    rng = np.random.default_rng(0)
    shop, hour = rng.integers(300, size=6000), rng.integers(4, size=6000)
    strength = rng.normal(scale=1.5, size=300)
    y = (rng.random(6000) < 1 / (1 + np.exp(-strength[shop] - (hour - 1.5)))).astype(int)
    return pd.DataFrame({"shop": shop.astype(str), "hour": hour.astype(str)}), y


@pytest.mark.parametrize("operation", ["product", "sum"])
def test_a_model_with_two_small_tables_learns_and_is_small(shops, operation):
    X, y = shops
    encoder = FieldEncoder(qr_threshold=100, qr_operation=operation)
    options = {"embedding_dim": 8, "hidden": (16,), "batch_size": 128, "learning_rate": 0.02}
    options |= {"n_epochs": 4, "random_state": 0}
    small = DeepFMClassifier(encoder=encoder, **options).fit(X[:5000], y[:5000])
    # 300 values: 18 remainders, 17 quotients, unseen and missing; `hour` has its 4 values and those two.
    assert len(small.weights_["table"]) == 2 + 18 + 17 + 6
    assert field_bytes(small)["shop"] == 37 * 9 * 4
    area = metrics.auc(y[5000:], small.predict_proba(X[5000:])[:, 1])
    hour = metrics.auc(y[5000:], X["hour"][5000:].astype(int))
    assert area > hour + 0.03
    with pytest.warns(UnseenValuesWarning, match="'shop'"):
        assert small.predict_proba(pd.DataFrame({"shop": ["new"], "hour": ["1"]})).shape == (1, 2)


def test_the_modulus_may_be_given_and_small_fields_keep_their_table(shops):
    X, _ = shops
    fields = FieldEncoder(qr_threshold=100, qr_modulus=50).fit(X).layout().fields
    assert [(field.name, field.modulus) for field in fields] == [("shop", 50), ("hour", 0)]
    assert fields[0].stored_rows == 2 + 50 + 6

"""Each network against its formula written out with loops, and pruning against gates of zero."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from workbench.ctr import _dice
from workbench.ctr._batch import make_batch
from workbench.ctr._dice import Dice
from workbench.ctr._layers import (
    TargetAttention,
    cross,
    factorization,
    lookup,
    mapped_factorization,
)
from workbench.ctr._networks import NETWORKS
from workbench.ctr._training import build
from workbench.ctr.encoded import Encoded, Field, Layout

LAYOUT = Layout(
    (
        Field("ad", "categorical", "ad", 9),
        Field("site", "categorical", "site", 5),
        Field("hour", "categorical", "hour", 6),
        Field("age", "numeric", "age", 2),
        Field("price", "numeric", "price", 2),
        Field("tags", "multi", "tags", 7, 3),
        Field("history", "sequence", "ad", 9, 4),
    )
)
OPTIONS = {
    "hidden": (8, 6),
    "dropout": 0.0,
    "batch_norm": True,
    "n_cross": 2,
    "bottom": (5,),
    "attention_hidden": 7,
    "activation": "dice",
}
DIM = 4


def rows(n=40):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(n, 2)).astype(np.float32)
    numbers[::7, 0] = np.nan
    ids = np.column_stack([rng.integers(rows, size=n) for rows in (9, 5, 6)]).astype(np.int32)
    lists = tuple(
        rng.integers(1, high, size=(n, length)).astype(np.int32) for high, length in ((7, 3), (9, 4))
    )
    return Encoded(ids, numbers, lists)


def network(kind, dtype=torch.float64):
    """A network whose every weight is random, moving averages included."""
    made = build(kind, LAYOUT, DIM, OPTIONS, 0).to(dtype).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in made.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    made.scale.fill_(1.0)
    return made


def vectors_of(made, encoded, row):
    """Field vectors of one row by hand; DIN's history is left to its own test."""
    start = {name: first for name, (first, _) in LAYOUT.tables.items()}
    table, found = made.table.detach(), []
    for place, name in enumerate(("ad", "site", "hour")):
        found.append(table[start[name] + encoded.ids[row, place]])
    for place, name in enumerate(("age", "price")):
        x = encoded.numbers[row, place]
        found.append(table[start[name]] if np.isnan(x) else table[start[name] + 1] * float(x))
    for part, name in zip(encoded.lists, ("tags", "ad"), strict=True):
        there = [table[start[name] + i] for i in part[row] if i != 1]
        found.append(torch.stack(there).mean(0) if there else torch.zeros(DIM, dtype=table.dtype))
    return torch.stack(found)


def linear_of(made, encoded, row):
    saved = made.table.data
    made.table.data = made.weight.data.expand(-1, DIM)
    try:
        return vectors_of(made, encoded, row)[:, 0]
    finally:
        made.table.data = saved


def test_fm_and_deepfm_by_hand():
    encoded = rows(8)
    fm, deep = network("fm"), network("deepfm")
    for row in range(8):
        v = vectors_of(fm, encoded, row)
        pairs = sum(v[i] @ v[j] for i, j in combinations(range(len(v)), 2))
        expected = linear_of(fm, encoded, row).sum() + pairs + fm.bias
        assert fm(make_batch(encoded, LAYOUT))[row].item() == pytest.approx(expected.item(), rel=1e-6)
        v = vectors_of(deep, encoded, row)
        pairs = sum(v[i] @ v[j] for i, j in combinations(range(len(v)), 2))
        perceptron = deep.last(deep.mlp(v.reshape(1, -1)))[0, 0]
        expected = linear_of(deep, encoded, row).sum() + pairs + perceptron + deep.bias
        assert deep(make_batch(encoded, LAYOUT))[row].item() == pytest.approx(expected.item(), rel=1e-6)


def test_dcnv2_by_hand():
    encoded, made = rows(5), network("dcnv2")
    for row in range(5):
        v = vectors_of(made, encoded, row)
        number = torch.tensor(encoded.numbers[row], dtype=torch.float64)
        numbers = torch.cat([torch.nan_to_num(number), torch.isnan(number).double()])
        x = x0 = torch.cat([v[:3].reshape(-1), v[5:].reshape(-1), numbers])
        for layer in made.cross:
            x = x0 * (layer.weight @ x + layer.bias) + x
        deep = made.mlp(x0[None])[0]
        expected = made.last(torch.cat([x, deep])) + made.bias
        assert made(make_batch(encoded, LAYOUT))[row].item() == pytest.approx(expected.item(), rel=1e-6)


def test_dlrm_by_hand():
    encoded, made = rows(5), network("dlrm")
    for row in range(5):
        v = vectors_of(made, encoded, row)
        x = torch.tensor(encoded.numbers[row], dtype=torch.float64)
        given = torch.cat([torch.nan_to_num(x), torch.isnan(x).double()])
        dense = made.bottom(given[None])[0]
        stacked = [dense, *v[:3], *v[5:]]
        dots = torch.stack([a @ b for a, b in combinations(stacked, 2)])
        expected = made.last(made.mlp(torch.cat([dense, dots])[None]))[0, 0] + made.bias
        assert made(make_batch(encoded, LAYOUT))[row].item() == pytest.approx(expected.item(), rel=1e-6)


def test_attention_is_the_papers_without_softmax():
    torch.manual_seed(0)
    unit = TargetAttention(3, 5).double().eval()
    for tensor in unit.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape) + 0.1)
    q, keys = torch.randn(2, 3).double(), torch.randn(2, 4, 3).double()
    mask = torch.tensor([[True, True, False, True], [False] * 4])
    expected = torch.zeros(2, 3).double()
    for b in range(2):
        for j in range(4):
            if mask[b, j]:
                k = keys[b, j]
                hidden = unit.first(torch.cat([q[b], k, q[b] - k, q[b] * k]))
                expected[b] += unit.last(unit.activation(hidden)) * k
    torch.testing.assert_close(unit(q, keys, mask), expected)


def test_dice_by_hand():
    s = torch.tensor([[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]])
    dice = Dice(2)
    with torch.no_grad():
        dice.alpha.copy_(torch.tensor([0.25, 0.0]))
    mean, variance = s.mean(0), s.var(0, unbiased=False)
    p = torch.sigmoid((s - mean) / torch.sqrt(variance + 1e-8))
    torch.testing.assert_close(dice(s), p * s + (1 - p) * dice.alpha * s)
    torch.testing.assert_close(dice.mean, 0.1 * mean)
    dice.eval()
    p = torch.sigmoid((s - dice.mean) / torch.sqrt(dice.variance + 1e-8))
    torch.testing.assert_close(dice(s), p * s + (1 - p) * dice.alpha * s)


def test_gradients_of_dice_are_those_of_its_formula(monkeypatch):
    monkeypatch.setattr(_dice, "_BLOCK", 3 * 4)  # four rows of three neurons
    dice = Dice(3).double()
    s = torch.randn(10, 3, dtype=torch.float64, requires_grad=True)
    alpha = torch.randn(3, dtype=torch.float64)
    with torch.no_grad():
        dice.alpha.copy_(alpha)
    alpha.requires_grad_()
    p = torch.sigmoid((s - s.mean(0)) / torch.sqrt(s.var(0, unbiased=False) + 1e-8))
    weight = torch.randn(10, 3, dtype=torch.float64)
    wanted = torch.autograd.grad((weight * (p * s + (1 - p) * alpha * s)).sum(), (s, alpha))
    found = torch.autograd.grad((weight * dice(s)).sum(), (s, dice.alpha))
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(dice.variance, 0.9 + 0.1 * s.detach().var(0, unbiased=False))


def test_dice_of_no_rows_learns_nothing():
    dice = Dice(2)
    assert dice(torch.empty(0, 2)).shape == (0, 2)
    assert (dice.mean.tolist(), dice.variance.tolist()) == ([0, 0], [1, 1])


def test_gradients_of_the_written_out_functions():
    e = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(factorization, (e,))
    made = network("deepfm")
    batch = make_batch(rows(6), LAYOUT)

    def loss():
        return made(batch).square().sum()

    loss().backward()
    sparse = made.table.grad.coalesce().to_dense()
    with torch.no_grad():
        for row, column in ((3, 1), (LAYOUT.tables["age"][0] + 1, 0), (LAYOUT.tables["tags"][0] + 2, 2)):
            kept, step = made.table[row, column].item(), 1e-6
            made.table[row, column] = kept + step
            high = loss()
            made.table[row, column] = kept - step
            low = loss()
            made.table[row, column] = kept
            assert sparse[row, column].item() == pytest.approx(((high - low) / (2 * step)).item(), rel=1e-4)


def test_one_sparse_gradient_of_several_lookups_is_torchs():
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "dtype": torch.float64}
    tables = [torch.randn(9, width, **options, requires_grad=True) for width in (3, 1)]
    values = torch.randn(5, 2, **options)
    ids = [torch.randint(9, shape, generator=generator) for shape in ((5, 4), (5, 0), (5, 6), (7,))]
    ours = [list(found) for found in lookup(tables, values, *ids)]
    plain = [[torch.nn.functional.embedding(part, table) for part in ids] for table in tables]
    for found in plain:
        found[0] = torch.cat([found[0][:, :2], found[0][:, 2:] * values.unsqueeze(-1)], dim=1)
    torch.testing.assert_close(ours, plain)
    gradients = []
    for parts in ([*ours[0], *ours[1]], [*plain[0], *plain[1]]):
        weighed = sum((part * torch.arange(part.numel()).view(part.shape)).sum() for part in parts)
        gradients.append(torch.autograd.grad(weighed, tables))
    for sparse, dense in zip(*gradients, strict=True):
        assert sparse.is_sparse
        torch.testing.assert_close(sparse.to_dense(), dense)
    # One list of rows for both tables: what steps them looks each up once.
    assert gradients[0][0]._indices().data_ptr() == gradients[0][1]._indices().data_ptr()


def test_mapped_factorization_has_the_gradients_of_its_formula():
    generator = torch.Generator().manual_seed(0)
    shapes = ((4, 3, 2), (4, 2), (4, 5), (5, 6))
    e, rest, start, weight = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes
    )

    def both(e, rest, start, weight):
        return mapped_factorization(e, rest, start + 0, weight)  # a leaf cannot be overwritten

    assert torch.autograd.gradcheck(both, (e, rest, start, weight))
    mapped, pairs = both(e, rest, start, weight)
    torch.testing.assert_close(mapped, start + e.flatten(1) @ weight.T)
    whole = torch.cat([e, rest.unsqueeze(1)], dim=1)
    torch.testing.assert_close(pairs, factorization(whole) + 0.5 * rest.square().sum(1))


def test_cross_layers_are_their_formula_and_have_its_gradients():
    generator = torch.Generator().manual_seed(0)
    layers = [torch.nn.Linear(4, 4, dtype=torch.float64) for _ in range(3)]
    start = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    x = start
    for layer in layers:
        x = start * (x @ layer.weight.T + layer.bias) + x
    torch.testing.assert_close(cross(start, layers), x)
    torch.testing.assert_close(cross(start, []), start)
    inputs = [start, *(p for layer in layers for p in layer.parameters())]
    weigh = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    ours, plain = (torch.autograd.grad((found * weigh).sum(), inputs) for found in (cross(start, layers), x))
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("gates", ["none", "fields", "rows"])
def test_numbers_that_are_not_laid_out_change_nothing(gates):
    """DeepFM's forward pass against its head on all vectors, gradients included."""
    made, batch = network("deepfm"), make_batch(rows(12), LAYOUT)
    given = {"none": None, "fields": torch.rand(7).double(), "rows": torch.rand(12, 7).double()}[gates]
    found = []
    for logits in (made(batch, given), made.head(*made.embed(batch, given), batch, given)):
        made.zero_grad()
        logits.square().sum().backward()
        found.append([logits.detach(), *(p.grad.to_dense() for p in made.parameters())])
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)


def test_a_step_leaves_rows_alone_that_no_row_of_the_batch_uses():
    """Only some batches have missing numbers: the others say nothing about them, not that they are 0."""
    made, whole = network("deepfm"), rows(12)
    made(make_batch(whole[1:7], LAYOUT)).sum().backward()  # no number is missing
    missing = LAYOUT.tables["age"][0]
    assert missing not in made.table.grad._indices()
    assert missing + 1 in made.table.grad._indices()
    assert missing not in made.weight.grad._indices()


KEEPS = {
    "some": [0, 1, 0, 0, 1, 1, 1],
    "no numbers": [1, 0, 1, 0, 0, 0, 1],
    "no candidate": [0, 1, 1, 1, 0, 0, 1],
    "no history": [1, 1, 0, 1, 1, 0, 0],
    "one": [0, 0, 1, 0, 0, 0, 0],
}


@pytest.mark.parametrize("keep", KEEPS.values(), ids=KEEPS)
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_a_pruned_network_gives_the_gated_networks_logits(kind, keep, dtype, tolerance):
    made, mask = network(kind, dtype), np.array(keep, dtype=bool)
    gates = torch.rand(7, generator=torch.Generator().manual_seed(2), dtype=dtype) * torch.tensor(keep)
    encoded = rows()
    with torch.no_grad():
        gated = made(make_batch(encoded, LAYOUT), gates)
        pruned = made.prune(mask, gates)
        alone = pruned(make_batch(encoded.keep(LAYOUT, mask), pruned.layout))
        again = pruned.prune(np.ones(int(mask.sum()), dtype=bool))
        twice = again(make_batch(encoded.keep(LAYOUT, mask), pruned.layout))
    assert (alone - gated).abs().max() / gated.abs().max() <= tolerance
    torch.testing.assert_close(twice, alone)
    if kind != "lr":
        assert len(pruned.table) == sum(rows for _, rows in pruned.layout.tables.values())


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_field_whose_gate_is_0_has_no_say(kind):
    made, encoded = network(kind), rows()
    order = np.random.default_rng(3).permutation(len(encoded))
    for place, name in enumerate(LAYOUT.names):
        gates = torch.ones(7, dtype=torch.float64)
        mixed = make_batch(encoded.shuffled(LAYOUT, name, order), LAYOUT)
        with torch.no_grad():
            assert not torch.allclose(made(mixed), made(make_batch(encoded, LAYOUT)))
            gates[place] = 0.0
            torch.testing.assert_close(made(mixed, gates), made(make_batch(encoded, LAYOUT), gates))

"""Row-wise optimizers against torch's own and against steps worked out by hand."""

from __future__ import annotations

import pytest
import torch

from workbench.training.rowwise import RowAdagrad, RowAdam, RowLion, RowSGD
from workbench.training.sign_momentum import Lion

PAIRS = [
    (RowAdam, torch.optim.Adam),
    (RowAdagrad, torch.optim.Adagrad),
    (RowSGD, torch.optim.SGD),
    (RowLion, Lion),
]


def gradient(table, ids, values):
    return torch.sparse_coo_tensor(ids[None], values, table.shape, check_invariants=False)


def tables(n=7, width=3):
    start = torch.randn(n, width, generator=torch.Generator().manual_seed(0))
    return torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_rows_touched_in_every_step_move_like_torchs(ours, theirs):
    table, dense = tables()
    one, two = ours([table], lr=0.1), theirs([dense], lr=0.1)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        ids = torch.cat([torch.arange(7), torch.randint(7, (6,), generator=generator)])  # some rows twice
        values = torch.randn(13, 3, generator=generator)
        table.grad = gradient(table, ids, values)
        dense.grad = table.grad.to_dense()
        one.step()
        two.step()
        torch.testing.assert_close(table, dense, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_untouched_rows_stay_and_dense_parameters_are_torchs(ours, theirs):
    table, _ = tables()
    start = table.detach().clone()
    layer, twin = (torch.nn.Parameter(torch.ones(4)) for _ in range(2))
    one, two = ours([table, layer], lr=0.1), theirs([twin], lr=0.1)
    for step in range(4):
        table.grad = gradient(table, torch.tensor([step % 2]), torch.ones(1, 3))
        layer.grad = torch.arange(4.0)
        twin.grad = torch.arange(4.0)
        one.step()
        two.step()
    assert torch.equal(table[2:], start[2:])
    assert not torch.equal(table[0], start[0])
    torch.testing.assert_close(layer, twin)


def test_a_decoupled_decay_is_that_of_torchs_adamw():
    layer, twin = (torch.nn.Parameter(torch.ones(4)) for _ in range(2))
    one = RowAdam([layer], lr=0.1, weight_decay=0.3, decoupled_weight_decay=True, fused=True)
    two = torch.optim.AdamW([twin], lr=0.1, weight_decay=0.3)
    for _ in range(3):
        layer.grad, twin.grad = torch.arange(4.0), torch.arange(4.0)
        one.step()
        two.step()
    torch.testing.assert_close(layer, twin)
    assert not torch.allclose(layer, torch.ones(4) - 0.3)


def test_tables_looked_up_together_move_as_each_alone():
    """Their gradients share a list of rows, which is then gone through once for its sums."""
    generator = torch.Generator().manual_seed(2)
    starts = [torch.randn(9, width, generator=generator) for width in (3, 1)]
    together, alone = ([torch.nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    one, two = RowAdam(together, lr=0.1), RowAdam(alone, lr=0.1)
    for n in (12, 40, 5):
        index = torch.randint(9, (1, n), generator=generator)
        values = [torch.randn(n, width, generator=generator) for width in (3, 1)]
        for pair, value in zip(zip(together, alone, strict=True), values, strict=True):
            for table, rows in zip(pair, (index, index.clone()), strict=True):
                table.grad = torch.sparse_coo_tensor(rows, value, table.shape, check_invariants=False)
        one.step()
        two.step()
    for table, twin in zip(together, alone, strict=True):
        assert torch.equal(table, twin)


def test_adam_by_hand():
    """Second step on a row last touched in step 1: m and v did not decay in between."""
    table = torch.nn.Parameter(torch.tensor([[1.0], [2.0]]))
    optimizer = RowAdam([table], lr=0.1, betas=(0.5, 0.75), eps=0.0)
    for row, value in ((0, 2.0), (1, 1.0), (0, 4.0)):
        table.grad = gradient(table, torch.tensor([row]), torch.tensor([[value]]))
        optimizer.step()
    # Step 1: m = 1, v = 1; corrected 2 and 4: moves 0.1. Step 3: m = 2.5, v = 0.75 + 4 = 4.75; corrections
    # 1 - 0.5^3 = 0.875 and 1 - 0.75^3 = 0.578125.
    expected = 1.0 - 0.1 - 0.1 * (2.5 / 0.875) / (4.75 / 0.578125) ** 0.5
    assert table[0].item() == pytest.approx(expected, rel=1e-6)
    # Step 2: m = 0.5, v = 0.25; corrections 0.75 and 0.4375.
    assert table[1].item() == pytest.approx(2.0 - 0.1 * (0.5 / 0.75) / (0.25 / 0.4375) ** 0.5, rel=1e-6)


def test_lion_by_hand():
    """Row 0 is touched twice: c = (1, 0.5 - 0.2), so down both times; the pull of 0.5 is decoupled."""
    table = torch.nn.Parameter(torch.tensor([[1.0], [3.0]]))
    pull = torch.tensor([0.5, 0.0])
    optimizer = RowLion([table], lr=0.1, betas=(0.5, 0.5), row_decay={table: pull})
    for value in (2.0, -0.4):
        table.grad = gradient(table, torch.tensor([0]), torch.tensor([[value]]))
        optimizer.step()
    once = 1.0 * (1 - 0.1 * 0.5) - 0.1
    assert table[0].item() == pytest.approx(once * 0.95 - 0.1)
    assert table[1].item() == 3.0
    assert optimizer.state[table]["momentum"][0].item() == pytest.approx(0.5 * 1.0 - 0.2)


@pytest.mark.parametrize("ours", [RowAdam, RowAdagrad, RowSGD, RowLion])
def test_two_threads_give_the_same_bits(ours):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(500, (20_000,), generator=generator)
    values = torch.randn(20_000, 4, generator=generator)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        table, _ = tables(500, 4)
        optimizer = ours([table], lr=0.1, row_decay={table: torch.linspace(0, 1, 500)})
        for _ in range(3):
            table.grad = gradient(table, ids, values)
            optimizer.step()
        found.append(table.detach().clone())
    torch.set_num_threads(before)
    assert torch.equal(*found)


@pytest.mark.parametrize("ours", [RowAdam, RowAdagrad, RowSGD, RowLion])
def test_the_path_of_other_devices_agrees(ours, monkeypatch):
    """The path that a GPU takes is plain torch: run it here."""
    one, two = tables()
    ids, values = torch.tensor([1, 1, 4]), torch.randn(3, 3)
    fast, plain = (ours([t], lr=0.1, row_decay={t: torch.full((7,), 0.3)}) for t in (one, two))
    for _ in range(3):
        one.grad, two.grad = gradient(one, ids, values), gradient(two, ids, values)
        fast.step()
        with torch.no_grad():
            grad = two.grad.coalesce()
            rows, sums = grad.indices()[0], grad.values()
            plain._torch_step(two, rows, sums, torch.tensor([0.3]), plain.param_groups[0])
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_state_is_packed_and_restored():
    from workbench.training.optimizers import pack_optimizer, unpack_optimizer

    one, two = tables()
    first, second = RowAdam([one], lr=0.1), RowAdam([two], lr=0.1)
    ids, values = torch.tensor([0, 3]), torch.ones(2, 3)
    for _ in range(2):
        one.grad = gradient(one, ids, values)
        first.step()
    with torch.no_grad():
        two.copy_(one)
    values_, tensors = pack_optimizer(first)
    unpack_optimizer(second, values_, {name: tensor.clone() for name, tensor in tensors.items()})
    for table, optimizer in ((one, first), (two, second)):
        table.grad = gradient(table, ids, 2 * values)
        optimizer.step()
    assert torch.equal(one, two)

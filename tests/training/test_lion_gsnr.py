"""Lion and GSNR against steps worked out by hand, and in the training loop."""

from __future__ import annotations

import pytest
import torch

from workbench.errors import UsageError
from workbench.training import Loop
from workbench.training.optimizers import make_optimizer, pack_optimizer, unpack_optimizer
from workbench.training.sign_momentum import Lion
from workbench.training.signal_to_noise import GSNR, signal_to_noise


def test_lion_by_hand():
    p = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = Lion([p], lr=0.1, betas=(0.5, 0.75), weight_decay=0.2)
    p.grad = torch.tensor([2.0, -4.0])
    optimizer.step()
    # c = 0.5 g; p = 1·(1 - 0.02) ∓ 0.1; m = 0.25 g = (0.5, -1).
    assert p.tolist() == pytest.approx([0.88, 1.08])
    p.grad = torch.tensor([-0.4, 3.0])
    optimizer.step()
    # c = (0.25 - 0.2, -0.5 + 1.5): both positive; m = 0.75 m + 0.25 g = (0.275, 0).
    assert p.tolist() == pytest.approx([0.88 * 0.98 - 0.1, 1.08 * 0.98 - 0.1])
    assert optimizer.state[p]["momentum"].tolist() == pytest.approx([0.275, 0.0])


def test_lion_moves_only_the_touched_rows_of_a_table():
    table = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = Lion([table], lr=0.1)
    for row in (0, 1):
        values = torch.tensor([[1.0, -1.0]])
        table.grad = torch.sparse_coo_tensor([[row]], values, (3, 2), check_invariants=False)
        optimizer.step()
    torch.testing.assert_close(table.detach(), torch.tensor([[0.9, 1.1], [0.9, 1.1], [1.0, 1.0]]))


PARTS = torch.tensor([[1.0, 1.0], [3.0, 1.2]])  # gradients of two micro-batches of two parameters


def test_the_scale_by_hand():
    # Means 2 and 1.1, variances 1 and 0.01: ratios 4 and 121, their mean 62.5.
    scale = signal_to_noise(PARTS.mean(0), PARTS.square().mean(0))
    assert scale.tolist() == pytest.approx([0.1, 1.0])  # 0.064 is raised to the floor, 1.936 cut to 1
    low = signal_to_noise(PARTS.mean(0), PARTS.square().mean(0), floor=0.01)
    assert low.tolist() == pytest.approx([4 / 62.5, 1.0], rel=1e-3)


def stepped(base, n=1, **options):
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = GSNR([p], lr=0.1, base=base, micro_batches=2, **options)
    for _ in range(n):
        for part in PARTS:
            p.grad = part.clone()
            optimizer.collect()
        optimizer.step()
    return p.detach()


def test_sgd_and_momentum_by_hand():
    scaled = torch.tensor([0.2, 1.1])  # scale times mean
    torch.testing.assert_close(stepped("sgd"), torch.tensor([1.0, 2.0]) - 0.1 * scaled)
    twice = torch.tensor([1.0, 2.0]) - 0.1 * scaled - 0.1 * (0.9 * scaled + scaled)
    torch.testing.assert_close(stepped("momentum", n=2), twice)


def test_adam_and_lamb_by_hand():
    # The first step of Adam is the sign whatever the scale: p = 1 after correction.
    torch.testing.assert_close(stepped("adam"), torch.tensor([0.9, 1.9]))
    start = torch.tensor([1.0, 2.0])
    # LAMB: direction (1, 1) plus decay times p, as long as the parameter.
    change = torch.ones(2) + 0.5 * start
    expected = start - 0.1 * change * start.norm() / change.norm()
    torch.testing.assert_close(stepped("lamb", weight_decay=0.5), expected)


@pytest.mark.parametrize("base", ["adam", "lamb"])
def test_the_scale_is_smoothed_before_the_moments_by_hand(base):
    """A second step with the columns' gradients exchanged; its scale is (1, 0.1) after (0.1, 1)."""
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = GSNR([p], lr=0.1, base=base, micro_batches=2, betas=(0.5, 0.75, 0.5))
    for parts in (PARTS, PARTS.flip(1)):
        for part in parts:
            p.grad = part.clone()
            optimizer.collect()
        optimizer.step()
    # Smoothed scale (0.025 + 0.5, 0.25 + 0.05) / 0.75 = (0.7, 0.4): gradients (0.77, 0.8) after (0.2, 1.1);
    # first moments (0.05 + 0.385, 0.275 + 0.4) / 0.75, second ones over 1 - 0.75 ** 2.
    second = torch.tensor([0.1875 * 0.04 + 0.25 * 0.5929, 0.1875 * 1.21 + 0.25 * 0.64]) / 0.4375
    expected = torch.tensor([1.0, 2.0])
    for change in (torch.ones(2), torch.tensor([0.58, 0.9]) / second.sqrt()):
        expected = expected - 0.1 * change * (expected.norm() / change.norm() if base == "lamb" else 1.0)
    torch.testing.assert_close(p.detach(), expected)


@pytest.mark.parametrize("base", ["sgd", "momentum", "adam"])
def test_a_table_moves_like_a_small_one_of_the_touched_rows(base):
    """Two micro-batches touch rows 1 and 3 of five; their scale is that of a dense 2 x 1 parameter."""
    table = torch.nn.Parameter(torch.tensor([[5.0], [1.0], [6.0], [2.0], [7.0]]))
    small = torch.nn.Parameter(torch.tensor([[1.0], [2.0]]))
    one, two = (GSNR([p], lr=0.1, base=base, micro_batches=2) for p in (table, small))
    for _ in range(2):
        for part in PARTS:
            # Row 1 comes twice in a micro-batch: its gradients add up.
            values = torch.tensor([[part[0] - 0.5], [part[1]], [0.5]])
            index = torch.tensor([[1, 3, 1]])
            table.grad = torch.sparse_coo_tensor(index, values, (5, 1), check_invariants=False)
            small.grad = part[:, None].clone()
            one.collect()
            two.collect()
        one.step()
        two.step()
    torch.testing.assert_close(table.detach()[[1, 3]], small.detach())
    assert table.detach()[[0, 2, 4]].ravel().tolist() == [5.0, 6.0, 7.0]


def test_the_pull_of_touched_rows_by_hand():
    table = torch.nn.Parameter(torch.tensor([[1.0], [2.0]]))
    pull = torch.tensor([0.5, 0.5])
    optimizer = GSNR([table], lr=0.1, base="sgd", micro_batches=1, row_decay={table: pull})
    table.grad = torch.sparse_coo_tensor([[0]], torch.tensor([[3.0]]), (2, 1), check_invariants=False)
    optimizer.step()
    assert table.ravel().tolist() == pytest.approx([1.0 - 0.1 * (3.0 + 0.5), 2.0])


def test_one_micro_batch_is_the_base_optimizer():
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, 2.0])) for _ in range(2))
    one, two = GSNR([ours], lr=0.1, micro_batches=1), torch.optim.Adam([theirs], lr=0.1)
    for grad in ([1.0, -3.0], [0.5, 2.0], [1.0, 1.0]):
        ours.grad = theirs.grad = torch.tensor(grad)
        two.step()
        ours.grad = torch.tensor(grad)
        one.step()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["lion", "gsnr", "adagrad"])
def test_a_loop_learns_with_it_and_resumes(name):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(64, 3, generator=generator)
    y = X @ torch.tensor([1.0, -2.0, 0.5])
    model = torch.nn.Linear(3, 1)
    torch.nn.init.zeros_(model.weight)

    def step(rows):
        return (model(X[rows]).squeeze(1) - y[rows]).square().mean(), {}

    optimizer = make_optimizer(name, model.parameters(), 0.05)
    options = {"n_samples": 64, "n_epochs": 30, "batch_size": 16, "generator": generator}
    loop = Loop(model, optimizer, step, **options).run()
    assert loop.history[-1]["loss"] < 0.4 * loop.history[0]["loss"]
    values, tensors = pack_optimizer(optimizer)
    again = make_optimizer(name, model.parameters(), 0.05)
    unpack_optimizer(again, values, tensors)
    for key, entries in pack_optimizer(again)[1].items():
        torch.testing.assert_close(entries, tensors[key])


def test_no_part_of_a_batch_has_one_row():
    """Nine samples in up to eight parts, through a layer that needs two for its variance."""
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    X = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    sizes = []

    def step(rows):
        sizes.append(len(rows))
        return model(X[rows]).square().mean(), {}

    optimizer = make_optimizer("gsnr", model.parameters(), 0.01)
    options = {"n_samples": 9, "n_epochs": 1, "batch_size": 9, "generator": torch.Generator()}
    Loop(model, optimizer, step, **options).run()
    assert sorted(sizes) == [2, 2, 2, 3]


def test_an_unknown_name_lists_all():
    with pytest.raises(UsageError, match="adagrad, lion, gsnr"):
        make_optimizer("sophia", [torch.nn.Parameter(torch.ones(1))], 0.1)

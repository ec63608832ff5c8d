"""The gates against the formulas' own numbers, and on a module that knows nothing of the workbench."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.errors import UsageError
from workbench.selection import FieldGates, prune_linear
from workbench.selection._formulas import (
    epsilon_at,
    lpfs_gate,
    lpfs_plus_gate,
    soft_threshold,
    travel_rate,
)


@pytest.mark.parametrize(
    ("epsilon", "gate", "slope", "plus"),
    [
        (0.1, 0.909091, 0.165289, 3.392738),
        (1e-2, 0.990099, 0.0196059, 1.775497),
        (1e-4, 0.9999, 1.9996e-4, 1.0784398),
    ],
)
def test_gates_at_one(epsilon, gate, slope, plus):
    x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    value = lpfs_gate(x, epsilon)
    value.backward()
    assert value.item() == pytest.approx(gate, abs=1e-6)
    assert x.grad.item() == pytest.approx(slope, rel=1e-4)
    assert lpfs_plus_gate(x, epsilon).item() == pytest.approx(plus, abs=1e-6)
    assert lpfs_plus_gate(-x, epsilon).item() == pytest.approx(-plus, abs=1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 1e-2, 1e-4])
def test_at_zero_only_the_gate_of_lpfs_plus_has_a_slope(epsilon):
    for gate, slope in ((lpfs_gate, 0.0), (lpfs_plus_gate, 10.0 * epsilon**0.5)):
        x = torch.zeros((), dtype=torch.float64, requires_grad=True)
        value = gate(x, epsilon)
        value.backward()
        assert value.item() == 0.0
        assert x.grad.item() == pytest.approx(slope)


def test_the_barrier_stands_at_the_root_of_a_third_of_epsilon():
    epsilon = 0.03
    x = torch.linspace(0.0, 1.0, 100_001, dtype=torch.float64, requires_grad=True)
    value = lpfs_gate(x, epsilon)
    value.sum().backward()
    top = int(x.grad.argmax())
    assert x[top].item() == pytest.approx((epsilon / 3) ** 0.5, abs=1e-4)
    assert value[top].item() == pytest.approx(0.25, abs=1e-3)
    assert x.grad[top].item() == pytest.approx(3 * 3**0.5 / 8 / epsilon**0.5, rel=1e-6)


def test_the_proximal_step_makes_exact_zeros():
    x = torch.tensor([0.5, -0.5, 0.2, -0.2, 0.0])
    assert soft_threshold(x, 0.2).tolist() == pytest.approx([0.3, -0.3, 0.0, 0.0, 0.0])
    assert (soft_threshold(x, 0.2) == 0).sum() == 3


def test_epsilon_falls_geometrically_and_rests():
    values = [epsilon_at(share, 0.1, 1e-3, 0.5) for share in (0.0, 0.25, 0.5, 0.9)]
    assert values == pytest.approx([0.1, 1e-2, 1e-3, 1e-3])


def test_the_penalty_alone_moves_a_gate_by_the_travel():
    assert travel_rate(0.01, 8.0, 800) == pytest.approx(1.0)
    gates = FieldGates(2, n_steps=100, penalty=0.03, travel=4.0)
    for step in range(1, 51):
        gates.step(torch.zeros(2))
        assert gates.x[0].item() == pytest.approx(max(1 - 0.04 * step, 0.0), abs=1e-5)
    assert not gates.keep().any()


@pytest.mark.parametrize("method", ["lpfs", "lpfs++"])
@pytest.mark.parametrize("start", [1.0, 0.7])
def test_gates_begin_at_exactly_one(method, start):
    gates = FieldGates(3, n_steps=10, method=method, start=start)
    assert (gates.gate() == 1.0).all()


def test_annealed_gates_end_near_zero_or_one():
    gates = FieldGates(3, n_steps=100, anneal=True, penalty=0.01)
    for _ in range(100):
        gates.step(torch.tensor([-0.5, -0.01, 0.0]))  # used much, used just enough, not used
    values = gates.gate()
    assert values[0] > 0.95
    assert values[2].item() == 0.0


def test_settled_gates_rest_at_the_end():
    gates = FieldGates(1, n_steps=10, penalty=0.01, settle=0.3)
    assert gates.learning_rate == pytest.approx(8 / (0.01 * 7))
    path = []
    for _ in range(10):
        gates.step(torch.tensor([-0.02]))
        path.append(gates.x.item())
    assert len(set(path[:7])) == 7
    assert len(set(path[6:])) == 1


def test_one_step_by_hand():
    """Gradient, then threshold: x = 1 - 0.5·0.3 = 0.85, less 0.5·0.2 is 0.75."""
    gates = FieldGates(1, n_steps=10, penalty=0.2, learning_rate=0.5)
    gates.step(torch.tensor([0.3]))
    assert gates.x.item() == pytest.approx(0.75)


@pytest.mark.parametrize("method", ["lpfs", "lpfs++"])
def test_a_users_own_module_in_a_users_own_loop(method):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(8, (4000, 5), generator=generator)
    y = ((x[:, 0] + x[:, 2]) % 2).float()  # fields 0 and 2 decide; 1, 3 and 4 say nothing
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tables = torch.nn.ModuleList(torch.nn.Embedding(8, 4) for _ in range(5))
        first, last = torch.nn.Linear(20, 16), torch.nn.Linear(16, 1)
    network = torch.nn.ModuleList([tables, first, last])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    gates = FieldGates(5, n_steps=8 * 40, method=method, penalty=0.02)

    def embed(rows):
        return torch.stack([table(rows[:, i]) for i, table in enumerate(tables)], dim=1)

    for _ in range(8):
        for part in torch.randperm(4000, generator=generator).split(100):
            hidden = first(gates(embed(x[part])).flatten(1)).relu()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(last(hidden)[:, 0], y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            gates.step()
    keep = gates.keep()
    assert keep.tolist() == [True, False, True, False, False]
    with torch.no_grad():
        gated = last(first(gates(embed(x)).flatten(1)).relu())
        smaller = prune_linear(first, keep, gates.gate())
        pruned = last(smaller(embed(x)[:, torch.from_numpy(keep)].flatten(1)).relu())
    assert smaller.in_features == 8
    assert (gated - pruned).abs().max() <= 1e-5
    assert ((gated[:, 0] > 0) == (y > 0.5)).float().mean() > 0.95


def test_wrong_use_is_one_sentence():
    with pytest.raises(UsageError, match="'lpfs' or 'lpfs\\+\\+'"):
        FieldGates(2, n_steps=5, method="stg")
    with pytest.raises(UsageError, match="no multiple of 3 fields"):
        prune_linear(torch.nn.Linear(10, 1), np.ones(3, dtype=bool))

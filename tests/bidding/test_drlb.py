"""DRLB's parts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.bidding import AuctionMarket, DRLBBidder, ReplayLog, ReplayMarket
from workbench.bidding._drlb_training import Best, double_q_target
from workbench.bidding.drlb import MOVES, epsilon, is_unimodal, move
from workbench.bidding.steps import Trace, Units
from workbench.errors import UsageError


def test_the_eleven_moves_change_lambda():
    assert (100 * MOVES).round().astype(int).tolist() == [-50, -15, -8, -3, -1, 0, 1, 3, 8, 15, 50]
    trace = Trace(2, 3, np.ones(2), Units(np.array([4.0, 10.0]), np.ones(2), np.ones(2)))
    trace.alpha[0] = move(trace, 0, np.array([0, 10]))[:, 0]
    np.testing.assert_allclose(trace.alpha[0], [4.0 / 0.5, 10.0 / 1.5])
    # value / λ with λ = λ0 · 0.5 · 1.08, and λ0 · 1.5 · 1.
    np.testing.assert_allclose(move(trace, 1, np.array([8, 5]))[:, 0], [4.0 / (0.5 * 1.08), 10.0 / 1.5])


def test_exploration_falls_in_a_line_and_stays():
    assert [epsilon(step, 1e-3) for step in (0, 100, 800, 5_000)] == pytest.approx([0.95, 0.85, 0.15, 0.05])


def test_values_with_two_peaks_are_told():
    rows = np.array([[1, 2, 3, 2, 1], [3, 2, 1, 0, -1], [0, 1, 2, 3, 4], [1, 3, 2, 4, 1], [3, 1, 0, 1, 0]])
    assert is_unimodal(rows).tolist() == [True, True, True, False, False]


def test_double_q_takes_the_online_networks_action_and_the_target_networks_value():
    online = torch.tensor([[1.0, 5.0, 2.0], [4.0, 0.0, 0.0]])
    target = torch.tensor([[10.0, 20.0, 90.0], [1.0, 7.0, 3.0]])
    reward = torch.tensor([0.5, 0.25])
    ended = torch.tensor([0.0, 1.0])
    y = double_q_target(reward, ended, online, target, 0.9)
    # Plain Q-learning would take 90 and, without the end, 7.
    torch.testing.assert_close(y, torch.tensor([0.5 + 0.9 * 20.0, 0.25]))


def test_rewardnets_table_holds_the_best_day_through_a_state_and_action():
    best = Best()
    start = np.array([0, 0, 1])
    state = np.array([[0.5, 0.12], [0.5, 0.14], [0.5, 0.12]])
    keys = best.key(start, state, np.array([3, 3, 3]))
    assert keys[0] == keys[1]  # alike to one digit
    assert len({keys[0], keys[2], *best.key(start[:1], state[:1], np.array([4]))}) == 3
    best.enter(keys, np.array([1.0, 4.0, 2.0]))
    best.enter(keys[:1], np.array([3.0]))
    np.testing.assert_array_equal(best.look_up(keys), [4.0, 4.0, 2.0])
    best.enter(keys[2:], np.array([5.0]))
    again = Best()
    again.load_state_dict(best.state_dict())
    np.testing.assert_array_equal(again.look_up(keys), [4.0, 4.0, 5.0])


def dear_and_cheap(n=4_000, seed=0):
    """A log whose second half of each day is cheap: spending early is wrong."""
    rng = np.random.default_rng(seed)
    pctr = np.clip(rng.lognormal(-3, 0.5, n), 0, 1)
    late = (np.arange(n) % 200) >= 100
    price = rng.gamma(4.0, 20.0, n) * np.where(late, 0.4, 1.0) + 1
    return ReplayLog(price=price, pctr=pctr, click=pctr)


def test_a_networks_favourite_action_is_what_is_bid():
    market = ReplayMarket(dear_and_cheap(), budget=3_000.0, episode=200)
    bidder = DRLBBidder(n_steps=4, n_episodes=1, updates_per_episode=1, random_state=0).fit(market)
    ratio = float(bidder.alpha_[0])
    # A network that always likes the tenth action, +15 %, best.
    bidder.network_ = [np.zeros_like(a) for a in bidder.network_]
    bidder.network_[-1][..., 9] = 1.0
    bids = np.concatenate([
        ratio / 1.15 ** (k + 1) * market.log.pctr[first + 50 * k : first + 50 * (k + 1)]
        for first in range(0, 4_000, 200)
        for k in range(4)
    ])  # fmt: skip
    found, expected = bidder.simulate(market), market.run(bids)
    assert found.impressions == expected.impressions
    assert found.cost == pytest.approx(expected.cost)
    np.testing.assert_allclose(bidder.bid(market.log), ratio / 1.15 * market.log.pctr)


def test_same_seed_same_network(log):
    market = AuctionMarket(log, budgets=0.3)
    quick = {"n_steps": 4, "n_episodes": 2, "updates_per_episode": 3, "batch_size": 8}
    first, second, other = (DRLBBidder(random_state=s, **quick).fit(market) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.network_[0], second.network_[0])
    assert not np.array_equal(first.network_[0], other.network_[0])


def test_a_replay_without_a_budget_is_refused():
    with pytest.raises(UsageError, match="needs a budget"):
        DRLBBidder().fit(dear_and_cheap())

"""Implicit Q-learning from logged trajectories."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.bidding._iql_training import expectile_loss
from workbench.bidding.auctionnet import AuctionNetMarket, generate_day
from workbench.bidding.iql import IQLBidder, Trajectories
from workbench.errors import DatasetError


def test_expectile_by_hand_and_its_limit():
    loss = expectile_loss(torch.tensor([1.0, -2.0]), 0.7)
    assert float(loss) == pytest.approx((0.7 * 1 + 0.3 * 4) / 2)
    # The minimiser at 0.5 is the mean; towards 1 it nears the maximum.
    x = torch.tensor([0.0, 1.0, 5.0])
    grid = torch.linspace(0, 5, 501)
    best = [float(grid[torch.stack([expectile_loss(x - v, e) for v in grid]).argmin()]) for e in (0.5, 0.99)]
    assert best[0] == pytest.approx(2.0, abs=0.02)
    assert best[1] > 4.5


def one_step_log(n=4000):
    """States of two kinds with different best actions, logged by chance."""
    rng = np.random.default_rng(0)
    state = np.zeros((n, 16))
    state[:, 0] = rng.integers(0, 2, n)
    action = rng.uniform(0, 2, n)
    best = np.where(state[:, 0] == 1, 1.5, 0.5)
    reward = 3.0 * np.exp(-8 * (action - best) ** 2)
    return Trajectories(state, action, reward, np.zeros((n, 16)), np.ones(n, dtype=bool)), state


def test_the_policy_leaves_the_logs_mean_for_what_paid():
    log, state = one_step_log()
    bidder = IQLBidder(n_steps=600, temperature=5.0, lr=5e-3, random_state=0).fit(log)
    low, high = (bidder.alpha(state[state[:, 0] == kind][:1])[0] for kind in (0, 1))
    assert low == pytest.approx(0.5, abs=0.25)
    assert high == pytest.approx(1.5, abs=0.25)
    short = [IQLBidder(n_steps=20, random_state=0).fit(log).alpha(state[:5]).tolist() for _ in range(2)]
    assert short[0] == short[1]


def test_a_whole_day_is_bid_for(tmp_path):
    market = AuctionNetMarket(generate_day(3_000, random_state=2), budgets=np.full(48, 15.0))
    rng = np.random.default_rng(0)
    days = [
        market.run(lambda t, out, left: market.targets * rng.uniform(0.3, 1.5, 48), seed=s) for s in range(2)
    ]
    log = Trajectories.of(days)
    assert log.state.shape == (2 * 48 * 48, 16)
    assert log.done.sum() == 2 * 48
    np.testing.assert_array_equal(log.next_state[0], log.state[48])
    bidder = IQLBidder(n_steps=60, random_state=0).fit(log)
    assert bidder.evaluate(market).shape == (48,)
    assert (bidder.alpha(log.state[:100]) >= 0).all()
    assert bidder.bid(log.state[0], np.array([0.001, 0.002]))[1] == pytest.approx(
        2 * bidder.bid(log.state[0], np.array([0.001, 0.002]))[0]
    )


def test_bad_rows_are_named():
    log, state = one_step_log(10)
    with pytest.raises(DatasetError, match="Row 3: reward is not a number"):
        Trajectories(state, log.action, np.where(np.arange(10) == 2, np.nan, 1.0), state, log.done)
    with pytest.raises(DatasetError, match="Row 1: action is negative"):
        Trajectories(state, -log.action, log.reward, state, log.done)

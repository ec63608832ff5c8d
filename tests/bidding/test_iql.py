"""Implicit Q-learning from logged trajectories."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.bidding import AuctionMarket
from workbench.bidding._forward import forward
from workbench.bidding._iql_training import Nets, expectile_loss, losses
from workbench.bidding.auctionnet import AuctionNetMarket, generate_day
from workbench.bidding.iql import IQLBidder, Trajectories
from workbench.bidding.steps import Units, play
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


def test_the_three_losses_by_hand():
    nets, rng = Nets(3, torch.Generator().manual_seed(0)), np.random.default_rng(0)
    for network in (nets.actor, nets.value, nets.critic, nets.target):
        for p in network.parameters():
            p.data = torch.from_numpy(rng.normal(0, 0.5, p.shape).astype(np.float32))
    s, s2 = rng.normal(size=(2, 6, 3)).astype(np.float32)
    a, r = rng.normal(size=(2, 6)).astype(np.float32)
    done = np.array([0, 1, 0, 0, 1, 0], dtype=np.float32)
    rows = map(torch.from_numpy, (s, a, r, s2, done))
    found = {k: v.detach() for k, v in losses(nets, *rows, IQLBidder(expectile=0.8, temperature=2)).items()}
    pair = np.broadcast_to(np.column_stack([s, a]), (2, 6, 4))
    value, following = (forward(nets.value.arrays(), x[None])[0, :, 0] for x in (s, s2))
    q, q_target = (forward(net.arrays(), pair)[..., 0] for net in (nets.critic, nets.target))
    advantage = q_target.min(axis=0) - value
    # A mean in place of the expectile, weights without the bound, a target without the end: all differ.
    assert np.exp(2 * advantage).max() > 100
    expectile = np.where(advantage < 0, 0.2, 0.8) * advantage**2
    assert float(found["value"]) == pytest.approx(expectile.mean(), rel=1e-4)
    y = r + 0.99 * (1 - done) * following
    assert float(found["critic"]) == pytest.approx(((q - y) ** 2).mean(), rel=1e-4)
    weight = np.minimum(np.exp(2 * advantage), 100)
    policy = weight * (forward(nets.actor.arrays(), s[None])[0, :, 0] - a) ** 2
    assert float(found["policy"]) == pytest.approx(policy.mean(), rel=1e-4)


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
    bidder = IQLBidder(n_updates=600, temperature=5.0, lr=5e-3, random_state=0).fit(log)
    low, high = (bidder.alpha(state[state[:, 0] == kind][:1])[0] for kind in (0, 1))
    assert low == pytest.approx(0.5, abs=0.25)
    assert high == pytest.approx(1.5, abs=0.25)
    short = [IQLBidder(n_updates=20, random_state=0).fit(log).alpha(state[:5]).tolist() for _ in range(2)]
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
    bidder = IQLBidder(n_updates=60, random_state=0).fit(log)
    table = bidder.evaluate(market)
    assert table["bidder"].tolist() == list(range(1, 49))
    played = market.run(bidder)
    np.testing.assert_allclose(played.alpha[0], bidder.alpha(played.state(0)))
    np.testing.assert_allclose(table["score"], played.scores())
    assert (bidder.alpha(log.state[:100]) >= 0).all()
    # Given the market itself, it logs days of its own.
    quick = {"n_updates": 3, "n_days": 1, "random_state": 0}
    assert IQLBidder(**quick).fit(market).evaluate(market)["cost"].sum() > 0


def test_trajectories_of_a_market_hold_what_was_played(log):
    market = AuctionMarket(log, budgets=0.3)
    n = log.n_merchants
    alpha = np.linspace(0.5, 1.5, n)
    units = Units(np.full(n, 0.5), np.ones(n), np.full(n, 4.0))
    day = play(market, 3, units, lambda trace, t: (0.5 * alpha * (t + 1))[:, None])
    found = Trajectories.of_traces([day, day])
    assert found.state.shape == (2 * 3 * n, 16)
    np.testing.assert_allclose(found.action[: 3 * n].reshape(3, n)[2], 3 * alpha)
    np.testing.assert_allclose(found.reward[: 3 * n].reshape(3, n), day.reward / 4)
    np.testing.assert_array_equal(found.next_state[:n], found.state[n : 2 * n])
    assert found.done.reshape(2, 3, n)[:, 2].all()
    assert found.done.sum() == 2 * n


def test_a_market_is_bid_for_by_the_policys_multipliers(log):
    market = AuctionMarket(log, budgets=0.3)
    bidder = IQLBidder(n_steps=4, n_days=2, n_updates=20, random_state=0).fit(market)
    trace = play(market, 4, bidder.units, bidder._choose)
    np.testing.assert_allclose(trace.alpha[2], bidder.alpha_ * bidder.alpha(trace.long_state(2)))
    assert bidder.evaluate(market).iloc[0]["gmv"] == pytest.approx(trace.reward.sum())


def test_bad_rows_are_named():
    log, state = one_step_log(10)
    with pytest.raises(DatasetError, match="Row 3: reward is not a number"):
        Trajectories(state, log.action, np.where(np.arange(10) == 2, np.nan, 1.0), state, log.done)
    with pytest.raises(DatasetError, match="Row 1: action is negative"):
        Trajectories(state, -log.action, log.reward, state, log.done)

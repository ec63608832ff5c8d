"""Each rule's bids against its own formula, written out here a second time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.bidding import AuctionMarket, ReplayLog, ReplayMarket
from workbench.bidding._actor_critic import Gaussian, Sizes
from workbench.bidding.constrained import MPIDBidder
from workbench.bidding.control import AdaptivePacingBidder, MirrorDescentBidder, PIDBidder
from workbench.bidding.dp import RLBBidder, SSMDPBidder
from workbench.bidding.lp import OnlineLPBidder, greedy_ratio
from workbench.bidding.rules import (
    LinearBidder,
    ManualBidder,
    ORTBBidder,
    TruthfulBidder,
    UniformScaleBidder,
)


@pytest.fixture(scope="module")
def market(log):
    return AuctionMarket(log, budgets="fraction:0.333")


@pytest.fixture(scope="module")
def replay():
    rng = np.random.default_rng(4)
    pctr = np.clip(rng.lognormal(-4, 0.7, 900), 0, 1)
    price = np.round(rng.gamma(2.0, 20, 900)) + 1
    return ReplayLog(
        price=price, pctr=pctr, click=(rng.random(900) < pctr).astype(float), value_per_click=3000.0
    )


def test_manual_linear_and_truthful_bids_of_a_market(market, log):
    np.testing.assert_array_equal(ManualBidder().fit(market).bid(log), log.bid)
    np.testing.assert_allclose(TruthfulBidder().fit(market).bid(log), log.pcvr * log.ppb)
    np.testing.assert_allclose(UniformScaleBidder().fit(market).bid(log), 0.333 * log.bid)
    linear = LinearBidder().fit(market)
    np.testing.assert_allclose(linear.bid(log), linear.factor_[log.merchant] * log.pcvr * log.ppb)
    # The factors are those at which what would be spent without budgets meets them.
    spent = (
        market.episode(budgets=np.full(log.n_merchants, np.inf)).run(linear.bid(log)).cost.sum(axis=(0, 2))
    )
    assert np.abs(spent / market.budgets - 1).mean() < 0.1


def test_ortb_bids_of_a_replay_and_of_a_market(market, log, replay):
    budget = ReplayMarket(replay, budget=0.1 * replay.price.sum())
    first, second = (ORTBBidder(curve=curve, c=30.0).fit(budget) for curve in ("hyperbola", "squared"))
    x = replay.pctr / first.lam_
    np.testing.assert_allclose(first.bid(replay), np.sqrt(30 * x + 900) - 30)
    x = (replay.pctr + np.sqrt((30 * second.lam_) ** 2 + replay.pctr**2)) / (30 * second.lam_)
    np.testing.assert_allclose(second.bid(replay), 30 * (x ** (1 / 3) - x ** (-1 / 3)))
    many = ORTBBidder(c=0.05).fit(market)
    value = log.pctr * log.pcvr * log.ppb / many.lam_[log.merchant]
    np.testing.assert_allclose(many.bid(log) * log.pctr, np.sqrt(0.05 * value + 0.0025) - 0.05)


def test_pid_follows_the_plan_by_its_three_terms(market, log):
    bidder = PIDBidder(p=2.0, i=0.5, d=1.5, low=-3.0, high=1.0, n_steps=4, n_passes=0).fit(market)
    stepped = market.with_steps(4)
    policy, episode = bidder._policy(stepped), stepped.episode()
    signal, total, before, spent = np.zeros(log.n_merchants), 0.0, 0.0, np.zeros(log.n_merchants)
    for t in range(4):
        here = episode.interval()
        bids = policy.bids(here)
        np.testing.assert_allclose(bids, np.exp(signal)[here.merchant] * here.bid)
        result = episode.step(bids)
        policy.observe(result)
        spent = spent + result.cost.sum(axis=(0, 2))
        error = (t + 1) / 4 - spent / market.budgets
        total = total + error
        signal = np.clip(2.0 * error + 0.5 * total + 1.5 * (error - before), -3.0, 1.0)
        before = error


def test_pacing_reacts_to_each_steps_spending(market, log):
    """mu + step·(speed − 1), and mu·exp(step·(speed − 1)): the same speeds, two different duals."""
    rate = market.budgets / 3
    result = market.with_steps(3).episode().step(log.bid[: int(log.indptr[market.with_steps(3).bounds[1]])])
    speed = result.cost.sum(axis=(0, 2)) / rate
    expected = {
        AdaptivePacingBidder: 1 / (1 + np.clip(0.2 * (speed - 1), 0, 20)),
        MirrorDescentBidder: 1 / np.clip(np.exp(0.2 * (np.minimum(speed, 5) - 1)), 1, 20),
    }
    for cls, factor in expected.items():
        bidder = cls(step=0.2, n_steps=3, n_passes=0).fit(market)
        stepped = market.with_steps(3)
        policy, episode = bidder._policy(stepped), stepped.episode()
        policy.observe(episode.step(policy.bids(episode.interval())))
        here = episode.interval()
        np.testing.assert_allclose(policy.bids(here), factor[here.merchant] * here.bid)


@pytest.mark.parametrize("cls", [AdaptivePacingBidder, MirrorDescentBidder])
def test_replays_move_the_dual_after_every_auction(replay, cls):
    market = ReplayMarket(replay, budget=800.0, episode=300)
    bidder = cls(step=0.05, n_passes=0).fit(market)
    out = bidder.simulate(market)
    additive = cls is AdaptivePacingBidder
    mu, cost, wins = (0.0 if additive else 1.0), 0.0, 0
    for i in range(len(replay)):
        left = 800.0 if i % 300 == 0 else left  # noqa: F821
        bid = min(3000 * replay.pctr[i] / (1 + mu if additive else mu), left)
        paid = 0.0
        if left > 0 and bid >= replay.price[i]:
            paid, wins = replay.price[i], wins + 1
            left, cost = left - paid, cost + paid
        excess = paid / (800 / 300) - 1
        mu = min(max(mu + 0.05 * excess, 0), 20) if additive else mu * np.exp(0.05 * min(excess, 99.0))
        mu = mu if additive else min(max(mu, 1 / 20), 20)
    assert (out.impressions, out.cost) == (wins, pytest.approx(cost))


def test_online_lp_starts_at_the_programmes_ratio_and_follows_the_money(replay):
    market = ReplayMarket(replay, budget=0.2 * replay.price.sum())
    bidder = OnlineLPBidder(n_steps=3, n_levels=900).fit(market)
    whole = greedy_ratio(replay.price, replay.pctr, market.budget)
    np.testing.assert_allclose(bidder.bid(market), whole * replay.pctr, rtol=0.02)
    # Half of the budget left for the last third of the day buys dearer; none buys at the cheapest ratio.
    last = slice(600, 900)
    later = greedy_ratio(replay.price[last], replay.pctr[last], market.budget / 2)
    assert bidder.ratios(2, np.array([market.budget / 2]))[0] == pytest.approx(later, rel=0.02)
    assert bidder.ratios(2, np.zeros(1))[0] == pytest.approx((replay.price / replay.pctr)[last].min())


def test_mpid_moves_both_duals_by_mixed_signals(replay):
    market = ReplayMarket(replay, budget=3000.0)
    bidder = MPIDBidder(cpc=40.0, gain=0.3, integral=0.1, derivative=0.2, alpha=0.7, beta=0.6, n_steps=3)
    bidder.fit(market)
    policy, (p, q) = bidder._replay_policy(market), bidder.duals_
    total, before = np.zeros(2), np.zeros(2)
    for cost, clicks in ((1500.0, 20.0), (400.0, 40.0)):
        policy.observe(type(market.run(1.0))(300, 300, 100, clicks, cost, 3000.0))
        error = np.array([1 - cost / 1000.0, 1 - cost / clicks / 40.0])
        total, change, before = total + error, error - before, error
        u = 0.3 * error + 0.1 * total + 0.2 * change
        p *= np.exp(-(0.7 * u[0] + 0.3 * u[1]))
        q *= np.exp(-(0.4 * u[0] + 0.6 * u[1]))
    assert (policy._p, policy._q) == (pytest.approx(p), pytest.approx(q))


def test_dynamic_programming_bids_by_what_the_rest_of_the_budget_is_worth():
    """θ + V(t−1, b−a) − V(t−1, b) ≥ 0, with V by recursion over every price: three auctions, five coins."""
    pmf = np.array([0.0, 0.2, 0.3, 0.1, 0.4])
    log = ReplayLog(
        price=np.array([2.0, 4.0, 1.0]), pctr=np.array([0.02, 0.4, 0.1]), click=np.array([1.0, 0.0, 1.0])
    )
    mean = 0.1

    def value(t, b):
        if t == 0 or b == 0:
            return 0.0
        return max(
            sum(
                m * (mean + value(t - 1, b - price) if price <= a else value(t - 1, b))
                for price, m in enumerate(pmf)
            )
            for a in range(min(b, 4) + 1)
        )

    def best(theta, t, b):
        return max(a for a in range(min(b, 4) + 1) if theta + value(t - 1, b - a) - value(t - 1, b) >= -1e-12)

    market = ReplayMarket(log, budget=5.0)
    for cls, worth in ((RLBBidder, log.pctr), (SSMDPBidder, np.full(3, mean))):
        bidder = cls(horizon=3, max_price=4, smoothing=0)
        bidder.fit_counts((10 * pmf).round().astype(int), mean, 5)
        np.testing.assert_array_equal(bidder.bid(log), [best(theta, 3, 5) for theta in worth])
        left, wins = 5, 0
        for i in range(3):
            if best(worth[i], 3 - i, left) >= log.price[i]:
                wins, left = wins + 1, left - int(log.price[i])
        out = bidder.simulate(market)
        assert (out.impressions, out.cost) == (wins, 5 - left)


def test_a2c_loss_by_hand():
    """−log π · advantage + ½ (R − V)², and its gradient at the critic's last biases."""
    agents = Gaussian(
        Sizes(2, 1, 3, 2), np.ones((1, 3)), torch.Generator().manual_seed(0), actor_lr=1e-9, critic_lr=1e-9,
        deviation=0.5, entropy=0.0, max_grad_norm=1e9, penalty=0.0,
    )  # fmt: skip
    state = torch.rand(4, 3, generator=torch.Generator().manual_seed(1))
    action = torch.tensor([[[0.2], [-0.3]], [[0.5], [0.1]], [[-0.2], [0.4]], [[0.0], [0.3]]])
    returns = torch.tensor([[1.0, 2.0], [0.5, 1.0], [2.0, 0.0], [1.0, 1.0]])
    with torch.no_grad():
        mean = agents.means(agents.actor, state)[..., 0]
        value = agents.critic(agents.critic_state(state).expand(2, -1, -1))[..., 0]
    advantage = returns.T - value
    critic, actor = agents.update(state, action, returns)
    log_prob = -((action[..., 0].T - mean) ** 2) / (2 * 0.25) - np.log(0.5 * np.sqrt(2 * np.pi))
    assert critic == pytest.approx(float((advantage**2).mean(dim=1).sum()), rel=1e-5)
    assert actor == pytest.approx(float(-(log_prob * advantage).mean(dim=1).sum()), rel=1e-5)
    # ½·d(R − V)²/dV = −(R − V): the other agent's return and the actor leave it alone.
    gradient = agents.critic.biases[-1].grad[:, 0, 0]
    torch.testing.assert_close(gradient, -advantage.mean(dim=1))

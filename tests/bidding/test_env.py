"""The standard interfaces, by their own test suites."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test, parallel_seed_test

from workbench.bidding import AuctionMarket
from workbench.errors import DatasetError, RunError, UsageError


@pytest.fixture(scope="module")
def market(log):
    return AuctionMarket(log, budgets="fraction:0.4", feedback="sampled")


def test_parallel_api(market):
    parallel_api_test(market.parallel_env(), num_cycles=20)


def test_parallel_seed(market):
    parallel_seed_test(market.parallel_env, num_cycles=12)


def test_single_bidder_view(market):
    check_env(market.gym_env("m03", n_steps=6), skip_render_check=True)


def test_an_episode_is_one_pass_and_agrees_with_the_market(log):
    market = AuctionMarket(log, budgets="fraction:0.4")
    env = market.parallel_env(bratio_mode="none")
    env.reset(seed=0)
    total, steps = 0.0, 0
    while env.agents:
        *_, infos = env.step({a: np.full(3, -0.5, dtype=np.float32) for a in env.agents})
        total += sum(info["revenue"] for info in infos.values())
        steps += 1
    assert steps == market.n_intervals
    assert total == pytest.approx(market.run(0.5).scores()["gmv"])


def test_state_holds_the_observation_and_the_share_of_bids(market):
    env = market.parallel_env()
    observations, _ = env.reset(seed=1)
    env.step({a: np.zeros(3, dtype=np.float32) for a in env.agents})
    assert env.state().shape == (len(observations["cluster_1"]) + 9,)
    assert env.state()[-9:].sum() == pytest.approx(1.0)


def test_rewards_by_beta(log):
    market = AuctionMarket(log)
    rewards = {}
    for beta in (0.0, 1.0):
        env = market.parallel_env(beta=beta)
        env.reset()
        rewards[beta] = env.step({a: np.zeros(3) for a in env.agents})[1]
    assert len(set(rewards[1.0].values())) == 1
    assert len(set(rewards[0.0].values())) == 3


def test_single_bidder_without_bidding_earns_nothing(market):
    env = market.gym_env("m03", n_steps=6)
    env.reset(seed=0)
    assert all(env.step(np.array([-1.0]))[1] == 0 for _ in range(6))
    with pytest.raises(DatasetError, match="'nobody' is not in the log"):
        market.gym_env("nobody")


@pytest.mark.parametrize(
    "options",
    [
        {"n_merchant_clusters": 1, "n_consumer_clusters": 1},
        {"n_merchant_clusters": 2, "n_consumer_clusters": 4, "beta": 0.5, "bratio_mode": "multiplier"},
    ],
)
def test_the_interface_holds_in_other_markets(log, options):
    for market in (
        AuctionMarket(log, "second", slots=1, interval=7),
        AuctionMarket(log, "vcg", slots=5, reserve=0.5, feedback="sampled"),
    ):
        parallel_api_test(market.parallel_env(**options), num_cycles=8)
        parallel_seed_test(lambda market=market: market.parallel_env(**options), num_cycles=4)


def test_unusable_actions_and_options_are_refused(market):
    env = market.parallel_env()
    env.reset()
    good = {a: np.zeros(3) for a in env.agents}
    for bad, sentence in (
        ({k: good[k] for k in list(good)[1:]}, "The action of cluster_1 is missing"),
        ({**good, "cluster_2": np.zeros(2)}, "The action of cluster_2 must be 3 numbers"),
        ({**good, "cluster_3": np.full(3, np.nan)}, "The action of cluster_3 must be 3 numbers"),
    ):
        with pytest.raises(UsageError, match=sentence):
            env.step(bad)
    while env.agents:
        env.step(good)
    with pytest.raises(RunError, match="The episode is over"):
        env.step(good)
    for options, sentence in (
        ({"beta": 2}, "beta must lie"),
        ({"bid_range": -1}, "bid_range must lie"),
        ({"bratio_mode": "x"}, "bratio_mode must be one of"),
        ({"n_merchant_clusters": 0}, "at least 1 merchant cluster"),
    ):
        with pytest.raises(UsageError, match=sentence):
            market.parallel_env(**options)
    alone = market.gym_env("m03", n_steps=6)
    alone.reset()
    with pytest.raises(UsageError, match="The action must be one number"):
        alone.step(np.array([np.nan]))

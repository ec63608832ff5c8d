"""The standard interfaces, by their own test suites."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test, parallel_seed_test

from workbench.bidding import AuctionMarket
from workbench.errors import DatasetError


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

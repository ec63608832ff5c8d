"""The clusters' game and DCMAB's parts, each against numbers made another way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench import training
from workbench.bidding import A2CBidder, AuctionMarket, BanditBidder, DCMABBidder, DDPGBidder, formulas
from workbench.bidding._actor_critic import Deterministic, Gaussian, Sizes, memory_for
from workbench.bidding._forward import forward
from workbench.bidding._networks import Best, Memory, StackedMLP
from workbench.bidding.clusters import rank_and_cut
from workbench.bidding.game import ClusterGame, Clusters


@pytest.fixture(scope="module")
def market(log):
    return AuctionMarket(log, budgets="fraction:0.333")


@pytest.fixture(scope="module")
def clusters(market):
    return Clusters.fit(market, 3, 3)


def test_rank_and_cut_balances_presence_within_one():
    rng = np.random.default_rng(0)
    revenue, presence = rng.random(300), rng.integers(1, 50, 300)
    cluster = rank_and_cut(revenue, presence, 4)
    totals = np.bincount(cluster, presence)
    assert np.abs(totals - presence.sum() / 4).max() <= presence.max()
    for low in range(3):
        assert revenue[cluster == low].max() < revenue[cluster == low + 1].min()


def test_rank_and_cut_by_hand():
    assert rank_and_cut(np.array([5.0, 0.0, 1.0, 9.0]), np.array([1, 1, 1, 3]), 2).tolist() == [0, 0, 0, 1]
    # Who earns nothing belongs to the lowest, whatever its presence.
    assert rank_and_cut(np.array([0.0, 0.0, 1.0]), np.array([9, 9, 1]), 3).tolist() == [0, 0, 2]


def test_game_bids_by_the_formula_and_keeps_its_sums(market, clusters):
    log = market.log
    table = np.array([[-0.7, 0.3, 0.1], [0.9, -0.2, 0.0], [-0.9, -0.4, 0.5]])
    for mode in ("paper", "multiplier", "none"):
        game = ClusterGame(market, clusters, 0.9, mode)
        out = game.step(table)
        ratio = log.pcvr / clusters.mean_pcvr[log.merchant]
        action = table[clusters.merchant[log.merchant], game.groups[log.request_of]]
        bids = log.bid * formulas.action_factor(action, ratio, 0.9, mode)
        alone = market.episode()
        expected = alone.step(bids[alone.interval().rows])
        np.testing.assert_allclose(out.cost.sum(axis=2), expected.cost.sum(axis=2))
        g = game.general()[:18].reshape(3, 3, 2)
        earned = np.bincount(clusters.merchant, expected.revenue[0, :, 0]) / clusters.scale[:, 0]
        np.testing.assert_allclose(g[:, :, 1].sum(axis=1), earned)
        assert game.share.sum() == pytest.approx(1.0)
        np.testing.assert_allclose(game.general()[18:21] + game.general()[21:], 1.0, atol=0.1)


def test_state_sizes_of_the_paper(market, clusters):
    game = ClusterGame(market, clusters)
    # 18 general numbers, 6 of spent and unspent budgets, 5 of the consumer cluster (15 for all three).
    assert game.actor_states().shape == (3, 18 + 6 + 5)
    assert game.critic_state().shape == (18 + 6 + 15,)


def test_rewards_mix_own_and_total(market):
    own, mixed, total = (DCMABBidder(reward=r) for r in ("self", 0.25, "coord"))
    own._keep_clusters(Clusters.fit(market, 3, 3))
    game = own._game(market)
    out = game.step(np.zeros((3, 3)))
    revenue = np.bincount(game.clusters.merchant, out.revenue.sum(axis=(0, 2)), 3)
    scale = game.clusters.scale[:, 0]
    np.testing.assert_allclose(own._rewards(game, out), revenue / scale)
    np.testing.assert_allclose(total._rewards(game, out), revenue.sum() / scale.sum())
    expected = (0.75 * revenue + 0.25 * revenue.sum()) / (0.75 * scale + 0.25 * scale.sum())
    np.testing.assert_allclose(mixed._rewards(game, out), expected)


def agents(centralised=True, late_actions=True, gamma=0.9, n_learning=3):
    return Deterministic(
        Sizes(3, 2, 4, n_learning), np.arange(8.0).reshape(2, 4) / 8, torch.Generator().manual_seed(0),
        centralised=centralised, late_actions=late_actions, actor_lr=1e-3, critic_lr=1e-3, gamma=gamma,
        tau=0.25, max_grad_norm=1.0, penalty=0.0,
    )  # fmt: skip


def batch(n=5, done=0.0):
    rng = np.random.default_rng(1)
    memory = memory_for(Sizes(3, 2, 4, 3), 50)
    for _ in range(20):
        memory.add(
            general=rng.random(4), share=rng.random((3, 2)), action=rng.uniform(-1, 1, (3, 2)),
            reward=rng.random(3), next_general=rng.random(4), next_share=rng.random((3, 2)), done=done,
        )  # fmt: skip
    return memory.sample(n, rng)


def test_stacked_networks_are_separate_networks_and_numpy_agrees():
    net = StackedMLP(3, (4, 6, 5, 1), torch.Generator().manual_seed(1), final=0.5)
    x = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = net(x)
        for i in range(3):
            h = x[i]
            for k in range(3):
                h = h @ net.weights[k][i] + net.biases[k][i]
                h = torch.relu(h) if k < 2 else h
            torch.testing.assert_close(together[i], h)
    np.testing.assert_allclose(forward(net.arrays(), x.numpy()), together.numpy(), rtol=1e-5)


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("centralised", [True, False])
def test_gradient_reaches_an_agents_own_actor_alone(centralised, late):
    a = agents(centralised, late)
    objective = a.actor_objective(batch())
    gradient = torch.autograd.grad(objective[1], list(a.actor.parameters()))
    for g in gradient:
        assert g[0].abs().sum() == 0
        assert g[2].abs().sum() == 0
    assert sum(float(g[1].abs().sum()) for g in gradient) > 0


def test_only_dcmabs_critic_sees_the_other_agents():
    rows = batch()
    changed = {**rows, "action": rows["action"].clone()}
    changed["action"][:, 2] += 0.5
    for centralised in (True, False):
        a = agents(centralised)
        q, q_changed = (
            a.value(a.critic, r["general"], r["share"], r["action"][None]) for r in (rows, changed)
        )
        assert torch.equal(q[0], q_changed[0]) is not centralised
        assert not torch.equal(q[2], q_changed[2])


def test_targets_by_hand_and_at_the_end():
    a = agents(gamma=0.9)
    rows = batch()
    with torch.no_grad():
        for i in range(3):
            for row in range(2):
                g2 = rows["next_general"][row : row + 1]
                joint = torch.cat([
                    torch.tanh(a.target_actor(a.actor_input(g2)))[o, :, 0] for o in range(3)
                ])  # fmt: skip
                state = torch.cat([g2[0], a.features.reshape(-1), rows["next_share"][row].reshape(-1)])
                after = a.target_critic(state.expand(3, 1, -1), joint.expand(3, 1, -1))[i, 0, 0]
                expected = rows["reward"][row, i] + 0.9 * after
                torch.testing.assert_close(a.targets(rows)[i, row], expected)
    ended = batch(done=1.0)
    torch.testing.assert_close(a.targets(ended), ended["reward"].T)


def test_the_four_learners_differ_in_what_their_critics_see_and_look_ahead_to():
    sizes, features = Sizes(3, 2, 4, 3), np.arange(8.0).reshape(2, 4) / 8
    made = {
        cls: cls(gamma=0.9)._agents(sizes, features, torch.Generator().manual_seed(0))[0]
        for cls in (DCMABBidder, DDPGBidder, BanditBidder, A2CBidder)
    }
    rows = batch()
    assert isinstance(made[A2CBidder], Gaussian)
    # The bandit's target is the interval's reward; with the other agents' actions, as in DCMAB's.
    torch.testing.assert_close(made[BanditBidder].targets(rows), rows["reward"].T)
    for cls in (DCMABBidder, DDPGBidder):
        assert not torch.allclose(made[cls].targets(rows), rows["reward"].T)
    # What of state, shares and actions enters: 4 + 8 numbers, 6 shares, and 6 actions or an agent's own 2.
    inputs = {cls: made[cls].critic.weights[0].shape[1] for cls in (DCMABBidder, DDPGBidder, BanditBidder)}
    assert inputs == {DCMABBidder: 18, DDPGBidder: 12, BanditBidder: 18}
    late = {cls: made[cls].critic.weights[1].shape[1] - 100 for cls in inputs}
    assert late == {DCMABBidder: 6, DDPGBidder: 2, BanditBidder: 6}


def test_soft_update_of_the_targets():
    a = agents()
    before = [p.clone() for p in a.target_critic.parameters()]
    a.update(batch())
    for old, new, online in zip(before, a.target_critic.parameters(), a.critic.parameters(), strict=True):
        torch.testing.assert_close(new, 0.75 * old + 0.25 * online.detach())


def test_agents_that_do_not_learn_keep_manual_bids():
    a = agents(n_learning=1)
    action = a.act(np.ones(4))
    assert (action[0] != 0).all()
    assert (action[1:] == 0).all()


def test_memory_keeps_the_newest():
    memory = Memory(3, {"x": ()})
    for i in range(5):
        memory.add(x=float(i))
    assert set(memory.sample(100, np.random.default_rng(0))["x"].tolist()) == {2.0, 3.0, 4.0}


def test_the_best_network_is_kept_and_goes_through_a_checkpoint():
    net = StackedMLP(2, (3, 4, 1), torch.Generator().manual_seed(0))
    best = Best(net)
    for score, shift in ((1.0, 1.0), (3.0, 1.0), (2.0, 1.0)):
        with torch.no_grad():
            net.biases[-1] += shift
        best.offer(score, net)
    again = Best(net)
    again.load_state_dict(best.state_dict())
    for kept in (best, again):
        assert kept.score == 3.0
        np.testing.assert_allclose(kept.arrays[-1], net.arrays()[-1] - 1.0, rtol=1e-6)


@pytest.mark.parametrize("cls", [DCMABBidder, A2CBidder])
def test_actors_of_the_best_day_without_noise_are_kept(market, cls):
    quick = {"updates_per_interval": 3, "batch_size": 8} if cls is DCMABBidder else {}
    params = {"n_episodes": 6, "n_workers": 2, "actor_lr": 0.01, "random_state": 1, **quick}
    best, last = (cls(keep=keep, **params).fit(market) for keep in ("best", "last"))
    earned = [entry["gmv"] for entry in best.history_]
    assert earned == [entry["gmv"] for entry in last.history_]
    # Played again without noise, the training day earns what its best (its last) episode had earned.
    assert best.simulate(market).revenue.sum() == pytest.approx(max(earned), rel=1e-3)
    assert last.simulate(market).revenue.sum() == pytest.approx(earned[-1], rel=1e-3)
    assert max(earned) > earned[-1] or best.actor_[0].tolist() == last.actor_[0].tolist()


def test_partial_coordination_and_actions_of_a_fitted_bidder(market):
    bidder = DCMABBidder(
        coordinated_agents=1, n_episodes=2, n_workers=1, updates_per_interval=1, batch_size=2, random_state=0
    ).fit(market)
    _, taken = bidder.play(market)
    assert taken.shape == (3, 3, 3)
    assert (taken[:, 1:] == 0).all()
    assert (taken[:, 0] != 0).all()
    assert {"gmv", "gmv_cluster_1", "platform_revenue", "critic_loss"} <= set(bidder.history_[0])


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "cls", [pytest.param(DCMABBidder, marks=SLOW), pytest.param(DDPGBidder, marks=SLOW), A2CBidder]
)
def test_learning_finds_that_lower_bids_last_longer(market, cls):
    options = {"updates_per_interval": 8, "batch_size": 32} if cls is not A2CBidder else {}
    bidder = cls(n_episodes=60, bratio_mode="none", actor_lr=1e-3, n_workers=4, random_state=1, **options)
    reached = bidder.fit(market).evaluate(market).iloc[-1]["gmv"]
    assert reached > 1.15 * market.run(1.0).scores()["gmv"]


def test_a_training_that_was_stopped_continues_to_the_same_end(market, tmp_path):
    class StopAfter(training.Callback):
        def on_epoch_end(self, loop):
            if loop.epoch == 3:
                loop.interrupt()

    def bidder():
        return DCMABBidder(n_episodes=6, n_workers=2, updates_per_interval=2, batch_size=4, random_state=3)

    whole = bidder().fit(market)
    with training.callbacks(training.Checkpoint(tmp_path), StopAfter()), pytest.raises(training.Stopped):
        bidder().fit(market)
    with training.callbacks(training.Checkpoint(tmp_path)):
        continued = bidder().fit(market)
    assert continued.history_ == whole.history_
    for a, b in zip(continued.actor_, whole.actor_, strict=True):
        np.testing.assert_array_equal(a, b)

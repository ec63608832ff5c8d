"""Training of DRLB: a double Q-network, and the network of rewards beside it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.bidding._episode_loop import EpisodeLoop
from workbench.bidding._networks import Memory, StackedMLP, one_thread
from workbench.bidding.drlb import MOVES, epsilon, is_unimodal, move
from workbench.bidding.market import AuctionMarket
from workbench.bidding.replay import ReplayMarket
from workbench.bidding.steps import SHORT, Trace, play
from workbench.training.fingerprint import fingerprint

if TYPE_CHECKING:
    from workbench.bidding.drlb import DRLBBidder

__all__ = ["Best", "double_q_target", "train"]

ACTIONS = len(MOVES)
#: Chance of a random action where the values of the actions have more than one peak.
UNSURE = 0.5


def double_q_target(reward: Tensor, done: Tensor, online: Tensor, target: Tensor, gamma: float) -> Tensor:
    """``r + γ·(1 − done)·Q'(s', argmax_a Q(s', a))`` (van Hasselt et al., AAAI 2016).

    `online` and `target` are both networks' values of the next state's actions, shape (batch, 11).
    """
    best = online.argmax(dim=1, keepdim=True)
    return reward + gamma * (1.0 - done) * target.gather(1, best)[:, 0]


class Best:
    """RewardNet's table: the most that any day through a start, state and action has brought in all.

    States are told apart to one digit; rows stand in the order of their keys.
    """

    def __init__(self) -> None:
        self.keys, self.most = np.zeros(0, dtype=np.int64), np.zeros(0)

    @staticmethod
    def key(
        start: NDArray[np.integer[Any]], state: NDArray[np.float64], action: NDArray[Any]
    ) -> NDArray[np.int64]:
        """One number for each row of (start, state, action), by FNV's hash."""
        parts = np.column_stack([start, np.round(10 * state), action]).astype(np.int64).astype(np.uint64)
        found = np.full(len(parts), 0xCBF29CE484222325, dtype=np.uint64)
        for column in parts.T:
            found = (found ^ column) * np.uint64(0x100000001B3)
            found ^= found >> np.uint64(29)
        return found.view(np.int64)

    def enter(self, keys: NDArray[np.int64], totals: NDArray[np.float64]) -> None:
        """Raise each key's maximum to its total where that is more."""
        every, values = np.r_[self.keys, keys], np.r_[self.most, totals]
        order = np.argsort(every, kind="stable")
        first = np.flatnonzero(np.r_[True, np.diff(every[order]) != 0])
        self.keys, self.most = every[order][first], np.maximum.reduceat(values[order], first)

    def look_up(self, keys: NDArray[np.int64]) -> NDArray[np.float64]:
        """The maxima of keys that were entered."""
        return self.most[np.searchsorted(self.keys, keys)]

    def state_dict(self) -> dict[str, Tensor]:
        return {"keys": torch.from_numpy(self.keys), "most": torch.from_numpy(self.most)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.keys, self.most = state["keys"].numpy().copy(), state["most"].numpy().copy()


class _Nets(nn.Module):
    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.q = StackedMLP(1, (SHORT, 100, 100, 100, ACTIONS), generator)
        self.reward = StackedMLP(1, (SHORT + ACTIONS, 100, 100, 100, 1), generator)
        self.target = copy.deepcopy(self.q)
        self.target.requires_grad_(False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    updates: Tensor


def train(
    bidder: DRLBBidder, market: AuctionMarket | ReplayMarket, seed: int
) -> tuple[list[NDArray[Any]], list[dict[str, float]]]:
    """The Q-network's weights, and the figures of every episode."""
    generator = torch.Generator().manual_seed(seed)
    nets, best = _Nets(generator), Best()
    parameters = [*nets.q.parameters(), *nets.reward.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=bidder.lr, fused=True)
    fields: dict[str, tuple[int, ...]] = {
        "state": (SHORT,), "action": (), "direct": (), "next": (SHORT,), "done": (),
    }  # fmt: skip
    memory = Memory(bidder.memory_size, fields)
    memory.data["key"] = torch.zeros(bidder.memory_size, dtype=torch.int64)
    # Nine tenths of the way down after three fifths of the episodes.
    decay = 0.9 / max(0.6 * bidder.n_episodes * bidder.n_steps, 1.0)

    def episode(number: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, number])

        def choose(trace: Trace, t: int) -> NDArray[np.float64]:
            state = trace.short_state(t)
            with torch.no_grad():
                q = nets.q(torch.as_tensor(state, dtype=torch.float32)[None])[0].double().numpy()
            chance = epsilon(number * bidder.n_steps + t, decay)
            chances = np.where(is_unimodal(q), chance, max(chance, UNSURE))
            explore = rng.random(trace.n) < chances
            action = np.where(explore, rng.integers(0, ACTIONS, trace.n), q.argmax(axis=1))
            trace.choice[t, :, 0] = action
            weights = move(trace, t, action)
            # Days begin with λ off the mark, so that the way back is learned.
            return weights * np.exp(rng.normal(0.0, 0.5, trace.n))[:, None] if t == 0 else weights

        trace = play(market, bidder.n_steps, bidder.units, choose, seed=number)
        _remember(memory, best, trace, isinstance(market, AuctionMarket))
        losses = []
        if memory.count >= bidder.batch_size:
            for _ in range(bidder.updates_per_episode):
                losses.append(_update(nets, optimizer, memory.sample(bidder.batch_size, rng), best, bidder))
        q_loss, reward_loss = np.mean(losses, axis=0) if losses else (0.0, 0.0)
        won = "gmv" if isinstance(market, AuctionMarket) else "clicks"
        return {won: float(trace.reward.sum()), "q_loss": q_loss, "reward_loss": reward_loss}

    log = market.log
    loop = EpisodeLoop(
        nets, optimizer, episode, n_episodes=bidder.n_episodes, generator=generator,
        extras={"memory": memory, "best": best},
        fingerprint=fingerprint(bidder, log.pctr, bidder.alpha_, bidder.reward_, seed=seed),
    )  # fmt: skip
    with one_thread():
        loop.run()
    return nets.q.arrays(), loop.history


def _remember(memory: Memory, best: Best, trace: Trace, by_campaign: bool) -> None:
    """Enter a day of every campaign; days of a replay begin alike, so that they share the table's rows."""
    total = trace.reward.sum(axis=0) / trace.units.reward
    start = np.arange(trace.n) if by_campaign else np.zeros(trace.n, dtype=np.int64)
    states = [trace.short_state(t) for t in range(trace.n_steps)]
    keys = [best.key(start, state, trace.choice[t, :, 0]) for t, state in enumerate(states)]
    best.enter(np.concatenate(keys), np.tile(total, trace.n_steps))
    for t, state in enumerate(states):
        last = t == trace.n_steps - 1
        memory.extend(
            state=state,
            action=trace.choice[t, :, 0],
            direct=trace.reward[t] / trace.units.reward,
            key=keys[t],
            next=np.zeros_like(state) if last else states[t + 1],
            done=np.full(trace.n, float(last)),
        )


def _update(
    nets: _Nets, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], best: Best, bidder: DRLBBidder
) -> tuple[float, float]:
    action = batch["action"].long()
    chosen = torch.nn.functional.one_hot(action, ACTIONS).float()
    pair = torch.cat([batch["state"], chosen], dim=1)[None]
    goal = torch.as_tensor(best.look_up(batch["key"].numpy()), dtype=torch.float32)
    predicted = nets.reward(pair)[0, :, 0]
    reward_loss = ((predicted - goal) ** 2).mean()
    with torch.no_grad():
        # A day's total stands at each of its steps; divided by them the values stay of the size of a day.
        reward = predicted / bidder.n_steps if bidder.reward_source == "rewardnet" else batch["direct"]
        following = batch["next"][None]
        y = double_q_target(
            reward, batch["done"], nets.q(following)[0], nets.target(following)[0], bidder.gamma
        )
    q = nets.q(batch["state"][None])[0].gather(1, action[:, None])[:, 0]
    q_loss = nn.functional.smooth_l1_loss(q, y)
    optimizer.zero_grad(set_to_none=True)
    (q_loss + reward_loss).backward()
    optimizer.step()
    nets.updates += 1
    if int(nets.updates) % bidder.target_every == 0:
        nets.target.load_state_dict(nets.q.state_dict())
    return float(q_loss.detach()), float(reward_loss.detach())

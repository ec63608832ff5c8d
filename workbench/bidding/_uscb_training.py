"""Training of USCB: a critic of held weights by Monte-Carlo returns, and an actor that climbs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.bidding._episode_loop import EpisodeLoop
from workbench.bidding._networks import Memory, StackedMLP, one_thread
from workbench.bidding.market import AuctionMarket
from workbench.bidding.replay import ReplayMarket
from workbench.bidding.steps import Trace, play
from workbench.bidding.uscb import STATE, penalised, weights_after
from workbench.training.fingerprint import fingerprint

if TYPE_CHECKING:
    from workbench.bidding.uscb import USCBBidder

__all__ = ["rest_of_day", "train"]

MEMORY = 200_000


def rest_of_day(trace: Trace, tried: NDArray[np.int64], limit: float | None) -> NDArray[np.float64]:
    """What each campaign's day brought from the step `tried` on, in its units, shape (n,).

    The penalty judges the whole day, so that the return is the day's penalised value less what had been
    brought before.
    """
    steps = np.arange(trace.n_steps)[:, None]
    before = (trace.reward * (steps < tried)).sum(axis=0)
    day = penalised(trace.reward.sum(axis=0), trace.cost.sum(axis=0), trace.results.sum(axis=0), limit)
    return (day - before) / trace.units.reward


class _Nets(nn.Module):
    def __init__(self, size: int, k: int, generator: torch.Generator) -> None:
        super().__init__()
        self.actor = StackedMLP(1, (size, 64, 32, k), generator)
        self.critic = StackedMLP(1, (size, 64, 32, 1), generator, late=k)

    def actions(self, state: Tensor) -> Tensor:
        """In units of the largest move, shape (n, k)."""
        return torch.tanh(self.actor(state[None])[0])

    def value(self, state: Tensor, action: Tensor) -> Tensor:
        return self.critic(state[None], action[None])[0, :, 0]


def train(
    bidder: USCBBidder, market: AuctionMarket | ReplayMarket, seed: int
) -> tuple[list[NDArray[Any]], list[dict[str, float]]]:
    """The actor's weights, and the figures of every episode."""
    generator = torch.Generator().manual_seed(seed)
    k, size = bidder.n_weights, STATE + bidder.n_weights
    nets = _Nets(size, k, generator)
    optimizer = torch.optim.Adam(
        [
            {"params": list(nets.actor.parameters()), "lr": bidder.actor_lr},
            {"params": list(nets.critic.parameters()), "lr": bidder.critic_lr},
        ],
        fused=True,
    )
    memory = Memory(MEMORY, {"state": (size,), "action": (k,), "value": ()})

    def episode(number: int) -> dict[str, float]:
        rng = np.random.default_rng([seed, number])
        first: list[NDArray[np.int64]] = []
        met: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []

        def choose(trace: Trace, t: int) -> NDArray[np.float64]:
            if t == 0:
                first.append(rng.integers(0, trace.n_steps, trace.n))
                met.append((np.zeros((trace.n, size)), np.zeros((trace.n, k))))
            state = bidder.state(trace, t)
            with torch.no_grad():
                action = nets.actions(torch.as_tensor(state, dtype=torch.float32)).double().numpy()
            now, later = np.equal(first[-1], t), np.less(first[-1], t)
            noise = bidder.noise * rng.standard_normal((int(now.sum()), k))
            action[now] = np.clip(action[now] + noise, -1.0, 1.0)
            action[later] = 0.0
            met[-1][0][now], met[-1][1][now] = state[now], action[now]
            return weights_after(bidder, trace, t, bidder.move * action)

        trace = play(market, bidder.n_steps, bidder.units, choose, bidder._price, seed=number)
        tried, states, actions = (np.concatenate(a)[: trace.n] for a in (first, *zip(*met, strict=True)))
        value = rest_of_day(trace, tried, bidder.cpa)
        memory.extend(state=states, action=actions, value=value)
        losses = [0.0]
        for step in range(bidder.updates_per_episode if memory.count >= bidder.batch_size else 0):
            batch = memory.sample(bidder.batch_size, rng)
            losses.append(_critic_step(nets, optimizer, batch))
            if step % bidder.critic_steps == 0:
                _actor_step(nets, optimizer, batch)
        day = penalised(trace.reward.sum(0), trace.cost.sum(0), trace.results.sum(0), bidder.cpa)
        won = "gmv" if isinstance(market, AuctionMarket) else "clicks"
        return {won: float(day.sum()), "critic_loss": float(np.mean(losses))}

    loop = EpisodeLoop(
        nets, optimizer, episode, n_episodes=bidder.n_episodes, generator=generator,
        extras={"memory": memory},
        fingerprint=fingerprint(bidder, market.log.pctr, bidder.alpha_, bidder.reward_, seed=seed),
    )  # fmt: skip
    with one_thread():
        loop.run()
    return nets.actor.arrays(), loop.history


def _critic_step(nets: _Nets, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor]) -> float:
    predicted = nets.value(batch["state"], batch["action"])
    loss = nn.functional.smooth_l1_loss(predicted, batch["value"])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _actor_step(nets: _Nets, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor]) -> None:
    loss = -nets.value(batch["state"], nets.actions(batch["state"])).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for p in nets.critic.parameters():
        p.grad = None
    optimizer.step()

"""The gradient steps of implicit Q-learning, through the workbench's one loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.bidding._networks import StackedMLP, one_thread
from workbench.training.fingerprint import fingerprint
from workbench.training.loop import Loop

if TYPE_CHECKING:
    from workbench.bidding.iql import IQLBidder

__all__ = ["expectile_loss", "train"]


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """``|τ − 1[u < 0]| · u²`` averaged (arXiv 2110.06169, eq. 4)."""
    weight = torch.where(difference < 0, 1.0 - expectile, expectile)
    return (weight * difference**2).mean()


class _Nets(nn.Module):
    def __init__(self, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.actor = StackedMLP(1, (size, 128, 64, 1), generator)
        self.value = StackedMLP(1, (size, 128, 64, 1), generator)
        self.critic = StackedMLP(2, (size + 1, 64, 64, 1), generator)
        self.target = StackedMLP(2, (size + 1, 64, 64, 1), generator)
        self.target.load_state_dict(self.critic.state_dict())
        self.target.requires_grad_(False)


def train(
    state: Tensor,
    action: Tensor,
    reward: Tensor,
    following: Tensor,
    done: Tensor,
    bidder: IQLBidder,
    seed: int,
) -> list[NDArray[Any]]:
    """The actor's weights after ``bidder.n_updates`` steps."""
    generator = torch.Generator().manual_seed(seed)
    nets = _Nets(state.shape[1], generator)
    parameters = [p for p in nets.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=bidder.lr)

    def step(rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            for p, q in zip(nets.critic.parameters(), nets.target.parameters(), strict=True):
                q.lerp_(p, bidder.tau)
        s, a, s2 = state[rows], action[rows, None], following[rows]
        pair = torch.cat([s, a], dim=1).expand(2, -1, -1)
        with torch.no_grad():
            q_target = nets.target(pair)[..., 0].min(dim=0).values
            y = reward[rows] + bidder.gamma * (1.0 - done[rows]) * nets.value(s2[None])[0, :, 0]
        v = nets.value(s[None])[0, :, 0]
        advantage = (q_target - v).detach()
        weight = torch.exp(bidder.temperature * advantage).clamp(max=100.0)
        # A Gaussian of fixed deviation: weighted log-likelihood is weighted squared error.
        policy = (weight * (nets.actor(s[None])[0, :, 0] - a[:, 0]) ** 2).mean()
        value = expectile_loss(q_target - v, bidder.expectile)
        critic = ((nets.critic(pair)[..., 0] - y) ** 2).mean()
        return policy + value + critic, {"policy": policy, "value": value, "critic": critic}

    batch = min(bidder.batch_size, len(state))
    per_epoch = len(state) // batch
    loop = Loop(
        nets,
        optimizer,
        step,
        n_samples=len(state),
        n_epochs=max(1, round(bidder.n_updates / per_epoch)),
        batch_size=batch,
        generator=generator,
        drop_last=True,
        fingerprint=fingerprint(bidder, state.numpy(), action.numpy(), reward.numpy(), seed=seed),
    )
    with one_thread():
        loop.run()
    return nets.actor.arrays()

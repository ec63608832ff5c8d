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

__all__ = ["Nets", "expectile_loss", "losses", "train"]


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """``|τ − 1[u < 0]| · u²`` averaged (arXiv 2110.06169, eq. 4)."""
    weight = torch.where(difference < 0, 1.0 - expectile, expectile)
    return (weight * difference**2).mean()


class Nets(nn.Module):
    """Actor, value, two critics and their targets for states of `size` numbers."""

    def __init__(self, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.actor = StackedMLP(1, (size, 128, 64, 1), generator)
        self.value = StackedMLP(1, (size, 128, 64, 1), generator)
        self.critic = StackedMLP(2, (size + 1, 64, 64, 1), generator)
        self.target = StackedMLP(2, (size + 1, 64, 64, 1), generator)
        self.target.load_state_dict(self.critic.state_dict())
        self.target.requires_grad_(False)


def losses(
    nets: Nets, s: Tensor, a: Tensor, r: Tensor, s2: Tensor, done: Tensor, bidder: IQLBidder
) -> dict[str, Tensor]:
    """Losses of value, critics and policy on transitions (arXiv 2110.06169, eqs. 5 to 7).

    ``L_V``: expectile of min Q'(s, a) − V(s). ``L_Q``: (r + γ (1 − done) V(s') − Q(s, a))². The policy's:
    min(100, exp(β (min Q' − V))) · (π(s) − a)², a Gaussian's weighted log-likelihood of fixed deviation.
    Shapes: states (batch, size), all others (batch,).
    """
    pair = torch.cat([s, a[:, None]], dim=1).expand(2, -1, -1)
    with torch.no_grad():
        q_target = nets.target(pair)[..., 0].min(dim=0).values
        y = r + bidder.gamma * (1.0 - done) * nets.value(s2[None])[0, :, 0]
    v = nets.value(s[None])[0, :, 0]
    weight = torch.exp(bidder.temperature * (q_target - v).detach()).clamp(max=100.0)
    return {
        "policy": (weight * (nets.actor(s[None])[0, :, 0] - a) ** 2).mean(),
        "value": expectile_loss(q_target - v, bidder.expectile),
        "critic": ((nets.critic(pair)[..., 0] - y) ** 2).mean(),
    }


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
    nets = Nets(state.shape[1], generator)
    parameters = [p for p in nets.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=bidder.lr)

    def step(rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            for p, q in zip(nets.critic.parameters(), nets.target.parameters(), strict=True):
                q.lerp_(p, bidder.tau)
        found = losses(nets, state[rows], action[rows], reward[rows], following[rows], done[rows], bidder)
        return found["policy"] + found["value"] + found["critic"], found

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

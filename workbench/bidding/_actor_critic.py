"""Actors and critics of all agents at once: deterministic (DCMAB, DDPG, bandit) and Gaussian (A2C)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.bidding._networks import Memory, StackedMLP

__all__ = ["Deterministic", "Gaussian", "Sizes"]


@dataclass(frozen=True)
class Sizes:
    """Numbers of agents, consumer clusters and general features; and which agents learn."""

    n: int
    m: int
    general: int
    n_learning: int


class _Agents(nn.Module):
    """What both kinds share: the constant consumer features and the mask of the agents that learn."""

    features: Tensor
    mask: Tensor
    actor: StackedMLP

    def __init__(self, sizes: Sizes, features: NDArray[np.float64]) -> None:
        super().__init__()
        self.sizes = sizes
        self.register_buffer("features", torch.as_tensor(features, dtype=torch.float32))
        mask = (torch.arange(sizes.n) < sizes.n_learning).float()
        self.register_buffer("mask", mask[:, None, None])

    def actor_input(self, general: Tensor) -> Tensor:
        """[g, x_j] of every row and consumer cluster, shape (n, batch · m, ·)."""
        rows, m = len(general), self.sizes.m
        x = torch.cat(
            [general.repeat_interleave(m, 0), self.features.repeat(rows, 1)],
            dim=1,
        )
        return x.expand(self.sizes.n, -1, -1)

    def critic_state(self, general: Tensor) -> Tensor:
        """[g, x^q], shape (batch, ·)."""
        return torch.cat([general, self.features.reshape(1, -1).expand(len(general), -1)], dim=1)

    def means(self, actor: StackedMLP, general: Tensor) -> Tensor:
        """Deterministic actions in (−1, 1), shape (n, batch, m); 0 for agents that do not learn."""
        return torch.tanh(self.logits(actor, general)) * self.mask

    def logits(self, actor: StackedMLP, general: Tensor) -> Tensor:
        """Actions before the hyperbolic tangent, shape (n, batch, m)."""
        out = actor(self.actor_input(general))
        return out.reshape(self.sizes.n, len(general), self.sizes.m)

    def act(self, general: NDArray[np.float64]) -> NDArray[np.float64]:
        """Actions without noise, shape (n, m)."""
        with torch.no_grad():
            rows = torch.as_tensor(general, dtype=torch.float32)[None]
            return self.means(self.actor, rows)[:, 0].double().numpy()


class Deterministic(_Agents):
    """Deterministic actors; each agent's critic sees all actions, or only its own.

    Parameters
    ----------
    centralised : bool
        Whether critics see the other agents' actions and the share of bids d (DCMAB), or not (DDPG).
    late_actions : bool
        Whether actions enter the critic at its first hidden layer (the text of arXiv 1802.09756) or with
        the state (its figure).
    """

    def __init__(
        self,
        sizes: Sizes,
        features: NDArray[np.float64],
        generator: torch.Generator,
        *,
        centralised: bool,
        late_actions: bool,
        actor_lr: float,
        critic_lr: float,
        gamma: float,
        tau: float,
        max_grad_norm: float,
        penalty: float,
    ) -> None:
        super().__init__(sizes, features)
        self.penalty = penalty
        self.centralised, self.late_actions = centralised, late_actions
        self.gamma, self.tau, self.max_grad_norm = gamma, tau, max_grad_norm
        n, m = sizes.n, sizes.m
        seen = n * m if centralised else m
        state = sizes.general + features.size + (n * m if centralised else 0)
        late = seen if late_actions else 0
        first = state + (0 if late_actions else seen)
        self.actor = StackedMLP(n, (sizes.general + features.shape[1], 300, 300, 1), generator)
        self.critic = StackedMLP(n, (first, 100, 100, 1), generator, late=late)
        self.target_actor, self.target_critic = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        for p in [*self.target_actor.parameters(), *self.target_critic.parameters()]:
            p.requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            [
                {"params": list(self.actor.parameters()), "lr": actor_lr},
                {"params": list(self.critic.parameters()), "lr": critic_lr},
            ],
            fused=True,
        )

    @staticmethod
    def fields(sizes: Sizes) -> dict[str, tuple[int, ...]]:
        """What a transition holds."""
        n, m, g = sizes.n, sizes.m, sizes.general
        return {
            "general": (g,), "share": (n, m), "action": (n, m), "reward": (n,),
            "next_general": (g,), "next_share": (n, m), "done": (),
        }  # fmt: skip

    def value(self, critic: StackedMLP, general: Tensor, share: Tensor, actions: Tensor) -> Tensor:
        """Q of each agent, shape (n, batch); `actions` of shape (n or 1, batch, n, m), by critic."""
        n, rows = self.sizes.n, len(general)
        state = self.critic_state(general)
        if self.centralised:
            state = torch.cat([state, share.reshape(rows, -1)], dim=1)
            seen = actions.expand(n, -1, -1, -1).reshape(n, rows, -1)
        else:
            every = actions.expand(n, -1, -1, -1)
            seen = torch.stack([every[i, :, i] for i in range(n)])
        x = state.expand(n, -1, -1)
        if self.late_actions:
            return critic(x, seen)[..., 0]
        return critic(torch.cat([x, seen], dim=-1))[..., 0]

    def targets(self, batch: dict[str, Tensor]) -> Tensor:
        """``r_i + γ · Q_i'(s', a_1', …, a_N', d')``, shape (n, batch); r_i alone at the end."""
        with torch.no_grad():
            following = self.means(self.target_actor, batch["next_general"]).transpose(0, 1)[None]
            after = self.value(self.target_critic, batch["next_general"], batch["next_share"], following)
            return batch["reward"].T + self.gamma * (1.0 - batch["done"]) * after

    def actor_objective(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean Q of each agent's present actions among the others' replayed ones, shape (n,).

        Less a small multiple of the squared logits: where tanh has saturated its gradient is gone, and an
        actor that once ran into a corner on its critic's first guesses would stay there.
        """
        n = self.sizes.n
        logits = self.logits(self.actor, batch["general"])
        mine = torch.tanh(logits) * self.mask
        own = torch.eye(n)[:, None, :, None]
        joint = batch["action"][None] * (1 - own) + mine[:, :, None, :] * own
        q = self.value(self.critic, batch["general"], batch["share"], joint).mean(dim=1)
        return q - self.penalty * (logits**2).mean(dim=(1, 2))

    def update(self, batch: dict[str, Tensor]) -> tuple[float, float]:
        """One critic step, one actor step, and the soft update of the targets."""
        q = self.value(self.critic, batch["general"], batch["share"], batch["action"][None])
        critic_loss = ((self.targets(batch) - q) ** 2).mean(dim=1).sum()
        self._step(critic_loss, self.critic)
        actor_loss = -self.actor_objective(batch).sum()
        self._step(actor_loss, self.actor)
        with torch.no_grad():
            for online, target in ((self.actor, self.target_actor), (self.critic, self.target_critic)):
                torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), self.tau)
        return float(critic_loss.detach()), float(actor_loss.detach())

    def _step(self, loss: Tensor, network: StackedMLP) -> None:
        """An optimizer step on one network alone, each agent's gradient cut to its own norm."""
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(loss, parameters)
        norms = torch.stack([torch.linalg.vector_norm(g, dim=(1, 2)) for g in gradients])
        factor = torch.clamp(self.max_grad_norm / (norms.norm(dim=0) + 1e-8), max=1.0)
        self.optimizer.zero_grad(set_to_none=True)
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g.mul_(factor[:, None, None])
        self.optimizer.step()


class Gaussian(_Agents):
    """Stochastic actors and state values, updated on the newest episodes only (A2C)."""

    def __init__(
        self,
        sizes: Sizes,
        features: NDArray[np.float64],
        generator: torch.Generator,
        *,
        actor_lr: float,
        critic_lr: float,
        deviation: float,
        entropy: float,
        max_grad_norm: float,
        penalty: float,
    ) -> None:
        super().__init__(sizes, features)
        n = sizes.n
        self.entropy, self.max_grad_norm, self.penalty = entropy, max_grad_norm, penalty
        self.actor = StackedMLP(n, (sizes.general + features.shape[1], 300, 300, 1), generator)
        self.log_deviation = nn.Parameter(torch.full((n, 1, sizes.m), float(np.log(deviation))))
        self.critic = StackedMLP(n, (sizes.general + features.size, 100, 100, 1), generator)
        self.optimizer = torch.optim.Adam(
            [
                {"params": [*self.actor.parameters(), self.log_deviation], "lr": actor_lr},
                {"params": list(self.critic.parameters()), "lr": critic_lr},
            ]
        )

    def draw(self, general: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Sampled actions, shape (n, m), cut to [−1, 1]."""
        deviation = np.exp(self.log_deviation.detach().numpy()[:, 0])
        noise = rng.standard_normal(deviation.shape) * deviation * self.mask.numpy()[:, 0]
        return np.clip(self.act(general) + noise, -1.0, 1.0)

    def update(self, general: Tensor, action: Tensor, returns: Tensor) -> tuple[float, float]:
        """One step on whole episodes: rows of states, actions (rows, n, m) and returns (rows, n)."""
        value = self.critic(self.critic_state(general).expand(self.sizes.n, -1, -1))[..., 0]
        advantage = returns.T - value
        logits = self.logits(self.actor, general)
        policy = torch.distributions.Normal(torch.tanh(logits) * self.mask, self.log_deviation.exp())
        log_prob = (policy.log_prob(action.transpose(0, 1)) * self.mask).sum(dim=-1)
        actor_loss = -(log_prob * advantage.detach()).mean(dim=1).sum()
        critic_loss = (advantage**2).mean(dim=1).sum()
        loss = actor_loss + 0.5 * critic_loss - self.entropy * policy.entropy().mean()
        loss = loss + self.penalty * (logits**2).mean(dim=(1, 2)).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters(), self.max_grad_norm)
        self.optimizer.step()
        with torch.no_grad():
            self.log_deviation.clamp_(-4.0, 0.0)
        return float(critic_loss.detach()), float(actor_loss.detach())


def memory_for(sizes: Sizes, size: int) -> Memory:
    """A replay memory of deterministic transitions."""
    return Memory(size, Deterministic.fields(sizes))

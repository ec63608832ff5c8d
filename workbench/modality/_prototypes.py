"""Prototypical rebalance, the remedy that needs class prototypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.modality._formulas import pmr_weights, prototype_entropy, prototype_logits
from workbench.modality._remedies import Memory, Remedy
from workbench.modality._training import each_loss, embed
from workbench.training.callbacks import Callback

if TYPE_CHECKING:
    from workbench.modality._nets import LateFusion
    from workbench.modality._training import Rows, Step
    from workbench.training.loop import Loop

__all__ = ["PMR"]


class PMR(Remedy):
    """Prototypical rebalance: the slow modality is pulled to its own class prototypes (arXiv 2211.07089).

    Prototypes are class means of a `share` of the rows, renewed each epoch and smoothed by `momentum`. The
    modality whose prototypes give the truth less probability has ``alpha`` times its prototype loss added,
    weighted as `pmr_weights` says. In the first `entropy_epochs` epochs, `entropy` times the entropy of the
    leading modality's prototype probabilities is subtracted, lest it settle before the others have learned.
    """

    name = "pmr"

    def __init__(
        self,
        alpha: float = 1.0,
        momentum: float = 0.2,
        share: float = 0.1,
        weights: str = "hard",
        entropy: float = 0.0,
        entropy_epochs: int = 5,
    ) -> None:
        super().__init__()
        self.alpha, self.momentum, self.share, self.weights = alpha, momentum, share, weights
        self.entropy, self.entropy_epochs = entropy, entropy_epochs
        self.loop: Loop | None = None

    def begin(self, model: LateFusion, optimizer: torch.optim.Optimizer, rows: Rows, seed: int) -> None:
        super().begin(model, optimizer, rows, seed)
        self.generators["prototypes"] = torch.Generator().manual_seed(seed + 1)
        self.memory = Memory(prototypes=torch.zeros(0, device=rows.y.device))
        self.extras["pmr"] = self.memory
        self.callbacks = (_Prototypes(self),)

    def renew(self) -> None:
        """New prototypes, (n_modalities, K, hidden)."""
        n_classes = self.model.heads[0].out_features
        draw = torch.randperm(len(self.rows), generator=self.generators["prototypes"]).to(self.rows.y.device)
        chosen = []
        for k in range(int(n_classes)):  # type: ignore[arg-type]
            members = draw[self.rows.y[draw] == k]
            chosen.append(members[: max(1, round(self.share * len(members)))])
        h = embed(self.model, self.rows.batch[torch.cat(chosen)])
        means = [part.mean(0) if len(part) else h.mean(0) for part in h.split([len(c) for c in chosen])]
        new, old = torch.stack(means, dim=1), self.memory["prototypes"]
        self.memory["prototypes"] = new if len(old) == 0 else (1 - self.momentum) * new + self.momentum * old

    def loss(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        joint = step.loss(step.logits)
        n, prototypes = self.model.n_modalities, self.memory["prototypes"]
        logits = [prototype_logits(step.h[:, r], prototypes[r]) for r in range(n)]
        with torch.no_grad():
            sure = torch.stack([torch.exp(-each_loss("multiclass", z, step.rows.y)).sum() for z in logits])
            weights = self.alpha * pmr_weights(sure, self.weights)
        pulls = [weights[r] * step.loss(logits[r], step.present[:, r]) for r in range(n) if weights[r] > 0]
        total = joint + sum(pulls, torch.zeros_like(joint))
        if self.entropy > 0 and self.loop is not None and self.loop.epoch < self.entropy_epochs:
            total = total - self.entropy * prototype_entropy(logits[int(sure.argmax())]).mean()
        return total, {"joint": joint}


class _Prototypes(Callback):
    def __init__(self, remedy: PMR) -> None:
        self.remedy = remedy

    def on_train_begin(self, loop: Loop) -> None:
        self.remedy.loop = loop

    def on_epoch_begin(self, loop: Loop) -> None:
        self.remedy.renew()

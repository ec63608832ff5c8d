"""What is measured after each epoch: losses, scores and gradients of the joint net and of its branches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.modality._training import Rows, Step
from workbench.training.callbacks import Callback

if TYPE_CHECKING:
    from workbench.modality._nets import LateFusion
    from workbench.training.loop import Loop

__all__ = ["KeepBest", "Watch"]

#: Rows of each part that are looked at; more would make watching slower than training.
_MOST = 2048


class Watch(Callback):
    """Adds to the history, after each epoch and for the joint net and every modality's branch:

    ``train_loss/…``, ``validation_loss/…``, ``train_score/…``, ``validation_score/…``, and for each modality
    ``gradient/…`` (norm of the joint loss's gradient in its encoder), ``gradient_share/…``, ``cosine/…``
    (between that gradient and its own branch loss's) and ``ogm_ratio/…``.

    Parameters
    ----------
    names : list of str
        The modalities.
    train, validation : Rows
    alone : bool
        Watch the heads on each modality alone instead of the joint net.
    """

    def __init__(self, names: list[str], train: Rows, validation: Rows, *, alone: bool = False) -> None:
        self.names, self.alone = names, alone
        self.parts = {"train": _some(train), "validation": _some(validation)}

    def on_epoch_end(self, loop: Loop) -> None:
        entry = loop.history[-1]
        for part, rows in self.parts.items():
            entry |= self._curves(loop.model, part, rows)  # type: ignore[arg-type]
        if not self.alone:
            entry |= self._gradients(loop.model)  # type: ignore[arg-type]

    @torch.no_grad()
    def _curves(self, model: LateFusion, part: str, rows: Rows) -> dict[str, float]:
        step = _whole(model, rows)
        outputs = {name: self._branch(step, r) for r, name in enumerate(self.names)}
        if not self.alone:
            outputs["joint"] = step.logits
        found = {}
        for r, (name, logits) in enumerate(outputs.items()):
            only = None if name == "joint" and r == len(self.names) else step.present[:, r]
            found[f"{part}_loss/{name}"] = float(step.loss(logits, only))
            found[f"{part}_score/{name}"] = quick_score(rows, logits, only)
        return found

    def _branch(self, step: Step, r: int) -> Tensor:
        return step.model.heads[r](step.h[:, r]) if self.alone else step.model.branch(step.h, r)

    def _gradients(self, model: LateFusion) -> dict[str, float]:
        step = _whole(model, self.parts["train"])
        found, norms = {}, []
        trainable = [[p for p in e.parameters() if p.requires_grad] for e in model.encoders]
        for r, name in enumerate(self.names):
            if not trainable[r]:
                norms.append(0.0)
                continue
            own = step.loss(model.branch(step.h, r), step.present[:, r])
            v1, v2 = (
                torch.cat(
                    [
                        g.flatten()
                        for g in torch.autograd.grad(
                            loss, trainable[r], retain_graph=True, allow_unused=True, materialize_grads=True
                        )
                    ]
                )
                for loss in (step.loss(step.logits), own)
            )
            norms.append(float(v1.norm()))
            found[f"cosine/{name}"] = float(torch.nn.functional.cosine_similarity(v1, v2, dim=0))
        sure = step.confidence().clamp_min(1e-12)
        for r, name in enumerate(self.names):
            found[f"gradient/{name}"] = norms[r]
            found[f"gradient_share/{name}"] = norms[r] / max(sum(norms), 1e-12)
            others = [float(sure[r] / sure[s]) for s in range(len(self.names)) if s != r]
            found[f"ogm_ratio/{name}"] = sum(others) / len(others) if others else 1.0
        return found


class KeepBest(Callback):
    """Early stopping: ends after `patience` epochs without a lower validation loss, and goes back to the
    best.
    """

    def __init__(self, validation: Rows, patience: int) -> None:
        self.validation, self.patience = validation, patience
        self.state: dict[str, Tensor] = {"best": torch.tensor(math.inf), "waited": torch.tensor(0.0)}

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.state = dict(state)

    def on_epoch_end(self, loop: Loop) -> None:
        with torch.no_grad():
            step = _whole(loop.model, self.validation)  # type: ignore[arg-type]
            loss = step.loss(step.logits).cpu()
        loop.history[-1]["validation_loss/joint"] = float(loss)
        if loss < self.state["best"]:
            weights = {f"weight.{k}": v.detach().clone() for k, v in loop.model.state_dict().items()}
            self.state = {"best": loss, "waited": torch.tensor(0.0), **weights}
        else:
            self.state["waited"] = self.state["waited"] + 1
        loop.stop = bool(self.state["waited"] >= self.patience)

    def on_train_end(self, loop: Loop) -> None:
        best = {k.removeprefix("weight."): v for k, v in self.state.items() if k.startswith("weight.")}
        if best:
            loop.model.load_state_dict(best)


def quick_score(rows: Rows, logits: Tensor, only: Tensor | None = None) -> float:
    """Accuracy (of labels, for several), or R² for numbers; over the rows where `only` is true."""
    y = rows.y if only is None else rows.y[only]
    logits = logits if only is None else logits[only]
    if len(y) == 0:
        return math.nan
    if rows.task == "multiclass":
        return float((logits.argmax(1) == y).double().mean())
    if rows.task == "multilabel":
        return float(((logits > 0) == (y > 0.5)).double().mean())
    residual, spread = ((y - logits) ** 2).sum(), ((y - y.mean(0)) ** 2).sum()
    return float(1 - residual / spread) if spread > 0 else math.nan


def _whole(model: LateFusion, rows: Rows) -> Step:
    return Step(model, rows, torch.arange(len(rows)), rows.batch.present)


def _some(rows: Rows) -> Rows:
    if len(rows) <= _MOST:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, _MOST, device=rows.y.device).long()]

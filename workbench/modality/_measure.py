"""One seed of an analysis: train apart and together on the same rows, and measure both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.modality._fitting import Fitted, alone_losses, fit_network
from workbench.modality._metrics import (
    Metric,
    best_strength,
    common_strength,
    predict_with_probe,
    row_losses,
)
from workbench.modality._nets import Architecture, LateFusion
from workbench.modality._preparation import Block, subset
from workbench.modality._remedies import Unimodal
from workbench.modality._rows import embeddings_of, make_rows, outputs_of, to_probabilities
from workbench.modality._training import Schedule, Trained, train
from workbench.modality._watch import Watch
from workbench.modality.diagnostics import ensemble_weights
from workbench.modality.shapley import MAX_EXACT, game, sampled_shapley_values, shapley_values

__all__ = ["Measured", "Parts", "measure"]

Floats = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Parts:
    """Row numbers of a seed's three parts.

    Attributes
    ----------
    train, validation, test : ndarray of int
    spare : ndarray of bool, shape (n_train,)
        Training rows for the validation of a remedy that needs some, in networks that leave the validation
        rows out.
    """

    train: Index
    validation: Index
    test: Index
    spare: NDArray[np.bool_]

    @property
    def fitted(self) -> Index:
        """Training and validation rows together."""
        return np.sort(np.concatenate([self.train, self.validation]))


@dataclass
class Measured:
    """What one seed showed. Arrays over modalities follow the order of `names`."""

    names: list[str]
    y: NDArray[Any]
    outputs: dict[str, Floats]  # of test rows: "joint", "alone/<m>", "branch/<m>", "ensemble", "stacking", …
    scores: dict[str, float]
    games: dict[str, Floats] = field(default_factory=dict)  # games (2^n,), by value function
    contributions: dict[str, Floats] = field(default_factory=dict)  # Shapley values (n,), by value function
    right: Floats | None = None  # game over test rows, (2^n, n_test): row scored right
    permuted: Floats = field(
        default_factory=lambda: np.empty((0, 0))
    )  # scores (n_permutations, n) with one modality's rows exchanged
    history: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    joint: Fitted | None = None

    @property
    def net(self) -> Fitted:
        """The joint network, and how it predicts."""
        assert self.joint is not None  # noqa: S101 - set by `measure`
        return self.joint


@dataclass(frozen=True)
class Plan:
    """What is the same for every seed."""

    names: list[str]
    architecture: Architecture
    metric: Metric
    absent: str
    shapley: tuple[str, ...]
    n_permutations: int
    remedy: str = "none"
    remedy_options: Mapping[str, Any] | None = None


def measure(
    plan: Plan,
    blocks: list[Block],
    codes: NDArray[Any],
    weights: Floats,
    parts: Parts,
    schedule: Schedule,
) -> Measured:
    """Train the uni-modal networks and the joint one for one seed, and measure everything that needs them."""
    task, names = plan.metric.task, plan.names

    def rows(index: Index) -> Any:
        return make_rows(subset(blocks, index), codes[index], weights[index], task, schedule.device)

    # Validation needs networks that have not seen the validation rows; everything else is measured on
    # networks that have seen all training rows.
    inner, held, whole = rows(parts.train), rows(parts.validation), rows(parts.fitted)
    watched = (Watch(names, inner, held, alone=True),), (Watch(names, inner, held),)
    remedy = plan.remedy, plan.remedy_options
    trained: dict[str, Trained | Fitted] = {
        "inner_alone": train(plan.architecture, inner, schedule, Unimodal(), callbacks=watched[0]),
        "inner_joint": fit_network(
            plan.architecture, inner, schedule, *remedy, holdout=parts.spare, callbacks=watched[1]
        ),
        "alone": train(plan.architecture, whole, schedule, Unimodal()),
    }
    spare = np.isin(parts.fitted, parts.validation)
    joint = trained["joint"] = fit_network(plan.architecture, whole, schedule, *remedy, holdout=spare)
    votes = ensemble_weights(alone_losses(trained["inner_alone"].model, held))
    nets = {name: each.model.cpu().double() for name, each in trained.items()}
    found = _Nets(plan, nets, joint.votes, blocks, codes, parts)
    result = Measured(names, codes[parts.test], found.outputs(votes), {})
    result.history = {name: trained[f"inner_{name}"].history for name in ("alone", "joint")}
    result.scores = {name: plan.metric(result.y, output) for name, output in result.outputs.items()}
    result.scores["joint_train"] = plan.metric(codes[parts.fitted], found.joint_on(parts.fitted))
    result.scores["prior"] = plan.metric(result.y, found.prior())
    _contributions(plan, found, result, lambda mask: _retrained(plan, mask, rows, schedule, blocks, parts))
    result.permuted = found.permuted(schedule.seed)
    result.joint = joint
    return result


class _Nets:
    """The trained networks and what they make of the rows, embedded once.

    `own_votes` are the weights of the joint network's own heads, where a remedy lets these predict.
    """

    def __init__(
        self,
        plan: Plan,
        nets: dict[str, LateFusion],
        own_votes: Floats | None,
        blocks: list[Block],
        codes: NDArray[Any],
        parts: Parts,
    ) -> None:
        self.plan, self.nets, self.codes, self.parts = plan, nets, codes, parts
        self.own_votes = own_votes
        self.blocks = blocks
        self.h = {name: embeddings_of(net, blocks) for name, net in nets.items()}
        self.present = np.stack([block.present for block in blocks], axis=1)
        self.n = len(blocks)

    def prior(self) -> Floats:
        metric, parts = self.plan.metric, self.parts
        return metric.prior(self.codes[parts.fitted], len(parts.test), self.plan.architecture.n_outputs)

    @torch.no_grad()
    def fuse(self, h: Floats, present: NDArray[np.bool_]) -> Floats:
        """What the joint network predicts from embeddings."""
        net, task = self.nets["joint"], self.plan.metric.task
        if self.own_votes is not None:
            alone = to_probabilities(net.alone(torch.from_numpy(h)), task).numpy()
            return _vote(alone, self.own_votes, present)
        return to_probabilities(net.fuse(torch.from_numpy(h), torch.from_numpy(present)), task).numpy()

    def joint_on(self, index: Index) -> Floats:
        return self.fuse(self.h["joint"][index], self.present[index])

    @torch.no_grad()
    def alone_logits(self, index: Index, net: str = "alone") -> torch.Tensor:
        return self.nets[net].alone(torch.from_numpy(self.h[net][index]))

    def outputs(self, votes: Floats) -> dict[str, Floats]:
        """Outputs for the test rows of everything that predicts."""
        task, test, names = self.plan.metric.task, self.parts.test, self.plan.names
        alone = to_probabilities(self.alone_logits(test), task).numpy()
        found = {"joint": self.joint_on(test)}
        found |= {f"alone/{name}": alone[:, r] for r, name in enumerate(names)}
        found |= {f"branch/{name}": self.masked(1 << r) for r, name in enumerate(names)}
        found["ensemble"] = _vote(alone, np.full(self.n, 1 / self.n), self.present[test])
        found["weighted_ensemble"] = _vote(alone, votes, self.present[test])
        found["stacking"] = self._stacked()
        return found | self._linear() | self._probes()

    def _linear(self) -> dict[str, Floats]:
        """A linear model on all columns at once."""
        p, y, task, n = self.parts, self.codes, self.plan.metric.task, self.plan.architecture.n_outputs
        raw = [np.hstack([b.numbers.reshape(len(b.numbers), -1), _one_hot(b.codes)]) for b in self.blocks]
        X = np.hstack(raw).astype(np.float64)
        strength = best_strength(task, n, (X[p.train], y[p.train]), (X[p.validation], y[p.validation]))
        return {"linear": predict_with_probe(task, n, strength, (X[p.fitted], y[p.fitted]), X[p.test])}

    def _probes(self) -> dict[str, Floats]:
        """Linear models on embeddings, their penalty chosen on those of the networks that left rows out."""
        p, y, metric, n = self.parts, self.codes, self.plan.metric, self.plan.architecture.n_outputs
        encoders = [(net, r) for net in ("alone", "joint") for r in range(self.n)]
        inner = [self.h[f"inner_{net}"][:, r] for net, r in encoders]
        strength = common_strength(metric, n, inner, y, p.train, p.validation)
        found = {}
        for net, r in encoders:
            h = self.h[net][:, r]
            output = predict_with_probe(metric.task, n, strength, (h[p.fitted], y[p.fitted]), h[p.test])
            found[f"probe_{net}/{self.plan.names[r]}"] = output
        return found

    def _stacked(self) -> Floats:
        """A linear model on the uni-modal networks' log-probabilities of rows they have not seen."""
        task, p = self.plan.metric.task, self.parts
        held, test = (
            to_probabilities(self.alone_logits(index, "inner_alone"), task).numpy()
            for index in (p.validation, p.test)
        )
        features = [
            (x if task == "regression" else np.log(np.clip(x, 1e-6, 1))).reshape(len(x), -1)
            for x in (held, test)
        ]
        known = (features[0], self.codes[p.validation])
        return predict_with_probe(task, self.plan.architecture.n_outputs, 0.1, known, features[1])

    def masked(self, mask: int) -> Floats:
        """The joint network when only the modalities of `mask` are there; test rows."""
        if mask == 0:
            return self.prior()
        keep = np.array([bool(mask >> r & 1) for r in range(self.n)])
        index = self.parts.test
        h, present = self.h["joint"][index], self.present[index]
        if self.plan.absent == "sample":
            rng = np.random.default_rng(0)
            draws = [self.h["joint"][rng.choice(self.parts.fitted, len(index))] for _ in range(8)]
            return np.mean([self.fuse(np.where(keep[:, None], h, d), present) for d in draws], axis=0)
        if self.plan.absent == "zero":
            stand_in = np.zeros(h.shape[1:])
        else:
            rows = self.parts.fitted
            seen, here = self.h["joint"][rows], self.present[rows]
            nowhere = self.nets["joint"].default.detach().numpy()
            stand_in = np.stack(
                [seen[here[:, r], r].mean(0) if here[:, r].any() else nowhere[r] for r in range(self.n)]
            )
        return self.fuse(np.where(keep[:, None], h, stand_in), present & keep)

    def late(self, mask: int) -> Floats:
        """The summed logits (mean values, for a regression) of the uni-modal networks of `mask`."""
        if mask == 0:
            return self.prior()
        keep = np.array([bool(mask >> r & 1) for r in range(self.n)])
        used = torch.from_numpy(self.present[self.parts.test] & keep)[:, :, None]
        total = (self.alone_logits(self.parts.test) * used).sum(1)
        if self.plan.metric.task == "regression":
            total = total / used.sum(1).clamp_min(1)
        return to_probabilities(total, self.plan.metric.task).numpy()

    def permuted(self, seed: int) -> Floats:
        """Scores with one modality's test rows exchanged among themselves, (n_permutations, n)."""
        rng = np.random.default_rng(seed)
        h, present = self.h["joint"][self.parts.test], self.present[self.parts.test]
        y, metric = self.codes[self.parts.test], self.plan.metric
        scores = np.empty((self.plan.n_permutations, self.n))
        for i in range(self.plan.n_permutations):
            order = rng.permutation(len(h))
            for r in range(self.n):
                other, here = h.copy(), present.copy()
                other[:, r], here[:, r] = h[order, r], present[order, r]
                scores[i, r] = metric(y, self.fuse(other, here))
        return scores


def _contributions(plan: Plan, nets: _Nets, result: Measured, retrained: Callable[[int], Floats]) -> None:
    """Games and Shapley values of the value functions asked for."""
    y, n = result.y, nets.n
    functions: dict[str, Callable[[int], Floats]] = {"mask": nets.masked, "late": nets.late}

    def by_training(mask: int) -> Floats:
        if mask == 0:
            return nets.prior()
        if mask == 2**n - 1:
            return result.outputs["joint"]
        if mask.bit_count() == 1:
            return result.outputs[f"alone/{plan.names[mask.bit_length() - 1]}"]
        return retrained(mask)

    functions["retrain"] = by_training
    for name in plan.shapley:
        outputs = functions[name]
        if n > MAX_EXACT:
            result.contributions[name] = sampled_shapley_values(
                partial(_value, plan, y, outputs), n, random_state=0
            )
            continue
        found = [outputs(mask) for mask in range(2**n)]
        result.games[name] = game(partial(_value, plan, y, found.__getitem__), n)
        result.contributions[name] = shapley_values(result.games[name])
        if name == "mask":
            result.right = np.stack([_row_value(plan.metric.task, y, output) for output in found])


def _value(plan: Plan, y: NDArray[Any], outputs: Callable[[int], Floats], mask: int) -> float:
    return plan.metric(y, outputs(mask))


def _row_value(task: str, y: NDArray[Any], outputs: Floats) -> Floats:
    """1 where the row is right (its negative squared error, for a regression)."""
    if task == "multiclass":
        return (outputs.argmax(1) == y).astype(np.float64)
    if task == "multilabel":
        return ((outputs > 0.5) == (y > 0.5)).mean(1)
    return -row_losses(task, y, outputs)


def _retrained(
    plan: Plan, mask: int, rows: Any, schedule: Schedule, blocks: list[Block], parts: Parts
) -> Floats:
    """A network trained on some of the modalities only."""
    kept = [r for r in range(len(plan.names)) if mask >> r & 1]
    architecture = replace(plan.architecture, shapes=tuple(plan.architecture.shapes[r] for r in kept))
    whole = rows(parts.fitted)
    part = replace(
        whole,
        batch=replace(
            whole.batch,
            values=[whole.batch.values[r] for r in kept],
            codes=[whole.batch.codes[r] for r in kept],
            present=whole.batch.present[:, kept],
        ),
    )
    named = replace(schedule, fingerprint=f"{schedule.fingerprint}:{mask}")
    spare = np.isin(parts.fitted, parts.validation)
    trained = fit_network(architecture, part, named, plan.remedy, plan.remedy_options, holdout=spare)
    chosen = subset([blocks[r] for r in kept], parts.test)
    return outputs_of(trained.model.cpu().double(), chosen, plan.metric.task, trained.votes)


def _vote(outputs: Floats, votes: Floats, present: NDArray[np.bool_]) -> Floats:
    """Weighted mean of outputs (n, n_modalities, K) over the modalities that a row has."""
    weights = np.where(present.any(1, keepdims=True), votes * present, votes)
    weights = weights / np.maximum(weights.sum(1, keepdims=True), 1e-300)
    return (outputs * weights[:, :, None]).sum(1)


def _one_hot(codes: NDArray[np.int64]) -> Floats:
    columns = [codes[:, [j]] == np.arange(1, codes[:, j].max(initial=0) + 1) for j in range(codes.shape[1])]
    return np.hstack(columns).astype(np.float64) if columns else np.zeros((len(codes), 0))

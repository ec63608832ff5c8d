"""Every remedy's whole training against a plain transcription of its formulas, which no other remedy meets.

One hidden layer, two modalities, all rows in one batch, SGD with momentum: what a remedy does in six epochs
is written down below a second time, without the training loop, its hooks or its helpers.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from workbench.modality import REMEDIES
from workbench.modality._fitting import fit_network
from workbench.modality._nets import Architecture, Batch, LateFusion, Shape
from workbench.modality._preparation import Block
from workbench.modality._rows import outputs_of
from workbench.modality._training import Rows, Schedule

EPOCHS, RATE, SEED, N, K = 6, 0.1, 3, 60, 3
HELD = np.arange(N) >= 45
OPTIONS = {
    "ogm": {"alpha": 0.8},
    "ogm_ge": {"alpha": 0.8},
    "pmr": {"share": 1.0},
    "agm": {"alpha": 2.0},
    "gradient_blending": {"probe_epochs": 4, "least_joint_weight": 0.0},
    "greedy": {"warmup": 1, "steps": 2},
    "early_stopping": {"patience": 2},
}


def rows_and_blocks():
    rng = np.random.default_rng(0)
    y = rng.integers(K, size=N)
    views = [rng.normal(size=(N, 4)) + 2 * (y == 0)[:, None], rng.normal(size=(N, 3)) + (y == 1)[:, None]]
    none, all_there = np.zeros((N, 0), np.int64), np.ones(N, bool)
    blocks = [Block(view.astype(np.float32), none, all_there) for view in views]
    labels = torch.from_numpy(y)
    rows = Rows(Batch.of(blocks, torch.device("cpu")), labels, torch.ones(N), "multiclass")
    return rows, blocks, Architecture((Shape("a", 4, (), False), Shape("m", 3, (), False)), K, "sum", 8, 1)


def ours(remedy: str) -> np.ndarray:
    """Probabilities of all rows by the package."""
    rows, blocks, architecture = rows_and_blocks()
    schedule = Schedule(EPOCHS, 64, RATE, 0.0, "sgd", torch.device("cpu"), SEED)
    fitted = fit_network(architecture, rows, schedule, remedy, OPTIONS.get(remedy), holdout=HELD)
    return outputs_of(fitted.model, blocks, "multiclass", fitted.votes)


class Plain:
    """The same network and its steps, by hand: weights by name, ``relu(x W + b)``, sums of linear parts."""

    def __init__(self, encoders: Plain | None = None) -> None:
        rows, _, architecture = rows_and_blocks()
        first = LateFusion(architecture, SEED).state_dict()
        if encoders is not None:
            first |= {name: w.detach() for name, w in encoders.w.items() if name.startswith("encoders")}
        self.w = {name: value.clone().requires_grad_() for name, value in first.items()}
        self.moved = {name: torch.zeros_like(value) for name, value in first.items()}
        self.x, self.y = rows.batch.values, rows.y

    def h(self, r, rows=slice(None)):
        w = self.w
        return (
            self.x[r][rows] @ w[f"encoders.{r}.layers.0.weight"].T + w[f"encoders.{r}.layers.0.bias"]
        ).relu()

    def part(self, r, rows=slice(None), h=None):
        """W_r h_r + b / 2."""
        h = self.h(r, rows) if h is None else h
        return h @ self.w[f"joint.{r}.weight"].T + self.w["bias"] / 2

    def joint(self, rows=slice(None)):
        return self.part(0, rows) + self.part(1, rows)

    def alone(self, r, rows=slice(None)):
        return self.h(r, rows) @ self.w[f"heads.{r}.weight"].T + self.w[f"heads.{r}.bias"]

    def joint_loss(self, rows=slice(None)):
        return cross_entropy(self.joint(rows), self.y[rows])

    def alone_loss(self, r, rows=slice(None)):
        return cross_entropy(self.alone(r, rows), self.y[rows])

    def encoder(self, r):
        return [f"encoders.{r}.layers.0.weight", f"encoders.{r}.layers.0.bias"]

    def gradient(self, loss, names=None):
        names = list(self.w) if names is None else names
        found = torch.autograd.grad(
            loss, [self.w[n] for n in names], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return dict(zip(names, found, strict=True))

    def step(self, gradient, pace=(1.0, 1.0)):
        """SGD with a momentum of 0.9; the encoders go `pace` times as far."""
        with torch.no_grad():
            for name, g in gradient.items():
                self.moved[name] = 0.9 * self.moved[name] + g
                factor = pace[int(name.split(".")[1])] if name.startswith("encoders") else 1.0
                self.w[name] -= RATE * float(factor) * self.moved[name]

    def sure(self, logits):
        """Summed probability of the truth."""
        return logits.softmax(1)[torch.arange(len(logits)), self.y].sum().detach()

    def output(self):
        return self.joint().softmax(1).detach().numpy()


def number(value):
    return float(value.detach())


def train(loss):
    """Plain steps on a loss."""
    net = Plain()
    for _ in range(EPOCHS):
        net.step(net.gradient(loss(net)))
    return net


def taught(rows=slice(None)):
    return train(lambda n: n.alone_loss(0, rows) + n.alone_loss(1, rows))


def none():
    return train(Plain.joint_loss).output()


def auxiliary():
    return train(lambda n: n.joint_loss() + n.alone_loss(0) + n.alone_loss(1)).output()


def modality_dropout():
    order, draws = (torch.Generator().manual_seed(SEED + i) for i in range(2))
    torch.randint(2**62, (), generator=order)
    net = Plain()
    for _ in range(EPOCHS):
        rows = torch.randperm(N, generator=order)
        draw = torch.rand(N, 2, generator=draws)
        shown = draw >= 0.3
        luckiest = draw.argmax(1)
        shown[torch.arange(N), luckiest] |= ~shown.any(1)
        parts = [
            net.part(r, h=torch.where(shown[:, r, None], net.h(r, rows), net.w["default"][r]))
            for r in range(2)
        ]
        net.step(net.gradient(cross_entropy(parts[0] + parts[1], net.y[rows])))
    return net.output()


def ogm(noise=None):
    net = Plain()
    for _ in range(EPOCHS):
        sure = [net.sure(net.part(r)) for r in range(2)]
        ratio = [sure[0] / sure[1], sure[1] / sure[0]]
        k = [1 - math.tanh(0.8 * float(rho)) if rho > 1 else 1.0 for rho in ratio]
        gradient = net.gradient(net.joint_loss())
        if noise is not None:
            for r in range(2):
                weight = net.encoder(r)[0]
                g = gradient[weight]
                # k (g + ε / k) = k g + ε, the noise not amplified more than tenfold.
                gradient[weight] = g + torch.randn(g.shape, generator=noise) * g.std() / max(k[r], 0.1)
        net.step(gradient, k)
    return net.output()


def ogm_ge():
    return ogm(torch.Generator().manual_seed(SEED + 1))


def early_stopping():
    net, best, waited = Plain(), (math.inf, None), 0
    for _ in range(EPOCHS):
        net.step(net.gradient(net.joint_loss(~HELD)))
        loss = number(net.joint_loss(HELD))
        waited = 0 if loss < best[0] else waited + 1
        best = (loss, net.output()) if loss < best[0] else best
        if waited == 2:
            break
    return best[1]


def weighted_ensemble():
    net = taught(~HELD)
    votes = np.exp([-3 * number(net.alone_loss(r, HELD)) for r in range(2)])
    each = [net.alone(r).softmax(1).detach().numpy() for r in range(2)]
    return sum(v * p for v, p in zip(votes / votes.sum(), each, strict=True))


def gradient_blending():
    alone, joint = Plain(), Plain()
    losses = [lambda part, r=r: alone.alone_loss(r, part) for r in range(2)] + [joint.joint_loss]
    curves = []
    for _ in range(4):
        alone.step(alone.gradient(losses[0](~HELD) + losses[1](~HELD)))
        joint.step(joint.gradient(losses[2](~HELD)))
        curves.append([[number(loss(part)) for part in (~HELD, HELD)] for loss in losses])
    (l0, v0), (l1, v1) = np.array(curves[0]).T, np.array(curves[-1]).T
    gained, overfitted = v0 - v1, (v1 - l1) - (v0 - l0)
    w = np.maximum(gained, 1e-6) / np.maximum(overfitted**2, 1e-4)
    w = (w / w.sum()).tolist()
    return train(lambda n: w[0] * n.alone_loss(0) + w[1] * n.alone_loss(1) + w[2] * n.joint_loss()).output()


def pmr():
    net, kept = Plain(), None
    for _ in range(EPOCHS):
        means = [torch.stack([net.h(r)[net.y == k].mean(0) for k in range(K)]).detach() for r in range(2)]
        kept = (
            means if kept is None else [0.8 * new + 0.2 * old for new, old in zip(means, kept, strict=True)]
        )
        near = [-(net.h(r)[:, None] - kept[r][None]).norm(dim=2) for r in range(2)]
        slow = int(np.argmin([float(net.sure(logits)) for logits in near]))
        net.step(net.gradient(net.joint_loss() + cross_entropy(near[slow], net.y)))
    return net.output()


def agm():
    net, seen = Plain(), []
    for _ in range(EPOCHS):
        muted = [net.part(r, h=net.w["default"][r]) for r in range(2)]
        whole, only = net.joint(), [net.part(0) + muted[1], net.part(1) + muted[0]]
        phi = [(whole - only[1] + only[0]) / 2, (whole - only[0] + only[1]) / 2]
        s = np.array([number(cross_entropy(p, net.y)) for p in phi])
        seen.append(s)
        usual = np.mean(seen, axis=0)
        kappa = np.exp(2.0 * (np.exp(2 * (usual.mean() - usual)) - np.exp(2 * (s.mean() - s))))
        gradient = net.gradient(net.joint_loss())

        def length(names, gradient=gradient):
            return math.sqrt(sum(float((gradient[n] ** 2).sum()) for n in names))

        if length(["joint.0.weight", "joint.1.weight"]) > 1:
            total = length(gradient)
            gradient = {n: g * min(1.0, 1 / (total + 1e-6)) for n, g in gradient.items()}
        net.step(gradient, kappa)
    return net.output()


def mmpareto():
    net = Plain()
    for _ in range(EPOCHS):
        gradient = net.gradient(net.joint_loss() + net.alone_loss(0) + net.alone_loss(1))
        for r in range(2):
            names = net.encoder(r)
            v1, v2 = net.gradient(net.joint_loss(), names), net.gradient(net.alone_loss(r), names)
            a, b = (torch.cat([v[n].flatten() for n in names]) for v in (v1, v2))
            if a @ b >= 0:
                weight = 0.5
            elif a @ b >= a @ a:
                weight = 0.999
            elif a @ b >= b @ b:
                weight = 0.001
            else:
                weight = float((b @ b - a @ b) / (a @ a + b @ b - 2 * a @ b))
            for n in names:
                g = 2 * (weight * v1[n] + (1 - weight) * v2[n])
                gradient[n] = 1.5 * g * max(1.0, float((v1[n] + v2[n]).norm() / g.norm()))
        net.step(gradient)
    return net.output()


def umt():
    teacher = taught()
    lesson = [teacher.h(r).detach() for r in range(2)]
    return train(
        lambda n: n.joint_loss() + 10 * sum(((n.h(r) - lesson[r]) ** 2).mean() for r in range(2))
    ).output()


def pretrain():
    net = Plain(encoders=taught())
    for _ in range(EPOCHS):
        head = ["joint.0.weight", "joint.1.weight", "bias"]
        net.step(net.gradient(net.joint_loss(), head))
    return net.output()


def greedy():
    net, pace = Plain(), [np.zeros(2), np.zeros(2)]  # of the joint head's parts and of the encoders
    held, left = -1, 0
    for epoch in range(EPOCHS):
        gradient = net.gradient(net.joint_loss())

        def speed(name, gradient=gradient):
            return float((gradient[name] ** 2).sum() / (net.w[name].detach() ** 2).sum())

        if left == 0 and held < 0 and epoch >= 1:
            conditional = np.log10(pace[0]) - np.log10(pace[1])
            lead = conditional - conditional[::-1]
            if lead.max() > 0.01:
                held, left = int(lead.argmax()), 2
        elif left == 0:
            held = -1
        free = np.ones(2)
        if left > 0:
            free[held], left = 0.0, left - 1
        pace[0] += free * [speed(f"joint.{r}.weight") for r in range(2)]
        pace[1] += free * [sum(map(speed, net.encoder(r))) for r in range(2)]
        net.step(gradient, free)
    return net.output()


BY_HAND = {
    f.__name__: f
    for f in (
        none, early_stopping, auxiliary, modality_dropout, ogm, ogm_ge, gradient_blending, pmr, agm, mmpareto,
        umt, pretrain, weighted_ensemble, greedy,
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> dict[str, np.ndarray]:
    return {remedy: ours(remedy) for remedy in REMEDIES}


def test_every_remedy_is_written_down():
    assert set(BY_HAND) == set(REMEDIES)


@pytest.mark.parametrize("remedy", REMEDIES)
def test_a_remedy_does_what_its_formulas_say_and_what_no_other_does(trained, remedy):
    by_hand = BY_HAND[remedy]()
    np.testing.assert_allclose(trained[remedy], by_hand, atol=2e-5)
    for other, found in trained.items():
        if other != remedy:
            assert np.abs(found - by_hand).max() > 1e-3, other

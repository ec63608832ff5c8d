"""Remedies inside a training: that each does to the network what its formula says, and survives an
interrupt.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.modality import REMEDIES, LateFusionClassifier, ModalitiesError, RemedyRace
from workbench.modality import _remedies as remedies
from workbench.modality._nets import Architecture, Batch, LateFusion, Shape
from workbench.modality._preparation import Block
from workbench.modality._prototypes import PMR
from workbench.modality._table import holdout_rows
from workbench.modality._training import Rows, Step, each_loss
from workbench.modality.remedies import cost
from workbench.training import Callback, Checkpoint, Stopped, callbacks
from workbench.training.optimizers import make_optimizer

FAST = {"n_epochs": 4, "hidden": 8, "depth": 1, "batch_size": 32}


def rig(remedy, *, optimizer="sgd", n=32, rate=0.1, fusion="sum"):
    """A small network, its rows and a remedy that has begun."""
    rng = np.random.default_rng(0)
    shapes = (Shape("a", 4, (), False), Shape("m", 3, (), False))
    blocks = [
        Block(rng.normal(size=(n, s.width)).astype(np.float32), np.zeros((n, 0), np.int64), np.ones(n, bool))
        for s in shapes
    ]
    y = torch.from_numpy(rng.integers(3, size=n))
    rows = Rows(Batch.of(blocks, torch.device("cpu")), y, torch.ones(n), "multiclass")
    model = LateFusion(Architecture(shapes, 3, fusion, 8, 1), 0)
    groups = [list(e.parameters()) for e in model.encoders]
    inside = {id(p) for g in groups for p in g}
    rest = [p for p in model.parameters() if id(p) not in inside]
    made = make_optimizer(optimizer, [{"params": g} for g in [*groups, rest]], rate)
    remedy.begin(model, made, rows, 0)
    return model, made, rows


def one_step(remedy, model, optimizer, rows):
    """One batch as the loop does it; how far each encoder's first layer went."""
    before = [e.layers[0].weight.detach().clone() for e in model.encoders]
    loss, _ = remedy.loss(Step(model, rows, torch.arange(len(rows)), remedy.present(rows.batch.present)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach(), [
        (e.layers[0].weight.detach() - b) for e, b in zip(model.encoders, before, strict=True)
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_ogm_shortens_the_leaders_step_under_adam_too(optimizer):
    from workbench.modality._formulas import ogm_coefficients

    plain, ogm = remedies.Remedy(), remedies.OGM(alpha=0.5)
    rig_plain, rig_ogm = rig(plain, optimizer=optimizer), rig(ogm, optimizer=optimizer)
    step = Step(rig_ogm[0], rig_ogm[2], torch.arange(32), rig_ogm[2].batch.present)
    k = ogm_coefficients(step.confidence(), 0.5)
    assert 0 < float(k.min()) < 1 == float(k.max())
    _, freely = one_step(plain, *rig_plain)
    _, modulated = one_step(ogm, *rig_ogm)
    for r in range(2):
        torch.testing.assert_close(modulated[r], freely[r] * k[r], atol=1e-6, rtol=1e-4)


def test_branch_confidence_is_the_summed_probability_of_the_truth():
    model, _, rows = rig(remedies.Remedy())
    step = Step(model, rows, torch.arange(32), rows.batch.present)
    logits = step.h[:, 1] @ model.joint[1].weight.T + model.bias / 2
    expected = logits.softmax(1)[torch.arange(32), rows.y].sum()
    torch.testing.assert_close(step.confidence()[1], expected.detach())


def test_ogm_ge_adds_noise_of_the_gradients_own_spread():
    """The step is ``-lr (k g + ε)``, ε as wide as the gradient, also where k is not 1."""
    spread, factors = {0: [], 1: []}, set()
    for seed in range(40):
        remedy = remedies.OGM(alpha=0.5, noise=True)
        model, optimizer, rows = rig(remedy)
        remedy.generators["noise"].manual_seed(seed)
        step = Step(model, rows, torch.arange(32), rows.batch.present)
        loss, _ = remedy.loss(step)
        loss.backward()
        k = remedy.factors.tolist()
        factors |= set(k)
        layers = [encoder.layers[0] for encoder in model.encoders]
        clean = [(layer.weight.grad.clone(), layer.bias.grad.clone()) for layer in layers]
        before = [layer.weight.detach().clone() for layer in layers]
        optimizer.step()
        for r, layer in enumerate(layers):
            moved = (layer.weight.detach() - before[r]) / -0.1
            spread[r].append(((moved - k[r] * clean[r][0]).std() / clean[r][0].std()).item())
            assert (layer.bias.grad == clean[r][1]).all()
    assert min(factors) < 1
    assert [np.mean(spread[r]) for r in range(2)] == pytest.approx([1, 1], abs=0.1)


def test_auxiliary_and_blend_weigh_the_losses():
    model, _, rows = rig(remedies.Auxiliary(weight=0.5))
    step = Step(model, rows, torch.arange(32), rows.batch.present)
    joint = each_loss("multiclass", step.logits, rows.y).mean()
    alone = [torch.nn.functional.cross_entropy(model.heads[r](step.h[:, r]), rows.y) for r in range(2)]
    torch.testing.assert_close(remedies.Auxiliary(0.5).loss(step)[0], joint + 0.5 * (alone[0] + alone[1]))
    blended = remedies.Blend([0.2, 0.3, 0.5]).loss(step)[0]
    torch.testing.assert_close(blended, 0.2 * alone[0] + 0.3 * alone[1] + 0.5 * joint)


def test_umt_pulls_embeddings_to_the_teachers():
    teacher = torch.zeros(32, 2, 8)
    model, _, rows = rig(remedies.Remedy())
    step = Step(model, rows, torch.arange(32), rows.batch.present)
    loss, parts = remedies.UMT(teacher, weight=10.0).loss(step)
    distance = sum((step.h[:, r] ** 2).mean() for r in range(2))
    torch.testing.assert_close(parts["distance"], distance)
    torch.testing.assert_close(loss, step.loss(step.logits) + 10 * distance)


def test_mmpareto_replaces_the_encoders_gradients_only():
    from workbench.modality._formulas import pareto_gradient

    remedy = remedies.MMPareto(gamma=1.5)
    model, optimizer, rows = rig(remedy)
    step = Step(model, rows, torch.arange(32), rows.batch.present)
    joint = step.loss(step.logits)
    own = each_loss("multiclass", model.heads[0](step.h[:, 0]), rows.y).mean()
    weights = list(model.encoders[0].parameters())
    v1 = torch.autograd.grad(joint, weights, retain_graph=True)
    v2 = torch.autograd.grad(own, weights, retain_graph=True)
    head = torch.autograd.grad(joint, model.joint[0].weight)[0]
    loss, _ = remedy.loss(Step(model, rows, torch.arange(32), rows.batch.present))
    loss.backward()
    optimizer.step()
    for parameter, expected in zip(weights, pareto_gradient(v1, v2, 1.5), strict=True):
        torch.testing.assert_close(parameter.grad, expected)
    torch.testing.assert_close(model.joint[0].weight.grad, head)


def test_pmr_adds_the_prototype_loss_of_the_slow_modality():
    remedy = PMR(alpha=1.0, momentum=0.2, share=1.0)
    model, _, rows = rig(remedy)
    remedy.renew()
    h = model.encode(rows.batch).detach()
    means = torch.stack([h[rows.y == k].mean(0) for k in range(3)], dim=1)
    torch.testing.assert_close(remedy.memory["prototypes"], means)
    remedy.memory["prototypes"] = torch.zeros_like(means)
    remedy.renew()
    torch.testing.assert_close(remedy.memory["prototypes"], 0.8 * means)  # (1 - m) new + m old
    remedy.memory["prototypes"] = means
    step = Step(model, rows, torch.arange(32), rows.batch.present)
    losses, sure = [], []
    for r in range(2):
        logits = -(h[:, r, None] - means[r][None]).norm(dim=2)
        losses.append(torch.nn.functional.cross_entropy(logits, rows.y))
        sure.append(logits.softmax(1)[torch.arange(32), rows.y].sum())
    slow = int(torch.stack(sure).argmin())
    torch.testing.assert_close(
        remedy.loss(step)[0].detach(), step.loss(step.logits).detach() + losses[slow], atol=1e-5, rtol=1e-5
    )


def test_pmr_weighs_softly_and_holds_the_leader_back_in_the_first_epochs():
    from workbench.modality._formulas import pmr_weights, prototype_entropy, prototype_logits

    remedy = PMR(alpha=2.0, share=1.0, weights="soft", entropy=0.3, entropy_epochs=2)
    model, _, rows = rig(remedy)
    remedy.renew()
    step = Step(model, rows, torch.arange(32), rows.batch.present)
    logits = [prototype_logits(step.h[:, r], remedy.memory["prototypes"][r]) for r in range(2)]
    sure = torch.stack([z.softmax(1)[torch.arange(32), rows.y].sum() for z in logits]).detach()
    weights = 2.0 * pmr_weights(sure, "soft")
    assert 0 < float(weights.max()) < 2
    pulled = step.loss(step.logits) + sum(
        weights[r] * torch.nn.functional.cross_entropy(logits[r], rows.y) for r in range(2)
    )
    held = pulled - 0.3 * prototype_entropy(logits[int(sure.argmax())]).mean()

    class Position:
        epoch = 1

    remedy.loop = Position()
    torch.testing.assert_close(remedy.loss(step)[0], held)
    Position.epoch = 2
    torch.testing.assert_close(remedy.loss(step)[0], pulled)


def test_agm_scales_steps_by_its_coefficients():
    from workbench.modality._formulas import agm_coefficients

    remedy = remedies.AGM(alpha=2.0)
    model, optimizer, rows = rig(remedy)
    one_step(remedy, model, optimizer, rows)
    first = remedy.memory["mean"].clone()
    assert [g["lr"] for g in optimizer.param_groups[:2]] == pytest.approx([0.1, 0.1])  # no history yet
    one_step(remedy, model, optimizer, rows)
    second = 2 * remedy.memory["mean"] - first
    kappa = agm_coefficients(second, remedy.memory["mean"], 2.0)
    assert [g["lr"] for g in optimizer.param_groups[:2]] == pytest.approx((0.1 * kappa).tolist(), rel=1e-5)


@pytest.mark.parametrize("fusion", ["sum", "concat"])
def test_agm_shares_the_output_out_by_muting(fusion):
    remedy = remedies.AGM()
    model, _, rows = rig(remedy, fusion=fusion)
    torch.nn.init.normal_(model.default)
    step = Step(model, rows, torch.arange(32), rows.batch.present)
    h, default = step.h.detach(), model.default.detach()
    there = torch.ones(32, 2, dtype=torch.bool)
    only = [
        torch.stack([h[:, 0], default[1].expand(32, 8)], 1),
        torch.stack([default[0].expand(32, 8), h[:, 1]], 1),
    ]
    with torch.no_grad():
        whole, alone = model.fuse(h, there), [model.fuse(part, there) for part in only]
    torch.testing.assert_close(remedy.monomodal(step)[0], (whole - alone[1] + alone[0]) / 2)
    torch.testing.assert_close(remedy.monomodal(step)[1], (whole - alone[0] + alone[1]) / 2)


def test_pretrained_encoders_stand_still():
    remedy = remedies.Frozen(pace=0.0)
    model, optimizer, rows = rig(remedy)
    head = model.joint[0].weight.detach().clone()
    _, moved = one_step(remedy, model, optimizer, rows)
    assert all((m == 0).all() for m in moved)
    assert (model.joint[0].weight != head).any()
    slow, free = remedies.Frozen(pace=0.1), remedies.Remedy()
    _, tenth = one_step(slow, *rig(slow))
    _, whole = one_step(free, *rig(free))
    torch.testing.assert_close(tenth[0], 0.1 * whole[0], atol=1e-7, rtol=1e-3)


def test_greedy_holds_the_faster_encoder_for_its_steps_then_lets_all_go_once():
    remedy = remedies.Greedy(epsilon=0.0, steps=3, warmup=0)
    model, optimizer, rows = rig(remedy)

    class Position:
        epoch = 0

    remedy.loop = Position()
    held = []
    for _ in range(8):
        _, moved = one_step(remedy, model, optimizer, rows)
        held.append([bool((m == 0).all()) for m in moved])
    pattern = [any(step) for step in held]
    first = pattern.index(True)
    assert pattern[first : first + 4] == [True, True, True, False]
    assert all(sum(step) <= 1 for step in held)


def test_dropout_hides_modalities_in_training_only(two_views):
    X, y = two_views
    model = LateFusionClassifier(remedy="modality_dropout", random_state=0, **{**FAST, "n_epochs": 25}).fit(
        X, y
    )
    assert np.abs(model.weights_["default"]).max() > 1e-3  # the stand-in was trained
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("remedy", REMEDIES)
def test_every_remedy_trains_predicts_and_repeats(two_views, remedy):
    X, y = two_views
    settings = {**FAST, "n_epochs": 12, "learning_rate": 0.02}
    model, again = (
        LateFusionClassifier(remedy=remedy, random_state=1, **settings).fit(X, y) for _ in range(2)
    )
    # Gradient-Blending may trust one of the two needed modalities on so few rows.
    assert model.score(X, y) > (0.6 if remedy == "gradient_blending" else 0.75)
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))


@pytest.mark.parametrize("fusion", ["concat", "gated"])
@pytest.mark.parametrize("remedy", ["ogm", "agm", "greedy", "mmpareto"])
def test_remedies_work_with_every_fusion(two_views, fusion, remedy):
    X, y = two_views
    model = LateFusionClassifier(remedy=remedy, fusion=fusion, random_state=1, **FAST).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


class StopAt(Callback):
    def __init__(self, training: int, batch: int) -> None:
        self.training, self.batch, self.begun = training, batch, -1

    def on_train_begin(self, loop):
        self.begun += 1

    def on_batch_end(self, loop):
        if self.begun == self.training and loop.epoch * loop.n_batches + loop.batch == self.batch:
            loop.interrupt()


@pytest.mark.parametrize(
    ("remedy", "training"),
    [
        ("modality_dropout", 0),
        ("ogm_ge", 0),
        ("agm", 0),
        ("pmr", 0),
        ("pmr+", 0),
        ("greedy", 0),
        ("early_stopping", 0),
        ("umt", 1),
    ],
)
def test_an_interrupted_training_ends_as_if_it_had_not_been(two_views, tmp_path, remedy, training):
    X, y = two_views
    options = {"weights": "soft", "entropy": 0.1, "entropy_epochs": 3} if remedy == "pmr+" else None
    model = LateFusionClassifier(remedy=remedy.rstrip("+"), remedy_options=options, random_state=0, **FAST)
    whole = model.fit(X, y).predict_proba(X)
    with pytest.raises(Stopped), callbacks(Checkpoint(tmp_path), StopAt(training, 11)):
        model.fit(X, y)
    with callbacks(Checkpoint(tmp_path)):
        np.testing.assert_array_equal(model.fit(X, y).predict_proba(X), whole)


def test_pmr_needs_one_class_a_row(two_views):
    X, y = two_views
    with pytest.raises(ModalitiesError, match="'pmr' needs one class a row"):
        LateFusionClassifier(remedy="pmr", **FAST).fit(
            X, np.column_stack([y == "rest", y == "walk"]).astype(int)
        )


def test_budgets():
    assert cost("ogm", 60) == 60
    assert cost("umt", 60) == 120
    assert cost("gradient_blending", 60) == 60 + 2 * 10


def test_race_compares_at_the_same_budget_and_picks_on_validation(two_views):
    X, y = two_views
    race = RemedyRace(
        remedies=["none", "auxiliary", "umt"], random_state=0, **{**FAST, "learning_rate": 0.02}
    )
    race.fit(X[:160], y[:160])
    report = race.report_.set_index("remedy")
    assert report["epochs"].to_dict() == {"none": 4, "auxiliary": 4, "umt": 8}
    assert report.loc["none", "gain"] == 0
    assert report.loc["auxiliary", "baseline"] == report.loc["none", "validation"]
    seed = int(np.random.RandomState(0).randint(2**31 - 1, size=1)[0])
    target = race._check_target(y[:160], 160, classification=True)
    held = holdout_rows(target, 0.2, None, seed)
    longer = LateFusionClassifier(random_state=seed, **{**FAST, "n_epochs": 8, "learning_rate": 0.02})
    longer.fit(X[:160][~held], y[:160][~held])
    assert report.loc["umt", "baseline"] == longer.score(X[:160][held], y[:160][held])
    assert race.best_ == report["validation"].idxmax()
    assert race.estimator_.remedy == race.best_
    assert race.predict(X[160:]).shape == (80,)
    with pytest.raises(ModalitiesError, match="no remedy 'prayer'"):
        RemedyRace(remedies=["prayer"]).fit(X, y)

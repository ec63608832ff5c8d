"""From a remedy's name to a trained network: the trainings it takes, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.modality import _remedies as r
from workbench.modality._nets import Architecture, LateFusion
from workbench.modality._prototypes import PMR
from workbench.modality._training import Rows, Schedule, Step, Trained, embed, train
from workbench.modality._watch import KeepBest, Watch
from workbench.modality.columns import ModalitiesError
from workbench.modality.diagnostics import blending_weights, ensemble_weights, overfitting_to_generalisation
from workbench.modality.remedies import REMEDIES, check_task
from workbench.training.callbacks import Callback

__all__ = ["Fitted", "alone_losses", "fit_network"]


@dataclass
class Fitted:
    """A network, and how it predicts.

    Attributes
    ----------
    votes : ndarray of shape (n_modalities,), or None
        Weights of the modalities' own heads, where these predict instead of the joint head.
    """

    model: LateFusion
    history: list[dict[str, float]]
    votes: NDArray[np.float64] | None = None
    details: dict[str, Any] | None = None


def fit_network(
    architecture: Architecture,
    rows: Rows,
    schedule: Schedule,
    remedy: str,
    options: Mapping[str, Any] | None = None,
    *,
    holdout: NDArray[np.bool_],
    callbacks: tuple[Callback, ...] = (),
) -> Fitted:
    """Train a network with a remedy.

    Parameters
    ----------
    architecture : Architecture
    rows : Rows
    schedule : Schedule
        Its epochs are those of the joint network; see `workbench.modality.remedies.cost` for the whole
        budget.
    remedy : str
        A key of `REMEDIES`.
    options : dict, optional
        Of the remedy, in place of its defaults.
    holdout : ndarray of bool, shape (n,)
        Rows kept for validation by remedies that need some; the others train on all.
    """
    settings = {**REMEDIES[remedy].options, **(options or {})}
    check_task(remedy, rows.task)
    if REMEDIES[remedy].validates and (holdout.all() or not holdout.any()):
        raise ModalitiesError(
            f"The remedy {remedy!r} needs rows for validation, and there are too few to spare any."
        )
    kept = torch.from_numpy(holdout).to(rows.y.device)
    inner, held = rows[(~kept).nonzero()[:, 0]], rows[kept.nonzero()[:, 0]]
    simple = {
        "none": r.Remedy,
        "auxiliary": r.Auxiliary,
        "modality_dropout": r.ModalityDropout,
        "ogm": r.OGM,
        "ogm_ge": r.OGM,
        "pmr": PMR,
        "agm": r.AGM,
        "mmpareto": r.MMPareto,
        "greedy": r.Greedy,
    }
    if remedy in simple:
        noise = {"noise": True} if remedy == "ogm_ge" else {}
        done = train(architecture, rows, schedule, simple[remedy](**settings, **noise), callbacks=callbacks)
        return Fitted(done.model, done.history)
    if remedy == "early_stopping":
        best = KeepBest(held, settings["patience"])
        done = train(
            architecture, inner, schedule, r.Remedy(), callbacks=(*callbacks, best), extras={"best": best}
        )
        return Fitted(done.model, done.history)
    if remedy == "weighted_ensemble":
        done = train(architecture, inner, schedule, r.Unimodal(), callbacks=callbacks)
        votes = ensemble_weights(alone_losses(done.model, held), settings["sharpness"])
        return Fitted(done.model, done.history, votes)
    if remedy == "gradient_blending":
        return _blend(architecture, rows, inner, held, schedule, settings, callbacks)
    teacher = train(architecture, rows, schedule, r.Unimodal())
    if remedy == "umt":
        lesson = embed(teacher.model, rows.batch)
        done = train(architecture, rows, schedule, r.UMT(lesson, **settings), callbacks=callbacks)
    else:
        start = _joined(teacher, architecture, schedule)
        done = train(
            architecture, rows, schedule, r.Frozen(settings["pace"]), start=start, callbacks=callbacks
        )
    return Fitted(done.model, done.history)


def _joined(teacher: Trained, architecture: Architecture, schedule: Schedule) -> LateFusion:
    """A new joint head on trained encoders."""
    start = LateFusion(architecture, schedule.seed).to(schedule.device)
    start.encoders.load_state_dict(teacher.model.encoders.state_dict())
    return start


def _blend(
    architecture: Architecture,
    rows: Rows,
    inner: Rows,
    held: Rows,
    schedule: Schedule,
    settings: Mapping[str, Any],
    callbacks: tuple[Callback, ...],
) -> Fitted:
    """Offline Gradient-Blending: short probes of every head give the weights of the losses."""
    names = [shape.name for shape in architecture.shapes]
    # Two epochs at least: the first is what the others are measured from.
    probe = replace(schedule, n_epochs=max(2, min(settings["probe_epochs"], schedule.n_epochs)))
    alone = train(
        architecture, inner, probe, r.Unimodal(), callbacks=(Watch(names, inner, held, alone=True),)
    )
    joint = train(architecture, inner, probe, r.Remedy(), callbacks=(Watch(names, inner, held),))
    gained, overfitted = [], []
    for history, name in [*((alone.history, name) for name in names), (joint.history, "joint")]:
        g, o, _ = overfitting_to_generalisation(
            [e[f"train_loss/{name}"] for e in history], [e[f"validation_loss/{name}"] for e in history]
        )
        gained.append(g[-1])
        overfitted.append(o[-1])
    weights = blending_weights(gained, overfitted)
    done = train(architecture, rows, schedule, r.Blend(weights.tolist()), callbacks=callbacks)
    # A joint head that was hardly trained must not be the one that predicts.
    votes = weights[:-1] / weights[:-1].sum() if weights[-1] < settings["least_joint_weight"] else None
    return Fitted(done.model, done.history, votes, {"loss_weights": weights.tolist()})


@torch.no_grad()
def alone_losses(model: LateFusion, rows: Rows) -> list[float]:
    """Validation loss of each modality's own head."""
    step = Step(model, rows, torch.arange(len(rows)), rows.batch.present)
    return step.alone_losses().tolist()

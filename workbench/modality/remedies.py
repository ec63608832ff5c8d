"""The remedies by name: what each does, its options, its source and what it costs. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from workbench.modality.columns import ModalitiesError

__all__ = ["REMEDIES", "RemedyInfo", "check_options", "check_task", "cost"]


@dataclass(frozen=True)
class RemedyInfo:
    """One remedy.

    Attributes
    ----------
    does : str
        In plain words.
    source : str
    options : dict
        Names and defaults of what can be set.
    trainings : float
        Passes of every encoder over the data, in units of one joint training.
    validates : bool
        Whether a part of the training rows is kept for validation.
    choices : dict
        What an option that is a word may be.
    """

    does: str
    source: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    trainings: float = 1.0
    validates: bool = False
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


REMEDIES: dict[str, RemedyInfo] = {
    "none": RemedyInfo("plain joint training"),
    "early_stopping": RemedyInfo(
        "joint training that ends when the validation loss no longer falls", "", {"patience": 8}, 1.0, True
    ),
    "auxiliary": RemedyInfo(
        "adds the loss of a head on each modality alone",
        "the uniform baseline of 2405.17730",
        {"weight": 1.0},
    ),
    "modality_dropout": RemedyInfo(
        "hides modalities of single rows at random", "Neverova et al., 1501.00102", {"p": 0.3}
    ),
    "ogm": RemedyInfo(
        "slows the encoder whose branch is ahead", "Peng et al., CVPR 2022, 2203.15332", {"alpha": 0.5}
    ),
    "ogm_ge": RemedyInfo(
        "the same, with noise on the encoders' gradients",
        "Peng et al., CVPR 2022, 2203.15332",
        {"alpha": 0.5},
    ),
    "gradient_blending": RemedyInfo(
        "weights the losses by how much each generalises before it overfits",
        "Wang, Tran and Feiszli, CVPR 2020, 1905.12681",
        {"probe_epochs": 10, "least_joint_weight": 0.2},
        1.0,
        True,
    ),
    "pmr": RemedyInfo(
        "pulls the slow modality's embeddings to their class prototypes",
        "Fan et al., CVPR 2023, 2211.07089",
        {
            "alpha": 1.0,
            "momentum": 0.2,
            "share": 0.1,
            "weights": "hard",
            "entropy": 0.0,
            "entropy_epochs": 5,
        },
        choices={"weights": ("hard", "soft")},
    ),
    "agm": RemedyInfo(
        "slows a modality that is further ahead than it used to be",
        "Li et al., ICCV 2023, 2308.07686",
        {"alpha": 1.0},
    ),
    "mmpareto": RemedyInfo(
        "combines joint and uni-modal gradients without conflict",
        "Wei and Hu, ICML 2024, 2405.17730",
        {"gamma": 1.5},
    ),
    "umt": RemedyInfo(
        "keeps each encoder near one that was trained alone",
        "Du et al., ICML 2023, 2305.01233",
        {"weight": 10.0},
        2.0,
    ),
    "pretrain": RemedyInfo("trains the encoders alone, then a joint head on them", "", {"pace": 0.0}, 2.0),
    "weighted_ensemble": RemedyInfo(
        "trains the modalities apart and weights their votes", "", {"sharpness": 3.0}, 1.0, True
    ),
    "greedy": RemedyInfo(
        "holds the encoder that learns too fast for some steps",
        "Wu et al., ICML 2022, 2202.05306",
        {"epsilon": 0.01, "steps": 5, "warmup": 2},
    ),
}


def check_options(remedy: str, options: Mapping[str, Any] | None) -> None:
    """Refuse options that the remedy does not have, and values that are neither numbers nor its words.

    Raises
    ------
    ModalitiesError
    """
    info = REMEDIES[remedy]
    for name, value in (options or {}).items():
        if name not in info.options:
            has = f"it has {', '.join(info.options)}" if info.options else "it has none"
            raise ModalitiesError(f"The remedy {remedy!r} has no option {name!r}: {has}.")
        if name in info.choices:
            if value not in info.choices[name]:
                raise ModalitiesError(
                    f"{name} of the remedy {remedy!r} must be {' or '.join(map(repr, info.choices[name]))}, "
                    f"not {value!r}."
                )
        elif not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) < float("inf"):
            raise ModalitiesError(
                f"{name} of the remedy {remedy!r} must be a number of at least 0, not {value!r}."
            )


def check_task(remedy: str, task: str) -> None:
    """Refuse a remedy that cannot be had for a kind of target.

    Raises
    ------
    ModalitiesError
    """
    if remedy == "pmr" and task != "multiclass":
        raise ModalitiesError("The remedy 'pmr' needs one class a row: take another for this target.")


def cost(remedy: str, n_epochs: int, options: Mapping[str, Any] | None = None) -> int:
    """Epochs of every encoder that a remedy takes when its joint network is trained for `n_epochs`.

    The baseline it is fairly compared with is a plain joint training of as many epochs.
    """
    info = REMEDIES[remedy]
    epochs = info.trainings * n_epochs
    if remedy == "gradient_blending":
        probes = {**info.options, **(options or {})}["probe_epochs"]
        epochs += 2 * max(2, min(probes, n_epochs))
    return round(epochs)

"""What the numbers of an analysis mean, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Evidence", "FailureMode", "advice", "failure_mode", "headline"]

FailureMode = Literal["encoder competition", "fusion overfit", "none"]


@dataclass(frozen=True)
class Evidence:
    """The numbers that a verdict rests on; mappings are by modality.

    Attributes
    ----------
    alone : dict of str to float
        Score of each modality's own network.
    joint, best_combination : float
        Score of the joint network, and of the better of ensemble and stacking.
    gap, gap_error : float
        Best uni-modal score minus the joint one, and its standard error.
    headroom : float
        `best_combination` minus `joint`.
    retention : dict of str to float
    lost : tuple of str
        Modalities whose encoder learned less in joint training.
    winner : str or None
    metric : str
        In words.
    """

    alone: Mapping[str, float]
    joint: float
    best_combination: float
    gap: float
    gap_error: float
    headroom: float
    retention: Mapping[str, float]
    lost: tuple[str, ...]
    winner: str | None
    metric: str

    @property
    def best(self) -> str:
        """The modality that is best alone."""
        return max(self.alone, key=lambda name: self.alone[name])

    @property
    def fails(self) -> bool:
        """Whether the joint network is worse than one modality, beyond noise."""
        return self.gap > max(0.01, 2 * self.gap_error)


def failure_mode(e: Evidence) -> FailureMode:
    """Which of two different things went wrong, if any.

    *Fusion overfit*: the joint network is worse than its best modality, although that one's encoder learned
    all
    it learns alone: a joint head that read it only would do better.
    *Encoder competition*: otherwise, some encoder learned less than it does alone.
    """
    if e.fails and e.best not in e.lost:
        return "fusion overfit"
    return "encoder competition" if e.lost else "none"


def headline(e: Evidence) -> str:
    """The result in one sentence."""
    mode = failure_mode(e)
    against = f"joint {e.metric} {e.joint:.3f}, best alone {e.alone[e.best]:.3f} ({e.best})"
    if mode == "encoder competition":
        losers = _and(e.lost)
        kept = _and([f"{100 * e.retention[name]:.0f} %" for name in e.lost])
        one = len(e.lost) == 1
        who = f"{e.winner} wins and {losers} {'loses' if one else 'lose'}" if e.winner else None
        whose = "its encoder keeps" if one else "their encoders keep"
        cost = "and the joint score suffers" if e.fails else "but the joint score does not suffer"
        said = who or f"Joint training weakens {losers}"
        learned = "it learns" if one else "they learn"
        return f"{said}: {whose} {kept} of what {learned} alone, {cost} ({against})."
    if mode == "fusion overfit":
        return (
            f"The encoder of {e.best} is intact but the joint head over-uses weaker modalities: "
            f"{e.best} alone "
            f"is better ({against})."
        )
    least = min(e.retention, key=lambda name: _number(e.retention[name]))
    if e.gap > 0.01:
        return (
            f"No competition here: the joint network's deficit is within noise ({against}), and "
            "every encoder keeps "
            f"what it learns alone."
        )
    return (
        f"No competition here: the joint network is as good as any modality alone ({against}), "
        "and the encoders keep "
        f"what they learn alone (least: {least}, {100 * e.retention[least]:.0f} %)."
    )


def advice(e: Evidence) -> list[tuple[str, str]]:
    """What to do and why, most promising first.

    Returns
    -------
    list of (action, reason)
        Actions name remedies of `workbench.modality.REMEDIES`, or "drop <modality>", or "leave as it is".
    """
    found = []
    weak = [
        name for name in e.alone if e.alone[e.best] - e.alone[name] > max(0.1, 0.2 * abs(e.alone[e.best]))
    ]
    kept = {name: _number(value) for name, value in e.retention.items()}
    if e.fails:
        why = f"{e.best} alone scores {e.gap:.3f} more than all together"
        if weak:
            found.append(("weighted_ensemble", f"{why}; weigh the modalities by how good each is"))
            found += [
                (f"drop {name}", f"it is far weaker than {e.best} and costs more than it brings")
                for name in weak
            ]
        found.append(
            ("early_stopping", "the joint head fits the training rows long after it stopped generalising")
        )
    elif e.headroom > 0.01 or min(kept.values()) < 0.9:
        why = (
            f"combining the modalities' own networks scores {e.headroom:.3f} more"
            if e.headroom > 0.01
            else f"the encoder of {min(kept, key=kept.__getitem__)} "
            f"keeps {100 * min(kept.values()):.0f} % only"
        )
        found += [
            ("auxiliary", f"{why}; a loss of its own makes each encoder learn"),
            ("modality_dropout", "no encoder can lean on another that may be missing"),
            ("mmpareto", "the same losses, combined without conflict"),
            ("umt", "encoders are held near those trained alone"),
        ]
    elif e.lost:
        found.append(
            ("auxiliary", f"the encoder of {_and(e.lost)} learns less than alone, though the score is fine")
        )
    if not found:
        found.append(("leave as it is", "joint training loses nothing that could be measured"))
    elif not e.fails or not weak:
        found.append(("race", "no remedy is best everywhere: compare them on this table's validation rows"))
    return found


def _number(value: float) -> float:
    return 1.0 if np.isnan(value) else float(value)


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

"""What the numbers of an analysis mean, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Evidence", "FailureMode", "advice", "failure_mode", "headline"]

FailureMode = Literal["encoder competition", "fusion overfit", "none"]

#: A score has to be better by more than this, and by more than two standard errors, to count as better.
LEAST_GAP = 0.01


@dataclass(frozen=True)
class Evidence:
    """The numbers that a verdict rests on; mappings are by modality.

    Attributes
    ----------
    alone : dict of str to float
        Score of each modality's own network.
    joint : float
        Score of the joint network.
    combination : str
        The better of "ensemble" and "stacking", of the modalities' own networks.
    gap, gap_error : float
        Best uni-modal score minus the joint one, and its standard error.
    headroom, headroom_error : float
        The combination's score minus the joint one, and its standard error.
    retention, retention_error : dict of str to float
        Share of what an encoder learns alone that it also learns in joint training.
    delta : dict of str to float
        Score of the probe of the encoder trained alone, less that of the jointly trained one.
    lost : tuple of str
        Modalities whose encoder learned less in joint training, beyond noise.
    winner : str or None
    metric : str
        In words.
    """

    alone: Mapping[str, float]
    joint: float
    combination: str
    gap: float
    gap_error: float
    headroom: float
    headroom_error: float
    retention: Mapping[str, float]
    retention_error: Mapping[str, float]
    delta: Mapping[str, float]
    lost: tuple[str, ...]
    winner: str | None
    metric: str

    @property
    def best(self) -> str:
        """The modality that is best alone."""
        return max(self.alone, key=lambda name: self.alone[name])

    @property
    def fails(self) -> bool:
        """Whether the joint network is worse than one modality alone, beyond noise."""
        return self.gap > max(LEAST_GAP, 2 * self.gap_error)

    @property
    def weakened(self) -> tuple[str, ...]:
        """The modalities whose encoders joint training harmed.

        Those that lost beyond noise, and the best one where most of a gap is its encoder's loss: the gap is
        that loss plus what the joint head makes of the encoder, and a loss that varies much from seed to seed
        may be large and yet not be beyond noise.
        """
        if self.fails and self.best not in self.lost and self.delta[self.best] > self.gap / 2:
            return (*self.lost, self.best)
        return self.lost

    @property
    def wastes(self) -> bool:
        """Whether it is worse than a combination of the modalities' own networks, beyond noise."""
        return self.headroom > max(LEAST_GAP, 2 * self.headroom_error)


def failure_mode(e: Evidence) -> FailureMode:
    """Which of two different things went wrong, if any.

    *Fusion overfit*: the joint network is worse than its best modality, although that one's encoder learned
    what it learns alone, or most of it: a joint head that read it only would do better.

    *Encoder competition*: some encoder learned less than it does alone, and it shows in the score. Where the
    modalities are about equally good no gap to the best of them need open, so the joint network is also
    compared with what the encoders reach that were trained apart: by the theory, an ensemble of these is
    what competition costs.

    *None*: an encoder may still have learned less than alone, at no cost to the score.
    """
    if e.fails and e.best not in e.weakened:
        return "fusion overfit"
    return "encoder competition" if e.weakened and (e.fails or e.wastes) else "none"


def headline(e: Evidence) -> str:
    """The result in one sentence."""
    mode = failure_mode(e)
    against = f"joint {e.metric} {e.joint:.3f}, best alone {e.alone[e.best]:.3f} ({e.best})"
    if mode == "fusion overfit":
        intact = "Every encoder is intact"
        if e.lost:
            others = _and([f"{name}'s keeps {_kept(e, name)}" for name in e.lost])
            intact = f"The encoder of {e.best} is intact ({others})"
        return (
            f"{intact}, but the joint head over-uses weaker modalities: {e.best} alone is better ({against})."
        )
    one, shares = len(e.weakened) == 1, _and([_kept(e, name) for name in e.weakened])
    if mode == "encoder competition":
        losers = _and(e.weakened)
        said = f"Joint training weakens {losers}"
        if e.winner and e.winner not in e.weakened:
            said = f"{e.winner} wins and {losers} {'loses' if one else 'lose'}"
        cost = f"{e.best} alone" if e.fails else _COMBINATIONS[e.combination]
        cost = f"{cost} is better by {e.gap if e.fails else e.headroom:.3f}"
        return (
            f"{said}: {'its encoder keeps' if one else 'their encoders keep'} {shares} of what "
            f"{'it learns' if one else 'they learn'} alone, and {cost} ({against})."
        )
    better = e.gap < -max(LEAST_GAP, 2 * e.gap_error)
    said = (
        f"the joint network is {'better than' if better else 'as good, within noise, as'} any modality alone"
    )
    if e.weakened:
        whose = _and([f"{name}'s" for name in e.weakened])
        keeps, learns = ("encoder keeps", "it learns") if one else ("encoders keep", "they learn")
        return (
            f"No competition here: {said} ({against}); {whose} {keeps} {shares} of what {learns} alone, "
            "at no cost to the score."
        )
    least = min(e.retention, key=lambda name: _number(e.retention[name]))
    return (
        f"No competition here: {said} ({against}), and no encoder learns less than alone beyond noise "
        f"(least: {least}, which keeps {_kept(e, least)})."
    )


_COMBINATIONS = {"ensemble": "an ensemble of separate networks", "stacking": "a stack of separate networks"}


def advice(e: Evidence, tried: str = "none") -> list[tuple[str, str]]:
    """What to do and why, most promising first.

    Parameters
    ----------
    e : Evidence
    tried : str
        The remedy that the joint network was trained with; it is not advised again.

    Returns
    -------
    list of (action, reason)
        Actions name remedies of `workbench.modality.REMEDIES`, or "drop <modality>", "race" or "leave as it
        is".
    """
    found: list[tuple[str, str]] = []
    best = e.alone[e.best]
    weak = [name for name in e.alone if best - e.alone[name] > max(0.1, 0.2 * abs(best))]
    kept = {name: _number(value) for name, value in e.retention.items()}
    least = min(kept, key=lambda name: kept[name])
    if e.fails:
        if weak:
            why = f"{e.best} alone scores {e.gap:.3f} more than all together"
            found.append(("weighted_ensemble", f"{why}; weigh the modalities by how good each is"))
            found += [
                (f"drop {name}", f"it is far weaker than {e.best} and costs more than it brings")
                for name in weak
            ]
        found.append(
            ("early_stopping", "the joint head fits the training rows long after it stopped generalising")
        )
    elif e.headroom > LEAST_GAP or kept[least] < 0.9:
        doubt = "" if e.wastes or least in e.lost else ", which may be noise"
        why = (
            f"combining the modalities' own networks scores {e.headroom:.3f} more{doubt}"
            if e.headroom > LEAST_GAP
            else f"the encoder of {least} keeps {_kept(e, least)} only{doubt}"
        )
        found += [
            ("auxiliary", f"{why}; a loss of its own makes each encoder learn"),
            ("modality_dropout", "no encoder can lean on another that may be missing"),
            ("mmpareto", "the same losses, combined without conflict"),
            ("umt", "encoders are held near those trained alone"),
        ]
    elif e.lost:
        found.append(
            (
                "auxiliary",
                f"the encoder of {_and(e.lost)} learns less than alone: no loss of score here, but one where "
                "the other modalities are missing",
            )
        )
    found = [step for step in found if step[0] != tried]
    if not found:
        found.append(("leave as it is", "joint training loses nothing that could be measured"))
    elif not e.fails or not weak:
        found.append(("race", "no remedy is best everywhere: compare them on this table's validation rows"))
    return found


def _kept(e: Evidence, name: str) -> str:
    """Retention in per cent, with two standard errors."""
    share, error = e.retention[name], e.retention_error[name]
    if np.isnan(share):
        return "nothing measurable"
    return f"{100 * share:.0f} ± {200 * error:.0f} %" if np.isfinite(error) else f"{100 * share:.0f} %"


def _number(value: float) -> float:
    return 1.0 if np.isnan(value) else float(value)


def _and(names: Sequence[str]) -> str:
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} and {names[-1]}"

"""Tables whose columns belong to several modalities: fusion networks, competition between modalities,
remedies.

Importing this package does not import torch.
"""

from __future__ import annotations

from workbench.modality.analyzer import ModalityCompetitionAnalyzer
from workbench.modality.columns import ModalitiesError, guess_modalities
from workbench.modality.fusion import LateFusionClassifier, LateFusionRegressor
from workbench.modality.race import RemedyRace, candidates
from workbench.modality.remedies import REMEDIES

__all__ = [
    "REMEDIES",
    "LateFusionClassifier",
    "LateFusionRegressor",
    "ModalitiesError",
    "ModalityCompetitionAnalyzer",
    "RemedyRace",
    "candidates",
    "guess_modalities",
]

"""Click-through-rate prediction: fields, models, metrics. Importing this package does not import torch."""

from __future__ import annotations

from workbench.ctr import metrics, splits
from workbench.ctr._columns import FieldsError
from workbench.ctr.audit import FieldWarning, UnseenValuesWarning
from workbench.ctr.encoder import FieldEncoder
from workbench.ctr.models import (
    DCNv2Classifier,
    DeepFMClassifier,
    DINClassifier,
    DLRMClassifier,
    FMClassifier,
    LRClassifier,
)
from workbench.ctr.progressive import progressive_evaluation

__all__ = [
    "DCNv2Classifier",
    "DINClassifier",
    "DLRMClassifier",
    "DeepFMClassifier",
    "FMClassifier",
    "FieldEncoder",
    "FieldWarning",
    "FieldsError",
    "LRClassifier",
    "UnseenValuesWarning",
    "metrics",
    "progressive_evaluation",
    "splits",
]

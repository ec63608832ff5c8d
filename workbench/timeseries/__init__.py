"""Representations of time series: estimators, augmentations and evaluation.

Estimators take series as ``(n, T, d)``, NaN-padded at the end where lengths differ, or ``(n, T)``.
"""

from __future__ import annotations

from workbench.timeseries.classifier import CSLClassifier
from workbench.timeseries.csl import CSL

__all__ = ["CSL", "CSLClassifier"]

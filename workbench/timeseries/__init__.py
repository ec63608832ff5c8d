"""Representations of time series: estimators, augmentations and evaluation.

Estimators take series as ``(n, T, d)``, NaN-padded at the end where lengths differ, or ``(n, T)``.
"""

from __future__ import annotations

from workbench.timeseries.classifier import CSLClassifier
from workbench.timeseries.csl import CSL
from workbench.timeseries.fusion import Concat, Projection, WeightedSum
from workbench.timeseries.tloss import TLoss
from workbench.timeseries.tnc import TNC
from workbench.timeseries.ts2vec import TS2Vec
from workbench.timeseries.tst import TST
from workbench.timeseries.tstcc import TSTCC
from workbench.timeseries.units_anomaly import UniTSAnomalyDetector
from workbench.timeseries.units_classifier import UniTSClassifier
from workbench.timeseries.units_clusterer import UniTSClusterer
from workbench.timeseries.units_forecaster import UniTSForecaster
from workbench.timeseries.units_imputer import UniTSImputer
from workbench.timeseries.units_regressor import UniTSRegressor

__all__ = [
    "CSL",
    "TNC",
    "TST",
    "TSTCC",
    "CSLClassifier",
    "Concat",
    "Projection",
    "TLoss",
    "TS2Vec",
    "UniTSAnomalyDetector",
    "UniTSClassifier",
    "UniTSClusterer",
    "UniTSForecaster",
    "UniTSImputer",
    "UniTSRegressor",
    "WeightedSum",
]

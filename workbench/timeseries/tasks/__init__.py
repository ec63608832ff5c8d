"""Recipes of the tasks on series: each trains, and judges beside the untrained control and peers."""

from __future__ import annotations

from workbench.timeseries.tasks._refusals import channels, refusal_of, refuse, refuse_columns
from workbench.timeseries.tasks.baselines import baselines
from workbench.timeseries.tasks.classify import classify
from workbench.timeseries.tasks.cluster import cluster
from workbench.timeseries.tasks.detect import detect
from workbench.timeseries.tasks.forecast import forecast
from workbench.timeseries.tasks.impute import impute
from workbench.timeseries.tasks.regress import regress

__all__ = [
    "baselines",
    "channels",
    "classify",
    "cluster",
    "detect",
    "forecast",
    "impute",
    "refuse",
    "refuse_columns",
    "regress",
]

for _recipe in (classify, cluster, detect, forecast, impute, regress):
    # Asked before a run is queued, see `Store.check`.
    setattr(_recipe, "refuse", refusal_of(f"timeseries.{_recipe.__name__}"))  # noqa: B010

"""The recipe of a task's peers alone: what is to be beaten, without training an encoder."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone

from workbench.arrays import Data, Split
from workbench.errors import UsageError
from workbench.report import Report, Reporter
from workbench.timeseries.tasks.classify import classify
from workbench.timeseries.tasks.cluster import cluster
from workbench.timeseries.tasks.detect import detect
from workbench.timeseries.tasks.forecast import forecast
from workbench.timeseries.tasks.impute import impute
from workbench.timeseries.tasks.regress import regress

__all__ = ["baselines"]

RECIPE = "timeseries.baselines"

#: Recipe of a task → its function, what it is judged by, and whether more is better.
_TASKS: dict[str, tuple[Any, tuple[str, ...], bool]] = {
    "timeseries.classify": (classify, ("test_accuracy",), True),
    "timeseries.regress": (regress, ("test_rmse",), False),
    "timeseries.cluster": (cluster, ("nmi", "silhouette"), True),
    "timeseries.forecast": (forecast, ("mse",), False),
    "timeseries.detect": (detect, ("vus_pr",), True),
    "timeseries.impute": (impute, ("mse",), False),
}


def baselines(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Run the peers of a task, by the task's own split and metrics.

    Parameters
    ----------
    estimator : SeriesTask
        Says which task, its horizon, groups or window; its encoders stay untrained.
    data : Data
    split : Split
    seed : int
    reporter : Reporter

    Returns
    -------
    Report
        The scores are the best peer's; the table ``scores`` has them all. There is no estimator to keep.
    """
    name = getattr(estimator, "_recipe", "")
    if name not in _TASKS:
        raise UsageError(f"{type(estimator).__name__} is not a task on series: it has no baselines.")
    task, metrics, largest = _TASKS[name]
    # Of these nothing is kept: the quickest will do.
    control = clone(estimator).set_params(encoders="TSTCC", pretrain_epochs=0)
    if "mode" in control.get_params(deep=False):  # groups are found, not trained
        control.set_params(mode="freeze")
    table = task(control, data, split, seed, reporter, peers=True).tables["scores"].dropna()
    table = table[~table["model"].isin(["trained", "untrained"])].reset_index(drop=True)
    judged = next((found for m in metrics if len(found := table[table["metric"] == m])), None)
    if judged is None:
        return Report(RECIPE, "There is nothing to judge the peers by.", {}, {"scores": table})
    best = judged.loc[judged["value"].idxmax() if largest else judged["value"].idxmin()]
    mine = table[table["model"] == best["model"]]
    scores = {str(metric): float(value) for metric, value in zip(mine["metric"], mine["value"], strict=True)}
    headline = f"Best of {len(judged)} peers: {best['model']}, {best['metric']} {best['value']:.3g}."
    return Report(RECIPE, headline, scores, {"scores": table})

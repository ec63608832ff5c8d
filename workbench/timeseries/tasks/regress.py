"""The recipe of extrinsic regression: a number for every series."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from workbench.arrays import Data, Split
from workbench.errors import DatasetError
from workbench.report import Report, Reporter
from workbench.timeseries.tasks._peers import regressors
from workbench.timeseries.tasks._shared import (
    Judged,
    best_peer,
    fit_both,
    flat_scores,
    losses,
    run_peers,
    score_table,
    wanted,
)

__all__ = ["regress"]

RECIPE = "timeseries.regress"


def regress(
    estimator: Any,
    data: Data,
    split: Split,
    seed: int,
    reporter: Reporter,
    *,
    peers: bool | None = None,
) -> Report:
    """Train a regressor of series on the train part and judge it on the test part.

    Missing numbers and the role ``domain`` count as in :func:`~workbench.timeseries.tasks.classify`.

    Parameters
    ----------
    estimator : UniTSRegressor
    data : Data
    split : Split
    seed : int
        Becomes ``random_state`` where that is None; also of the split and the peers.
    reporter : Reporter
    peers : bool, optional
        Whether peers run too; by default unless the split is the inner one, which only trials are judged by.

    Returns
    -------
    Report
        Scores ``test_rmse``, ``test_mae`` and ``test_r2`` with their ``untrained_`` counterparts, and
        ``seconds`` of training. Tables scores (with the peers'), predictions and curve.
    """
    series = data.to_series()
    if series.y is None:
        raise DatasetError(f"{data.ref} has no numbers to foretell: give a column the role 'label'.")
    try:
        numbers = np.asarray(series.y, dtype=float)
    except (TypeError, ValueError):
        raise DatasetError(
            f"The labels of {data.ref} are no numbers: classify these series, or give another column the "
            "role 'label'."
        ) from None
    # As every other recipe divides them: an encoder pre-trained by itself has not seen this test part.
    train, test = split.indices(len(series.X), y=series.y, column=series.split, seed=seed)
    target = np.zeros(len(train), bool) if series.domain is None else series.domain[train] == "target"
    learns, tested = train[~np.isnan(numbers[train]) & ~target], test[~np.isnan(numbers[test])]
    if series.domain is not None:
        tested = tested[series.domain[tested] == "target"]
    if len(learns) < 2 or len(tested) < 2:
        raise DatasetError("Two series with a number are needed to learn from, and two to judge by.")
    reporter.plan({"train": 10.0, "untrained": 3.0, "peers": 2.0})

    domain = None if series.domain is None else series.domain[train]
    fitted, seconds = fit_both(
        estimator, seed, lambda model: model.fit(series.X[train], numbers[train], domain), reporter
    )
    trained = fitted["trained"]
    predicted = {name: model.predict(series.X[tested]) for name, model in fitted.items()}
    with reporter.stage("peers"):
        asked = regressors(series.X[learns], numbers[learns], series.X[tested], seed)
        judge = partial(_scores, numbers[tested])
        found, times = run_peers(wanted(asked, peers, split), reporter, judge if peers else None)
    seconds |= times
    judged: Judged = {name: judge(values) for name, values in (predicted | found).items()}
    table = pd.DataFrame(
        {
            "series": tested,
            "id": series.ids[tested],
            "true": numbers[tested],
            "predicted": predicted["trained"],
        }
    )
    tables = {"scores": score_table(judged, seconds), "predictions": table, "curve": losses(trained)}
    scores = flat_scores(judged, seconds)
    headline = (
        f"Test RMSE {scores['test_rmse']:.4g} on {len(tested)} series; untrained "
        f"{scores['untrained_test_rmse']:.4g}{best_peer(judged, 'test_rmse', largest=False)}."
    )
    return Report(RECIPE, headline, scores, tables, trained)


def _scores(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    return {
        "test_rmse": float(root_mean_squared_error(true, predicted)),
        "test_mae": float(mean_absolute_error(true, predicted)),
        "test_r2": float(r2_score(true, predicted)),
    }

"""What a task on series is bound to fail on is refused by the command and the API before a run is queued."""

import numpy as np
import pandas as pd
import pytest

from workbench.cli import main
from workbench.errors import DatasetError


def publish(store, X, y=None, **options):
    return store.datasets.publish_arrays(X, y, name="waves", **options)


NOISE = np.random.default_rng(0).normal(size=(10, 40, 2))
LABELS = np.array(["a", "b"] * 5)


@pytest.mark.parametrize(
    ("X", "y", "estimator", "params", "sentence"),
    [
        (NOISE, np.full(10, "a"), "UniTSClassifier", [], "All labelled series are of one class"),
        (NOISE, LABELS, "UniTSForecaster", ["horizon=40"], "foretell fewer steps"),
        (NOISE * [1, np.nan], LABELS, "UniTSImputer", [], "holds no value"),
        (np.ones_like(NOISE), LABELS, "UniTSAnomalyDetector", [], "Every channel is constant"),
        (NOISE[:1], LABELS[:1], "UniTSClassifier", [], "One series is too few"),
        (NOISE, LABELS, "TS2Vec", ["batch_size=64"], "more than the 7 series"),
    ],
)
def test_by_command(store, capsys, X, y, estimator, params, sentence):
    data = publish(store, X, y)
    words = [word for one in params for word in ("--param", one)]
    asked = ["--estimator", f"timeseries.{estimator}", "--data", data.ref, *words]
    code = main(["submit", *asked, "--store", str(store.dir.root)])
    said = capsys.readouterr().err
    assert code != 0
    assert sentence in said
    assert "Traceback" not in said
    assert store.runs() == []


def test_what_can_be_done_is_not_refused(store):
    data = publish(store, NOISE, LABELS)
    for name in ("UniTSClassifier", "UniTSClusterer", "UniTSImputer", "TS2Vec", "CSL"):
        store.check(f"timeseries.{name}", data, params={"n_clusters": 2} if "Cl" in name else {})
    with pytest.raises(DatasetError, match="cannot be put into 9 groups"):
        store.check("timeseries.UniTSClusterer", data.ref, params={"n_clusters": 9})
    store.check("timeseries.UniTSAnomalyDetector", data, params={"window": "wide"})  # `submit` names it
    frame = pd.DataFrame({"x": range(20), "label": LABELS.tolist() * 2})
    table = store.datasets.publish_frame(frame, "table")
    store.check("sklearn.linear_model:LogisticRegression", table)  # no recipe of series

import pandas as pd
from sklearn.base import clone
from sklearn.feature_selection import f_classif
from sklearn.neighbors import KNeighborsClassifier

from workbench.report import Report


def band_ranking(estimator, data, split, seed, reporter):
    """Rank the bands by how well they tell the classes apart, and score the nearest neighbour."""
    series = data.to_series()
    train, test = split.indices(len(series.X), y=series.y, column=series.split, seed=seed)
    with reporter.stage("bands"):
        fitted = clone(estimator).fit(series.X[train])
        features = fitted.transform(series.X)
        reporter.progress(1, 2)
        neighbour = KNeighborsClassifier(1).fit(features[train], series.y[train])
        accuracy = float(neighbour.score(features[test], series.y[test]))
        reporter.metric("accuracy", accuracy, step=1)
        reporter.log(f"{features.shape[1]} bands")
    score = f_classif(features[train], series.y[train])[0]
    importance = pd.DataFrame(
        {
            "component": [f"band {i + 1}" for i in range(len(score))],
            "kind": "band",
            "score": score,
            "cost": 1.0,
            "kept": score >= score.mean(),
        }
    )
    headline = f"{importance['kept'].sum()} of {len(score)} bands carry the classes; accuracy {accuracy:.3f}."
    return Report(
        "acme.band_ranking", headline, {"test_accuracy": accuracy}, {"importance": importance}, fitted
    )

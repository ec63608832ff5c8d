"""The mean of each class over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from workbench.arrays import SeriesData

__all__ = ["class_means"]


def class_means(data: SeriesData) -> pd.DataFrame:
    """Mean and standard deviation at each step: ``label, channel, step, mean, sd, count``.

    Without labels all series together, under the label ``"all"``. Padding and missing values are left out.
    """
    import pandas as pd

    labels = np.full(len(data.X), "all") if data.y is None else pd.Series(data.y).astype(str).to_numpy()
    T, d = data.X.shape[1:]
    parts = []
    for label in np.unique(labels.astype(str)).tolist():
        X = data.X[labels == label].astype(float)
        present = ~np.isnan(X)
        count = present.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(present, X, 0).sum(axis=0) / count
            deviation = np.where(present, X - mean, 0)
            sd = np.sqrt((deviation**2).sum(axis=0) / count)
        parts.append(
            pd.DataFrame(
                {
                    "label": label,
                    "channel": np.repeat(data.channels, T),
                    "step": np.tile(np.arange(T), d),
                    "mean": mean.T.ravel(),
                    "sd": sd.T.ravel(),
                    "count": count.T.ravel(),
                }
            )
        )
    frame = pd.concat(parts, ignore_index=True)
    return frame[frame["count"] > 0].reset_index(drop=True)

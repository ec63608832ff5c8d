from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted


class BandPower(TransformerMixin, BaseEstimator):
    """Share of a series' power in equal frequency bands.

    Parameters
    ----------
    n_bands : int, default=4
        Number of bands. They divide the frequencies evenly.
    scale : {"linear", "log"}, default="linear"
        Scale of the powers.
    """

    _recipe = "acme.band_ranking"
    _parameter_constraints = {
        "n_bands": [Interval(Integral, 1, 64, closed="both")],
        "scale": [StrOptions({"linear", "log"})],
    }

    def __init__(self, n_bands=4, scale="linear"):
        self.n_bands = n_bands
        self.scale = scale

    def fit(self, X, y=None):
        """Learn nothing but the mean share of each band; X has shape (n, T, d)."""
        self._validate_params()
        self.mean_ = self._shares(X).mean(axis=0)
        return self

    def transform(self, X):
        """Shares by band, relative to the mean of the training series; shape (n, n_bands)."""
        check_is_fitted(self)
        return self._shares(X) - self.mean_

    def _shares(self, X):
        power = (np.abs(np.fft.rfft(np.nan_to_num(X), axis=1)[:, 1:]) ** 2).sum(axis=2)
        bands = np.stack([part.sum(axis=1) for part in np.array_split(power, self.n_bands, axis=1)], axis=1)
        shares = bands / bands.sum(axis=1, keepdims=True)
        return np.log(shares) if self.scale == "log" else shares

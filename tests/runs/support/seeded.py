"""An estimator that scikit-learn knows, and that is random."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Seeded(ClassifierMixin, BaseEstimator):
    """Draws numbers from its random_state."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.drawn_ = np.random.default_rng(self.random_state).random(3)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

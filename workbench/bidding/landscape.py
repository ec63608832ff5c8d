"""The landscape of market prices: how likely a bid is to win, also from a log that hides lost prices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.bidding.log import ReplayLog

__all__ = ["PriceLandscape", "fit_win_curve"]


class PriceLandscape:
    """Distribution of the market price, by the Kaplan–Meier estimator.

    An auction that was won shows its price; a lost one only that the price was above the bid. Counting
    the won ones alone makes prices look too low; the product-limit estimator does not [1]_, [2]_.

    Attributes
    ----------
    prices_ : ndarray, shape (m,)
        Distinct observed prices, ascending.
    survival_ : ndarray, shape (m,)
        Probability that the price is above ``prices_[i]``.

    References
    ----------
    .. [1] Kaplan, Meier, "Nonparametric estimation from incomplete observations", JASA 1958.
    .. [2] Zhang, Zhou, Wang, Xu, "Bid-aware gradient descent for unbiased learning with censored data in
       display advertising", KDD 2016, section 3.
    """

    prices_: NDArray[np.float64]
    survival_: NDArray[np.float64]

    def fit(self, log: ReplayLog) -> PriceLandscape:
        """Estimate from a log; with every price known this is the empirical distribution."""
        won = log.won
        return self._estimate(log.price[won], log.bid[~won] if log.bid is not None else np.empty(0))

    @classmethod
    def from_counts(cls, counts: ArrayLike, *, smoothing: float = 0.0) -> PriceLandscape:
        """From a histogram over the prices 0, 1, 2, …; `smoothing` is added to every count (Laplace)."""
        mass = np.asarray(counts, dtype=np.float64) + smoothing
        found = cls()
        found.prices_ = np.arange(len(mass), dtype=np.float64)
        found.survival_ = 1.0 - np.cumsum(mass) / mass.sum()
        return found

    def _estimate(self, known: NDArray[np.float64], censored: NDArray[np.float64]) -> PriceLandscape:
        self.prices_, deaths = np.unique(known, return_counts=True)
        # An auction lost at bid b is at risk at prices up to b: a price equal to the bid would have won.
        at_risk = len(known) - np.searchsorted(np.sort(known), self.prices_, side="left")
        at_risk = at_risk + len(censored) - np.searchsorted(np.sort(censored), self.prices_, side="left")
        self.survival_ = np.cumprod(1.0 - deaths / at_risk, dtype=np.float64)
        return self

    def win_probability(self, bid: ArrayLike) -> NDArray[np.float64]:
        """Probability that the price is at most `bid`."""
        position = np.searchsorted(self.prices_, np.asarray(bid, dtype=np.float64), side="right")
        return 1.0 - np.r_[1.0, self.survival_][position]

    def pmf(self) -> NDArray[np.float64]:
        """Mass at each of `prices_`; sums to less than 1 where the largest auctions were all lost."""
        return -np.diff(np.r_[1.0, self.survival_])

    def expected_cost(self, bid: ArrayLike) -> NDArray[np.float64]:
        """Expected second-price payment of an auction entered with `bid` (0 when lost)."""
        position = np.searchsorted(self.prices_, np.asarray(bid, dtype=np.float64), side="right")
        return np.r_[0.0, np.cumsum(self.pmf() * self.prices_)][position]


def fit_win_curve(landscape: PriceLandscape, kind: str = "hyperbola") -> float:
    """Least-squares c of ORTB's win curves against the landscape.

    Parameters
    ----------
    landscape : PriceLandscape
    kind : {"hyperbola", "squared"}
        ``b / (c + b)`` or ``b² / (c² + b²)`` (Zhang, Yuan, Wang, KDD 2014, eqs. 9 and 12).

    Returns
    -------
    float
        The constant ``c``.
    """
    from scipy.optimize import minimize_scalar

    top = max(float(landscape.prices_[-1]), 1e-12)
    bids = np.linspace(0.0, top, 301)[1:]
    seen = landscape.win_probability(bids)

    def loss(log_c: float) -> float:
        c = np.exp(log_c)
        curve = bids / (c + bids) if kind == "hyperbola" else bids**2 / (c**2 + bids**2)
        return float(((curve - seen) ** 2).sum())

    found = minimize_scalar(loss, bounds=(np.log(top * 1e-4), np.log(top * 1e2)), method="bounded")
    return float(np.exp(found.x))

"""Bidders that follow a fixed rule once it is fitted."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from workbench.bidding import formulas
from workbench.bidding.base import FixedPolicy, MarketBidder, ReplayBidder
from workbench.bidding.landscape import PriceLandscape, fit_win_curve
from workbench.bidding.log import ReplayLog
from workbench.bidding.market import AuctionMarket
from workbench.bidding.replay import ReplayMarket
from workbench.errors import DatasetError, UsageError

__all__ = [
    "LinearBidder",
    "MCPCBidder",
    "ManualBidder",
    "ORTBBidder",
    "TruthfulBidder",
    "UniformScaleBidder",
    "cost_of_a_click",
]

_POSITIVE = Interval(Real, 0, None, closed="neither")


class ManualBidder(MarketBidder):
    """The merchants' own bids, as the log has them."""

    def _policy(self, market: AuctionMarket) -> FixedPolicy:
        return FixedPolicy(lambda requests: requests.bid)

    def _fit_market(self, market: AuctionMarket) -> None:
        self.factor_ = 1.0


class UniformScaleBidder(MarketBidder):
    """All bids times one factor: budget over what would be paid without one.

    An auction without reserve does not change its winners when all bids are multiplied by the same number,
    and every price is multiplied with them. So this one number reaches what manual bids reach without
    budgets; whoever learns to bid has to beat it.

    Parameters
    ----------
    factor : float, optional
        By default the markets' budgets over the cost of manual bids without budgets, at most 1.

    Attributes
    ----------
    factor_ : float
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"factor": [_POSITIVE, None]}

    def __init__(self, factor: float | None = None) -> None:
        self.factor = factor

    def _fit_market(self, market: AuctionMarket) -> None:
        cost = market.manual.cost.sum(axis=(0, 2))
        limited = np.isfinite(market.budgets) & (cost > 0)
        fraction = market.budgets[limited].sum() / cost[limited].sum() if limited.any() else 1.0
        self.factor_ = float(min(fraction, 1.0) if self.factor is None else self.factor)

    def _policy(self, market: AuctionMarket) -> FixedPolicy:
        return FixedPolicy(lambda requests: self.factor_ * requests.bid)


class TruthfulBidder(MarketBidder, ReplayBidder):
    """Bids what a click is worth.

    In a market a click is worth pcvr × ppb; in a replay an impression is worth pctr × `value_per_click`.

    Parameters
    ----------
    value_per_click : float, optional
        By default the log's.

    References
    ----------
    Vickrey, "Counterspeculation, auctions, and competitive sealed tenders", Journal of Finance 16, 1961.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"value_per_click": [_POSITIVE, None]}

    def __init__(self, value_per_click: float | None = None) -> None:
        self.value_per_click = value_per_click

    def _fit_replay(self, market: ReplayMarket) -> None:
        given = self.value_per_click
        self.value_per_click_ = float(market.log.value_per_click if given is None else given)

    def _fit_market(self, market: AuctionMarket) -> None:
        self.value_per_click_ = 1.0

    def _policy(self, market: AuctionMarket) -> FixedPolicy:
        return FixedPolicy(lambda requests: requests.value)

    def _replay_policy(self, market: ReplayMarket) -> FixedPolicy:
        return FixedPolicy(lambda step: step.pctr * self.value_per_click_)


class MCPCBidder(ReplayBidder):
    """Bids at most the cost of a click in training: ``eCPC · pctr``.

    Parameters
    ----------
    ecpc : float, optional
        By default cost over clicks of the training log.
    whole : bool, default=False
        Round bids down to whole numbers.

    References
    ----------
    Zhang, Yuan, Wang, Shen, "Real-time bidding benchmarking with iPinYou dataset", 2014, arXiv 1407.7073.
    """

    _recipe = "bidding.replay"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"ecpc": [_POSITIVE, None], "whole": ["boolean"]}

    def __init__(self, ecpc: float | None = None, whole: bool = False) -> None:
        self.ecpc = ecpc
        self.whole = whole

    def _fit_replay(self, market: ReplayMarket) -> None:
        self.ecpc_ = float(cost_of_a_click(market.log) if self.ecpc is None else self.ecpc)

    def _replay_policy(self, market: ReplayMarket) -> FixedPolicy:
        return FixedPolicy(lambda step: _whole(self.ecpc_ * step.pctr, self.whole))


class LinearBidder(MarketBidder, ReplayBidder):
    """Bids in proportion to the value.

    In a replay ``b0 · pctr / mean pctr``. In a market ``k_m · pcvr · ppb`` for a click, with one k for each
    merchant, found by letting all merchants adapt until spending meets the budgets.

    Parameters
    ----------
    base_bid : float, optional
        b0 of a replay; by default the largest one whose training spend fits the budget.
    mean_pctr : float, optional
        By default the training log's mean.
    whole : bool, default=False
        Round bids of a replay down to whole numbers.

    Attributes
    ----------
    base_bid_, mean_pctr_ : float
    factor_ : ndarray of shape (n_merchants,)
        k, in a market.

    References
    ----------
    Perlich et al., "Bid optimizing and inventory scoring in targeted online advertising", KDD 2012.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "base_bid": [_POSITIVE, None],
        "mean_pctr": [_POSITIVE, None],
        "whole": ["boolean"],
    }

    def __init__(
        self, base_bid: float | None = None, mean_pctr: float | None = None, whole: bool = False
    ) -> None:
        self.base_bid = base_bid
        self.mean_pctr = mean_pctr
        self.whole = whole

    def _fit_replay(self, market: ReplayMarket) -> None:
        _some_value(market.log)
        self.mean_pctr_ = float(market.log.pctr.mean() if self.mean_pctr is None else self.mean_pctr)
        if self.base_bid is not None:
            self.base_bid_ = float(self.base_bid)
            return
        top = float(np.quantile(market.log.price, 0.999)) * 20
        self.base_bid_ = _largest_affordable(market, lambda b: self._bids(market.log.pctr, b), top)

    def _bids(self, pctr: NDArray[np.float64], base_bid: float) -> NDArray[np.float64]:
        return _whole(formulas.linear(pctr, base_bid, self.mean_pctr_), self.whole)

    def _replay_policy(self, market: ReplayMarket) -> FixedPolicy:
        return FixedPolicy(lambda step: self._bids(step.pctr, self.base_bid_))

    def _fit_market(self, market: AuctionMarket) -> None:
        log = market.log
        value = log.pcvr * log.ppb
        self.factor_ = meet_budgets(market, lambda k: k[log.merchant] * value, _first_factor(market))

    def _policy(self, market: AuctionMarket) -> FixedPolicy:
        return FixedPolicy(lambda requests: self.factor_[requests.merchant] * requests.value)


class ORTBBidder(MarketBidder, ReplayBidder):
    """Optimal real-time bidding: concave in the value, for a win curve fitted to the landscape of prices.

    Parameters
    ----------
    curve : {"hyperbola", "squared"}, default="hyperbola"
        Win curve ``b / (c + b)`` (ORTB1) or ``b² / (c² + b²)`` (ORTB2).
    c : float, optional
        Of the win curve; by default fitted by least squares.
    lam : float, optional
        Multiplier of the budget; by default the smallest whose training spend fits it.
    whole : bool, default=False
        Round bids down to whole numbers.

    Attributes
    ----------
    c_ : float
    lam_ : float or ndarray of shape (n_merchants,)

    References
    ----------
    Zhang, Yuan, Wang, "Optimal real-time bidding for display advertising", KDD 2014.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "curve": [StrOptions({"hyperbola", "squared"})],
        "c": [_POSITIVE, None],
        "lam": [_POSITIVE, None],
        "whole": ["boolean"],
    }

    def __init__(
        self,
        curve: Literal["hyperbola", "squared"] = "hyperbola",
        c: float | None = None,
        lam: float | None = None,
        whole: bool = False,
    ) -> None:
        self.curve = curve
        self.c = c
        self.lam = lam
        self.whole = whole

    lam_: Any

    def _bids(self, value: NDArray[np.float64], lam: Any) -> NDArray[np.float64]:
        formula = formulas.ortb1 if self.curve == "hyperbola" else formulas.ortb2
        return _whole(np.maximum(formula(value, self.c_, lam), 0.0), self.whole)

    def _fit_replay(self, market: ReplayMarket) -> None:
        log = market.log
        _some_value(log)
        self.c_ = float(fit_win_curve(PriceLandscape().fit(log), self.curve) if self.c is None else self.c)
        if self.lam is not None:
            self.lam_ = float(self.lam)
            return
        scale = float(log.pctr.mean()) / max(float(log.price.mean()), 1e-12)
        inverse = _largest_affordable(market, lambda x: self._bids(log.pctr, scale / x), 1e6)
        self.lam_ = scale / inverse

    def _replay_policy(self, market: ReplayMarket) -> FixedPolicy:
        return FixedPolicy(lambda step: self._bids(step.pctr, self.lam_))

    def _fit_market(self, market: AuctionMarket) -> None:
        log = market.log
        busiest = market.log.merchants[int(log.presence.argmax())]
        landscape = PriceLandscape().fit(market.replay(busiest))
        self.c_ = float(fit_win_curve(landscape, self.curve) if self.c is None else self.c)
        value = log.pctr * log.pcvr * log.ppb

        def bids(k: NDArray[np.float64]) -> NDArray[np.float64]:
            return self._bids(value, 1.0 / k[log.merchant]) / np.maximum(log.pctr, 1e-12)

        self.lam_ = 1.0 / meet_budgets(market, bids, _first_factor(market))

    def _policy(self, market: AuctionMarket) -> FixedPolicy:
        def bids(requests: Any) -> NDArray[np.float64]:
            pctr = requests.log.pctr[requests.rows]
            return self._bids(pctr * requests.value, self.lam_[requests.merchant]) / np.maximum(pctr, 1e-12)

        return FixedPolicy(bids)


def meet_budgets(
    market: AuctionMarket, bids: Any, start: NDArray[np.float64], n_rounds: int = 40
) -> NDArray[np.float64]:
    """Multipliers of all merchants at which unlimited spending meets the budgets.

    Each round runs the log without budgets and moves every multiplier by the square root of budget over
    spending; those with no budget limit, or that spend nothing, keep theirs at most 10 % a round upward.
    """
    k, best, gap = start.copy(), start.copy(), np.inf
    free, limited = np.full(market.n_merchants, np.inf), np.isfinite(market.budgets)
    if not limited.any():
        return k
    for _ in range(n_rounds):
        spent = market.episode(budgets=free, feedback="expected").run(bids(k)).cost.sum(axis=(0, 2))
        now = float(np.abs(spent - market.budgets)[limited].sum())
        if now < gap:
            gap, best = now, k.copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(limited & (spent > 0), np.sqrt(market.budgets / spent), 1.1)
        k = np.where(limited, k * np.clip(ratio, 0.5, 1.1), k)
    return best


def _first_factor(market: AuctionMarket) -> NDArray[np.float64]:
    """Each merchant's own mean bid over its mean value of a click."""
    log, n = market.log, market.n_merchants
    bid = np.bincount(log.merchant, weights=log.bid, minlength=n)
    value = np.bincount(log.merchant, weights=log.pcvr * log.ppb, minlength=n)
    return np.where(value > 0, bid / np.maximum(value, 1e-12), 1.0)


def _largest_affordable(market: ReplayMarket, bids: Any, top: float) -> float:
    """By bisection in the logarithm, the largest parameter in (0, top] whose spend fits the budget."""
    if not np.isfinite(market.budget):
        raise UsageError("Give a budget (ReplayMarket(log, budget=…)), or the bidder's own parameter.")
    log, given = market.log, market.rate * len(market.log)
    low, high = np.log(top * 1e-9), np.log(top)
    for _ in range(60):
        middle = (low + high) / 2
        wanted = np.minimum(bids(np.exp(middle)), market.max_bid)
        won = wanted >= log.price if market.ties_win else wanted > log.price
        low, high = (middle, high) if log.price[won].sum() <= given else (low, middle)
    return float(np.exp(low))


def cost_of_a_click(log: ReplayLog) -> float:
    """What it costs to buy the whole log, over its clicks.

    Raises
    ------
    DatasetError
        If the log has no click.
    """
    clicks = log.click.sum()
    if clicks <= 0:
        raise DatasetError("The training log has no click, so its cost per click is unknown; give ecpc.")
    return float(np.nansum(log.price) / clicks)


def _some_value(log: ReplayLog) -> None:
    if not log.pctr.any():
        raise DatasetError("All pctr are 0, so that no auction is worth a bid; give predictions.")


def _whole(bids: Any, whole: bool) -> NDArray[np.float64]:
    values = np.asarray(bids, dtype=np.float64)
    return np.floor(values) if whole else values

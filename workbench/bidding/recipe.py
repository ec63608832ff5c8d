"""What a bidding run does: market, fit, try on other requests, compare, report."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from workbench.arrays import Data, Split, TableData
from workbench.bidding.base import BaseBidder, ReplayBidder
from workbench.bidding.experiment import BIDDERS, MarketComparison, make_bidder
from workbench.bidding.game import Clusters
from workbench.bidding.landscape import PriceLandscape
from workbench.bidding.learning import ClusterLearner
from workbench.bidding.log import BidLog
from workbench.bidding.market import AuctionMarket
from workbench.bidding.outcome import Outcome
from workbench.bidding.replay_recipe import holds_replay, replay
from workbench.bidding.steps import StepBidder
from workbench.errors import DatasetError
from workbench.report import Report, Reporter

__all__ = ["log_of", "simulate"]

RECIPE = "bidding.simulate"
BUDGET_SWEEP = (0.2, 1 / 3, 0.5, 0.75, 1.0)
#: The column that stands for each name of a log, if a role says so.
_ROLES = {"request": "request", "candidate": "merchant", "bid": "bid", "pctr": "pctr", "pcvr": "pcvr"}


def simulate(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Fit bidders on one part of a log's requests and compare them on the other.

    `estimator` is a `MarketComparison`, or one bidder, which is then set beside manual bids and the uniform
    scale with a third of the budget. The split is by request. A bidder's
    own log is handed to `replay`.
    """
    table = data.to_table()
    if isinstance(estimator, ReplayBidder) and holds_replay(table):
        return replay(estimator, data, split, seed, reporter)
    log, column = log_of(table)
    plan = estimator if isinstance(estimator, MarketComparison) else MarketComparison(bidders="Manual")
    plan = clone(plan)
    plan._validate_params()
    if getattr(plan, "random_state", None) is None:
        plan.set_params(random_state=seed)
    pairs = _bidders(estimator, plan, seed)
    train_rows, test_rows = split.indices(log.n_requests, column=column, seed=seed)
    train, test = plan.market(log.select(train_rows)), plan.market(log.select(test_rows))
    slow = {name: isinstance(bidder, (ClusterLearner, StepBidder)) for name, bidder in pairs}
    reporter.plan({name: 10.0 if slow[name] else 1.0 for name, _ in pairs} | {"report": 1.0})
    reporter.log(
        f"{log.n_requests:,} requests, {log.n_candidates:,} candidates, {log.n_merchants:,} merchants; "
        f"{len(train_rows):,} requests to learn from, {len(test_rows):,} to compare on."
    )
    fitted: dict[str, BaseBidder] = {}
    for name, bidder in pairs:
        with reporter.stage(name, weight=10.0 if slow[name] else 1.0):
            fitted[name] = bidder.fit(train)
    with reporter.stage("report", weight=1.0):
        clusters = Clusters.fit(train, int(plan.n_clusters), 3)
        outcomes = {name: _outcome(bidder, test, seed, clusters) for name, bidder in fitted.items()}
        tables = _tables(fitted, outcomes, train, test, clusters, seed)
    chosen = pairs[-1][0] if not isinstance(estimator, MarketComparison) else _best(outcomes)
    plan.names_, plan.bidders_ = list(fitted), list(fitted.values())
    model = plan if isinstance(estimator, MarketComparison) else fitted[chosen]
    return Report(RECIPE, _headline(chosen, outcomes, test), _scores(chosen, outcomes, test), tables, model)


def log_of(table: TableData) -> tuple[BidLog, np.ndarray[Any, Any] | None]:
    """The log that a table holds, and the split of its requests where the table has one."""
    frame = table.X.rename(
        columns={
            columns[0]: _ROLES[role]
            for role, columns in table.roles.items()
            if role in _ROLES and len(columns) == 1 and columns[0] in table.X
        }
    )
    if "merchant" not in frame and ("click" in frame or holds_replay(table)):
        raise DatasetError(
            "This is one bidder's log; compare bidders on it with bidding.ReplayComparison (a market needs "
            "the columns request, hour, consumer, merchant, bid, pctr, pcvr and ppb)."
        )
    if "hour" not in frame:
        # A log without a clock is taken as one hour in the order of its rows.
        order = pd.factorize(frame["request"])[0] if "request" in frame else np.zeros(len(frame))
        frame = frame.assign(hour=order / max(order.max() + 1, 1))
    if "consumer" not in frame:
        frame = frame.assign(consumer=0)
    log = BidLog.from_frame(frame)
    return log, None if table.split is None else np.asarray(table.split)[log.indptr[:-1]]


def _bidders(estimator: Any, plan: MarketComparison, seed: int) -> list[tuple[str, BaseBidder]]:
    if isinstance(estimator, MarketComparison):
        return plan.unfitted()
    given = clone(estimator)
    if "random_state" in given.get_params() and given.random_state is None:
        given.set_params(random_state=seed)
    name = next((n for n, (_, cls) in BIDDERS.items() if cls == type(given).__name__), type(given).__name__)
    beside = [(n, make_bidder(n)) for n in ("Manual", "UniformScale") if n != name]
    return [*beside, (name, given)]


def _outcome(bidder: BaseBidder, market: AuctionMarket, seed: int, clusters: Clusters) -> Outcome:
    found = bidder.simulate(market, seed=seed, count=True, groups=clusters.groups(market.log))
    assert isinstance(found, Outcome)  # noqa: S101  (a market of many gives sums by merchant)
    return found


def _best(outcomes: dict[str, Outcome]) -> str:
    return max(outcomes, key=lambda name: float(outcomes[name].revenue.sum()))


def _scores(chosen: str, outcomes: dict[str, Outcome], test: AuctionMarket) -> dict[str, float]:
    scores = dict(outcomes[chosen].scores())
    scores["unlimited_manual_gmv"] = float(test.manual.revenue.sum())
    scores |= {f"gmv_{name}": float(o.revenue.sum()) for name, o in outcomes.items()}
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def _headline(chosen: str, outcomes: dict[str, Outcome], test: AuctionMarket) -> str:
    gmv = float(outcomes[chosen].revenue.sum())
    text = f"{chosen} earns the merchants {gmv:,.2f}"
    if "Manual" in outcomes and chosen != "Manual":
        text += f", manual bids {float(outcomes['Manual'].revenue.sum()):,.2f}"
    if "UniformScale" in outcomes and chosen != "UniformScale":
        uniform = float(outcomes["UniformScale"].revenue.sum())
        verdict = "above" if gmv > uniform else "not above"
        text += f"; that is {verdict} the {uniform:,.2f} of one common factor on all bids"
    elif chosen == "UniformScale" and len(outcomes) > 2:
        text += "; no other bidder beats one common factor on all bids here"
    return text + "."


def _tables(
    fitted: dict[str, BaseBidder],
    outcomes: dict[str, Outcome],
    train: AuctionMarket,
    test: AuctionMarket,
    clusters: Clusters,
    seed: int,
) -> dict[str, pd.DataFrame]:
    n = clusters.n
    compared = pd.concat([o.table(clusters.merchant, n).assign(bidder=k) for k, o in outcomes.items()])
    tables = {
        "comparison": compared[["bidder", *compared.columns.drop("bidder")]].reset_index(drop=True),
        "importance": _importance(outcomes, clusters),
        "spend": _spend(outcomes, test),
        "landscape": _landscape(train),
        "budget_sweep": _sweep(fitted, test, seed, clusters),
        "winners": _winners(outcomes, clusters),
        "multipliers": _multipliers(fitted, test),
    }
    curves, actions = [], []
    for name, bidder in fitted.items():
        if hasattr(bidder, "history_"):
            history = pd.DataFrame(bidder.history_)
            long = history.assign(episode=np.arange(1, len(history) + 1)).melt("episode", var_name="name")
            curves.append(long.assign(bidder=name))
        if isinstance(bidder, ClusterLearner):
            actions.append(_actions(name, bidder, test, seed))
    if curves:
        tables["curve"] = pd.concat(curves, ignore_index=True)
    if actions:
        tables["actions"] = pd.concat(actions, ignore_index=True)
    return tables


def _importance(outcomes: dict[str, Outcome], clusters: Clusters) -> pd.DataFrame:
    """Merchant clusters by the GMV that the best bidder earns them, and what they pay for it."""
    best = outcomes[_best(outcomes)].table(clusters.merchant, clusters.n).iloc[:-1]
    return pd.DataFrame(
        {
            "component": best["cluster"],
            "kind": "merchant cluster",
            "score": best["gmv"],
            "cost": best["platform_revenue"],
            "kept": best["impressions"] > 0,
        }
    )


def _spend(outcomes: dict[str, Outcome], test: AuctionMarket) -> pd.DataFrame:
    """Share of all budgets spent so far, against the share of requests gone by."""
    parts = []
    for name, out in outcomes.items():
        given = float(out.budgets[np.isfinite(out.budgets)].sum())
        gone = np.cumsum(out.auctions) / out.auctions.sum()
        spent = np.cumsum(out.cost.sum(axis=(1, 2))) / given if given > 0 else np.zeros(len(gone))
        rows = {"time": np.r_[0.0, gone], "spent": np.r_[0.0, spent], "plan": np.r_[0.0, gone]}
        parts.append(pd.DataFrame(rows).assign(bidder=name))
    return pd.concat(parts, ignore_index=True)


def _landscape(train: AuctionMarket) -> pd.DataFrame:
    """Win probability against price for the merchant that is a candidate most often."""
    busiest = train.log.merchants[int(train.log.presence.argmax())]
    found = PriceLandscape().fit(train.replay(busiest))
    price = np.quantile(found.prices_, np.linspace(0, 0.995, 200))
    return pd.DataFrame(
        {"merchant": str(busiest), "price": price, "win_probability": found.win_probability(price)}
    )


def _winners(outcomes: dict[str, Outcome], clusters: Clusters) -> pd.DataFrame:
    """Share of each consumer cluster's GMV that each merchant cluster earns."""
    parts = []
    for name, out in outcomes.items():
        earned = out.by_cluster("revenue", clusters.merchant, clusters.n).sum(axis=0)
        share = earned / np.maximum(earned.sum(axis=0), 1e-12)
        i, j = (index.ravel() for index in np.indices(share.shape))
        parts.append(
            pd.DataFrame({"bidder": name, "merchants": i + 1, "consumers": j + 1, "share": share.ravel()})
        )
    return pd.concat(parts, ignore_index=True)


def _multipliers(fitted: dict[str, BaseBidder], test: AuctionMarket) -> pd.DataFrame:
    """What each merchant's own bids are multiplied by on average when the day begins, a column a bidder."""
    log, n = test.log, test.n_merchants
    own = np.bincount(log.merchant, log.bid, n)
    table = pd.DataFrame({"merchant": log.merchants, "own_bid": own / np.maximum(log.presence, 1)})
    for name, bidder in fitted.items():
        made = np.bincount(log.merchant, bidder.bid(test), n)
        table[name] = np.divide(made, own, out=np.full(n, np.nan), where=own > 0)
    return table


def _sweep(fitted: dict[str, BaseBidder], test: AuctionMarket, seed: int, clusters: Clusters) -> pd.DataFrame:
    rows = []
    for fraction in BUDGET_SWEEP:
        market = test.with_options(budgets=float(fraction))
        for name, bidder in fitted.items():
            out = _outcome(bidder, market, seed, clusters)
            rows.append({"bidder": name, "fraction": fraction, **out.scores()})
    return pd.DataFrame(rows)


def _actions(name: str, bidder: ClusterLearner, test: AuctionMarket, seed: int) -> pd.DataFrame:
    """The learned table a_ij by interval: what a bid is multiplied by is ``1 + clip(a_ij · bratio)``."""
    taken = bidder.play(test, seed)[1]
    t, i, j = (index.ravel() for index in np.indices(taken.shape))
    return pd.DataFrame(
        {"bidder": name, "interval": t + 1, "merchants": i + 1, "consumers": j + 1, "action": taken.ravel()}
    )

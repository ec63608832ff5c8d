"""What a run on one bidder's log does: fit bidders on one part, replay them on the other, report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from workbench.arrays import Data, Split, TableData
from workbench.bidding.base import BaseBidder, ReplayBidder
from workbench.bidding.landscape import PriceLandscape
from workbench.bidding.log import ReplayLog
from workbench.bidding.replay import ReplayMarket, ReplayOutcome
from workbench.bidding.replay_experiment import REPLAY_BIDDERS, ReplayComparison
from workbench.bidding.steps import StepBidder
from workbench.bidding.tables import is_replay
from workbench.errors import DatasetError
from workbench.report import Report, Reporter

__all__ = ["holds_replay", "replay", "replay_log_of"]

RECIPE = "bidding.replay"
#: Budgets that fitted bidders are tried with, as shares of the one they were fitted for.
SWEEP = (0.25, 0.5, 0.75, 1.0)
#: The column that stands for each name of a log, if a role says so.
_ROLES = {"price": "price", "pctr": "pctr", "pcvr": "pcvr", "bid": "bid", "label": "click", "time": "hour"}


def replay(estimator: Any, data: Data, split: Split, seed: int, reporter: Reporter) -> Report:
    """Fit bidders on one part of a bidder's auctions and compare them on the other.

    `estimator` is a `ReplayComparison`, or one bidder, which is then set beside a linear bid.
    """
    log, column = replay_log_of(data.to_table())
    plan = clone(estimator) if isinstance(estimator, ReplayComparison) else ReplayComparison(bidders="Linear")
    plan._validate_params()
    if plan.random_state is None:
        plan.set_params(random_state=seed)
    train_rows, test_rows = split.indices(len(log), column=column, seed=seed)
    train = plan.market(log.select(train_rows))
    test = _tried_on(log.select(test_rows), train)
    pairs = _bidders(estimator, plan, train, seed)
    weights = {name: 10.0 if isinstance(bidder, StepBidder) else 1.0 for name, bidder in pairs}
    reporter.plan(weights | {"report": 1.0})
    reporter.log(
        f"{len(log):,} auctions; {len(train_rows):,} to learn from, {len(test_rows):,} to compare on; "
        f"a budget of {train.budget:,.6g} for {train.horizon:,} auctions."
    )
    fitted: dict[str, BaseBidder] = {}
    for name, bidder in pairs:
        with reporter.stage(name, weight=weights[name]):
            fitted[name] = bidder.fit(train)
    with reporter.stage("report", weight=1.0):
        outcomes = {name: _outcome(bidder, test) for name, bidder in fitted.items()}
        tables = {
            "comparison": pd.concat(
                [o.table().assign(bidder=name) for name, o in outcomes.items()], ignore_index=True
            ),
            "bids": _bid_functions(fitted, test),
            "landscape": _landscape(log),
            "budget_sweep": _sweep(fitted, train, test),
        }
        tables["comparison"].insert(0, "bidder", tables["comparison"].pop("bidder"))
    alone = not isinstance(estimator, ReplayComparison)
    cheapest = {name: (o.clicks, -o.cost) for name, o in outcomes.items()}  # of as many clicks
    best = pairs[-1][0] if alone else max(cheapest, key=cheapest.__getitem__)
    plan.names_, plan.bidders_ = list(fitted), list(fitted.values())
    return Report(
        RECIPE, _headline(best, outcomes), _scores(best, outcomes), tables, fitted[best] if alone else plan
    )


def holds_replay(table: TableData) -> bool:
    """Whether the table is one bidder's log."""
    named = {_ROLES[role] for role in table.roles if role in _ROLES} | set(map(str, table.X))
    clicks = {"click"} if table.y is not None else set()
    return is_replay(named | clicks) and "ppb" not in named


def replay_log_of(table: TableData) -> tuple[ReplayLog, np.ndarray[Any, Any] | None]:
    """The log that a table holds, and the split of its auctions where the table has one."""
    frame = table.X
    if "click" not in frame and table.y is not None:
        frame = frame.assign(click=table.y)
    named = {
        columns[0]: _ROLES[role]
        for role, columns in table.roles.items()
        if role in _ROLES and len(columns) == 1 and columns[0] in frame and _ROLES[role] not in frame
    }
    frame = frame.rename(columns=named)
    if {"merchant", "ppb"} & set(frame):
        raise DatasetError(
            "This is a log of many merchants; compare bidders on it with bidding.MarketComparison."
        )
    return ReplayLog.from_frame(frame), None if table.split is None else np.asarray(table.split)


def _bidders(
    estimator: Any, plan: ReplayComparison, train: ReplayMarket, seed: int
) -> list[tuple[str, BaseBidder]]:
    if isinstance(estimator, ReplayComparison):
        return plan.unfitted(train)
    if not isinstance(estimator, ReplayBidder):
        raise DatasetError(
            f"{type(estimator).__name__} bids for the merchants of a market; this is one bidder's log: "
            f"choose from {', '.join(REPLAY_BIDDERS)}."
        )
    given = clone(estimator)
    if "random_state" in given.get_params() and given.random_state is None:
        given.set_params(random_state=seed)
    name = next(
        (n for n, (_, cls) in REPLAY_BIDDERS.items() if cls == type(given).__name__), type(given).__name__
    )
    beside = [] if name == "Linear" else plan.unfitted(train)
    return [*beside, (name, given)]


def _tried_on(log: ReplayLog, train: ReplayMarket, share: float = 1.0) -> ReplayMarket:
    """Other auctions in episodes as long as those learned from, with a share of the budget known from there.

    What the other auctions cost is not known before they are held, and who counts coins one by one can bid
    with no more than it was fitted for.
    """
    budget = share * train.budget
    if float(train.budget).is_integer():
        budget = max(np.floor(budget), 1.0)
    return ReplayMarket(log, budget, episode=train.horizon)


def _outcome(bidder: BaseBidder, market: ReplayMarket) -> ReplayOutcome:
    found = bidder.simulate(market)
    assert isinstance(found, ReplayOutcome)  # noqa: S101  (a replay gives sums of one bidder)
    return found


def _headline(best: str, outcomes: dict[str, ReplayOutcome]) -> str:
    clicks = outcomes[best].clicks
    text = f"{best} buys {clicks:,.6g} clicks for {outcomes[best].cost:,.6g}"
    others = {name: o.clicks for name, o in outcomes.items() if name != best}
    if others:
        second = max(others, key=lambda name: others[name])
        text += f"; {second} buys {others[second]:,.6g}"
    return text + "."


def _scores(best: str, outcomes: dict[str, ReplayOutcome]) -> dict[str, float]:
    row = outcomes[best].table().iloc[0].to_dict()
    scores = {name: float(row[name]) for name in ("clicks", "cost", "ecpc", "win_rate", "budget_use")}
    scores |= {f"clicks_{name}": float(o.clicks) for name, o in outcomes.items()}
    return {name: value for name, value in scores.items() if np.isfinite(value)}


def _bid_functions(fitted: dict[str, BaseBidder], test: ReplayMarket) -> pd.DataFrame:
    """Each bidder's bid for auctions of rising predicted click rate, with the whole budget left."""
    rows = np.argsort(test.log.pctr, kind="stable")[np.linspace(0, len(test.log) - 1, 100).astype(np.int64)]
    # In the order of their rates these auctions have no clock.
    some = ReplayMarket(replace(test.log, hour=None).select(rows), test.budget, episode=test.episode)
    parts = []
    for name, bidder in fitted.items():
        parts.append(pd.DataFrame({"bidder": name, "pctr": some.log.pctr, "bid": bidder.bid(some)}))
    return pd.concat(parts, ignore_index=True)


def _landscape(log: ReplayLog) -> pd.DataFrame:
    found = PriceLandscape().fit(log)
    price = np.unique(np.quantile(found.prices_, np.linspace(0, 1, 200)))
    return pd.DataFrame({"price": price, "win_probability": found.win_probability(price)})


def _sweep(fitted: dict[str, BaseBidder], train: ReplayMarket, test: ReplayMarket) -> pd.DataFrame:
    """Clicks with smaller budgets than the bidders were fitted for."""
    rows = []
    for share in SWEEP:
        market = _tried_on(test.log, train, share)
        for name, bidder in fitted.items():
            rows.append(
                {"bidder": name, "fraction": share, **_outcome(bidder, market).table().iloc[0].to_dict()}
            )
    return pd.DataFrame(rows)

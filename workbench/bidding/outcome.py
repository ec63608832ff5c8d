"""What auctions came to: sums by interval, merchant and consumer group, and the figures made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from workbench.bidding.market import AuctionMarket

__all__ = ["Outcome", "gini"]


def gini(values: ArrayLike) -> float:
    """Gini coefficient: 0 where all have the same, towards 1 where one has all."""
    x = np.sort(np.asarray(values, dtype=np.float64))
    total = x.sum()
    if total <= 0:
        return 0.0
    n = len(x)
    return float((2 * np.arange(1, n + 1) - n - 1) @ x / (n * total))


@dataclass(frozen=True, eq=False)
class Outcome:
    """Sums over auctions.

    Attributes
    ----------
    cost, revenue, clicks : ndarray of float, shape (n_intervals, n_merchants, n_groups)
        Money paid to the platform, money earned by the merchants (GMV), and clicks.
    wins, entered : ndarray of int64, same shape
        Slots won, and bids made (only where they were counted).
    welfare : ndarray, shape (n_intervals, 2)
        Expected GMV of what was shown, and number of sold slots.
    auctions : ndarray of int64, shape (n_intervals,)
    budgets : ndarray, shape (n_merchants,)
    """

    cost: NDArray[np.float64]
    revenue: NDArray[np.float64]
    clicks: NDArray[np.float64]
    wins: NDArray[np.int64]
    entered: NDArray[np.int64]
    welfare: NDArray[np.float64]
    auctions: NDArray[np.int64]
    budgets: NDArray[np.float64]

    @classmethod
    def empty(cls, market: AuctionMarket, n_groups: int, budgets: NDArray[np.float64]) -> Outcome:
        """An outcome of nothing, to be added to."""
        shape = (market.n_intervals, market.n_merchants, n_groups)
        sums: dict[str, Any] = {name: np.zeros(shape) for name in ("cost", "revenue", "clicks")}
        sums |= {name: np.zeros(shape, dtype=np.int64) for name in ("wins", "entered")}
        return cls(**sums, welfare=np.zeros((shape[0], 2)), auctions=np.diff(market.bounds), budgets=budgets)

    def at(self, t: int) -> Outcome:
        """The sums of interval `t` alone (a view)."""
        s = slice(t, t + 1)
        return Outcome(
            self.cost[s], self.revenue[s], self.clicks[s], self.wins[s], self.entered[s],
            self.welfare[s], self.auctions[s], self.budgets,
        )  # fmt: skip

    def by_cluster(self, name: str, cluster: NDArray[np.integer[Any]], n: int) -> NDArray[np.float64]:
        """The array `name` summed over the merchants of each of `n` clusters, shape (T, n, n_groups)."""
        values = getattr(self, name)
        out = np.zeros((values.shape[0], n, values.shape[2]))
        for i in range(n):
            out[:, i] = values[:, cluster == i].sum(axis=1)
        return out

    @property
    def depth(self) -> float:
        """Bids made per auction; NaN where they were not counted."""
        total = self.entered.sum()
        return float(total / self.auctions.sum()) if total else float("nan")

    def scores(self) -> dict[str, float]:
        """The figures that bidders are compared by.

        ``budget_use`` is the share of all (limited) budgets that was spent, ``gini`` is of the
        merchants' GMV, ``depth`` the bids made per auction.
        """
        gmv, cost = float(self.revenue.sum()), float(self.cost.sum())
        limited = np.isfinite(self.budgets)
        given = float(self.budgets[limited].sum())
        spent = float(self.cost.sum(axis=(0, 2))[limited].sum())
        return {
            "gmv": gmv,
            "platform_revenue": cost,
            "roi": gmv / cost if cost > 0 else float("nan"),
            "budget_use": spent / given if given > 0 else float("nan"),
            "clicks": float(self.clicks.sum()),
            "impressions": float(self.wins.sum()),
            "depth": self.depth,
            "gini": gini(self.revenue.sum(axis=(0, 2))),
        }

    def table(self, cluster: NDArray[np.integer[Any]] | None = None, n: int = 1) -> pd.DataFrame:
        """One row a merchant cluster (one in all by default), and the total last."""
        codes = np.zeros(self.cost.shape[1], dtype=np.int64) if cluster is None else cluster
        rows = []
        for i in [*range(n), None]:
            mine = np.ones(len(codes), dtype=bool) if i is None else codes == i
            part = Outcome(
                self.cost[:, mine], self.revenue[:, mine], self.clicks[:, mine], self.wins[:, mine],
                self.entered[:, mine], self.welfare, self.auctions, self.budgets[mine],
            )  # fmt: skip
            label = "total" if i is None else f"cluster {i + 1}"
            rows.append({"cluster": label, "merchants": int(mine.sum()), **part.scores()})
        return pd.DataFrame(rows)

"""Logs of auctions, as arrays: requests with their candidates, or one bidder's own auctions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from workbench.bidding._checks import column, no_steps_back
from workbench.errors import DatasetError

__all__ = ["BidLog", "ReplayLog"]

_COLUMNS = ("request", "hour", "consumer", "merchant", "bid", "pctr", "pcvr", "ppb")


@dataclass(frozen=True, eq=False)
class BidLog:
    """Requests and the ads that were candidates for them.

    Candidate arrays hold the requests' candidates one request after another (the layout of a sparse
    row matrix): those of request r are ``indptr[r]:indptr[r + 1]``.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n_requests + 1,)
    hour : ndarray of float, shape (n_requests,)
        Time of the request in hours; never decreasing.
    consumer : ndarray of int32, shape (n_requests,)
        Positions in `consumers`.
    merchant : ndarray of int32, shape (n_candidates,)
        Positions in `merchants`.
    bid : ndarray of float, shape (n_candidates,)
        The merchant's own bid for a click, in money.
    pctr, pcvr : ndarray of float, shape (n_candidates,)
        Predicted probability of a click, and of a conversion given a click.
    ppb : ndarray of float, shape (n_candidates,)
        Pay per buy: the merchant's revenue from one conversion, in money.
    merchants, consumers : ndarray
        Their names.
    """

    indptr: NDArray[np.int64]
    hour: NDArray[np.float64]
    consumer: NDArray[np.int32]
    merchant: NDArray[np.int32]
    bid: NDArray[np.float64]
    pctr: NDArray[np.float64]
    pcvr: NDArray[np.float64]
    ppb: NDArray[np.float64]
    merchants: NDArray[Any]
    consumers: NDArray[Any]

    def __post_init__(self) -> None:
        if len(self.indptr) < 2:
            raise DatasetError("The log has no request; it needs at least one with a candidate.")
        empty = np.diff(self.indptr) <= 0
        if empty.any():
            raise DatasetError(
                f"Request {int(empty.argmax()) + 1} has no candidate; leave it out of the log."
            )
        for name, high in (("bid", None), ("pctr", 1.0), ("pcvr", 1.0), ("ppb", None)):
            if len(getattr(self, name)) != self.n_candidates:
                raise DatasetError(
                    f"The column {name!r} has {len(getattr(self, name))} rows, not {self.n_candidates}."
                )
            column(getattr(self, name), name, high=high)
        if not self.bid.any():
            raise DatasetError("All bids are zero, so that nothing would be sold; give the merchants' bids.")
        no_steps_back(self.hour, self.indptr[:-1] + 1)

    @property
    def n_requests(self) -> int:
        """Requests."""
        return len(self.indptr) - 1

    @property
    def n_candidates(self) -> int:
        """Candidates of all requests."""
        return int(self.indptr[-1])

    @property
    def n_merchants(self) -> int:
        """Merchants."""
        return len(self.merchants)

    @cached_property
    def request_of(self) -> NDArray[np.int32]:
        """The request of each candidate, shape (n_candidates,)."""
        return np.repeat(np.arange(self.n_requests, dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def presence(self) -> NDArray[np.int64]:
        """How often each merchant is a candidate, shape (n_merchants,)."""
        return np.bincount(self.merchant, minlength=self.n_merchants)

    @cached_property
    def mean_pcvr(self) -> NDArray[np.float64]:
        """Mean predicted conversion rate of each merchant's candidates, shape (n_merchants,)."""
        total = np.bincount(self.merchant, weights=self.pcvr, minlength=self.n_merchants)
        return total / np.maximum(self.presence, 1)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> BidLog:
        """Read a frame with one row a candidate.

        Parameters
        ----------
        frame : DataFrame
            Columns request, hour, consumer, merchant, bid, pctr, pcvr, ppb. Rows of one request stand
            together, requests in the order of time.

        Returns
        -------
        BidLog

        Raises
        ------
        DatasetError
            For a missing column, or the first row that is not usable; rows are counted from 1.
        """
        if not isinstance(frame, pd.DataFrame):
            raise DatasetError(f"A log is read from a DataFrame, not {type(frame).__name__}.")
        missing = [name for name in _COLUMNS if name not in frame.columns]
        if missing:
            raise DatasetError(
                f"The log has no column {missing[0]!r}; it needs {', '.join(_COLUMNS)} (rename yours)."
            )
        if len(frame) == 0:
            raise DatasetError("The log has no row.")
        for name in ("request", "merchant", "consumer"):
            absent = frame[name].isna().to_numpy()
            if absent.any():
                row = int(absent.argmax())
                hint = (
                    f"request {frame['request'].iloc[row]} has no candidate"
                    if name == "merchant"
                    else "give one"
                )
                raise DatasetError(f"Row {row + 1}: {name} is missing; {hint}.")
        request = pd.factorize(frame["request"])[0]
        if (np.diff(request) < 0).any():
            row = int((np.diff(request) < 0).argmax()) + 1
            raise DatasetError(
                f"Row {row + 1}: request {frame['request'].iloc[row]} was already closed by another one; "
                "keep the rows of a request together."
            )
        starts = np.flatnonzero(np.r_[True, np.diff(request) != 0])
        hour = column(frame["hour"], "hour")
        consumer, consumers = pd.factorize(frame["consumer"])
        for name, codes in (("hour", hour), ("consumer", consumer)):
            differs = codes != codes[starts][request]
            if differs.any():
                raise DatasetError(
                    f"Row {int(differs.argmax()) + 1}: {name} differs from that of the request's first row."
                )
        no_steps_back(hour[starts], starts + 1)
        merchant, merchants = pd.factorize(frame["merchant"], sort=True)
        return cls(
            indptr=np.r_[starts, len(frame)].astype(np.int64),
            hour=hour[starts],
            consumer=consumer[starts].astype(np.int32),
            merchant=merchant.astype(np.int32),
            bid=column(frame["bid"], "bid"),
            pctr=column(frame["pctr"], "pctr", high=1.0),
            pcvr=column(frame["pcvr"], "pcvr", high=1.0),
            ppb=column(frame["ppb"], "ppb"),
            merchants=np.asarray(merchants),
            consumers=np.asarray(consumers),
        )

    @classmethod
    def from_values(cls, values: ArrayLike) -> BidLog:
        """Every merchant in every auction, bidding what winning is worth to it.

        Parameters
        ----------
        values : array-like of shape (n_auctions, n_merchants)
            Auctions in the order of time. A click is certain, and so is the conversion.

        Returns
        -------
        BidLog
        """
        v = np.array(values, dtype=np.float64)
        n, k = v.shape
        flat, certain = v.ravel(), np.ones(n * k)
        return cls(
            indptr=np.arange(n + 1, dtype=np.int64) * k,
            hour=np.arange(n) / n,
            consumer=np.zeros(n, dtype=np.int32),
            merchant=np.tile(np.arange(k, dtype=np.int32), n),
            bid=flat,
            pctr=certain,
            pcvr=certain,
            ppb=flat,
            merchants=np.arange(k),
            consumers=np.arange(1),
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a candidate, as `from_frame` reads it."""
        r = self.request_of
        return pd.DataFrame(
            {
                "request": r,
                "hour": self.hour[r],
                "consumer": self.consumers[self.consumer[r]],
                "merchant": self.merchants[self.merchant],
                "bid": self.bid,
                "pctr": self.pctr,
                "pcvr": self.pcvr,
                "ppb": self.ppb,
            }
        )

    def select(self, requests: ArrayLike) -> BidLog:
        """The log of some requests (ascending positions, or a mask), with the same merchants."""
        chosen = np.asarray(requests)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        sizes = np.diff(self.indptr)[chosen]
        indptr = np.r_[0, np.cumsum(sizes)].astype(np.int64)
        rows = np.repeat(self.indptr[:-1][chosen] - indptr[:-1], sizes) + np.arange(indptr[-1])
        per_candidate = {n: getattr(self, n)[rows] for n in ("merchant", "bid", "pctr", "pcvr", "ppb")}
        return BidLog(
            indptr=indptr,
            hour=self.hour[chosen],
            consumer=self.consumer[chosen],
            merchants=self.merchants,
            consumers=self.consumers,
            **per_candidate,
        )

    def merchant_codes(self, names: Sequence[Any]) -> NDArray[np.int32]:
        """Positions of named merchants.

        Raises
        ------
        DatasetError
            Naming the first merchant that the log does not hold.
        """
        codes = pd.Index(self.merchants).get_indexer(pd.Index(names))
        if (codes < 0).any():
            unknown = list(names)[int((codes < 0).argmax())]
            raise DatasetError(
                f"The merchant {unknown!r} is not in the log; it holds {self.n_merchants} others."
            )
        return codes.astype(np.int32)


@dataclass(frozen=True, eq=False)
class ReplayLog:
    """One bidder's auctions: what a win would have cost, and whether it led to a click.

    Attributes
    ----------
    price : ndarray of float, shape (n,)
        Market price. NaN where the auction was lost and only its own `bid` is known (censored).
    pctr : ndarray of float, shape (n,)
        Predicted click probability; any value of an impression in [0, 1].
    click : ndarray of float, shape (n,)
        What a win yields; 0 or 1 in a log of clicks.
    bid : ndarray of float, shape (n,), optional
        The bid that was made; needed where prices are censored.
    hour : ndarray of float, shape (n,), optional
    pcvr : ndarray of float, shape (n,), optional
        Predicted conversion probability given a click.
    value_per_click : float
    """

    price: NDArray[np.float64]
    pctr: NDArray[np.float64]
    click: NDArray[np.float64]
    bid: NDArray[np.float64] | None = None
    hour: NDArray[np.float64] | None = None
    pcvr: NDArray[np.float64] | None = None
    value_per_click: float = 1.0
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        n = len(self.price)
        if n == 0:
            raise DatasetError("The log has no auction.")
        for name in ("price", "pctr", "click", "bid", "hour", "pcvr"):
            values = getattr(self, name)
            if values is None:
                continue
            if len(values) != n:
                raise DatasetError(f"The column {name!r} has {len(values)} rows, not {n}.")
            high = 1.0 if name in ("pctr", "pcvr") else None
            object.__setattr__(self, name, column(values, name, high=high, allow_missing=name == "price"))
        censored = np.isnan(self.price)
        if censored.any() and self.bid is None:
            raise DatasetError(
                f"Row {int(censored.argmax()) + 1}: price is missing; "
                "give the bids that were made, for lost auctions tell only that the price was higher."
            )
        if not (self.price[~censored] > 0).any():
            raise DatasetError("All prices are zero or missing; a bidder cannot be fitted to free auctions.")
        if self.hour is not None:
            no_steps_back(self.hour, np.arange(1, n + 1))

    def __len__(self) -> int:
        return len(self.price)

    @property
    def won(self) -> NDArray[np.bool_]:
        """Whether the price is known."""
        return ~np.isnan(self.price)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, **more: Any) -> ReplayLog:
        """Read a frame with the columns click, price, pctr and, where there are, bid, hour, pcvr."""
        if not isinstance(frame, pd.DataFrame):
            raise DatasetError(f"A log is read from a DataFrame, not {type(frame).__name__}.")
        for name in ("click", "price", "pctr"):
            if name not in frame.columns:
                raise DatasetError(f"The log has no column {name!r}; it needs click, price and pctr.")
        columns: dict[str, Any] = {
            n: frame[n].to_numpy() for n in ("price", "pctr", "click", "bid", "hour", "pcvr") if n in frame
        }
        return cls(**columns, **more)

    @classmethod
    def from_values(cls, values: ArrayLike) -> ReplayLog:
        """The auctions of the first of some merchants that bid what winning is worth to them.

        Parameters
        ----------
        values : array-like of shape (n_auctions, n_merchants)
            The price is the highest value among the others; `pctr` is the own one over its largest.

        Returns
        -------
        ReplayLog
        """
        v = np.array(values, dtype=np.float64)
        top = float(v[:, 0].max()) or 1.0
        return cls(price=v[:, 1:].max(axis=1), pctr=v[:, 0] / top, click=v[:, 0] / top, value_per_click=top)

    def select(self, rows: ArrayLike) -> ReplayLog:
        """The log of some auctions: positions, or a mask."""
        chosen = np.asarray(rows)
        columns: dict[str, Any] = {}
        for name in ("price", "pctr", "click", "bid", "hour", "pcvr"):
            values = getattr(self, name)
            columns[name] = None if values is None else values[chosen]
        return replace(self, **columns)

    def censor(self, bid: ArrayLike) -> ReplayLog:
        """What a bidder that bid `bid` would have seen: prices of lost auctions become NaN."""
        made = np.broadcast_to(np.asarray(bid, dtype=np.float64), self.price.shape).copy()
        won = made >= self.price
        return ReplayLog(
            price=np.where(won, self.price, np.nan),
            pctr=self.pctr,
            click=np.where(won, self.click, 0.0),
            bid=made,
            hour=self.hour,
            pcvr=self.pcvr,
            value_per_click=self.value_per_click,
        )

"""Smaller embedding tables: each row in the number format that its use deserves."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from workbench.ctr import metrics
from workbench.ctr._base import CTRClassifier
from workbench.ctr._columns import FieldsError, as_columns
from workbench.ctr._labels import binary_codes
from workbench.ctr.encoded import Layout

__all__ = ["RowQuantizer", "priorities", "quantize_rows"]

#: Bytes of the scale that stands beside a row of integers.
_SCALE = 4


def priorities(
    priority: NDArray[np.float64],
    clicks: NDArray[np.float64],
    others: NDArray[np.float64],
    *,
    positive_weight: float,
    decay: float,
) -> NDArray[np.float64]:
    """A step of every row's priority: (1 - decay)·p + decay·(positive_weight·clicks + others)."""
    return (1 - decay) * priority + decay * (positive_weight * clicks + others)


def quantize_rows(
    rows: NDArray[np.float32], rng: np.random.Generator | None = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rows as int8 with one scale each: scale = max|e| / 127, q = round(e / scale).

    Parameters
    ----------
    rows : ndarray of float32, shape (n, d)
    rng : Generator, optional
        Round at random, up with the probability of the fraction, so that the mean is kept; else to the
        nearest.

    Returns
    -------
    q : ndarray of int8, shape (n, d)
    scale : ndarray of float32, shape (n,)
    """
    most = np.abs(rows).max(axis=1, initial=0.0)
    scale = np.where(most > 0, most / np.float32(127), np.float32(1)).astype(np.float32)
    scaled = rows / scale[:, None]
    rounded = np.rint(scaled) if rng is None else np.floor(scaled + rng.random(scaled.shape))
    return np.clip(rounded, -128, 127).astype(np.int8), scale


class RowQuantizer(BaseEstimator):
    """Store the rows of a model's tables as int8, fp16 or fp32, by how often they are used.

    A row's priority follows its clicks and non-clicks over the log, older ones counting less; the rarest rows
    become int8 with a scale each, the next fp16, the most used stay fp32.

    Parameters
    ----------
    shares : (float, float, float), default=(0.7, 0.2, 0.1)
        Shares of the rows kept as int8, fp16 and fp32, the rarest first. Ties are kept together in the
        more exact format.
    positive_weight : float, default=2.0
        What a click counts against a non-click.
    decay : float, default=0.1
        Weight of the newest part of the log in the moving average of the priorities.
    n_parts : int, default=10
        Parts of the log, in its order, over which the average moves.
    rounding : {"nearest", "stochastic"}, default="nearest"
        How int8 rows are rounded.
    random_state : int, RandomState instance or None, default=None
        Draws the stochastic rounding.

    Attributes
    ----------
    tables_ : dict of str to dict
        For each table the int8 rows with their scales, the fp16 rows, the fp32 rows, and which rows they are.
    priority_ : ndarray, shape (n_rows,)
    report_ : dict of str to float
        Bytes and, on the rows given to `fit`, AUC and log loss before and after.

    References
    ----------
    Zhang et al., "SHARK", CIKM 2023, arXiv 2308.09395 (F-Quantization). The formulas are given as remembered;
    the paper's thresholds are not known, so shares of the rows stand in their place.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "shares": [tuple, list],
        "positive_weight": [Interval(Real, 0, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="right")],
        "n_parts": [Interval(Integral, 1, None, closed="left")],
        "rounding": [StrOptions({"nearest", "stochastic"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        shares: Sequence[float] = (0.7, 0.2, 0.1),
        positive_weight: float = 2.0,
        decay: float = 0.1,
        n_parts: int = 10,
        rounding: str = "nearest",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.shares = shares
        self.positive_weight = positive_weight
        self.decay = decay
        self.n_parts = n_parts
        self.rounding = rounding
        self.random_state = random_state

    def fit(self, model: CTRClassifier, X: Any, y: ArrayLike) -> Self:
        """Count the use of every row in a log and quantise the tables of a copy of `model`.

        Parameters
        ----------
        model : CTR classifier
            Fitted; it stays as it is.
        X : DataFrame, pyarrow Table or array-like of shape (n, n_fields)
            In the order of time.
        y : array-like of shape (n,)

        Returns
        -------
        self
        """
        self._validate_params()
        numbers = all(isinstance(share, Real) for share in self.shares)
        if len(self.shares) != 3 or not numbers or min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-9:
            raise FieldsError(f"shares must be three numbers that sum to 1, not {tuple(self.shares)}.")
        check_is_fitted(model, "weights_")
        encoded = model.encoder_._encode(as_columns(model, X, reset=False))
        check_consistent_length(encoded.ids, np.asarray(y))
        _, codes = binary_codes(np.asarray(y), classes=model.classes_)
        layout = Layout.from_list(model.layout_)
        self.priority_ = self._count(layout, encoded, codes.astype(np.float64))
        rng = np.random.default_rng(int(check_random_state(self.random_state).randint(2**31 - 1)))
        tier = self._tiers()
        self.model_ = model
        self.tables_ = {}
        for name in ("table", "weight"):
            if name in model.weights_:
                rows = model.weights_[name]
                used = rng if self.rounding == "stochastic" else None
                q, scale = quantize_rows(rows[tier == 0], used)
                self.tables_[name] = {
                    "tier": tier,
                    "int8": q,
                    "scale": scale,
                    "fp16": rows[tier == 1].astype(np.float16),
                    "fp32": rows[tier == 2],
                }
        before, after = (one.decide_encoded(encoded) for one in (model, self.dequantized()))
        from scipy.special import expit

        self.report_ = {
            "bytes_before": float(sum(model.weights_[name].nbytes for name in self.tables_)),
            "bytes_after": float(self.n_bytes()),
            "auc_before": metrics.auc(codes, before),
            "auc_after": metrics.auc(codes, after),
            "logloss_before": metrics.logloss(codes, expit(before)),
            "logloss_after": metrics.logloss(codes, expit(after)),
        }
        return self

    def _count(self, layout: Layout, encoded: Any, y: NDArray[np.float64]) -> NDArray[np.float64]:
        from workbench.ctr._batch import make_batch

        batch = make_batch(encoded, layout)
        parts = (batch.ids, batch.quotients, *batch.lists, *batch.list_quotients)
        columns = np.hstack([part.numpy() for part in parts])
        found = np.zeros(layout.n_rows)
        for rows in np.array_split(np.arange(len(y)), min(self.n_parts, len(y))):
            ids = columns[rows].ravel()
            clicks, every = (
                np.bincount(ids, np.repeat(values, columns.shape[1]), layout.n_rows).astype(np.float64)
                for values in (y[rows], np.ones(len(rows)))
            )
            found = priorities(
                found, clicks, every - clicks, positive_weight=self.positive_weight, decay=self.decay
            )
        return found

    def _tiers(self) -> NDArray[np.int8]:
        """0 for int8, 1 for fp16, 2 for fp32."""
        tier = np.zeros(len(self.priority_), dtype=np.int8)
        for share in np.cumsum(self.shares)[:2]:
            if share < 1 - 1e-9:  # a format above that has no share gets no row
                tier += self.priority_ >= np.quantile(self.priority_, share, method="lower")
        return tier

    def n_bytes(self) -> int:
        """Bytes of the quantised tables, scales counted, one byte a row for its format left out."""
        check_is_fitted(self, "tables_")
        return sum(
            part["int8"].nbytes + _SCALE * len(part["scale"]) + part["fp16"].nbytes + part["fp32"].nbytes
            for part in self.tables_.values()
        )

    def dequantized(self) -> CTRClassifier:
        """The model with its tables as the stored formats give them back."""
        check_is_fitted(self, "tables_")
        import copy

        model = copy.copy(self.model_)
        model.weights_ = dict(self.model_.weights_)
        for name, part in self.tables_.items():
            rows = np.empty_like(self.model_.weights_[name])
            rows[part["tier"] == 0] = part["int8"] * part["scale"][:, None]
            rows[part["tier"] == 1] = part["fp16"]
            rows[part["tier"] == 2] = part["fp32"]
            model.weights_[name] = rows
        return model

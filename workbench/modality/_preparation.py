"""From a table to one numeric block a modality: standardised numbers, category codes, series.

The learned part is a list of plain dicts of arrays, so that a fitted estimator is saved without care.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from workbench.modality.columns import ModalitiesError, array_cell, is_array_column

__all__ = ["ENCODERS", "Block", "learn", "prepare", "subset"]

#: Values of the ``encoder`` parameter beside a transformer.
ENCODERS = ("auto", "mlp", "conv", "timeseries")

#: Standardised values are cut there: one wild value must not steer a small net.
_CLIP = 8.0

Plan = list[dict[str, Any]]


@dataclass(frozen=True)
class Block:
    """One modality of some rows.

    Attributes
    ----------
    numbers : ndarray of float32, shape (n, d), or (n, channels, steps) for a series
        Standardised; missing values are 0, the training mean.
    codes : ndarray of int64, shape (n, n_categorical)
        0 is missing or unknown.
    present : ndarray of bool, shape (n,)
        False where every value of the modality is missing.
    """

    numbers: NDArray[np.float32]
    codes: NDArray[np.int64]
    present: NDArray[np.bool_]

    def rows(self, index: NDArray[Any]) -> Block:
        """Some of the rows."""
        return Block(self.numbers[index], self.codes[index], self.present[index])


def subset(blocks: Sequence[Block], index: NDArray[Any]) -> list[Block]:
    """The same rows of every block."""
    return [block.rows(index) for block in blocks]


def learn(frame: pd.DataFrame, chosen: Mapping[str, Sequence[str]], encoder: Any, random_state: int) -> Plan:
    """Learn how to prepare each modality from the training rows.

    Parameters
    ----------
    frame : DataFrame
    chosen : mapping of modality to columns
    encoder : str, transformer, or dict of modality to one of these
        See `LateFusionClassifier`.
    random_state : int

    Returns
    -------
    list of dict
        One plan a modality, for `prepare`.
    """
    if isinstance(encoder, Mapping) and (unknown := [name for name in encoder if name not in chosen]):
        raise ModalitiesError(
            f"An encoder is given for {unknown[0]!r}, which is no modality: there are {', '.join(chosen)}."
        )
    plans = []
    for name, columns in chosen.items():
        kind = encoder.get(name, "auto") if isinstance(encoder, Mapping) else encoder
        plans.append(_learn_one(frame[list(columns)], name, list(columns), kind, random_state))
    return plans


def _learn_one(part: pd.DataFrame, name: str, columns: list[str], kind: Any, seed: int) -> dict[str, Any]:
    if isinstance(kind, str) and kind not in ENCODERS:
        raise ModalitiesError(f"The encoder {kind!r} of {name!r} is not one of {', '.join(ENCODERS)}.")
    plan: dict[str, Any] = {"name": name, "columns": columns, "kind": "vector"}
    plan["categories"] = {c: _categories(part[c]) for c in columns if _is_categorical(part[c])}
    plan["widths"] = {
        c: max((np.size(v) for v in part[c] if _is_array(v)), default=1)
        for c in columns
        if is_array_column(part[c])
    }
    as_series = kind in ("conv", "timeseries") or not isinstance(kind, str)
    if as_series and plan["categories"]:
        raise ModalitiesError(
            f"The modality {name!r} has the categorical column {next(iter(plan['categories']))!r}, which its "
            "encoder for series cannot read: take 'mlp', or give the column to another modality."
        )
    if as_series and plan["widths"]:
        _align_channels(plan)
    numbers = _numbers(part, plan)
    if as_series and kind != "conv":
        from workbench.timeseries import CSL

        plan["transformer"] = clone(kind) if not isinstance(kind, str) else CSL(n_epochs=20)
        if plan["transformer"].get_params().get("random_state", 0) is None:
            plan["transformer"].set_params(random_state=seed)
        present = _any_value(numbers)
        plan["transformer"].fit(_series(numbers, plan, present))
        numbers = _encoded(numbers, plan)
    elif kind == "conv":
        plan["kind"] = "series"
    if plan["kind"] == "series":
        n_channels = len(plan["widths"]) or 1
        by_channel = numbers.reshape(len(numbers), n_channels, -1)
        plan["mean"], plan["scale"] = _moments(by_channel.transpose(0, 2, 1).reshape(-1, n_channels))
    else:
        plan["mean"], plan["scale"] = _moments(numbers)
    return plan


def prepare(frame: pd.DataFrame, plans: Plan) -> list[Block]:
    """One block a modality for the rows of `frame`."""
    blocks = []
    for plan in plans:
        part = frame[plan["columns"]]
        codes = np.zeros((len(part), len(plan["categories"])), dtype=np.int64)
        for j, (column, categories) in enumerate(plan["categories"].items()):
            index = {value: i + 1 for i, value in enumerate(categories)}
            codes[:, j] = [index.get(_plain(value), 0) for value in part[column]]
        numbers = _numbers(part, plan)
        present = _any_value(numbers)
        for column in plan["categories"]:
            present |= part[column].notna().to_numpy()
        if "transformer" in plan:
            numbers = _encoded(numbers, plan)
        blocks.append(Block(_standardise(numbers, plan), codes, present))
    return blocks


def _standardise(numbers: NDArray[np.float64], plan: dict[str, Any]) -> NDArray[np.float32]:
    if plan["kind"] == "series":
        numbers = numbers.reshape(len(numbers), len(plan["widths"]) or 1, -1)
        scaled = (numbers - plan["mean"][:, None]) / plan["scale"][:, None]
    else:
        scaled = (numbers - plan["mean"]) / plan["scale"]
    return np.nan_to_num(np.clip(scaled, -_CLIP, _CLIP), nan=0.0).astype(np.float32)


def _moments(numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    seen = ~np.isnan(numbers)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, numbers, 0.0).sum(0) / count
    scale = np.sqrt(np.where(seen, (numbers - mean) ** 2, 0.0).sum(0) / count)
    # A constant column differs from its mean by rounding only.
    flat = scale <= 1e-10 * np.maximum(np.abs(mean), 1.0)
    return mean, np.where(flat, 1.0, scale)


def _numbers(part: pd.DataFrame, plan: dict[str, Any]) -> NDArray[np.float64]:
    """Every column that is not categorical, array columns spread out; shape (n, width)."""
    wide = []
    for column in plan["columns"]:
        if column in plan["categories"]:
            continue
        if column in plan["widths"]:
            wide.append(_spread(part[column], plan["widths"][column]))
            continue
        if pd.api.types.is_complex_dtype(part[column].dtype):
            raise ModalitiesError(
                f"The column {column!r} holds complex numbers: give their parts as columns."
            )
        try:
            values = pd.to_numeric(part[column]).to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise ModalitiesError(
                f"The column {column!r} of the modality {plan['name']!r} is numeric, but holds text here."
            ) from None
        if np.isinf(values).any():
            raise ModalitiesError(f"The column {column!r} contains infinity: replace it, or leave it empty.")
        wide.append(values[:, None])
    return np.concatenate(wide, axis=1) if wide else np.zeros((len(part), 0))


def _align_channels(plan: dict[str, Any]) -> None:
    """Every array column is a channel; the shorter ones end with missing steps."""
    single = [c for c in plan["columns"] if c not in plan["widths"]]
    if single:
        raise ModalitiesError(
            f"The modality {plan['name']!r} has arrays and, in {single[0]!r}, single values, which its "
            "encoder for series cannot read together: take 'mlp', or give them modalities of their own."
        )
    plan["widths"] = dict.fromkeys(plan["widths"], max(plan["widths"].values()))


def _is_array(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))


def _spread(column: pd.Series, width: int) -> NDArray[np.float64]:
    out = np.full((len(column), width), np.nan)
    for i, value in enumerate(column):
        if _is_array(value):
            row = array_cell(value, column.name)[:width]
            if np.isinf(row).any():
                raise ModalitiesError(f"The column {column.name!r} contains infinity in row {i + 1}.")
            out[i, : len(row)] = row
        elif not np.all(pd.isna(value)):
            raise ModalitiesError(f"The column {column.name!r} holds arrays, but row {i + 1} has {value!r}.")
    return out


def _series(
    numbers: NDArray[np.float64], plan: dict[str, Any], rows: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The layout of the time-series family, (n, T, channels)."""
    return numbers[rows].reshape(int(rows.sum()), len(plan["widths"]) or 1, -1).transpose(0, 2, 1)


def _encoded(numbers: NDArray[np.float64], plan: dict[str, Any]) -> NDArray[np.float64]:
    """What the modality's transformer makes of the rows where it is present; the others stay missing."""
    present = _any_value(numbers)
    width = plan["mean"].size if "mean" in plan else None
    if not present.any():
        return np.full((len(numbers), width or 0), np.nan)
    found = np.asarray(plan["transformer"].transform(_series(numbers, plan, present)), dtype=np.float64)
    out = np.full((len(numbers), found.shape[1]), np.nan)
    out[present] = found
    return out


def _any_value(numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows have a value at all."""
    return np.asarray((~np.isnan(numbers)).any(axis=1), dtype=bool)


def _is_categorical(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return True
    if pd.api.types.is_numeric_dtype(column.dtype) or is_array_column(column):
        return False
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise ModalitiesError(
            f"The column {column.name!r} holds dates: turn it into numbers (hour, weekday, age), "
            "or leave it out."
        )
    return any(isinstance(value, str) for value in column)


def _categories(column: pd.Series) -> list[Any]:
    return sorted({_plain(value) for value in column.dropna()}, key=lambda v: (str(type(v)), v))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

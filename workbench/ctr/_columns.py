"""A table of any make as named Arrow arrays, checked the way scikit-learn checks its input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_feature_names, _check_n_features, validate_data

from workbench.errors import DatasetError

__all__ = [
    "Again",
    "Columns",
    "FieldsError",
    "as_columns",
    "batches_of",
    "is_stream",
    "n_rows",
    "to_float",
    "to_plain",
]

#: Rows that are read of a file at a time.
_READ = 65_536

#: Name of a column → its values, all of one length.
Columns = dict[str, pa.Array]


class FieldsError(DatasetError, ValueError):
    """A table whose fields cannot be used as asked."""


def n_rows(columns: Columns) -> int:
    """Rows of a table."""
    return len(next(iter(columns.values())))


def is_stream(X: Any) -> bool:
    """Whether `X` is an iterable of Arrow batches rather than one table."""
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and isinstance(X[0], (pa.RecordBatch, pa.Table))
    if hasattr(X, "to_batches") and hasattr(X, "scanner"):  # a pyarrow Dataset
        return True
    known = isinstance(X, (dict, str)) or hasattr(X, "shape") or hasattr(X, "__array__")
    return isinstance(X, Iterable) and not known


def batches_of(X: Iterable[Any]) -> Iterator[pa.Table]:
    """The tables of a stream; it is asked for a new pass each time."""
    if isinstance(X, (pa.Table, pa.RecordBatch)):
        X = [X]
    if hasattr(X, "to_batches"):  # a pyarrow Dataset, whose own readahead would hold millions of rows
        X = Again(partial(X.to_batches, **_reading(X)))
    if not isinstance(X, Iterable):
        raise FieldsError(f"A stream of Arrow batches is needed, not {type(X).__name__}.")
    if iter(X) is X:
        raise FieldsError(
            "The batches can be read only once: give a list or an object whose iteration starts anew."
        )
    for batch in X:
        yield batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])


def _reading(dataset: Any) -> dict[str, Any]:
    """How a dataset is read in little memory: no row group as a whole where its file is at hand."""
    import pyarrow.dataset as ds  # where one is given, it is loaded
    from pyarrow.fs import LocalFileSystem

    reading: dict[str, Any] = {"batch_size": _READ, "batch_readahead": 2, "fragment_readahead": 1}
    if (
        isinstance(dataset, ds.FileSystemDataset)
        and isinstance(dataset.format, ds.ParquetFileFormat)
        and isinstance(dataset.filesystem, LocalFileSystem)
    ):
        reading["fragment_scan_options"] = ds.ParquetFragmentScanOptions(
            use_buffered_stream=True, buffer_size=1 << 20, pre_buffer=False
        )
    return reading


class Again:
    """Turns a function that makes an iterator into something that can be iterated anew."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __iter__(self) -> Any:
        return iter(self._make())


def as_columns(estimator: BaseEstimator, X: Any, *, reset: bool) -> Columns:
    """The columns of `X`; arrays get the names ``x0, x1, …``.

    Parameters
    ----------
    estimator : estimator
        Learns (`reset`) or compares ``feature_names_in_`` and ``n_features_in_``.
    X : DataFrame, pyarrow Table or RecordBatch, polars frame, or array-like of shape (n, p)
    reset : bool

    Raises
    ------
    FieldsError
        If two columns have one name, or there are no rows.
    """
    if isinstance(X, pa.RecordBatch):
        X = pa.Table.from_batches([X])
    if hasattr(X, "to_arrow") and not isinstance(X, pd.DataFrame):  # polars
        X = X.to_arrow()
    if not isinstance(X, (pd.DataFrame, pa.Table)):
        X = _from_array(estimator, X, reset=reset)
    else:
        if isinstance(X, pd.DataFrame):
            X = X.set_axis([n if isinstance(n, str) else f"x{n}" for n in X.columns], axis=1)
        names = list(X.columns if isinstance(X, pd.DataFrame) else X.column_names)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise FieldsError(f"The table has two columns named {twice!r}: rename one.")
        _check_feature_names(estimator, X if isinstance(X, pd.DataFrame) else _head(X), reset=reset)
        _check_n_features(estimator, X, reset=reset)
    if X.shape[1] == 0:
        raise FieldsError("The table has no column to learn from.")
    n = len(X)
    if n < (2 if reset else 1):
        raise FieldsError(f"The table has {n} sample(s), which is too few.")
    if isinstance(X, pa.Table):
        return {name: X.column(name).combine_chunks() for name in X.column_names}
    return {name: _array(X[name]) for name in X.columns}


def _head(table: pa.Table) -> pd.DataFrame:
    return pd.DataFrame(columns=table.column_names)


def _from_array(estimator: BaseEstimator, X: Any, *, reset: bool) -> pd.DataFrame:
    options: dict[str, Any] = {"ensure_all_finite": "allow-nan", "ensure_min_samples": 2 if reset else 1}
    try:
        array = validate_data(estimator, X, reset=reset, dtype=np.float64, **options)
    except ValueError as error:
        if "could not convert" not in str(error):
            raise
        array = validate_data(estimator, X, reset=reset, dtype=None, **options)  # text
    given = getattr(estimator, "feature_names_in_", None)
    names = [f"x{i}" for i in range(array.shape[1])] if given is None else list(given)
    frame = pd.DataFrame(array, columns=names)
    return frame.infer_objects() if array.dtype == object else frame


def _array(series: pd.Series) -> pa.Array:
    try:
        found = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):  # several types in a column
        found = pa.array(series.astype(str).where(series.notna()), from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def to_plain(name: str, array: pa.Array, kind: str) -> pa.Array:
    """A column as a vocabulary reads it: plain values, or lists of them.

    Raises
    ------
    FieldsError
        If its cells hold anything else.
    """
    types, inner = pa.types, array.type
    if types.is_list(inner) or types.is_large_list(inner) or types.is_fixed_size_list(inner):
        if kind == "categorical":
            raise FieldsError(f"The column {name!r} holds lists: make its kind 'multi' or 'sequence'.")
        inner = inner.value_type
    if types.is_nested(inner):
        raise FieldsError(
            f"The cells of the column {name!r} hold {inner}: a field has plain values, or lists of them; "
            "unfold it, or leave it out."
        )
    if types.is_binary(array.type) or types.is_large_binary(array.type):
        try:
            return pc.cast(array, pa.string())
        except pa.ArrowInvalid:
            raise FieldsError(
                f"The column {name!r} holds bytes that are no text: encode it as text, or leave it out."
            ) from None
    return array


def to_float(name: str, array: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column as numbers, NaN where missing.

    Raises
    ------
    FieldsError
        If a cell is no number, or is infinite; the sentence names column and row.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_temporal(array.type) and not pa.types.is_duration(array.type):
        array = pc.cast(array, pa.timestamp("us"), safe=False) if not pa.types.is_time(array.type) else array
        array = pc.cast(array, pa.int64(), safe=False)
    elif pa.types.is_duration(array.type):
        array = pc.cast(array, pa.int64(), safe=False)
    try:
        numbers = pc.cast(array, pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        text = pd.Series(array.to_pandas())
        wrong = pd.to_numeric(text, errors="coerce").isna() & text.notna()
        row = int(np.flatnonzero(wrong.to_numpy())[0]) if wrong.any() else 0
        raise FieldsError(
            f"The column {name!r} cannot be numeric: row {row} holds {text.iloc[row]!r}; "
            "make it categorical, or correct it."
        ) from None
    values = numbers.to_numpy(zero_copy_only=False)
    infinite = np.isinf(values)
    if infinite.any():
        raise FieldsError(
            f"The column {name!r} holds an infinite number in row {int(infinite.argmax())}: "
            "leave the cell empty, or cap it."
        )
    return values

"""Vocabularies of categorical fields: counting values over batches, and looking them up, all in Arrow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workbench.ctr._columns import FieldsError

__all__ = ["MISSING", "RESERVED", "UNSEEN", "VocabularyBuilder", "lookup", "lookup_lists"]

UNSEEN = 0  #: index of rare values and of those never seen
MISSING = 1  #: index of a missing cell, and of the padding of lists
RESERVED = 2  #: indices before the vocabulary's own


class VocabularyBuilder:
    """Counts the values of a field over one or many batches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._table: pa.Table | None = None
        self._parts: list[pa.Table] = []
        self._nulls = 0

    def add(self, array: pa.Array, kind: str, separator: str) -> None:
        """Count a batch: cells of a categorical field, or the values inside the cells of a list."""
        if kind in ("multi", "sequence"):
            array = _as_lists(array, separator).flatten()
        keys = _keys(array)
        self._nulls += keys.null_count
        counted = keys.drop_null().value_counts()
        self._parts.append(pa.table({"value": counted.field("values"), "count": counted.field("counts")}))
        # Merged when the parts have grown as long as the whole, so each value is merged a few times only.
        if sum(map(len, self._parts)) >= (0 if self._table is None else len(self._table)):
            self._merge()

    def _merge(self) -> None:
        tables = [*([] if self._table is None else [self._table]), *self._parts]
        self._parts = []
        if len({table["value"].type for table in tables}) > 1:  # numbers in one batch, text in another
            tables = [t.set_column(0, "value", pc.cast(t["value"], pa.string())) for t in tables]
        if len(tables) > 1:
            merged = pa.concat_tables(tables).group_by("value").aggregate([("count", "sum")])
            tables = [merged.rename_columns({"count_sum": "count"})]
        self._table = tables[0] if tables else None

    def finish(
        self, min_count: int, n_buckets: int | None
    ) -> tuple[NDArray[Any], NDArray[np.int64], dict[str, Any]]:
        """Values by falling frequency, counts by index, and how they are hashed (empty if they are not)."""
        if self._parts:
            self._merge()
        if self._table is None:
            raise FieldsError(f"The field {self.name!r} has no rows.")
        values, counts = self._table["value"].combine_chunks(), self._table["count"].to_numpy()
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        text = pa.types.is_string(values.type)
        if n_buckets is not None and len(values) > n_buckets:
            total = np.zeros(RESERVED + n_buckets, dtype=np.int64)
            total[MISSING] = self._nulls
            np.add.at(total, _hash(values, n_buckets) + RESERVED, counts)
            kind = "text" if text else "int" if pa.types.is_integer(values.type) else "float"
            return np.empty(0), total, {"buckets": n_buckets, "type": kind}
        # Ties go by value, so that the order does not depend on the rows' order.
        order = pc.sort_indices(
            pa.table({"value": values, "count": counts}),
            sort_keys=[("count", "descending"), ("value", "ascending")],
        ).to_numpy()
        kept = order[counts[order] >= min_count]
        plain = np.empty(0, dtype=np.int64)
        if len(kept):
            # Text stays Python's: an array of NumPy's fixed width would lose a NUL at the end of a value.
            plain = values.take(pa.array(kept)).to_numpy(zero_copy_only=False)
        rare = int(counts.sum() - counts[kept].sum())
        return plain, np.array([rare, self._nulls, *counts[kept]], dtype=np.int64), {}


def lookup(array: pa.Array, vocabulary: NDArray[Any], hashed: dict[str, Any]) -> NDArray[np.int32]:
    """Index of each cell, (n,)."""
    if hashed:
        wanted = {"text": pa.string(), "int": pa.int64(), "float": pa.float64()}[hashed["type"]]
        keys = _keys(array, wanted)
        found = _hash(keys, hashed["buckets"]).astype(np.int32) + RESERVED
        # What does not read as the field's type has no bucket.
        found[keys.is_null().to_numpy(zero_copy_only=False)] = UNSEEN
    else:
        values = pa.array(vocabulary)
        keys = _keys(array, values.type)
        places = pc.fill_null(pc.index_in(keys, value_set=values), UNSEEN - RESERVED)
        found = places.to_numpy(zero_copy_only=False).astype(np.int32) + RESERVED
    found[array.is_null().to_numpy(zero_copy_only=False)] = MISSING
    return found


def lookup_lists(
    array: pa.Array,
    vocabulary: NDArray[Any],
    hashed: dict[str, Any],
    *,
    separator: str,
    length: int,
    last: bool,
) -> NDArray[np.int32]:
    """Indices of each cell's values, padded at the end with :data:`MISSING`; (n, length)."""
    lists = _as_lists(array, separator)
    flat = lookup(lists.flatten(), vocabulary, hashed)
    sizes = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    kept = np.minimum(sizes, length)
    starts = ends - kept if last else starts
    found = np.full((len(lists), length), MISSING, dtype=np.int32)
    inside = np.arange(length) < kept[:, None]
    found[inside] = flat[(starts[:, None] + np.arange(length))[inside]]
    return found


def _as_lists(array: pa.Array, separator: str) -> pa.Array:
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return array
    if pa.types.is_fixed_size_list(kind):
        return pc.cast(array, pa.list_(kind.value_type))
    text = _keys(array, pa.string())
    cells = pc.split_pattern(text, separator)
    # An empty text is an empty list, not a list of one empty text.
    return pc.if_else(pc.fill_null(pc.equal(text, ""), False), pa.scalar([], pa.list_(pa.string())), cells)


def _keys(array: pa.Array, wanted: pa.DataType | None = None) -> pa.Array:
    """Cells as int64, float64 or text: the type of the training rows (`wanted`), else their own."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_null(kind):
        return pc.cast(array, wanted or pa.int64())
    if pa.types.is_boolean(kind):
        array = pc.cast(array, pa.int64())
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        array = pc.cast(array, pa.float64(), safe=False)
        # 3.0 in a column with gaps is the 3 of a column without.
        if wanted is None or not pa.types.is_floating(wanted):
            whole = pc.fill_null(pc.equal(array, pc.round(array)), True)
            if wanted is None and pc.all(whole).as_py() is not False:
                array = pc.cast(array, pa.int64(), safe=False)
            elif wanted is not None and pa.types.is_integer(wanted):
                array = pc.cast(
                    pc.if_else(whole, array, pa.scalar(None, pa.float64())), pa.int64(), safe=False
                )
    elif pa.types.is_integer(kind):
        array = pc.cast(array, pa.int64(), safe=False)
    elif not pa.types.is_string(kind):
        array = pc.cast(array, pa.string())
    if wanted is None or array.type == wanted:
        return array
    if pa.types.is_string(wanted) or not pa.types.is_string(array.type):
        return pc.cast(array, wanted, safe=False)
    numbers = pd.to_numeric(array.to_pandas(), errors="coerce")  # text where numbers were learned
    return _keys(pa.array(numbers.astype("float64"), from_pandas=True), wanted)


def _hash(keys: pa.Array, n_buckets: int) -> NDArray[np.int64]:
    """A bucket a cell; the same in every process and version."""
    if pa.types.is_string(keys.type):
        coded = keys.dictionary_encode()
        words = np.array(coded.dictionary.to_pylist(), dtype=object)
        buckets = (pd.util.hash_array(words, categorize=False) % np.uint64(n_buckets)).astype(np.int64)
        places = pc.fill_null(coded.indices, 0).to_numpy(zero_copy_only=False)
        return buckets[places] if len(words) else np.zeros(len(keys), dtype=np.int64)
    numbers = pc.fill_null(keys, 0).to_numpy(zero_copy_only=False)
    return (pd.util.hash_array(numbers) % np.uint64(n_buckets)).astype(np.int64)

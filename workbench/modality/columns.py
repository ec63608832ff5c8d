"""Which columns belong to which modality, and what is wrong with a table that cannot be analysed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.errors import DatasetError

__all__ = [
    "Modalities",
    "ModalitiesError",
    "array_cell",
    "assign",
    "check_content",
    "check_rivals",
    "check_text",
    "guess_modalities",
]

#: ``{modality: [column, ...]}``, or ``modality_of(column) -> str | None``.
Modalities = Mapping[str, Sequence[Any]] | Callable[[str], str | None]

_SEPARATED = re.compile(r"^([^\s_.:/-]+)[\s_.:/-]")
_NUMBERED = re.compile(r"^(\D+)\d")


class ModalitiesError(DatasetError, ValueError):
    """Columns, or their assignment to modalities, cannot be used; a `ValueError` for scikit-learn."""


def guess_modalities(names: Sequence[str]) -> dict[str, list[str]]:
    """Modalities guessed from what the columns' names begin with.

    ``v1_mfcc1, v1_mfcc2, v2_meanX`` gives ``v1`` and ``v2``: a prefix ends at the first space, ``_``, ``.``,
    ``:``, ``/`` or ``-``, or in a name without such where digits begin (``pixel0``). Columns without a
    prefix form the modality ``other``; so does a
    prefix of one column unless all are such.

    Parameters
    ----------
    names : sequence of str

    Returns
    -------
    dict of str to list of str
        In the order in which the prefixes come.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        match = _SEPARATED.match(name) or _NUMBERED.match(name)
        found.setdefault(match.group(1) if match else "", []).append(name)
    lonely = [prefix for prefix, columns in found.items() if prefix == "" or len(columns) == 1]
    if len(lonely) == len(found):
        return {"all": list(names)}
    other = [name for name in names if any(name in found[prefix] for prefix in lonely)]
    kept = {prefix: columns for prefix, columns in found.items() if prefix not in lonely}
    return kept | ({"other": other} if other else {})


def assign(modalities: Modalities | None, names: Sequence[str]) -> dict[str, list[str]]:
    """Resolve a ``modalities`` parameter for a table with these columns.

    Parameters
    ----------
    modalities : dict, callable or None
        See `Modalities`. Columns of a dict may be names or positions; columns named in no modality are not
        used. None guesses from prefixes.
    names : sequence of str
        The table's columns.

    Returns
    -------
    dict of str to list of str

    Raises
    ------
    ModalitiesError
        If a column does not exist, stands in two modalities, or a modality has no column.
    """
    if modalities is None:
        return guess_modalities(names)
    if callable(modalities):
        chosen: dict[str, list[str]] = {}
        for name in names:
            modality = modalities(name)
            if modality is not None:
                chosen.setdefault(str(modality), []).append(name)
        if not chosen:
            raise ModalitiesError("The function given as modalities assigns no column to any modality.")
        return chosen
    if not modalities:
        raise ModalitiesError("No modality is given: assign at least one column to one.")
    return _from_mapping(modalities, names)


def _from_mapping(modalities: Mapping[str, Sequence[Any]], names: Sequence[str]) -> dict[str, list[str]]:
    known = set(names)
    owner: dict[str, str] = {}
    chosen: dict[str, list[str]] = {}
    for modality, columns in modalities.items():
        if isinstance(columns, str):
            columns = [columns]
        chosen[str(modality)] = [_name(column, names) for column in columns]
        if not chosen[str(modality)]:
            raise ModalitiesError(f"The modality {modality!r} has no columns: give it some, or leave it out.")
        for column in chosen[str(modality)]:
            if column not in known:
                raise ModalitiesError(
                    f"The modality {modality!r} names the column {column!r}, which the table does not have."
                )
            if column in owner:
                where = (
                    f"twice in the modality {modality!r}"
                    if owner[column] == str(modality)
                    else f"in the modalities {owner[column]!r} and {str(modality)!r}"
                )
                raise ModalitiesError(f"The column {column!r} stands {where}: keep it in one.")
            owner[column] = str(modality)
    return chosen


def check_rivals(chosen: Mapping[str, Sequence[str]], n_features: int) -> None:
    """Refuse fewer than two modalities.

    Raises
    ------
    ModalitiesError
    """
    if len(chosen) < 2:
        raise ModalitiesError(
            "Only one modality was found, and one has nobody to compete with: assign columns to two or more "
            f"(n_features = {n_features})."
        )


def _name(column: Any, names: Sequence[str]) -> str:
    if isinstance(column, (int, np.integer)) and not isinstance(column, bool):
        if not -len(names) <= column < len(names):
            raise ModalitiesError(f"There is no column number {column}: the table has {len(names)}.")
        return names[int(column)]
    return str(column)


def check_content(frame: pd.DataFrame, chosen: Mapping[str, Sequence[str]]) -> list[str]:
    """Refuse modalities that cannot be learned from; returns notes about what is merely odd.

    Raises
    ------
    ModalitiesError
        If a modality is empty (no value in any row), constant in every column, or holds raw text.
    """
    check_text(frame, chosen)
    notes = []
    for modality, columns in chosen.items():
        part = frame[list(columns)]
        if part.isna().all(axis=None):
            raise ModalitiesError(f"The modality {modality!r} is empty: it has no value in any row.")
        constant = [column for column in columns if is_constant(part[column])]
        if len(constant) == len(columns) and len(frame) > 1:
            one = len(constant) == 1
            what = f"the column {constant[0]!r} never changes" if one else "none of its columns ever changes"
            raise ModalitiesError(
                f"The modality {modality!r} is constant: {what}, so there is nothing to learn."
            )
        if constant:
            notes.append(
                f"{modality}: {len(constant)} of {len(columns)} columns never change and carry nothing "
                f"({', '.join(constant[:5])}{', …' if len(constant) > 5 else ''})."
            )
    return notes


def check_text(frame: pd.DataFrame, chosen: Mapping[str, Sequence[str]]) -> None:
    """Refuse columns of raw text.

    Raises
    ------
    ModalitiesError
    """
    for modality, columns in chosen.items():
        for column in columns:
            if is_raw_text(frame[column]):
                raise ModalitiesError(
                    f"The column {column!r} of the modality {modality!r} holds raw text: turn it into "
                    "numbers first (the preparation step 'vectorise', or an embedding of your own), then "
                    "assign those."
                )


def is_constant(column: pd.Series) -> bool:
    """Whether a column has at most one distinct value, missing ones aside."""
    values = column.dropna()
    if values.empty:
        return True
    if is_array_column(values):
        rows = [array_cell(v, column.name) for v in values]
        return all(np.array_equal(rows[0], row, equal_nan=True) for row in rows[1:])
    try:
        return len(values.unique()) <= 1
    except TypeError:  # a list among words, or dicts
        raise ModalitiesError(
            f"The column {column.name!r} holds neither numbers nor words nor arrays in every row: make it "
            "one of these."
        ) from None


def array_cell(value: Any, column: object) -> NDArray[np.float64]:
    """The numbers in one cell of an array column.

    Raises
    ------
    ModalitiesError
    """
    try:
        return np.asarray(value, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise ModalitiesError(
            f"The column {column!r} has arrays in some rows and in others what is no array of numbers."
        ) from None


def is_array_column(column: pd.Series) -> bool:
    """Whether the cells hold arrays or lists."""
    if column.dtype != object and not isinstance(column.dtype, pd.ArrowDtype):
        return False
    first = next((value for value in column if not _missing(value)), None)
    return isinstance(first, (list, tuple, np.ndarray))


def is_raw_text(column: pd.Series) -> bool:
    """Whether a column of strings holds sentences or near-unique strings and not categories."""
    if pd.api.types.is_numeric_dtype(column.dtype) or isinstance(column.dtype, pd.CategoricalDtype):
        return False
    values = [value for value in column if isinstance(value, str)]
    if len(values) < 10:
        return False
    distinct = len(set(values)) / len(values)
    words = float(np.mean([len(value.split()) for value in values]))
    return distinct > 0.5 and (words >= 3 or float(np.mean([len(value) for value in values])) > 30)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA

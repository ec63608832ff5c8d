"""A version of a data set as its users hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.datasets import catalog, files, series
from workbench.datasets.files import Column
from workbench.datasets.names import identifier
from workbench.datasets.reading import TABLE, Reader
from workbench.datasets.roles import Roles, check, layout
from workbench.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.arrays import SeriesData, TableData
    from workbench.store import StoreDir

__all__ = ["Dataset", "DatasetFile", "open_file"]

_NOT_FEATURES = ("label", "labels", "split", "domain", "weight", "series_id", "time", "channel")


class DatasetFile:
    """One immutable version file and its roles; needs no catalogue.

    Parameters
    ----------
    path : path-like
    roles : mapping of str to list of str
        See :mod:`workbench.datasets.roles`.
    name, version : optional
        Taken from the path ``<name>/<version>.duckdb`` if not given.
    columns : list of Column, optional
        Where they are known; else they are read from the file.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        roles: Mapping[str, str | Sequence[str]],
        *,
        name: str | None = None,
        version: int | None = None,
        columns: Sequence[Column] | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.parent.name if name is None else name
        stem = self.path.stem
        self.version = (int(stem) if stem.isdigit() else 0) if version is None else version
        self._reader = Reader(self.path)
        if columns is not None:
            self.columns = list(columns)
        self.roles: Roles = check(roles, self.columns)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.ref}: {self.n_rows:,} rows, {len(self.columns)} columns>"

    @property
    def ref(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @cached_property
    def columns(self) -> list[Column]:
        """The columns with their DuckDB types."""
        return [
            Column(row[0], row[1])
            for row in self._reader.rows(f"SELECT name, type FROM pragma_table_info('{TABLE}')")
        ]

    @cached_property
    def n_rows(self) -> int:
        """Rows of the table."""
        return int(self._reader.rows(f"SELECT count(*) FROM {TABLE}")[0][0])

    def head(self, n: int = 20) -> pd.DataFrame:
        """The first `n` rows."""
        return self.frame(limit=n)

    def frame(
        self, columns: Sequence[str] | None = None, limit: int | None = None, offset: int = 0
    ) -> pd.DataFrame:
        """Rows as a DataFrame, in the order of the file."""
        known = {column.name for column in self.columns}
        for name in columns or ():
            if name not in known:
                raise DatasetError(f"{self.ref} has no column {name!r}.")
        chosen = "*" if columns is None else ", ".join(map(identifier, columns))
        sql = f"SELECT {chosen} FROM {TABLE}"
        parameters: list[Any] = []
        if limit is not None or offset:
            sql += " LIMIT ? OFFSET ?"
            parameters = [2**62 if limit is None else int(limit), int(offset)]
        with self._reader.cursor() as cursor:
            return cursor.execute(sql, parameters).df()

    def query(self, sql: str, **limits: Any) -> pd.DataFrame:
        """The result of one read-only query, in which this version is called ``data``."""
        from workbench.datasets.sql import run_query

        return run_query(sql, {"data": self.path, self.name: self.path, self.ref: self.path}, **limits)

    # -- time series ---------------------------------------------------------------------------

    @property
    def is_series(self) -> bool:
        """Whether the roles describe time series."""
        return bool(self.roles.get("value"))

    @cached_property
    def _index(self) -> pd.DataFrame:
        return series.read_index(self._reader, self.roles, self.columns)

    def series_index(self) -> pd.DataFrame:
        """One row a series: ``id, label, split, length``."""
        return self._index.copy()

    def to_series(self) -> SeriesData:
        """All series as ``(n, T, d)``, NaN-padded at the end where lengths differ.

        Raises
        ------
        DatasetError
            If the roles describe no series, a label or split varies within one, or it would not fit.
        """
        return series.read_series(self._reader, self.roles, self.columns, index=self._index)

    def series(self, ids: Sequence[Any]) -> SeriesData:
        """Only the series `ids`, in that order; reads nothing else."""
        return series.read_series(self._reader, self.roles, self.columns, ids=ids)

    def times(self, id_: Any = None) -> pd.DatetimeIndex | None:
        """The times of the steps of one series.

        Parameters
        ----------
        id_ : optional
            Which series; of no matter where the data set is one series.

        Returns
        -------
        DatetimeIndex of length T, in UTC, or None
            In order. None where steps are counted and not dated; empty where there is no such series.
        """
        return series.read_times(self._reader, self.roles, self.columns, id_)

    def class_means(self) -> pd.DataFrame:
        """Mean, standard deviation and count by ``label, channel, step``."""
        from workbench.datasets.means import class_means

        return class_means(self.to_series())

    # -- tables --------------------------------------------------------------------------------

    def to_table(self) -> TableData:
        """One row a sample: features, and the label, split and weight beside them.

        Raises
        ------
        DatasetError
            If the rows are steps of time series.
        """
        from workbench.arrays import TableData

        if self.roles.get("value") and layout(self.roles) != "wide":
            raise DatasetError(f"{self.ref} holds time series, not one row a sample: use to_series().")
        features = [name for role, names in self.roles.items() if role not in _NOT_FEATURES for name in names]
        if not features:
            raise DatasetError(f"{self.ref} has no features: give columns the role 'field'.")
        order = {column.name: place for place, column in enumerate(self.columns)}
        features.sort(key=order.__getitem__)
        beside = ("label", "labels", "split", "weight")
        label, labels, split, weight = (self.roles.get(role) for role in beside)
        frame = self.frame([*features, *(name for role in beside for name in self.roles.get(role, []))])
        return TableData(
            X=frame[features],
            y=series.labels(frame[label[0]]) if label else None,
            split=series.splits(frame[split[0]]) if split else None,
            roles={role: list(names) for role, names in self.roles.items() if role not in _NOT_FEATURES},
            weight=frame[weight[0]].to_numpy(dtype=float, na_value=float("nan")) if weight else None,
            labels=frame[labels].astype(float) if labels else None,
        )

    def verify(self) -> None:
        """Compare the file with its checksum; here there is none to compare with."""

    def export(self, path: str | PathLike[str]) -> list[Path]:
        """Write the version as ``.csv``, ``.parquet`` or (time series) ``.ts``; returns the files."""
        from workbench.datasets.export import export

        return export(self, Path(path))


class Dataset(DatasetFile):
    """A version that stands in a store's catalogue.

    Attributes
    ----------
    name, version, ref, path, n_rows, n_bytes, columns, roles, role_revision
    created : float
        Unix seconds.
    source, importer, parent, sql, checksum
        Where it came from: file names, the importer, and for a derived one its parents and query.
    recipe : str or None
        JSON of the preparation that made it (``Preparation.from_json`` replays it).
    """

    def __init__(self, store: StoreDir, entry: catalog.Entry, revision: int | None = None) -> None:
        self._store, self._entry = store, entry
        self.role_revision, roles = catalog.roles_of(store, entry.name, entry.version, revision)
        super().__init__(
            catalog.path_of(store, entry.name, entry.version),
            roles,
            name=entry.name,
            version=entry.version,
            columns=entry.columns,
        )
        self.n_rows = entry.n_rows
        self.n_bytes, self.checksum, self.created = entry.n_bytes, entry.checksum, entry.created
        self.source, self.importer = entry.source, entry.importer
        self.parent, self.sql, self.recipe = entry.parent, entry.sql, entry.recipe

    @property
    def profile(self) -> dict[str, Any]:
        """See :func:`workbench.datasets.profile.profile`."""
        return self._entry.profile

    @property
    def notes(self) -> list[str]:
        """What its owner should know of how it was read: guesses, and what may be wrong."""
        return list(self.profile.get("notes", []))

    def with_roles(self, revision: int) -> Dataset:
        """The same version as seen by an earlier revision of its roles."""
        return Dataset(self._store, self._entry, revision)

    def seen_with(self, roles: Mapping[str, str | Sequence[str]]) -> Dataset:
        """The same version as other roles would show it; nothing is written.

        Raises
        ------
        DatasetError
            In one sentence.
        """
        seen = Dataset(self._store, self._entry, self.role_revision)
        seen.roles = check(roles, self.columns)
        return seen

    def set_roles(self, roles: Mapping[str, str | Sequence[str]]) -> Dataset:
        """Write a new revision of the roles; runs keep the one that they used.

        Raises
        ------
        DatasetError
            In one sentence; nothing is written then.
        """
        checked = check(roles, self.columns)
        if checked == self.roles:
            return self
        return self.with_roles(catalog.add_roles(self._store, self.name, self.version, checked))

    def set_labels(self, series: Mapping[Any, Any] | None = None, **where: Any) -> Dataset:
        """Give some series, intervals or rows another label: a new version, used by the next run.

        See :func:`workbench.datasets.labels.set_labels`.
        """
        from workbench.datasets.labels import set_labels

        return set_labels(self, series, **where)

    def mark_steps(self, spans: Sequence[tuple[Any, int, int, bool]]) -> Dataset:
        """Say of steps whether they are anomalous, by a new version.

        See :func:`workbench.datasets.labels.mark_steps`.
        """
        from workbench.datasets.labels import mark_steps

        return mark_steps(self, spans)

    def verify(self) -> None:
        """Compare the file with its checksum.

        Raises
        ------
        DatasetError
            If they differ.
        """
        if not self.path.is_file():
            raise DatasetError(f"The file of {self.ref} is gone: import it again.")
        if files.checksum(self.path) != self.checksum:
            raise DatasetError(f"The file of {self.ref} has changed since it was imported: do not trust it.")


def open_file(
    path: str | PathLike[str], roles: Mapping[str, str | Sequence[str]], ref: str | None = None
) -> DatasetFile:
    """Open one version file without any catalogue, as a run's own process does."""
    from workbench.naming import split_ref

    name, version = split_ref(ref) if ref else (None, None)
    return DatasetFile(path, roles, name=name, version=version)

"""All data sets of a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.datasets import catalog
from workbench.datasets.dataset import Dataset
from workbench.datasets.files import Build, Progress
from workbench.datasets.importers import Imported, format_of, importer, sources_of
from workbench.datasets.importers.unpacking import unpacked
from workbench.datasets.names import suggest_name
from workbench.datasets.publishing import publish
from workbench.errors import DatasetError, ImportFailed, UsageError
from workbench.naming import check_name

if TYPE_CHECKING:
    import pandas as pd

    from workbench.datasets.care import Diff
    from workbench.store import StoreDir

__all__ = ["Datasets"]


class Datasets:
    """The data sets of a store: import, find, query, delete.

    Parameters
    ----------
    store : StoreDir
    """

    def __init__(self, store: StoreDir) -> None:
        self.store = store

    def __repr__(self) -> str:
        return f"<Datasets of {self.store.root}>"

    def list(self) -> list[Dataset]:
        """The latest version of every data set, by name."""
        return [Dataset(self.store, entry) for entry in catalog.latest(self.store)]

    def versions(self, name: str) -> Sequence[Dataset]:
        """All versions of one, the newest first."""
        return [Dataset(self.store, entry) for entry in catalog.versions(self.store, name)]

    def get(self, ref: str, revision: int | None = None) -> Dataset:
        """``"name@version"``, or the latest version of ``"name"``.

        Raises
        ------
        DatasetNotFound
        """
        return Dataset(self.store, catalog.entry(self.store, ref), revision)

    def __contains__(self, ref: str) -> bool:
        try:
            catalog.entry(self.store, ref)
        except (DatasetError, UsageError):
            return False
        return True

    def delete(self, ref: str) -> Sequence[str]:
        """Remove a version, or all of them for a bare name; refused while a run refers to one."""
        return catalog.delete(self.store, ref)

    def diff(self, before: str, after: str) -> Diff:
        """What differs between two versions: schema, rows and distributions."""
        from workbench.datasets.care import diff

        return diff(self.get(before), self.get(after))

    def lineage(self, ref: str | None = None) -> pd.DataFrame:
        """What was made of what, as a frame of edges; only around `ref` where given."""
        from workbench.datasets.care import lineage

        return lineage(self.store, ref)

    def sizes(self) -> pd.DataFrame:
        """Every version with its size and the number of its runs, the largest first."""
        from workbench.datasets.care import sizes

        return sizes(self.store)

    def retain(self, **rules: Any) -> Sequence[str]:
        """Delete old versions that no run refers to; see :func:`workbench.datasets.care.retain`."""
        from workbench.datasets.care import retain

        return retain(self.store, **rules)

    def verify(self, name: str | None = None) -> pd.DataFrame:
        """Compare the files of all versions (of `name`) with their checksums: ``ref, problem``."""
        from workbench.datasets.care import verify

        names = [name] if name is not None else [dataset.name for dataset in self.list()]
        return verify([version for each in names for version in self.versions(each)])

    def sweep(self) -> None:
        """Remove what crashed imports left; safe at any time, called when a store's service starts."""
        catalog.sweep(self.store)

    def import_files(
        self,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        name: str | None = None,
        *,
        format: str = "auto",
        roles: Mapping[str, str | Sequence[str]] | None = None,
        options: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Dataset:
        """Import one or more files as one data set; a name that exists gets a new version.

        Files named ``…_TRAIN`` and ``…_TEST`` make one data set with a ``split`` column.

        Parameters
        ----------
        paths : path-like or sequence of path-like
        name : str, optional
            What the files' names have in common, if not given.
        format : str
            ``"auto"`` goes by the suffix; see :data:`workbench.datasets.importers.FORMATS`.
        roles : mapping, optional
            Guessed if not given. Roles of single columns alone, such as ``{"label": "y"}``, are put on top
            of the guesses for the other columns; with features among them they are taken as they are.
        options : mapping, optional
            What the format has to be told, e.g. ``{"delimiter": "^"}`` or ``{"types": {"id": "VARCHAR"}}``.
        progress : callable, optional
            ``progress(share, message)``.

        Returns
        -------
        Dataset
            The published version.

        Raises
        ------
        ImportFailed
            Naming file, line and column where known; nothing is kept.
        """
        chosen = [Path(paths)] if isinstance(paths, str | PathLike) else [Path(path) for path in paths]
        if not chosen:
            raise UsageError("No file to import was named.")
        for path in chosen:
            if not path.exists():
                raise ImportFailed("There is no such file.", file=path)
        name = check_name(name if name is not None else suggest_name(chosen))
        kind = format_of(chosen) if format == "auto" else format
        read = importer(kind)

        def fill(build: Build) -> Imported:
            with unpacked(sources_of(chosen), build) as sources:
                return read(sources, build, options or {})

        return publish(
            self.store,
            name,
            fill,
            source=", ".join(path.name for path in chosen),
            importer=kind,
            roles=roles,
            progress=progress,
        )

    def publish_frame(
        self,
        frame: Any,
        name: str,
        roles: Mapping[str, str | Sequence[str]] | None = None,
        *,
        parent: str | None = None,
        source: str = "",
    ) -> Dataset:
        """Publish a pandas or polars frame, or an Arrow table, as the next version of `name`."""
        from workbench.datasets.importers.frames import arrow_table

        table = arrow_table(frame)

        def fill(build: Build) -> Imported:
            build.append(table)
            return Imported()

        return publish(
            self.store,
            name,
            fill,
            source=source or type(frame).__module__.partition(".")[0],
            importer="frame",
            roles=roles,
            parent=parent,
        )

    def publish_arrays(
        self,
        X: Any,
        y: Any = None,
        *,
        name: str,
        split: Any = None,
        channels: Sequence[str] | None = None,
        source: str = "numpy",
    ) -> Dataset:
        """Publish an array (n, T, d) of series, NaN-padded where lengths differ, or a table (n, p)."""
        from workbench.datasets.importers.arrays import write_arrays

        return publish(
            self.store,
            name,
            lambda build: write_arrays(build, X, y, split=split, channels=channels),
            source=source,
            importer="arrays",
        )

    def publish_query(
        self, sql: str, name: str, roles: Mapping[str, str | Sequence[str]] | None = None, **limits: Any
    ) -> Dataset:
        """Publish the result of a read-only query over other data sets, with its lineage."""
        from workbench.datasets.sql import QueryBox

        name = check_name(name)
        with QueryBox(sql, self._paths, **limits) as box:

            def fill(build: Build) -> Imported:
                build.append(box.batches())
                return Imported()

            return publish(
                self.store, name, fill, importer="sql", roles=roles, parent=", ".join(box.refs), sql=sql
            )

    def publish_build(
        self,
        name: str,
        fill: Callable[[Build], Imported],
        *,
        importer: str,
        source: str = "",
        parent: str | None = None,
        recipe: Callable[[], tuple[str, str]] | None = None,
    ) -> Dataset:
        """Publish what `fill` writes into the table ``data`` of a build; for importers of other kinds.

        `recipe`, called when the table is made, returns the recipe as JSON and as SQL.
        """
        return publish(self.store, name, fill, importer=importer, source=source, parent=parent, recipe=recipe)

    def sql(self, query: str, **limits: Any) -> pd.DataFrame:
        """The result of one read-only query; data sets are views called ``name`` and ``"name@3"``.

        Parameters
        ----------
        query : str
        **limits
            See :func:`workbench.datasets.sql.run_query`.

        Returns
        -------
        DataFrame

        Raises
        ------
        QueryRefused
        """
        from workbench.datasets.sql import run_query

        return run_query(query, self._paths, **limits)

    def explain(self, query: str) -> str:
        """The plan of a read-only query, as text; it is not run."""
        from workbench.datasets.sql import QueryBox

        with QueryBox(query, self._paths) as box:
            return box.explain()

    def export_query(self, query: str, path: str | PathLike[str], **limits: Any) -> Path:
        """Write the whole result of a read-only query as ``.csv`` (formulas disarmed) or ``.parquet``."""
        from workbench.datasets.export import export_batches
        from workbench.datasets.sql import QueryBox

        with QueryBox(query, self._paths, **limits) as box:
            return export_batches(box.batches(), Path(path))

    def complete(self, text: str, position: int | None = None) -> list[str]:  # type: ignore[valid-type]
        """What the word before `position` of a query may become; see :mod:`workbench.datasets.assist`."""
        from workbench.datasets.assist import complete

        return complete(self.store, text, position)

    def history(self, owner: str = "", *, search: str = "", limit: int = 100) -> pd.DataFrame:
        """Earlier queries of `owner`, the newest first: ``id, sql, created, seconds, n_rows, error``."""
        from workbench.datasets.assist import history

        return history(self.store, owner, search=search, limit=limit)

    def forget(self, ids: Sequence[int] | None = None, owner: str = "") -> None:
        """Remove queries from the history; all of `owner`'s where no ids are named."""
        from workbench.datasets.assist import forget

        forget(self.store, None if ids is None else [*ids], owner)

    def import_database(self, url: str, query: str, name: str) -> Dataset:
        """Publish the result of `query` in another database; see :mod:`workbench.datasets.sources`."""
        from workbench.datasets.sources import import_database

        return import_database(self, url, query, name)

    def import_objects(self, url: str, name: str | None = None, **options: Any) -> Dataset:
        """Import a file, or a folder of Parquet files, from an object store such as ``s3://bucket/a.csv``."""
        from workbench.datasets.sources import import_objects

        return import_objects(self, url, name, **options)

    def refresh(self, ref: str, url: str | None = None) -> Dataset:
        """Ask a database or object store again, as the next version; `url` brings the credentials."""
        from workbench.datasets.sources import refresh

        return refresh(self, ref, url)

    def sources(self) -> pd.DataFrame:
        """What comes from databases and object stores: ``ref, kind, url, query, created``."""
        from workbench.datasets.sources import listed

        return listed(self)

    def prepare(self, ref: str, steps: Any, name: str) -> Dataset:
        """Apply steps, or a whole ``Preparation``, to `ref`: the next version of `name`.

        `steps` may also be a reference: the recipe that made that version is then replayed.
        """
        from workbench.datasets.prepare import Preparation

        if isinstance(steps, str):
            chosen = Preparation.of(self.get(steps))
        else:
            chosen = steps if isinstance(steps, Preparation) else Preparation(steps)
        return chosen.apply(self.get(ref), name)

    def label_versions(self, name: str) -> pd.DataFrame:
        """The versions made by labelling, newest first; see :func:`workbench.datasets.labels.versions`."""
        from workbench.datasets.labels import versions

        return versions(self.versions(name))

    def _paths(self, ref: str) -> tuple[str, Path] | None:
        """The ref and file of what a query calls `ref`."""
        known = catalog.names(self.store)
        name, at, version = ref.partition("@")
        if name not in known:  # SQL does not tell upper from lower case
            name = next((other for other in known if other.lower() == name.lower()), name)
        try:
            entry = catalog.entry(self.store, name + at + version)
        except (DatasetError, UsageError):
            return None
        return entry.ref, catalog.path_of(self.store, entry.name, entry.version)

"""Other sources: a query of a database (SQLAlchemy), and files in an object store (pyarrow).

Credentials are used and forgotten: what is kept of an address has no user, no password and no options. A
refresh asks the same again, with credentials from the call or from where the client libraries look for them
(``PGPASSWORD``, ``AWS_ACCESS_KEY_ID``, …).
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported, format_of, importer, sources_of
from workbench.datasets.importers.frames import check_columns
from workbench.datasets.importers.unpacking import unpacked
from workbench.datasets.names import suggest_name
from workbench.errors import DatasetError, ImportFailed, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from workbench.datasets.dataset import Dataset
    from workbench.datasets.library import Datasets

__all__ = [
    "address_of", "bare", "has_password", "import_database", "import_objects", "is_objects", "listed",
    "refresh", "with_credentials",
]  # fmt: skip

_BATCH_ROWS = 50_000
_IN_PATHS = "/%:@!$&'()*+,;=~"  # what an address has in its path as it is
_OBJECTS = ("s3", "gs", "gcs", "abfs", "hdfs")
_KEPT_OPTIONS = ("region", "scheme", "endpoint_override")  # where a store is; all others may be secrets


def bare(url: str) -> str:
    """`url` without user, password, options and fragment: what may be kept and shown.

    Raises
    ------
    UsageError
        If it cannot be told where a password in it ends.
    """
    parts = _split(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None or ("@" in url and "@" not in parts.netloc and ":" in parts.netloc):
        raise UsageError(
            "The user or password in the address holds signs that end it: write / as %2F, ? as %3F, # as %23,"
            " [ as %5B and ] as %5D, or have the environment hold it."
        ) from None
    return parts


def is_objects(url: str) -> bool:
    """Whether `url` is the address of an object store."""
    return _split(url).scheme in _OBJECTS


def has_password(url: str) -> bool:
    """Whether a password stands in `url`."""
    return _split(url).password is not None


def with_credentials(url: str, user: str | None, password: str | None) -> str:
    """`url` with a user (or access key) and a password (or secret key), quoted as they have to be."""
    parts = _split(url)
    own, _, host = parts.netloc.rpartition("@")
    name = quote(user, safe="") if user is not None else own.partition(":")[0]
    secret = f":{quote(password, safe='')}" if password is not None else ""
    # Not geturl(): it would drop the empty host of sqlite:///file.
    rest = url.partition("://")[2][len(parts.netloc) :]
    return f"{parts.scheme}://{f'{name}{secret}@' if name or secret else ''}{host}{rest}"


def _kept(url: str) -> str:
    """`url` as it is kept for a refresh: bare, with the options that tell where an object store is."""
    options = [(key, value) for key, value in parse_qsl(_split(url).query) if key in _KEPT_OPTIONS]
    return bare(url) + (f"?{urlencode(options)}" if is_objects(url) and options else "")


def import_database(datasets: Datasets, url: str, query: str, name: str) -> Dataset:
    """Publish the result of `query` in the database at `url`, in a stream, as the next version of `name`.

    Parameters
    ----------
    datasets : Datasets
    url : str
        As SQLAlchemy has it, e.g. ``postgresql+psycopg://user:password@host/database``.
    query : str
        In the database's own SQL; it runs in a transaction that is rolled back.
    name : str

    Returns
    -------
    Dataset
        The published version.

    Raises
    ------
    ImportFailed
        In one sentence without the credentials; nothing is kept.
    """
    try:
        import sqlalchemy as sa
    except ImportError:
        raise UsageError("Databases need the package SQLAlchemy: install workbench[database].") from None
    try:
        engine = sa.create_engine(url, hide_parameters=True)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError):
        raise UsageError(
            "The address of the database is not of the form dialect://user:password@host/database."
        ) from None
    except ImportError as error:
        raise UsageError(f"The database's driver {error.name} is not installed.") from None

    def fill(build: Build) -> Imported:
        try:
            with engine.connect() as connection:
                streamed = connection.execution_options(stream_results=True, yield_per=_BATCH_ROWS)
                result = streamed.execute(sa.text(query.replace(":", "\\:")))
                if not result.returns_rows:
                    raise ImportFailed("The query returns no rows: it must be a SELECT.")
                names = list(result.keys())
                check_columns(names)
                for table in _tables(names, result.partitions()):
                    build.append(table)
                connection.rollback()
        except sa.exc.SQLAlchemyError as error:
            raise ImportFailed(_told(error, engine.url.password), file=bare(url)) from None
        return Imported()

    kept = json.dumps({"refresh": {"kind": "database", "url": bare(url), "query": query}})
    try:
        return datasets.publish_build(
            name, fill, importer="database", source=bare(url), recipe=lambda: (kept, "")
        )
    finally:
        engine.dispose()


def import_objects(datasets: Datasets, url: str, name: str | None = None, **options: Any) -> Dataset:
    """Import a file, or a folder of Parquet files, from an object store, e.g. ``s3://bucket/data.csv``.

    Parameters
    ----------
    datasets : Datasets
    url : str
        As :meth:`pyarrow.fs.FileSystem.from_uri` reads it.
    name : str, optional
    **options
        See :meth:`Datasets.import_files` (``options``).

    Returns
    -------
    Dataset
        The published version.
    """
    shown = bare(url)
    if not is_objects(url):
        raise UsageError(f"{shown!r} is not the address of an object store, such as s3://bucket/data.csv.")
    leaf = Path(_split(url).path.rstrip("/") or _split(shown).netloc).name

    def fill(build: Build) -> Imported:
        folder = build.folder / "objects"
        folder.mkdir()
        target = folder / leaf
        try:
            _fetch(url, target, build)
        except (OSError, ValueError) as error:
            if getattr(error, "filename", None) is not None:
                raise  # the disk
            raise ImportFailed(_told(error, _split(url).password), file=shown) from None
        read = importer(format_of([target]))
        try:
            with unpacked(sources_of([target]), build) as sources:
                imported = read(sources, build, options)
        except ImportFailed as error:
            raise ImportFailed(error.problem, file=shown, line=error.line, column=error.column) from None
        shutil.rmtree(folder)
        return imported

    kept = json.dumps({"refresh": {"kind": "objects", "url": _kept(url), "options": options}})
    return datasets.publish_build(
        name or suggest_name([leaf]), fill, importer="objects", source=shown, recipe=lambda: (kept, "")
    )


def refresh(datasets: Datasets, ref: str, url: str | None = None) -> Dataset:
    """Import again from where `ref` came from, as its next version.

    Parameters
    ----------
    datasets : Datasets
    ref : str
    url : str, optional
        The address with its credentials, where the environment does not hold them.

    Returns
    -------
    Dataset
        The new version, or the one there was where nothing has changed.
    """
    dataset = datasets.get(ref)
    origin = _origin(dataset)
    if url is not None and bare(url) != bare(origin["url"]):
        raise UsageError(f"{dataset.ref} came from {bare(origin['url'])}, not from {bare(url)}.")
    address = url if url is not None else origin["url"]
    if origin["kind"] == "database":
        return import_database(datasets, address, origin["query"], dataset.name)
    return import_objects(datasets, address, dataset.name, **origin["options"])


def address_of(dataset: Dataset) -> str:
    """The address, without credentials, that a version was fetched from.

    Raises
    ------
    DatasetError
        If it was not fetched.
    """
    return str(_origin(dataset)["url"])


def _origin(dataset: Dataset) -> dict[str, Any]:
    """``kind, url``, and ``query`` or ``options``."""
    if not _is_fetched(dataset):
        raise DatasetError(f"{dataset.ref} did not come from a database or an object store: import it again.")
    found: dict[str, Any] = json.loads(dataset.recipe or "")["refresh"]
    return found


def _is_fetched(dataset: Dataset) -> bool:
    return dataset.importer in ("database", "objects") and bool(dataset.recipe)


def listed(datasets: Datasets) -> pd.DataFrame:
    """The data sets whose latest version was fetched: ``ref, kind, url, query, created``."""
    import pandas as pd

    rows = []
    for dataset in datasets.list():
        if _is_fetched(dataset):
            origin = _origin(dataset)
            where = {"kind": origin["kind"], "url": bare(origin["url"]), "query": origin.get("query", "")}
            rows.append({"ref": dataset.ref, **where, "created": dataset.created})
    return pd.DataFrame(rows, columns=["ref", "kind", "url", "query", "created"])


def _quoted(url: str) -> str:
    """`url` with those signs of its path quoted that people write as they are: spaces, umlauts."""
    scheme, _, rest = url.partition("://")
    bucket, slash, rest = rest.partition("/")
    path, mark, options = rest.partition("?")
    path = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", path)
    return f"{scheme}://{bucket}{slash}{quote(path, safe=_IN_PATHS)}{mark}{options}"


def _fetch(url: str, target: Path, build: Build) -> None:
    from pyarrow import fs

    system, path = fs.FileSystem.from_uri(_quoted(url))
    info = system.get_file_info(path)
    if info.type == fs.FileType.NotFound:
        raise ImportFailed("There is no such object.", file=bare(url))
    found = (
        [info]
        if info.type == fs.FileType.File
        else system.get_file_info(fs.FileSelector(path, recursive=True))
    )
    total = sum(each.size or 0 for each in found) or 1
    done = 0
    for each in found:
        if each.type != fs.FileType.File:
            continue
        place = target if each is info else target / Path(each.path).relative_to(path)
        if not place.resolve().is_relative_to(target.parent.resolve()):
            raise ImportFailed(f"the object {each.path!r} would be written outside.", file=bare(url))
        place.parent.mkdir(parents=True, exist_ok=True)
        with system.open_input_stream(each.path, compression=None) as source, place.open("wb") as out:
            while chunk := source.read(1 << 20):
                out.write(chunk)
                done += len(chunk)
                build.say(min(done / total, 1.0), f"fetching {place.name}")


def _tables(names: Sequence[str], partitions: Any) -> Iterator[pa.Table]:
    """Rows of Python objects as Arrow tables of one schema, that of the first ones."""
    import pyarrow as pa

    schema: pa.Schema | None = None
    for rows in partitions:
        columns = [[_plain(cell) for cell in column] for column in zip(*rows, strict=True)]
        arrays = []
        for place, (name, column) in enumerate(zip(names, columns, strict=True)):
            try:
                array = pa.array(column) if schema is None else pa.array(column, schema.types[place])
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                raise ImportFailed(
                    f"The column {name!r} holds values of more than one type: cast it in the query."
                ) from None
            arrays.append(array.cast(pa.string()) if pa.types.is_null(array.type) else array)
        table = pa.table(arrays, names=list(names))
        schema = table.schema
        yield table


def _plain(cell: Any) -> Any:
    if isinstance(cell, decimal.Decimal):
        return float(cell)
    if isinstance(cell, dict):
        return json.dumps(cell, default=str)
    if isinstance(cell, uuid.UUID):
        return str(cell)
    if isinstance(cell, memoryview):
        return bytes(cell)
    if isinstance(cell, dt.datetime) and cell.tzinfo is not None:
        return cell.astimezone(dt.UTC)
    return cell


def _told(error: Exception, *secrets: str | None) -> str:
    """The first line of what went wrong, without credentials."""
    line = (str(getattr(error, "orig", None) or error).strip() or type(error).__name__).splitlines()[0]
    line = re.sub(r"//[^/@\s]+@", "//", line)
    for secret in secrets:
        if secret:
            line = line.replace(str(secret), "***")
    return line.rstrip(" .") + "."

"""Getting data in: files from the browser or the server, databases, object stores."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.datasets.importers import FORMATS
from workbench.errors import DatasetError, UsageError, WorkbenchError
from workbench.gui import navigation, sources
from workbench.gui.context import store
from workbench.gui.failures import guard
from workbench.gui.text import bytes_, count, duration, md

if TYPE_CHECKING:
    from workbench.datasets import Dataset
    from workbench.datasets.files import Progress

__all__ = ["import_options", "import_panel", "refresh", "server_path"]

_IMPORTED = "imported"  # what the last import made, to be said once
_ROUND = "import.round"  # grows with every import: what was typed, and passwords above all, is gone then

#: What a delimited file may be told: label -> value.
DELIMITERS = {
    "as found": None, "comma": ",", "semicolon": ";", "tab": "\t", "bar |": "|", "space": " ", "caret ^": "^",
}  # fmt: skip
ENCODINGS = ["as found", "utf-8", "latin-1", "windows-1252", "utf-16"]
SIGNS = {"as found": None, "point": ".", "comma": ","}
HEADERS = {"as found": None, "the first row has names": True, "there is none": False}


def import_panel() -> None:
    """Import from wherever the data are; says so on the page that is opened then."""
    if _IMPORTED in st.session_state:
        st.success(st.session_state.pop(_IMPORTED))
    with st.expander("Import data", icon=":material/upload:", expanded=not store().datasets.list()):
        kind = st.segmented_control(
            "From",
            ["Files", "Database", "Object store"],
            default="Files",
            required=True,
            key="import.from",
            label_visibility="collapsed",
        )
        {"Files": _files, "Database": _database, "Object store": _objects}[kind or "Files"]()


def _key(name: str) -> str:
    return f"{name}.{st.session_state.get(_ROUND, 0)}"


def _files() -> None:
    folders = import_folders()
    with st.form(_key("import"), border=False):
        files = st.file_uploader(
            "Files (several make one data set: _TRAIN and _TEST in their names make its split)",
            accept_multiple_files=True,
            key=_key("files"),
            help="CSV, TSV, Parquet, Arrow, JSON lines, .ts, .arff, .npz, .npy, libsvm, libffm, Excel, .gz",
        )
        path = ""
        if folders:
            shown = ", ".join(str(folder) for folder in folders)
            path = st.text_input(f"Or a path on the server, below {md(shown)}")
        name = st.text_input("Name (empty: from the file names; a name in use gets a new version)")
        with st.expander("If the guess is wrong"):
            chosen, options = _reading()
        asked = st.form_submit_button("Import", type="primary")
    if not asked:
        return
    with guard():
        told = import_options(**options)
        if files:
            with _written(files) as paths:
                _import(paths, name, chosen, told)
        elif path.strip():
            paths = [server_path(part.strip(), folders) for part in path.split(";") if part.strip()]
            _import(paths, name, chosen, told)
        else:
            st.warning("Choose a file first.")


def _reading() -> tuple[str, dict[str, Any]]:
    """Fields for what a file has to be told."""
    left, middle, right = st.columns(3)
    chosen = left.selectbox("Format", ["auto", *FORMATS], help="auto goes by the suffix")
    delimiter = middle.selectbox(
        "Delimiter", list(DELIMITERS), accept_new_options=True, help="Of delimited text; or type another."
    )
    encoding = right.selectbox("Encoding", ENCODINGS, accept_new_options=True)
    header = left.selectbox("Names of the columns", list(HEADERS))
    null = middle.text_input(
        "Missing values are written as", help="E.g. NA or -999; an empty cell is missing."
    )
    types = right.text_input(
        "Types of columns", placeholder="id: VARCHAR, day: DATE", help="What is not named is as found."
    )
    skip = left.text_input("Lines to skip above the table", placeholder="as found")
    decimal = middle.selectbox("Decimal sign", list(SIGNS))
    dates = right.text_input("Dates are written as", placeholder="%d.%m.%Y")
    return chosen, {
        "delimiter": delimiter,
        "encoding": encoding,
        "header": header,
        "null": null,
        "types": types,
        "skip": skip,
        "decimal": decimal,
        "dates": dates,
    }


def import_options(
    delimiter: str = "as found",
    encoding: str = "as found",
    header: str = "as found",
    null: str = "",
    types: str = "",
    skip: str = "",
    decimal: str = "as found",
    dates: str = "",
) -> dict[str, Any]:
    """What the importer is told, from what the form shows; only what differs from what it would find.

    Raises
    ------
    UsageError
        If the types are not ``column: TYPE`` pairs.
    """
    told: dict[str, Any] = {}
    if (sign := DELIMITERS.get(delimiter, delimiter)) is not None:
        told["delimiter"] = sign
    if encoding != ENCODINGS[0]:
        told["encoding"] = encoding
    if (has_header := HEADERS[header]) is not None:
        told["header"] = has_header
    if (sign := SIGNS[decimal]) is not None:
        told["decimal"] = sign
    for option, text in (("null", null), ("skip", skip.strip()), ("dates", dates.strip())):
        if text:
            told[option] = text
    pairs = [pair for pair in types.split(",") if pair.strip()]
    if pairs:
        told["types"] = {}
    for pair in pairs:
        column, colon, type_ = pair.rpartition(":")
        if not colon or not column.strip() or not type_.strip():
            raise UsageError(
                f"Write types as 'column: TYPE', with commas between them, not {pair.strip()!r}."
            )
        told["types"][column.strip()] = type_.strip().upper()
    return told


def _import(paths: Sequence[Path], name: str, chosen: str, options: Mapping[str, Any]) -> None:
    _publish(
        lambda progress: store().datasets.import_files(
            paths, name.strip() or None, format=chosen, options=options, progress=progress
        )
    )


def _publish(make: Callable[[Progress], Dataset]) -> None:
    """Make a data set under a progress bar, and open its page.

    Streamlit ends the script at the next move of the bar when the reader leaves; that stops the import.
    """
    started = time.monotonic()
    place = st.empty()
    with place.container():
        bar = st.progress(0.0, "Starting…")

        def move(share: float, message: str) -> None:
            bar.progress(min(max(share, 0.0), 1.0), f"{md(message)}…")

        try:
            dataset = make(move)
        finally:
            place.empty()
    st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
    st.session_state[_IMPORTED] = (
        f"Imported {md(dataset.ref)}: {count(dataset.n_rows)} rows, {bytes_(dataset.n_bytes)}, "
        f"in {duration(time.monotonic() - started)}."
    )
    navigation.open_here(data=dataset.ref, view="Preview")


@contextmanager
def _written(files: Sequence[Any]) -> Iterator[list[Path]]:
    """The uploaded files on disk, under their own names, until the end of the block."""
    store().dir.check_writable()
    folder = Path(tempfile.mkdtemp(prefix="upload-", dir=store().dir.tmp))
    try:
        paths = []
        for file in files:
            path = folder / (PurePath(file.name).name or "file")
            with open(path, "wb") as target:
                shutil.copyfileobj(file, target)
            paths.append(path)
        try:
            yield paths
        except WorkbenchError as error:  # the user knows the file by its name alone
            raise DatasetError(str(error).replace(f"{folder}{os.sep}", "")) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def import_folders() -> list[Path]:
    """The folders of ``WORKBENCH_IMPORT_DIRS``, separated like those of ``PATH``."""
    named = os.environ.get("WORKBENCH_IMPORT_DIRS", "")
    return [Path(part).expanduser().resolve() for part in named.split(os.pathsep) if part]


def server_path(text: str, folders: Sequence[Path]) -> Path:
    """The file `text` on the server, if it lies below one of `folders` (links followed).

    Raises
    ------
    UsageError
    """
    path = Path(text).expanduser()
    candidates = [path] if path.is_absolute() else [folder / path for folder in folders]
    for candidate in candidates:
        real = candidate.resolve()
        if any(real.is_relative_to(folder) for folder in folders) and real.exists():
            return real
    raise UsageError(f"There is no file {text!r} below {', '.join(map(str, folders))}.")


# --- databases and object stores ----------------------------------------------------------------

_FORGOTTEN = "User and password are used for this import and kept nowhere."


def _database() -> None:
    with st.form(_key("import-database"), border=False):
        address = st.text_input("Address", placeholder="postgresql+psycopg://host:5432/database")
        user, password = _database_credentials("import")
        st.caption(_FORGOTTEN)
        query = st.text_area("Query, in the database's own SQL", placeholder="SELECT * FROM readings")
        name = st.text_input("Name of the data set")
        asked = st.form_submit_button("Import", type="primary")
    if not asked:
        return
    with guard():
        if not (address.strip() and query.strip() and name.strip()):
            raise UsageError("Fill in the address, the query and a name.")
        from workbench.datasets.sources import import_database

        url = sources.database_url(address, user, password)
        with st.spinner("Importing…"):
            _publish(lambda _: import_database(store().datasets, url, query, name.strip()))


def _database_credentials(form: str) -> tuple[str, str]:
    left, right = st.columns(2)
    user = left.text_input("User", autocomplete="off", key=_key(f"{form}.user"))
    password = right.text_input(
        "Password", type="password", autocomplete="new-password", key=_key(f"{form}.password")
    )
    return user, password


def _objects() -> None:
    with st.form(_key("import-objects"), border=False):
        address = st.text_input("Address", placeholder="s3://bucket/folder/data.parquet")
        credentials = _object_credentials("import")
        st.caption(_FORGOTTEN)
        name = st.text_input("Name of the data set (empty: from the address)")
        asked = st.form_submit_button("Import", type="primary")
    if not asked:
        return
    with guard():
        if not address.strip():
            raise UsageError("Fill in the address.")
        from workbench.datasets.sources import import_objects

        url = sources.object_url(address, **credentials)
        with st.spinner("Importing…"):
            _publish(lambda _: import_objects(store().datasets, url, name.strip() or None))


def _object_credentials(form: str) -> dict[str, str]:
    left, right = st.columns(2)
    return {
        "key": left.text_input(
            "Access key (empty: the server's own)", autocomplete="off", key=_key(f"{form}.access")
        ),
        "secret": right.text_input(
            "Secret key", type="password", autocomplete="new-password", key=_key(f"{form}.secret")
        ),
        "region": left.text_input("Region", placeholder="us-east-1", key=_key(f"{form}.region")),
        "endpoint": right.text_input(
            "Endpoint, of a store other than Amazon's",
            placeholder="host:9000",
            key=_key(f"{form}.endpoint"),
        ),
    }


def refresh(dataset: Dataset) -> None:
    """Import a data set again from the database or object store that it came from, as its next version."""
    origin = sources.origin(dataset.recipe)
    if origin is None:
        return
    with st.popover("Refresh", icon=":material/sync:"), st.form("refresh", border=False):
        st.caption(f"Asks {md(origin['url'])} again, and makes the next version. {_FORGOTTEN}")
        if origin["kind"] == "database":
            st.code(origin["query"], language="sql")
            user, password = _database_credentials("refresh")
        else:
            credentials = _object_credentials("refresh")
        asked = st.form_submit_button("Refresh", type="primary")
    if not asked:
        return
    with guard():
        from workbench.datasets.sources import refresh as again

        if origin["kind"] == "database":
            url = sources.database_url(origin["url"], user, password)
        else:
            url = sources.object_url(origin["url"], **credentials)
        with st.spinner("Importing…"):
            _publish(lambda _: again(store().datasets, dataset.name, url))

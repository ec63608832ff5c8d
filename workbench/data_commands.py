"""What each action of ``workbench data …`` does with the façade; arguments are in :mod:`data_arguments`."""

from __future__ import annotations

import csv
import getpass
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import workbench
from workbench.errors import UsageError
from workbench.printing import print_json, print_rows, when

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from workbench.datasets import Dataset, Datasets

_ROW = ["name", "version", "rows", "columns", "bytes", "importer", "created"]


# --- files and versions -------------------------------------------------------------------------


def _datasets(arguments: argparse.Namespace) -> Datasets:
    return workbench.open(arguments.store).datasets


def import_files(arguments: argparse.Namespace) -> None:
    options: dict[str, Any] = dict(_pair(text, "--option") for text in arguments.option)
    if "header" in options:
        options["header"] = options["header"].lower() not in ("false", "no", "0")
    if arguments.type:
        options["types"] = dict(_pair(text, "--type") for text in arguments.type)
    dataset = _datasets(arguments).import_files(
        [Path(file) for file in arguments.files],
        name=arguments.name,
        format=arguments.format,
        roles=_role_pairs(arguments.role) or None,
        options=options,
    )
    _print_dataset(dataset, arguments.json)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{option} {text!r} must be of the form NAME=VALUE.")
    return name, value


def _role_pairs(texts: Sequence[str]) -> dict[str, list[str]]:
    pairs = dict(_pair(text, "--role") for text in texts)
    return {role: next(csv.reader([names])) if names else [] for role, names in pairs.items()}


def list_all(arguments: argparse.Namespace) -> None:
    print_rows([_row(dataset) for dataset in _datasets(arguments).list()], _ROW, arguments.json)


def show(arguments: argparse.Namespace) -> None:
    datasets = _datasets(arguments)
    dataset = datasets.get(arguments.ref)
    row = _row(dataset) | {
        "columns": [asdict(column) for column in dataset.columns],
        "roles": dataset.roles,
        "source": dataset.source,
        "parent": dataset.parent,
        "sql": dataset.sql,
        "recipe": dataset.recipe,
        "checksum": dataset.checksum,
        "versions": [version.version for version in datasets.versions(dataset.name)],
        "profile": dataset.profile,
    }
    if arguments.json:
        print_json(row)
        return
    print(f"{dataset.ref}: {dataset.n_rows:,} rows, {dataset.n_bytes:,} bytes, from {dataset.source or '—'}")
    print(f"versions: {', '.join(map(str, row['versions']))}")
    for note in dataset.notes:
        print(f"note: {note}")
    _print_columns(dataset)


def _print_columns(dataset: Dataset) -> None:
    role_of = {column: role for role, columns in dataset.roles.items() for column in columns}
    rows = [{**asdict(column), "role": role_of.get(column.name, "")} for column in dataset.columns]
    print_rows(rows, ["name", "type", "role"], as_json=False)


def roles(arguments: argparse.Namespace) -> None:
    dataset = _datasets(arguments).get(arguments.ref)
    if arguments.role:
        changed = _role_pairs(arguments.role)
        moved = {name for names in changed.values() for name in names}
        kept = {role: [name for name in names if name not in moved] for role, names in dataset.roles.items()}
        dataset = dataset.set_roles({role: names for role, names in (kept | changed).items() if names})
    if arguments.json:
        print_json({"ref": dataset.ref, "revision": dataset.role_revision, "roles": dataset.roles})
    else:
        _print_columns(dataset)


def export(arguments: argparse.Namespace) -> None:
    for path in _datasets(arguments).get(arguments.ref).export(Path(arguments.output)):
        print(path)


def delete(arguments: argparse.Namespace) -> None:
    for ref in arguments.ref:
        for gone in _datasets(arguments).delete(ref):
            print(f"deleted {gone}")


def samples(arguments: argparse.Namespace) -> None:
    from workbench.datasets import samples

    rows = [_row(dataset) for dataset in samples.register(_datasets(arguments))]
    print_rows(rows, ["name", "version", "rows", "columns"], arguments.json)


def _print_dataset(dataset: Dataset, as_json: bool) -> None:
    for note in dataset.notes:
        print(f"note: {note}", file=sys.stderr)
    if as_json:
        print_json(_row(dataset))
    else:
        print(f"{dataset.ref}: {dataset.n_rows:,} rows, {len(dataset.columns)} columns")


def _row(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "version": dataset.version,
        "ref": dataset.ref,
        "rows": dataset.n_rows,
        "columns": len(dataset.columns),
        "bytes": dataset.n_bytes,
        "importer": dataset.importer,
        "notes": dataset.notes,
        "created": when(dataset.created),
    }


# --- queries ------------------------------------------------------------------------------------


def sql(arguments: argparse.Namespace) -> None:
    from workbench.datasets.assist import recorded

    datasets = _datasets(arguments)
    query = sys.stdin.read() if arguments.query == "-" else arguments.query
    if arguments.explain:
        plan = datasets.explain(query)
        print_json({"plan": plan}) if arguments.json else print(plan)
        return
    with recorded(datasets.store, query) as facts:
        if arguments.into:
            dataset = datasets.publish_query(query, arguments.into, timeout=arguments.timeout)
            facts["n_rows"] = dataset.n_rows
        elif arguments.output:
            path = datasets.export_query(query, arguments.output, timeout=arguments.timeout)
        else:
            frame = datasets.sql(query, limit=arguments.limit, timeout=arguments.timeout)
            facts["n_rows"] = len(frame)
    if arguments.into:
        _print_dataset(dataset, arguments.json)
    elif arguments.output:
        print_json({"path": str(path)}) if arguments.json else print(path)
    elif arguments.json:
        print(frame.to_json(orient="records", date_format="iso"))
    else:
        frame.to_csv(sys.stdout, index=False)
        if frame.attrs["truncated"]:
            print(f"workbench: there are more than {arguments.limit} rows (--limit).", file=sys.stderr)


def history(arguments: argparse.Namespace) -> None:
    datasets = _datasets(arguments)
    if arguments.clear:
        datasets.forget()
    frame = datasets.history(search=arguments.search, limit=arguments.limit)
    _print_frame(frame, ["id", "created", "seconds", "n_rows", "sql", "error"], arguments.json)


def _print_frame(frame: pd.DataFrame, columns: list[str], as_json: bool) -> None:
    """Rows of a frame; missing values are null, and `created` is a point in time."""
    rows = []
    for record in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        row = {str(key): getattr(value, "item", lambda value=value: value)() for key, value in record.items()}
        if "created" in row:
            row["created"] = when(row["created"])
        rows.append(row)
    if not as_json:
        rows = [{k: " ".join(v.split()) if isinstance(v, str) else v for k, v in row.items()} for row in rows]
    print_rows(rows, columns, as_json)


# --- preparation and labels ---------------------------------------------------------------------


def prepare(arguments: argparse.Namespace) -> None:
    from workbench.datasets.prepare import Preparation

    datasets = _datasets(arguments)
    source = datasets.get(arguments.ref)
    if arguments.steps:
        preparation = Preparation.load(arguments.steps)
    else:
        preparation = Preparation.of(datasets.get(arguments.like))
    if arguments.show == "sql":
        print(preparation.to_sql(source))
    elif arguments.show == "python":
        print(preparation.to_python(source.ref, arguments.name or "prepared"), end="")
    elif arguments.show == "json":
        print(preparation.to_json())
    elif not arguments.name:
        raise UsageError("Name the new data set with --name.")
    else:
        _print_dataset(preparation.apply(source, arguments.name), arguments.json)


def label_set(arguments: argparse.Namespace) -> None:
    _label(arguments, clear=False)


def label_clear(arguments: argparse.Namespace) -> None:
    _label(arguments, clear=True)


def _label(arguments: argparse.Namespace, *, clear: bool) -> None:
    from workbench.datasets.label_text import Cells, parsed, read_file

    dataset = _datasets(arguments).get(arguments.ref)
    if arguments.file:
        cells: Cells = read_file(Path(arguments.file), clear=clear)
    else:
        cells = {}
        for kind in ("series", "row", "interval"):
            for text in getattr(arguments, kind) or []:
                key, equals, label = (text, "", None) if clear else text.rpartition("=")
                if not equals and not clear:
                    raise UsageError(f"--{kind} {text!r} must end in =LABEL.")
                cells.setdefault(kind, []).append((key, label))
    _print_dataset(dataset.set_labels(**parsed(dataset, cells, arguments.column)), arguments.json)


def label_list(arguments: argparse.Namespace) -> None:
    frame = _datasets(arguments).label_versions(arguments.name)
    columns = ["ref", "parent", "change", "labelled", "missing", "classes", "created"]
    _print_frame(frame, columns, arguments.json)


# --- care ---------------------------------------------------------------------------------------


def diff(arguments: argparse.Namespace) -> None:
    found = _datasets(arguments).diff(arguments.before, arguments.after)
    if arguments.json:
        frames: Mapping[str, pd.DataFrame] = {"schema": found.schema, "drift": found.drift}
        plain = {k: f.astype(object).where(f.notna(), None).to_dict("records") for k, f in frames.items()}
        print_json({"rows": found.rows, **plain})
        return
    print(", ".join(f"{name}: {number:,}" for name, number in found.rows.items()))
    if len(found.schema):
        _print_frame(found.schema, ["column", "before", "after"], as_json=False)
    _print_frame(found.drift, list(found.drift.columns), as_json=False)


def lineage(arguments: argparse.Namespace) -> None:
    frame = _datasets(arguments).lineage(arguments.ref)
    _print_frame(frame, ["parent", "child", "how", "created", "kept"], arguments.json)


def sizes(arguments: argparse.Namespace) -> None:
    frame = _datasets(arguments).sizes()
    _print_frame(frame, ["ref", "n_rows", "n_bytes", "n_runs", "latest", "created"], arguments.json)


def verify(arguments: argparse.Namespace) -> int:
    frame = _datasets(arguments).verify(arguments.name)
    _print_frame(frame, ["ref", "problem"], arguments.json)
    bad = int(frame["problem"].notna().sum())
    if bad:
        print(f"workbench: {bad} of {len(frame)} files cannot be trusted.", file=sys.stderr)
    return 1 if bad else 0


def retain(arguments: argparse.Namespace) -> None:
    gone = _datasets(arguments).retain(
        keep=arguments.keep, days=arguments.days, name=arguments.name, dry_run=arguments.dry_run
    )
    if arguments.json:
        print_json(gone)
    else:
        verb = "would delete" if arguments.dry_run else "deleted"
        for ref in gone:
            print(f"{verb} {ref}")


# --- databases and object stores ----------------------------------------------------------------


def source_add(arguments: argparse.Namespace) -> None:
    from workbench.datasets.sources import has_password, is_objects

    datasets = _datasets(arguments)
    if has_password(arguments.url):
        raise UsageError(
            "Leave the password out of the address, where other users of this machine could read it: use "
            "--ask, or set WORKBENCH_SOURCE_PASSWORD."
        )
    url = _with_credentials(arguments.url, arguments)
    if is_objects(url):
        if arguments.query:
            raise UsageError("A query belongs to a database, not to an object store.")
        dataset = datasets.import_objects(url, arguments.name)
    elif not arguments.query or not arguments.name:
        raise UsageError("A database needs --query, and --name for its result.")
    else:
        dataset = datasets.import_database(url, arguments.query, arguments.name)
    _print_dataset(dataset, arguments.json)


def source_refresh(arguments: argparse.Namespace) -> None:
    from workbench.datasets.sources import address_of

    datasets = _datasets(arguments)
    url = _with_credentials(address_of(datasets.get(arguments.ref)), arguments)
    _print_dataset(datasets.refresh(arguments.ref, url), arguments.json)


def _with_credentials(url: str, arguments: argparse.Namespace) -> str:
    from workbench.datasets.sources import with_credentials

    password = getpass.getpass() if arguments.ask else os.environ.get("WORKBENCH_SOURCE_PASSWORD")
    return with_credentials(url, arguments.user, password) if password or arguments.user else url


def source_list(arguments: argparse.Namespace) -> None:
    _print_frame(_datasets(arguments).sources(), ["ref", "kind", "url", "query", "created"], arguments.json)

"""The arguments of ``workbench data …``; what they do is in :mod:`workbench.data_commands`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from workbench import data_commands as do

__all__ = ["add_to"]

_REF = "NAME[@VERSION]"


def add_to(data: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the actions to the subparsers `data`; `add` makes one, with what all commands share."""
    _files_and_versions(data, add)
    _queries(data, add)
    _changes(data, add)
    _care(data, add)
    sources = data.add_parser("source", help="databases and object stores")
    _sources(sources.add_subparsers(metavar="ACTION", required=True), add)


def _files_and_versions(data: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    sub = add(data, "import", do.import_files, "import files as one data set (or its next version)")
    sub.add_argument("files", nargs="+", metavar="FILE", help="_TRAIN and _TEST in names make a split")
    sub.add_argument("--name", help="name of the data set (default: from the file names)")
    sub.add_argument("--format", default="auto", help="csv, ts, parquet, … (default: by suffix)")
    sub.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="what the format has to be told: delimiter, encoding, header, null, decimal, dates; sheet",
    )  # fmt: skip
    sub.add_argument(
        "--type", action="append", default=[], metavar="COLUMN=TYPE", help="e.g. id=VARCHAR, to keep 007"
    )
    sub.add_argument("--role", action="append", default=[], metavar="ROLE=COLUMN[,COLUMN…]")
    _json(sub)
    _json(add(data, "list", do.list_all, "list the data sets"))
    sub = add(data, "show", do.show, "show a data set: columns, roles, profile, versions")
    sub.add_argument("ref", metavar=_REF)
    _json(sub)
    sub = add(data, "roles", do.roles, "show or change what the columns mean")
    sub.add_argument("ref", metavar=_REF)
    sub.add_argument("role", nargs="*", metavar="ROLE=COLUMN[,COLUMN…]", help="ROLE= takes it away")
    _json(sub)
    sub = add(data, "export", do.export, "write a data set to a file")
    sub.add_argument("ref", metavar=_REF)
    sub.add_argument("-o", "--output", required=True, metavar="FILE", help=".csv, .parquet or .ts")
    sub = add(data, "delete", do.delete, "delete a version, or a whole data set, that no run refers to")
    sub.add_argument("ref", nargs="+", metavar=_REF)
    _json(add(data, "samples", do.samples, "register the bundled real samples"))


def _queries(data: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    sub = add(data, "sql", do.sql, "run one read-only query over the data sets")
    sub.add_argument("query", help='every data set is a table by its name, or "name@version"; - reads it')
    sub.add_argument("--limit", type=_positive, default=1000, help="rows printed at most (default 1000)")
    sub.add_argument("--timeout", type=_seconds, default=60.0, help="seconds (default 60)")
    what = sub.add_mutually_exclusive_group()
    what.add_argument("--explain", action="store_true", help="print the plan and run nothing")
    what.add_argument("--into", metavar="NAME", help="publish the whole result as a data set")
    what.add_argument("-o", "--output", metavar="FILE", help="write the whole result: .csv or .parquet")
    _json(sub)
    sub = add(data, "history", do.history, "list earlier queries, the newest first")
    sub.add_argument("--search", default="", metavar="TEXT")
    sub.add_argument("--limit", type=_positive, default=20, help="(default 20)")
    sub.add_argument("--clear", action="store_true", help="forget all of them")
    _json(sub)


def _changes(data: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    sub = add(data, "prepare", do.prepare, "apply a recipe of steps and publish the result")
    sub.add_argument("ref", metavar=_REF)
    recipe = sub.add_mutually_exclusive_group(required=True)
    recipe.add_argument("--steps", metavar="FILE", help="the recipe, JSON")
    recipe.add_argument("--like", metavar=_REF, help="replay the recipe that made this version")
    sub.add_argument("--name", metavar="NEW", help="name of the new data set")
    sub.add_argument("--show", choices=["sql", "python", "json"], help="print it instead of doing it")
    _json(sub)
    label = data.add_parser("label", help="labels by hand").add_subparsers(metavar="ACTION", required=True)
    for name, command, help in (
        ("set", do.label_set, "give labels: publishes the next version"),
        ("clear", do.label_clear, "take labels away: publishes the next version"),
    ):
        sub = add(label, name, command, help)
        sub.add_argument("ref", metavar=_REF)
        form = "=LABEL" if name == "set" else ""
        one = sub.add_mutually_exclusive_group(required=True)
        one.add_argument("--series", action="append", metavar=f"ID{form}")
        one.add_argument("--row", action="append", metavar=f"NUMBER{form}", help="from 0")
        one.add_argument(
            "--interval", action="append", metavar=f"ID,START,END{form}", help="END not included"
        )
        one.add_argument(
            "--file", metavar="CSV", help="columns series, row, or series, start and end; and label"
        )
        sub.add_argument("--column", help="of the labels (default: that with the role label)")
        _json(sub)
    sub = add(label, "list", do.label_list, "list the versions that labelling made")
    sub.add_argument("name", metavar="NAME")
    _json(sub)


def _care(data: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    sub = add(data, "diff", do.diff, "compare two versions: schema, rows, drift")
    sub.add_argument("before", metavar="NAME@VERSION")
    sub.add_argument("after", metavar="NAME@VERSION")
    _json(sub)
    sub = add(data, "lineage", do.lineage, "show what was made of what")
    sub.add_argument("ref", nargs="?", metavar=_REF)
    _json(sub)
    _json(add(data, "sizes", do.sizes, "list all versions by size"))
    sub = add(data, "verify", do.verify, "compare files with their checksums; exit code 1 if one differs")
    sub.add_argument("name", nargs="?", metavar="NAME")
    _json(sub)
    sub = add(data, "retain", do.retain, "delete old versions that no run refers to")
    sub.add_argument("--keep", type=_positive, default=3, help="newest versions of each (default 3)")
    sub.add_argument("--days", type=_seconds, help="only those older than that")
    sub.add_argument("--name", metavar="NAME", help="of this data set only")
    sub.add_argument("--dry-run", action="store_true", help="say what would go")
    _json(sub)


def _sources(sources: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    sub = add(sources, "add", do.source_add, "import from a database or an object store")
    sub.add_argument("url", help="e.g. postgresql+psycopg://host/database, or s3://bucket/data.csv")
    sub.add_argument("--query", help="for a database: one SELECT of its own SQL")
    sub.add_argument("--name", help="name of the data set (a query needs one)")
    _credentials(sub)
    sub = add(sources, "refresh", do.source_refresh, "import again, as the next version")
    sub.add_argument("ref", metavar=_REF)
    _credentials(sub)
    _json(add(sources, "list", do.source_list, "list what comes from databases and object stores"))


def _credentials(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--user", help="user, or access key (default: as the client library finds it)")
    sub.add_argument(
        "--ask", action="store_true", help="ask for the password (else $WORKBENCH_SOURCE_PASSWORD)"
    )
    _json(sub)


def _json(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="print JSON")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be positive")
    return value

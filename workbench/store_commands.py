"""The commands that look after a store: backup, restore, check, and the tokens of its API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import workbench
from workbench.errors import StoreError, UsageError
from workbench.printing import print_json, print_rows, when

if TYPE_CHECKING:
    import argparse

    from workbench.facade import Store
    from workbench.upkeep import Summary


def backup(arguments: argparse.Namespace) -> None:
    from workbench.upkeep import backup

    _print_copied("backed up to", backup(_existing(arguments).dir, arguments.target))


def restore(arguments: argparse.Namespace) -> None:
    from workbench.store import default_root
    from workbench.upkeep import restore

    _print_copied("restored to", restore(arguments.source, arguments.store or default_root()))


def _print_copied(what: str, done: Summary) -> None:
    print(f"{what} {done.path}: {done.n_files} files, {done.n_bytes:,} bytes, checksums compared")


def check(arguments: argparse.Namespace) -> int:
    from workbench.upkeep import check

    found = check(_existing(arguments, anew=arguments.repair).dir, repair=arguments.repair)
    if arguments.json:
        print_json([vars(finding) for finding in found])
    for finding in found if not arguments.json else ():
        verb = "repaired" if finding.repaired else "to repair" if not arguments.repair else "not repaired"
        print(f"{finding.what}: {finding.problem}\n    {verb}: {finding.remedy}")
    left = sum(not finding.repaired for finding in found)
    if not found and not arguments.json:
        print("The store is whole.")
    if left:
        hint = "" if arguments.repair else "; run it again with --repair"
        print(f"workbench: {left} fault{'s' * (left != 1)} left{hint}.", file=sys.stderr)
    return 1 if left else 0


def _existing(arguments: argparse.Namespace, *, anew: bool = False) -> Store:
    """The store, which must be there: looking after it must not make a new one.

    With `anew` it may have lost its database: a new one is made, for what is there to be entered in.
    """
    from workbench.store import default_root

    root = Path(arguments.store or default_root())
    if not (root / "workbench.sqlite").exists():
        if not any((root / part).is_dir() for part in ("datasets", "models", "runs")):
            raise UsageError(f"There is no store in {root}: name one with --store DIR.")
        if not anew:
            raise StoreError(
                f"The store {root} has lost its database, workbench.sqlite: copy that too, or restore a "
                "backup; `python -m workbench check --repair` makes a new one from what is there."
            )
    return workbench.open(root)


# --- tokens -------------------------------------------------------------------------------------


def token_create(arguments: argparse.Namespace) -> None:
    from workbench.tokens import Tokens

    token, text = Tokens(workbench.open(arguments.store).dir).create(
        arguments.name, write=arguments.write, days=arguments.days
    )
    print(text)
    until = f" until {when(token.expires):%Y-%m-%d %H:%M} UTC" if token.expires else ""
    print(f"It may {token.scope}{until}; it is not shown again.", file=sys.stderr)


def token_list(arguments: argparse.Namespace) -> None:
    from workbench.tokens import Tokens

    rows = [
        {
            "id": token.id,
            "name": token.name,
            "scope": token.scope,
            **{name: when(getattr(token, name)) for name in ("created", "expires", "used", "revoked")},
        }
        for token in Tokens(workbench.open(arguments.store).dir).list()
    ]
    columns = ["id", "name", "scope", "created", "expires", "used", "revoked"]
    print_rows(rows, columns, arguments.json)


def token_revoke(arguments: argparse.Namespace) -> None:
    from workbench.tokens import Tokens

    token = Tokens(workbench.open(arguments.store).dir).revoke(arguments.token)
    print(f"revoked {token.name} ({token.id})")

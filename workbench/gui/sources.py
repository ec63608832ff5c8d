"""Addresses of databases and object stores, put together from what a form asks for."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit

from workbench.errors import UsageError

__all__ = ["database_url", "object_url", "origin"]


def database_url(address: str, user: str = "", password: str = "") -> str:
    """`address` with the credentials in it.

    Raises
    ------
    UsageError
        If it names no host: a database that is a file on the server is none of the reader's.
    """
    address = address.strip()
    if not _parts(address).hostname or not _parts(address).scheme:
        raise UsageError(
            "Write the address as dialect://host/database, for example postgresql+psycopg://host/db."
        )
    return _with_credentials(address, user, password)


def object_url(address: str, *, key: str = "", secret: str = "", region: str = "", endpoint: str = "") -> str:
    """`address` with the credentials and the place of the store in it, as pyarrow reads them.

    Raises
    ------
    UsageError
    """
    address = address.strip()
    if not _parts(address).scheme or not _parts(address).netloc:
        raise UsageError("Write the address as s3://bucket/path.")
    address = _with_credentials(address, key, secret)
    options: dict[str, str] = {}
    if region.strip():
        options["region"] = region.strip()
    if endpoint.strip():
        scheme, mark, host = endpoint.strip().rpartition("://")
        options |= {"endpoint_override": host.rstrip("/"), "scheme": scheme if mark else "https"}
    parts = urlsplit(address)
    query = urlencode(dict(parse_qsl(parts.query)) | options)
    return urlunsplit(parts._replace(query=query))


def _parts(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # brackets that do not close
        return urlsplit("")


def _with_credentials(address: str, user: str, password: str) -> str:
    if not user:
        return address
    parts = urlsplit(address)
    told = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit(parts._replace(netloc=f"{told}@{parts.netloc.rpartition('@')[2]}"))


def origin(recipe: str | None) -> dict[str, Any] | None:
    """Where a version came from, if that can be asked again: ``kind, url`` and, of a database, ``query``."""
    try:
        found = json.loads(recipe or "{}")
    except json.JSONDecodeError:
        return None
    return found.get("refresh") if isinstance(found, dict) else None

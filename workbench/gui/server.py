"""The web server: Streamlit's ASGI app, the API, a health check, and one place where uncaught errors end."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from workbench import api
from workbench.api.access import Access
from workbench.errors import StoreError
from workbench.facade import Store
from workbench.gui import access, config, failures
from workbench.store import StoreDir
from workbench.tokens import Tokens

__all__ = ["build", "run"]

ENTRY = Path(__file__).with_name("entry.py")


def build(store: StoreDir, host: str = "127.0.0.1") -> st.App:
    """The ASGI application over `store`: pages, health check and API, as they are served on `host`."""

    async def healthz(_: Request) -> PlainTextResponse:
        try:
            StoreDir(store.root).connection.execute("SELECT count(*) FROM runs").fetchone()
        except (StoreError, sqlite3.Error) as error:
            return PlainTextResponse(f"The store does not answer: {error}", status_code=503)
        return PlainTextResponse("ok")

    @asynccontextmanager
    async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
        # Streamlit puts the launcher's folder on the path; there, "models" or "runs" of this package
        # would hide a third party's module of that name.
        inner = str(Path(__file__).resolve().parents[1])
        sys.path[:] = [path for path in sys.path if path != inner]
        yield {}

    rules = Access(Tokens(store), local=_is_local(host), hosts=config.allowed_hosts(host))
    return st.App(
        ENTRY,
        routes=[Route("/healthz", healthz), *api.routes(Store(store.root), rules)],
        lifespan=lifespan,
        on_script_error=failures.show,
    )


def _is_local(host: str) -> bool:
    """Whether whoever reaches the server is this machine's own user: no proxy or login is in front of it."""
    return config.is_loopback(host) and not config.trusted_header() and not access.login_configured()


def run(root: str | os.PathLike[str] | None = None, host: str = "127.0.0.1", port: int = 8501) -> None:
    """Serve the pages of the store at `root` until stopped.

    Raises
    ------
    UsageError
        If `host` is beyond loopback and no authentication is configured.
    StoreError
        If the store cannot be opened.
    """
    store = StoreDir(root)
    config.check_address(host, authenticated=bool(config.trusted_header()) or access.login_configured())
    os.environ["WORKBENCH_STORE"] = str(store.root)  # the pages open it by this name
    if not store.read_only:
        _log_to(store.root / "web.log")
    # Streamlit takes the options given here for a change of its settings file and says so; it is none.
    logging.getLogger("streamlit.config").setLevel(logging.ERROR)
    build(store, host).run(config=config.options(host, port))


def _log_to(path: Path) -> None:
    handler = RotatingFileHandler(path, maxBytes=5_000_000, backupCount=2)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("workbench")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

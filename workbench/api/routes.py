"""The routes, and what stands between a request and its endpoint: access, the body, and errors as JSON."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from workbench.api import answers, endpoints, nodes, results
from workbench.api.access import Access, Refused
from workbench.api.endpoints import Call
from workbench.errors import (
    DatasetNotFound,
    RequestConflict,
    RunNotFound,
    StoreError,
    WorkbenchError,
    of_system,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from workbench.facade import Store

__all__ = ["routes"]

MAX_BODY = 1 << 20  # bytes
Endpoint = Callable[[Call], Response]

_log = logging.getLogger("workbench.api")


def routes(store: Store, access: Access) -> list[BaseRoute]:
    """``/api`` and ``/metrics`` of a store, for any Starlette application."""

    def route(path: str, endpoint: Endpoint, *methods: str) -> Route:
        return Route(path, _answering(store, endpoint), methods=list(methods or ("GET",)))

    inner = Starlette(
        routes=[
            route("/", endpoints.index),
            route("/datasets", endpoints.datasets),
            route("/datasets/{ref}", endpoints.dataset),
            route("/datasets/{ref}/rows", endpoints.rows),
            route("/datasets/{ref}/file", endpoints.dataset_file),
            Route("/runs", _answering(store, endpoints.runs), methods=["GET"]),
            Route("/runs", _answering(store, endpoints.submit), methods=["POST"]),
            route("/runs/{id}", endpoints.run),
            route("/runs/{id}/metrics", endpoints.metrics),
            route("/runs/{id}/log", endpoints.log),
            route("/runs/{id}/report", results.report),
            route("/runs/{id}/tables/{name}", results.table),
            route("/runs/{id}/artifacts", results.artifacts),
            route("/runs/{id}/artifacts/{path:path}", results.artifact),
            route("/runs/{id}/cancel", endpoints.cancel, "POST"),
            route("/models", endpoints.models),
            route("/models/{ref}", endpoints.model),
        ],
        exception_handlers={HTTPException: _not_answered},
    )
    inner.router.redirect_slashes = False
    figures = Starlette(
        routes=[route("/metrics", endpoints.prometheus_metrics)],
        exception_handlers={HTTPException: _not_answered},
    )
    root = Starlette(
        routes=[route("/api", endpoints.index)], exception_handlers={HTTPException: _not_answered}
    )
    return [
        Route("/api", _Guarded(root, access)),
        Mount("/api/nodes", nodes.application(store, access, _failed, {HTTPException: _not_answered})),
        Mount("/api", _Guarded(inner, access)),
        Route("/metrics", _Guarded(figures, access)),
    ]


class _Guarded:
    """Checks who sends a request before anything else looks at it, unknown paths among it."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        client = request.client.host if request.client is not None else None
        try:
            token = await run_in_threadpool(self.access.check, request.method, request.headers, client)
        except Exception as error:
            await _failed(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["token"] = token
        await self.app(scope, receive, send)


def _answering(store: Store, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            body = await _body(request) if request.method == "POST" else None
            call = Call(
                store=store,
                token=request.state.token,
                path=request.path_params,
                query=_query(request),
                body=body,
                key=request.headers.get("idempotency-key", ""),
            )
            return await run_in_threadpool(endpoint, call)
        except Exception as error:
            return _failed(error)

    return answer


def _query(request: Request) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise Refused(400, f"The parameter {name!r} is given twice.")
    return dict(pairs)


async def _body(request: Request) -> Any:
    received = bytearray()
    async for part in request.stream():
        received += part
        if len(received) > MAX_BODY:
            raise Refused(413, f"The body is larger than {MAX_BODY} bytes.")
    if not received:
        return None
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "The body must be sent as Content-Type: application/json.")
    try:
        body = json.loads(received, parse_constant=_no_constant, parse_float=_finite)
        json.dumps(body, ensure_ascii=False).encode()  # half a pair of surrogates is no text
        return body
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The body is not JSON: {error}.") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is larger than any number")
    return number


def _failed(error: Exception) -> Response:
    """The answer to what could not be done."""
    if isinstance(error, Refused):
        return answers.failure(error.status, str(error))
    known = error if isinstance(error, WorkbenchError) else of_system(error)
    if known is not None:
        return answers.failure(_status(known), str(known))
    if isinstance(error, sqlite3.Error):
        return answers.failure(503, f"The store does not answer: {error}.")
    _log.error("A request failed.", exc_info=error)
    return answers.failure(500, "The request failed in a way the workbench did not foresee; see its web.log.")


def _status(error: WorkbenchError) -> int:
    if isinstance(error, DatasetNotFound | RunNotFound):
        return 404
    if isinstance(error, RequestConflict):
        return 409
    return 503 if isinstance(error, StoreError) else 422


async def _not_answered(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself: unknown paths and methods."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    path = request.scope["path"]  # not request.url, which wants a query in UTF-8
    sentence = {
        404: f"There is no {path!r}: the routes are in docs/api.md.",
        405: f"{path!r} does not take {request.method}.",
    }.get(status, "The request cannot be answered.")
    return answers.failure(status, sentence, headers)

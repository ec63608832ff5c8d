"""``/api/nodes``: what a node of a cluster is given of its run and data set, and what it sends back.

Its token is good for one attempt of one run, while that is running; nothing of any other run can be seen or
changed with it.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from workbench.api import answers
from workbench.api.access import Access, Refused
from workbench.datasets import catalog
from workbench.runs import parcels
from workbench.runs import spec as specs
from workbench.store import StoreDir
from workbench.tokens import run_of_token

if TYPE_CHECKING:
    from workbench.facade import Store

__all__ = ["application"]

PIECE = 8 << 20  # bytes of a log or of events in one request
_SHA = "X-Checksum-Sha256"

Endpoint = Callable[[StoreDir, Path, Request], Awaitable[Response]]


def application(
    store: Store, access: Access, failed: Callable[[Exception], Response], handlers: Mapping[Any, Any]
) -> Starlette:
    """The routes, each below ``/{run}``; `handlers` answer what Starlette refuses by itself."""

    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        async def answer(request: Request) -> Response:
            try:
                folder = await run_in_threadpool(_folder, store.dir, access, request)
                return await endpoint(store.dir, folder, request)
            except Exception as error:
                return failed(error)

        return Route(path, answer, methods=[method])

    return Starlette(
        routes=[
            route("/{run}", state, "GET"),
            route("/{run}/inputs", send_inputs, "GET"),
            route("/{run}/dataset", send_dataset, "GET"),
            route("/{run}/append/{name}", take_piece, "POST"),
            route("/{run}/files/{name}", take_file, "PUT"),
        ],
        exception_handlers=handlers,
    )


def _folder(dir: StoreDir, access: Access, request: Request) -> Path:
    """The folder of the run whose token was sent."""
    access.check_sender(request.headers)
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    run = run_of_token(dir, text.strip()) if kind.lower() == "bearer" else None
    if run is None or run != request.path_params["run"]:
        raise Refused(401, "The token does not open this run, or the run has another attempt by now.")
    return dir.inside("runs", run)


async def state(dir: StoreDir, folder: Path, request: Request) -> Response:
    """How long the files are that are appended to, and whether the run is to end."""
    row = dir.connection.execute("SELECT cancel FROM runs WHERE id = ?", (folder.name,)).fetchone()
    sizes = {
        name: (folder / name).stat().st_size if (folder / name).exists() else 0 for name in parcels.APPENDED
    }
    return answers.json_response({"cancel": bool(row["cancel"]), "sizes": sizes})


async def send_inputs(dir: StoreDir, folder: Path, request: Request) -> Response:
    def pack() -> tuple[Path, str]:
        with tempfile.NamedTemporaryFile(dir=dir.tmp, prefix="inputs-", delete=False) as file:
            parcels.pack(parcels.inputs(folder), file)
        with open(file.name, "rb") as packed:
            return Path(file.name), hashlib.file_digest(packed, "sha256").hexdigest()

    path, digest = await run_in_threadpool(pack)
    return FileResponse(path, headers={_SHA: digest}, background=BackgroundTask(path.unlink, missing_ok=True))


async def send_dataset(dir: StoreDir, folder: Path, request: Request) -> Response:
    def find() -> catalog.Entry:
        return catalog.entry(dir, specs.load(folder)["dataset"]["ref"])

    found = await run_in_threadpool(find)
    path = catalog.path_of(dir, found.name, found.version)
    return FileResponse(path, headers={_SHA: found.checksum})


async def take_piece(dir: StoreDir, folder: Path, request: Request) -> Response:
    """More of a file; 409 with its length where the node thinks it longer or shorter than it is."""
    name, offset = _named(request, parcels.APPENDED), _offset(request)
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > PIECE:
            raise Refused(413, f"A piece is at most {PIECE} bytes.")
    length = await run_in_threadpool(parcels.append, folder, name, offset, bytes(data))
    return answers.json_response({"length": length}, 200 if length == offset + len(data) else 409)


async def take_file(dir: StoreDir, folder: Path, request: Request) -> Response:
    """A file, or a folder as a tar file, in the place of an earlier one, if it came whole."""
    name = _named(request, parcels.FILES + parcels.FOLDERS)
    scratch = dir.tmp / f"node-{secrets.token_hex(6)}"
    scratch.mkdir()
    try:
        digest = hashlib.sha256()
        with open(scratch / "sent", "wb") as file:
            async for part in request.stream():
                digest.update(part)
                await run_in_threadpool(file.write, part)
        if digest.hexdigest() != request.headers.get(_SHA, ""):
            raise Refused(422, f"{name} did not come whole: its SHA-256 is not the one that was sent.")
        await run_in_threadpool(_folder_again, dir, folder, request)
        if name in parcels.FILES:
            await run_in_threadpool(parcels.put_file, folder, name, scratch / "sent")
        else:
            await run_in_threadpool(parcels.put_folder, folder, name, scratch / "sent", scratch / "new")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return answers.json_response({"taken": name})


def _folder_again(dir: StoreDir, folder: Path, request: Request) -> None:
    """A long upload may end after another attempt has begun: then it is too late."""
    _, _, text = request.headers["authorization"].partition(" ")
    if run_of_token(dir, text.strip()) != folder.name:
        raise Refused(401, "The run has another attempt by now.")


def _named(request: Request, names: tuple[str, ...]) -> str:
    name: str = request.path_params["name"]
    if name not in names:
        raise Refused(404, f"A node sends {', '.join(names)}, not {name!r}.")
    return name


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refused(400, "offset must be a whole number from 0.")
    return int(text)

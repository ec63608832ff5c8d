"""What each route does: a :class:`Call` in, a response out; what cannot be done raises."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import FileResponse, PlainTextResponse, Response

import workbench
from workbench import registry
from workbench.api import answers, prometheus
from workbench.api.access import Refused
from workbench.errors import DatasetNotFound, UsageError
from workbench.naming import check_name
from workbench.report import LANDED
from workbench.runs import requests
from workbench.runs.requests import Request

if TYPE_CHECKING:
    from workbench.facade import Store
    from workbench.tokens import Token

__all__ = ["Call"]

MAX_LIMIT = 1000
MAX_POINTS = 100_000

#: Fields of a submitted run and their types.
_FIELDS: dict[str, tuple[type, ...]] = {
    "estimator": (str,),
    "dataset": (str,),
    "params": (dict,),
    "recipe": (str,),
    "split": (dict,),
    "seed": (int,),
    "name": (str,),
    "priority": (int,),
    "device": (str,),
    "launcher": (str,),
    "processes": (int,),
}


@dataclass(frozen=True)
class Call:
    """A request that may be answered.

    Attributes
    ----------
    store : Store
    token : Token or None
    path, query : mapping of str to str
    body : object
        The JSON that was sent, or None.
    key : str
        The idempotency key, or "".
    """

    store: Store
    token: Token | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    key: str = ""

    def number(self, name: str, default: int, most: int = MAX_LIMIT) -> int:
        """A whole number of the query, at least 0."""
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
            raise Refused(400, f"{name} must be a whole number from 0 to {most}, not {text!r}.")
        return int(text)

    def only(self, *names: str) -> None:
        """Refuse a query with other names: a misspelt filter must not give everything."""
        for name in self.query:
            if name not in names:
                known = ", ".join(names) or "none"
                raise Refused(400, f"This route has no parameter {name!r}; it has {known}.")


def index(call: Call) -> Response:
    call.only()
    names = ("datasets", "runs", "models")
    return answers.json_response(
        {"workbench": workbench.__version__, **{name: f"/api/{name}" for name in names}}
    )


# --- data sets ----------------------------------------------------------------------------------


def datasets(call: Call) -> Response:
    call.only("name")
    name = call.query.get("name")
    found = call.store.datasets.list() if name is None else call.store.datasets.versions(name)
    return answers.json_response({"datasets": [answers.dataset(each) for each in found]})


def dataset(call: Call) -> Response:
    call.only()
    return answers.json_response(answers.dataset(call.store.datasets.get(call.path["ref"]), whole=True))


def rows(call: Call) -> Response:
    call.only("limit", "offset")
    found = call.store.datasets.get(call.path["ref"])
    offset = call.number("offset", 0, most=2**53)
    frame = found.frame(limit=call.number("limit", 100), offset=offset)
    frame = frame.astype(object).where(frame.notna(), None)
    return answers.json_response({"ref": found.ref, "offset": offset, "rows": frame.to_dict("records")})


def dataset_file(call: Call) -> Response:
    call.only()
    found = call.store.datasets.get(call.path["ref"])
    name = f"{found.name}-{found.version}.duckdb"
    return FileResponse(found.path, filename=name, headers={"X-Checksum-Sha256": found.checksum})


# --- runs ---------------------------------------------------------------------------------------


def runs(call: Call) -> Response:
    call.only("state", "dataset", "limit")
    filters = {name: call.query[name] for name in ("state", "dataset") if name in call.query}
    found = call.store.runs(limit=call.number("limit", 100), **filters)
    return answers.json_response({"runs": [answers.run(run) for run in found]})


def run(call: Call) -> Response:
    call.only()
    return answers.json_response(answers.run(call.store.run(call.path["id"]), whole=True))


def metrics(call: Call) -> Response:
    call.only("name", "after")
    found = call.store.run(call.path["id"])
    points = call.store.dir.connection.execute(
        "SELECT name, step, value, time FROM metrics WHERE run = :run AND (:name IS NULL OR name = :name)"
        " AND name NOT GLOB :landed || '*' AND step > :after ORDER BY name, step LIMIT :most",
        {
            "run": found.id,
            "name": call.query.get("name"),
            "landed": LANDED,
            "after": call.number("after", -1, most=2**53),
            "most": MAX_POINTS + 1,
        },
    ).fetchall()
    if len(points) > MAX_POINTS:
        raise Refused(400, f"Run {found.id} has more than {MAX_POINTS} points: ask for one curve with name=.")
    return answers.json_response({"run": found.id, "metrics": [dict(point) for point in points]})


def log(call: Call) -> Response:
    call.only("tail")
    found = call.store.run(call.path["id"])
    return PlainTextResponse(found.log(tail=call.number("tail", 200, most=100_000)))


def submit(call: Call) -> Response:
    call.only()
    fields = _checked(call.body)
    # An import path would let the holder of a token run any code that is installed.
    name = fields.pop("estimator")
    if name not in registry.estimator_names() and not name.startswith("model:"):
        raise Refused(
            422, f"There is no registered estimator {name!r}; a model is asked for as model:NAME@VERSION."
        )
    if "recipe" in fields and ":" in fields["recipe"]:
        raise Refused(422, "A recipe is asked for by its registered name.")
    if "split" in fields:
        fields["split"] = _split(fields["split"])
    if name.startswith("model:"):
        fields.setdefault("recipe", "apply")
        name = f"model:{call.store.models.get(name.removeprefix('model:')).ref}"
    try:
        data = call.store.dataset(fields.pop("dataset"))
    except DatasetNotFound as error:
        raise Refused(422, str(error)) from error
    request = _request(call, "submit")
    repeated = request is not None and requests.find(call.store.dir, request) is not None
    if not repeated and not name.startswith("model:"):
        call.store.check(name, data, **fields)
    made = call.store.queue.submit(name, data, owner=_owner(call), request=request, **fields)
    headers = {"Location": f"/api/runs/{made.id}"} | ({"Idempotent-Replayed": "true"} if repeated else {})
    return answers.json_response(answers.run(made, whole=True), 200 if repeated else 201, headers)


def cancel(call: Call) -> Response:
    call.only()
    if call.body not in (None, {}):
        raise Refused(422, "To cancel, send no body.")
    found = call.store.run(call.path["id"])
    call.store.queue.cancel(found.id, request=_request(call, f"cancel {found.id}"))
    return answers.json_response(answers.run(found.refresh()), 202)


_MOST = 2**53  # what every reader of JSON takes for the same whole number


def _checked(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Refused(400, 'The body must be a JSON object such as {"estimator": "…", "dataset": "…"}.')
    for name in ("estimator", "dataset"):
        if name not in body:
            raise Refused(422, f"The body lacks {name!r}.")
    for name, value in body.items():
        if name not in _FIELDS:
            raise Refused(422, f"A run has no {name!r}; it has {', '.join(_FIELDS)}.")
        if not isinstance(value, _FIELDS[name]) or isinstance(value, bool):
            kind = {str: "a text", dict: "an object", int: "a whole number"}[_FIELDS[name][0]]
            raise Refused(422, f"{name!r} must be {kind}.")
        if isinstance(value, int) and abs(value) > _MOST:
            raise Refused(422, f"{name!r} must lie between -{_MOST} and {_MOST}.")
    return dict(body)


def _split(given: Mapping[str, Any]) -> Any:
    from workbench.arrays import Split

    try:
        return Split(**given)
    except TypeError as error:
        raise Refused(422, "A split has 'kind' (auto, column or random) and 'test_size' (0 to 1).") from error


def _request(call: Call, action: str) -> Request | None:
    if not call.key:
        return None
    if len(call.key) > 255 or not call.key.isprintable():
        raise Refused(400, "An idempotency key has 1 to 255 printable characters.")
    text = json.dumps([action, call.body], sort_keys=True)
    caller = call.token.id if call.token is not None else ""
    return Request(caller, call.key, hashlib.sha256(text.encode()).hexdigest())


def _owner(call: Call) -> str:
    return call.token.name if call.token is not None else ""


# --- models and figures -------------------------------------------------------------------------


def models(call: Call) -> Response:
    call.only()
    return answers.json_response({"models": [answers.model(each) for each in call.store.models.list()]})


def model(call: Call) -> Response:
    call.only()
    check_name(call.path["ref"].partition("@")[0])
    try:
        return answers.json_response(answers.model(call.store.models.get(call.path["ref"])))
    except UsageError as error:
        raise Refused(404, str(error)) from error


def prometheus_metrics(call: Call) -> Response:
    return Response(prometheus.text(call.store.dir), media_type=prometheus.MEDIA_TYPE)

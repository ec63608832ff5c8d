"""What runs leave, to be downloaded: the files of their artifacts, and the tables of their reports."""

from __future__ import annotations

import io
import mimetypes
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response

from workbench.api import answers
from workbench.api.access import Refused

if TYPE_CHECKING:
    import pandas as pd

    from workbench.api.endpoints import Call

__all__ = ["artifact", "artifacts", "report", "table"]

#: What a table can be asked for as, and how it is then called.
FORMATS = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


def artifacts(call: Call) -> Response:
    """The files that a run left."""
    call.only()
    found = call.store.run(call.path["id"])
    listed = [{"path": name, "bytes": path.stat().st_size} for name, path in found.artifacts.items()]
    return answers.json_response({"run": found.id, "artifacts": listed})


def artifact(call: Call) -> Response:
    """One of them, to be saved."""
    call.only()
    found = call.store.run(call.path["id"])
    name = call.path["path"]
    # Looked up among the files that there are: no text of a request becomes a path.
    path = found.artifacts.get(name)
    if path is None or not path.resolve().is_relative_to((found.folder / "artifacts").resolve()):
        raise Refused(404, f"Run {found.id} has no artifact {name!r}.")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    # Always to be saved, never shown: a run's HTML must not be a page of this server.
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    return FileResponse(path, media_type=kind, filename=path.name, headers=headers)


def report(call: Call) -> Response:
    """The headline, the scores and what tables there are."""
    call.only()
    found = call.store.run(call.path["id"])
    said = found.report()
    tables = [
        {"name": name, "rows": len(frame), "columns": [str(column) for column in frame.columns]}
        for name, frame in said.tables.items()
    ]
    answer = {"run": found.id, "headline": said.headline, "scores": said.scores, "tables": tables}
    return answers.json_response(answer)


def table(call: Call) -> Response:
    """A table of the report, as JSON, CSV or Parquet."""
    call.only("format", "limit", "offset")
    found = call.store.run(call.path["id"])
    name, form = call.path["name"], call.query.get("format", "json")
    if form not in FORMATS:
        raise Refused(400, f"format is one of {', '.join(FORMATS)}, not {form!r}.")
    tables = found.report().tables
    if name not in tables:
        raise Refused(404, f"The report of run {found.id} has no table {name!r}; it has {', '.join(tables)}.")
    begin = call.number("offset", 0, most=2**53)
    frame = tables[name].iloc[begin:]
    if form == "json" or "limit" in call.query:
        frame = frame.iloc[: call.number("limit", 1000, most=100_000)]
    if form != "json":
        headers = {"Content-Disposition": f'attachment; filename="{found.id}-{name}.{form}"'}
        return Response(_content(frame, form), media_type=FORMATS[form], headers=headers)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return answers.json_response({"run": found.id, "table": name, "offset": begin, "rows": rows})


def _content(frame: pd.DataFrame, form: str) -> bytes:
    if form == "csv":
        return frame.to_csv(index=False).encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()

"""Data sets, runs and models as the API tells of them: plain JSON, times in ISO 8601 and UTC."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from workbench.printing import when

if TYPE_CHECKING:
    from workbench.datasets import Dataset
    from workbench.models import Model
    from workbench.runs import Run

__all__ = ["dataset", "failure", "json_response", "model", "run"]


def run(found: Run, *, whole: bool = False) -> dict[str, Any]:
    """A run; `whole` adds its specification and what its process used."""
    answer = {
        "id": found.id,
        "name": found.name,
        "state": found.state,
        "estimator": found.estimator_name,
        "recipe": found.recipe,
        "dataset": found.dataset,
        "owner": found.owner,
        "git_commit": found.git_commit,
        "priority": found.priority,
        "device": found.device,
        "launcher": found.launcher,
        "slot": found.slot,
        "attempt": found.attempt,
        "cancelling": found.cancelling,
        "stage": found.stage,
        "progress": found.progress,
        "remaining_seconds": found.remaining,
        "seconds": found.seconds,
        "created": when(found.created),
        "started": when(found.started),
        "finished": when(found.finished),
        "headline": found.headline,
        "scores": found.scores,
        "error": found.error,
    }
    return answer | {"usage": found.usage, "spec": found.spec} if whole else answer


def dataset(found: Dataset, *, whole: bool = False) -> dict[str, Any]:
    """A version of a data set; `whole` adds columns, lineage and profile."""
    answer = {
        "ref": found.ref,
        "name": found.name,
        "version": found.version,
        "rows": found.n_rows,
        "bytes": found.n_bytes,
        "sha256": found.checksum,
        "roles": found.roles,
        "role_revision": found.role_revision,
        "importer": found.importer,
        "source": found.source,
        "parent": found.parent,
        "created": when(found.created),
    }
    if not whole:
        return answer
    columns = [{"name": column.name, "type": column.type} for column in found.columns]
    return answer | {"columns": columns, "sql": found.sql, "notes": found.notes, "profile": found.profile}


def model(found: Model) -> dict[str, Any]:
    """A saved model with its card."""
    return {
        "ref": found.ref,
        "name": found.name,
        "version": found.version,
        "aliases": list(found.aliases),
        "estimator": found.estimator,
        "dataset": found.dataset,
        "run": found.run,
        "bytes": found.n_bytes,
        "created": when(found.created),
        "card": found.card,
    }


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as JSON; numbers that JSON does not have are null."""
    text = json.dumps(_clean(value), ensure_ascii=False, allow_nan=False)
    fixed = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(f"{text}\n", status, {**fixed, **(headers or {})}, media_type="application/json")


def failure(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """Every error has one form: ``{"error": "One sentence."}``."""
    extra = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return json_response({"error": " ".join(sentence.split())}, status, {**extra, **(headers or {})})


def _clean(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_clean(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)

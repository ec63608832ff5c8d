"""What the process of a run tells in its folder: its events, and its result.

The folder is the run's own, and what is in it may have been torn by a kill, written by the estimator, or sent
by a node of a cluster: nothing here may stop the worker that reads it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

__all__ = ["read_events", "read_result"]

FINISHED = ("done", "failed", "cancelled")


def read_events(block: bytes) -> tuple[list[tuple[str, int, float | None, float]], dict[str, Any]]:
    """The metrics in whole lines of an event file, and the latest state of the run's progress."""
    metrics: list[tuple[str, int, float | None, float]] = []
    state: dict[str, Any] = {}
    for line in block.splitlines():
        try:
            event = json.loads(line)
            if event["event"] == "metric":
                metrics.append(_point(event))
            elif event["event"] == "progress":
                state = _progress(event)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue  # torn by a kill, and said again by the next attempt; or not written by the reporter
    return metrics, state


def _point(event: dict[str, Any]) -> tuple[str, int, float | None, float]:
    value, step, moment = event["value"], int(event["step"]), float(event["time"])
    if abs(step) > 2**53 or not math.isfinite(moment):
        raise ValueError("no point of a curve")
    return _text(event["name"]), step, None if value is None else float(value), moment


def _progress(event: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = {
        name: float(event[name]) for name in ("progress", "remaining") if event.get(name) is not None
    }
    return state | {"stage": _text(event["stage"])} if event.get("stage") is not None else state


def _text(value: Any) -> str:
    """A text that the database takes: half a pair of surrogates is none."""
    return str(value).encode(errors="replace").decode()


def read_result(folder: Path) -> dict[str, Any] | None:
    """What the run process said in the end, as arguments of :func:`queue.finish`; None if it did not."""
    try:
        result = json.loads((folder / "result.json").read_text())
        if result["state"] not in FINISHED:
            return None
        return {
            "state": result["state"],
            "error": _text(result["error"]),
            "headline": _text(result["headline"]),
            "scores": {_text(k): None if v is None else float(v) for k, v in result["scores"].items()},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None

"""What the process of a pipeline run does: call the function, carry out its steps, and report on them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import PipelineError
from workbench.pipelines import table
from workbench.pipelines.declare import Pipeline, load_file
from workbench.pipelines.flow import Flow
from workbench.pipelines.inputs import resolved

if TYPE_CHECKING:
    from workbench.report import Report
    from workbench.runs.reporter import RunReporter

__all__ = ["carry_out"]


def carry_out(spec: dict[str, Any], folder: Path, reporter: RunReporter) -> Report:
    """Carry out the pipeline run in `folder`, or carry on with it.

    Raises
    ------
    PipelineError
        If a step has failed; whatever did not depend on it is done all the same.
    """
    from workbench.facade import Store

    store = Store(folder.parent.parent)
    declared = load_file(folder / spec["source"]).get(spec["pipeline"])
    if declared is None:
        raise PipelineError(f"{spec['source']} declares no pipeline {spec['pipeline']!r}.")
    flow = Flow(store, spec["id"], folder, spec, reporter)
    try:
        try:
            returned = declared.function(flow, **_arguments(declared, spec["params"], flow))
        except Exception:
            flow.wait()  # what was begun is of use to the next run
            raise
        flow.check()
        return _report(spec, store, flow, resolved(returned))
    finally:
        flow.close()


def _arguments(declared: Pipeline, params: Mapping[str, Any], flow: Flow) -> dict[str, Any]:
    """The parameters as the function's annotations have them; data sets with their version."""
    given: dict[str, Any] = {}
    for parameter in declared.parameters:
        value = params.get(parameter.name, parameter.default)
        if parameter.kind == "date" and isinstance(value, str):
            value = date.fromisoformat(value)
        if parameter.kind == "dataset" and value:
            value = flow.latest(value)
        given[parameter.name] = value
    return given


def _report(spec: dict[str, Any], store: Any, flow: Flow, returned: Any) -> Report:
    from workbench.report import Report

    steps = table.frame(store.dir, flow.run_id)
    reused = int(steps["reused"].notna().sum())
    again = f", {reused} of them as done before" if reused else ""
    headline = f"{len(steps)} steps done{again}."
    scores: dict[str, float] = {}
    if isinstance(returned, str):
        headline = returned
    elif isinstance(returned, dict):
        headline = str(returned.get("headline") or headline)
        scores = {
            str(k): float("nan") if v is None else float(v) for k, v in returned.get("scores", {}).items()
        }
    return Report("pipeline", headline, scores, {"steps": steps})

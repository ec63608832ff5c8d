"""What ``workbench pipelines …`` and ``workbench schedule …`` do."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

import workbench
from workbench.errors import PipelineError, UsageError
from workbench.printing import print_json, print_rows, when

if TYPE_CHECKING:
    import argparse

    from workbench.facade import Store
    from workbench.pipelines import Pipeline
    from workbench.runs import Run
    from workbench.runs.schedules import Schedule


def list_all(arguments: argparse.Namespace) -> None:
    pipelines = workbench.open(arguments.store).pipelines
    rows = [
        {
            "name": each.name,
            "parameters": ", ".join(parameter.name for parameter in each.parameters),
            "summary": each.summary,
            "file": str(each.file),
        }
        for each in pipelines.list()
    ]
    print_rows(rows, ["name", "parameters", "summary"], arguments.json)
    for problem in pipelines.broken().values():
        print(f"workbench: {problem}", file=sys.stderr)


def show(arguments: argparse.Namespace) -> None:
    store = workbench.open(arguments.store)
    run = _run_called(store, arguments.pipeline)
    if run is not None:
        _show_run(store, run, arguments.json)
        return
    declared = store.pipelines.get(arguments.pipeline)
    rows = [
        {
            "parameter": each.name,
            "kind": each.kind,
            "default": None if each.default is inspect.Parameter.empty else each.default,
            "required": each.default is inspect.Parameter.empty,
            "choices": [*each.choices],
            "doc": each.summary,
        }
        for each in declared.parameters
    ]
    if arguments.json:
        about = {"name": declared.name, "doc": declared.doc, "file": str(declared.file)}
        print_json(about | {"parameters": rows})
        return
    print(f"{declared.name}: {declared.doc}\n")
    print_rows(rows, ["parameter", "kind", "default", "doc"], False)


def run(arguments: argparse.Namespace) -> int:
    store = workbench.open(arguments.store)
    declared = store.pipelines.get(arguments.pipeline)
    params = declared.parse(_pairs(arguments.param))
    started = store.pipelines.run(declared.name, params, date=arguments.date, reuse=not arguments.no_reuse)
    if arguments.wait:
        from workbench.serving import wait_for

        started = wait_for(store, started)
    if arguments.json:
        print_json(_run_row(started))
    else:
        print((started.headline or f"{started.id} {started.state}") if arguments.wait else started.id)
    if arguments.wait and started.state != "done":
        problem = f"run {started.id} {started.state}: {started.error}".rstrip(": ")
        print(f"workbench: {problem}", file=sys.stderr)
        return 1
    return 0


def backfill(arguments: argparse.Namespace) -> None:
    store = workbench.open(arguments.store)
    declared = store.pipelines.get(arguments.pipeline)
    runs = store.pipelines.backfill(
        declared.name,
        arguments.start,
        arguments.end,
        declared.parse(_pairs(arguments.param)),
        again=arguments.again,
    )
    print_rows([_run_row(each) for each in runs], ["id", "date", "state"], arguments.json)


def _run_called(store: Store, text: str) -> Run | None:
    """The pipeline run with that id; None where `text` names a pipeline, or nothing."""
    from workbench.errors import RunNotFound

    if text in {each.name for each in store.pipelines.list()}:
        return None
    try:
        found = store.run(text)
    except RunNotFound:
        return None
    return found if found.recipe == "pipeline" else None


def _show_run(store: Store, found: Run, as_json: bool) -> None:
    steps = store.pipelines.steps(found.id)
    steps = steps.astype(object).where(steps.notna(), None)
    rows: list[dict[str, Any]] = steps.to_dict("records")  # type: ignore[assignment]
    if as_json:
        print_json(_run_row(found) | {"params": found.spec["params"], "steps": rows})
        return
    print(f"{found.name}: {found.state} {found.headline or found.error}\n")
    print_rows(rows, ["name", "kind", "state", "attempt", "seconds", "child", "error"], False)


def _run_row(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "pipeline": run.spec["pipeline"],
        "date": run.spec["date"],
        "state": run.state,
        "schedule": run.schedule,
        "created": when(run.created),
        "finished": when(run.finished),
        "headline": run.headline,
        "scores": run.scores,
        "error": run.error,
    }


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--param {text!r} must be NAME=VALUE.")
        pairs[name] = value
    return pairs


# --- schedules ----------------------------------------------------------------------------------


def schedule_add(arguments: argparse.Namespace) -> None:
    store = workbench.open(arguments.store)
    declared: Pipeline = store.pipelines.get(arguments.pipeline)
    added = store.schedules.add(
        arguments.name,
        declared.name,
        declared.parse(_pairs(arguments.param)),
        cron=arguments.cron,
        dataset=arguments.on_dataset,
        folder=arguments.on_folder,
        zone=arguments.zone,
        fills=arguments.fill,
        overlap=arguments.overlap,
        catch_up=arguments.catch_up,
    )
    _print_schedule(added, arguments.json)


def schedule_list(arguments: argparse.Namespace) -> None:
    rows = [_schedule_row(each) for each in workbench.open(arguments.store).schedules.list()]
    print_rows(rows, ["name", "pipeline", "when", "next", "paused"], arguments.json)


def schedule_show(arguments: argparse.Namespace) -> None:
    schedules = workbench.open(arguments.store).schedules
    found = schedules.get(arguments.name)
    ticks: list[dict[str, Any]] = schedules.ticks(found.name, 20).to_dict("records")  # type: ignore[assignment]
    for tick in ticks:
        tick["decided"] = when(tick["decided"])
    if arguments.json:
        print_json(_schedule_row(found) | {"upcoming": found.upcoming(), "ticks": ticks})
        return
    _print_schedule(found, False)
    if ticks:
        print()
        print_rows(ticks, ["due", "outcome", "run", "note"], False)


def schedule_next(arguments: argparse.Namespace) -> None:
    found = workbench.open(arguments.store).schedules.get(arguments.name)
    times = found.upcoming(arguments.n)
    if arguments.json:
        print_json(times)
        return
    if not times:
        raise PipelineError(
            f"The schedule {found.name} is paused." if found.paused else f"{found.words}, not by time."
        )
    for time in times:
        print(time.isoformat(timespec="minutes"))


def schedule_change(arguments: argparse.Namespace) -> None:
    schedules = workbench.open(arguments.store).schedules
    getattr(schedules, arguments.action)(arguments.name)
    done = {"pause": "paused", "resume": "resumed", "delete": "deleted"}[arguments.action]
    if arguments.json:
        print_json({"name": arguments.name, "did": done})
    else:
        print(f"{done} {arguments.name}")


def _schedule_row(each: Schedule) -> dict[str, Any]:
    return {
        "name": each.name,
        "pipeline": each.pipeline,
        "params": each.params,
        "trigger": each.trigger,
        "what": each.what,
        "zone": each.zone,
        "when": each.words,
        "next": next(iter(each.upcoming(1)), None),
        "fills": each.fills,
        "overlap": each.overlap,
        "catch_up": each.catch_up,
        "paused": each.paused,
    }


def _print_schedule(each: Schedule, as_json: bool) -> None:
    if as_json:
        print_json(_schedule_row(each) | {"upcoming": each.upcoming()})
        return
    print(f"{each.name}: {each.words}, starts {each.pipeline}{' (paused)' if each.paused else ''}")
    for time in each.upcoming():
        print(time.isoformat(timespec="minutes"))

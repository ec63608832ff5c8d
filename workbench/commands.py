"""What each command does: read the arguments, call the façade, print the answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import workbench
from workbench.errors import UsageError
from workbench.printing import print_json, print_rows, records, when

if TYPE_CHECKING:
    import argparse

    from workbench.facade import Store
    from workbench.runs import Run

DEFAULT_PORT = 8501


def parse_port(text: str) -> int:
    """A port number from text; ValueError if it is none."""
    value = int(text)
    if not 1 <= value <= 65535:
        raise ValueError(text)
    return value


def _store(arguments: argparse.Namespace) -> Store:
    return workbench.open(arguments.store)


# --- serving ------------------------------------------------------------------------------------


def serve(arguments: argparse.Namespace) -> int:
    from workbench import serving

    return serving.serve(_store(arguments), *_address(arguments))


def web(arguments: argparse.Namespace) -> int:
    from workbench import serving

    return serving.web(_store(arguments), *_address(arguments))


def _address(arguments: argparse.Namespace) -> tuple[str, int | None]:
    port = getattr(arguments, "port", None)
    named = os.environ.get("WORKBENCH_PORT")
    if port is None and named:
        try:
            port = parse_port(named)
        except ValueError:
            raise UsageError(f"WORKBENCH_PORT must be a port between 1 and 65535, not {named!r}.") from None
    return getattr(arguments, "host", "127.0.0.1"), port


def worker(arguments: argparse.Namespace) -> None:
    from workbench.runs.worker import Worker

    store = _store(arguments)
    store.dir.check_writable()
    store.datasets.sweep()  # what killed imports left
    if arguments.samples:
        from workbench.serving import first_start

        first_start(store)
    Worker(store.dir, slots=arguments.slots).run_forever()


def run(arguments: argparse.Namespace) -> int:
    from workbench.runs.process import main as run_process

    return run_process(arguments.folder)


def node(arguments: argparse.Namespace) -> int:
    from workbench.runs.node import main as do_errand

    return do_errand()


def step(arguments: argparse.Namespace) -> int:
    from workbench.pipelines.python import main as run_step

    return run_step(arguments.folder, arguments.name)


# --- runs ---------------------------------------------------------------------------------------


def submit(arguments: argparse.Namespace) -> int:
    from workbench.arrays import Split

    store = _store(arguments)
    what: dict[str, Any] = {
        "params": _params(arguments.estimator, arguments.param),
        "recipe": arguments.recipe,
        "split": Split(arguments.split, arguments.test_size),
    }
    if not arguments.estimator.startswith("model:"):
        store.check(arguments.estimator, arguments.data, **what)
    run = store.submit(
        arguments.estimator,
        arguments.data,
        **what,
        seed=arguments.seed,
        name=arguments.name,
        priority=arguments.priority,
        device=arguments.device,
        launcher=arguments.launcher,
        processes=arguments.processes,
    )
    return _answer(store, run, arguments)


def notebook_run(arguments: argparse.Namespace) -> int:
    from workbench.notebooks import Document, submit

    store = _store(arguments)
    document = Document.read(arguments.file)
    run = submit(store.dir, document, _notebook_params(document, arguments.param))
    return _answer(store, run, arguments)


def _notebook_params(document: Any, pairs: Iterable[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--param {pair!r} must be NAME=VALUE.")
        try:
            values[name] = text if isinstance(document.parameters.get(name), str) else json.loads(text)
        except ValueError:
            raise UsageError(f"The parameter {name} must be a value as JSON has it, not {text!r}.") from None
    return values


def _answer(store: Store, run: Run, arguments: argparse.Namespace) -> int:
    """Say which run was queued, or with ``--wait`` what came of it."""
    if arguments.wait:
        from workbench.serving import wait_for

        run = wait_for(store, run)
    row = _run_row(run)
    if arguments.json:
        print_json(row)
    elif arguments.wait:
        print(run.headline or f"{run.id} {run.state}")
        for note in _notes(run):
            print(f"note: {note}")
        for name, value in run.scores.items():
            print(f"{name:32} {'no number' if value is None else format(value, '.6g')}")
    else:
        print(run.id)
    if arguments.wait and run.state != "done":
        print(f"workbench: run {run.id} {run.state}: {run.error}".rstrip(": "), file=sys.stderr)
        return 1
    return 0


def _notes(run: Run) -> list[str]:
    """What the report warns of."""
    tables = run.report().tables if run.state == "done" else {}
    return tables["notes"]["note"].tolist() if "notes" in tables else []


def _params(estimator: str, pairs: Iterable[str]) -> dict[str, Any]:
    from workbench import registry
    from workbench.parameters import describe, parse_value

    described = {parameter.name: parameter for parameter in describe(registry.estimator(estimator))}
    params = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--param {pair!r} must be NAME=VALUE.")
        if name not in described:
            raise UsageError(f"{estimator} has no parameter {name!r}; it has {', '.join(described)}.")
        params[name] = parse_value(described[name], text)
    return params


def runs_list(arguments: argparse.Namespace) -> None:
    runs = _store(arguments).runs(state=arguments.state, limit=arguments.limit)
    columns = ["id", "name", "state", "estimator", "dataset", "progress", "created", "headline"]
    print_rows([_run_row(run) for run in runs], columns, arguments.json)


def runs_show(arguments: argparse.Namespace) -> None:
    run = _store(arguments).run(arguments.run)
    row = _run_row(run) | {
        "owner": run.owner,
        "git_commit": run.git_commit,
        "usage": run.usage,
        "spec": run.spec,
    }
    if arguments.json:
        print_json(row)
        return
    for name, value in row.items():
        print(f"{name:12} {json.dumps(value, default=str) if isinstance(value, (dict, list)) else value}")


def runs_log(arguments: argparse.Namespace) -> None:
    print(_store(arguments).run(arguments.run).log(tail=arguments.tail))


def runs_compare(arguments: argparse.Namespace) -> None:
    from workbench.comparison import less_is_better
    from workbench.significance import average_ranks, pairwise

    compared = _store(arguments).compare(arguments.run)
    parameters, scores = compared.parameters(), compared.scores()
    score = arguments.score or next(iter(compared.score_names()), None)
    tables = {"parameters": parameters, "scores": scores, "curves": compared.endings()}
    ranks = None
    if score is not None:
        matrix = compared.matrix(score, arguments.pairs)
        tables |= {"groups": compared.summary(score), "pairs": pairwise(matrix)}
        ranks = average_ranks(matrix, less_is_better=less_is_better(score))
    plain = {name: records(table) for name, table in tables.items()}
    if arguments.json:
        found = None if ranks is None else vars(ranks) | {"average": ranks.average.to_dict()}
        print_json({"score": score, **plain, "ranks": found})
        return
    for name, table in tables.items():
        if len(table):
            print(f"# {name}" + (f" by {score}" if name in ("groups", "pairs") else ""))
            print_rows(plain[name], list(table.columns), as_json=False)
            print()
    if ranks is not None:
        print(f"# average ranks over {ranks.n_blocks}, critical difference {ranks.critical_difference:.3f}")
        for method, rank in ranks.average.items():
            print(f"{rank:.3f}  {method}")


def runs_change(arguments: argparse.Namespace) -> None:
    queue = _store(arguments).queue
    ids = [queue.get(run).id for run in arguments.run]
    options = {"fresh": arguments.fresh} if arguments.action == "retry" else {}
    getattr(queue, arguments.action)(ids, **options)
    done = {"cancel": "cancelled", "retry": "queued", "delete": "deleted"}[arguments.action]
    for run in ids:
        print(f"{done} {run}")


def _run_row(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "name": run.name,
        "state": run.state,
        "estimator": run.estimator_name,
        "recipe": run.recipe,
        "dataset": run.dataset,
        "progress": round(run.progress, 4),
        "stage": run.stage,
        "attempt": run.attempt,
        "created": when(run.created),
        "started": when(run.started),
        "finished": when(run.finished),
        "headline": run.headline,
        "scores": run.scores,
        "error": run.error,
    }


def export(arguments: argparse.Namespace) -> None:
    from workbench.notebook import export

    for path in export(_store(arguments).run(arguments.run), arguments.output):
        print(path)

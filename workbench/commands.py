"""What each command does: read the arguments, call the façade, print the answer."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import workbench
from workbench.errors import UsageError

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
    store.datasets.sweep()  # what killed imports left
    if arguments.samples:
        from workbench.serving import first_start

        first_start(store)
    Worker(store.dir, slots=arguments.slots).run_forever()


def run(arguments: argparse.Namespace) -> int:
    from workbench.runs.process import main as run_process

    return run_process(arguments.folder)


# --- data sets ----------------------------------------------------------------------------------


def data_import(arguments: argparse.Namespace) -> None:
    dataset = _store(arguments).datasets.import_files(
        [Path(file) for file in arguments.files], name=arguments.name, format=arguments.format
    )
    _print_dataset(dataset, arguments.json)


def data_list(arguments: argparse.Namespace) -> None:
    rows = [_dataset_row(dataset) for dataset in _store(arguments).datasets.list()]
    _print_rows(rows, ["name", "version", "rows", "columns", "bytes", "importer", "created"], arguments.json)


def data_show(arguments: argparse.Namespace) -> None:
    store = _store(arguments)
    dataset = store.datasets.get(arguments.ref)
    row = _dataset_row(dataset) | {
        "columns": [asdict(column) for column in dataset.columns],
        "roles": dataset.roles,
        "source": dataset.source,
        "parent": dataset.parent,
        "checksum": dataset.checksum,
        "versions": [version.version for version in store.datasets.versions(dataset.name)],
        "profile": dataset.profile,
    }
    if arguments.json:
        _print_json(row)
        return
    print(f"{dataset.ref}: {dataset.n_rows:,} rows, {dataset.n_bytes:,} bytes, from {dataset.source or '—'}")
    print(f"versions: {', '.join(map(str, row['versions']))}")
    role_of = {column: role for role, columns in dataset.roles.items() for column in columns}
    table = [{**column, "role": role_of.get(column["name"], "")} for column in row["columns"]]
    _print_rows(table, ["name", "type", "role"], as_json=False)


def data_sql(arguments: argparse.Namespace) -> None:
    frame = _store(arguments).datasets.sql(arguments.query, limit=arguments.limit)
    if arguments.json:
        print(frame.to_json(orient="records", date_format="iso"))
    else:
        frame.to_csv(sys.stdout, index=False)


def data_delete(arguments: argparse.Namespace) -> None:
    for ref in arguments.ref:
        _store(arguments).datasets.delete(ref)
        print(f"deleted {ref}")


def data_export(arguments: argparse.Namespace) -> None:
    path = _store(arguments).datasets.get(arguments.ref).export(Path(arguments.output))
    print(path)


def data_prepare(arguments: argparse.Namespace) -> None:
    from workbench.datasets.prepare import Preparation

    source = _store(arguments).datasets.get(arguments.ref)
    preparation = Preparation.load(arguments.steps)
    if arguments.show == "sql":
        print(preparation.to_sql(source))
    elif arguments.show == "python":
        print(preparation.to_python(source.ref, arguments.name), end="")
    else:
        _print_dataset(preparation.apply(source, arguments.name), arguments.json)


def data_samples(arguments: argparse.Namespace) -> None:
    from workbench.datasets import samples

    rows = [_dataset_row(dataset) for dataset in samples.register(_store(arguments).datasets)]
    _print_rows(rows, ["name", "version", "rows", "columns"], arguments.json)


def _print_dataset(dataset: Any, as_json: bool) -> None:
    if as_json:
        _print_json(_dataset_row(dataset))
    else:
        print(f"{dataset.ref}: {dataset.n_rows:,} rows, {len(dataset.columns)} columns")


def _dataset_row(dataset: Any) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "version": dataset.version,
        "ref": dataset.ref,
        "rows": dataset.n_rows,
        "columns": len(dataset.columns),
        "bytes": dataset.n_bytes,
        "importer": dataset.importer,
        "created": _when(dataset.created),
    }


# --- runs ---------------------------------------------------------------------------------------


def submit(arguments: argparse.Namespace) -> int:
    from workbench.arrays import Split

    store = _store(arguments)
    run = store.submit(
        arguments.estimator,
        arguments.data,
        params=_params(arguments.estimator, arguments.param),
        recipe=arguments.recipe,
        split=Split(arguments.split, arguments.test_size),
        seed=arguments.seed,
        name=arguments.name,
        priority=arguments.priority,
        device=arguments.device,
    )
    if arguments.wait:
        from workbench.serving import wait_for

        run = wait_for(store, run)
    row = _run_row(run)
    if arguments.json:
        _print_json(row)
    elif arguments.wait:
        print(run.headline or f"{run.id} {run.state}")
        for name, value in run.scores.items():
            print(f"{name:32} {value:.6g}")
    else:
        print(run.id)
    if arguments.wait and run.state != "done":
        print(f"workbench: run {run.id} {run.state}: {run.error}".rstrip(": "), file=sys.stderr)
        return 1
    return 0


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
    _print_rows([_run_row(run) for run in runs], columns, arguments.json)


def runs_show(arguments: argparse.Namespace) -> None:
    run = _store(arguments).run(arguments.run)
    row = _run_row(run) | {"spec": run.spec}
    if arguments.json:
        _print_json(row)
        return
    for name, value in row.items():
        print(f"{name:12} {json.dumps(value, default=str) if isinstance(value, (dict, list)) else value}")


def runs_log(arguments: argparse.Namespace) -> None:
    print(_store(arguments).run(arguments.run).log(tail=arguments.tail))


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
        "created": _when(run.created),
        "started": _when(run.started),
        "finished": _when(run.finished),
        "headline": run.headline,
        "scores": run.scores,
        "error": run.error,
    }


def export(arguments: argparse.Namespace) -> None:
    from workbench.notebook import export

    for path in export(_store(arguments).run(arguments.run), arguments.output):
        print(path)


# --- models -------------------------------------------------------------------------------------


def models_list(arguments: argparse.Namespace) -> None:
    rows = [
        {
            "ref": model.ref,
            "estimator": model.estimator,
            "dataset": model.dataset,
            "run": model.run,
            "bytes": model.n_bytes,
            "created": _when(model.created),
            "scores": model.card.get("scores", {}),
        }
        for model in _store(arguments).models.list()
    ]
    _print_rows(rows, ["ref", "estimator", "dataset", "run", "bytes", "created"], arguments.json)


def models_save(arguments: argparse.Namespace) -> None:
    print(_store(arguments).run(arguments.run).save_model(arguments.name).ref)


def models_delete(arguments: argparse.Namespace) -> None:
    _store(arguments).models.delete(arguments.ref)
    print(f"deleted {arguments.ref}")


def _when(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


# --- printing -----------------------------------------------------------------------------------


def _print_json(value: Any) -> None:
    print(json.dumps(value, default=_jsonable, indent=1))


def _jsonable(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="seconds")
    return str(value)


def _print_rows(rows: list[dict[str, Any]], columns: list[str], as_json: bool) -> None:
    if as_json:
        _print_json(rows)
        return
    cells = [columns] + [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}"
    if hasattr(value, "isoformat"):
        return value.isoformat(sep=" ", timespec="seconds")[:19]
    return str(value)

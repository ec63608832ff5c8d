"""Runs from and to an MLflow store: a folder, ``sqlite:///file.db``, or a server (extra ``mlflow``).

An exported run keeps its parameters, every point of its curves, its scores, its artifacts, and as tags where
it came from. An imported one becomes a recorded run, shown and compared like all others; what was imported
before is left alone, so that the same command brings in what is new.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError

if TYPE_CHECKING:
    from mlflow.entities import Run as TheirRun
    from mlflow.tracking import MlflowClient

    from workbench.facade import Store
    from workbench.runs import Run

__all__ = ["export_runs", "import_runs"]

_BATCH = 900  # metrics in one request; MLflow takes 1000
_LONGEST = 6000  # characters of a parameter, likewise
_STATES = {"done": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
_TAG = "workbench."


def export_runs(runs: Iterable[Run], uri: str, *, experiment: str = "workbench") -> list[str]:
    """Write finished runs into an MLflow experiment; returns their ids there.

    Parameters
    ----------
    runs : iterable of Run
    uri : str
        A folder, ``sqlite:///file.db``, or the address of a server.
    experiment : str
        Made if it is not there.

    Returns
    -------
    list of str
        The ids that MLflow gave.

    Raises
    ------
    UsageError
        If the extra is not installed, a run has not ended, or the tracking store cannot be used.
    """
    runs = list(runs)
    for run in runs:
        if not run.is_finished:
            raise UsageError(f"Run {run.id} is {run.state}: only a run that has ended is exported.")
    client = _client(uri)
    found = client.get_experiment_by_name(experiment)
    home = found.experiment_id if found is not None else client.create_experiment(experiment)
    return [_export(client, home, run) for run in runs]


def _export(client: MlflowClient, experiment: str, run: Run) -> str:
    from mlflow.entities import Metric, Param

    tags = {
        f"{_TAG}run": run.id, f"{_TAG}estimator": run.estimator_name, f"{_TAG}recipe": run.recipe,
        f"{_TAG}dataset": run.dataset, f"{_TAG}headline": run.headline, f"{_TAG}error": run.error,
        f"{_TAG}state": run.state, f"{_TAG}seed": json.dumps(run.spec.get("seed")), "mlflow.user": run.owner,
        "mlflow.source.git.commit": run.git_commit or "",
    }  # fmt: skip
    began = int(1000 * (run.started or run.created))
    made = client.create_run(experiment, start_time=began, run_name=run.name, tags=tags).info.run_id
    params = [Param(key, _text(value)[:_LONGEST]) for key, value in run.spec["params"].items()]
    curves = run.metrics()
    points = [
        Metric(str(name), float(value), int(1000 * moment), int(step))
        for name, step, value, moment in curves[["name", "step", "value", "time"]].to_numpy()
    ]
    end = int(1000 * (run.finished or run.created))
    points += [
        Metric(name, math.nan if value is None else value, end, 0)
        for name, value in run.scores.items()
        if name not in set(curves["name"])
    ]
    client.log_batch(made, params=params)
    for start in range(0, len(points), _BATCH):
        client.log_batch(made, metrics=points[start : start + _BATCH])
    if run.artifacts:
        client.log_artifacts(made, str(run.folder / "artifacts"))
    client.set_terminated(made, _STATES[run.state], end)
    return str(made)


def import_runs(store: Store, uri: str, *, experiment: str, owner: str = "") -> list[Run]:
    """Record the finished runs of an MLflow experiment in `store`, but for those it has already.

    Raises
    ------
    UsageError
        If the extra is not installed, or there is no such experiment.
    """
    client = _client(uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        names = ", ".join(each.name for each in client.search_experiments()) or "none"
        raise UsageError(f"{uri} has no experiment {experiment!r}; it has {names}.")
    known = {run.spec.get("origin") for run in store.runs(limit=None)}
    made, token = [], None
    while True:
        page = client.search_runs([found.experiment_id], order_by=["attributes.start_time"], page_token=token)
        for theirs in page:
            origin = f"mlflow:{theirs.info.run_id}"
            if origin not in known and theirs.info.status in _STATES.values():
                made.append(_import(store, client, theirs, origin, owner))
        token = page.token
        if not token:
            return made


def _import(store: Store, client: MlflowClient, theirs: TheirRun, origin: str, owner: str) -> Run:
    from workbench.runs.tracking import ActiveRun

    tags = theirs.data.tags
    params = {name: _value(text) for name, text in theirs.data.params.items()}
    run = ActiveRun(
        store.dir,
        theirs.info.run_name or theirs.info.run_id,
        params=params,
        data=tags.get(f"{_TAG}dataset", ""),  # which need not be in this store
        seed=_value(tags.get(f"{_TAG}seed", "null")),
        owner=owner or tags.get("mlflow.user", ""),
    )
    state = next(ours for ours, name in _STATES.items() if name == theirs.info.status)
    try:
        run.mark({"origin": origin, "git_commit": tags.get("mlflow.source.git.commit") or None})
        run.headline = tags.get(f"{_TAG}headline", "")
        for name in theirs.data.metrics:
            points = client.get_metric_history(theirs.info.run_id, name)
            for point in sorted(points, key=lambda one: (one.step, one.timestamp)):
                run.log({name: point.value}, step=point.step, time=point.timestamp / 1000)
        _take_artifacts(client, theirs.info.run_id, run)
    except BaseException:
        run.finish("failed", "The import from MLflow was interrupted: delete this run and import again.")
        raise
    run.finish(state, tags.get(f"{_TAG}error", "") or ("" if state == "done" else "As MLflow has it."))
    times = (theirs.info.start_time / 1000, theirs.info.end_time / 1000 if theirs.info.end_time else None)
    with store.dir.write() as db:
        db.execute(
            "UPDATE runs SET created = ?, started = ?, finished = ? WHERE id = ?",
            (times[0], times[0], times[1], run.id),
        )
    return store.run(run.id)


def _take_artifacts(client: MlflowClient, theirs: str, run: Any) -> None:
    if not client.list_artifacts(theirs):
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(client.download_artifacts(theirs, "", folder))
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                run.log_artifact(path, "-".join(path.relative_to(root).parts))


def _text(value: Any) -> str:
    """A parameter as text, from which :func:`_value` makes it again."""
    if isinstance(value, str) and _value(value) == value:
        return value
    return json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _client(uri: str) -> MlflowClient:
    # Nothing is told to anybody, and a folder is a store like any other.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise UsageError("MLflow needs an extra: pip install 'workbench[mlflow]'.") from error
    if "://" not in uri:
        uri = Path(uri).expanduser().resolve().as_uri()
    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, OSError) as error:
        raise UsageError(
            f"{uri} is no MLflow tracking store: {' '.join(str(error).split())[:300]}"
        ) from error
    return client

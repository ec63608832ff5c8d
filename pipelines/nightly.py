"""New data every night: import, look for drift, train anew, and promote what is better."""

import json
from pathlib import Path
from typing import Any, Literal

from workbench.errors import UsageError, WorkbenchError
from workbench.pipelines import Flow, FolderPath, Here, pipeline

#: Scores by which models are compared: whether more of it is better.
SCORES = {
    "accuracy": True, "balanced_accuracy": True, "auc": True, "log_loss": False,
    "r2": True, "mae": False, "rmse": False,
}  # fmt: skip


@pipeline(one_at_a_time=True)
def nightly(
    flow: Flow,
    name: str,
    folder: FolderPath | None = None,
    sql: str = "",
    estimator: str = "sklearn.ensemble:HistGradientBoostingClassifier",
    params: dict | None = None,
    score: Literal["accuracy", "balanced_accuracy", "auc", "log_loss", "r2", "mae", "rmse"] = "log_loss",
    least_gain: float = 0.0,
    drift_limit: float = 0.25,
    seed: int = 0,
):
    """Import data, report its drift, train anew, and make the model the champion if it is better.

    The new model and the champion are compared on the same rows: the new version's test part.

    Parameters
    ----------
    name
        The data set, and the model.
    folder
        Its files are imported as one data set; {date} stands for the logical date.
    sql
        A query over other data sets, instead of a folder. Without either, a data set that came from a
        database or an object store is fetched again.
    estimator
        What is trained: a registered name or module:Class.
    params
        Its parameters, as JSON.
    score
        What models are compared by, on the test part.
    least_gain
        How much better than the champion the new model must be.
    drift_limit
        Somebody is told when a column's population stability index is above it.
    seed
        Of the split and the training.
    """
    if folder and sql:
        raise UsageError("Give a folder or a query, not both.")
    if folder:
        place = str(folder).replace("{date}", str(flow.date))
        files = [[str(f), f.stat().st_size, f.stat().st_mtime_ns] for f in listed(place)]
        data = flow.step(import_folder, name, files, retries=2, delay=30, name="import")
    elif sql:
        data = flow.step(import_sql, name, sql, reuse=False, retries=2, delay=30, name="import")
    else:
        data = flow.step(fetch, name, reuse=False, retries=3, delay=60, name="import")
    drift = flow.step(find_drift, data["ref"], data["before"], drift_limit, name="drift")
    model = flow.run(estimator, data["ref"], params=params, seed=seed, retries=1, name="train")
    verdict = flow.step(compare, model["run"], data["ref"], name, score, least_gain, seed, reuse=False)
    outcome = flow.step(promote, model["run"], name, verdict, reuse=False)
    return flow.step(report, name, str(flow.date), data, drift, verdict, outcome)


def listed(place: str) -> list[Path]:
    """The files of a folder that can be imported."""
    from workbench.datasets.importers import format_of

    path = Path(place).expanduser()
    if not path.is_dir():
        raise UsageError(f"There is no folder {place}.")
    files = []
    for file in sorted(path.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            try:
                format_of([file])
            except WorkbenchError:
                continue  # a README beside the data
            files.append(file)
    if not files:
        raise UsageError(f"The folder {place} holds no file that can be imported.")
    return files


def import_folder(here: Here, name: str, files: list[Any]) -> dict[str, Any]:
    before = reference(here, name)
    roles = here.store.dataset(before).roles if before else None
    made = here.store.datasets.import_files([file for file, *_ in files], name, roles=roles)
    return {"ref": made.ref, "before": before, "rows": made.n_rows, "files": len(files)}


def import_sql(here: Here, name: str, sql: str) -> dict[str, Any]:
    before = reference(here, name)
    roles = here.store.dataset(before).roles if before else None
    made = here.store.datasets.publish_query(sql, name, roles=roles)
    return {"ref": made.ref, "before": before, "rows": made.n_rows}


def fetch(here: Here, name: str) -> dict[str, Any]:
    before = reference(here, name)
    roles = here.store.dataset(name).roles
    made = here.store.datasets.refresh(name).set_roles(roles)
    return {"ref": made.ref, "before": before, "rows": made.n_rows}


def reference(here: Here, name: str) -> str | None:
    """What new data are compared with: what the champion has learnt from, else the version before."""
    champion = here.store.models.aliased(name)
    if champion is not None and champion.dataset in here.store.datasets:
        return champion.dataset
    return here.store.dataset(name).ref if name in here.store.datasets else None


def find_drift(here: Here, ref: str, before: str | None, limit: float) -> dict[str, Any]:
    if before is None:
        print("The first version: there is nothing to compare it with.")
        return {"columns": [], "drifted": [], "rows": {}}
    found = here.store.datasets.diff(before, ref)
    drifted = found.drift[found.drift["psi"] > limit]["column"].tolist()
    gone = found.schema["column"].tolist()
    if drifted or gone:
        words = [f"{column} (index {psi:.2f})" for column, psi in zip(
            drifted, found.drift.set_index("column").loc[drifted, "psi"], strict=True)]  # fmt: skip
        text = f"From {before} to {ref}: " + ", ".join(words[:10])
        if gone:
            text += f"; columns that were added, removed or changed their type: {', '.join(gone[:10])}"
        here.notify("drift", f"{ref} has drifted", f"{text}.")
    found.drift.to_csv(here.folder / "drift.csv", index=False)
    table = json.loads(found.drift.head(200).to_json(orient="records"))
    return {"columns": table, "drifted": drifted, "schema": gone, "rows": found.rows, "before": before}


def compare(
    here: Here, run: str, ref: str, name: str, score: str, least_gain: float, seed: int
) -> dict[str, Any]:
    """Score the new model and the champion on the test rows of the new data."""
    champion = here.store.models.aliased(name)
    challenger = here.store.run(run).estimator()
    X, y = rows_to_judge_on(here.store.run(run), here.store.dataset(ref), challenger, seed)
    verdict: dict[str, Any] = {"score": score, "n_rows": len(y), "new": judge(challenger, X, y, score)}
    verdict |= {"champion": None, "version": None, "why": ""}
    if champion is None:
        return verdict | {"better": True, "why": "There was no champion."}
    verdict |= {"version": champion.version, "fitted_on": champion.dataset}
    try:
        verdict["champion"] = judge(champion.load(), X, y, score)
    except (WorkbenchError, ValueError, KeyError, TypeError) as error:
        why = f"The champion cannot be applied to {ref}: {' '.join(str(error).split())[:300]}"
        return verdict | {"better": True, "why": why}
    gain = verdict["new"] - verdict["champion"]
    gain = gain if SCORES[score] else -gain
    return verdict | {"gain": gain, "better": bool(gain > least_gain)}


def rows_to_judge_on(run: Any, data: Any, estimator: Any, seed: int) -> tuple[Any, Any]:
    """The rows that the run of the new model kept for its test."""
    import numpy as np
    import pandas as pd

    from workbench.arrays import Split
    from workbench.recipes import arrays_of

    X, y, column, _ = arrays_of(estimator, data)
    if y is None:
        raise UsageError(f"{data.ref} has no label: give a column the role 'label'.")
    _, test = Split(**run.spec["split"]).indices(len(X), y=y, column=column, seed=seed)
    test = test[~pd.isna(np.asarray(y, dtype=object)[test])]
    return (X.iloc[test] if hasattr(X, "iloc") else X[test]), y[test]


def judge(estimator: Any, X: Any, y: Any, score: str) -> float:
    from sklearn import metrics

    if score in ("auc", "log_loss"):
        probability, classes = estimator.predict_proba(X), estimator.classes_
        if score == "log_loss":
            return float(metrics.log_loss(y, probability, labels=classes))
        if len(classes) == 2:
            return float(metrics.roc_auc_score(y == classes[1], probability[:, 1]))
        return float(metrics.roc_auc_score(y, probability, multi_class="ovr", labels=classes))
    named = {
        "accuracy": metrics.accuracy_score, "balanced_accuracy": metrics.balanced_accuracy_score,
        "r2": metrics.r2_score, "mae": metrics.mean_absolute_error, "rmse": metrics.root_mean_squared_error,
    }  # fmt: skip
    return float(named[score](y, estimator.predict(X)))


def promote(here: Here, run: str, name: str, verdict: dict[str, Any]) -> dict[str, Any]:
    """Keep the new model and make it the champion, if it is better than the one it was compared with."""
    models = here.store.models
    if not verdict["better"]:
        return {"promoted": False, "champion": f"{name}@{verdict['version']}"}
    made = models.of_run(run, name) or here.store.run(run).save_model(name)
    done = models.set_alias(made.ref, "champion", instead_of=verdict["version"])
    champion = models.aliased(name)
    return {"promoted": done, "champion": champion.ref if champion else None, "model": made.ref}


def report(
    here: Here,
    name: str,
    day: str,
    data: dict[str, Any],
    drift: dict[str, Any],
    verdict: dict[str, Any],
    outcome: dict[str, Any],
) -> dict[str, Any]:
    import pandas as pd

    from workbench.pipelines.html import write_page
    from workbench.plots.pipelines import drift_bars

    score, new, old = verdict["score"].replace("_", " "), verdict["new"], verdict["champion"]
    against = "" if old is None else f", the champion's {old:.4g}"
    done = (
        f"{outcome['champion']} is the new champion"
        if outcome["promoted"]
        else f"{outcome['champion']} stays"
    )
    headline = f"{done}: the new model's {score} is {new:.4g}{against} ({verdict['n_rows']} test rows)."
    if drift["drifted"]:
        n = len(drift["drifted"])
        headline += f" {n} column{'s have' if n > 1 else ' has'} drifted."
    dataset = here.store.dataset(data["ref"])
    profile = pd.DataFrame(
        [
            {"column": c["name"], "type": c["type"], "missing": c.get("missing"), "distinct":
            c.get("distinct"),
             "min": c.get("min"), "mean": c.get("mean"), "max": c.get("max")}
            for c in dataset.profile["columns"]
        ]
    ).astype(object)  # fmt: skip
    parts: list[Any] = [headline]
    if verdict["why"]:
        parts.append(verdict["why"])
    if old is not None:
        parts.append(
            f"The champion was fitted on {verdict['fitted_on']}; if that holds some of these rows, it is "
            "judged too well."
        )
    columns = pd.DataFrame(drift["columns"])
    if len(columns):
        parts.append(f"Compared with {drift['before']}: an index (PSI) below 0.1 is little, above 0.25 much.")
        parts += [("Drift by column", drift_bars(columns)), ("Drift", columns)]
    parts.append((f"{data['ref']}, {data['rows']} rows", profile))
    write_page(here.folder / "report.html", f"{name}, {day}", parts)
    scores = {
        f"new_{verdict['score']}": new,
        "promoted": float(outcome["promoted"]),
        "drifted": len(drift["drifted"]),
    }
    if old is not None:
        scores[f"champion_{verdict['score']}"] = old
    return {"headline": headline, "scores": scores}

"""What a model said of a data set, kept as a data set with its lineage to data, model and run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from workbench.errors import RunError

if TYPE_CHECKING:
    from workbench.datasets import Dataset, Datasets
    from workbench.runs import Run

__all__ = ["IMPORTER", "made_by", "publish"]

IMPORTER = "predict"
_MODEL = "model:"


def publish(datasets: Datasets, run: Run, name: str) -> Dataset:
    """Publish the result of a run that applied a model as the next version of `name`.

    A table keeps its columns and roles and gains ``predicted``, and ``p_<class>`` for each class; of series,
    one row each. What a transformer returned are columns ``f0, f1, …``. Notes are what the model warned of.

    Raises
    ------
    RunError
        If the run applied no model, or is not done.
    """
    from workbench.datasets.importers import Imported
    from workbench.datasets.importers.frames import arrow_table

    if run.recipe != "apply" or not run.estimator_name.startswith(_MODEL):
        raise RunError(f"Run {run.id} applied no model: only what a model said is kept as a data set.")
    tables = run.report().tables
    data = datasets.get(run.dataset, run.spec["dataset"]["role_revision"])
    frame, roles = _joined(data, tables.get("predictions", tables.get("features")))
    model = run.estimator_name.removeprefix(_MODEL)
    recipe = json.dumps({"predict": {"model": model, "run": run.id, "dataset": run.dataset}})
    table = arrow_table(frame)
    notes = tuple(tables["notes"]["note"]) if "notes" in tables else ()

    def fill(build: object) -> Imported:
        build.append(table)  # type: ignore[attr-defined]
        return Imported(roles=roles, notes=notes)

    return datasets.publish_build(
        name,
        fill,
        importer=IMPORTER,
        source=f"model {model}",
        parent=run.dataset,
        recipe=lambda: (recipe, ""),
    )


def made_by(datasets: Datasets, model: str) -> list[Dataset]:
    """The latest versions of the data sets that hold what `model` (``name@version``) said."""
    return [dataset for dataset in datasets.list() if _model_of(dataset) == model]


def _model_of(dataset: Dataset) -> str | None:
    if dataset.importer != IMPORTER or not dataset.recipe:
        return None
    model: str | None = json.loads(dataset.recipe).get("predict", {}).get("model")
    return model


def _joined(data: Dataset, said: pd.DataFrame | None) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    if said is None:
        raise RunError(f"The run on {data.ref} left no predictions.")
    if data.is_series and len(said) != data.n_rows:
        label = {"label": ["true"]} if "true" in said else {}
        features = [name for name in said.columns if name not in ("id", "true")]
        return said, {"field": features, **label}
    frame = data.frame().reset_index(drop=True)
    added = said.drop(columns=[name for name in ("id", "true") if name in said]).reset_index(drop=True)
    added.columns = [_free(name, frame.columns) for name in added.columns]
    return pd.concat([frame, added], axis=1), dict(data.roles)


def _free(name: str, taken: pd.Index) -> str:
    """`name`, with a number where the data set has a column of that name."""
    number, free = 1, name
    while free.lower() in {str(other).lower() for other in taken}:
        number += 1
        free = f"{name}_{number}"
    return free

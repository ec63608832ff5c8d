"""What ``workbench models …`` and ``workbench mlflow …`` do, and their arguments."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import workbench
from workbench.printing import print_json, print_rows, when

if TYPE_CHECKING:
    import argparse

    from workbench.models import Model

__all__ = ["add_mlflow", "add_models"]

_REF = "NAME[@VERSION or @ALIAS]"


def add_models(models: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the actions to the subparsers `models`; `add` makes one, with what all commands share."""
    sub = add(models, "list", models_list, "list the saved models")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = add(models, "save", models_save, "keep a finished run's model under a name")
    sub.add_argument("run", metavar="RUN")
    sub.add_argument("--name", required=True)
    sub = add(models, "show", models_show, "show a model's card")
    sub.add_argument("ref", metavar=_REF)
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = add(models, "alias", models_alias, "call a version by a word, which another may have had so far")
    sub.add_argument("ref", metavar="NAME@VERSION")
    sub.add_argument("alias", metavar="ALIAS", help="e.g. champion, challenger")
    sub = add(models, "unalias", models_unalias, "let no version of a model have an alias any more")
    sub.add_argument("name", metavar="NAME")
    sub.add_argument("alias", metavar="ALIAS")
    sub = add(models, "onnx", models_onnx, "write a model as an ONNX file (extra onnx)")
    sub.add_argument("ref", metavar=_REF)
    sub.add_argument("-o", "--output", metavar="FILE", required=True, help="a new file, e.g. model.onnx")
    sub = add(models, "predict", models_predict, "keep what a model says of a data set as a data set")
    sub.add_argument("ref", metavar=_REF)
    sub.add_argument("data", metavar="DATASET")
    sub.add_argument("--to", required=True, metavar="NAME", help="name of the data set that is made")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = add(models, "delete", models_delete, "delete a saved model")
    sub.add_argument("ref", metavar="NAME@VERSION")


def add_mlflow(exchange: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the actions to the subparsers `exchange`."""
    sub = add(exchange, "export", mlflow_export, "write finished runs into an MLflow experiment")
    sub.add_argument("run", nargs="+", metavar="RUN")
    sub.add_argument("--to", required=True, metavar="URI", help="a folder, sqlite:///FILE, or a server")
    sub.add_argument("--experiment", default="workbench", metavar="NAME", help="(default: workbench)")
    sub = add(exchange, "import", mlflow_import, "record the runs of an MLflow experiment here")
    sub.add_argument("--from", dest="source", required=True, metavar="URI")
    sub.add_argument("--experiment", required=True, metavar="NAME")


def models_list(arguments: argparse.Namespace) -> None:
    models = workbench.open(arguments.store).models.list()
    rows = [{**_facts(model), "scores": model.card.get("scores", {})} for model in models]
    columns = ["ref", "aliases", "estimator", "dataset", "run", "bytes", "created"]
    if not arguments.json:
        rows = [row | {"aliases": ", ".join(row["aliases"])} for row in rows]
    print_rows(rows, columns, arguments.json)


def models_save(arguments: argparse.Namespace) -> None:
    print(workbench.open(arguments.store).run(arguments.run).save_model(arguments.name).ref)


def models_show(arguments: argparse.Namespace) -> None:
    model = workbench.open(arguments.store).models.get(arguments.ref)
    row = {**_facts(model), **model.card}
    if arguments.json:
        print_json(row)
        return
    for name, value in row.items():
        print(f"{name:12} {json.dumps(value) if isinstance(value, (dict, list)) else value}")


def _facts(model: Model) -> dict[str, Any]:
    return {
        "ref": model.ref,
        "aliases": list(model.aliases),
        "estimator": model.estimator,
        "dataset": model.dataset,
        "run": model.run,
        "bytes": model.n_bytes,
        "created": when(model.created),
    }


def models_alias(arguments: argparse.Namespace) -> None:
    models = workbench.open(arguments.store).models
    model = models.get(arguments.ref)
    models.set_alias(model.ref, arguments.alias)
    print(f"{model.ref} is the {arguments.alias} of {model.name}")


def models_unalias(arguments: argparse.Namespace) -> None:
    workbench.open(arguments.store).models.remove_alias(arguments.name, arguments.alias)
    print(f"{arguments.name} has no {arguments.alias} any more")


def models_onnx(arguments: argparse.Namespace) -> None:
    from workbench.models.onnx import export

    worst = export(workbench.open(arguments.store).models.get(arguments.ref).load(), arguments.output)
    print(f"{arguments.output}: within {worst:.1e} of torch")


def models_predict(arguments: argparse.Namespace) -> None:
    made = workbench.open(arguments.store).predict(arguments.ref, arguments.data, arguments.to)
    if arguments.json:
        columns = [column.name for column in made.columns]
        print_json({"ref": made.ref, "rows": made.n_rows, "columns": columns, "notes": made.notes})
        return
    print(made.ref)
    for note in made.notes:
        print(f"note: {note}")


def models_delete(arguments: argparse.Namespace) -> None:
    workbench.open(arguments.store).models.delete(arguments.ref)
    print(f"deleted {arguments.ref}")


def mlflow_export(arguments: argparse.Namespace) -> None:
    from workbench.mlflow import export_runs

    store = workbench.open(arguments.store)
    runs = [store.run(id_) for id_ in arguments.run]
    for run, theirs in zip(
        runs, export_runs(runs, arguments.to, experiment=arguments.experiment), strict=True
    ):
        print(f"{run.id} {theirs}")


def mlflow_import(arguments: argparse.Namespace) -> None:
    from workbench.mlflow import import_runs

    made = import_runs(workbench.open(arguments.store), arguments.source, experiment=arguments.experiment)
    for run in made:
        print(f"{run.id} {run.state} {run.name}")
    if not made:
        print("nothing new")

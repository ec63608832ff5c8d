"""A run as code: the script and the notebook that do it again and check the scores."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import registry
from workbench.errors import RunError
from workbench.runs.launchers.local import THREADS

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["as_notebook", "as_script", "cells", "export", "snippet"]

#: Scores that depend on the machine and are not compared.
_TIMES = re.compile(r"(^|_)seconds($|_)")

Cell = tuple[str, str]  # ("markdown" | "code", text)


def export(run: Run, folder: str | Path) -> list[Path]:
    """Write ``reproduce.py`` (percent format) and ``reproduce.ipynb`` for a run into `folder`."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        script, notebook = folder / "reproduce.py", folder / "reproduce.ipynb"
        script.write_text(as_script(run))
        notebook.write_text(json.dumps(as_notebook(run), indent=1))
    except OSError as error:
        raise RunError(f"The notebook cannot be written to {folder}: {error.strerror}.") from error
    return [script, notebook]


def as_script(run: Run) -> str:
    """The run as a Python script in percent format, which editors show as cells."""
    parts = []
    for kind, text in cells(run):
        if kind == "markdown":
            parts.append("# %% [markdown]\n" + "\n".join(f"# {line}".rstrip() for line in text.splitlines()))
        else:
            parts.append("# %%\n" + text)
    return "\n\n".join(parts) + "\n"


def as_notebook(run: Run) -> dict[str, Any]:
    """The run as a Jupyter notebook (nbformat 4.5) without outputs."""
    made = []
    for i, (kind, text) in enumerate(cells(run)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{i}", "metadata": {}, "source": text}
        if kind == "code":
            cell |= {"outputs": [], "execution_count": None}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": made}


def cells(run: Run) -> list[Cell]:
    """The cells of the notebook, as pairs of kind and text."""
    spec = run.spec
    if run.is_recorded:
        raise RunError(f"Run {run.id} was recorded by a script: run the script again.")
    if spec["recipe"] == "pipeline":
        return _pipeline_cells(run)
    if spec["recipe"] == "notebook":
        document = json.loads((run.folder / spec["source"]).read_text(encoding="utf-8"))
        return [(cell["cell_type"], "".join(cell["source"])) for cell in document["cells"]]
    source = (run.folder / spec["source"]).read_text() if spec.get("source") else None
    recipe = registry.recipe(spec["recipe"])
    split = spec["split"]
    # What is no number, such as the AUC of one class, is not compared.
    scores = {k: v for k, v in run.scores.items() if v is not None and not _TIMES.search(k)}
    # Processes that train together add the same numbers in another order than this one will.
    tolerance = "1e-6" if spec.get("processes", 1) == 1 else "1e-3"
    versions = ", ".join(f"{name} {number}" for name, number in spec["versions"].items())
    made: list[Cell] = [
        (
            "markdown",
            f"# {run.name}\n\n{run.headline}\n\n"
            f"Run `{run.id}` on `{spec['dataset']['ref']}`. Made with {versions}.",
        ),
        (
            "code",
            f"{_threads(run)}import workbench as wb\n"
            "from workbench import Split\n"
            f"from {recipe.__module__} import {recipe.__name__}\n"
            "from workbench.report import NullReporter\n"
            "\n"
            f"store = wb.open({str(_store_root(run))!r})\n"
            f"data = store.dataset({spec['dataset']['ref']!r})"
            f".with_roles({spec['dataset']['role_revision']!r})",
        ),
    ]
    if source is not None:
        made.append(("code", source.strip()))
    made += [
        ("code", _construction(spec, source is not None)),
        (
            "code",
            f"report = {recipe.__name__}(\n"
            f"    estimator, data, Split({', '.join(f'{k}={v!r}' for k, v in split.items())}), "
            f"seed={spec['seed']!r}, reporter=NullReporter()\n)\n"
            "print(report.headline)\nreport.scores",
        ),
    ]
    if scores:
        made += [
            ("markdown", "The scores of the run, which this notebook must reach again."),
            (
                "code",
                f"recorded = {_pretty(scores)}\n"
                "for name, value in recorded.items():\n"
                f"    same = abs(report.scores[name] - value) <= {tolerance} * max(1.0, abs(value))\n"
                "    assert same, (name, report.scores[name], value)",
            ),
        ]
    figures = registry.figures_of(spec["recipe"])
    if figures is not None:
        made.append(
            (
                "code",
                f"from {figures.__module__} import {figures.__name__}\n\n"
                f"drawn = {figures.__name__}(report)\n"
                "list(drawn)  # show one with drawn[name].show()",
            )
        )
    return made


def _pipeline_cells(run: Run) -> list[Cell]:
    """A pipeline is repeated as a run: its steps need the queue."""
    spec = run.spec
    text = f"# {run.name}\n\n{run.headline}\n\nPipeline run `{run.id}`; a worker must be running."
    return [
        ("markdown", text),
        ("code", f"import workbench as wb\n\nstore = wb.open({str(_store_root(run))!r})"),
        (
            "code",
            f"run = store.pipelines.run(\n    {spec['pipeline']!r},\n    {spec['params']!r},\n"
            f"    date={spec['date']!r},\n    reuse=False,  # do every step again\n)\nrun.wait().headline",
        ),
    ]


def snippet(estimator: str, data: str, params: Mapping[str, Any], **options: Any) -> str:
    """The Python that queues a run: what a page shows beside its Start button."""
    lines = [
        "import workbench as wb",
        "",
        "run = wb.submit(",
        f"    {estimator!r},",
        f"    {data!r},",
        f"    params={dict(params)!r},",
        *(f"    {name}={value!r}," for name, value in options.items()),
        ")",
        "run.wait().scores",
    ]
    return "\n".join(lines)


def _construction(spec: Mapping[str, Any], from_source: bool) -> str:
    """Python that builds the run's estimator, naming only what differs from the defaults."""
    name = spec["estimator"]
    if name.startswith("model:"):
        return f"estimator = store.models.get({name.removeprefix('model:')!r}).load()"
    imports: set[str] = set()
    if from_source:
        arguments = ", ".join(f"{key}={_literal(value, imports)}" for key, value in spec["params"].items())
        call = f"{name.rpartition(':')[2]}({arguments})"
    else:
        call = _call(registry.estimator(name), spec["params"], imports)
    return "\n".join([*sorted(imports), *([""] if imports else []), f"estimator = {call}"])


def _call(cls: type, params: Mapping[str, Any], imports: set[str]) -> str:
    """Source that makes an instance of `cls`; what it needs is added to `imports`."""
    defaults = {key: argument.default for key, argument in signature(cls).parameters.items()}
    changed = {key: value for key, value in params.items() if defaults.get(key, imports) != value}
    imports.add(f"from {_public_module(cls)} import {cls.__name__}")
    return (
        f"{cls.__name__}({', '.join(f'{key}={_literal(value, imports)}' for key, value in changed.items())})"
    )


def _literal(value: Any, imports: set[str]) -> str:
    """Source of a parameter as a run's specification holds it."""
    if isinstance(value, list):
        return f"[{', '.join(_literal(item, imports) for item in value)}]"
    if not isinstance(value, dict):
        return repr(value)
    if "$tuple" in value:
        return f"({''.join(_literal(item, imports) + ', ' for item in value['$tuple'])})"
    if "$float" in value:
        return f"float({value['$float']!r})"
    if "$model" in value:
        imports.add("from sklearn.frozen import FrozenEstimator")
        return f"FrozenEstimator(store.models.get({value['$model']!r}).load())"
    if "$estimator" in value:
        return _call(registry.estimator(value["$estimator"]), value["params"], imports)
    return f"{{{', '.join(f'{key!r}: {_literal(item, imports)}' for key, item in value.items())}}}"


def _public_module(cls: type) -> str:
    """The shortest module that exports `cls`: ``workbench.timeseries``, not its private file."""
    import importlib

    parts = cls.__module__.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if getattr(importlib.import_module(module), cls.__name__, None) is cls:
            return module
    return cls.__module__


def _threads(run: Run) -> str:
    """Source that asks for as many threads as the run had; empty where that is not known."""
    threads = run.usage.get("threads")
    if not threads:
        return ""
    names = ", ".join(repr(name) for name in THREADS)
    return (
        "import os\n\n"
        "# As many as the run had: more of them add in another order, to which trainings are sensitive.\n"
        f"os.environ |= dict.fromkeys([{names}], {str(threads)!r})\n\n"
    )


def _store_root(run: Run) -> Path:
    return run.folder.parent.parent


def _pretty(scores: Mapping[str, float]) -> str:
    lines = [f"    {name!r}: {float(value)!r}," for name, value in scores.items()]
    return "{\n" + "\n".join(lines) + "\n}"

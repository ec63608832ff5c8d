"""Queueing a notebook as a run."""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.notebooks.document import Document, Value
from workbench.store import StoreDir

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["submit"]

SOURCE = "notebook.ipynb"


def submit(
    dir: StoreDir,
    notebook: str | Path | Document,
    params: Mapping[str, Value] | None = None,
    *,
    owner: str = "",
) -> Run:
    """Queue a run that executes `notebook` from top to bottom.

    Like a pipeline it takes none of the worker's slots: it may wait for runs that need them.

    Parameters
    ----------
    dir : StoreDir
    notebook : path-like or Document
        The run keeps a copy.
    params : mapping, optional
        Values for what its cell tagged ``parameters`` assigns.
    owner : str

    Returns
    -------
    Run
        Queued; it is done by a worker.

    Raises
    ------
    UsageError
    """
    from workbench.runs import Runs, new_id, queue
    from workbench.runs import spec as specs
    from workbench.runs.worker import NOTEBOOK

    document = notebook if isinstance(notebook, Document) else Document.read(notebook)
    values = dict(params or {})
    filled = document.with_values(values)
    dir.check_writable()
    run = new_id()
    folder = dir.tmp / f"run-{run}"
    folder.mkdir()
    try:
        (folder / SOURCE).write_text(json.dumps(filled, indent=1), encoding="utf-8")
        spec: dict[str, Any] = {
            "id": run, "name": document.name, "estimator": f"notebook:{document.name}", "recipe": NOTEBOOK,
            "source": SOURCE, "import_roots": [], "params": values, "dataset": {"ref": ""},
            "split": {"kind": "auto", "test_size": 0.3}, "seed": 0, "device": "none", "owner": owner,
            "python": platform.python_version(), "versions": specs.versions(),
            "git_commit": specs.git_commit(), "created": time.time(),
        }  # fmt: skip
        (folder / "spec.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")
        queue.submit(
            dir, spec, folder, priority=0, device="none", launcher="local", parent=None, schedule=None,
            owner=owner,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Runs(dir).get(run)

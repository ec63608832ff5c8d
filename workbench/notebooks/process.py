"""What the process of a notebook's run does: execute it cell by cell, and keep what came out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.errors import RunError
from workbench.notebooks.html import as_html
from workbench.runs.child import write_atomically

if TYPE_CHECKING:
    from workbench.report import Report
    from workbench.runs.reporter import RunReporter

__all__ = ["EXECUTED", "PAGE", "carry_out", "kept"]

EXECUTED, PAGE = "executed.ipynb", "notebook.html"


def kept(folder: Path, name: str) -> Path | None:
    """A file that the run in `folder` left, also where it failed half-way."""
    path = folder / "steps" / "notebook" / name
    return path if path.is_file() else None


def carry_out(spec: dict[str, Any], folder: Path, reporter: RunReporter) -> Report:
    """Execute the notebook in `folder`.

    Raises
    ------
    RunError
        If a cell fails: which, and with what.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    from workbench.report import Report

    notebook = nbformat.read(folder / spec["source"], as_version=4)
    made, scratch = folder / "steps" / "notebook", folder / "work"
    for path in (made, scratch):
        path.mkdir(parents=True, exist_ok=True)
    os.environ["WORKBENCH_STORE"] = str(folder.parent.parent)  # `wb.open()` in it is this store
    cells = _Cells(notebook, reporter)
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(scratch)}},
        on_notebook_start=_keep(signal.SIGTERM), on_cell_start=cells.start, on_cell_executed=cells.end,
    )  # fmt: skip
    try:
        with reporter.stage("cells"):
            client.execute()
    except CellExecutionError as error:
        said = " ".join(error.evalue.split())[:300]
        raise RunError(f"Cell {cells.number} failed with {error.ename}: {said}") from None
    except DeadKernelError:
        raise RunError(f"The notebook's process died in cell {cells.number}: it may need more memory.") from None
    finally:
        _end(client)
        write_atomically(made / EXECUTED, json.dumps(notebook, indent=1))
        write_atomically(made / PAGE, as_html(notebook, spec["name"]))
    seconds = sum(row["seconds"] for row in cells.rows)
    headline = f"{len(cells.rows)} cells in {seconds:.1f} s."
    return Report(spec["recipe"], headline, {"seconds": seconds}, {"cells": pd.DataFrame(cells.rows)})


class _Cells:
    """Counts the code cells and times them."""

    def __init__(self, notebook: Any, reporter: RunReporter) -> None:
        self._total = sum(cell.cell_type == "code" for cell in notebook.cells)
        self._reporter = reporter
        self._started = 0.0
        self.number = 0
        self.rows: list[dict[str, Any]] = []

    def start(self, cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code":
            self.number += 1
            self._started = time.monotonic()
            first = next((line for line in cell.source.splitlines() if line.strip()), "")
            self._reporter.log(f"cell {self.number} of {self._total}: {first[:100]}")

    def end(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        first = next((line for line in cell.source.splitlines() if line.strip()), "")
        seconds = round(time.monotonic() - self._started, 3)
        self.rows.append({"cell": self.number, "begins": first[:100], "seconds": seconds})
        self._reporter.progress(self.number, self._total)


def _keep(number: int) -> Callable[..., None]:
    """What puts a signal's handler back: nbclient takes it, and calls the death that follows a failure."""
    handler = signal.getsignal(number)

    def put_back(**_: Any) -> None:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, handler)

    return put_back


def _end(client: Any) -> None:
    """Kill the kernel, if the client has not ended it: a cancel comes from outside its event loop."""
    manager = getattr(client, "km", None)
    process = getattr(getattr(manager, "provisioner", None), "process", None)
    if process is not None and process.poll() is None:
        process.kill()

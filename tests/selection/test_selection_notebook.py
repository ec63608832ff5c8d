"""The worked example runs, and its loop is short."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "own_model_field_gates.ipynb"


@pytest.mark.slow
def test_the_notebook_of_an_own_model_runs(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    training = next(cell for cell in notebook.cells if "FieldGates(" in cell.source)
    assert len(training.source.splitlines()) <= 25
    # Its own asserts compare the kept fields and the pruned model's answers.
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()

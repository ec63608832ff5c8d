"""The worked notebooks run from top to bottom; what they claim they assert themselves."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs_and_asserts_something(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert any("assert " in cell.source for cell in code)
    assert notebook.cells[0].source.startswith("# ")


def test_gates_on_an_own_model_take_a_short_loop():
    (path,) = [path for path in NOTEBOOKS if path.stem == "own_model_field_gates"]
    notebook = nbformat.read(path, as_version=4)
    training = next(cell for cell in notebook.cells if "FieldGates(" in cell.source)
    assert len(training.source.splitlines()) <= 25

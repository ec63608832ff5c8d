"""Importing the package is light: no torch, streamlit, pandas or scikit-learn before they are needed."""

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "streamlit", "pandas", "sklearn", "plotly", "duckdb")


def modules_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code", ["import workbench", "import workbench.cli", "from workbench.store import StoreDir"]
)
def test_light_modules_import_nothing_heavy(code):
    assert not modules_after(code).intersection(HEAVY)


def test_opening_a_store_imports_neither_torch_nor_streamlit(tmp_path):
    code = f"import workbench as wb; wb.open({str(tmp_path)!r}).runs()"
    assert not modules_after(code).intersection({"torch", "streamlit"})


def test_an_estimators_form_and_a_scikit_learn_model_kept_and_read_need_no_torch(tmp_path):
    code = (
        "from workbench import models, registry; from workbench.parameters import describe\n"
        "assert len(describe(registry.estimator('timeseries.CSL'))) > 5\n"
        "from sklearn.linear_model import LogisticRegression\n"
        f"folder = models.save(LogisticRegression().fit([[0], [1]], [0, 1]), {str(tmp_path / 'kept')!r})\n"
        "assert models.load(folder).predict([[2]]) == 1"
    )
    assert "torch" not in modules_after(code)


@pytest.mark.parametrize(("given", "spins"), [({}, "10000"), ({"OMP_WAIT_POLICY": "active"}, "None")])
def test_waiting_threads_soon_sleep_unless_the_environment_says_how_they_wait(given, spins):
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    script = "import os, workbench; print(os.environ.get('GOMP_SPINCOUNT'))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment | given)
    assert done.stdout.strip() == spins

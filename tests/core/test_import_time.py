"""Importing the package is light: no torch, streamlit, pandas or scikit-learn before they are needed."""

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


def test_the_estimator_class_and_its_form_need_no_torch():
    code = (
        "from workbench import registry; from workbench.parameters import describe\n"
        "assert len(describe(registry.estimator('timeseries.CSL'))) > 5"
    )
    assert "torch" not in modules_after(code)

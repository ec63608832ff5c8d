"""The exported notebook and script do the run again and reach its scores."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import workbench as wb
from workbench.errors import EstimatorNotFound
from workbench.models import load
from workbench.notebook import as_notebook, as_script, export
from workbench.runs.launchers.local import THREADS
from workbench.serving import wait_for

THIRD_PARTY = Path(__file__).parents[1] / "thirdparty"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that is done, in a store that is only read."""
    store = wb.open(tmp_path_factory.mktemp("finished") / "store")
    queued = store.submit(
        "acme.BandPower", "GunPoint", params={"n_bands": 5}, name="Bands of GunPoint", seed=3
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(THIRD_PARTY), prepend=os.pathsep)
        done = wait_for(store, queued)
    assert done.state == "done", done.error
    return done


@pytest.fixture
def run(finished, third_party, as_before):
    return finished


@pytest.fixture
def as_before(monkeypatch):
    """Take back what scripts that are carried out here ask for."""
    for name in THREADS:
        monkeypatch.setenv(name, os.environ.get(name, "1"))


def do_cells(notebook):
    """Run the code of a notebook here: a kernel takes seconds to start."""
    made = {"__name__": "__main__"}
    for cell in nbformat.from_dict(notebook).cells:
        if cell.cell_type == "code":
            exec(cell.source, made)  # noqa: S102
    return made


def test_the_notebook_is_valid_executes_and_checks_the_scores(run):
    notebook = nbformat.from_dict(as_notebook(run))
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert run.headline in printed


def test_a_notebook_that_cannot_reach_the_score_fails(run):
    text = json.dumps(as_notebook(run)).replace(repr(run.scores["test_accuracy"]), "0.123")
    with pytest.raises(AssertionError):
        do_cells(json.loads(text))


def test_the_script_runs_from_the_command_line(run, tmp_path):
    script, notebook = export(run, tmp_path / "out")
    (threads,) = re.findall(r", (\d+) threads ---", run.log())
    assert "n_bands=5" in script.read_text()
    assert "scale=" not in script.read_text()  # a default is not spelled out
    assert f"dict.fromkeys({list(THREADS)!r}, '{threads}')" in script.read_text()
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert notebook.exists()


def test_a_score_that_is_no_number_is_not_compared(run):
    script = as_script(replace(run, scores=run.scores | {"test_auc": None}))
    assert "'test_accuracy':" in script
    assert "test_auc" not in script


SCRIPT = '''
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

import workbench as wb

SCALE = 2.0


def spread(X):
    return np.nan_to_num(X).std(axis=1) * SCALE


class Spread(TransformerMixin, BaseEstimator):
    """Standard deviation of every channel."""

    _recipe = "acme.band_ranking"

    def __init__(self, power=1.0):
        self.power = power

    def fit(self, X, y=None):
        self.n_channels_ = int(X.shape[2])
        return self

    def transform(self, X):
        return spread(X) ** self.power


if __name__ == "__main__":
    store = wb.open({root!r})
    print(store.submit(Spread(power=0.5), "BasicMotions").id)
'''


def test_an_estimator_of_a_script_runs_by_its_source_and_exports(store, third_party, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SCRIPT.replace("{root!r}", repr(str(store.root))))
    done = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = wait_for(store, store.run(done.stdout.strip()))
    assert run.state == "done", run.error
    assert run.spec["params"] == {"power": 0.5}
    kept = run.save_model("spread")
    with pytest.raises(EstimatorNotFound, match="name it in `trusted`"):
        load(kept.path)
    assert load(kept.path, trusted=[kept.estimator]).n_channels_ == 6
    assert run.estimator().n_channels_ == 6
    assert do_cells(as_notebook(run))["report"].scores.keys() == run.scores.keys()


def test_parameters_that_are_estimators_or_tuples_are_written_as_source():
    from sklearn.ensemble import BaggingClassifier
    from sklearn.preprocessing import MinMaxScaler

    from workbench.notebook import _construction

    spec = {
        "estimator": "sklearn.ensemble:BaggingClassifier",
        "params": {
            "estimator": {"$estimator": "sklearn.svm:SVC", "params": {"C": {"$float": "inf"}}},
            "n_estimators": 7,
        },
    }
    made: dict = {}
    exec(_construction(spec, from_source=False), made)  # noqa: S102
    assert isinstance(made["estimator"], BaggingClassifier)
    assert made["estimator"].n_estimators == 7
    assert float("inf") == made["estimator"].estimator.C
    scaler = {
        "estimator": "sklearn.preprocessing:MinMaxScaler",
        "params": {"feature_range": {"$tuple": [-1, 1]}},
    }
    exec(_construction(scaler, from_source=False), made)  # noqa: S102
    assert isinstance(made["estimator"], MinMaxScaler)
    assert made["estimator"].feature_range == (-1, 1)

"""Estimators of a script or a notebook travel by their source."""

import json
import subprocess
import sys

import pytest

import workbench as wb
from workbench.runs.worker import Worker

SCRIPT = """
import math
import os.path
import xml.dom
import sys
from functools import lru_cache, partial as part
from statistics import fmean

import numpy as np
import workbench as wb
import xml.dom.minidom
from numpy import exp as e
from sklearn.base import BaseEstimator, ClassifierMixin

SCALE = {"a": (1, 2.5), "b": [float("inf"), None]}
UNRELATED = object()


def mean(values):
    return shift(fmean(values), even=True)


def shift(value, even):
    return value + SCALE["a"][0] if even else mean([value])


def logged(cls):
    cls.logged = True
    return cls


class Base(ClassifierMixin, BaseEstimator):
    def helper(self) -> "np.ndarray":
        UNRELATED = 3
        return np.array([mean([1.0]), math.pi, e(0.0), UNRELATED])


@logged
class Mine(Base):
    # a comment that stays
    def __init__(self, k: int = 1):
        self.k = k

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.helper_ = self.helper()
        self.document_ = xml.dom.minidom.parseString("<a/>").documentElement.tagName
        self.path_ = os.path.join("a", "b")
        self.partial_ = part(int, "7")()
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


store = wb.open(sys.argv[1])
for what in (Mine, Mine(k=4), Mine):
    print(store.submit(what, "table").id)
"""


def submitted(store, tmp_path, text):
    script = tmp_path / "script.py"
    script.write_text(text)
    return subprocess.run(
        [sys.executable, str(script), str(store.root)], capture_output=True, text=True, cwd=tmp_path
    )


@pytest.fixture
def three(store, table, tmp_path):
    """Runs that the script has submitted: of the class, of an instance, and of the class once more."""
    done = submitted(store, tmp_path, SCRIPT)
    assert done.returncode == 0, done.stderr
    return [store.run(line) for line in done.stdout.split()]


def test_classes_of_a_script_run_elsewhere_and_come_back_fitted(store, three):
    plain, four, spoilt = three
    source = (plain.folder / plain.spec["source"]).read_text()
    assert "# a comment that stays" in source
    assert "wb.open" not in source
    assert "UNRELATED = object" not in source
    (spoilt.folder / spoilt.spec["source"]).write_text("import nonesuch_module\n")
    Worker(store.dir, ["cpu"]).run_until_done(spoilt.id)  # the last of the queue
    for run, k in ((plain, 1), (four, 4)):
        assert run.refresh().state == "done", run.log()
        fitted = run.refresh().estimator()
        assert fitted.logged
        assert fitted.helper_.tolist() == [2.0, 3.141592653589793, 1.0, 3.0]
        assert (fitted.document_, fitted.path_, fitted.partial_) == ("a", "a/b", 7)
        assert fitted.k == k
    assert spoilt.refresh().state == "failed"
    assert "cannot be imported: ModuleNotFoundError" in spoilt.refresh().error


def test_what_cannot_be_carried_is_named(store, table, tmp_path):
    text = "import sys, workbench as wb\nTHING = object()\n"
    for name, value in (("One", "THING"), ("Two", "MISSING")):
        text += (
            f"class {name}:\n    def fit(self, X, y):\n        value = {value}\n        return self\n"
            f"try:\n    wb.open(sys.argv[1]).submit({name}, 'table')\n"
            "except wb.WorkbenchError as error:\n    print(error)\n"
        )
    done = submitted(store, tmp_path, text)
    one, two = done.stdout.splitlines()
    assert "uses 'THING' (a object), which a run cannot carry" in one
    assert "uses 'MISSING', which is not defined" in two
    assert store.runs() == []


def test_a_class_inside_a_function_is_refused(store, table):
    class Local:
        def fit(self, X, y=None):
            return self

    with pytest.raises(wb.WorkbenchError, match="top level"):
        store.submit(Local, table)


def test_the_cells_of_a_notebook_are_read_where_the_newest_definition_is(store, table, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    cells = [
        "import numpy as np\nimport workbench as wb\nfrom sklearn.base import BaseEstimator, ClassifierMixin",
        "def number():\n    return 1",
        "class Mine(ClassifierMixin, BaseEstimator):\n"
        "    def fit(self, X, y):\n        self.classes_ = np.unique(y); self.number_ = number()\n"
        "        return self\n"
        "    def predict(self, X):\n        return np.full(len(X), self.classes_[0])",
        "class Child(Mine):\n    pass",
        "def number():\n    return 2",
        f"run = wb.open({str(store.root)!r}).submit(Child(), 'table')\nprint(run.id)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    run = store.run(notebook.cells[-1].outputs[0]["text"].strip())
    Worker(store.dir, ["cpu"]).run_until_done(run.id)
    assert run.refresh().state == "done", run.log()
    assert run.refresh().estimator().number_ == 2


def test_a_users_own_module_is_found_again_from_its_folder(store, table, tmp_path, monkeypatch):
    package = tmp_path / "elsewhere" / "ourlab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(
        "import numpy as np\nfrom sklearn.base import BaseEstimator, ClassifierMixin\n"
        "class First(ClassifierMixin, BaseEstimator):\n"
        "    def fit(self, X, y):\n        self.classes_ = np.unique(y)\n        return self\n"
        "    def predict(self, X):\n        return np.full(len(X), self.classes_[0])\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    from ourlab.models import First

    run = store.submit(First(), table)
    assert run.spec["source"] is None
    assert run.spec["import_roots"] == [str(package.parent)]
    Worker(store.dir, ["cpu"]).run_until_done(run.id)
    assert run.refresh().state == "done", run.log()


def test_parameters_become_json_and_the_same_again(store, table):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(with_mean=False), LogisticRegression(C=float("inf")))
    run = store.submit(pipeline, table, seed=9)
    json.dumps(run.spec, allow_nan=False)
    from workbench.runs.spec import build_estimator

    again = build_estimator(run.spec, run.folder)
    assert isinstance(again, Pipeline)
    assert again.get_params()["standardscaler__with_mean"] is False
    assert again.get_params()["logisticregression__C"] == float("inf")
    assert again.get_params()["logisticregression__random_state"] == 9
    assert pipeline.get_params()["logisticregression__random_state"] is None  # the user's own is untouched


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"params": {"c": 1.0}}, "has no parameter 'c'"),
        ({"params": {"C": -1.0}}, "'C' parameter of LogisticRegression must be"),
        ({"params": {"class_weight": object()}}, "class_weight"),
        ({"recipe": "nonesuch"}, "no recipe"),
        ({"device": "tpu"}, "not one of auto, cpu, cuda"),
        ({"seed": -1}, "whole number"),
        ({"launcher": "moon"}, "no launcher"),
    ],
)
def test_a_wrong_submission_is_refused_at_once_in_one_sentence(store, table, options, sentence):
    with pytest.raises(wb.WorkbenchError, match=sentence) as caught:
        store.submit("sklearn.linear_model:LogisticRegression", table, **options)
    assert "\n" not in str(caught.value)
    assert store.runs() == []
    assert list(store.dir.tmp.iterdir()) == []

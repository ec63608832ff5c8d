"""Pipelines: plain functions whose steps are runs, or recorded functions in processes of their own.

::

    declare.py    the decorator, typed parameters, finding the files
    flow.py       what a pipeline function is given: asking for steps, waiting for them
    step.py       one step: what was asked for, and what has become of it
    inputs.py     what a step takes, and the hash that names it
    engine.py     starts steps whose needs are met, follows them, tries them again
    jobs.py       how the two kinds of steps are started and stopped
    table.py      the steps in SQLite, and which finished one stands for a new one
    python.py     the process of one Python step
    process.py    the process of a pipeline, which is a run
    library.py    list, start, backfill
    html.py       a report as one page

A pipeline file needs no more than this::

    from workbench.pipelines import DataSet, Flow, Here, pipeline

    @pipeline
    def compare(flow: Flow, data: DataSet, trees: int = 100):
        \"\"\"Train two models beside one another and say which is better.\"\"\"
        one = flow.run("sklearn.ensemble:RandomForestClassifier", data, params={"n_estimators": trees})
        two = flow.run("sklearn.linear_model:LogisticRegression", data)
        flow.step(better, one, two)

    def better(here: Here, one: dict, two: dict) -> str:
        return max(one, two, key=lambda run: run["scores"]["test_accuracy"])["run"]
"""

from workbench.pipelines.declare import DataSet, FolderPath, Pipeline, pipeline
from workbench.pipelines.flow import Flow
from workbench.pipelines.library import Pipelines
from workbench.pipelines.python import Here
from workbench.pipelines.step import Step

__all__ = ["DataSet", "Flow", "FolderPath", "Here", "Pipeline", "Pipelines", "Step", "pipeline"]

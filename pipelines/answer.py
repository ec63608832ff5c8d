"""What do you want to know? Baselines and sensible encoders beside one another; the best is tested."""

import time
from typing import Any, Literal

from workbench.pipelines import DataSet, Flow, Here, pipeline

#: Parameters of the trials by quality, in the order in which they are begun.
PLANS: dict[str, list[dict[str, Any]]] = {
    "quick": [{"encoders": name, "pretrain_epochs": 2} for name in ("CSL", "TS2Vec")],
    "good": [{"encoders": name} for name in ("TS2Vec", "TST", "TSTCC", "CSL", "CSL+TS2Vec")],
    "best": [
        *({"encoders": name} for name in ("TS2Vec", "TST", "TSTCC", "CSL", "TNC", "TLoss")),
        *({"encoders": name, "fusion": how} for name in ("CSL+TS2Vec",) for how in ("concat", "projection")),
        *({"encoders": name, "mode": "fine_tune", "n_epochs": 30} for name in ("TS2Vec", "CSL+TS2Vec")),
    ],
}
TASKS = {
    "classify": "timeseries.UniTSClassifier",
    "regress": "timeseries.UniTSRegressor",
    "cluster": "timeseries.UniTSClusterer",
    "forecast": "timeseries.UniTSForecaster",
    "detect": "timeseries.UniTSAnomalyDetector",
    "impute": "timeseries.UniTSImputer",
}


@pipeline
def answer(
    flow: Flow,
    data: DataSet,
    task: Literal["classify", "regress", "cluster", "forecast", "detect", "impute"] = "classify",
    quality: Literal["quick", "good", "best"] = "good",
    minutes: float = 30,
    params: dict = {},  # noqa: B006  (a default of a form)
    at_once: int = 2,
    split: Literal["auto", "random"] = "auto",
    test_share: float = 0.3,
    seed: int = 0,
    launcher: str = "local",
):
    """Run a task's baselines and several encoders, and test the best of them.

    Parameters
    ----------
    data
        Time series; trials are judged on a share of the train part, the test part stays unseen.
    task
        What is wanted to know.
    quality
        How many encoders and ways to join and tune them are tried.
    minutes
        After which no further trial is begun.
    params
        What differs from the task's defaults: its horizon, the number of groups.
    at_once
        How many trials go on beside one another.
    split
        As the data set says, or at random.
    test_share
        Of a random split.
    seed
        Of draws, splits and trainings.
    launcher
        Where the runs go: local, ray or slurm.
    """
    from workbench import registry, search
    from workbench.arrays import Split
    from workbench.errors import PipelineError

    estimator = TASKS[task]
    names, largest = search.OBJECTIVES[registry.recipe_of(registry.estimator(estimator))]
    where = {"seed": seed, "launcher": launcher}
    how = {"split": Split(split, test_share, inner=True), "may_fail": True, **where}
    steps = {
        "baselines": flow.run(
            estimator, data, params=params, recipe=search.BASELINES, name="baselines", **how
        )
    }
    plan = {_name(one): {**one, **params} for one in PLANS[quality]}
    # When it was first begun, so that it means the same after a restart.
    ends = (flow.store.run(flow.run_id).started or time.time()) + 60 * minutes
    for name, chosen in plan.items():
        if len(steps) > 1 and name not in _begun(flow) and time.time() > ends:
            flow.log(f"{name} is left out: {minutes:g} minutes are over.")
            continue
        steps[name] = flow.run(estimator, data, params=chosen, name=name, **how)
        going = [step for step in steps.values() if not step.is_ended]
        if len(going) >= max(at_once, 1):
            flow.wait_for_one(*going)
    flow.wait()
    scores = {n: search.judged_by(s.value["scores"], names) for n, s in steps.items() if s.state == "done"}
    ours = {name: score for name, score in scores.items() if score is not None and name in plan}
    if not ours:
        raise PipelineError("No trial has a score to be judged by: open one to see why.")
    best = (max if largest else min)(ours, key=ours.__getitem__)
    whole = Split(split, test_share)
    tested = flow.run(estimator, data, params=plan[best], split=whole, name="test of the best", **where)
    return flow.step(said, best, tested)


def _name(chosen: dict[str, Any]) -> str:
    rest = [str(value) for name, value in chosen.items() if name in ("fusion", "mode")]
    return " ".join([chosen["encoders"].replace("+", " and "), *rest])


def _begun(flow: Flow) -> set[str]:
    return set(flow.store.pipelines.steps(flow.run_id)["name"])


def said(here: Here, best: str, tested: dict[str, Any]) -> dict[str, Any]:
    return {"headline": f"{best}: {tested['headline']}", "scores": tested["scores"]}

"""Better hyper-parameters by Optuna, each trial a run; then the best is trained on all and tested."""

from typing import Any, Literal

from workbench.pipelines import DataSet, Flow, Here, pipeline


@pipeline
def smart_search(
    flow: Flow,
    data: DataSet,
    estimator: str = "timeseries.UniTSClassifier",
    vary: list = ["encoders", "fusion", "penalty"],  # noqa: B006  (a default of a form)
    params: dict = {},  # noqa: B006
    trials: int = 20,
    at_once: int = 2,
    halve: bool = True,
    split: Literal["auto", "random"] = "auto",
    test_share: float = 0.3,
    seed: int = 0,
    launcher: str = "local",
):
    """Look for better hyper-parameters with Optuna, and test the best.

    Parameters
    ----------
    data
        What is learnt from. Trials are judged on a share of its train part; the test part stays unseen.
    estimator
        Its registered name.
    vary
        Parameters to draw, around their values in params or their defaults.
    params
        What differs from the estimator's defaults.
    trials
        How many sets of parameters are tried.
    at_once
        How many beside one another.
    halve
        Judge first with few epochs, and go on with the best third only.
    split
        As the data set says, or at random.
    test_share
        Of a random split.
    seed
        Of draws, splits and trainings.
    launcher
        Where the runs go: local, ray or slurm.
    """
    from workbench import registry, search, smart
    from workbench.arrays import Split
    from workbench.errors import UsageError

    cls = registry.estimator(estimator)
    objective = search.OBJECTIVES.get(registry.recipe_of(cls))
    if objective is None:
        raise UsageError(f"{estimator} cannot be searched: its recipe has no score to choose by.")
    names, maximize = objective
    tuner = smart.Tuner(cls, params, vary, maximize=maximize, seed=seed, halve=halve)
    inner = Split(split, test_share, inner=True)

    def ask(chosen: dict[str, Any], name: str) -> Any:
        how = {"split": inner, "seed": seed, "launcher": launcher, "may_fail": True}
        return flow.run(estimator, data, params=chosen, name=name, **how)

    best = search.tune(flow, tuner, ask, names, trials, at_once)
    tested = flow.run(
        estimator,
        data,
        params=best,
        split=Split(split, test_share),
        seed=seed,
        launcher=launcher,
        name="test of the best",
    )
    return flow.step(told_best, best, tested)


def told_best(here: Here, best: dict[str, Any], tested: dict[str, Any]) -> dict[str, Any]:
    said = ", ".join(f"{name} {value}" for name, value in best.items())
    return {"headline": f"{tested['headline']} Best: {said}.", "scores": tested["scores"]}

"""Series of several data sets to pre-train on, each encoder set up by itself, and a task over them."""

from typing import Any, Literal

from workbench.pipelines import DataSet, Flow, Here, pipeline


@pipeline
def units(
    flow: Flow,
    data: DataSet,
    more: list = [],  # noqa: B006  (a default of a form)
    estimator: str = "timeseries.UniTSClassifier",
    params: dict = {},  # noqa: B006
    smart: list = [],  # noqa: B006
    trials: int = 9,
    domain: bool = False,
    split: Literal["auto", "random"] = "auto",
    test_share: float = 0.3,
    seed: int = 0,
    launcher: str = "local",
):
    """Pre-train encoders on several data sets, and do a task with them.

    Parameters
    ----------
    data
        What the task is about; its test part is in no training.
    more
        Further data sets whose series are pre-trained on. They need as many variables, not the same length.
    estimator
        The registered name of a task, or of a single encoder.
    params
        What differs from the estimator's defaults; an encoder set up by hand is
        {"$estimator": name, "params": {...}}.
    smart
        Names of encoders whose parameters are searched for first, which takes labels.
    trials
        How many sets of parameters each of these searches tries.
    domain
        Take data for the source and the others for the target of a shift: labels are learnt from the source,
        and the scores are the target's.
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
    from workbench import smart as tuning
    from workbench.arrays import Split

    where = {"seed": seed, "launcher": launcher}
    joined: Any = data
    if more:
        refs = [flow.latest(ref) for ref in (data, *more)]
        how = {"split": split, "test_share": test_share, "seed": seed, "domain": domain}
        joined = flow.step(join, refs, f"{data.partition('@')[0]}-joined", **how)
        split = "auto"  # as `join` has divided it; a shift is divided by the run
    whole, inner = Split(split, test_share), Split(split, test_share, inner=True)
    found = {}
    for name in smart:
        cls = registry.estimator(f"timeseries.{name}")
        offered = {p.name for p in search.searchable(cls)}
        tuner = tuning.Tuner(
            cls, {}, [p for p in search.PRETRAINING if p in offered], maximize=True, seed=seed
        )

        def ask(chosen: dict[str, Any], trial: str, name: str = name) -> Any:
            of = {"params": chosen, "split": inner, "may_fail": True, **where}
            return flow.run(f"timeseries.{name}", joined, name=f"{name} {trial}", **of)

        best = search.tune(flow, tuner, ask, ("test_accuracy",), trials)
        found[name] = {"$estimator": f"timeseries.{name}", "params": best}
    chosen = dict(params)
    if found:
        asked = params.get("encoders", "TS2Vec")
        named = asked.split("+") if isinstance(asked, str) else asked
        others = [one for one in named if one not in found]
        chosen["encoders"] = [*others, *found.values()]
    done = flow.run(estimator, joined, params=chosen, split=whole, name="task", **where)
    return flow.step(said, done)


def join(
    here: Here, refs: list[str], name: str, split: str, test_share: float, seed: int, domain: bool
) -> str:
    from workbench.arrays import Split
    from workbench.datasets.joining import join_series

    parts = [here.store.dataset(ref) for ref in refs]
    divided = Split(split, test_share)
    return join_series(here.store.datasets, parts, name, split=divided, seed=seed, domain=domain).ref


def said(here: Here, done: dict[str, Any]) -> dict[str, Any]:
    return {"headline": done["headline"], "scores": done["scores"]}

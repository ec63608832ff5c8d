"""Searches: for better hyper-parameters, or for whatever answers a question best. All trials are runs.

A search is a run of the pipeline ``smart_search`` or ``answer``; its trials are the runs that it asks for.
Every trial is judged on a share of the train part (``Split(inner=True)``), so that the test part stays
unseen; the best is then run once on the whole train part, and tested.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench import registry, smart
from workbench.arrays import Split
from workbench.errors import PipelineError, UsageError
from workbench.parameters import Parameter, describe

if TYPE_CHECKING:
    from workbench.facade import Store
    from workbench.pipelines import Flow
    from workbench.pipelines.step import Step
    from workbench.runs import Run

__all__ = [
    "BASELINES",
    "OBJECTIVES",
    "PRETRAINING",
    "judged_by",
    "leaderboard",
    "objective",
    "over_seeds",
    "remaining",
    "searchable",
    "start",
    "tested",
    "trials",
    "tune",
    "winner",
]

#: What a trial of a recipe is judged by: its scores in the order of preference, and whether more is better.
OBJECTIVES: dict[str, tuple[tuple[str, ...], bool]] = {
    "fit_score": (("test_accuracy", "test_r2"), True),
    "modality.fit": (("test_accuracy", "test_r2"), True),
    "timeseries.represent": (("test_accuracy",), True),
    "timeseries.classify": (("test_accuracy",), True),
    "timeseries.regress": (("test_rmse",), False),
    "timeseries.cluster": (("nmi", "silhouette"), True),
    "timeseries.forecast": (("mse",), False),
    "timeseries.detect": (("vus_pr",), True),
    "timeseries.impute": (("mse",), False),
}
#: Parameters of encoders that their own search varies, where there are such.
PRETRAINING = ("learning_rate", "batch_size", "n_shapelets", "n_hidden", "dropout", "temperature")
#: The recipe of a task's peers, which are judged by the task's own metric.
BASELINES = "timeseries.baselines"

#: What decides the cost or the question, not the quality of the answer, and is never searched.
_FIXED = frozenset({"random_state", "device", "precision", "verbose", "n_jobs", "horizon", "n_clusters"})


def searchable(cls: type) -> list[Parameter]:
    """The hyper-parameters of `cls` of which other values can be drawn from its own description."""
    return [p for p in describe(cls) if p.name not in _FIXED and smart.can_vary(p, p.default)]


def start(
    store: Store,
    estimator: str,
    data: Any,
    *,
    n_trials: int,
    vary: Sequence[str],
    params: Mapping[str, Any] | None = None,
    split: Split | None = None,
    seed: int = 0,
    at_once: int = 2,
    owner: str = "",
    launcher: str = "local",
) -> Run:
    """Queue a search for better hyper-parameters; returns the run of its pipeline.

    Raises
    ------
    UsageError
        If there is nothing to search, or the estimator's recipe has no score to choose by.
    """
    cls = registry.estimator(estimator)
    recipe = registry.recipe_of(cls)
    if recipe not in OBJECTIVES:
        raise UsageError(f"{estimator} cannot be searched: its recipe {recipe} has no score to choose by.")
    if n_trials < 2 or not vary:
        raise UsageError("A search needs at least two trials and one parameter to vary.")
    smart.Tuner(
        cls, params or {}, vary, maximize=True
    )  # says what cannot be varied, before anything is queued
    split = split or Split()
    asked = {
        "data": data if isinstance(data, str) else data.ref,
        "estimator": estimator,
        "vary": list(vary),
        "params": dict(params or {}),
        "trials": n_trials,
        "at_once": at_once,
        "split": split.kind,
        "test_share": split.test_size,
        "seed": seed,
        "launcher": launcher,
    }
    return store.pipelines.run("smart_search", asked, owner=owner)


def tune(
    flow: Flow,
    tuner: smart.Tuner,
    ask: Callable[[dict[str, Any], str], Step],
    names: Sequence[str],
    n_trials: int,
    at_once: int = 2,
) -> dict[str, Any]:
    """Carry a search out inside a pipeline; returns the best parameters.

    Parameters
    ----------
    flow : Flow
    tuner : Tuner
    ask : callable
        ``ask(params, name)`` asks for the run that judges parameters, by a step that may fail.
    names : sequence of str
        Scores to be judged by, the first that is there.
    n_trials, at_once : int
        How many sets of parameters are tried, and how many beside one another.

    Returns
    -------
    dict of str to object
        The best parameters.

    Raises
    ------
    PipelineError
        If no trial has a score.
    """
    for begin in range(1, n_trials + 1, at_once):
        going = {number: tuner.ask() for number in range(begin, min(begin + at_once, n_trials + 1))}
        rung = 0
        while going:
            steps = {}
            for number, trial in going.items():
                name = f"trial {number:02d}" + (f" rung {rung + 1}" if rung else "")
                steps[number] = ask(tuner.params(trial, rung), name)
            flow.wait(*steps.values())
            for number, trial in list(going.items()):
                step = steps[number]
                done = judged_by(step.value["scores"], names) if step.state == "done" else None
                if not tuner.tell(trial, rung, done):
                    del going[number]
            rung += 1
    best = tuner.best()
    if best is None:
        raise PipelineError("No trial has a score to be judged by: open one to see why.")
    return best


def over_seeds(store: Store, estimator: Any, data: Any, seeds: Iterable[int], **options: Any) -> list[Run]:
    """Queue one run for each seed; `options` are those of :meth:`workbench.facade.Store.submit`.

    With ``launcher="ray"`` or ``"slurm"`` they go on beside each other on as many machines as there are;
    :meth:`workbench.comparison.Comparison.summary` gives their mean and standard deviation.
    """
    return [store.submit(estimator, data, seed=int(seed), **options) for seed in seeds]


def trials(store: Store, search: str) -> list[Run]:
    """The trials of a search, given its run's id, in the order in which they were asked for."""
    return [run for run in _children(store, search) if run.spec["split"].get("inner")]


def tested(store: Store, search: str) -> Run | None:
    """The run that tests the best, as soon as there is one."""
    found = [run for run in _children(store, search) if not run.spec["split"].get("inner")]
    return found[-1] if found else None


def _children(store: Store, search: str) -> list[Run]:
    steps = store.pipelines.steps(search)
    # Those of the steps too: what an earlier search had done belongs to that one, and is taken over.
    taken = set(steps["child"].dropna()) if len(steps) else set()
    found = [run for run in store.runs(limit=None) if run.parent == search or run.id in taken]
    return [run for run in found[::-1] if run.spec.get("split")]


def objective(run: Run) -> tuple[str, float] | None:
    """What a finished trial is judged by, and the value."""
    names, _ = _objective(run)
    value = judged_by(run.scores, names) if run.state == "done" else None
    return None if value is None else (next(n for n in names if run.scores.get(n) == value), value)


def judged_by(scores: Mapping[str, float | None], names: Sequence[str]) -> float | None:
    """The first of these scores that is there."""
    found = (scores.get(name) for name in names)
    return next((float(value) for value in found if value is not None and math.isfinite(value)), None)


def _objective(run: Run) -> tuple[tuple[str, ...], bool]:
    recipe = run.spec["recipe"]
    if recipe == BASELINES:
        recipe = registry.recipe_of(registry.estimator(run.spec["estimator"]))
    return OBJECTIVES.get(recipe, ((), True))


def leaderboard(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a trial, and one a peer of a task, the best first.

    Returns
    -------
    DataFrame
        Columns trial, state, score, seconds, what the trials differ in, and id.
    """
    runs = list(runs)
    varied = sorted({key for run in runs for key in run.spec["params"] if key != "random_state"})
    rows: list[dict[str, Any]] = []
    for run in runs:
        found = objective(run)
        unsaid = "–" if run.spec["recipe"] == BASELINES else "default"  # peers have no such parameters
        row = {
            "trial": run.name.partition(": ")[2] or run.name,
            "state": run.state,
            "score": math.nan if found is None else found[1],
            "seconds": run.seconds,
            **{key: str(run.spec["params"].get(key, unsaid)) for key in varied},
            "id": run.id,
        }
        rows += _peers(run, row) if run.spec["recipe"] == BASELINES else [row]
    board = pd.DataFrame(rows)
    if board.empty:
        return board
    largest = _objective(runs[0])[1]
    return board.sort_values("score", ascending=not largest, ignore_index=True, na_position="last")


def _peers(run: Run, row: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a peer: of those that have ended, as long as others are still at work."""
    if run.state == "done":
        table = run.report().tables["scores"]
        judged = {
            str(name): dict(zip(part["metric"], part["value"], strict=True))
            for name, part in table.groupby("model", sort=False)
        }
    else:
        judged = {name: one for name, one in run.landed().items() if name not in ("trained", "untrained")}
    metric = next((n for n in _objective(run)[0] if any(n in one for one in judged.values())), None)
    rows = [
        row | {"trial": name, "state": "done", "score": one.get(metric), "seconds": one.get("seconds")}
        for name, one in judged.items()
    ]
    return rows if run.state == "done" else [row, *rows]


def winner(runs: Iterable[Run]) -> Run | None:
    """The trial with the best score so far; peers, which leave no model, aside."""
    judged = [
        (run, found[1])
        for run in runs
        if run.spec["recipe"] != BASELINES and (found := objective(run)) is not None
    ]
    if not judged:
        return None
    largest = _objective(judged[0][0])[1]
    return (max if largest else min)(judged, key=lambda pair: pair[1])[0]


def remaining(runs: Iterable[Run], planned: int, at_once: int) -> float | None:
    """Seconds that the trials still take, at the pace of those that have ended; None where none has."""
    runs = list(runs)
    took = [run.seconds for run in runs if run.state == "done" and run.seconds]
    if not took:
        return None
    left = max(planned - sum(run.is_finished for run in runs), 0)
    return left * sum(took) / len(took) / max(min(at_once, left or 1), 1)

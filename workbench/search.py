"""A search over hyper-parameters whose trials are ordinary runs.

Every trial is judged on a share of the train part (``Split(inner=True)``), so that the test part stays
unseen; the best parameters are then run once on the whole train part, and tested. Because trials are runs
they go on beside each other, survive a restart, and can be cancelled and compared like all others.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench import registry
from workbench.arrays import Split
from workbench.errors import UsageError
from workbench.parameters import Parameter, describe

if TYPE_CHECKING:
    from workbench.facade import Store
    from workbench.runs import Run

__all__ = [
    "OBJECTIVES",
    "draw",
    "leaderboard",
    "objective",
    "over_seeds",
    "searchable",
    "start",
    "submit_winner",
    "trials",
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

#: A number is looked for between its default divided and multiplied by this.
_SPAN = 8.0
#: Words of a joined parameter that are tried together.
_MOST_WORDS = 2
#: What decides the cost or the question, not the quality of the answer, and is never searched.
_FIXED = frozenset({"random_state", "device", "precision", "verbose", "n_jobs", "horizon", "n_clusters"})


def searchable(cls: type) -> list[Parameter]:
    """The hyper-parameters of `cls` of which other values can be drawn from its own description."""
    return [p for p in describe(cls) if p.name not in _FIXED and _can_vary(p, p.default)]


def _can_vary(p: Parameter, value: Any) -> bool:
    if p.kind in ("choice", "choices", "bool"):
        return True
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return p.kind in ("int", "float") and is_number and value > 0 and math.isfinite(value)


def draw(
    cls: type, n: int, *, params: Mapping[str, Any], vary: Sequence[str], seed: int = 0
) -> list[dict[str, Any]]:
    """`n` sets of parameters, each different: first `params` as they are, then with others drawn.

    Words are drawn from those that the estimator allows; numbers log-uniformly from an eighth of the value
    in `params`, or else of the default, to eight times it, within the estimator's bounds.

    Raises
    ------
    UsageError
        If a parameter does not exist, or nothing can be drawn for it.
    """
    known = {p.name: p for p in describe(cls)}
    for name in vary:
        if name not in known or not _can_vary(known[name], params.get(name, known[name].default)):
            raise UsageError(f"{name} of {cls.__name__} cannot be searched: give it a number to look around.")
    random = np.random.default_rng(seed)
    found = [dict(params)]
    for _ in range(50 * n):
        if len(found) >= n:
            break
        drawn = {name: _value(known[name], params.get(name, known[name].default), random) for name in vary}
        trial = {**params, **drawn}
        if trial not in found:
            found.append(trial)
    return found


def _value(p: Parameter, around: Any, random: np.random.Generator) -> Any:
    if p.kind == "bool":
        return bool(random.integers(2))
    if p.kind == "choice":
        return str(random.choice(p.choices))
    if p.kind == "choices":
        size = int(random.integers(1, min(_MOST_WORDS, len(p.choices)) + 1))
        return p.joined_by.join(sorted(random.choice(p.choices, size, replace=False).tolist()))
    low = around / _SPAN if p.low is None else max(around / _SPAN, p.low)
    high = around * _SPAN if p.high is None else min(around * _SPAN, p.high)
    value = math.exp(random.uniform(math.log(low), math.log(high)))
    return max(1, round(value)) if p.kind == "int" else float(f"{value:.3g}")


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
    owner: str = "",
    launcher: str = "local",
) -> str:
    """Queue the trials of a search; returns its name, which every trial's name begins with.

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
    sets = draw(cls, n_trials, params=params or {}, vary=vary, seed=seed)
    search = f"search-{secrets.token_hex(3)}"
    inner = replace(split or Split(), inner=True)
    for i, chosen in enumerate(sets, start=1):
        store.submit(
            estimator,
            data,
            params=chosen,
            split=inner,
            seed=seed,
            owner=owner,
            launcher=launcher,
            name=f"{search} trial {i:02d} of {cls.__name__}",
        )
    return search


def over_seeds(store: Store, estimator: Any, data: Any, seeds: Iterable[int], **options: Any) -> list[Run]:
    """Queue one run for each seed; `options` are those of :meth:`workbench.facade.Store.submit`.

    With ``launcher="ray"`` or ``"slurm"`` they go on beside each other on as many machines as there are;
    :meth:`workbench.comparison.Comparison.summary` gives their mean and standard deviation.
    """
    return [store.submit(estimator, data, seed=int(seed), **options) for seed in seeds]


def trials(store: Store, search: str) -> list[Run]:
    """The trials of a search, in the order in which they were queued."""
    found = [run for run in store.runs(limit=None) if run.name.startswith(f"{search} trial ")]
    return sorted(found, key=lambda run: run.name)


def objective(run: Run) -> tuple[str, float] | None:
    """What a finished trial is judged by, and the value."""
    names, _ = OBJECTIVES.get(run.spec["recipe"], ((), True))
    for name in names:
        value = run.scores.get(name)
        if run.state == "done" and value is not None and math.isfinite(value):
            return name, float(value)
    return None


def leaderboard(runs: Iterable[Run]) -> pd.DataFrame:
    """One row a trial, the best first: name, state, the score it is judged by, seconds, parameters, id."""
    runs = list(runs)
    varied = sorted({key for run in runs for key in run.spec["params"] if key != "random_state"})
    rows = []
    for run in runs:
        found = objective(run)
        rows.append(
            {
                "trial": run.name.partition(" trial ")[2].partition(" ")[0],
                "state": run.state,
                "score": np.nan if found is None else found[1],
                "seconds": run.seconds,
                **{key: str(run.spec["params"].get(key, "default")) for key in varied},
                "id": run.id,
            }
        )
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    largest = OBJECTIVES.get(runs[0].spec["recipe"], ((), True))[1]
    return table.sort_values("score", ascending=not largest, ignore_index=True, na_position="last")


def winner(runs: Iterable[Run]) -> Run | None:
    """The trial with the best score so far."""
    judged = [(run, found[1]) for run in runs if (found := objective(run)) is not None]
    if not judged:
        return None
    largest = OBJECTIVES[judged[0][0].spec["recipe"]][1]
    return (max if largest else min)(judged, key=lambda pair: pair[1])[0]


def submit_winner(store: Store, run: Run, *, owner: str = "") -> Run:
    """Queue the best trial's parameters on the whole train part, to be tested."""
    from workbench.runs.spec import build_estimator

    spec = run.spec
    return store.submit(
        build_estimator(spec, run.folder),
        store.dataset(spec["dataset"]["ref"]).with_roles(spec["dataset"]["role_revision"]),
        split=replace(Split(**spec["split"]), inner=False),
        seed=spec["seed"],
        owner=owner,
        launcher=run.launcher,
        name=f"best of {run.name.partition(' trial ')[0]}",
    )

"""Runs side by side: what was changed, what came of it, and whether the difference is more than chance.

::

    compared = store.compare(["3f2a", "77b1", "c09d"])
    compared.parameters()                 # only what differs
    compared.summary("test_accuracy")     # mean ± sd over seeds
    pairwise(compared.matrix("test_accuracy"))

A *method* is an estimator with its parameters, whatever the seed and the data set; a *group* is a method on
one data set with one split. Runs of a group differ by their seed only.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench import registry
from workbench.errors import EstimatorNotFound, RunError, UsageError

if TYPE_CHECKING:
    from workbench.runs import Run

__all__ = ["PAIRS", "Comparison", "less_is_better"]

#: What pairs the scores of two methods: a data set (its seeds averaged), or a data set and a seed.
PAIRS = ("dataset", "seed")

_LESS = re.compile(
    r"(^|_)(loss|nll|error|err|mae|mse|rmse|mape|smape|ece|regret|seconds|time|brier|perplexity)(_|$)"
)
_CONTROL = re.compile(r"^(control|untrained)_|(^|_)seconds(_|$)|^n_")
_LABEL = 60  # characters of a method's name


def less_is_better(name: str) -> bool:
    """Whether a score or curve of that name is a loss, an error or a time."""
    return _LESS.search(name.lower().replace("/", "_")) is not None


class Comparison:
    """Any runs side by side; each method returns one table.

    Parameters
    ----------
    runs : sequence of Run
        As they were when they were read. Their order is kept; one that is named twice counts once.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        if not runs:
            raise UsageError("Name the runs to compare.")
        self.runs = list({run.id: run for run in runs}.values())

    def __repr__(self) -> str:
        return f"Comparison({[run.id for run in self.runs]})"

    # --- what was done --------------------------------------------------------------------------

    def parameters(self) -> pd.DataFrame:
        """What differs between the runs: ``parameter, kind``, and a column a run.

        `kind` is ``"parameter"``, ``"setting"`` (data set, split, seed, device) or ``"environment"``
        (versions, commit). A parameter that was not given counts with its default.
        """
        rows = []
        for kind, of in (("parameter", _params), ("setting", _settings), ("environment", _environment)):
            values = {run.id: of(run) for run in self.runs}
            for name in dict.fromkeys(key for found in values.values() for key in found):
                row = {run: found.get(name) for run, found in values.items()}
                if len({_plain(value) for value in row.values()}) > 1:
                    rows.append({"parameter": name, "kind": kind, **row})
        return pd.DataFrame(rows, columns=["parameter", "kind", *(run.id for run in self.runs)], dtype=object)

    @cached_property
    def methods(self) -> dict[str, str]:
        """The name of each run's method, by the run's id: the estimator and the parameters that differ.

        Where all have one estimator, the parameters alone say it.
        """
        seen = {run.id: _without_seeds(_params(run)) for run in self.runs}
        names = dict.fromkeys(name for found in seen.values() for name in found)
        of = {run.id: _estimator(run) for run in self.runs}
        labels = {}
        for run in self.runs:
            same = [other.id for other in self.runs if of[other.id] == of[run.id]]
            differing = [n for n in names if len({_plain(seen[other].get(n)) for other in same}) > 1]
            parts = [f"{name}={_plain(seen[run.id].get(name))}" for name in differing if name in seen[run.id]]
            alone = parts and len(set(of.values())) == 1
            labels[run.id] = " ".join(parts if alone else [of[run.id], *parts])
        return _distinct(labels)

    def groups(self) -> pd.DataFrame:
        """Which run belongs where: ``run, name, group, method, dataset, seed, state``."""
        several = len({run.dataset for run in self.runs}) > 1
        split = {run.id: _plain(run.spec.get("split")) for run in self.runs}
        rows = []
        for run in self.runs:
            label = self.methods[run.id] + (f" on {run.dataset}" if several else "")
            peers = {split[o.id] for o in self.runs if self._place(o) == self._place(run)}
            if len(peers) > 1:
                label += f", split {split[run.id]}"
            rows.append((run.id, run.name, label, *self._place(run), run.spec.get("seed"), run.state))
        return pd.DataFrame(rows, columns=["run", "name", "group", "method", "dataset", "seed", "state"])

    def _place(self, run: Run) -> tuple[str, str]:
        return self.methods[run.id], run.dataset

    # --- what came of it ------------------------------------------------------------------------

    def score_names(self) -> list[str]:
        """Scores that a run has, those that most runs have first, controls and times last."""
        count: dict[str, int] = {}
        for run in self.runs:
            for name in run.scores:
                count[name] = count.get(name, 0) + 1
        return sorted(count, key=lambda name: (bool(_CONTROL.search(name)), -count[name]))

    def scores(self) -> pd.DataFrame:
        """All scores: ``score``, and a column a run."""
        rows = [
            {"score": name, **{run.id: _number(run.scores.get(name)) for run in self.runs}}
            for name in self.score_names()
        ]
        return pd.DataFrame(rows, columns=["score", *(run.id for run in self.runs)])

    def summary(self, score: str) -> pd.DataFrame:
        """One score by group: ``group, method, dataset, n, mean, sd, best, worst``, the best mean first.

        `sd` is the sample's (n - 1), NaN for a single run.
        """
        frame = self._scored(score).dropna(subset="value")
        less = less_is_better(score)
        table = (
            frame.groupby(["group", "method", "dataset"], sort=False)["value"]
            .agg(n="count", mean="mean", sd="std", low="min", high="max")
            .reset_index()
            .rename(columns={"low": "best", "high": "worst"} if less else {"high": "best", "low": "worst"})
        )
        columns = ["group", "method", "dataset", "n", "mean", "sd", "best", "worst"]
        return table[columns].sort_values(["dataset", "mean"], ascending=[True, less], ignore_index=True)

    def values(self, score: str) -> pd.DataFrame:
        """One score of every run that has it: ``run, name, group, method, dataset, seed, value``."""
        return self._scored(score).dropna(subset="value").reset_index(drop=True)

    def matrix(self, score: str, pairs: str | None = None) -> pd.DataFrame:
        """One score as blocks by methods, of the runs that are done; see :mod:`workbench.significance`.

        Parameters
        ----------
        score : str
        pairs : {"dataset", "seed"}, optional
            By default data sets where there are two or more, as seeds on one data set say nothing of others.

        Returns
        -------
        DataFrame
            One row a case, one column a method; empty where a method has no run.
        """
        frame = self.values(score)
        frame = frame[frame["state"] == "done"]
        pairs = pairs or ("dataset" if len(set(frame["dataset"])) > 1 else "seed")
        if pairs not in PAIRS:
            raise UsageError(f"Pairs {pairs!r} is not one of {', '.join(PAIRS)}.")
        index = ["dataset"] if pairs == "dataset" else ["dataset", "seed"]
        table = frame.pivot_table(index=index, columns="method", values="value", aggfunc="mean", sort=False)
        table.columns.name = None
        return table

    def _scored(self, score: str) -> pd.DataFrame:
        if score not in self.score_names():
            raise UsageError(
                f"No run has a score {score!r}; there is {', '.join(self.score_names()) or 'none'}."
            )
        frame = self.groups()
        return frame.assign(value=[_number(run.scores.get(score)) for run in self.runs])

    # --- how it went ----------------------------------------------------------------------------

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Every point of every curve: ``run, curve, step, value``."""
        parts = [run.metrics().rename(columns={"name": "curve"}).assign(run=run.id) for run in self.runs]
        return pd.concat(parts, ignore_index=True)[["run", "curve", "step", "value"]]

    def endings(self) -> pd.DataFrame:
        """Best and last value of every curve: ``run, curve, best, best_step, last, last_step``."""
        rows = []
        for (run, curve), part in self.curves.dropna().groupby(["run", "curve"], sort=False):
            at = part["value"].idxmin() if less_is_better(str(curve)) else part["value"].idxmax()
            end = part["step"].idxmax()
            best, last = (part[part.index == row].iloc[0] for row in (at, end))
            rows.append((run, curve, best["value"], best["step"], last["value"], last["step"]))
        table = pd.DataFrame(rows, columns=["run", "curve", "best", "best_step", "last", "last_step"])
        return table.astype({"best_step": "int64", "last_step": "int64"})

    def bands(self, curve: str) -> pd.DataFrame:
        """Mean and sample sd of a curve over the runs of a group: ``group, step, n, mean, sd``."""
        points = self.curves[self.curves["curve"] == curve].dropna()
        group = dict(zip(*(self.groups()[name] for name in ("run", "group")), strict=True))
        points = points.assign(group=points["run"].map(group))
        return (
            points.groupby(["group", "step"], sort=False)["value"]
            .agg(n="count", mean="mean", sd="std")
            .reset_index()
            .sort_values(["group", "step"], ignore_index=True)
        )


def _estimator(run: Run) -> str:
    return run.estimator_name.rpartition(":")[2] if ":" in run.estimator_name else run.estimator_name


def _params(run: Run) -> dict[str, Any]:
    """All parameters by name, those of nested estimators as ``outer.inner``, with their defaults."""
    given = dict(run.spec.get("params", {}))
    return _flat({**_defaults(run.estimator_name), **given})


def _defaults(estimator: str) -> dict[str, Any]:
    try:
        signature = inspect.signature(registry.estimator(estimator))
    except (EstimatorNotFound, RunError, TypeError, ValueError):
        return {}  # one that travels as source, a saved model, a script
    empty = inspect.Parameter.empty
    return {name: p.default for name, p in signature.parameters.items() if p.default is not empty}


def _flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and "$estimator" in value:
            flat[prefix + name] = value["$estimator"]
            inner = {**_defaults(value["$estimator"]), **value["params"]}
            flat |= _flat(inner, f"{prefix}{name}.")
        elif isinstance(value, Mapping) and "$tuple" in value:
            flat[prefix + name] = tuple(value["$tuple"])
        elif isinstance(value, Mapping) and "$float" in value:
            flat[prefix + name] = float(value["$float"])
        else:
            flat[prefix + name] = value
    return flat


def _without_seeds(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in params.items() if name.rpartition(".")[2] != "random_state"}


def _settings(run: Run) -> dict[str, Any]:
    spec = run.spec
    split = spec.get("split") or {}
    return {
        "estimator": run.estimator_name,
        "recipe": run.recipe,
        "data set": run.dataset,
        "roles": (spec.get("dataset") or {}).get("role_revision"),
        **{f"split {key}": value for key, value in split.items()},
        "seed": spec.get("seed"),
        "device": spec.get("device"),
    }


def _environment(run: Run) -> dict[str, Any]:
    spec = run.spec
    versions = {f"version of {name}": value for name, value in (spec.get("versions") or {}).items()}
    return {"git commit": spec.get("git_commit"), "python": spec.get("python"), **versions}


def _plain(value: Any) -> str:
    """`value` as text, the same for what is equal as a parameter: 1 and 1.0, (1, 2) and [1, 2]."""
    if isinstance(value, float) and value.is_integer() and not isinstance(value, bool):
        value = int(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, default=str)
    return str(value)


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _distinct(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels cut to a readable length; different ones stay different."""
    short: dict[str, str] = {}
    for label in dict.fromkeys(labels.values()):
        cut = label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…"
        twins = sum(other == cut or other.startswith(f"{cut} #") for other in short.values())
        short[label] = cut if not twins else f"{cut} #{twins + 1}"
    return {run: short[label] for run, label in labels.items()}

"""From the seeds' measurements to the tables of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.modality._measure import Measured
from workbench.modality._metrics import Metric
from workbench.modality.diagnostics import (
    Bootstrap,
    conditional_utilisation,
    judge_encoders,
    overfitting_to_generalisation,
    permutation_p_value,
    retention,
)
from workbench.modality.shapley import interactions, shapley_values
from workbench.modality.verdict import Evidence, advice

__all__ = ["Summary", "summarise"]

Floats = NDArray[np.float64]

#: Rows whose contributions are kept.
_SAMPLES = 2000


class Summary:
    """Everything that all seeds together say."""

    def __init__(self, tables: dict[str, pd.DataFrame], evidence: Evidence, scores: dict[str, float]) -> None:
        self.tables, self.evidence, self.scores = tables, evidence, scores


def summarise(
    seeds: Sequence[Measured],
    metric: Metric,
    classes: Sequence[object],
    test_rows: Sequence[NDArray[np.intp]],
    n_columns: dict[str, int],
    groups: NDArray[Any] | None = None,
) -> Summary:
    """Tables, evidence and flat scores of an analysis.

    Parameters
    ----------
    seeds : sequence of Measured
    metric : Metric
    classes : sequence
        The classes, or the labels; empty for a regression.
    test_rows : sequence of ndarray of int
        The rows each seed was tested on.
    n_columns : dict of str to int
        The cost of each modality.
    groups : ndarray of shape (n,), optional
        Of all rows; errors count whole groups.
    """
    names = seeds[0].names
    bootstrap = Bootstrap(test_rows, groups)
    overall = _overall(seeds, metric, bootstrap)
    modality, evidence = _by_modality(seeds, metric, overall, bootstrap)
    differences = [
        (name, getattr(evidence, name), np.nan, getattr(evidence, f"{name}_error"))
        for name in ("gap", "headroom")
    ]
    tables = {
        "scores": pd.concat([overall, pd.DataFrame(differences, columns=overall.columns)], ignore_index=True),
        "modalities": modality,
        "contributions": _contributions(seeds),
        "interactions": _interactions(seeds),
        "utilisation": _utilisation(seeds),
        "dynamics": _dynamics(seeds),
        "samples": _samples(seeds[0], test_rows[0]),
    }
    if len(classes):
        tables["per_class"] = _per_class(seeds, metric.task, classes, bootstrap)
    tables["importance"] = _importance(modality, evidence, n_columns)
    mean = overall.set_index("name")["mean"]
    scores = {
        "test_score": mean["joint"],
        "train_score": mean["joint_train"],
        "best_alone": evidence.alone[evidence.best],
        "gap": evidence.gap,
        "headroom": evidence.headroom,
        **{name: mean[name] for name in ("ensemble", "weighted_ensemble", "stacking", "linear")},
        **{f"alone_{name}": evidence.alone[name] for name in names},
        **{f"retention_{name}": evidence.retention[name] for name in names},
    }
    return Summary(tables, evidence, {name: float(value) for name, value in scores.items()})


def _error(
    seeds: Sequence[Measured], metric: Metric, bootstrap: Bootstrap, a: str, b: str | None = None
) -> float:
    """Standard error of the mean of a score, or of the difference of two on the same rows."""

    def score(i: int, rows: NDArray[np.intp]) -> float:
        seed = seeds[i]
        first = metric(seed.y[rows], seed.outputs[a][rows])
        return first if b is None else first - metric(seed.y[rows], seed.outputs[b][rows])

    return bootstrap.error(score)


def _overall(seeds: Sequence[Measured], metric: Metric, bootstrap: Bootstrap) -> pd.DataFrame:
    rows = []
    for name in seeds[0].scores:
        values = [seed.scores[name] for seed in seeds]
        error = _error(seeds, metric, bootstrap, name) if name in seeds[0].outputs else np.nan
        rows.append((name, float(np.mean(values)), float(np.std(values)), error))
    return pd.DataFrame(rows, columns=["name", "mean", "sd", "error"])


def _by_modality(
    seeds: Sequence[Measured], metric: Metric, overall: pd.DataFrame, bootstrap: Bootstrap
) -> tuple[pd.DataFrame, Evidence]:
    names, mean = seeds[0].names, overall.set_index("name")["mean"]
    alone_probe = np.array([mean[f"probe_alone/{m}"] for m in names])
    joint_probe = np.array([mean[f"probe_joint/{m}"] for m in names])
    error = np.array(
        [_error(seeds, metric, bootstrap, f"probe_alone/{m}", f"probe_joint/{m}") for m in names]
    )
    alone_error = [_error(seeds, metric, bootstrap, f"probe_alone/{m}") for m in names]
    kept = retention(joint_probe, alone_probe, mean["prior"], alone_error)
    loss = judge_encoders(alone_probe, joint_probe, error, ~np.isnan(kept))
    permuted = np.mean([seed.permuted for seed in seeds], axis=0)
    drop = _drops(seeds)
    table = pd.DataFrame(
        {
            "modality": names,
            "alone": [mean[f"alone/{m}"] for m in names],
            "alone_error": overall.set_index("name").loc[[f"alone/{m}" for m in names], "error"].to_numpy(),
            "branch_alone": [mean[f"branch/{m}"] for m in names],
            "probe_alone": alone_probe,
            "probe_joint": joint_probe,
            "delta": loss.delta,
            "delta_error": error,
            "threshold": loss.threshold,
            "retention": kept,
            "retention_error": error / np.where(np.isnan(kept), np.nan, alone_probe - mean["prior"]),
            "lost": loss.lost,
            "won": [loss.winner == r for r in range(len(names))],
            "drop": drop,
            "permutation": mean["joint"] - permuted.mean(0),
            "perceptual": (mean["joint"] - permuted.mean(0)) / max(abs(mean["joint"]), 1e-12),
            "p_value": [permutation_p_value(mean["joint"], permuted[:, r]) for r in range(len(names))],
        }
    )
    alone = dict(zip(names, table["alone"].astype(float), strict=True))
    best = max(alone, key=lambda m: alone[m])
    combination = max(("ensemble", "stacking"), key=lambda name: mean[name])
    evidence = Evidence(
        alone=alone,
        joint=float(mean["joint"]),
        combination=combination,
        gap=float(alone[best] - mean["joint"]),
        gap_error=_error(seeds, metric, bootstrap, f"alone/{best}", "joint"),
        headroom=float(mean[combination] - mean["joint"]),
        headroom_error=_error(seeds, metric, bootstrap, combination, "joint"),
        retention=dict(zip(names, kept.astype(float), strict=True)),
        retention_error=dict(zip(names, table["retention_error"].astype(float), strict=True)),
        delta=dict(zip(names, loss.delta.astype(float), strict=True)),
        lost=tuple(m for m, lost in zip(names, loss.lost, strict=True) if lost),
        winner=None if loss.winner is None else names[loss.winner],
        metric=metric.words,
    )
    return table, evidence


def _drops(seeds: Sequence[Measured]) -> Floats:
    """``A(N) - A(N without r)`` of the joint network with r muted."""
    if "mask" not in seeds[0].games:
        return np.full(len(seeds[0].names), np.nan)
    values = np.mean([seed.games["mask"] for seed in seeds], axis=0)
    whole = len(values) - 1
    return np.array([values[whole] - values[whole & ~(1 << r)] for r in range(len(seeds[0].names))])


def _contributions(seeds: Sequence[Measured]) -> pd.DataFrame:
    rows = []
    for function in seeds[0].contributions:
        phi = np.array([seed.contributions[function] for seed in seeds])
        for r, name in enumerate(seeds[0].names):
            rows.append((function, name, phi[:, r].mean(), phi[:, r].std()))
        start = float(np.mean([seed.scores["prior"] for seed in seeds]))
        rows.append((function, "(none)", start, 0.0))
    return pd.DataFrame(rows, columns=["value_function", "modality", "value", "sd"])


def _interactions(seeds: Sequence[Measured]) -> pd.DataFrame:
    names, rows = seeds[0].names, []
    for function in seeds[0].games:
        index = np.array([interactions(seed.games[function]) for seed in seeds])
        for r, first in enumerate(names):
            for s, second in enumerate(names):
                if r != s:
                    rows.append((function, first, second, index[:, r, s].mean(), index[:, r, s].std()))
    return pd.DataFrame(rows, columns=["value_function", "modality", "other", "value", "sd"])


def _utilisation(seeds: Sequence[Measured]) -> pd.DataFrame:
    names, rows = seeds[0].names, []
    if "mask" in seeds[0].games:
        used = np.mean([conditional_utilisation(seed.games["mask"]) for seed in seeds], axis=0)
        for r, name in enumerate(names):
            for s, given in enumerate(names):
                rows.append((name, "all others" if r == s else given, used[r, s]))
    return pd.DataFrame(rows, columns=["modality", "given", "value"])


def _dynamics(seeds: Sequence[Measured]) -> pd.DataFrame:
    """Every curve: (seed, network, component, quantity, epoch, value)."""
    rows = []
    for i, seed in enumerate(seeds):
        for network, history in seed.history.items():
            for epoch, entry in enumerate(history, start=1):
                for key, value in entry.items():
                    quantity, _, component = key.partition("/")
                    rows.append((i, network, component or "joint", quantity, epoch, value))
            for component in [*seed.names, "joint"]:
                if f"train_loss/{component}" not in history[0]:
                    continue
                curves = overfitting_to_generalisation(
                    [entry[f"train_loss/{component}"] for entry in history],
                    [entry[f"validation_loss/{component}"] for entry in history],
                )
                for quantity, curve in zip(("generalisation", "overfitting", "ogr"), curves, strict=True):
                    rows += [(i, network, component, quantity, e, v) for e, v in enumerate(curve, start=1)]
    return pd.DataFrame(rows, columns=["seed", "network", "component", "quantity", "epoch", "value"])


def _samples(seed: Measured, rows: NDArray[np.intp]) -> pd.DataFrame:
    """Contribution of each modality to each test row's being right, in the first seed's joint network."""
    if seed.right is None:
        return pd.DataFrame({"row": [], "modality": [], "value": []})
    phi = shapley_values(seed.right[:, :_SAMPLES])
    kept = rows[:_SAMPLES]
    return pd.DataFrame(
        {
            "row": np.tile(kept, len(seed.names)),
            "modality": np.repeat(seed.names, len(kept)),
            "value": phi.ravel(),
        }
    )


def _per_class(
    seeds: Sequence[Measured], task: str, classes: Sequence[object], bootstrap: Bootstrap
) -> pd.DataFrame:
    """Which modality the joint network learned each class (or label) from.

    A modality wins a class when its branch of the joint network lost least of the recall that its own network
    has; `winner` is "tie" where the difference to the next is within two standard errors.
    """
    names, rows = seeds[0].names, []
    for k, label in enumerate(classes):
        members = [np.where(_have(task, seed.y, k), 1.0, np.nan) for seed in seeds]
        if all(np.isnan(m).all() for m in members):
            continue
        found = []
        for name in names:
            hits = {
                kind: [
                    _tell(task, seed.outputs[f"{kind}/{name}"], k) * m
                    for seed, m in zip(seeds, members, strict=True)
                ]
                for kind in ("alone", "branch", "probe_alone", "probe_joint")
            }
            recall = {kind: float(np.nanmean(np.concatenate(each))) for kind, each in hits.items()}
            lost = [a - b for a, b in zip(hits["alone"], hits["branch"], strict=True)]
            found.append((recall, recall["alone"] - recall["branch"], bootstrap.error_of_mean(lost), lost))
        order = np.argsort([loss for _, loss, _, _ in found])
        winner = names[order[0]]
        if len(names) > 1:
            first, second = found[order[0]], found[order[1]]
            margin = bootstrap.error_of_mean([b - a for a, b in zip(first[3], second[3], strict=True)])
            if second[1] - first[1] <= max(2 * margin, 1e-12):
                winner = "tie"
        for name, (recall, loss, spread, _) in zip(names, found, strict=True):
            rows.append(
                {
                    "class": str(label),
                    "modality": name,
                    "recall_alone": recall["alone"],
                    "recall_branch": recall["branch"],
                    "lost_recall": loss,
                    "error": spread,
                    "probe_alone": recall["probe_alone"],
                    "probe_joint": recall["probe_joint"],
                    "winner": winner,
                }
            )
    return pd.DataFrame(rows)


def _have(task: str, y: NDArray[Any], k: int) -> NDArray[np.bool_]:
    """Which rows are of class `k`, or have label `k`."""
    return np.asarray(y == k if task == "multiclass" else y[:, k] > 0.5)


def _tell(task: str, outputs: Floats, k: int) -> NDArray[np.bool_]:
    """Of which rows the outputs say so."""
    return np.asarray(outputs.argmax(1) == k if task == "multiclass" else outputs[:, k] > 0.5)


def _importance(modality: pd.DataFrame, evidence: Evidence, n_columns: dict[str, int]) -> pd.DataFrame:
    """The binding view: is a modality worth its columns?"""
    dropped = {action.removeprefix("drop ") for action, _ in advice(evidence) if action.startswith("drop ")}
    useless = (modality["p_value"] > 0.05) & (modality["permutation"] <= 0.005)
    return pd.DataFrame(
        {
            "component": modality["modality"],
            "kind": "modality",
            "score": modality["permutation"].where(modality["drop"].isna(), modality["drop"]),
            "cost": [float(n_columns[name]) for name in modality["modality"]],
            "kept": ~(useless | modality["modality"].isin(dropped)),
        }
    )

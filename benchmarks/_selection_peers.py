"""Every selector on the same rows and host: search, rank, train anew on the best k, as ERASE does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _selection_data import Table, parts, table

from workbench import selection
from workbench.ctr import metrics
from workbench.selection._base import FieldSelector
from workbench.selection.evaluation import fit_on, judge

__all__ = ["CONTROLS", "PEERS", "run_peer"]

#: Rankings that need no search: what chance finds, and what knowing the answer would give.
CONTROLS = ("at random", "the useful, drawn")

#: Each method at its defaults on the host's epochs, given the host and the number of fields.
PEERS: dict[str, Callable[[Any, int], FieldSelector]] = {
    "LPFS": lambda model, n: selection.LPFS(model),
    "LPFS++": lambda model, n: selection.LPFSPlusPlus(model),
    "SHARK absolute": lambda model, n: selection.SharkSelector(model, drop_per_round=-(-n // 10)),
    "SHARK signed": lambda model, n: selection.SharkSelector(model, signed=True, drop_per_round=-(-n // 10)),
    "AutoField": lambda model, n: selection.AutoFieldSelector(model),
    "STG": lambda model, n: selection.STGSelector(model),
    "OptFS": lambda model, n: selection.OptFSSelector(model),
    "SFS (gradient)": lambda model, n: selection.GradientSelector(model),
    "Permutation": lambda model, n: selection.PermutationSelector(model),
    "Lasso": lambda model, n: selection.LassoSelector(model),
    "Boosting": lambda model, n: selection.BoostingSelector(model),
    "Mutual information": lambda model, n: selection.MutualInformationSelector(model),
    "Stability (lasso)": lambda model, n: selection.StabilitySelector(model, n_resamples=20),
}


def run_peer(data: Path, name: str, method: str, seed: int) -> dict[str, Any]:
    """One cell: how many of the best k fields are useful, and the AUC of a new model on them."""
    given: Table = table(name, data, seed)
    train, _, test = parts(len(given.y))
    encoder = given.model._fitted_encoder(given.X.iloc[train])
    rows, judged = encoder.encode(given.X.iloc[train]), encoder.encode(given.X.iloc[test])
    began = time.perf_counter()
    if method in CONTROLS:
        ranked = np.random.default_rng(seed).permutation(list(given.X.columns)).tolist()
        if method != CONTROLS[0]:
            ranked.sort(key=lambda field: field not in given.useful)
    else:
        search = PEERS[method](given.model, given.X.shape[1])
        # A ranking is asked for, so that a method that keeps nothing by itself is judged too.
        if search.max_fields is None and not hasattr(search, "penalty"):
            search.set_params(max_fields=max(given.ks))
        search.set_params(random_state=seed)
        search.classes_ = np.array([0, 1])
        search.fit_encoded(encoder, rows, given.y[train])
        ranked = search.ranking()["field"].tolist()
    found: dict[str, Any] = {"search_seconds": round(time.perf_counter() - began, 1)}
    for k in given.ks:
        best = ranked[:k]
        model = fit_on(given.model, encoder, rows, given.y[train], best, seed=seed)
        area = metrics.auc(given.y[test], judge(model, encoder, judged, given.y[test]))
        found[str(k)] = {"auc": area, "useful": sum(field in given.useful for field in best)}
    return found

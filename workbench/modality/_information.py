"""Partial information decomposition of every pair of modalities of a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.modality._preparation import Block
from workbench.modality._table import Target
from workbench.modality.pid import cluster_codes, estimate

__all__ = ["information"]

#: Pairs with fewer rows that have both modalities are left out.
_LEAST_ROWS = 20


def information(names: Sequence[str], blocks: Sequence[Block], target: Target, seed: int) -> pd.DataFrame:
    """Redundant, unique and synergetic bits about the target, for each pair.

    Returns
    -------
    DataFrame with the columns modality, other, part, bits, observed and by_chance
        `bits` is what was observed less what permuted labels show.
    """
    labels = _labels(target)
    rows = []
    for (r, first), (s, second) in combinations(enumerate(names), 2):
        both = blocks[r].present & blocks[s].present
        if both.sum() < _LEAST_ROWS:
            continue
        codes = [cluster_codes(_flat(blocks[m])[both], random_state=0) for m in (r, s)]
        found, chance = estimate(codes[0], codes[1], labels[both], random_state=seed)
        for part in ("redundancy", "unique_1", "unique_2", "synergy"):
            value, noise = getattr(found, part), getattr(chance, part)
            rows.append((first, second, part, max(value - noise, 0.0), value, noise))
    return pd.DataFrame(rows, columns=["modality", "other", "part", "bits", "observed", "by_chance"])


def _flat(block: Block) -> NDArray[np.float64]:
    codes = block.codes
    one_hot = [codes[:, [j]] == np.unique(codes[:, j]) for j in range(codes.shape[1])]
    return np.hstack([block.numbers.reshape(len(codes), -1), *one_hot]).astype(np.float64)


def _labels(target: Target) -> NDArray[np.intp]:
    """A target as few codes: classes, combinations of labels, or fifths of a number."""
    if target.task == "multiclass":
        return target.codes.astype(np.intp)
    if target.task == "multilabel":
        return np.unique(target.codes, axis=0, return_inverse=True)[1].ravel()
    first = target.codes[:, 0]
    return np.searchsorted(np.quantile(first, [0.2, 0.4, 0.6, 0.8]), first).astype(np.intp)

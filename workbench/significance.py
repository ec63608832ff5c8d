"""Whether one method is better than another, or whether it is chance.

The tests are those of Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, 2006:
Wilcoxon's signed-rank test for pairs of methods with Holm's correction, and Friedman's test with Nemenyi's
critical difference of average ranks for all of them at once.

A *score matrix* has one row a block (a data set, or a seed) and one column a method; a missing cell is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Ranks", "average_ranks", "critical_difference", "holm", "pairwise", "wilcoxon"]

_ENUMERATED = 13  # pairs up to which all 2ⁿ signs are tried where ties or zeros forbid the exact table
_TABULATED = 50  # pairs up to which SciPy has the exact distribution


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """P-values corrected for their number by Holm's step-down procedure; NaNs stay and do not count.

    Source: Holm, Scandinavian Journal of Statistics 6(2), 1979.
    """
    p = np.asarray(p, dtype=float)
    corrected = np.full(p.shape, np.nan)
    order = np.argsort(p)  # NaNs come last
    order = order[~np.isnan(p[order])]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected


def wilcoxon(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Wilcoxon's signed-rank test of paired values, two-sided.

    The ranks of zero differences are split between both sides (Demšar 2006, section 3.1.3). The p-value is
    exact, by all signs of the differences where ties or zeros ask for it, up to 50 pairs (13 with ties).

    Returns
    -------
    statistic : float
        The smaller sum of ranks.
    p : float
        1 where no pair differs, NaN where there is no pair.
    """
    from scipy import stats

    difference = np.asarray(x, dtype=float) - np.asarray(y, dtype=float)
    n = len(difference)
    if n == 0:
        return np.nan, np.nan
    size = np.abs(difference)
    if not size.any():
        return n * (n + 1) / 4, 1.0
    if len(np.unique(size)) == n and size.all():
        method: Any = "exact" if n <= _TABULATED else "asymptotic"
    else:
        method = stats.PermutationMethod(n_resamples=2**_ENUMERATED) if n <= _ENUMERATED else "asymptotic"
    found = stats.wilcoxon(difference, zero_method="zsplit", method=method)
    return float(found.statistic), float(found.pvalue)


def pairwise(scores: pd.DataFrame) -> pd.DataFrame:
    """Every pair of methods compared over the blocks that both have.

    Parameters
    ----------
    scores : DataFrame, shape (n_blocks, n_methods)

    Returns
    -------
    DataFrame with the columns
        ``first, second``: methods; ``n``: pairs; ``difference``: mean of first minus second; ``statistic``,
        ``p``: Wilcoxon's; ``p_holm``: corrected for their number; ``least_p``: the smallest p-value
        that so few pairs can give.
    """
    import pandas as pd

    rows = []
    for first, second in combinations(scores.columns, 2):
        both = scores[[first, second]].dropna()
        n = len(both)
        statistic, p = wilcoxon(both[first], both[second])
        mean = float((both[first] - both[second]).mean()) if n else np.nan
        rows.append((first, second, n, mean, statistic, p, 2.0 ** (1 - n) if n else np.nan))
    columns = ["first", "second", "n", "difference", "statistic", "p", "least_p"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(6, "p_holm", holm(table["p"]))
    return table


@dataclass(frozen=True)
class Ranks:
    """Average ranks of methods, and how far apart they must be to mean something.

    Attributes
    ----------
    average : Series
        Average rank by method, the best (1) first.
    n_blocks : int
        Blocks in which every method has a score; the others are left out.
    chi2, p : float
        Friedman's statistic, corrected for ties, and its p-value; NaN below three methods.
    f, f_p : float
        Iman and Davenport's less conservative statistic and its p-value.
    critical_difference : float
        Nemenyi's, at `alpha`.
    cliques : tuple of tuples
        The largest sets of methods that do not differ, each in order of rank.
    """

    average: pd.Series
    n_blocks: int
    chi2: float
    p: float
    f: float
    f_p: float
    alpha: float
    critical_difference: float
    cliques: tuple[tuple[str, ...], ...]


def average_ranks(scores: pd.DataFrame, *, less_is_better: bool = False, alpha: float = 0.05) -> Ranks | None:
    """Friedman's test and Nemenyi's critical difference over complete blocks.

    Returns
    -------
    Ranks, or None where fewer than two methods or two complete blocks are left.
    """
    from scipy import stats

    complete = scores.dropna()
    n, k = complete.shape
    if n < 2 or k < 2:
        return None
    ranks = complete.rank(axis=1, ascending=less_is_better)
    average = ranks.mean().sort_values(kind="stable")
    chi2 = p = f = f_p = np.nan
    if k > 2:
        if (ranks.std(axis=1) > 0).any():
            chi2, p = map(float, stats.friedmanchisquare(*(complete[name] for name in complete)))
        else:  # every method ties in every block
            chi2, p = 0.0, 1.0
        room = n * (k - 1) - chi2
        f = (n - 1) * chi2 / room if room > 0 else np.inf
        f_p = float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    distance = critical_difference(k, n, alpha)
    return Ranks(average, n, chi2, p, f, f_p, alpha, distance, _cliques(average, distance))


def critical_difference(n_methods: int, n_blocks: int, alpha: float = 0.05) -> float:
    """Nemenyi's: average ranks that lie farther apart than this differ at the level `alpha`.

    ``q_α √(k (k + 1) / (6 N))`` with the Studentized range divided by √2 (Demšar 2006, section 3.2.2).
    """
    from scipy import stats

    q = stats.studentized_range.ppf(1 - alpha, n_methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_methods * (n_methods + 1) / (6 * n_blocks)))


def _cliques(average: pd.Series, distance: float) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[str, ...]] = []
    ranks, names = average.to_numpy(), [str(name) for name in average.index]
    last = 0
    for start in range(len(ranks)):
        end = int(np.searchsorted(ranks, ranks[start] + distance, side="right"))
        if end - start > 1 and end > last:  # not within the one before
            found.append(tuple(names[start:end]))
            last = end
    return tuple(found)

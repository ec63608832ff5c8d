"""Scores of fields: by permutation, by SHARK's first-order term, by gates' gradients, by counting."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.ctr import metrics
from workbench.ctr._base import CTRClassifier
from workbench.ctr._vocabulary import MISSING
from workbench.ctr.encoded import Encoded, Layout

if TYPE_CHECKING:
    from workbench.ctr._batch import Batch
    from workbench.ctr._network import Network

__all__ = [
    "design",
    "field_gradients",
    "gate_gradients",
    "mutual_information",
    "permutation_importance",
]

#: Quantile bins of a number, where its mutual information is counted.
_BINS = 32
_CHUNK = 8192

Floats = NDArray[np.float64]


def permutation_importance(
    model: CTRClassifier,
    layout: Layout,
    rows: Encoded,
    y: NDArray[np.float64],
    *,
    n_repeats: int = 5,
    seed: int = 0,
) -> Floats:
    """Mean rise of the log loss when a field's cells are shuffled, all its columns or values together.

    Returns
    -------
    ndarray, shape (n_fields,)
    """
    rng = np.random.default_rng(seed)
    base = _loss(model, rows, y)
    found = np.zeros(len(layout.fields))
    for i, name in enumerate(layout.names):
        for _ in range(n_repeats):
            found[i] += _loss(model, rows.shuffled(layout, name, rng.permutation(len(rows))), y) - base
    return found / n_repeats


def _loss(model: CTRClassifier, rows: Encoded, y: NDArray[np.float64]) -> float:
    from scipy.special import expit

    return metrics.logloss(y, expit(model.decide_encoded(rows) - np.log(model.negative_rate)))


def field_gradients(model: CTRClassifier, rows: Encoded, y: NDArray[np.float64]) -> dict[str, Floats]:
    """SHARK's F-Permutation: the first-order change of the loss when a field is replaced by its mean.

    For each row and field, the loss's gradient by the field's vector times (mean vector - vector), plus the
    same of its linear part. ``"signed"`` is the mean over rows, the literal expectation of what permutation
    does; ``"absolute"`` the mean of the absolute values, which public reproductions take. The absolute one
    measures how far an overfitted table is spread, and ranks noise fields of many values high. The signed one
    vanishes for every field where training has converged: the gradient by the size of a field's vectors is
    zero there.

    One pass for the means and one for the gradients, against (number of fields x shuffles) for permutation.

    References
    ----------
    Zhang et al., "SHARK: A Lightweight Model Compression Approach for Large-scale Recommender Systems",
    CIKM 2023, arXiv 2308.09395.
    """
    import torch

    from workbench.ctr._batch import make_batch

    y = np.asarray(y, dtype=np.float64)
    network = model.network()
    layout = network.layout
    chunks = [slice(i, i + _CHUNK) for i in range(0, len(rows), _CHUNK)]
    sums: list[Any] = [None, None, None]
    for chunk in chunks:
        for i, value in enumerate(_activations(network, make_batch(rows[chunk], layout))):
            if value is not None:
                total = value.detach().double().sum(0)
                sums[i] = total if sums[i] is None else sums[i] + total
    means = [None if total is None else (total / len(rows)).float() for total in sums]
    signed, absolute = (torch.zeros(len(layout.fields), dtype=torch.float64) for _ in range(2))
    for chunk in chunks:
        batch = make_batch(rows[chunk], layout)
        activations = [
            None if value is None else value.detach().requires_grad_()
            for value in _activations(network, batch)
        ]
        if activations[2] is not None:
            batch = replace(batch, values=activations[2])
        gates = network._gates(None, None)
        logits = network.head(activations[0], activations[1], batch, gates)
        torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(y[chunk]).float(), reduction="sum"
        ).backward()
        terms = torch.zeros(len(logits), len(layout.fields), dtype=torch.float64)
        for value, mean, places in zip(activations, means, _places(network), strict=True):
            if value is not None and value.grad is not None:
                change = (value.grad * (mean - value.detach())).double()
                terms[:, places] += change.sum(-1) if change.ndim == 3 else change
        signed += terms.sum(0)
        absolute += terms.abs().sum(0)
    return {"signed": (signed / len(rows)).numpy(), "absolute": (absolute / len(rows)).numpy()}


def _activations(network: Network, batch: Batch) -> tuple[Any, Any, Any]:
    """Vectors, linear parts, and the numbers that reach the head as they are."""
    vectors, parts = network.embed(batch, network._gates(None, None))
    plain = network.has_vectors and not network.embeds_numbers and batch.values.shape[1] > 0
    return vectors, parts, batch.values if plain else None


def _places(network: Network) -> tuple[list[int], list[int], list[int]]:
    """The fields of each kind of activation."""
    fields = network.layout.fields
    numbers = [i for i, field in enumerate(fields) if field.kind == "numeric"]
    every = list(range(len(fields)))
    return (every if network.embeds_numbers else [i for i in every if i not in numbers]), every, numbers


def gate_gradients(
    model: CTRClassifier, rows: Encoded, y: NDArray[np.float64], *, batch_size: int = 4096
) -> Floats:
    """Mean size, over batches, of the loss's gradient by a gate of 1 on each field (SFS).

    References
    ----------
    The method "SFS" of the ERASE benchmark, arXiv 2403.12660.
    """
    import torch

    from workbench.ctr._batch import make_batch

    network = model.network()
    sizes = []
    for start in range(0, len(rows), batch_size):
        part = slice(start, start + batch_size)
        gates = torch.ones(len(network.layout.fields), requires_grad=True)
        logits = network(make_batch(rows[part], network.layout), gates)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(y[part]).float())
        sizes.append(torch.autograd.grad(loss, gates)[0].abs().double().numpy())
    return np.mean(sizes, axis=0)


def mutual_information(layout: Layout, rows: Encoded, y: NDArray[np.float64]) -> Floats:
    """Mutual information in nats of each field's values and the label, less what chance gives.

    Numbers are counted in quantile bins, lists by whether they hold anything. The expectation of the plain
    estimate under independence is about (values - 1) / (2 n); without taking it off (Miller-Madow),
    identifiers would look best.
    """
    found = []
    for column, n_values in (_codes(layout, rows, i) for i in range(len(layout.fields))):
        n = len(y)
        clicks = np.bincount(column, y, n_values)
        total = np.bincount(column, minlength=n_values)
        there = total > 0
        joint = np.stack([clicks[there], total[there] - clicks[there]]) / n
        expected = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
        inside = joint > 0
        information = float((joint[inside] * np.log(joint[inside] / expected[inside])).sum())
        found.append(information - (there.sum() - 1) / (2 * n))
    return np.array(found)


def _codes(layout: Layout, rows: Encoded, place: int) -> tuple[NDArray[np.intp], int]:
    """One code a row for a field, and how many there may be."""
    field = layout.fields[place]
    first, numbers = layout.count("categorical"), layout.count("numeric")
    if field.kind == "categorical":
        return rows.ids[:, place].astype(np.intp), field.rows
    if field.kind == "numeric":
        values = rows.numbers[:, place - first]
        edges = np.unique(np.nanquantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
        bins = np.searchsorted(edges, values, side="right")
        return np.where(np.isnan(values), len(edges) + 1, bins), len(edges) + 2
    there = (rows.lists[place - first - numbers] != MISSING).any(axis=1)
    return there.astype(np.intp), 2


def design(layout: Layout, rows: Encoded, rates: list[Floats | None]) -> Floats:
    """One number a field and row for models of plain numbers: categories by their click rate.

    Parameters
    ----------
    rates : list of ndarray or None
        Click rate of each index of a categorical field, learned on training rows; None for the others.
    """
    first, numbers = layout.count("categorical"), layout.count("numeric")
    columns = []
    for place, field in enumerate(layout.fields):
        rate = rates[place]
        if rate is not None:
            columns.append(rate[rows.ids[:, place]])
        elif field.kind == "numeric":
            columns.append(np.nan_to_num(rows.numbers[:, place - first].astype(np.float64)))
        else:
            columns.append((rows.lists[place - first - numbers] != MISSING).sum(axis=1).astype(np.float64))
    return np.column_stack(columns)

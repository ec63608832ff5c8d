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


def field_gradients(
    model: CTRClassifier, rows: Encoded, y: NDArray[np.float64], *, order: int = 2
) -> dict[str, Floats]:
    """SHARK's F-Permutation: an estimate of how the loss changes when a field's cells are shuffled.

    With e the part of a row that comes from one field (its vector and its linear weight), z the row's logit
    and e' the same part of another row, the logit changes by about d = <dz/de, e' - e>, and the logistic loss
    by (p - y)·d + p(1 - p)·d²/2. Over all other rows e' this has the expectation ::

        (p - y)·<g, m - e>  +  p(1 - p)/2 · (<g, m - e>² + g' C g)

    with g = dz/de, and m and C the mean and covariance of e over the rows. ``"signed"`` is its mean over
    rows up to `order`. The first term alone is the published score; it vanishes for every field where
    training has converged, as the gradient by the size of a field's vectors is zero there, and what is left
    of it is noise. The second does not, and costs one product with a small matrix more.

    ``"absolute"`` is the mean of the absolute first term, which public reproductions take. It measures how
    far an overfitted table is spread, and ranks noise fields of many values high.

    One pass for the moments and one for the gradients, against (number of fields x shuffles) for permutation.

    Parameters
    ----------
    model : CTRClassifier
        Fitted.
    rows : Encoded
    y : ndarray, shape (n_rows,)
        Labels, 0 or 1.
    order : {1, 2}

    Returns
    -------
    dict with "signed" and "absolute", each an ndarray of shape (n_fields,)

    References
    ----------
    Zhang et al., "SHARK: A Lightweight Model Compression Approach for Large-scale Recommender Systems",
    CIKM 2023, arXiv 2308.09395, for the first order. The second is an addition of this package.
    """
    import torch

    from workbench.ctr._batch import make_batch

    y = np.asarray(y, dtype=np.float64)
    network = model.network()
    layout = network.layout
    chunks = [slice(i, i + _CHUNK) for i in range(0, len(rows), _CHUNK)]
    groups = _groups(network)
    moments = _moments(network, rows, chunks, covariance=order > 1)
    signed, absolute = (torch.zeros(len(layout.fields), dtype=torch.float64) for _ in range(2))
    for chunk in chunks:
        batch = make_batch(rows[chunk], layout)
        parts = [part.detach().requires_grad_() for part in _parts(network, batch)]
        logits = _head(network, parts, batch)
        logits.sum().backward()
        p = torch.sigmoid(logits.detach()).double()
        change, spread = (torch.zeros(len(logits), len(layout.fields), dtype=torch.float64) for _ in range(2))
        for part, (mean, covariance), places in zip(parts, moments, groups, strict=True):
            gradient = part.grad
            if gradient is None:
                continue
            change[:, places] += (gradient * (mean - part.detach())).sum(-1).double()
            if covariance is not None:
                along = torch.einsum("nfd,fde->nfe", gradient, covariance)
                spread[:, places] += (along * gradient).sum(-1).double()
        first = (p - torch.from_numpy(y[chunk]))[:, None] * change
        absolute += first.abs().sum(0)
        if order > 1:
            first = first + (p * (1 - p) / 2)[:, None] * (change.square() + spread)
        signed += first.sum(0)
    return {"signed": (signed / len(rows)).numpy(), "absolute": (absolute / len(rows)).numpy()}


def _groups(network: Network) -> list[list[int]]:
    """Fields whose parts of a row lie in one tensor: those with embeddings, then numbers without."""
    fields = network.layout.fields
    every = list(range(len(fields)))
    if not network.has_vectors or network.embeds_numbers:
        return [every]
    numbers = [i for i, field in enumerate(fields) if field.kind == "numeric"]
    return [[i for i in every if i not in numbers], *([numbers] if numbers else [])]


def _parts(network: Network, batch: Batch) -> list[Any]:
    """What each field gives to the head, one tensor (n, fields of the group, width) a group of `_groups`."""
    import torch

    vectors, linear = network.embed(batch, network._gates(None, None))
    given = ([] if vectors is None else [vectors]) + ([] if linear is None else [linear.unsqueeze(-1)])
    numbers = [batch.values.unsqueeze(-1)] if len(_groups(network)) > 1 else []
    return [torch.cat(given, dim=-1), *numbers]


def _head(network: Network, parts: list[Any], batch: Batch) -> Any:
    """Logits from what `_parts` gave, (n,)."""
    vectors, linear = parts[0], None
    if network.has_linear:
        vectors, linear = parts[0][..., :-1], parts[0][..., -1]
    if len(parts) > 1:
        batch = replace(batch, values=parts[1].squeeze(-1))
    return network.head(vectors if network.has_vectors else None, linear, batch, network._gates(None, None))


def _moments(
    network: Network, rows: Encoded, chunks: list[slice], *, covariance: bool
) -> list[tuple[Any, Any]]:
    """Mean (fields, width) and, if asked for, covariance (fields, width, width) of each group's parts."""
    import torch

    from workbench.ctr._batch import make_batch

    sums: list[Any] = []
    squares: list[Any] = []
    with torch.no_grad():
        for chunk in chunks:
            parts = [part.double() for part in _parts(network, make_batch(rows[chunk], network.layout))]
            if not sums:
                sums = [torch.zeros_like(part[0]) for part in parts]
                squares = [part.new_zeros((*part.shape[1:], part.shape[2])) for part in parts]
            for total, square, part in zip(sums, squares, parts, strict=True):
                total += part.sum(0)
                if covariance:
                    by_field = part.transpose(0, 1)
                    square += by_field.transpose(1, 2) @ by_field
    found = []
    for total, square in zip(sums, squares, strict=True):
        mean = total / len(rows)
        spread = square / len(rows) - mean.unsqueeze(-1) * mean.unsqueeze(-2)
        found.append((mean.float(), spread.float() if covariance else None))
    return found


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
    layout : Layout
    rows : Encoded
    rates : list of ndarray or None
        Click rate of each index of a categorical field, learned on training rows; None for the others.

    Returns
    -------
    ndarray
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

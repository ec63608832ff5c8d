"""A click model as one module from encoded rows to probabilities, for export to ONNX."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from workbench.ctr._batch import Batch
from workbench.ctr._network import Network
from workbench.ctr._vocabulary import RESERVED
from workbench.ctr.encoded import Field

__all__ = ["ExportedClicks", "example_inputs"]


class ExportedClicks(nn.Module):
    """What `FieldEncoder` gives, as it gives it, to the probability of a click.

    Inputs are ``ids`` of int64, shape (n, categorical fields); ``numbers`` of float32, shape (n, numeric
    fields), NaN where missing; and for each list field its padded indices, shape (n, length). Those of which
    there are none are left out.

    Parameters
    ----------
    network : Network
        Fitted.
    negative_rate : float
        Share of the negatives that the training rows kept.
    """

    def __init__(self, network: Network, negative_rate: float) -> None:
        super().__init__()
        self.network, self.shift = copy.deepcopy(network), math.log(negative_rate)
        layout = network.layout
        self.fields, self.places = layout.fields, layout.split_places
        self.starts = [layout.tables[field.table][0] for field in layout.fields]
        self.n_categorical, self.n_numeric = layout.count("categorical"), layout.count("numeric")

    def forward(self, *inputs: Tensor) -> Tensor:
        given = list(inputs)
        n = given[0].shape[0]
        parts, quotients = [], []
        if self.n_categorical:
            ids = given.pop(0)
            for i in range(self.n_categorical):
                first, second = _placed(self.fields[i], ids[:, i], self.starts[i])
                parts.append(first)
                if i in self.places:
                    quotients.append(second)
        values = given[0].new_zeros((n, 0), dtype=torch.float32) if not self.n_numeric else given.pop(0)
        if self.n_numeric:
            missing = values.isnan()
            starts = self.starts[self.n_categorical : self.n_categorical + self.n_numeric]
            parts += [(~missing[:, j]).long() + start for j, start in enumerate(starts)]
            values = torch.where(missing, torch.ones_like(values), values)
        first_list = self.n_categorical + self.n_numeric
        own = zip(self.fields[first_list:], given, self.starts[first_list:], strict=True)
        lists = [_placed(field, one, start) for field, one, start in own]
        none = inputs[0].new_zeros((n, 0), dtype=torch.int64)
        batch = Batch(
            torch.stack(parts, dim=1) if parts else none,
            values,
            tuple(rows for rows, _ in lists),
            torch.stack(quotients, dim=1) if quotients else none,
            tuple(second for _, second in lists),
        )
        return torch.sigmoid(self.network(batch) + self.shift)


def _placed(field: Field, ids: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """As `workbench.ctr._batch` places indices in the one table."""
    if not field.modulus:
        return ids + start, ids[..., :0]
    own = ids - RESERVED
    whole = own < 0
    first = torch.where(whole, ids, RESERVED + own % field.modulus)
    quotient = torch.div(own, field.modulus, rounding_mode="floor")
    second = torch.where(whole, ids, RESERVED + field.modulus + quotient)
    return first + start, second + start


def example_inputs(fields: tuple[Field, ...], n: int = 11) -> dict[str, NDArray[Any]]:
    """Rows of all kinds, missing cells among them, under the names of the inputs."""
    random = np.random.default_rng(0)
    categorical = [field for field in fields if field.kind == "categorical"]
    numeric = [field for field in fields if field.kind == "numeric"]
    found: dict[str, NDArray[Any]] = {}
    if categorical:
        found["ids"] = np.stack([random.integers(0, field.rows, n) for field in categorical], axis=1)
    if numeric:
        numbers = random.normal(size=(n, len(numeric))).astype(np.float32)
        numbers[random.random(numbers.shape) < 0.1] = np.nan
        found["numbers"] = numbers
    for field in fields:
        if field.is_list:
            found[field.name] = random.integers(0, field.rows, (n, field.length))
    return found

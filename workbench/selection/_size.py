"""What a model costs: bytes of its weights, and milliseconds of a request."""

from __future__ import annotations

import time

import numpy as np

from workbench.ctr._base import CTRClassifier
from workbench.ctr.encoded import Encoded, Layout

__all__ = ["field_bytes", "latency_ms", "n_bytes"]


def n_bytes(model: CTRClassifier) -> int:
    """Bytes of all weights."""
    return int(sum(value.nbytes for value in model.weights_.values()))


def field_bytes(model: CTRClassifier) -> dict[str, int]:
    """Bytes of each field's rows in the tables; a table that fields share is counted at each of them."""
    width = sum(model.weights_[name].shape[1] * 4 for name in ("table", "weight") if name in model.weights_)
    return {field.name: field.stored_rows * width for field in Layout.from_list(model.layout_).fields}


def latency_ms(model: CTRClassifier, request: Encoded, *, repeats: int = 15) -> float:
    """Median milliseconds to score encoded rows on this machine's processor."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        model.decide_encoded(request)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken)) * 1e3

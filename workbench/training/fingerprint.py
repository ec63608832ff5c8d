"""What a piece of training is about, as a short text: a checkpoint is only continued by the same work."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

__all__ = ["fingerprint"]

#: Parameters that change nothing about the result.
_IGNORED = frozenset({"verbose"})


def fingerprint(estimator: Any, *arrays: NDArray[Any] | None, **facts: str | int | float | None) -> str:
    """A digest of an estimator's class and parameters, of its data, and of any other facts.

    Parameters
    ----------
    estimator : scikit-learn estimator
    *arrays : ndarray or None
        The training data: shape, type and content count.
    **facts
        Whatever else decides the result, such as the type of device.

    Returns
    -------
    str
    """
    kind = type(estimator)
    digest = hashlib.sha256(f"{kind.__module__}:{kind.__qualname__}".encode())
    for name, value in sorted(estimator.get_params().items()):
        leaf = name.rpartition("__")[2]
        # A nested estimator counts through its own parameters; a RandomState has no stable text.
        if leaf in _IGNORED or hasattr(value, "get_params"):
            continue
        text = "RandomState" if isinstance(value, np.random.RandomState) else joblib.hash(value)
        digest.update(f"{name}={text};".encode())
    for array in arrays:
        if array is None:
            digest.update(b"none")
            continue
        digest.update(f"{array.shape}{array.dtype}".encode())
        if array.dtype == object:
            digest.update(joblib.hash(array).encode())
        else:
            digest.update(np.ascontiguousarray(array).data)
    digest.update(json.dumps(facts, sort_keys=True).encode())
    return digest.hexdigest()

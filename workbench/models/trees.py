"""Decision trees of scikit-learn that were loaded: whether every branch leads somewhere.

Their nodes point at each other by number, and compiled code follows the numbers unchecked: a file that was
tampered with could have it read beyond the tree, or go round for ever. A tree as scikit-learn grows it has
each child behind its parent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import ModelError

__all__ = ["TYPES", "check"]

_TREE = "sklearn.tree._tree.Tree"
_PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"

#: What :func:`check` has looked at may be trusted.
TYPES = frozenset({_TREE, _PREDICTOR})


def check(loaded: Any) -> None:
    """Refuse an estimator with a tree whose nodes lead out of it, or whose features the input does not have.

    Raises
    ------
    ModelError
    """
    for tree, n_features in _trees(loaded, None, set()):
        if type(tree).__name__ == "Tree":
            split = tree.children_left != -1
            left, right, feature = tree.children_left, tree.children_right, tree.feature
            sound = bool((tree.children_right[~split] == -1).all()) and tree.node_count > 0
            sound &= n_features in (None, tree.n_features)
            n_features = tree.n_features
        else:
            nodes = tree.nodes
            split = nodes["is_leaf"] == 0
            left, right, feature = nodes["left"], nodes["right"], nodes["feature_idx"]
            categorical = split & (nodes["is_categorical"] != 0)
            bits = min(len(tree.raw_left_cat_bitsets), len(tree.binned_left_cat_bitsets))
            sound = len(nodes) > 0 and bool((nodes["bitset_idx"][categorical] < bits).all())
            sound &= n_features is not None
        if not (sound and _leads_on(left, split) and _leads_on(right, split)):
            raise ModelError(
                "A decision tree of the saved estimator is damaged: it was changed after saving."
            )
        if not bool(((feature[split] >= 0) & (feature[split] < (n_features or 0))).all()):
            raise ModelError("A decision tree of the saved estimator asks for features that there are not.")


def _leads_on(children: NDArray[Any], split: NDArray[np.bool_]) -> bool:
    places = np.flatnonzero(split)
    to = children[places].astype(np.int64)
    return bool(((to > places) & (to < len(children))).all())


def _trees(value: Any, n_features: int | None, seen: set[int]) -> Iterator[tuple[Any, int | None]]:
    """Every tree within `value`, and the features of the estimator that it belongs to."""
    if value is None or isinstance(value, bool | int | float | str | bytes) or id(value) in seen:
        return
    seen.add(id(value))
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if kind in TYPES:
        yield value, n_features
    elif isinstance(value, np.ndarray):
        if value.dtype == object:
            for item in value.ravel():
                yield from _trees(item, n_features, seen)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _trees(item, n_features, seen)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _trees(item, n_features, seen)
    else:
        state = getattr(value, "__dict__", {})
        inner = state.get("n_features_in_", n_features)
        for item in state.values():
            yield from _trees(item, inner, seen)

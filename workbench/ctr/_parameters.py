"""What the models' hyper-parameters share: documentation, constraints, and how a constructor keeps them.

scikit-learn reads an estimator's parameters from the signature of its own ``__init__``, so every class spells
its signature out; what the signatures have in common is described here once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from workbench.ctr.encoder import FieldEncoder

__all__ = ["DIM", "LAYERS", "TRAINING", "documented", "keep_parameters", "model_documented"]

TRAINING: dict[str, list[Any]] = {
    "encoder": [FieldEncoder, None],
    "n_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "optimizer": [StrOptions({"adam", "adamw", "adagrad", "sgd", "lion", "gsnr"})],
    "l2": [Interval(Real, 0, None, closed="left")],
    "l2_by_frequency": ["boolean"],
    "negative_rate": [Interval(Real, 0, 1, closed="right")],
    "warm_start": ["boolean"],
    "precision": [StrOptions({"fp32", "bf16", "fp16"})],
    "device": [str],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
DIM: dict[str, list[Any]] = {"embedding_dim": [Interval(Integral, 1, None, closed="left")]}
LAYERS: dict[str, list[Any]] = {
    "hidden": [tuple, list],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "batch_norm": ["boolean"],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
}

_TRAINING_DOC = """encoder : FieldEncoder, default=None
        How fields are read; cloned and fitted with the model. A default one otherwise.
    n_epochs : int, default=1
        Times the training goes through all rows. Click models overfit after one or few.
    batch_size : int, default=4096
        Rows in a step.
    learning_rate : float, default=0.001
        Size of an optimizer step. Lion wants one 3 to 10 times smaller than Adam.
    optimizer : {"adam", "adamw", "adagrad", "sgd", "lion", "gsnr"}, default="adam"
        The optimization method; all leave the rows of values that are not in the batch alone. "adamw" is Adam
        whose `weight_decay` shrinks the layers beside the gradient in place of within it. "lion" steps
        by the sign of a momentum (arXiv 2302.06675), "gsnr" is Adam on gradients that are scaled by their
        signal-to-noise ratio over 8 parts of the batch (arXiv 2309.13681).
    l2 : float, default=0.0
        Pull of the embeddings and linear weights of the batch's values towards zero.
    l2_by_frequency : bool, default=False
        Divide that pull by how often a value occurs in the training rows: mini-batch aware regularisation
        (arXiv 1706.06978, eq. 6), which pulls rare values more.
    negative_rate : float, default=1.0
        Share of the non-clicks that the log kept. Below 1, predicted odds are multiplied by it, which
        undoes the sampling: p / (p + (1 - p) / rate).
    warm_start : bool, default=False
        Let `fit` start from the weights and the encoder of the fit before, if there was one.
    precision : {"fp32", "bf16", "fp16"}, default="fp32"
        Number format of training; the 16-bit ones are faster where the processor has them.
    device : str, default="auto"
        Where to compute: "auto" (a GPU if there is one), "cpu", "cuda" or another torch name.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number.
    verbose : int, default=0
        Show a progress bar when above 0; notebooks always show one."""

_LEARNED_DOC = """classes_ : ndarray, shape (2,)
        The second is the click.
    encoder_ : FieldEncoder
    layout_ : list of dict
        The fields as the network sees them.
    weights_ : dict of str to ndarray
    network_options_ : dict
        The shape of the network.
    history_ : list of dict of str to float
        Mean loss of each epoch.
    n_features_in_ : int
    feature_names_in_ : ndarray of str"""

_DIM_DOC = """embedding_dim : int, default=16
        Length of the vector of a value."""

_LAYERS_DOC = """hidden : tuple of int, default=(256, 128)
        Widths of the perceptron's layers.
    dropout : float, default=0.0
        Share of each layer's neurons that a step leaves out.
    batch_norm : bool, default=False
        Normalise each layer over the batch.
    weight_decay : float, default=0.0
        L2 pull of the layers' weights."""


def documented(**parts: str) -> Callable[[type], type]:
    """A class decorator that puts `parts` in the place of ``<name>`` in the docstring.

    Forms, the command line and ``help`` read the result.
    """

    def fill(cls: type) -> type:
        doc = cls.__doc__ or ""
        for name, text in parts.items():
            doc = doc.replace(f"<{name}>", text)
        cls.__doc__ = doc
        return cls

    return fill


#: Fills in ``<embedding>``, ``<deep>``, ``<training>`` and ``<learned>``.
model_documented = documented(
    embedding=_DIM_DOC, deep=_LAYERS_DOC, training=_TRAINING_DOC, learned=_LEARNED_DOC
)


def keep_parameters(estimator: object, given: Mapping[str, Any]) -> None:
    """Set every argument of a constructor as the attribute of its name; called with its ``locals()``."""
    vars(estimator).update(
        {name: value for name, value in given.items() if name not in ("self", "__class__")}
    )

"""Models of the click-through rate as scikit-learn classifiers."""

from __future__ import annotations

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from workbench.ctr._base import CTRClassifier
from workbench.ctr._parameters import DIM, LAYERS, keep_parameters, model_documented
from workbench.ctr.encoder import FieldEncoder

__all__ = [
    "DCNv2Classifier",
    "DINClassifier",
    "DLRMClassifier",
    "DeepFMClassifier",
    "FMClassifier",
    "LRClassifier",
]


@model_documented
class LRClassifier(CTRClassifier):
    """Logistic regression on every value of every field.

    Parameters
    ----------
    <training>

    Attributes
    ----------
    <learned>

    References
    ----------
    Richardson, Dominowska, Ragno, "Predicting clicks: estimating the click-through rate for new ads",
    WWW 2007.
    """

    _kind = "lr"

    def __init__(
        self,
        encoder: FieldEncoder | None = None,
        n_epochs: int = 1,
        batch_size: int = 4096,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        l2: float = 0.0,
        l2_by_frequency: bool = False,
        negative_rate: float = 1.0,
        warm_start: bool = False,
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        keep_parameters(self, locals())


@model_documented
class FMClassifier(LRClassifier):
    """Factorization machine: logistic regression plus the dot products of all pairs of fields.

    Parameters
    ----------
    <embedding>
    <training>

    Attributes
    ----------
    <learned>

    References
    ----------
    Rendle, "Factorization Machines", ICDM 2010.
    """

    _kind = "fm"
    _parameter_constraints = {**LRClassifier._parameter_constraints, **DIM}

    def __init__(
        self,
        embedding_dim: int = 16,
        encoder: FieldEncoder | None = None,
        n_epochs: int = 1,
        batch_size: int = 4096,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        l2: float = 0.0,
        l2_by_frequency: bool = False,
        negative_rate: float = 1.0,
        warm_start: bool = False,
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        keep_parameters(self, locals())


@model_documented
class DeepFMClassifier(FMClassifier):
    """A factorization machine and a perceptron on the same embeddings.

    Parameters
    ----------
    <embedding>
    <deep>
    <training>

    Attributes
    ----------
    <learned>

    References
    ----------
    Guo et al., "DeepFM", IJCAI 2017, arXiv 1703.04247.

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"ad": ["a", "b"] * 200, "hour": [1.0, 2.0, 3.0, 4.0] * 100})
    >>> y = [1, 0] * 200
    >>> model = DeepFMClassifier(n_epochs=3, batch_size=50, learning_rate=0.05, random_state=0).fit(X, y)
    >>> model.score(X, y)
    1.0
    """

    _kind = "deepfm"
    _options: ClassVar[tuple[str, ...]] = ("hidden", "dropout", "batch_norm")
    _parameter_constraints = {**FMClassifier._parameter_constraints, **LAYERS}

    def __init__(
        self,
        embedding_dim: int = 16,
        hidden: tuple[int, ...] = (256, 128),
        dropout: float = 0.0,
        batch_norm: bool = False,
        weight_decay: float = 0.0,
        encoder: FieldEncoder | None = None,
        n_epochs: int = 1,
        batch_size: int = 4096,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        l2: float = 0.0,
        l2_by_frequency: bool = False,
        negative_rate: float = 1.0,
        warm_start: bool = False,
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        keep_parameters(self, locals())

    def _validate_params(self) -> None:
        super()._validate_params()
        for name in ("hidden", "bottom"):
            widths = getattr(self, name, (1,))
            if not widths or not all(isinstance(w, int) and w > 0 for w in widths):
                raise ValueError(f"{name} must be whole numbers above 0, one a layer, not {widths!r}.")


@model_documented
class DCNv2Classifier(DeepFMClassifier):
    """Cross layers beside a perceptron: explicit interactions up to the order of `n_cross` + 1.

    Both see the categories' vectors and the numbers as they are, as published.

    Parameters
    ----------
    n_cross : int, default=3
        Cross layers.
    <embedding>
    <deep>
    <training>

    Attributes
    ----------
    <learned>

    References
    ----------
    Wang et al., "DCN V2", WWW 2021, arXiv 2008.13535, eq. (1); parallel structure, full rank.
    """

    _kind = "dcnv2"
    _options = ("hidden", "dropout", "batch_norm", "n_cross")
    _parameter_constraints = {
        **DeepFMClassifier._parameter_constraints,
        "n_cross": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_cross: int = 3,
        embedding_dim: int = 16,
        hidden: tuple[int, ...] = (256, 128),
        dropout: float = 0.0,
        batch_norm: bool = False,
        weight_decay: float = 0.0,
        encoder: FieldEncoder | None = None,
        n_epochs: int = 1,
        batch_size: int = 4096,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        l2: float = 0.0,
        l2_by_frequency: bool = False,
        negative_rate: float = 1.0,
        warm_start: bool = False,
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        keep_parameters(self, locals())


@model_documented
class DLRMClassifier(DeepFMClassifier):
    """Numbers through a perceptron of their own, then dot products of all pairs of fields.

    Parameters
    ----------
    bottom : tuple of int, default=(64,)
        Widths of the layers that the numbers go through before the one of `embedding_dim`.
    <embedding>
    <deep>
    <training>

    Attributes
    ----------
    <learned>

    References
    ----------
    Naumov et al., "Deep Learning Recommendation Model", arXiv 1906.00091; interaction "dot".
    """

    _kind = "dlrm"
    _options = ("hidden", "dropout", "batch_norm", "bottom")
    _parameter_constraints = {**DeepFMClassifier._parameter_constraints, "bottom": [tuple, list]}

    def __init__(
        self,
        bottom: tuple[int, ...] = (64,),
        embedding_dim: int = 16,
        hidden: tuple[int, ...] = (256, 128),
        dropout: float = 0.0,
        batch_norm: bool = False,
        weight_decay: float = 0.0,
        encoder: FieldEncoder | None = None,
        n_epochs: int = 1,
        batch_size: int = 4096,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        l2: float = 0.0,
        l2_by_frequency: bool = False,
        negative_rate: float = 1.0,
        warm_start: bool = False,
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        keep_parameters(self, locals())


@model_documented
class DINClassifier(DeepFMClassifier):
    """Deep interest network: a user's history is weighed by the candidate before it is summed.

    A sequence field is weighed by the field whose vocabulary it shares (`FieldEncoder`'s `shared`); the
    weights are not normalised by a softmax. Other lists are averaged.

    Parameters
    ----------
    attention_hidden : int, default=36
        Width of the layer that weighs an item of the history.
    activation : {"dice", "relu"}, default="dice"
        Dice adapts to the distribution of each neuron.
    <embedding>
    <deep>
    <training>

    Attributes
    ----------
    <learned>

    References
    ----------
    Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018, arXiv 1706.06978.
    """

    _kind = "din"
    _options = ("hidden", "dropout", "batch_norm", "attention_hidden", "activation")
    _parameter_constraints = {
        **DeepFMClassifier._parameter_constraints,
        "attention_hidden": [Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"dice", "relu"})],
    }

    def __init__(
        self,
        attention_hidden: int = 36,
        activation: str = "dice",
        embedding_dim: int = 16,
        hidden: tuple[int, ...] = (256, 128),
        dropout: float = 0.0,
        batch_norm: bool = False,
        weight_decay: float = 0.0,
        encoder: FieldEncoder | None = None,
        n_epochs: int = 1,
        batch_size: int = 4096,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        l2: float = 0.0,
        l2_by_frequency: bool = False,
        negative_rate: float = 1.0,
        warm_start: bool = False,
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        keep_parameters(self, locals())

"""Models of the click-through rate as scikit-learn classifiers."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from workbench.ctr._base import CTRClassifier
from workbench.ctr.encoder import FieldEncoder

__all__ = [
    "DCNv2Classifier",
    "DINClassifier",
    "DLRMClassifier",
    "DeepFMClassifier",
    "FMClassifier",
    "LRClassifier",
]

_TRAINING = """encoder : FieldEncoder, default=None
        How fields are read; cloned and fitted with the model. A default one otherwise.
    n_epochs : int, default=1
        Times the training goes through all rows. Click models overfit after one or few.
    batch_size : int, default=4096
        Rows in a step.
    learning_rate : float, default=0.001
        Size of an optimizer step.
    optimizer : {"adam", "adagrad", "sgd"}, default="adam"
        The optimization method; all leave the rows of values that are not in the batch alone.
    l2 : float, default=0.0
        Pull of the embeddings and linear weights of the batch's values towards zero.
    l2_by_frequency : bool, default=False
        Divide that pull by how often a value occurs in the training rows: mini-batch aware regularisation
        (arXiv 1706.06978, eq. 6), which pulls rare values more.
    negative_rate : float, default=1.0
        Share of the non-clicks that the log kept. Below 1, predicted odds are multiplied by it, which
        undoes the sampling: p / (p + (1 - p) / rate).
    precision : {"fp32", "bf16", "fp16"}, default="fp32"
        Number format of training; the 16-bit ones are faster where the processor has them.
    device : str, default="auto"
        Where to compute: "auto" (a GPU if there is one), "cpu", "cuda" or another torch name.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number.
    verbose : int, default=0
        Show a progress bar when above 0; notebooks always show one."""

_LEARNED = """classes_ : ndarray, shape (2,)
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

_EMBEDDING = """embedding_dim : int, default=16
        Length of the vector of a value."""

_DEEP = """hidden : tuple of int, default=(256, 128)
        Widths of the perceptron's layers.
    dropout : float, default=0.0
        Share of each layer's neurons that a step leaves out.
    batch_norm : bool, default=False
        Normalise each layer over the batch.
    weight_decay : float, default=0.0
        L2 pull of the layers' weights."""


def _documented(cls: type) -> type:
    """Fill in the parameters that the models share; forms and the command line read the result."""
    doc = cls.__doc__ or ""
    for name, text in (
        ("<embedding>", _EMBEDDING),
        ("<deep>", _DEEP),
        ("<training>", _TRAINING),
        ("<learned>", _LEARNED),
    ):
        doc = doc.replace(name, text)
    cls.__doc__ = doc
    return cls


_DIM: dict[str, list[Any]] = {"embedding_dim": [Interval(Integral, 1, None, closed="left")]}
_LAYERS: dict[str, list[Any]] = {
    "hidden": [tuple, list],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "batch_norm": ["boolean"],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
}


@_documented
class LRClassifier(CTRClassifier):
    """Logistic regression on every value of every field.

    Parameters
    ----------
    <training>

    Attributes
    ----------
    <learned>
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
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.encoder = encoder
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.l2 = l2
        self.l2_by_frequency = l2_by_frequency
        self.negative_rate = negative_rate
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose


@_documented
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
    _parameter_constraints = {**LRClassifier._parameter_constraints, **_DIM}

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
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            encoder,
            n_epochs,
            batch_size,
            learning_rate,
            optimizer,
            l2,
            l2_by_frequency,
            negative_rate,
            precision,
            device,
            random_state,
            verbose,
        )
        self.embedding_dim = embedding_dim


@_documented
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
    _parameter_constraints = {**FMClassifier._parameter_constraints, **_LAYERS}

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
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            embedding_dim,
            encoder,
            n_epochs,
            batch_size,
            learning_rate,
            optimizer,
            l2,
            l2_by_frequency,
            negative_rate,
            precision,
            device,
            random_state,
            verbose,
        )
        self.hidden = hidden
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.weight_decay = weight_decay

    def _validate_params(self) -> None:
        super()._validate_params()
        for name in ("hidden", "bottom"):
            widths = getattr(self, name, (1,))
            if not widths or not all(isinstance(w, int) and w > 0 for w in widths):
                raise ValueError(f"{name} must be whole numbers above 0, one a layer, not {widths!r}.")


@_documented
class DCNv2Classifier(DeepFMClassifier):
    """Cross layers beside a perceptron: explicit interactions up to the order of `n_cross` + 1.

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
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            embedding_dim,
            hidden,
            dropout,
            batch_norm,
            weight_decay,
            encoder,
            n_epochs,
            batch_size,
            learning_rate,
            optimizer,
            l2,
            l2_by_frequency,
            negative_rate,
            precision,
            device,
            random_state,
            verbose,
        )
        self.n_cross = n_cross


@_documented
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
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            embedding_dim,
            hidden,
            dropout,
            batch_norm,
            weight_decay,
            encoder,
            n_epochs,
            batch_size,
            learning_rate,
            optimizer,
            l2,
            l2_by_frequency,
            negative_rate,
            precision,
            device,
            random_state,
            verbose,
        )
        self.bottom = bottom


@_documented
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
        precision: str = "fp32",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            embedding_dim,
            hidden,
            dropout,
            batch_norm,
            weight_decay,
            encoder,
            n_epochs,
            batch_size,
            learning_rate,
            optimizer,
            l2,
            l2_by_frequency,
            negative_rate,
            precision,
            device,
            random_state,
            verbose,
        )
        self.attention_hidden = attention_hidden
        self.activation = activation

"""Late-fusion networks as estimators: one encoder a modality, fused into one prediction."""

from __future__ import annotations

from dataclasses import asdict
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from workbench.modality._preparation import ENCODERS, Block, learn, prepare
from workbench.modality._table import TableEstimator, Target, holdout_rows
from workbench.modality.columns import Modalities, assign, check_content
from workbench.modality.remedies import REMEDIES, check_options
from workbench.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from workbench.modality._nets import Architecture, LateFusion
    from workbench.models.onnx import OnnxForm

__all__ = ["LateFusionClassifier", "LateFusionRegressor", "network_constraints"]


def network_constraints() -> dict[str, list[Any]]:
    """Constraints of the parameters that describe the network and its training."""
    return {
        "modalities": [dict, callable, None],
        "fusion": [StrOptions({"sum", "concat", "gated"})],
        "encoder": [StrOptions(set(ENCODERS)), dict, HasMethods(["fit", "transform"])],
        "hidden": [Interval(Integral, 1, None, closed="left")],
        "depth": [Interval(Integral, 1, None, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(OPTIMIZERS))],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }


class _LateFusionEstimator(TableEstimator):
    """Everything but the kind of target."""

    _recipe = "modality.fit"

    _parameter_constraints: dict[str, list[Any]] = {
        **network_constraints(),
        "remedy": [StrOptions(set(REMEDIES))],
        "remedy_options": [dict, None],
    }

    def __init__(
        self,
        modalities: Modalities | None = None,
        fusion: str = "sum",
        encoder: Any = "auto",
        hidden: int = 64,
        depth: int = 2,
        n_epochs: int = 60,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        weight_decay: float = 0.0,
        remedy: str = "none",
        remedy_options: dict[str, Any] | None = None,
        validation_fraction: float = 0.2,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.modalities = modalities
        self.fusion = fusion
        self.encoder = encoder
        self.hidden = hidden
        self.depth = depth
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.remedy = remedy
        self.remedy_options = remedy_options
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any, *, classification: bool) -> Self:
        self._validate_params()
        check_options(self.remedy, self.remedy_options)
        frame = self._check_table(X, reset=True)
        target = self._check_target(y, len(frame), classification=classification)
        weights = self._check_weights(sample_weight, frame)
        chosen = assign(self.modalities, list(frame.columns))
        check_content(frame, chosen)
        groups = self._check_groups(groups, frame)
        counted = weights > 0
        if not counted.all():
            frame, weights = frame[counted], weights[counted]
            target = Target(target.task, target.codes[counted], target.classes, target.flat)
            groups = None if groups is None else groups[counted]
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.modalities_ = chosen
        self.task_ = target.task
        self.plans_ = learn(frame, chosen, self.encoder, seed)
        self._learn_target(target, weights)
        self._train(prepare(frame, self.plans_), target, weights, groups, seed)
        return self

    def _learn_target(self, target: Target, weights: NDArray[np.float64]) -> None:
        if target.task == "regression":
            self.target_mean_ = np.average(target.codes, axis=0, weights=weights)
            spread = np.sqrt(np.average((target.codes - self.target_mean_) ** 2, axis=0, weights=weights))
            self.target_scale_ = np.where(spread > 1e-12, spread, 1.0)
            self.flat_target_ = target.flat
        else:
            self.classes_ = target.classes

    def _train(
        self,
        blocks: list[Block],
        target: Target,
        weights: NDArray[np.float64],
        groups: Any,
        seed: int,
    ) -> None:
        from workbench.modality._fitting import fit_network
        from workbench.modality._nets import Architecture, shapes_of, state_of
        from workbench.modality._rows import make_rows, make_schedule

        architecture = Architecture(
            shapes_of(self.plans_), target.n_outputs, self.fusion, self.hidden, self.depth
        )
        codes = target.codes
        if target.task == "regression":
            codes = (codes - self.target_mean_) / self.target_scale_
        # A function given as modalities cannot be hashed; what it chose can.
        known = clone(self).set_params(modalities=self.modalities_)
        schedule = make_schedule(known, seed, blocks, target.codes, weights)
        holdout = np.zeros(len(codes), dtype=bool)
        if REMEDIES[self.remedy].validates:
            holdout = holdout_rows(target, self.validation_fraction, groups, seed)
        fitted = fit_network(
            architecture,
            make_rows(blocks, codes, weights, target.task, schedule.device),
            schedule,
            self.remedy,
            self.remedy_options,
            holdout=holdout,
        )
        self.architecture_ = asdict(architecture)
        self.weights_ = state_of(fitted.model)
        self.votes_ = fitted.votes
        self.history_ = fitted.history

    def _model(self) -> LateFusion:
        import torch

        from workbench.modality._nets import LateFusion

        model = LateFusion(self._architecture(), 0)
        model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in self.weights_.items()})
        # Double precision makes a row's prediction the same whatever rows stand beside it.
        return model.double().eval()

    def _architecture(self) -> Architecture:
        from workbench.modality._nets import Architecture, Shape

        shapes = tuple(
            Shape(**{**shape, "cardinalities": tuple(shape["cardinalities"])})
            for shape in self.architecture_["shapes"]
        )
        return Architecture(**{**self.architecture_, "shapes": shapes})

    def _outputs(self, X: Any) -> NDArray[np.float64]:
        """Class or label probabilities, or values in the target's units; shape (n, n_outputs)."""
        from workbench.modality._rows import outputs_of

        check_is_fitted(self, "weights_")
        blocks = prepare(self._check_table(X, reset=False), self.plans_)
        found = outputs_of(self._model(), blocks, self.task_, self.votes_)
        return found * self.target_scale_ + self.target_mean_ if self.task_ == "regression" else found

    def _onnx_form(self) -> OnnxForm:
        """Raw numbers and category codes of each modality to probabilities or values."""
        from workbench.modality._onnx import ExportedFusion, example_blocks
        from workbench.modality._rows import outputs_of
        from workbench.models.onnx import OnnxForm

        check_is_fitted(self, "weights_")
        inputs, blocks = example_blocks(self.plans_)
        scaling = (self.target_mean_, self.target_scale_) if self.task_ == "regression" else None
        expected = outputs_of(self._model(), blocks, self.task_, self.votes_)
        if scaling is not None:
            expected = expected * scaling[1] + scaling[0]
        notes = {
            "inputs": "present: which modalities a row has; numbers as in the table, NaN where missing; "
            "codes: 0 for a missing or unknown category, else its place in the list below, from 1",
            "modalities": {plan["name"]: plan["columns"] for plan in self.plans_},
            "categories": {c: values for plan in self.plans_ for c, values in plan["categories"].items()},
            "output": [str(c) for c in self.classes_] if scaling is None else "values",
        }
        module = ExportedFusion(self._model(), self.plans_, self.task_, self.votes_, scaling)
        name = "values" if scaling is not None else "probabilities"
        return OnnxForm(module, inputs, name, expected, notes)

    def embeddings(self, X: ArrayLike) -> pd.DataFrame:
        """What each encoder makes of each row.

        Returns
        -------
        DataFrame of shape (n, n_modalities * hidden)
            Columns ``<modality>_<i>``; the row of an absent modality is its default embedding.
        """
        from workbench.modality._rows import embeddings_of

        check_is_fitted(self, "weights_")
        frame = self._check_table(X, reset=False)
        h = embeddings_of(self._model(), prepare(frame, self.plans_))
        names = [f"{name}_{i}" for name in self.modalities_ for i in range(h.shape[2])]
        return pd.DataFrame(h.reshape(len(h), -1), columns=names, index=frame.index)


class LateFusionClassifier(ClassifierMixin, _LateFusionEstimator):
    """Classify rows whose columns belong to several modalities.

    Each modality has an encoder of its own; a joint head fuses their embeddings into one prediction.
    Rows may lack whole modalities (all of a modality's columns missing), in `fit` and afterwards.

    Parameters
    ----------
    modalities : dict, callable or None, default=None
        Which columns belong to which modality: ``{"audio": ["v1_a", "v1_b"], "motion": [...]}`` with names or
        positions, or a function from a column's name to its modality's name (None leaves the column out).
        By default guessed from prefixes of the names.
    fusion : {"sum", "concat", "gated"}, default="sum"
        How embeddings become a prediction: a sum of linear parts, a hidden layer over all of them, or a
        weighted mean whose weights depend on the row.
    encoder : str, transformer or dict, default="auto"
        "mlp" reads numbers, arrays and categories (by embeddings); "conv" reads the columns, in order, as
        steps of a series, or array columns as its channels; "timeseries" describes such a series by
        contrastive shapelets (CSL) first. A transformer of series in the layout (n, T, d) may stand in its
        place, and a dict gives one a modality. "auto" is "mlp".
    hidden : int, default=64
        Width of every layer.
    depth : int, default=2
        Layers of an encoder.
    n_epochs : int, default=60
        Times the training goes through all rows.
    batch_size : int, default=64
        Rows in a step.
    learning_rate : float, default=0.001
        Size of an optimizer step.
    optimizer : {"adam", "adamw", "sgd"}, default="adam"
        The optimization method; "sgd" has a momentum of 0.9.
    weight_decay : float, default=0.0
        Pull of the weights towards zero.
    remedy : str, default="none"
        What is done against modality competition; `workbench.modality.REMEDIES` describes each.
    remedy_options : dict, default=None
        Settings of the remedy, in place of its own defaults.
    validation_fraction : float, default=0.2
        Share of the rows that remedies which need it keep for validation.
    device : str, default="auto"
        Where to compute: "auto" (a GPU if there is one), "cpu", "cuda" or another torch name.
    random_state : int, RandomState instance or None, default=None
        Makes the result repeatable when set to a number.
    verbose : int, default=0
        Show a progress bar when above 0; notebooks always show one.

    Attributes
    ----------
    modalities_ : dict of str to list of str
        The columns of each modality.
    classes_ : ndarray
        The classes; for several labels a row, their numbers.
    history_ : list of dict of str to float
        Losses of each epoch.
    weights_ : dict of str to ndarray
        The network's weights.
    votes_ : ndarray or None
        Weights of the modalities' own heads, where the remedy lets these predict.
    plans_ : list of dict
        How each modality is prepared.
    n_features_in_ : int
    feature_names_in_ : ndarray of str

    References
    ----------
    Huang et al., "Modality competition", ICML 2022, arXiv 2203.12221.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True, as_frame=True)
    >>> halves = lambda name: "top" if int(name.split("_")[1]) < 4 else "bottom"
    >>> model = LateFusionClassifier(modalities=halves, n_epochs=5, random_state=0).fit(X, y)
    >>> list(model.modalities_)
    ['top', 'bottom']
    """

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, n_columns)
            One row a sample. Cells may be numbers, categories (strings), or arrays.
        y : array-like of shape (n,), or (n, n_labels) of 0 and 1
            Classes, or indicators of several labels.
        sample_weight : array-like of shape (n,), optional
        groups : array-like of shape (n,), optional
            Rows of one group are never divided between training and validation.

        Returns
        -------
        self

        Raises
        ------
        workbench.modality.ModalitiesError
            If a column stands in two modalities, a modality is empty, constant or raw text, or y has one
            class.
        """
        return self._fit(X, y, sample_weight, groups, classification=True)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, or of each label; shape (n, n_classes)."""
        return self._outputs(X)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class, or an indicator of every label; shape (n,) or (n, n_labels)."""
        probabilities = self._outputs(X)
        if self.task_ == "multilabel":
            return (probabilities > 0.5).astype(int)
        return self.classes_[probabilities.argmax(axis=1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class LateFusionRegressor(RegressorMixin, _LateFusionEstimator):
    """Predict numbers from rows whose columns belong to several modalities.

    See `LateFusionClassifier` for the network, its parameters and its other attributes. Several targets are
    given as columns of y.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        By which the target is standardised.

    References
    ----------
    Huang et al., "Modality competition", ICML 2022, arXiv 2203.12221.
    """

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train the network; see `LateFusionClassifier.fit`. `y` has shape (n,) or (n, n_targets)."""
        return self._fit(X, y, sample_weight, groups, classification=False)

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predicted values, (n,) or (n, n_targets)."""
        found = self._outputs(X)
        return found[:, 0] if self.flat_target_ else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True
        return tags


# Forms and the command line read a class's own documentation.
_doc = LateFusionClassifier.__doc__ or ""
LateFusionRegressor.__doc__ = (LateFusionRegressor.__doc__ or "").replace(
    "    Attributes\n",
    _doc[_doc.index("    Parameters\n") : _doc.index("    Attributes\n")] + "    Attributes\n",
)

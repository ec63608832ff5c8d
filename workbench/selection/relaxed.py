"""Peers that learn gates with the host model: AutoField, stochastic gates (STG) and OptFS."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from workbench.ctr._base import CTRClassifier
from workbench.ctr._parameters import keep_parameters
from workbench.ctr.encoded import Layout
from workbench.selection._base import FieldSelector, Problem, selector_documented
from workbench.selection._gated import GatedSelector, PruningSelector

if TYPE_CHECKING:
    from workbench.selection._learning import GateLearner
    from workbench.selection._relaxed import AutoFieldGates, OptFSGates, StochasticGates

__all__ = ["AutoFieldSelector", "OptFSSelector", "STGSelector"]

_POSITIVE = [Interval(Real, 0, None, closed="neither")]


class _OneSearch(GatedSelector):
    """Gated selectors that train once."""

    gate_learning_rate: float
    _held_out = False  #: whether gates learn from rows that the network does not see

    def _search(
        self, problem: Problem, start: CTRClassifier | None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        every = np.ones(len(problem.layout.fields), dtype=bool)
        network = None if start is None else start.network()
        host, learner = self._train_gates(problem, every, held_out=self._held_out, start=network)
        self._record([learner.path()], problem)
        return self._judge(problem, host, learner)

    @abstractmethod
    def _judge(
        self, problem: Problem, host: CTRClassifier, learner: GateLearner
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
        """Scores of the fields, and which are kept, from gates that have been learned."""

    def _chosen(self, scores: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Of what the method keeps, the best `max_fields`."""
        if self.max_fields is None:
            return kept
        best = np.zeros(len(scores), dtype=bool)
        best[np.where(kept, -scores, np.inf).argsort(kind="stable")[: self.max_fields]] = True
        return best & kept


@selector_documented
class AutoFieldSelector(_OneSearch):
    """Rank fields by the chance that a controller gives to keeping each (AutoField).

    Every field has two logits, keep and drop. The host is trained with a Gumbel-softmax sample of "keep" on
    each field; the logits learn from rows that the host does not see, every few steps. A score is the
    difference of a field's chances of being kept and of being dropped, so that fields more likely kept than
    dropped are above 0.

    Parameters
    ----------
    <common>
    gate_learning_rate : float, default=0.01
        Of the logits, by Adam.
    gate_period : int, default=10
        Steps of the host between two steps of the logits.
    temperature_start : float, default=1.0
        Softness of the samples in the beginning.
    temperature_end : float, default=0.01
        The least softness.
    temperature_fall : float, default=5e-5
        How much the temperature falls in each step.

    Attributes
    ----------
    <learned>
    gates_ : ndarray, shape (n_records, n_fields + n_probes)
        Chance of each field over the search.

    References
    ----------
    Wang et al., "AutoField: Automating Feature Selection in Deep Recommender Systems", WWW 2022,
    arXiv 2204.09078. Schedule and period are those of the ERASE benchmark.
    """

    _held_out = True

    gate_period: int
    temperature_start: float
    temperature_end: float
    temperature_fall: float

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "gate_learning_rate": _POSITIVE,
        "gate_period": [Interval(Integral, 1, None, closed="left")],
        "temperature_start": _POSITIVE,
        "temperature_end": _POSITIVE,
        "temperature_fall": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        gate_learning_rate: float = 0.01,
        gate_period: int = 10,
        temperature_start: float = 1.0,
        temperature_end: float = 0.01,
        temperature_fall: float = 5e-5,
    ) -> None:
        keep_parameters(self, locals())

    def _make_gates(self, problem: Problem, layout: Layout, n_steps: int, stage: int) -> AutoFieldGates:
        from workbench.selection._relaxed import AutoFieldGates

        return AutoFieldGates(
            len(layout.fields),
            temperature=(self.temperature_start, self.temperature_end),
            fall=self.temperature_fall,
            n_steps=n_steps,
            learning_rate=self.gate_learning_rate,
            period=self.gate_period,
        )

    def _judge(
        self, problem: Problem, host: CTRClassifier, learner: GateLearner
    ) -> tuple[NDArray[np.float64], None]:
        return 2.0 * learner.path()["gates"][-1] - 1.0, None


@selector_documented
class STGSelector(_OneSearch, PruningSelector):
    """Learn gates that are clipped normal variables, and drop the fields whose gate ends at 0 (STG).

    A gate is clamp(mean + 0.5 + sigma·noise, 0, 1); the penalty is the mean chance of gates above 0. Without
    the noise, gates are exactly 0, exactly 1 or between, and `prune` gives the gated model's answers.

    Parameters
    ----------
    <common>
    penalty : float, default=0.1
        Strength of the penalty; more drops more fields.
    sigma : float, default=0.5
        Spread of the noise.
    gate_learning_rate : float, default=0.01
        Of the means, by Adam.

    Attributes
    ----------
    <learned>
    gates_ : ndarray, shape (n_records, n_fields + n_probes)
        Gates without their noise over the search.
    estimator_ : CTR classifier
        The pruned model.

    References
    ----------
    Yamada et al., "Feature Selection using Stochastic Gates", ICML 2020, arXiv 1810.04247; noise, start and
    penalty as in the authors' code. Gates are on fields, where the paper's are on columns.
    """

    penalty: float
    sigma: float

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "penalty": _POSITIVE,
        "sigma": _POSITIVE,
        "gate_learning_rate": _POSITIVE,
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        penalty: float = 0.1,
        sigma: float = 0.5,
        gate_learning_rate: float = 0.01,
    ) -> None:
        keep_parameters(self, locals())

    def _make_gates(self, problem: Problem, layout: Layout, n_steps: int, stage: int) -> StochasticGates:
        import torch

        from workbench.selection._relaxed import StochasticGates

        generator = torch.Generator().manual_seed(problem.seed)
        return StochasticGates(
            0.01 * torch.randn(len(layout.fields), generator=generator),
            n_steps=n_steps,
            learning_rate=self.gate_learning_rate,
            sigma=self.sigma,
            strength=self.penalty,
        )

    def _judge(
        self, problem: Problem, host: CTRClassifier, learner: GateLearner
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        gates = learner.path()["gates"][-1]
        keep = self._chosen(gates, gates > 0)
        self._keep_models(problem, host, problem.layout, keep, np.where(keep, gates, 0.0))
        return gates, keep

    def _nothing_left(self) -> str:
        return (
            f"All gates are closed: the penalty {self.penalty:g} is too large; "
            f"set it to {self.penalty / 4:g} or less."
        )


@selector_documented
class OptFSSelector(_OneSearch):
    """Learn a gate for every value of every field, and rank fields by the share that stays open (OptFS).

    A gate is sigmoid(t·w) / sigmoid(0.5) with a temperature t that grows from 1 to `growth` over the search,
    which drives it to 0 or to the most; values with w > 0 are kept. A field's score is the mean gate over its
    cells in the training rows; fields with no value left are dropped. The method is meant for logs of
    millions of values: a field of a smaller table seldom loses all of its values, so that all fields stay and
    only their ranking tells, unless `max_fields` says how many to keep.

    Parameters
    ----------
    <common>
    penalty : float, default=0.001
        Strength of the penalty on the sum of all values' gates. The more values there are, the less it has to
        be: ERASE takes 1e-4 on MovieLens-1M and 1e-8 on Criteo.
    growth : float, default=2000.0
        Temperature at the end.
    gate_learning_rate : float, default=0.005
        Of the values' parameters, by Adam.

    Attributes
    ----------
    <learned>
    gates_ : ndarray, shape (n_records, n_fields + n_probes)
        Mean gate of each field's cells over the search.
    open_share_ : ndarray, shape (n_fields,)
        Share of each field's cells whose value is kept.

    References
    ----------
    Lyu et al., "Optimizing Feature Set for Click-Through Rate Prediction", WWW 2023, arXiv 2301.10909; start
    and growth are those of the ERASE benchmark. The temperature grows with every step, there with
    every epoch.
    """

    penalty: float
    growth: float

    _parameter_constraints: dict[str, list[Any]] = {
        **FieldSelector._parameter_constraints,
        "penalty": [Interval(Real, 0, None, closed="left")],
        "growth": [Interval(Real, 1, None, closed="left")],
        "gate_learning_rate": _POSITIVE,
    }

    def __init__(
        self,
        estimator: CTRClassifier | None = None,
        max_fields: int | None = None,
        validation_fraction: float = 0.1,
        n_probes: int = 0,
        random_state: int | np.random.RandomState | None = None,
        penalty: float = 1e-3,
        growth: float = 2000.0,
        gate_learning_rate: float = 0.005,
    ) -> None:
        keep_parameters(self, locals())

    def _make_gates(self, problem: Problem, layout: Layout, n_steps: int, stage: int) -> OptFSGates:
        from workbench.ctr._batch import make_batch
        from workbench.selection._relaxed import OptFSGates

        return OptFSGates(
            layout,
            make_batch(problem.rows, layout),
            n_steps=n_steps,
            learning_rate=self.gate_learning_rate,
            growth=self.growth,
            strength=self.penalty,
        )

    def _judge(
        self, problem: Problem, host: CTRClassifier, learner: GateLearner
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        gates = cast("OptFSGates", learner.gates)
        open_share = gates.open_share().detach().cpu().double().numpy()
        names = problem.layout.names
        self.open_share_ = open_share[[names.index(name) for name in problem.encoder.kinds_]]
        scores = learner.path()["gates"][-1]
        return scores, self._chosen(scores, open_share > 0)

    def _nothing_left(self) -> str:
        return f"No value of any field is left: the penalty {self.penalty:g} is too large; lower it."

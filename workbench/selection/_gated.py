"""Selectors that learn a gate a field inside the training of the host model."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from workbench.ctr._base import CTRClassifier
from workbench.ctr._columns import FieldsError, as_columns
from workbench.ctr.encoded import Layout
from workbench.selection._base import FieldSelector, Problem

if TYPE_CHECKING:
    from workbench.ctr._network import Network
    from workbench.selection._learning import GateLearner

__all__ = ["GatedSelector", "PruningSelector", "spread", "tensor"]


class GatedSelector(FieldSelector):
    """Trains the host model with gates, and records them."""

    @abstractmethod
    def _make_gates(self, problem: Problem, layout: Layout, n_steps: int, stage: int) -> Any:
        """The gates of a training of `n_steps` steps, a torch module; `stage` counts the trainings."""

    def _train_gates(
        self,
        problem: Problem,
        alive: NDArray[np.bool_],
        *,
        held_out: bool,
        start: Network | None = None,
        stage: int = 0,
    ) -> tuple[CTRClassifier, GateLearner]:
        """Train the host with gates on the fields that are left.

        Parameters
        ----------
        held_out : bool
            Whether the gates learn from the rows kept for judging, in place of the network's own.
        start : Network, optional
            Of those fields, whose weights to start from.
        """
        from workbench.ctr._training import make_rows
        from workbench.selection._learning import GateLearner
        from workbench.training.device import resolve_device

        layout = problem.layout.keep(alive)
        host = self._seeded_host(problem)
        host.classes_ = self.classes_
        n, batch = len(problem.rows), min(host.batch_size, len(problem.rows))
        per_epoch = n // batch if n % batch == 1 and n > batch else -(-n // batch)
        device = resolve_device(host.device)
        gates = self._make_gates(problem, layout, per_epoch * host.n_epochs, stage).to(device)
        judged = None
        if held_out:
            rows = problem.held_out.keep(problem.layout, alive)
            judged = make_rows(rows, layout, problem.held_out_y, None, device)
        learner = GateLearner(gates, layout.names, held_out=judged, seed=problem.seed + stage)
        host.fit_encoded(
            problem.encoder,
            problem.rows.keep(problem.layout, alive),
            problem.y,
            problem.weight,
            gated=learner.gated(),
            start=start,
            layout=layout,
        )
        return host, learner

    def _record(self, records: list[dict[str, NDArray[Any]]], problem: Problem) -> None:
        own, names = list(problem.encoder.kinds_), problem.layout.names
        order = [names.index(name) for name in [*own, *(n for n in names if n not in own)]]
        offsets = np.cumsum([0, *(part["step"][-1] for part in records[:-1])])
        self.gates_ = np.vstack([part["gates"] for part in records])[:, order]
        self.gate_steps_ = np.concatenate([p["step"] + o for p, o in zip(records, offsets, strict=True)])
        self.epsilons_ = np.concatenate([part["epsilon"] for part in records])

    def gate_path(self) -> pd.DataFrame:
        """Gates over the search in long form: step, epsilon, field, gate; the probes among the fields."""
        check_is_fitted(self, "gates_")
        names = [*self.fields_, *(f"probe {i + 1}" for i in range(len(self.probe_scores_)))]
        n, width = self.gates_.shape
        return pd.DataFrame(
            {
                "step": np.repeat(self.gate_steps_, width),
                "epsilon": np.repeat(self.epsilons_, width),
                "field": np.tile(names, n),
                "gate": self.gates_.ravel(),
            }
        )


class PruningSelector(GatedSelector):
    """Gated selectors whose gates end at exactly 0, so that the host can go on without those fields."""

    def _keep_models(
        self,
        problem: Problem,
        host: CTRClassifier,
        layout: Layout,
        keep: NDArray[np.bool_],
        gates: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Keep the model with its gates and the pruned one; returns which of `layout` the latter reads."""
        real = np.isin(layout.names, problem.encoder.layout().names)
        if not (keep & real).any():
            raise FieldsError(self._nothing_left())
        whole = len(layout.fields) == len(problem.encoder.kinds_) and real.all()
        self.searched_ = host if whole else host.pruned(real)
        self.final_gates_ = gates[real]
        self.estimator_ = host.pruned(keep & real, gates)
        return keep & real

    def prune(self) -> CTRClassifier:
        """The model of the kept fields alone; its answers are those of the gated model."""
        check_is_fitted(self, "estimator_")
        return self.estimator_

    def refit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> CTRClassifier:
        """A host model trained from scratch on the kept fields, as benchmarks of selection judge it."""
        host = self._host(len(X))
        if host.random_state is None:
            host.set_params(random_state=self.random_state)
        if host.encoder is not None:
            host.set_params(encoder=clone(self.estimator_.encoder_))
        return host.fit(self.transform(X), y, sample_weight)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Log odds by the model with all fields of the last search and their gates, (n,)."""
        check_is_fitted(self, "searched_")
        columns = as_columns(self, X, reset=False)
        encoder = self.searched_.encoder_
        encoded = encoder._encode({name: columns[name] for name in encoder.kinds_})
        return self.searched_.decide_encoded(encoded, self.final_gates_)


def spread(path: dict[str, NDArray[Any]], alive: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """A stage's record with a column for every field; those that left before are 0."""
    gates = np.zeros((len(path["step"]), len(alive)))
    gates[:, alive] = path["gates"]
    return {**path, "gates": gates}


def tensor(values: NDArray[np.float64]) -> Any:
    """As torch's."""
    import torch

    return torch.from_numpy(values)

"""One object for a whole store: what pages, notebooks and the command line call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import DatasetNotFound, RunError
from workbench.store import StoreDir

if TYPE_CHECKING:
    from workbench.arrays import Split
    from workbench.comparison import Comparison
    from workbench.datasets import Dataset, Datasets
    from workbench.models import Models
    from workbench.pipelines import Pipelines
    from workbench.runs import Run, Runs
    from workbench.runs.schedules import Schedules
    from workbench.runs.tracking import ActiveRun

__all__ = ["Store"]


class Store:
    """A store: its data sets, runs and models.

    Parameters
    ----------
    root : path-like, optional
        The directory; created if it does not exist. By default ``$WORKBENCH_STORE``, else ``data/store``.

    Attributes
    ----------
    datasets : Datasets
    models : Models
    queue : Runs
        Everything that can be done with runs; `submit`, `runs` and `run` are its daily part.
    pipelines : Pipelines
    schedules : Schedules
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.dir = StoreDir(root)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    @property
    def root(self) -> Path:
        """The store's directory."""
        return self.dir.root

    @cached_property
    def datasets(self) -> Datasets:
        """The data sets."""
        from workbench.datasets import Datasets

        return Datasets(self.dir)

    @cached_property
    def models(self) -> Models:
        """The saved models."""
        from workbench.models import Models

        return Models(self.dir)

    @cached_property
    def queue(self) -> Runs:
        """Everything that can be done with runs."""
        from workbench.runs import Runs

        return Runs(self.dir)

    @cached_property
    def pipelines(self) -> Pipelines:
        """The pipelines that are declared."""
        from workbench.pipelines import Pipelines

        return Pipelines(self.dir)

    @cached_property
    def schedules(self) -> Schedules:
        """What starts pipelines by itself."""
        from workbench.runs.schedules import Schedules

        return Schedules(self.dir)

    def dataset(self, ref: str) -> Dataset:
        """The data set ``name`` (its latest version) or ``name@version``.

        A bundled sample that the store does not hold yet is registered on first use.

        Parameters
        ----------
        ref : str

        Returns
        -------
        Dataset

        Raises
        ------
        DatasetNotFound
        """
        try:
            return self.datasets.get(ref)
        except DatasetNotFound:
            from workbench.datasets import samples

            for sample in samples.register(self.datasets, {ref} & set(samples.SAMPLES)):
                return sample
            raise

    def submit(self, estimator: Any, data: Dataset | str, **options: Any) -> Run:
        """Queue a run; a worker starts it.

        Parameters
        ----------
        estimator : str, class or estimator
            A registered name (``"timeseries.CSL"``), an import path (``"package.module:Class"``), a class,
            or an unfitted instance whose parameters are taken. A class defined in a notebook or script is
            stored with the run by its source.
        data : Dataset or str
            A data set or its reference.
        **options
            ``params``, ``recipe``, ``split``, ``seed``, ``name``, ``priority``, ``device``; see
            :meth:`workbench.runs.Runs.submit`.

        Returns
        -------
        Run
            Queued; it is done by a worker.
        """
        dataset = self.dataset(data) if isinstance(data, str) else data
        return self.queue.submit(estimator, dataset, **options)

    def check(
        self,
        estimator: str,
        data: Dataset | str,
        *,
        params: Mapping[str, Any] | None = None,
        recipe: str | None = None,
        split: Split | None = None,
        **_: Any,
    ) -> None:
        """Refuse what is bound to fail on that data, before a run is queued for it.

        What is refused is the recipe's to know, in its attribute ``refuse``.

        Parameters
        ----------
        estimator : str
        data : Dataset or str
        params : mapping, optional
        recipe : str, optional
        split : Split, optional
            As of :meth:`submit`, all of them.
        **_
            What else `submit` takes.

        Raises
        ------
        WorkbenchError
            One sentence.
        """
        from workbench import registry
        from workbench.arrays import Split

        name = recipe or registry.recipe_of(registry.estimator(estimator))
        refuse = getattr(registry.recipe(name), "refuse", None)
        if refuse is not None:
            dataset = self.dataset(data) if isinstance(data, str) else data
            try:
                refuse(params or {}, dataset, split or Split())
            except (TypeError, ValueError):
                return  # values that make no sense at all: `submit` names them

    def start_run(
        self,
        name: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: Dataset | str = "",
        seed: int | None = None,
        owner: str = "",
    ) -> ActiveRun:
        """Record what this script does as a run; see :class:`workbench.runs.tracking.ActiveRun`.

        Parameters
        ----------
        name : str
        params : mapping, optional
            What the script was set to; compared with other runs'.
        data : Dataset or str
            The data set it works on, if it is one of the store.
        seed : int, optional
            Runs that differ by it alone are one group in a comparison.
        owner : str
            Who it is listed under.

        Returns
        -------
        ActiveRun
            A context manager that records.
        """
        from workbench.runs.tracking import ActiveRun

        ref = (self.dataset(data) if isinstance(data, str) else data).ref if data else ""
        return ActiveRun(self.dir, name, params=params, data=ref, seed=seed, owner=owner)

    def runs(self, **filters: Any) -> list[Run]:
        """Runs, newest first.

        Parameters
        ----------
        **filters
            As in :meth:`workbench.runs.Runs.list`.

        Returns
        -------
        list of Run
        """
        return self.queue.list(**filters)

    def run(self, id: str) -> Run:
        """The run with an id.

        Parameters
        ----------
        id : str
            Or an unambiguous beginning of it.

        Returns
        -------
        Run
        """
        return self.queue.get(id)

    def compare(self, runs: Iterable[Run | str]) -> Comparison:
        """Runs side by side; see :class:`workbench.comparison.Comparison`.

        Parameters
        ----------
        runs : iterable of Run or str
            Themselves, or their ids.

        Returns
        -------
        Comparison
        """
        from workbench.comparison import Comparison

        return Comparison([self.run(run) if isinstance(run, str) else run for run in runs])

    def apply(self, model: str, data: Dataset | str, **options: Any) -> Run:
        """Queue a run that applies a saved model to a data set.

        Parameters
        ----------
        model : str
            ``name@version`` or ``name@alias``.
        data : Dataset or str
        **options
            As in :meth:`submit`.

        Returns
        -------
        Run
            Queued; it is done by a worker.
        """
        saved = self.models.get(model)
        return self.submit(f"model:{saved.ref}", data, recipe="apply", **options)

    def predict(self, model: str, data: Dataset | str, to: str, **options: Any) -> Dataset:
        """Apply a saved model to a data set; what it says becomes another one.

        It is done by a run, which is waited for; see :func:`workbench.models.prediction.publish`.

        Parameters
        ----------
        model : str
            ``name@version`` or ``name@alias``.
        data : Dataset or str
        to : str
            Name of the data set that is made; a name in use gets a new version.
        **options
            As in :meth:`submit`.

        Returns
        -------
        Dataset

        Raises
        ------
        RunError
            If the run fails; the sentence says why.
        """
        from workbench.models import prediction
        from workbench.naming import check_name
        from workbench.serving import wait_for

        check_name(to)
        run = wait_for(self, self.apply(model, data, **options))
        if run.state != "done":
            raise RunError(f"Run {run.id} {run.state}: {run.error}".rstrip(": "))
        return prediction.publish(self.datasets, run, to)

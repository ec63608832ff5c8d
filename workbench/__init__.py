"""Workbench: versioned datasets, background runs, and estimators that show which parts earn their place.

>>> import workbench as wb
>>> store = wb.open("data/store")
>>> run = store.submit("timeseries.CSL", "BasicMotions", params={"n_epochs": 20})  # doctest: +SKIP
>>> run.wait().scores  # doctest: +SKIP

``wb.dataset``, ``wb.submit``, ``wb.start_run``, ``wb.runs`` and ``wb.run`` use the default store
(``$WORKBENCH_STORE``, else ``data/store``). Importing this package imports neither torch nor streamlit
nor pandas.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os import PathLike

    from workbench.arrays import Split as Split
    from workbench.datasets import Dataset
    from workbench.errors import WorkbenchError as WorkbenchError
    from workbench.facade import Store as Store
    from workbench.report import Report as Report
    from workbench.runs import Run
    from workbench.runs.tracking import ActiveRun

__version__ = "0.1.0"

# Read once, by the OpenMP that torch loads. A thread of torch's that waits would spin for some 13 ms before
# it sleeps, on the very core that the second thread of an embedding table's step wants; now for half a one.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__all__ = [
    "Report",
    "Split",
    "Store",
    "WorkbenchError",
    "dataset",
    "open",
    "run",
    "runs",
    "start_run",
    "submit",
]

_LAZY = {
    "Report": "workbench.report",
    "Split": "workbench.arrays",
    "Store": "workbench.facade",
    "WorkbenchError": "workbench.errors",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def open(store: str | PathLike[str] | None = None) -> Store:
    """Open a store, creating it if it does not exist.

    Parameters
    ----------
    store : path-like, optional
        Its directory; by default ``$WORKBENCH_STORE``, else ``data/store``.

    Returns
    -------
    Store

    Raises
    ------
    StoreError
        If the directory cannot be used.
    """
    from workbench.facade import Store

    return Store(store)


def dataset(ref: str) -> Dataset:
    """``open().dataset(ref)``: a data set of the default store.

    Parameters
    ----------
    ref : str
        ``name`` (its latest version) or ``name@version``.

    Returns
    -------
    Dataset
    """
    return open().dataset(ref)


def submit(*args: Any, **kwargs: Any) -> Run:
    """``open().submit(...)``: queue a run in the default store.

    Parameters
    ----------
    *args, **kwargs
        See :meth:`workbench.facade.Store.submit`.

    Returns
    -------
    Run
    """
    return open().submit(*args, **kwargs)


def start_run(name: str, **options: Any) -> ActiveRun:
    """``open().start_run(...)``: record what this script does as a run of the default store.

    Parameters
    ----------
    name : str
    **options
        See :meth:`workbench.facade.Store.start_run`.

    Returns
    -------
    ActiveRun
        A context manager that records.
    """
    return open().start_run(name, **options)


def runs(**filters: Any) -> list[Run]:
    """``open().runs(...)``: the runs of the default store, newest first.

    Parameters
    ----------
    **filters
        See :meth:`workbench.runs.Runs.list`.

    Returns
    -------
    list of Run
    """
    return open().runs(**filters)


def run(id: str) -> Run:
    """``open().run(id)``: one run of the default store.

    Parameters
    ----------
    id : str
        Or an unambiguous beginning of it.

    Returns
    -------
    Run
    """
    return open().run(id)

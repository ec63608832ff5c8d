"""The error tree: every expected failure is one of these, and its text is one clear sentence.

::

    WorkbenchError
    ├── UsageError          a wrong option, name or value typed by a user (exit code 2)
    ├── StoreError          the store is missing, unwritable, too new, or full
    ├── DatasetError        a data set, its roles or its content cannot be used as asked
    │   ├── DatasetNotFound
    │   ├── ImportFailed    a file that cannot be read: names the file, line and column where known
    │   └── QueryRefused    SQL that the read-only box does not run
    ├── RunError            a run cannot be submitted, continued or changed
    │   ├── RunNotFound
    │   ├── RequestConflict an idempotency key that was used for another request
    │   ├── PipelineError   a pipeline, a step of it or its schedule cannot be used as asked
    │   └── CheckpointError a checkpoint that cannot be trusted
    └── ModelError          a saved estimator that cannot be saved or loaded safely
        └── EstimatorNotFound

Anything else that reaches a user is a defect of the workbench.
"""

from __future__ import annotations

import errno
import os
from os import PathLike

__all__ = [
    "DISK_FULL",
    "FULL",
    "CheckpointError",
    "DatasetError",
    "DatasetNotFound",
    "EstimatorNotFound",
    "ImportFailed",
    "ModelError",
    "PipelineError",
    "QueryRefused",
    "RequestConflict",
    "RunError",
    "RunNotFound",
    "StoreError",
    "UsageError",
    "WorkbenchError",
    "of_system",
]

#: The numbers of errors by which a system says that the disk is full.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
DISK_FULL = "The disk is full: free some space and try again (nothing was kept)."


class WorkbenchError(Exception):
    """Base of every failure the workbench expects; ``str(error)`` is shown to the user as it is."""


class UsageError(WorkbenchError):
    """A wrong option, name or value."""


class StoreError(WorkbenchError):
    """The store itself cannot be used."""


class DatasetError(WorkbenchError):
    """A data set cannot be used as asked."""


class DatasetNotFound(DatasetError):
    """No data set, or no such version of it."""


class ImportFailed(DatasetError):
    """A file that cannot be imported.

    Parameters
    ----------
    problem : str
        What is wrong and what to do, as a sentence.
    file : path-like, optional
    line, column : int, optional
        1-based position of the fault in `file`.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | PathLike[str] | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        self.problem, self.file, self.line, self.column = problem, file, line, column
        where = "" if file is None else str(file)
        if line is not None:
            where += f", line {line}"
        if column is not None:
            where += f", column {column}"
        super().__init__(f"{where}: {problem}" if where else problem)


class QueryRefused(DatasetError):
    """SQL that is not a single read-only query, or that went over a limit."""


class RunError(WorkbenchError):
    """A run cannot be submitted, continued or changed."""


class RunNotFound(RunError):
    """No run with that id."""


class RequestConflict(RunError):
    """An idempotency key was used for another request."""


class PipelineError(RunError):
    """A pipeline, one of its steps or its schedule cannot be used as asked."""


class CheckpointError(RunError):
    """A checkpoint is damaged or belongs to something else."""


class ModelError(WorkbenchError):
    """A fitted estimator cannot be saved or loaded."""


class EstimatorNotFound(ModelError):
    """No estimator of that name is installed."""


def of_system(error: BaseException) -> StoreError | None:
    """What the system says of a full disk or a closed folder, as one sentence; None of anything else."""
    if not isinstance(error, OSError):
        return None
    if error.errno in FULL or os.strerror(errno.ENOSPC) in str(error):  # shutil's list has no number
        return StoreError(DISK_FULL)
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and error.filename:
        return StoreError(f"{error.filename} cannot be used: {error.strerror}.")
    return None

"""Runs as jobs of Slurm, through submitit (extra ``slurm``).

Settings, all of the worker's environment::

    WORKBENCH_SLURM             "slurm"; or "local", submitit's own stand-in, which needs no Slurm
    WORKBENCH_SLURM_FOLDER      a folder that the nodes see, for submitit's own files
    WORKBENCH_URL               where the nodes reach the workbench's pages
    WORKBENCH_SLURM_PARTITION, _ACCOUNT
    WORKBENCH_SLURM_CPUS        cores that a run is given (1)
    WORKBENCH_SLURM_MEMORY_GB   (8)
    WORKBENCH_SLURM_MINUTES     after which Slurm ends a job; it is then continued in the next (1440)

Nothing of the store lies in that folder: the node fetches the run over HTTP as anywhere else. What lies there
are the pickles with which submitit hands a function over and takes its answer. They are the one place where
the workbench reads pickles, written by itself only: the folder is closed to other users, and nothing that a
user or a node sends is put there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError
from workbench.runs.launchers.remote import Job, RemoteLauncher, address, whole_number
from workbench.store import StoreDir

if TYPE_CHECKING:
    import submitit

__all__ = ["SlurmLauncher", "from_environment"]

_TAIL = 2000  # characters of a job's own output that are kept in the log


class SlurmLauncher(RemoteLauncher):
    """Hands runs to Slurm, which queues them until a node has what they ask for.

    Each process of a run asks for `threads` cores, and for a GPU where the device is "cuda".

    Parameters
    ----------
    dir : StoreDir
    folder : Path
        Seen by the nodes; made if it is not there.
    url : str
        Where the nodes reach the workbench's pages.
    cluster : {"slurm", "local"}
    threads : int
        Cores of each process.
    options : dict, optional
        More for submitit's ``update_parameters``, such as ``slurm_partition``.
    """

    def __init__(
        self,
        dir: StoreDir,
        folder: Path,
        url: str,
        *,
        cluster: str = "slurm",
        threads: int = 1,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(dir, url, threads)
        self.folder, self.cluster, self.options = folder, cluster, dict(options or {})
        self._made: dict[str, submitit.Job[int]] = {}

    def _submit(self, job: Job) -> str:
        import submitit

        home = self.folder / job.name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(mode=0o700, parents=True)
        executor = submitit.AutoExecutor(folder=home, cluster=self.cluster)
        executor.update_parameters(
            name=job.name,
            cpus_per_task=self.threads * job.processes,
            gpus_per_node=job.processes if job.gpu else 0,
            stderr_to_stdout=True,
            **self.options,
        )
        made = executor.submit(_do_errand, self.environment(job))
        self._made[job.name] = made
        (home / "id").write_text(made.job_id)
        return str(made.job_id)

    def _known(self, job: Job) -> str:
        try:
            return (self.folder / job.name / "id").read_text()
        except FileNotFoundError:
            return ""

    def _look(self, job: Job) -> int | None:
        made = self._job_of(job)
        if not made.done():
            return None
        code = self._outcome(made)
        if code:
            self._keep(job, made)
        self._made.pop(job.name, None)
        shutil.rmtree(self.folder / job.name, ignore_errors=True)
        return code

    def _outcome(self, made: submitit.Job[int]) -> int:
        import submitit

        error = made.exception()
        if error is None:
            code = int(made.result())
            return code if code <= 128 or code == 143 else 128 - code
        # An exception is ours, and stays; else its node is gone, or its time was up.
        return 1 if isinstance(error, submitit.core.utils.FailedJobError) else -9

    def _keep(self, job: Job, made: submitit.Job[int]) -> None:
        text = (made.stdout() or "").strip()[-_TAIL:]
        with open(job.folder / "log.txt", "a", encoding="utf-8") as log:
            log.write(f"Slurm's job {job.id} ended as {made.state}:\n{text}\n")

    def _cancel(self, job: Job, *, kill: bool) -> None:
        # submitit's stand-in has no SIGTERM; but a node asks every second whether its run is to end.
        if kill or self.cluster == "slurm":
            self._job_of(job).cancel(check=False)

    def _job_of(self, job: Job) -> submitit.Job[int]:
        if job.name not in self._made:
            import submitit

            kind = submitit.SlurmJob if self.cluster == "slurm" else submitit.LocalJob
            self._made[job.name] = kind(folder=self.folder / job.name, job_id=job.id)
        return self._made[job.name]


def _do_errand(environment: dict[str, str]) -> int:
    """What submitit carries to the node."""
    from workbench.runs import node

    os.environ.update(environment)
    return node.main()


def from_environment(dir: StoreDir) -> SlurmLauncher | None:
    """The launcher that the environment describes; None without ``WORKBENCH_SLURM``.

    Raises
    ------
    UsageError
        Where a setting is missing or wrong, or the extra is not installed.
    """
    cluster = os.environ.get("WORKBENCH_SLURM", "").strip()
    if not cluster:
        return None
    if cluster not in ("slurm", "local"):
        raise UsageError(f"WORKBENCH_SLURM must be slurm or local, not {cluster!r}.")
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise UsageError("Slurm needs an extra: pip install 'workbench[slurm]'.") from error
    folder = os.environ.get("WORKBENCH_SLURM_FOLDER", "").strip()
    if not folder:
        raise UsageError("Slurm needs WORKBENCH_SLURM_FOLDER, a folder that its nodes see too.")
    options: dict[str, Any] = {
        "timeout_min": whole_number(os.environ, "WORKBENCH_SLURM_MINUTES", 1440),
        "mem_gb": whole_number(os.environ, "WORKBENCH_SLURM_MEMORY_GB", 8),
    }
    for name in ("partition", "account"):
        if value := os.environ.get(f"WORKBENCH_SLURM_{name.upper()}", "").strip():
            options[f"slurm_{name}"] = value
    return SlurmLauncher(
        dir,
        Path(folder).expanduser().resolve(),
        address(os.environ, "Slurm"),
        cluster=cluster,
        threads=whole_number(os.environ, "WORKBENCH_SLURM_CPUS", 1),
        options=options,
    )

"""How a run's process is started, watched and stopped: on this host, on a Ray cluster, or by Slurm.

A launcher knows nothing of the queue: it is given a run's folder and says whether the process has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.runs.launchers.base import Launcher
from workbench.runs.launchers.local import LocalLauncher, cores, find_gpus, patient

if TYPE_CHECKING:
    from workbench.store import StoreDir

__all__ = ["NAMES", "Launcher", "LocalLauncher", "configured", "cores", "find_gpus", "patient"]

#: Values of a run's ``launcher``.
NAMES = ("local", "ray", "slurm")


def configured(dir: StoreDir) -> dict[str, Launcher]:
    """The launchers that the environment of this process says how to reach; "local" is always there.

    Raises
    ------
    UsageError
        If the settings of one are not whole.
    """
    from workbench.runs.launchers import ray, slurm

    found: dict[str, Launcher] = {"local": LocalLauncher()}
    for name, module in (("ray", ray), ("slurm", slurm)):
        launcher = module.from_environment(dir)
        if launcher is not None:
            found[name] = launcher
    return found

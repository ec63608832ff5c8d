"""Which device a model is trained on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from workbench.errors import UsageError

if TYPE_CHECKING:
    import torch

__all__ = ["resolve_device"]


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device called `device`.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes the first GPU where there is one, else the CPU; anything else is a torch name
        such as ``"cpu"`` or ``"cuda:1"``.

    Returns
    -------
    torch.device

    Raises
    ------
    UsageError
        If there is no such device on this machine.
    """
    import torch

    if str(device) == "auto":
        return _own_gpu() if torch.cuda.is_available() else torch.device("cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"There is no usable device {str(device)!r} here; take 'auto', or 'cpu', which always works."
        ) from error
    return _own_gpu() if str(found) == "cuda" else found


def _own_gpu() -> torch.device:
    """The GPU of this process: its own one where several train together."""
    import torch

    place = os.environ.get("LOCAL_RANK")
    if place is None:
        return torch.device("cuda")
    found = torch.device("cuda", int(place) % torch.cuda.device_count())
    torch.cuda.set_device(found)
    return found

"""How long a host model is trained, so that a search has steps enough to tell fields apart."""

from __future__ import annotations

import math

__all__ = ["FEW_STEPS", "host_options"]

#: Steps that a search is given by default; on large logs one pass over them is more.
_STEPS = 800
#: Steps below which gates move too far in each to find their place.
FEW_STEPS = 60


def host_options(n_rows: int) -> dict[str, int]:
    """Batch size and epochs of a host model for so many training rows."""
    wanted = max(4 * n_rows / _STEPS, 1)
    batch = min(max(2 ** math.floor(math.log2(wanted)), 32), 4096)
    epochs = min(max(math.ceil(_STEPS * batch / max(n_rows, 1)), 1), 8)
    return {"n_epochs": epochs, "batch_size": batch}

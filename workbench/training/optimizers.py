"""Optimizers by name, and their state as JSON values and tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["FURTHER", "OPTIMIZERS", "make_optimizer", "pack_optimizer", "unpack_optimizer"]

#: Names that an estimator's ``optimizer`` parameter may take.
OPTIMIZERS = ("adam", "adamw", "sgd")

#: What `make_optimizer` knows besides.
FURTHER = ("adagrad", "lion", "gsnr")


def make_optimizer(
    name: str, parameters: Iterable[torch.nn.Parameter], learning_rate: float, **options: Any
) -> torch.optim.Optimizer:
    """A torch optimizer over `parameters`.

    Parameters
    ----------
    name : {"adam", "adamw", "sgd", "adagrad", "lion", "gsnr"}
    parameters : iterable of torch.nn.Parameter
    learning_rate : float
    **options
        Passed on to the torch class, e.g. ``weight_decay`` or ``momentum``.

    Returns
    -------
    torch.optim.Optimizer
    """
    from torch import optim

    from workbench.training.sign_momentum import Lion
    from workbench.training.signal_to_noise import GSNR

    classes: dict[str, type[torch.optim.Optimizer]] = {
        "adam": optim.Adam,
        "adamw": optim.AdamW,
        "sgd": optim.SGD,
        "adagrad": optim.Adagrad,
        "lion": Lion,
        "gsnr": GSNR,
    }
    if name not in classes:
        raise UsageError(f"There is no optimizer {name!r}; take one of {', '.join(OPTIMIZERS + FURTHER)}.")
    if name in ("lion", "gsnr"):
        options.pop("fused", None)  # a matter of speed that they do not know
    return classes[name](parameters, lr=learning_rate, **options)  # type: ignore[call-arg]


def pack_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An optimizer's state as JSON-ready values and tensors named ``"<parameter>.<name>"``."""
    import torch

    whole = optimizer.state_dict()
    values: dict[str, dict[str, Any]] = {}
    tensors: dict[str, Tensor] = {}
    for parameter, entries in whole["state"].items():
        values[str(parameter)] = {}
        for name, value in entries.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{parameter}.{name}"] = value
            else:
                values[str(parameter)][name] = value
    return {"state": values, "param_groups": whole["param_groups"]}, tensors


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, values: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Load what `pack_optimizer` gave."""
    state = {int(parameter): dict(entries) for parameter, entries in values["state"].items()}
    for key, tensor in tensors.items():
        parameter, _, name = key.partition(".")
        state[int(parameter)][name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": list(values["param_groups"])})

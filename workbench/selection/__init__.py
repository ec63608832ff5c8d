"""Selection of fields for click models: LPFS, LPFS++, SHARK and their peers behind one interface.

Importing this package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from workbench.selection.lpfs import LPFS, LPFSPlusPlus
from workbench.selection.peers import (
    BoostingSelector,
    GradientSelector,
    LassoSelector,
    MutualInformationSelector,
    PermutationSelector,
)
from workbench.selection.quantizer import RowQuantizer
from workbench.selection.relaxed import AutoFieldSelector, OptFSSelector, STGSelector
from workbench.selection.shark import SharkSelector
from workbench.selection.stability import StabilitySelector

if TYPE_CHECKING:
    from workbench.selection.gates import FieldGates, prune_linear

__all__ = [
    "LPFS",
    "AutoFieldSelector",
    "BoostingSelector",
    "FieldGates",
    "GradientSelector",
    "LPFSPlusPlus",
    "LassoSelector",
    "MutualInformationSelector",
    "OptFSSelector",
    "PermutationSelector",
    "RowQuantizer",
    "STGSelector",
    "SharkSelector",
    "StabilitySelector",
    "prune_linear",
]


def __getattr__(name: str) -> Any:
    if name in ("FieldGates", "prune_linear"):  # these are torch modules
        return getattr(import_module("workbench.selection.gates"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

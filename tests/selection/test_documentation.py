"""Every parameter of every estimator of the two families is described, and described once."""

from __future__ import annotations

import pytest

from workbench import registry, selection
from workbench.parameters import describe

NAMES = [
    *(name for name in registry.estimator_names() if name.startswith("ctr.")),
    *(f"workbench.selection:{name}" for name in selection.__all__ if name.endswith(("Selector", "LPFS"))),
    "workbench.selection:LPFSPlusPlus",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_described_with_its_own_default(name):
    for parameter in describe(registry.estimator(name)):
        assert parameter.doc, f"{name}.{parameter.name} has no description"
    doc = registry.estimator(name).__doc__
    assert "<" not in doc.split("References")[0].replace("<=", "")

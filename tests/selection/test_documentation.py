"""Every parameter of every estimator of the two families is described, and described once."""

from __future__ import annotations

import pytest

from workbench import registry
from workbench.parameters import describe

NAMES = [name for name in registry.estimator_names() if name.startswith(("ctr.", "selection."))]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_described_with_its_own_default(name):
    for parameter in describe(registry.estimator(name)):
        assert parameter.doc, f"{name}.{parameter.name} has no description"
    doc = registry.estimator(name).__doc__
    assert "<" not in doc.split("References")[0].replace("<=", "")

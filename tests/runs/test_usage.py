"""What a run used, as it is kept beside it."""

from __future__ import annotations

import sys
import types

from workbench.runs import usage


def test_a_run_that_is_importing_torch_is_measured(tmp_path, monkeypatch):
    """The keeper's first look comes while the run's own thread is in the middle of the import."""
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    usage.write(tmp_path)
    found = usage.read(tmp_path)
    assert found["gpu"] is None
    assert found["memory_bytes"] > 0


def test_the_larger_peak_of_two_attempts_is_kept(tmp_path):
    (tmp_path / usage.FILE).write_text('{"memory_bytes": 1000000000000}')
    usage.write(tmp_path)
    assert usage.read(tmp_path)["memory_bytes"] == 10**12

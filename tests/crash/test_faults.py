"""Kills of every kind of process over one store: nothing lost, nothing twice, the check is clean.

Five hundred, instead of one hundred, by command: ``python benchmarks/faults.py --kills 500``.
"""

import pytest

from benchmarks.faults import besiege, is_clean, show

KILLS = 100

pytestmark = pytest.mark.crash


def test_kills_lose_nothing_and_do_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.delenv("WORKBENCH_CHECKPOINT_SECONDS", raising=False)
    monkeypatch.setenv("WORKBENCH_PIPELINES", "")  # what is set now is taken back afterwards
    found = besiege(tmp_path, KILLS, seed=0)
    assert is_clean(found), (show(found), found["findings"])
    assert all(row["kills"] >= KILLS // 6 for row in found["rows"].values())
    # The kills struck work: without that nothing would be shown.
    for kind in ("web", "worker", "run", "import", "publish"):
        assert found["rows"][kind]["again"] > 0, (kind, show(found))
    assert all(row["work"] > 0 for row in found["rows"].values())

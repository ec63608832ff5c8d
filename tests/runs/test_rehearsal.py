"""The rehearsal finds what rows and epochs cost, on an estimator whose costs are known."""

import pytest

from workbench.runs.rehearsal import rehearse


def test_what_an_epoch_and_a_row_cost_is_told_apart(store, table):
    found = rehearse("probes:Paced", table.ref, {"row_epoch": 5e-3, "row": 5e-3}, store=str(store.root))
    # 120 rows; a sleep is never shorter than asked for, and on a busy machine longer.
    assert found.epoch == pytest.approx(120 * 5e-3, rel=0.5)
    assert 0.7 * 120 * 5e-3 < found.rest < 5 * 120 * 5e-3
    assert found.seconds(100) - found.seconds(50) == pytest.approx(50 * found.epoch)


def test_what_cannot_run_has_no_rehearsal(store, table):
    assert rehearse("probes:Failing", table.ref, {}, store=str(store.root)) is None


def test_what_takes_too_long_is_given_up(store, table):
    assert rehearse("probes:Paced", table.ref, {"row": 1.0}, store=str(store.root), patience=2) is None

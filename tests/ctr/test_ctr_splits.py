"""Splits of a log."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.ctr import FieldsError, splits


def test_time_never_runs_backwards_and_a_moment_is_not_divided():
    time = np.random.default_rng(0).integers(50, size=400)
    parts = splits.split_by_time(time, (0.7, 0.2, 0.1))
    assert sorted(np.concatenate(parts).tolist()) == list(range(400))
    assert time[parts[0]].max() < time[parts[1]].min()
    assert time[parts[1]].max() < time[parts[2]].min()
    assert len(parts[0]) == pytest.approx(280, abs=15)


def test_a_user_is_in_one_part():
    user = np.random.default_rng(0).integers(30, size=300).astype(str)
    parts = splits.split_by_user(user, (0.5, 0.5), random_state=1)
    assert not set(user[parts[0]]) & set(user[parts[1]])
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    again = splits.split_by_user(user, (0.5, 0.5), random_state=1)
    assert parts[0].tolist() == again[0].tolist()


def test_random_parts_have_their_shares():
    assert [len(part) for part in splits.split_at_random(100)] == [80, 10, 10]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: splits.split_by_time([1.0, np.nan]), "time of row 1 is missing"),
        (lambda: splits.split_by_user(["a", None]), "user of row 1 is missing"),
        (lambda: splits.split_at_random(10, (0.5, 0.6)), "sum to 1"),
        (lambda: splits.split_by_user(["a", "a"], (0.5, 0.5)), "too few users"),
        (lambda: splits.split_by_time([1, 1, 1]), "too few moments"),
        (lambda: splits.split_by_time([]), "no row to divide"),
    ],
)
def test_impossible_splits_are_one_sentence(call, sentence):
    with pytest.raises(FieldsError, match=sentence):
        call()

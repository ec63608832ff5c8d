import pytest

from workbench.gui.estimate import Past, estimate


def test_nothing_is_estimated_from_nothing():
    assert estimate([], work=100, dataset="A@1") is None


def test_one_run_is_scaled_by_the_work():
    found = estimate([Past(10, 100, "A@1")], work=300, dataset="A@1")
    assert found.seconds == pytest.approx(30)
    assert found.low < 30 < found.high


def test_a_fixed_start_up_time_is_told_from_the_work():
    past = [Past(5 + 0.1 * work, work, "A@1") for work in (100, 200, 400)]
    assert estimate(past, work=300, dataset="A@1").seconds == pytest.approx(35)


def test_runs_on_the_same_data_set_count_alone():
    past = [Past(10, 100, "A@1"), Past(1000, 100, "B@1")]
    found = estimate(past, work=100, dataset="A@1")
    assert found.seconds == pytest.approx(10)
    assert found.basis == "1 earlier run on this data set"


def test_the_range_is_wider_far_from_what_was_measured():
    past = [Past(10, 100, "A@1")]
    near, far = (estimate(past, work=work, dataset="A@1") for work in (100, 10_000))
    assert far.high / far.seconds > near.high / near.seconds


def test_a_slower_small_run_makes_no_negative_cost():
    past = [Past(20, 100, "A@1"), Past(10, 200, "A@1")]
    assert estimate(past, work=1000, dataset="A@1").seconds >= 10

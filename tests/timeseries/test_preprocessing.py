import numpy as np
import pytest

from workbench.timeseries.preprocessing import as_series, bridge_gaps, series_lengths, z_normalize


def test_z_normalises_each_variable_with_its_padding():
    X = np.random.default_rng(0).normal(50, 9, (3, 20, 2))
    X[1, 15:] = np.nan
    found = z_normalize(X)
    padded = np.nan_to_num(X)
    expected = (padded - padded.mean(1, keepdims=True)) / padded.std(1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_gaps_are_bridged_by_straight_lines():
    X = np.array([[np.nan, 2.0, np.nan, np.nan, 5.0, np.nan]])[:, :, None]
    assert bridge_gaps(X).ravel().tolist() == [2, 2, 3, 4, 5, 0]
    assert bridge_gaps(np.full((1, 3, 2), np.nan)).tolist() == [[[0, 0]] * 3]


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6, -1e-12])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_becomes_zero_and_not_amplified_rounding(level, dtype):
    assert (z_normalize(np.full((1, 77, 1), level, dtype)) == 0).all()


def test_small_variation_on_a_large_level_is_kept():
    X = (1e6 + np.sin(np.arange(50.0)))[None, :, None]
    np.testing.assert_allclose(z_normalize(X).std(), 1, atol=1e-4)


def test_length_is_up_to_the_last_observed_step_of_any_variable():
    X = np.full((2, 6, 2), np.nan)
    X[0, [0, 3], 1] = 1.0
    X[1, :, 0] = 1.0
    assert series_lengths(X).tolist() == [4, 6]


def test_a_series_without_values_is_named():
    X = np.zeros((3, 4, 1))
    X[1] = np.nan
    with pytest.raises(ValueError, match=r"Series 1 holds no observed value; remove it\."):
        series_lengths(X)


def test_a_table_is_one_variable():
    assert as_series(np.zeros((4, 7))).shape == (4, 7, 1)
    with pytest.raises(ValueError, match="shape"):
        as_series(np.zeros((4, 0, 2)))

"""Peers of forecasting against statsmodels itself, and on series whose next steps are known."""

import numpy as np
import pytest
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from workbench.timeseries.tasks import _statistical as statistical
from workbench.timeseries.tasks._forecast_peers import forecasters


def seasonal(n, seed=0, period=12):
    t = np.arange(n)
    return np.sin(2 * np.pi * t / period) + np.random.default_rng(seed).normal(0, 0.1, n)


@pytest.mark.parametrize(("trend", "season"), [(False, 0), (True, 0), (False, 12), (True, 12)])
def test_smoothing_ends_where_statsmodels_does(trend, season):
    y = seasonal(480) + 0.01 * np.arange(480)
    model = {"trend": trend, "season": season, "alpha": 0.3, "beta": 0.05, "gamma": 0.1, "phi": 0.9}
    params = [0.3, *([0.05] if trend else []), *([0.1] if season else []), *([0.9] if trend else [])]
    theirs = ETSModel(
        y,
        trend="add" if trend else None,
        damped_trend=trend,
        seasonal="add" if season else None,
        seasonal_periods=season or None,
        initialization_method="heuristic",
    )
    expected = theirs.smooth(params).forecast(20)
    found = statistical.ets_forecasts(np.stack([y, y + 5]), 20, model)
    # 480 steps leave little of how the two begin.
    np.testing.assert_allclose(found[0], expected, atol=0.02)
    np.testing.assert_allclose(found[1], found[0] + 5, atol=1e-9)


@pytest.mark.parametrize(("p", "q", "mean"), [(0, 0, True), (2, 0, True), (1, 1, False), (0, 2, False)])
def test_arma_foretells_what_statsmodels_does(p, q, mean):
    y = seasonal(300) + 3 * mean
    theirs = ARIMA(y, order=(p, 0, q), trend="c" if mean else "n").fit(method="innovations_mle")
    model = {
        "season": 0,
        "d": 0,
        "mean": theirs.params[0] if mean else 0.0,
        "ar": theirs.arparams if p else [],
        "ma": theirs.maparams if q else [],
    }
    found = statistical.arima_forecasts(y[None], 15, model)
    np.testing.assert_allclose(found[0], theirs.forecast(15), atol=1e-3)


def test_differences_are_summed_up_again():
    t = np.arange(100.0)
    line = {"season": 0, "d": 1, "mean": 0.0, "ar": [1.0], "ma": []}
    np.testing.assert_allclose(statistical.arima_forecasts(3 * t[None], 5, line), [3 * np.arange(100, 105)])
    wave = np.tile([0.0, 1.0, 5.0], 30)[None] + np.arange(30).repeat(3)  # a season that climbs
    climbing = {"season": 3, "d": 0, "mean": 1.0, "ar": [], "ma": []}
    expected = np.tile([0.0, 1.0, 5.0], 3) + np.arange(30, 33).repeat(3)
    np.testing.assert_allclose(statistical.arima_forecasts(wave, 9, climbing)[0], expected)


def test_what_is_chosen():
    y = seasonal(200)
    ets = statistical.fit_ets(y, 12)
    assert ets["season"] == 12
    arima = statistical.fit_arima(y, 12)
    assert (arima["season"], arima["d"]) == (12, 0)
    walk = np.random.default_rng(0).normal(size=200).cumsum()
    assert statistical.fit_arima(walk, 1)["d"] == 1


def test_every_peer_knows_the_season():
    X = np.stack([seasonal(420), 3 + seasonal(420, 1)], axis=1)[None]
    step = np.arange(360, 410, 5)
    past, true = (np.stack([X[0, s + a : s + b] for s in step]) for a, b in ((-120, 0), (0, 10)))
    peers = forecasters(X[:, :360], past, 10, 48, 12, row=np.zeros(10, dtype=np.intp), seed=0)
    named = ["Last value", "Ridge on lags", "Seasonal naive", "AutoETS", "AutoARIMA", "Patch transformer"]
    assert sorted(peers) == sorted(named)
    mse = {name: ((peers[name]() - true) ** 2).mean() for name in named}
    for name in named[1:]:
        assert mse[name] < 0.5 * mse["Last value"], name
    # The noise of what comes alone is 0.01; that of the season before doubles it.
    assert mse["AutoETS"] < mse["Seasonal naive"]
    many = forecasters(np.zeros((30, 60, 2)), past, 10, 48, 12, row=np.arange(30), seed=0)
    assert "AutoETS" not in many

"""Auctions against a transcription in plain Python, and the identities that auctions obey."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.bidding import AuctionMarket
from workbench.bidding.kernels import best_four, uniform
from workbench.errors import DatasetError, UsageError


def plain(log, bids, mechanism, slots, exposure, reserve, per_click, budgets):
    """Expected cost and revenue by merchant, as the rules read."""
    n = log.n_merchants
    cost, revenue, wins = np.zeros(n), np.zeros(n), np.zeros(n, int)
    for r in range(log.n_requests):
        there = [
            c
            for c in range(log.indptr[r], log.indptr[r + 1])
            if cost[log.merchant[c]] < budgets[log.merchant[c]]
            and (bids[c] if per_click else log.pctr[c] * bids[c]) >= reserve
            and bids[c] > 0
        ]
        there.sort(key=lambda c: -log.pctr[c] * bids[c])
        scores = [log.pctr[c] * bids[c] for c in there] + [0.0] * (slots + 1)
        gamma = [*exposure, 0.0]
        for k, c in enumerate(there[:slots]):
            floor = reserve * log.pctr[c] if per_click else reserve
            if mechanism == "first":
                price = gamma[k] * scores[k]
            elif mechanism == "vcg":
                price = sum((gamma[t] - gamma[t + 1]) * max(scores[t + 1], floor) for t in range(k, slots))
            else:
                price = gamma[k] * max(scores[k + 1], floor)
            m = log.merchant[c]
            cost[m] += price
            revenue[m] += gamma[k] * log.pctr[c] * log.pcvr[c] * log.ppb[c]
            wins[m] += 1
    return cost, revenue, wins


@pytest.mark.parametrize(("reserve", "unit"), [(0.0, "click"), (0.9, "click"), (0.04, "impression")])
@pytest.mark.parametrize(
    ("mechanism", "slots"),
    [("second", 1), *((m, k) for m in ("gsp", "vcg", "first") for k in (1, 2, 3, 5, 10))],
)
def test_against_a_plain_transcription(log, mechanism, reserve, unit, slots):
    effects = 0.8 ** np.arange(slots)
    budgets = np.linspace(0.2, 3.0, log.n_merchants)
    market = AuctionMarket(
        log,
        mechanism,
        slots=slots,
        position_effects=effects,
        reserve=reserve,
        reserve_unit=unit,
        budgets=budgets,
    )
    found = market.run(1.0)
    cost, revenue, wins = plain(log, log.bid, mechanism, slots, effects, reserve, unit == "click", budgets)
    np.testing.assert_allclose(found.cost.sum(axis=(0, 2)), cost, rtol=1e-12)
    np.testing.assert_allclose(found.revenue.sum(axis=(0, 2)), revenue, rtol=1e-12)
    np.testing.assert_array_equal(found.wins.sum(axis=(0, 2)), wins)


def test_equal_scores_go_to_the_one_that_stands_first(log):
    parts = {name: getattr(log, name) for name in log.__dataclass_fields__}
    parts |= {"pctr": np.full(log.n_candidates, 0.1), "bid": np.ones(log.n_candidates)}
    same = type(log)(**parts)
    first_three = same.merchant[(same.indptr[:-1, None] + np.arange(3)).ravel()]
    for slots in (3, 4):
        wins = AuctionMarket(same, slots=slots).run(1.0).wins.sum(axis=(0, 2))
        if slots == 3:
            np.testing.assert_array_equal(wins, np.bincount(first_three, minlength=same.n_merchants))
        assert wins.sum() == slots * same.n_requests


def test_the_best_four_are_exact_however_close_they_are():
    """Scores that differ in their last bits, equal ones and zeros, against a stable sort."""
    rng = np.random.default_rng(0)
    for n in (1, 2, 4, 5, 15, 16, 17, 60, 400):
        for kind in range(4):
            scores = rng.lognormal(0.0, 1.0, n)
            if kind == 1:  # neighbours in the order of numbers
                scores = 1.0 + rng.permutation(n) * np.finfo(float).eps
            elif kind == 2:  # a few values, many times each
                scores = rng.integers(0, 3, n).astype(float)
            elif kind == 3:
                scores[rng.random(n) < 0.8] = 0.0
            top, at = np.zeros(4), np.zeros(4, dtype=np.uint64)
            best_four(scores, scores.view(np.int64), np.empty(n + 15, np.int64), n, 100, top, at)
            order = np.argsort(-scores, kind="stable")[:4]
            order = order[scores[order] > 0]
            m = len(order)
            # The fourth sets a price only, and may be a neighbour of the fourth.
            np.testing.assert_array_equal(top[: min(m, 3)], scores[order][:3])
            np.testing.assert_array_equal(at[: min(m, 3)], 100 + order[:3])
            np.testing.assert_allclose(top[:m], scores[order], rtol=1e-12)
            assert (top[m:] == 0).all()


def test_one_slot_makes_gsp_vcg_and_second_price_the_same(log):
    costs = [AuctionMarket(log, m, slots=1).run(1.0).cost for m in ("gsp", "vcg", "second")]
    np.testing.assert_allclose(costs[0], costs[1])
    np.testing.assert_allclose(costs[0], costs[2])


def test_vcg_payments_are_at_most_gsp_payments_at_most_first_price(log):
    effects = (1.0, 0.7, 0.4)
    cost = {m: AuctionMarket(log, m, position_effects=effects).run(1.0).cost for m in ("vcg", "gsp", "first")}
    assert (cost["vcg"] <= cost["gsp"] + 1e-12).all()
    assert (cost["gsp"] <= cost["first"] + 1e-12).all()
    assert cost["vcg"].sum() < 0.95 * cost["gsp"].sum()


def test_bids_scaled_by_c_win_the_same_and_pay_c_times(log):
    market = AuctionMarket(log)
    one, third = market.run(1.0), market.run(1 / 3)
    np.testing.assert_array_equal(one.wins, third.wins)
    np.testing.assert_allclose(third.cost, one.cost / 3)
    # So with a third of the budget a third of the bid reaches what unlimited budgets reach.
    limited = AuctionMarket(log, budgets=np.nextafter(market.manual.cost.sum(axis=(0, 2)) / 3, np.inf))
    assert limited.run(1 / 3 - 1e-9).scores()["gmv"] == pytest.approx(one.scores()["gmv"])
    assert limited.run(1.0).scores()["gmv"] < 0.6 * one.scores()["gmv"]


def test_truthful_bids_are_best_in_vcg_but_not_in_gsp(log):
    value = log.pcvr * log.ppb
    mine = log.merchant == 3

    def utility(mechanism, factor):
        market = AuctionMarket(log, mechanism, position_effects=(1.0, 0.9, 0.8))
        out = market.run(np.where(mine, factor * value, value))
        return (out.revenue - out.cost)[:, 3].sum()

    factors = [0.5, 0.7, 0.8, 0.9, 0.95, 1.05, 1.2, 1.5]
    assert all(utility("vcg", f) <= utility("vcg", 1.0) + 1e-12 for f in factors)
    assert max(utility("gsp", f) for f in factors) > utility("gsp", 1.0)


def test_budgets_are_exact_to_the_auction(log):
    market = AuctionMarket(log, budgets="fraction:0.3")
    out = market.run(1.0)
    spent = out.cost.sum(axis=(0, 2))
    one_price = (log.pctr * log.bid).max()
    assert (spent <= market.budgets + one_price).all()
    assert (spent >= market.budgets * 0.9).mean() > 0.8


def test_expected_feedback_is_the_mean_of_sampled_feedback(log):
    market = AuctionMarket(log, position_effects=(1.0, 0.6, 0.3))
    expected = market.run(1.0).scores()
    runs = market.with_options(feedback="sampled").run_many([1.0], seeds=range(400))[0]
    for name in ("gmv", "platform_revenue", "clicks"):
        values = np.array([run.scores()[name] for run in runs])
        assert abs(values.mean() - expected[name]) < 4 * values.std() / 20
        assert values.std() > 0


def test_deterministic_and_independent_of_threads_and_intervals(log):
    market = AuctionMarket(log, feedback="sampled", budgets="fraction:0.5")
    alone = [[market.run(f, seed=s).scores() for s in range(3)] for f in (0.5, 1.0)]
    many = market.run_many([0.5, 1.0], seeds=range(3), n_jobs=4)
    for runs, expected in zip(many, alone, strict=True):
        for run, scores in zip(runs, expected, strict=True):
            np.testing.assert_equal(run.scores(), scores)
    finer = market.with_options(interval=50).run(1.0, seed=1)
    assert finer.scores()["gmv"] == pytest.approx(alone[1][1]["gmv"])
    assert alone[1][0] != alone[1][1]


def test_random_numbers_are_uniform_and_differ_by_seed():
    draws = np.array([[uniform(seed, r, 0) for r in range(4000)] for seed in (0, 1)])
    counts = np.histogram(draws[0], bins=10, range=(0, 1))[0]
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # chi-square, 9 degrees of freedom, p = 0.001
    assert abs(np.corrcoef(draws)[0, 1]) < 0.06


def test_price_to_win_wins_exactly(log):
    market = AuctionMarket(log)
    replay = market.replay("m05")
    for factor, wins in ((1 + 1e-9, len(replay)), (1 - 1e-9, 0)):
        bids = log.bid.copy()
        bids[log.merchant == 5] = factor * replay.price / replay.pctr
        assert market.run(bids).wins[:, 5].sum() == wins


def test_intervals_cut_by_the_clock(log):
    market = AuctionMarket(log, interval="30min")
    assert market.n_intervals == 6
    for t in range(6):
        hours = log.hour[market.bounds[t] : market.bounds[t + 1]]
        assert ((hours >= t / 2) & (hours < (t + 1) / 2)).all()
    assert AuctionMarket(log, interval=7).n_intervals == 7


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mechanism": "dutch"}, "mechanism must be one of"),
        ({"mechanism": "second"}, "has one slot"),
        ({"slots": 0}, "slots must be"),
        ({"position_effects": (0.5, 0.6, 0.1)}, "not rise"),
        ({"position_effects": (1.0, 0.6)}, "one position effect for each of 3 slots"),
        ({"reserve": -1.0}, "reserve must be"),
        ({"interval": "now"}, "interval must be a length of time"),
        ({"interval": 0}, "interval must cut"),
        ({"budgets": "half"}, "budgets must read like"),
        ({"budgets": "fraction:0"}, "above 0"),
    ],
)
def test_unusable_options_are_refused(log, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        AuctionMarket(log, **options)


def test_unusable_budgets_and_bids_are_named(log):
    budgets = np.ones(log.n_merchants)
    budgets[4] = 0
    with pytest.raises(DatasetError, match="Row 5: the budget of merchant 'm04' is 0"):
        AuctionMarket(log, budgets=budgets)
    with pytest.raises(DatasetError, match="'nobody' is not in the log"):
        AuctionMarket(log, budgets={"nobody": 1.0})
    bids = log.bid.copy()
    bids[7] = np.nan
    with pytest.raises(DatasetError, match="Row 8: bid is missing"):
        AuctionMarket(log).run(bids)
    with pytest.raises(UsageError, match="Bids must have shape"):
        AuctionMarket(log).run(np.ones(3))


def test_depth_counts_bids_of_those_with_budget(log):
    free = AuctionMarket(log).run(1.0, count=True)
    assert free.depth == 8
    limited = AuctionMarket(log, budgets="fraction:0.2").run(1.0, count=True)
    assert 1 < limited.depth < 6


def test_sums_by_group_add_up(log):
    market = AuctionMarket(log)
    groups = (log.consumer % 3).astype(np.int32)
    by_group = market.episode(groups=groups).run(log.bid)
    np.testing.assert_allclose(by_group.cost.sum(axis=2), market.run(1.0).cost[:, :, 0])

"""AutoField, STG and OptFS: their formulas against numbers worked out apart, and what they find."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench import training
from workbench.ctr import FieldsError, LRClassifier
from workbench.ctr._batch import make_batch
from workbench.ctr.encoded import Encoded, Field, Layout
from workbench.selection import AutoFieldSelector, OptFSSelector, STGSelector
from workbench.selection._relaxed import (
    AutoFieldGates,
    OptFSGates,
    StochasticGates,
    autofield_gate,
    optfs_mask,
    stochastic_gate,
    stochastic_penalty,
)

TINY = LRClassifier(batch_size=32, learning_rate=0.05, random_state=0)
_REASONS = {
    "check_sample_weight_equivalence_on_dense_data": (
        "rows are visited in random batches and divided at random, so a weight of 2 is not the row twice"
    ),
}


@pytest.mark.slow
@parametrize_with_checks(
    [AutoFieldSelector(TINY, max_fields=2), STGSelector(TINY), OptFSSelector(TINY)],
    expected_failed_checks=lambda estimator: _REASONS,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


def test_the_sample_of_autofield_by_hand():
    logits, gumbel = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    # The difference is 1: the logistic function of 1 / temperature.
    for temperature, expected in ((1.0, 0.7310586), (0.5, 0.8807971), (0.1, 0.9999546)):
        assert autofield_gate(logits, gumbel, temperature).item() == pytest.approx(expected, abs=1e-6)


def test_the_temperature_falls_and_the_gates_move_every_tenth_step():
    gates = AutoFieldGates(2, n_steps=40_000, learning_rate=0.1)
    found = {}
    for step in (0, 10_000, 30_000):
        gates.step_count.fill_(step)
        found[step] = gates.epsilon
    assert found == pytest.approx({0: 1.0, 10_000: 0.5, 30_000: 0.01})
    gates.step_count.zero_()
    gates.step(None)
    assert (gates.gate() == 0.5).all()
    gates.step(torch.tensor([[1.0, -1.0], [-2.0, 2.0]]))
    # The first step of Adam is the learning rate, whatever the gradient's size: logits 0.4 and 0.6.
    assert gates.gate().tolist() == pytest.approx([1 / (1 + np.exp(0.2)), 1 / (1 + np.exp(-0.2))])


def test_its_noise_is_gumbels():
    """P(keep > 1/2) is the logistic function of the logits' difference, at any temperature."""
    gates = AutoFieldGates(20_000, n_steps=10, learning_rate=0.1, temperature=(0.3, 0.3))
    gates.x.data[:, 0] = 1.5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kept = (gates.draw(None) > 0.5).double().mean()
    assert kept.item() == pytest.approx(1 / (1 + np.exp(-1.0)), abs=0.01)


def test_the_gate_and_the_penalty_of_stg_by_hand():
    mean, noise = torch.tensor([0.2, 0.2, -0.7, 0.9]), torch.tensor([-1.0, 0.0, 0.2, 0.0])
    assert stochastic_gate(mean, noise, 0.5).tolist() == pytest.approx([0.2, 0.7, 0.0, 1.0])
    mean = torch.tensor([0.2, -0.5], dtype=torch.float64, requires_grad=True)
    value = stochastic_penalty(mean, 0.5)
    assert value.item() == pytest.approx((0.9192433 + 0.5) / 2, abs=1e-6)
    value.backward()
    np.testing.assert_allclose(mean.grad, norm.pdf([1.4, 0.0]) / 0.5 / 2)


def test_stg_learns_the_sum_of_both_gradients():
    gates = StochasticGates(torch.tensor([0.1, -0.1]), n_steps=5, learning_rate=0.01, strength=2.0)
    gates.step(torch.tensor([-10.0, 0.0]))
    # Only the second gate has nothing but the penalty; Adam's first step has one size.
    assert gates.x.tolist() == pytest.approx([0.11, -0.11], abs=1e-6)
    assert gates.second[1].item() == pytest.approx(1e-3 * norm.pdf(0.8) ** 2 * 4, rel=1e-4)


def test_adam_is_torchs():
    gates = StochasticGates(torch.tensor([0.3, -0.2]), n_steps=9, learning_rate=0.05, strength=0.0)
    twin = torch.nn.Parameter(torch.tensor([0.3, -0.2]))
    theirs = torch.optim.Adam([twin], lr=0.05)
    for gradient in ([1.0, -2.0], [0.3, 0.1], [-5.0, 0.2]):
        gates.step(torch.tensor(gradient))
        twin.grad = torch.tensor(gradient)
        theirs.step()
    torch.testing.assert_close(gates.x, twin)


def test_the_mask_of_optfs_by_hand():
    weight = torch.tensor([0.5, -0.1, 0.0])
    assert optfs_mask(weight[:1], 1.0).item() == pytest.approx(1.0)
    found = optfs_mask(weight, 50.0).tolist()
    # Logistic functions of 25, -5 and 0 over that of 0.5, 0.6224593.
    assert found == pytest.approx([1.6065307, 0.0107523, 0.8032653], rel=1e-5)


def test_gates_of_values_reach_the_cells_that_hold_them():
    layout = Layout((Field("a", "categorical", "a", 4), Field("l", "multi", "l", 5, 3)))
    ids = np.array([[2], [3], [2], [2]], dtype=np.int32)
    lists = np.array([[2, 3, 1], [1, 1, 1], [4, 1, 1], [2, 2, 1]], dtype=np.int32)
    batch = make_batch(Encoded(ids, np.empty((4, 0), np.float32), (lists,)), layout)
    gates = OptFSGates(layout, batch, n_steps=4, learning_rate=0.1, growth=16.0, strength=0.25)
    gates.x.data[:] = torch.tensor([0.5, 0.5, 1.0, -1.0, 0.0, 0.0, 1.0, -1.0, 0.0])
    gates.step_count.fill_(2)
    assert gates.epsilon == pytest.approx(4.0)
    on, off, half = (1 / (1 + np.exp(-4 * w)) / 0.6224593 for w in (1.0, -1.0, 0.0))
    found = gates.draw(batch).detach().numpy()
    np.testing.assert_allclose(found[:, 0], [on, off, on, on], rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], [(on + off) / 2, 0.0, half, on], rtol=1e-5)
    # Of the list's five values, those of rows 6, 7, 8: 2 is there three times, 3 and 4 once each.
    np.testing.assert_allclose(
        gates.gate().detach(), [(3 * on + off) / 4, (3 * on + off + half) / 5], rtol=1e-5
    )
    assert gates.open_share().tolist() == pytest.approx([0.75, 0.6])
    total = 2 * (1 / (1 + np.exp(-2.0))) / 0.6224593 + 2 * on + 2 * off + 3 * half
    assert gates.penalty().item() == pytest.approx(0.25 * total, rel=1e-5)


@pytest.mark.parametrize(
    "search",
    [
        AutoFieldSelector(gate_learning_rate=0.05),
        STGSelector(gate_learning_rate=0.05),
        OptFSSelector(penalty=0.003),
    ],
)
def test_the_three_useful_fields_come_first(search, log, host):
    X, y = log
    found = search.set_params(estimator=host, max_fields=3, n_probes=1, random_state=0).fit(X, y)
    assert set(found.get_feature_names_out()) == {"a", "b", "x"}
    assert found.probe_scores_.max() < found.importance_[found.support_].min()
    assert set(found.gate_path()["field"]) == {*X.columns, "probe 1"}
    assert found.gates_.shape[1] == 7


def test_the_pruned_model_of_stg_answers_like_the_gated_one(log, host):
    X, y = log
    found = STGSelector(host, penalty=0.2, gate_learning_rate=0.05, random_state=0).fit(X, y)
    assert {"a", "b", "x"} <= set(found.get_feature_names_out())
    assert ((found.importance_ == 0.0) == ~found.support_).all()
    assert not found.support_.all()
    difference = found.prune().decision_function(found.transform(X)) - found.decision_function(X)
    assert np.abs(difference).max() <= 1e-12
    with pytest.raises(FieldsError, match="All gates are closed: the penalty 500 is too large"):
        clone(found).set_params(penalty=500.0).fit(X, y)


def test_a_search_with_noise_ends_like_one_that_was_not_interrupted(log, tmp_path):
    X, y = log
    search = AutoFieldSelector(
        clone(TINY).set_params(n_epochs=3), random_state=3, gate_period=2, max_fields=3
    )
    whole = clone(search).fit(X, y)

    class Interrupt(training.Callback):
        def on_batch_end(self, loop):
            if loop.epoch == 1 and loop.batch == 7:
                loop.interrupt()

    with training.callbacks(training.Checkpoint(tmp_path), Interrupt()), pytest.raises(training.Stopped):
        clone(search).fit(X, y)
    with training.callbacks(training.Checkpoint(tmp_path)):
        resumed = clone(search).fit(X, y)
    np.testing.assert_array_equal(whole.gates_, resumed.gates_)

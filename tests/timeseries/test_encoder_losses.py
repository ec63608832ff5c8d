"""Each encoder's loss against plain loops over the paper's formula, and its step against the loss by hand."""

import numpy as np
import pytest
import torch
from torch import tensor

from workbench.timeseries import _tloss, _tnc, _ts2vec, _tst, _tstcc
from workbench.timeseries._masks import block_mask, geometric_mask
from workbench.timeseries._stationarity import adf_pvalues, stationary_ranges


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def numbers(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def contrast(anchor, candidates, positive):
    """−log softmax of candidate number `positive`."""
    powers = [np.exp(anchor @ c) for c in candidates]
    return -np.log(powers[positive] / sum(powers))


# --- T-Loss ---------------------------------------------------------------------------------------------


def by_hand_triplet(anchor, positive, negatives, penalty):
    total = 0.0
    for b in range(len(anchor)):
        total -= log_sigmoid(anchor[b] @ positive[b])
        total -= penalty / len(negatives) * sum(log_sigmoid(-(anchor[b] @ n[b])) for n in negatives)
    return total / len(anchor)


def test_triplet_loss():
    one, two = tensor([[1.0, 0.0]]), tensor([[2.0, 3.0]])
    # −log σ(2) − log σ(−0) = 0.126928 + 0.693147
    assert float(_tloss.triplet_loss(one, two, tensor([[[0.0, 1.0]]]))) == pytest.approx(0.820075, abs=1e-6)
    a, p, n = numbers(3, 4), numbers(3, 4, seed=1), numbers(5, 3, 4, seed=2)
    expected = by_hand_triplet(*(v.numpy() for v in (a, p, n)), 0.3)
    assert float(_tloss.triplet_loss(a, p, n, 0.3)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("unequal", [False, True])
def test_tloss_step_contrasts_the_drawn_parts_of_series(unequal):
    x = numbers(6, 2, 12)
    if unequal:
        for i, length in enumerate([12, 5, 7, 12, 1, 3]):
            x[i, :, length:] = torch.nan
    encoder = _tloss.CausalEncoder(2, 3, n_hidden=4, depth=2, n_reduced=5)
    training = _tloss.pretraining(encoder, x, generator(), n_negatives=3, negative_penalty=0.5)
    rows = tensor([4, 1, 0])
    loss, _ = training.step(rows)
    lengths = (~x.isnan().any(1)).sum(1)
    drawn = _tloss.draw_triplet(rows, lengths, 3, generator())

    def embed(series, start, length):
        part = x[series, :, start : start + length]
        assert not part.isnan().any()
        return encoder(part[None])[0].detach().numpy()

    anchor = [embed(i, s, n) for i, s, n in zip(rows, *drawn.anchor, strict=True)]
    positive = [embed(i, s, n) for i, s, n in zip(rows, *drawn.positive, strict=True)]
    negative = [
        [embed(i, s, n) for i, s, n in zip(*three, strict=True)]
        for three in zip(drawn.negative_series, *drawn.negative, strict=True)
    ]
    assert loss.item() == pytest.approx(by_hand_triplet(anchor, positive, negative, 0.5), rel=1e-4)


def test_triplets_are_drawn_inside_each_other_over_the_whole_range():
    lengths = torch.full((40,), 10)
    ends, starts, sizes = set(), set(), set()
    for seed in range(60):
        drawn = _tloss.draw_triplet(torch.arange(40), lengths, 2, generator(seed))
        (a, a_len), (p, p_len), (n, n_len) = drawn.anchor, drawn.positive, drawn.negative
        assert (a >= 0).all()
        assert (a + a_len <= 10).all()
        assert (p >= a).all()
        assert (p + p_len <= a + a_len).all()
        assert (n >= 0).all()
        assert (n + n_len <= 10).all()
        assert len(set(a_len.tolist())) == len(set(n_len.flatten().tolist())) == 1
        starts |= set(a.tolist())
        ends |= set((a + a_len).tolist())
        sizes |= set(p_len.tolist())
    assert (starts, ends, sizes) == (set(range(10)), set(range(1, 11)), set(range(1, 11)))


# --- TS2Vec ---------------------------------------------------------------------------------------------


def by_hand_levels(z1, z2, alpha=0.5):
    """z of shape (B, T, F)."""
    total, levels = 0.0, 0
    while True:
        batch, steps, _ = z1.shape
        views = [np.concatenate([z1, z2]), np.concatenate([z2, z1])]
        instance = 0.0
        for t in range(steps):
            for b in range(2 * batch):
                others = [j for j in range(2 * batch) if j != b]
                positive = others.index((b + batch) % (2 * batch))
                instance += contrast(views[0][b, t], [views[0][j, t] for j in others], positive)
        instance *= (batch > 1) / (2 * batch * steps)
        total, levels = total + alpha * instance, levels + 1
        if steps == 1:
            return total / levels
        temporal = 0.0
        for b in range(batch):
            both = np.concatenate([z1[b], z2[b]])
            for t in range(2 * steps):
                others = [s for s in range(2 * steps) if s != t]
                positive = others.index((t + steps) % (2 * steps))
                temporal += contrast(both[t], [both[s] for s in others], positive)
        total += (1 - alpha) * temporal / (batch * 2 * steps)
        half = steps // 2
        z1, z2 = (z[:, : 2 * half].reshape(batch, half, 2, -1).max(2) for z in (z1, z2))


@pytest.mark.parametrize(("batch", "steps"), [(3, 7), (1, 4), (4, 1)])
def test_hierarchical_loss(batch, steps):
    z1, z2 = numbers(batch, 5, steps), numbers(batch, 5, steps, seed=1)
    expected = by_hand_levels(*(z.numpy().transpose(0, 2, 1) for z in (z1, z2)), alpha=0.3)
    assert float(_ts2vec.hierarchical_loss(z1, z2, alpha=0.3)) == pytest.approx(expected, rel=1e-5)
    everywhere = torch.ones(batch, steps, dtype=torch.bool)
    masked = _ts2vec.hierarchical_loss(z1, z2, everywhere, alpha=0.3)
    assert masked.item() == pytest.approx(expected, rel=1e-5)


def test_padding_takes_no_part_in_the_hierarchical_loss():
    z1, z2 = numbers(3, 5, 8), numbers(3, 5, 8, seed=1)
    observed = torch.ones(3, 8, dtype=torch.bool)
    observed[1, 3:] = False
    loss = _ts2vec.hierarchical_loss(z1, z2, observed)
    z1[1, :, 3:], z2[1, :, 3:] = 99.0, -50.0
    z1.requires_grad_()
    other = _ts2vec.hierarchical_loss(z1, z2, observed)
    other.backward()
    assert other.item() == pytest.approx(loss.item(), rel=1e-6)
    assert (z1.grad[1, :, 3:] == 0).all()
    assert z1.grad.isfinite().all()


def test_ts2vec_step_contrasts_the_overlap():
    x = numbers(4, 2, 16)
    encoder = _ts2vec.DilatedEncoder(2, 6, n_hidden=4, depth=2).eval()  # nothing is hidden or dropped
    training = _ts2vec.pretraining(encoder, x, generator(3), longest=3000)
    loss, _ = training.step(torch.arange(4))
    crops = _ts2vec.draw_crops(4, 16, 3000, generator(3))
    sides = [[], []]
    for i in range(4):
        first, second = int(crops.first[i]), int(crops.second[i])
        assert first + crops.first_length == second + crops.overlap
        one = encoder.steps(x[i : i + 1, :, first : first + crops.first_length])
        two = encoder.steps(x[i : i + 1, :, second : second + crops.second_length])
        sides[0].append(one[0, :, second - first :].T.detach().numpy())
        sides[1].append(two[0, :, : crops.overlap].T.detach().numpy())
    assert loss.item() == pytest.approx(by_hand_levels(*map(np.stack, sides)), rel=1e-4)


def test_crops_stay_inside_the_series():
    overlaps = set()
    for seed in range(300):
        crops = _ts2vec.draw_crops(5, 12, 9, generator(seed))
        for start, length in (crops[:2], crops[2:4]):
            assert (start >= 0).all()
            assert (start + length <= 12).all()
            assert length <= 9
        assert (crops.first <= crops.second).all()
        overlaps.add(crops.overlap)
    assert overlaps == set(range(2, 10))


def test_kept_weights_are_the_mean_over_all_steps():
    x = numbers(8, 1, 10)
    encoder = _ts2vec.DilatedEncoder(1, 3, n_hidden=2, depth=1)
    training = _ts2vec.pretraining(encoder, x, generator(), longest=99)
    average = training.callbacks[0]
    average.on_train_begin(None)
    seen = [encoder.input.weight.detach().clone()]
    for value in (1.0, 5.0):
        torch.nn.init.constant_(encoder.input.weight, value)
        seen.append(encoder.input.weight.detach().clone())
        average.on_batch_end(None)
    training.finish()
    torch.testing.assert_close(encoder.input.weight.detach(), torch.stack(seen).mean(0))


def test_gradients_of_the_contrast_are_those_of_the_formula():
    z1, z2 = (numbers(3, 4, 6, seed=i).double().requires_grad_() for i in (0, 1))
    observed = torch.ones(3, 6, dtype=torch.bool)
    observed[2, 4:] = False
    for loss in (_ts2vec.instance_loss, _ts2vec.temporal_loss):
        assert torch.autograd.gradcheck(lambda a, b, loss=loss: loss(a, b), (z1, z2))
        assert torch.autograd.gradcheck(lambda a, b, loss=loss: loss(a, b, observed), (z1, z2))


# --- TNC ------------------------------------------------------------------------------------------------


def test_neighbourhood_loss():
    near, far, w = tensor([2.0, -1.0]), tensor([[0.5], [3.0]]), 0.2
    positive = -np.mean([log_sigmoid(2.0), log_sigmoid(-1.0)])
    negative = np.mean([-w * log_sigmoid(v) - (1 - w) * log_sigmoid(-v) for v in (0.5, 3.0)])
    expected = (positive + negative) / 2
    assert float(_tnc.neighbourhood_loss(near, far, w)) == pytest.approx(expected, rel=1e-6)


def test_tnc_step_judges_the_drawn_windows():
    x = numbers(3, 2, 40)
    encoder = _tnc.WindowEncoder(2, 4, 6, n_hidden=3)
    training = _tnc.pretraining(encoder, x, generator(), n_pairs=2, positive_weight=0.1)
    training.model.eval()
    loss, _ = training.step(tensor([2, 0]))
    places = (np.arange(32) + 0.5) / 32
    ranges = stationary_ranges(x.numpy().transpose(0, 2, 1), np.full(3, 40), 6, places)
    drawn = _tnc.draw_pairs(tensor([34, 34]), torch.from_numpy(ranges)[[2, 0]], 6, 2, generator())
    discriminator = training.model["discriminator"]
    near, far = [], []
    for column, series in enumerate((2, 0)):

        def embed(start, series=series):
            return encoder(x[series : series + 1, :, start : start + 6])

        anchor = embed(drawn[0][column])
        near += [discriminator(anchor, embed(s)) for s in drawn[1][:, column]]
        far += [discriminator(anchor, embed(s)) for s in drawn[2][:, column]]
    expected = _tnc.neighbourhood_loss(torch.cat(near), torch.cat(far), 0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_far_windows_are_far_and_near_ones_near():
    ranges = torch.ones(50, 32, dtype=torch.int64)
    last = torch.full((50,), 990)
    anchor, near, far = _tnc.draw_pairs(last, ranges, 10, 200, generator())
    assert (abs(far - anchor) >= 50).all()
    assert (near - anchor).double().std() == pytest.approx(10, rel=0.1)
    assert ((near >= 0) & (near <= 990) & (far >= 0) & (far <= 990)).all()


def test_dickey_fuller_p_values_are_those_of_statsmodels(basic_motions):
    X = basic_motions[0]
    # statsmodels 0.15, adfuller(a, maxlag=int((len(a) - 1) ** (1 / 3)), autolag=None)
    for series, expected in [
        (X[0, :60, 0], 0.0343020377729346),
        (X[10, :40, 2], 4.465008206716841e-06),
        (X[20, :, 1], 1.2762365298860523e-10),
        (np.cumsum(X[25, :, 0]), 0.3567155668906029),
    ]:
        assert adf_pvalues(series[None])[0] == pytest.approx(expected, rel=1e-4)
    assert np.isnan(adf_pvalues(np.ones((1, 50)))).all()
    assert np.isnan(adf_pvalues(np.arange(4.0)[None])).all()


def test_a_neighbourhood_ends_where_a_series_changes():
    random = np.random.default_rng(0)
    series = np.concatenate([random.normal(size=600), np.cumsum(random.normal(size=600))])[None, :, None]
    ranges = stationary_ranges(series, np.array([1200]), 60, np.array([0.25, 0.8]))
    assert ranges.tolist() == [[3, 1]]


# --- TS-TCC ---------------------------------------------------------------------------------------------


def test_temporal_loss_predicts_across_the_batch():
    ahead, predicted = numbers(3, 2, 4), numbers(3, 2, 4, seed=1)
    a, p = ahead.numpy(), predicted.numpy()
    expected = np.mean([contrast(a[b, k], p[:, k], b) for b in range(3) for k in range(2)])
    assert float(_tstcc.temporal_loss(ahead, predicted)) == pytest.approx(expected, rel=1e-5)


def test_contextual_loss():
    p1, p2 = numbers(3, 4), numbers(3, 4, seed=1)
    p = np.concatenate([p1.numpy(), p2.numpy()])
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    losses = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        losses.append(contrast(p[i] / 0.2, p[others], others.index((i + 3) % 6)))
    assert float(_tstcc.contextual_loss(p1, p2, 0.2)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_tstcc_step_predicts_each_view_from_the_other():
    x = numbers(4, 2, 64)
    encoder = _tstcc.ConvEncoder(2, 8)
    options = {"n_ahead": 3, "temperature": 0.2, "temporal_weight": 2.0, "contextual_weight": 0.7}
    training = _tstcc.pretraining(encoder, x, generator(1), generator(2), nonneg=False, **options)
    training.model.eval()
    loss, parts = training.step(torch.arange(4))
    noise, context = generator(2), training.model["context"]
    views = [_tstcc.weak(x, noise), _tstcc.strong(x, noise)]
    latents = [torch.nn.functional.normalize(encoder.latents(v)[0], dim=2) for v in views]
    now = int(torch.randint(latents[0].shape[1] - 3, (), generator=generator(1)))
    temporal, projections = 0.0, []
    for mine, other in (latents, latents[::-1]):
        predicted, projected = context(mine[:, : now + 1])
        temporal += _tstcc.temporal_loss(other[:, now + 1 : now + 4], predicted)
        projections.append(projected)
    expected = 2.0 * temporal + 0.7 * _tstcc.contextual_loss(*projections, 0.2)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert parts["temporal"].item() == pytest.approx(temporal.item(), rel=1e-5)


def test_shuffled_segments_keep_every_step_and_most_neighbours():
    x = torch.arange(1.0, 51.0).repeat(200, 1, 1)
    x[0, :, 30:] = torch.nan
    shuffled = _tstcc.permute_segments(x, 5, generator())
    torch.testing.assert_close(shuffled.nan_to_num().sort(2).values, x.nan_to_num().sort(2).values)
    assert shuffled[0, 0, 30:].isnan().all()
    breaks = ((shuffled[1:].diff() - 1).abs() > 0.5).sum(2)
    assert set(breaks.flatten().tolist()) == {0, 1, 2, 3, 4}


def test_weak_view_scales_all_variables_of_a_step_alike():
    view = _tstcc.weak(torch.ones(500, 3, 40), generator())
    assert (view == view[:, :1]).all()
    assert view.mean() == pytest.approx(2, abs=0.05)
    assert view[:, 0].std() == pytest.approx(1.1, abs=0.05)


# --- TST ------------------------------------------------------------------------------------------------


def test_masked_error_counts_hidden_values_only():
    true, predicted = tensor([[1.0, 2.0, 3.0]]), tensor([[1.5, 9.0, 1.0]])
    hidden = tensor([[True, False, True]])
    assert float(_tst.masked_error(predicted, true, hidden)) == pytest.approx((0.25 + 4) / 2)
    assert float(_tst.masked_error(predicted, true, ~hidden)) == pytest.approx(49)


def test_tst_step_reconstructs_what_it_was_not_shown():
    x = numbers(4, 2, 30)
    x[1, :, 20:] = torch.nan
    encoder = _tst.TransformerEncoder(2, 8, 2, 1, 4)
    training = _tst.pretraining(encoder, x, generator(), ratio=0.3, mean_length=3)
    training.model.eval()
    rows = tensor([1, 3])
    loss, _ = training.step(rows)
    hidden = geometric_mask((2, 2, 30), 0.3, 3, generator()).numpy()
    shown, total, count = x[rows].numpy().copy(), 0.0, 0
    hidden &= ~np.isnan(shown)
    shown[hidden] = 0
    steps = encoder.steps(torch.from_numpy(shown))
    predicted = training.model["output"](steps.transpose(1, 2)).detach().numpy().transpose(0, 2, 1)
    for place in np.argwhere(hidden):
        total += (predicted[tuple(place)] - x[rows].numpy()[tuple(place)]) ** 2
        count += 1
    assert count > 20
    assert loss.item() == pytest.approx(total / count, rel=1e-4)


# --- masks ----------------------------------------------------------------------------------------------


def runs(row):
    """Lengths of the runs of True that do not touch an end."""
    edges = np.flatnonzero(np.diff(row.astype(int)))
    first = 0 if not row[0] else 1
    return np.diff(edges)[first::2]


@pytest.mark.parametrize(("ratio", "length"), [(0.15, 3.0), (0.5, 5.0), (0.3, 1.0)])
def test_geometric_masks_have_the_ratio_and_the_length_asked_for(ratio, length):
    mask = geometric_mask((40, 5, 400), ratio, length, generator()).numpy()
    assert mask.mean() == pytest.approx(ratio, abs=0.02)
    assert mask[:, :, 0].mean() == pytest.approx(ratio, abs=0.1)
    lengths = np.concatenate([runs(row) for row in mask.reshape(-1, 400)])
    assert lengths.mean() == pytest.approx(length, rel=0.06)
    # Geometric: the variance is m(m − 1).
    assert lengths.var() == pytest.approx(length * (length - 1), rel=0.25, abs=1e-9)
    assert not (mask[:, 0] == mask[:, 1]).all()
    together = geometric_mask((4, 5, 400), ratio, length, generator(), concurrent=True)
    assert (together == together[:, :1]).all()


def test_block_masks_are_one_run():
    mask = block_mask((300, 2, 20), 0.25, generator())
    assert (mask.sum(2) == 5).all()
    assert (mask.diff().sum(2) <= 2).all()
    assert mask[:, 0].any(0).all()

"""What the encoders' speed is measured against computes the same as they do."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.timeseries import _tloss, _tnc, _ts2vec, _tst, _tstcc

FILE = Path(__file__).parents[2] / "benchmarks" / "_encoders_plain.py"


@pytest.fixture(scope="module")
def plain():
    spec = importlib.util.spec_from_file_location("encoders_plain", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def numbers(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def same(found, expected, **options):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, **options)


def test_networks(plain):
    x = numbers(3, 2, 37)
    pairs = [
        (_tloss.CausalEncoder(2, 6, 4, 3, 16), plain.CausalEncoder(2, 6, 4, 3), lambda m: m(x)),
        (_tstcc.ConvEncoder(2, 8), plain.ConvEncoder(2, 8), None),
        (_ts2vec.DilatedEncoder(2, 6, 4, 3), plain.DilatedEncoder(2, 6, 4, 3), None),
    ]
    for ours, theirs, both in pairs:
        theirs.load_state_dict(ours.state_dict())
        ours.eval(), theirs.eval()
        if both is not None:
            same(both(theirs), both(ours))
    same(pairs[1][1](x), pairs[1][0].latents(x)[0].transpose(1, 2))
    same(pairs[2][1].steps(x.transpose(1, 2), None).transpose(1, 2), pairs[2][0].steps(x))


def test_transformer(plain):
    x = numbers(3, 2, 11).double()
    ours, theirs = _tst.TransformerEncoder(2, 320).double(), plain.Transformer(2, 11).double()
    theirs.code = theirs.code.double()
    weights = ours.state_dict()
    names = {"qkv.weight": "attention.in_proj_weight", "qkv.bias": "attention.in_proj_bias"}
    names |= {"out.weight": "attention.out_proj.weight", "out.bias": "attention.out_proj.bias"}
    renamed = {}
    for name, value in weights.items():
        layer, _, rest = name.partition(".")
        number, _, part = rest.partition(".")
        renamed[f"layers.{number}.{names.get(part, part)}" if layer == "layers" else name] = value
    renamed |= {"output.weight": torch.eye(320)[:2], "output.bias": torch.zeros(2)}
    theirs.load_state_dict(renamed)
    ours.eval(), theirs.eval()
    found = theirs(x.transpose(1, 2), torch.zeros(3, 11, dtype=torch.bool))
    same(found, ours.steps(x)[:, :2].transpose(1, 2))


def test_losses(plain):
    a, p, n = numbers(4, 5), numbers(4, 5, seed=1), numbers(3, 4, 5, seed=2)
    same(plain.triplet_loss(a, p, list(n)), _tloss.triplet_loss(a, p, n))
    z1, z2 = numbers(4, 5, 9), numbers(4, 5, 9, seed=1)
    same(plain.hierarchical_loss(z1.transpose(1, 2), z2.transpose(1, 2)), _ts2vec.hierarchical_loss(z1, z2))
    near, far = numbers(7), numbers(7, seed=1)
    same(plain.neighbourhood_loss(near, far, 0.05), _tnc.neighbourhood_loss(near, far, 0.05))
    same(plain.contextual_loss(a, p), _tstcc.contextual_loss(a, p, 0.2))


def test_cross_prediction(plain):
    theirs, ours = plain.Context(16, 3).eval(), _tstcc.Context(16, 3).eval()
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("predictors")}
    state["predictors.weight"] = torch.cat([one.weight for one in theirs.predictors])
    state["predictors.bias"] = torch.cat([one.bias for one in theirs.predictors])
    ours.load_state_dict(state)
    mine, other = numbers(4, 9, 16), numbers(4, 9, 16, seed=1)
    loss, projected = plain.cross_prediction(theirs, mine, other, 4)
    predicted, expected = ours(mine[:, :5])
    same(projected, expected)
    same(loss, _tstcc.temporal_loss(other[:, 5:8], predicted))


def test_masks(plain):
    random = np.random.default_rng(0)
    drawn = np.concatenate([plain.mask(400, 0.15, 3, random) for _ in range(200)])
    assert drawn.mean() == pytest.approx(0.15, abs=0.01)
    runs = np.diff(np.flatnonzero(np.diff(np.pad(drawn, 1).astype(int)))[:].reshape(-1, 2), axis=1)
    assert runs.mean() == pytest.approx(3, rel=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tloss", "ts2vec", "tnc", "tstcc", "tst"])
def test_they_learn(plain, basic_motions, name):
    x = torch.from_numpy(basic_motions[0][:12, ::2].astype(np.float32).transpose(0, 2, 1).copy())
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    step = plain.tnc(x, random, 10, 2, n_pairs=4) if name == "tnc" else getattr(plain, name)(x, random)
    history = plain.epochs(len(x), 6, 3, step, random)
    assert len(history) == 3
    assert np.isfinite(history).all()

"""Fusion against plain numpy."""

import numpy as np
import pytest

from workbench.timeseries import Concat, Projection, WeightedSum


@pytest.fixture
def parts():
    random = np.random.default_rng(0)
    return [random.normal(3, 5, size=(30, 6)), random.normal(size=(30, 4)) @ random.normal(size=(4, 4))]


def standardised(part, like):
    return (part - like.mean(0)) / like.std(0)


def test_concat_standardises_with_the_scales_of_fit(parts):
    new = [part[:7] * 2 for part in parts]
    found = Concat().fit(parts).transform(new)
    expected = np.hstack([standardised(n, p) for n, p in zip(new, parts, strict=True)])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_constant_feature_becomes_zero():
    found = Concat().fit_transform([np.array([[1.0, 5.0], [3.0, 5.0]])])
    np.testing.assert_allclose(found, [[-1, 0], [1, 0]])


def test_projection_starts_as_principal_components(parts):
    found = Projection(3).fit_transform(parts)
    joined = np.hstack([standardised(p, p) for p in parts])
    values = np.linalg.eigvalsh(joined.T @ joined)[::-1]
    assert found.shape == (30, 3)
    np.testing.assert_allclose(found.T @ found, np.diag(values[:3]), atol=1e-2)
    assert Projection(500).fit_transform(parts).shape == (30, 10)


def test_weighted_sum_adds_projections_with_the_softmax_of_its_logits(parts):
    fusion = WeightedSum(3).fit(parts)
    np.testing.assert_allclose(fusion.weights_, [0.5, 0.5])
    fusion.state_["logits"] = np.array([np.log(3.0), 0.0], np.float32)
    np.testing.assert_allclose(fusion.weights_, [0.75, 0.25], atol=1e-6)
    expected = sum(
        weight * standardised(p, p) @ fusion.state_[f"projections.{i}.weight"].T
        for i, (weight, p) in enumerate(zip([0.75, 0.25], parts, strict=True))
    )
    np.testing.assert_allclose(fusion.transform(parts), expected, atol=1e-5)


def test_other_encoders_than_in_fit_are_refused(parts):
    with pytest.raises(ValueError, match=r"give \[6\] features, but Concat was fitted on \[6, 4\]"):
        Concat().fit(parts).transform(parts[:1])
    with pytest.raises(ValueError, match="at least one encoder, of the same series"):
        Concat().fit([parts[0], parts[1][:3]])
    with pytest.raises(ValueError, match="at least one encoder"):
        Projection().fit([])

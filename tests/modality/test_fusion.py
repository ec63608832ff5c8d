"""The fusion estimators: scikit-learn's rules, absent modalities, every kind of column and of target."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench import models
from workbench.modality import REMEDIES, LateFusionClassifier, LateFusionRegressor, ModalitiesError

FAST = {"n_epochs": 15, "hidden": 16, "depth": 1, "batch_size": 16, "learning_rate": 0.01}

_REASONS = {
    "check_sample_weight_equivalence_on_dense_data": (
        "rows are visited in random batches, so a row of weight 2 and the row twice take different paths"
    ),
}


@parametrize_with_checks(
    [
        LateFusionClassifier(
            n_epochs=8, hidden=8, depth=1, batch_size=16, learning_rate=0.06, random_state=0
        ),
        LateFusionRegressor(n_epochs=5, hidden=8, depth=1, batch_size=16, learning_rate=0.02, random_state=0),
    ],
    expected_failed_checks=lambda estimator: _REASONS,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@pytest.mark.parametrize("fusion", ["sum", "concat", "gated"])
def test_fusion_needs_both_modalities(two_views, fusion):
    X, y = two_views
    model = LateFusionClassifier(fusion=fusion, random_state=0, **FAST).fit(X[:160], y[:160])
    assert list(model.modalities_) == ["a", "m"]
    both = model.score(X[160:], y[160:])
    alone = LateFusionClassifier(modalities={"a": range(4)}, random_state=0, **FAST).fit(X[:160], y[:160])
    assert both > 0.9
    assert alone.score(X[160:], y[160:]) < 0.85
    np.testing.assert_allclose(model.predict_proba(X).sum(1), 1)


def test_same_seed_same_result_and_branch_alike_in_every_subset(two_views):
    from workbench.modality._nets import Architecture, LateFusion, Shape

    X, y = two_views
    first, second = (LateFusionClassifier(random_state=3, **FAST).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    a, m = Shape("a", 4, (), False), Shape("m", 3, (), False)
    joint = LateFusion(Architecture((a, m), 3, "sum", 16, 1), 3)
    single = LateFusion(Architecture((m,), 3, "sum", 16, 1), 3)
    for ours, theirs in zip(joint.encoders[1].parameters(), single.encoders[0].parameters(), strict=True):
        assert (ours == theirs).all()


def test_branch_logits_add_up_to_the_joint_logits(two_views):
    import torch

    X, y = two_views
    model = LateFusionClassifier(random_state=0, **FAST).fit(X, y)
    net = model._model()
    h = torch.from_numpy(np.array(model.embeddings(X)).reshape(len(X), 2, -1).copy())
    present = torch.ones(len(X), 2, dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(net.branch(h, 0) + net.branch(h, 1), net.fuse(h, present))


def test_absent_modalities_at_fit_and_afterwards(two_views):
    X, y = two_views
    holes = X.copy()
    holes.loc[holes.index % 4 == 0, ["m_0", "m_1", "m_2"]] = np.nan
    holes.loc[holes.index % 4 == 1, ["a_0", "a_1", "a_2", "a_3"]] = np.nan
    model = LateFusionClassifier(random_state=0, **FAST).fit(holes[:160], y[:160])
    test, truth = X[160:], y[160:]
    assert model.score(test, truth) > 0.85
    only_audio = test.copy()
    only_audio[["m_0", "m_1", "m_2"]] = np.nan
    talk = model.predict(only_audio)[truth == "rest"]
    assert (talk == "rest").mean() > 0.85  # audio alone knows this class
    nothing = test.copy()
    nothing[:] = np.nan
    assert np.ptp(model.predict_proba(nothing), axis=0).max() < 1e-9


def test_a_hole_in_a_present_modality_is_its_mean(two_views):
    X, y = two_views
    model = LateFusionClassifier(random_state=0, **FAST).fit(X, y)
    hole, filled = X.copy(), X.copy()
    hole.loc[5, "a_2"] = np.nan
    filled.loc[5, "a_2"] = X["a_2"].mean()
    np.testing.assert_allclose(model.predict_proba(hole)[5], model.predict_proba(filled)[5], atol=1e-6)


def test_categories_arrays_and_series():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    phase = rng.uniform(0, 6, size=200)
    frame = pd.DataFrame(
        {
            "kind": np.where(rng.random(200) < 0.9, np.array(["off", "on"])[y], "odd"),
            "vector": [rng.normal(size=5) + label for label in y],
            "wave": [
                np.sin(np.arange(30) * (0.4 + 0.6 * label) + p) for label, p in zip(y, phase, strict=True)
            ],
        }
    )
    each = {"kind": ["kind"], "vector": ["vector"], "wave": ["wave"]}
    for name in each:
        encoder = {"wave": "conv"} if name == "wave" else "auto"
        model = LateFusionClassifier({name: [name]}, encoder=encoder, random_state=0, **FAST)
        assert model.fit(frame[:150], y[:150]).score(frame[150:], y[150:]) > 0.8, name
    unseen = frame[150:].copy()
    unseen["kind"] = "never seen"
    joint = LateFusionClassifier(each, encoder={"wave": "conv"}, random_state=0, **FAST).fit(
        frame[:150], y[:150]
    )
    assert joint.score(unseen, y[150:]) > 0.8
    with pytest.raises(ModalitiesError, match="cannot read"):
        LateFusionClassifier({"kind": ["kind"]}, encoder="conv", **FAST).fit(frame, y)
    with pytest.raises(ModalitiesError, match="'nose', which is no modality"):
        LateFusionClassifier(each, encoder={"nose": "mlp"}, **FAST).fit(frame, y)


def test_matrices_ragged_arrays_and_channels_of_several_lengths():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=160)
    frame = pd.DataFrame(
        {
            "a_image": list(rng.normal(size=(160, 3, 2)) + y[:, None, None]),
            "b_list": [[float(label)] * (1 + i % 4) for i, label in enumerate(y)],
            "c_long": list(rng.normal(size=(160, 12)) + y[:, None]),
            "c_short": list(rng.normal(size=(160, 9)) + y[:, None]),
        }
    )
    for views, encoder in (
        ({"a": ["a_image"]}, "auto"),
        ({"b": ["b_list"]}, "auto"),
        ({"c": ["c_long", "c_short"]}, "conv"),
    ):
        model = LateFusionClassifier(views, encoder=encoder, random_state=0, **FAST)
        assert model.fit(frame[:120], y[:120]).score(frame[120:], y[120:]) > 0.85


def waves_and_noise():
    """Two classes of waves of 24 steps, and two columns of noise."""
    rng = np.random.default_rng(1)
    y = rng.integers(2, size=60)
    waves = np.sin(np.arange(24) * (0.4 + 0.6 * y[:, None]) + rng.uniform(0, 6, size=(60, 1)))
    frame = pd.DataFrame(np.hstack([waves, rng.normal(size=(60, 2))]))
    frame.columns = [f"w_{i}" for i in range(24)] + ["n_0", "n_1"]
    return frame, y


def test_a_time_series_encoder_reads_a_modality(tmp_path):
    from workbench.timeseries import CSL

    frame, y = waves_and_noise()
    csl = CSL(n_epochs=1, n_scales=2, n_shapelets=6)
    model = LateFusionClassifier(encoder={"w": csl}, random_state=0, **FAST).fit(frame[:40], y[:40])
    assert model.score(frame[40:], y[40:]) > 0.8
    absent = frame[40:].copy()
    absent.iloc[:, :24] = np.nan
    assert np.isfinite(model.predict_proba(absent)).all()
    models.save(model, tmp_path / "m")
    trusted = ["workbench.modality.fusion:LateFusionClassifier", "workbench.timeseries.csl:CSL"]
    again = models.load(tmp_path / "m", trusted=trusted)
    np.testing.assert_allclose(again.predict_proba(frame), model.predict_proba(frame))


@pytest.mark.slow  # CSL as it comes
def test_the_time_series_encoder_by_name():
    frame, y = waves_and_noise()
    model = LateFusionClassifier(encoder={"w": "timeseries"}, random_state=0, **FAST).fit(frame[:40], y[:40])
    assert model.score(frame[40:], y[40:]) > 0.8
    rows_without = frame[:40].copy()
    rows_without.iloc[:8, :24] = np.nan
    holes = LateFusionClassifier(encoder={"w": "timeseries"}, random_state=0, **FAST).fit(
        rows_without, y[:40]
    )
    assert holes.score(frame[40:], y[40:]) > 0.7


def test_several_labels_and_several_targets(two_views):
    X, y = two_views
    labels = np.column_stack([y == "rest", y == "walk"]).astype(int)
    model = LateFusionClassifier(random_state=0, **FAST).fit(X, labels)
    assert model.predict(X).shape == (240, 2)
    assert model.score(X, labels) > 0.85
    numbers = np.column_stack([X["a_0"] * 10 + X["m_0"], X["m_1"]])
    regressor = LateFusionRegressor(random_state=0, **FAST).fit(X[:160], numbers[:160])
    assert r2_score(numbers[160:], regressor.predict(X[160:])) > 0.9
    assert LateFusionRegressor(random_state=0, **FAST).fit(X, numbers[:, 0]).predict(X).shape == (240,)


def test_rows_of_no_weight_do_not_count(two_views):
    X, y = two_views
    wrong = y.copy()
    wrong[160:] = "rest"
    weights = np.r_[np.ones(160), np.zeros(80)]
    weighted = LateFusionClassifier(random_state=0, **FAST).fit(X, wrong, sample_weight=weights)
    without = LateFusionClassifier(random_state=0, **FAST).fit(X[:160], y[:160])
    np.testing.assert_allclose(weighted.predict_proba(X), without.predict_proba(X), atol=1e-6)
    heavy = LateFusionClassifier(random_state=0, **FAST).fit(X, y, sample_weight=np.where(y == "walk", 50, 1))
    assert (heavy.predict(X) == "walk").sum() > (y == "walk").sum()


def test_search_clone_and_pipeline_on_one_frame(two_views):
    X, y = two_views
    pipeline = make_pipeline(FunctionTransformer(), LateFusionClassifier(random_state=0, **FAST))
    search = GridSearchCV(
        pipeline,
        {
            "latefusionclassifier__fusion": ["sum", "gated"],
            "latefusionclassifier__modalities": [{"a": ["a_0", "a_1"]}, None],
        },
        cv=2,
    ).fit(X, y)
    assert search.best_params_["latefusionclassifier__modalities"] is None
    assert clone(search.best_estimator_).get_params()["latefusionclassifier"].n_epochs == 15


def test_saved_and_loaded(two_views, tmp_path):
    X, y = two_views
    model = LateFusionClassifier(remedy="weighted_ensemble", random_state=0, **FAST).fit(X, y)
    models.save(model, tmp_path / "m")
    again = models.load(tmp_path / "m", trusted=["workbench.modality.fusion:LateFusionClassifier"])
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_modalities_by_function(two_views):
    X, y = two_views
    model = LateFusionClassifier(lambda name: {"a": "sound", "m": "motion"}[name[0]], random_state=0, **FAST)
    assert list(model.fit(X, y).modalities_) == ["sound", "motion"]


def test_unknown_remedy_options_are_refused(two_views):
    X, y = two_views
    with pytest.raises(ModalitiesError, match="'ogm' has no option 'beta': it has alpha"):
        LateFusionClassifier(remedy="ogm", remedy_options={"beta": 1}).fit(X, y)
    with pytest.raises(ModalitiesError, match="'pmr' must be 'hard' or 'soft', not 'x'"):
        LateFusionClassifier(remedy="pmr", remedy_options={"weights": "x"}).fit(X, y)
    with pytest.raises(ModalitiesError, match="alpha of the remedy 'ogm' must be a number of at least 0"):
        LateFusionClassifier(remedy="ogm", remedy_options={"alpha": "much"}).fit(X, y)
    assert set(REMEDIES) >= {
        "none",
        "auxiliary",
        "modality_dropout",
        "ogm",
        "ogm_ge",
        "gradient_blending",
        "pmr",
    }

"""The analyzer: its verdicts where the truth is known, its tables, and scikit-learn's rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench import models
from workbench.arrays import Split, TableData
from workbench.errors import DatasetError
from workbench.modality import ModalitiesError, ModalityCompetitionAnalyzer, RemedyRace
from workbench.modality._metrics import Metric
from workbench.modality.recipe import analyze, race
from workbench.modality.verdict import Evidence, advice, failure_mode, headline
from workbench.report import NullReporter, Report
from workbench.training import Callback, Checkpoint, Stopped, callbacks

FAST = {"n_epochs": 12, "hidden": 16, "depth": 1, "batch_size": 16, "learning_rate": 0.01, "n_seeds": 2}
FAST |= {"n_permutations": 40, "random_state": 0}


class Halves:
    """Odd and even columns; unlike a function's, its text, by which tests are called, has no address."""

    def __call__(self, name: str) -> str:
        return "even" if name[-1] in "02468" else "odd"

    def __repr__(self) -> str:
        return "halves"


halves = Halves()


_SMALL = {"n_epochs": 8, "hidden": 8, "depth": 1, "batch_size": 8, "learning_rate": 0.03, "random_state": 0}


@pytest.mark.slow  # a hundred analyses
@parametrize_with_checks(
    [
        ModalityCompetitionAnalyzer(halves, n_seeds=1, n_permutations=2, shapley=["mask"], **_SMALL),
        RemedyRace(halves, remedies=["none"], **_SMALL),
    ],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": "rows are drawn into parts and random batches"
    },
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def analyzed(two_views):
    X, y = two_views
    return ModalityCompetitionAnalyzer(**FAST).fit(X, y)


def test_tables_agree_with_each_other(analyzed):
    report = analyzed.report_.tables
    scores = report["scores"].set_index("name")["mean"]
    for function in ("mask", "late", "retrain"):
        part = report["contributions"].query("value_function == @function").set_index("modality")["value"]
        assert part["(none)"] == pytest.approx(scores["prior"], abs=1e-9)
        if function == "mask":
            assert part.sum() == pytest.approx(scores["joint"], abs=1e-9)
        if function == "retrain":
            both = scores["joint"] - scores["alone/a"] - scores["alone/m"] + scores["prior"]
            synergy = report["interactions"].query("value_function == 'retrain'")["value"]
            np.testing.assert_allclose(synergy, both)
            assert part["a"] == pytest.approx(
                (scores["joint"] - scores["alone/m"] + scores["alone/a"] - scores["prior"]) / 2
            )
    modality = report["modalities"].set_index("modality")
    kept = (modality["probe_joint"] - scores["prior"]) / (modality["probe_alone"] - scores["prior"])
    np.testing.assert_allclose(modality["retention"], kept)
    assert report["samples"].groupby("modality").size().tolist() == [72, 72]


def test_both_needed_modalities_are_found_useful(analyzed):
    assert analyzed.failure_mode_ == "none"
    assert analyzed.headline_.startswith("No competition here")
    modality = analyzed.report_.tables["modalities"]
    assert (modality["p_value"] < 0.05).all()
    assert analyzed.report_.tables["importance"]["kept"].all()
    assert analyzed.scores_["test_score"] > analyzed.scores_["best_alone"] + 0.1
    winners = analyzed.report_.tables["per_class"].set_index("class")["winner"]
    assert set(winners.loc["rest"]) <= {"a", "tie"}


def test_dynamics_hold_every_curve(analyzed):
    table = analyzed.report_.tables["dynamics"]
    expected = {"train_loss", "validation_loss", "gradient_share", "cosine", "ogm_ratio", "ogr", "gradient"}
    assert expected <= set(table["quantity"])
    shares = table[table["quantity"] == "gradient_share"].groupby(["seed", "epoch"])["value"].sum()
    np.testing.assert_allclose(shares, 1)
    cosine = table.loc[table["quantity"] == "cosine", "value"]
    assert cosine.between(-1.0001, 1.0001).all()
    assert len(shares) == 2 * 12


@pytest.mark.slow
def test_a_permuted_modality_is_useless_and_a_copy_adds_nothing(two_views):
    X, y = two_views
    rng = np.random.default_rng(1)
    noise = X[[c for c in X if c.startswith("m")]].to_numpy()[rng.permutation(len(X))]
    copied = X[[f"a_{i}" for i in range(4)]]
    frame = pd.concat(
        [
            X,
            pd.DataFrame(noise, columns=["p_0", "p_1", "p_2"]),
            copied.set_axis([f"c_{i}" for i in range(4)], axis=1),
        ],
        axis=1,
    )
    found = ModalityCompetitionAnalyzer(**{**FAST, "n_seeds": 1, "shapley": ["mask", "late"]}).fit(frame, y)
    modality = found.report_.tables["modalities"].set_index("modality")
    assert modality.loc["p", "p_value"] > 0.05
    assert (modality.loc[["m"], "p_value"] < 0.05).all()
    importance = found.report_.tables["importance"].set_index("component")
    assert not importance.loc["p", "kept"]
    bits = found.report_.tables["information"].set_index(["modality", "other", "part"])["bits"]
    assert bits["a", "c", "redundancy"] > 0.1
    assert bits["a", "c", "unique_1"] == pytest.approx(0, abs=1e-6)
    assert bits["a", "c", "synergy"] == pytest.approx(0, abs=0.03)
    pair = (
        found.report_.tables["interactions"]
        .query("value_function == 'late'")
        .set_index(["modality", "other"])
    )
    assert pair.loc[("a", "c"), "value"] < -0.1  # redundant: together they are worth what one is


def test_regression_and_several_labels(two_views):
    X, y = two_views
    few = {**FAST, "n_seeds": 1, "shapley": ["mask", "late"], "n_epochs": 20}
    numbers = X["a_0"] + X["m_0"]
    found = ModalityCompetitionAnalyzer(task="regression", **few).fit(X, numbers)
    assert found.scores_["test_score"] > 0.8
    assert found.scores_["alone_a"] < 0.7
    assert "per_class" not in found.tables_
    labels = np.column_stack([y == "rest", y == "walk"]).astype(int)
    several = ModalityCompetitionAnalyzer(**few).fit(X, labels)
    assert several.scores_["test_score"] > 0.8
    with pytest.raises(ModalitiesError, match="'balanced_accuracy' does not suit"):
        ModalityCompetitionAnalyzer(metric="balanced_accuracy", **few).fit(X, labels)


@pytest.mark.parametrize("remedy", ["none", "pretrain", "weighted_ensemble", "early_stopping"])
def test_the_joint_network_is_trained_with_the_remedy(two_views, remedy):
    X, y = two_views
    settings = {**FAST, "n_seeds": 1, "shapley": ["mask"], "n_epochs": 6}
    found = ModalityCompetitionAnalyzer(remedy=remedy, **settings).fit(X, y)
    tables = found.report_.tables
    rows = np.sort(tables["samples"]["row"].unique())
    assert found.estimator_.remedy == remedy
    assert found.scores_["test_score"] == pytest.approx(found.score(X.iloc[rows], y[rows]))
    delta = tables["modalities"]["delta"]
    if remedy == "pretrain":  # encoders trained alone and then left alone are those trained alone
        np.testing.assert_allclose(delta, 0, atol=1e-12)
    assert (found.estimator_.votes_ is not None) == (remedy == "weighted_ensemble")
    assert remedy not in set(tables["advice"]["action"])
    said = " ".join(found.notes_)
    assert ("trained with a remedy" in said) == (remedy != "none")


def test_an_unknown_option_of_the_remedy_is_refused(two_views):
    with pytest.raises(ModalitiesError, match="'ogm' has no option 'beta'"):
        ModalityCompetitionAnalyzer(remedy="ogm", remedy_options={"beta": 1}).fit(*two_views)


def test_groups_are_not_divided(two_views):
    X, y = two_views
    groups = np.arange(240) // 24
    found = ModalityCompetitionAnalyzer(**{**FAST, "n_seeds": 1, "shapley": ["mask"]}).fit(
        X, y, groups=groups
    )
    rows = found.report_.tables["samples"]["row"].unique()
    assert len(set(groups[rows]) & set(groups[np.setdiff1d(np.arange(240), rows)])) == 0


def test_bad_tables_are_one_sentence(two_views):
    X, y = two_views
    analyzer = ModalityCompetitionAnalyzer(**FAST)
    with pytest.raises(ModalitiesError, match="Only one modality"):
        analyzer.fit(X[["a_0", "a_1"]], y)
    with pytest.raises(ModalitiesError, match="8 samples; at least 10"):
        analyzer.fit(X[:8], y[:8])
    holes = X.copy()
    holes.loc[y == "walk", ["m_0", "m_1", "m_2"]] = np.nan
    with pytest.raises(ModalitiesError, match="'m' is absent in every row of the class 'walk'"):
        analyzer.fit(holes, y)
    with pytest.raises(ModalitiesError, match="no value function 'guess'"):
        ModalityCompetitionAnalyzer(shapley=["guess"]).fit(X, y)


def test_metrics_are_scikit_learns():
    from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score, roc_auc_score

    rng = np.random.default_rng(0)
    y, p = rng.integers(3, size=60), rng.dirichlet(np.ones(3), size=60)
    assert Metric("f1_macro", "multiclass")(y, p) == pytest.approx(f1_score(y, p.argmax(1), average="macro"))
    assert Metric("balanced_accuracy", "multiclass")(y, p) == pytest.approx(
        balanced_accuracy_score(y, p.argmax(1))
    )
    assert Metric("roc_auc", "multiclass")(y, p) == pytest.approx(roc_auc_score(y, p, multi_class="ovr"))
    labels = (rng.random((60, 3)) < 0.4).astype(float)
    assert Metric("f1_macro", "multilabel")(labels, p) == pytest.approx(
        f1_score(labels, p > 0.5, average="macro", zero_division=0)
    )
    numbers = rng.normal(size=(60, 2))
    assert Metric("r2", "regression")(numbers, p[:, :2]) == pytest.approx(r2_score(numbers, p[:, :2]))


def test_all_probes_have_the_penalty_that_suits_them_together():
    from workbench.modality._metrics import common_strength, predict_with_probe

    rng = np.random.default_rng(0)
    y = rng.integers(2, size=120)
    clear = y[:, None] + 0.3 * rng.normal(size=(120, 3))
    noisy = np.hstack([y[:, None] + rng.normal(size=(120, 1)), rng.normal(size=(120, 40))])
    train, validation, metric = np.arange(60), np.arange(60, 120), Metric("roc_auc", "multiclass")

    def score(h, strength):
        found = predict_with_probe("multiclass", 2, strength, (h[train], y[train]), h[validation])
        return metric(y[validation], found)

    for embeddings in ([clear], [noisy], [clear, noisy, noisy]):
        sums = {c: sum(score(h, c) for h in embeddings) for c in (0.01, 0.1, 1.0)}
        assert sums[common_strength(metric, 2, embeddings, y, train, validation)] == max(sums.values())
    assert common_strength(metric, 2, [noisy], y, train, validation) < 1


def evidence(**changes):
    facts = {
        "alone": {"text": 0.74, "image": 0.22},
        "joint": 0.66,
        "combination": "stacking",
        "gap": 0.08,
        "gap_error": 0.01,
        "headroom": 0.03,
        "headroom_error": 0.01,
        "retention": {"text": 0.99, "image": 0.97},
        "retention_error": {"text": 0.01, "image": 0.02},
        "delta": {"text": 0.005, "image": 0.002},
        "lost": (),
        "winner": None,
        "metric": "accuracy",
    }
    return Evidence(**{**facts, **changes})


def test_fusion_overfit_is_a_gap_with_an_intact_encoder():
    overfit = evidence()
    assert failure_mode(overfit) == "fusion overfit"
    # That the weak modality lost too does not explain why the strong one alone is better.
    assert failure_mode(evidence(lost=("image",), winner="text")) == "fusion overfit"
    assert failure_mode(evidence(lost=("text",), winner="image")) == "encoder competition"
    assert failure_mode(evidence(gap_error=0.05)) == "none"  # the gap is noise
    # A loss that varies from seed to seed is not beyond noise, but it is most of the gap all the same.
    assert failure_mode(evidence(delta={"text": 0.05, "image": 0.0})) == "encoder competition"
    assert headline(overfit) == (
        "Every encoder is intact, but the joint head over-uses weaker modalities: text alone is better "
        "(joint accuracy 0.660, best alone 0.740 (text))."
    )
    partly = headline(evidence(lost=("image",), winner="text"))
    assert partly.startswith("The encoder of text is intact (image's keeps 97 ± 4 %), but the joint head")
    assert [action for action, _ in advice(overfit)] == ["weighted_ensemble", "drop image", "early_stopping"]


def test_encoder_competition_is_a_lost_encoder_that_costs_score():
    # Both modalities are as good, so none is much better than the joint net; but their ensemble is.
    facts = {"alone": {"audio": 0.57, "face": 0.56}, "joint": 0.60, "gap": -0.03, "headroom": 0.09}
    facts |= {"lost": ("face",), "winner": "audio", "retention": {"audio": 0.99, "face": 0.25}}
    facts |= {"retention_error": {"audio": 0.01, "face": 0.03}, "combination": "ensemble"}
    competition = evidence(**facts)
    assert failure_mode(competition) == "encoder competition"
    assert headline(competition) == (
        "audio wins and face loses: its encoder keeps 25 ± 6 % of what it learns alone, and an ensemble of "
        "separate networks is better by 0.090 (joint accuracy 0.600, best alone 0.570 (audio))."
    )
    assert advice(competition)[0][0] == "auxiliary"
    free = evidence(**{**facts, "headroom": 0.01, "headroom_error": 0.01})
    assert failure_mode(free) == "none"
    assert headline(free).startswith("No competition here: the joint network is better than any")
    assert "; face's encoder keeps 25 ± 6 % of what it learns alone, at no cost to the score." in headline(
        free
    )


def test_no_competition():
    fine = evidence(alone={"a": 0.8, "b": 0.8}, joint=0.95, gap=-0.15, headroom=0.0)
    fine = replace(fine, retention={"a": 0.99, "b": 1.0}, retention_error={"a": 0.02, "b": 0.01})
    assert failure_mode(fine) == "none"
    assert headline(fine) == (
        "No competition here: the joint network is better than any modality alone (joint accuracy 0.950, "
        "best alone 0.800 (a)), and no encoder learns less than alone beyond noise "
        "(least: a, which keeps 99 ± 4 %)."
    )
    assert advice(fine) == [("leave as it is", "joint training loses nothing that could be measured")]


def side_by_side(**parts):
    return pd.concat([pd.DataFrame(part).add_prefix(f"{name}_") for name, part in parts.items()], axis=1)


def memorable_image(seed=0, n=400):
    """Text tells the class of three rows in four; the image tells nothing, but every row is another."""
    rng = np.random.default_rng(seed)
    y = rng.integers(4, size=n)
    seen = np.where(rng.random(n) < 0.25, rng.integers(4, size=n), y)
    text = 3 * np.eye(4)[seen] + rng.normal(size=(n, 4))
    return side_by_side(text=text, image=rng.normal(size=(n, 100))), y


def slow_parity(seed=0, n=500):
    """The wide modality is learned, and memorised, before the parity of two of the signs is found."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    signs = rng.choice([-1.0, 1.0], size=(n, 16))
    signs[:, 0] = np.where(y == 1, signs[:, 1], -signs[:, 1])
    wide = rng.normal(size=(n, 200))
    wide[:, :4] += 0.75 * (2 * y - 1)[:, None]
    return side_by_side(wide=wide, signs=signs + 0.2 * rng.normal(size=(n, 16))), y


CONSTRUCTED = {"n_permutations": 5, "shapley": ["mask"], "depth": 1, "learning_rate": 0.01, "random_state": 0}


def test_a_table_on_which_fusion_overfits():
    X, y = memorable_image()
    found = ModalityCompetitionAnalyzer(n_epochs=15, hidden=16, n_seeds=2, **CONSTRUCTED).fit(X, y)
    assert found.failure_mode_ == "fusion overfit"
    assert "intact, but the joint head over-uses weaker modalities" in found.headline_
    assert found.scores_["gap"] > 0.1
    assert found.scores_["retention_text"] > 0.95
    assert not found.report_.tables["importance"].set_index("component").loc["image", "kept"]
    # What tells nothing alone has nothing to keep, and is not counted among the losers.
    image = found.report_.tables["modalities"].set_index("modality").loc["image"]
    assert np.isnan(image["retention"])
    assert np.isnan(image["retention_error"])
    assert not image["lost"]
    assert found.headline_.startswith("Every encoder is intact")


@pytest.mark.slow  # the parity takes long to learn alone
def test_a_table_on_which_encoders_compete():
    X, y = slow_parity()
    found = ModalityCompetitionAnalyzer(n_epochs=30, hidden=16, batch_size=32, n_seeds=3, **CONSTRUCTED).fit(
        X, y
    )
    assert found.failure_mode_ == "encoder competition"
    assert "signs" in found.headline_.partition(":")[0]
    assert found.scores_["alone_signs"] > 0.95
    assert found.scores_["gap"] > 0.1
    assert found.scores_["retention_signs"] < 0.9 < found.scores_["retention_wide"]


class Table:
    """The data set a recipe is given."""

    ref = "views@1"

    def __init__(self, X, y, roles=None):
        self.X, self.y, self.roles = X, y, roles or {}

    def to_table(self):
        return TableData(self.X, self.y, None, self.roles)


def test_recipe_gives_a_report_that_is_saved_and_read(two_views, tmp_path):
    X, y = two_views
    roles = {"modality:sound": [f"a_{i}" for i in range(4)], "modality:motion": ["m_0", "m_1", "m_2"]}
    small = {**FAST, "n_seeds": 1, "random_state": None, "shapley": ["mask", "late"]}
    report = analyze(ModalityCompetitionAnalyzer(**small), Table(X, y, roles), Split(), 0, NullReporter())
    assert report.recipe == "modality.analyze"
    assert set(report.tables["modalities"]["modality"]) == {"sound", "motion"}
    report.save(tmp_path / "report")
    again = Report.load(tmp_path / "report")
    assert again.headline == report.headline
    pd.testing.assert_frame_equal(again.tables["modalities"], report.tables["modalities"])
    models.save(report.estimator, tmp_path / "model")
    loaded = models.load(
        tmp_path / "model",
        trusted=[
            "workbench.modality.analyzer:ModalityCompetitionAnalyzer",
            "workbench.modality.fusion:LateFusionClassifier",
        ],
    )
    np.testing.assert_array_equal(loaded.predict(X), report.estimator.predict(X))
    assert loaded.headline_ == report.headline


def test_recipe_does_not_divide_a_user(two_views):
    X, y = two_views
    actor = np.array([f"actor {i // 12}" for i in range(240)])
    table = Table(X.assign(actor=actor), y, {"user": ["actor"]})
    small = {**FAST, "n_seeds": 1, "n_epochs": 3, "shapley": ["mask"]}
    report = analyze(ModalityCompetitionAnalyzer(**small), table, Split(), 0, NullReporter())
    assert set(report.tables["modalities"]["modality"]) == {"a", "m"}
    rows = report.tables["samples"]["row"].unique()
    assert 0 < len(rows) < 240
    assert not set(actor[rows]) & set(np.delete(actor, rows))
    few = Table(X.assign(actor="one"), y, {"user": ["actor"]})
    with pytest.raises(DatasetError, match="fewer than three users"):
        analyze(ModalityCompetitionAnalyzer(**small), few, Split(), 0, NullReporter())


def test_race_recipe(two_views):
    X, y = two_views
    runner = RemedyRace(remedies=["none", "auxiliary"], n_epochs=6, hidden=8, depth=1, random_state=0)
    report = race(runner, Table(X, y), Split(), 0, NullReporter())
    assert set(report.tables["race"]["remedy"]) == {"none", "auxiliary"}
    assert report.tables["importance"]["kept"].sum() == 1
    assert 0 <= report.scores["test_score"] <= 1


class StopAt(Callback):
    def __init__(self, training):
        self.training, self.begun = training, -1

    def on_train_begin(self, loop):
        self.begun += 1

    def on_batch_end(self, loop):
        if self.begun == self.training and loop.epoch == 5 and loop.batch == 3:
            loop.interrupt()


def test_an_interrupted_analysis_continues(two_views, tmp_path):
    X, y = two_views
    analyzer = ModalityCompetitionAnalyzer(**{**FAST, "n_seeds": 1, "shapley": ["mask"]})
    whole = analyzer.fit(X, y).scores_
    with pytest.raises(Stopped), callbacks(Checkpoint(tmp_path), StopAt(2)):
        analyzer.fit(X, y)
    with callbacks(Checkpoint(tmp_path)):
        assert analyzer.fit(X, y).scores_ == whole

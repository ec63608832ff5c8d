"""A run of every recipe on small data, and its exported script, which has to reach the same scores."""

import signal

import numpy as np
import pandas as pd
import pytest

from workbench.arrays import Split
from workbench.bidding.generate import generate_log
from workbench.datasets.joining import join_series
from workbench.models import save
from workbench.notebook import as_script
from workbench.runs import process, queue
from workbench.runs.worker import read_result
from workbench.timeseries import CSL

pytestmark = pytest.mark.slow

CSL_SMALL = {"n_epochs": 1, "n_scales": 2, "n_shapelets": 9, "device": "cpu"}
TASK = {"encoders": [{"$estimator": "timeseries.CSL", "params": CSL_SMALL}]}
CLICKS = {"embedding_dim": 4, "n_epochs": 2, "batch_size": 128, "device": "cpu"}
HOST = {"n_epochs": 8, "batch_size": 32, "device": "cpu"}
VIEWS = {"n_epochs": 3, "hidden": 8, "depth": 1, "batch_size": 16, "device": "cpu"}


def series(store, name="waves", n=30, steps=24, target=None, seed=0):
    """Waves of three kinds; a third of them is for the test."""
    rng, t = np.random.default_rng(seed), np.arange(steps)
    kind = np.arange(n) % 3
    waves = np.stack([np.sin(t / 2), np.sign(np.sin(t / 4)), t % 10 / 5 - 1])[kind]
    X = np.stack([waves, -waves], axis=2) + rng.normal(0, 0.2, (n, steps, 2))
    y = np.array(["sine", "square", "saw"])[kind] if target is None else X[:, :, 0].mean(axis=1)
    return store.datasets.publish_arrays(X, y, name=name)


def recording(store, name="plant"):
    """One series of two values with a day of 24 steps, two anomalies and a gap."""
    rng, t = np.random.default_rng(0), np.arange(400)
    load = np.sin(2 * np.pi * t / 24) + rng.normal(0, 0.1, 400)
    heat = np.cos(2 * np.pi * t / 24) + rng.normal(0, 0.1, 400)
    anomaly = ((t >= 300) & (t < 312) | (t >= 350) & (t < 360)).astype(int)
    load[anomaly == 1], heat[100:106] = 2.5, np.nan
    frame = pd.DataFrame({"time": t, "load": load, "heat": heat, "anomaly": anomaly})
    return store.datasets.publish_frame(frame, name)


def joined(store):
    """Two data sets of which the second is pre-trained on, the first tested."""
    parts = [series(store, "first"), series(store, "second", n=20, steps=30, seed=1)]
    return join_series(store.datasets, parts, "both", split=Split())


def shifted(store):
    parts = [series(store, "source"), series(store, "target", n=21, seed=1)]
    return join_series(store.datasets, parts, "shift", domain=True)


def clicks(store):
    rng, n = np.random.default_rng(0), 1200
    a, b = rng.integers(6, size=n), rng.integers(6, size=n)
    frame = pd.DataFrame({"a": a.astype(str), "b": b.astype(str), "x": rng.normal(size=n)})
    logit = np.array([-2, 0, 1, 2, -1, 0])[a] + np.array([2, -1, 0, -2, 1, 0])[b] + 1.5 * frame["x"]
    frame["click"] = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    return store.datasets.publish_frame(frame, "clicks", roles={"field": list("abx"), "label": ["click"]})


def auctions(store):
    log = generate_log(300, n_merchants=20, n_candidates=8, n_calibration=400, random_state=0)
    return store.datasets.publish_frame(log.to_frame(), "auctions")


def own_log(store):
    rng, n = np.random.default_rng(3), 2000
    pctr = np.clip(rng.lognormal(-3.5, 0.7, n), 0, 1)
    price = np.clip(np.round(rng.gamma(2.0, 20, n)), 1, 200)
    frame = pd.DataFrame({"click": (rng.random(n) < pctr).astype(int), "price": price, "pctr": pctr})
    roles = {"label": ["click"], "price": ["price"], "pctr": ["pctr"]}
    return store.datasets.publish_frame(frame, "mine", roles=roles)


def views(store, several=False):
    """Two modalities, each of which tells one class of three; or the same as two labels."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=150)
    parts = {f"a_{i}": rng.normal(size=150) + 2.5 * (y == 0) for i in range(3)}
    parts |= {f"m_{i}": rng.normal(size=150) + 2.5 * (y == 1) for i in range(3)}
    roles = {f"modality:{part}": [f"{part}_{i}" for i in range(3)] for part in "am"}
    if several:
        frame = pd.DataFrame(parts).assign(quiet=(y == 0).astype(float), moving=(y == 1).astype(float))
        return store.datasets.publish_frame(frame, "moods", roles=roles | {"labels": ["quiet", "moving"]})
    frame = pd.DataFrame(parts).assign(label=np.array(["rest", "walk", "talk"])[y])
    return store.datasets.publish_frame(frame, "views", roles=roles | {"label": ["label"]})


def several(store):
    return views(store, several=True)


def targets(store):
    return series(store, "targets", target="mean")


CASES = {
    "represent": ("timeseries.CSL", series, CSL_SMALL, {}),
    "represent, joined": ("timeseries.CSL", joined, CSL_SMALL, {}),
    "classify": ("timeseries.UniTSClassifier", series, TASK | {"penalty": 1.0}, {}),
    "classify, joined": ("timeseries.UniTSClassifier", joined, TASK | {"penalty": 1.0}, {}),
    "classify, shifted": ("timeseries.UniTSClassifier", shifted, TASK | {"penalty": 1.0}, {}),
    "a trial": ("timeseries.UniTSClassifier", series, TASK | {"penalty": 1.0}, {"split": Split(inner=True)}),
    "regress": ("timeseries.UniTSRegressor", targets, TASK, {}),
    "cluster": ("timeseries.UniTSClusterer", series, TASK | {"n_clusters": 3}, {}),
    "detect": ("timeseries.UniTSAnomalyDetector", recording, TASK, {}),
    "forecast": ("timeseries.UniTSForecaster", recording, TASK | {"horizon": 6}, {}),
    "impute": ("timeseries.UniTSImputer", recording, TASK, {}),
    "click model": ("ctr.DeepFMClassifier", clicks, CLICKS | {"hidden": [8]}, {}),
    "field selection": ("selection.MutualInformationSelector", clicks, {}, {}),
    "field gates": (
        "selection.LPFS",
        clicks,
        {"estimator": {"$estimator": "ctr.LRClassifier", "params": HOST}},
        {},
    ),
    "market": ("bidding.MarketComparison", auctions, {"bidders": "Manual, UniformScale, PID, A2C"}, {}),
    "one bidder": ("bidding.PID", auctions, {}, {}),
    "replay": ("bidding.ReplayComparison", own_log, {"bidders": "MCPC, Linear, PID", "episode": 300}, {}),
    "modalities": ("modality.ModalityCompetitionAnalyzer", views, VIEWS | {"n_seeds": 1}, {}),
    "late fusion": ("modality.LateFusionClassifier", views, VIEWS | {"remedy": "umt"}, {}),
    "late fusion, several labels": ("modality.LateFusionClassifier", several, VIEWS, {}),
    "race": ("modality.RemedyRace", views, VIEWS | {"remedies": ["none", "auxiliary"]}, {}),
    "scikit-learn": ("sklearn.ensemble:HistGradientBoostingClassifier", clicks, {"max_iter": 5}, {}),
}


def done(store, run):
    """The run, carried out here by what its process does: the start of one takes seconds."""
    before = signal.getsignal(signal.SIGTERM)
    row = queue.claim(store.dir, "w", "cpu", ("cpu", "auto"), lease=600)
    assert row["id"] == run.id
    process.main(run.folder)
    signal.signal(signal.SIGTERM, before)
    queue.finish(store.dir, run.id, "w", **read_result(run.folder))
    run = store.run(run.id)
    assert run.state == "done", run.error
    return run


@pytest.mark.parametrize("case", CASES)
def test_the_script_reaches_the_scores_of_the_run(store, case):
    estimator, data, params, options = CASES[case]
    run = done(store, store.submit(estimator, data(store), params=params, seed=3, **options))
    script = as_script(run)
    assert "recorded = {" in script
    made = {}
    exec(script, made)  # noqa: S102 - our own script; it asserts the run's scores
    assert len(made["recorded"]) >= 1


def test_a_saved_model_is_applied_again(store, tmp_path):
    data = series(store, "waves")
    save(CSL(**CSL_SMALL, random_state=0).fit(data.to_series().X), tmp_path / "model")
    store.models.add(tmp_path / "model", "shapes")
    store.models.set_alias("shapes@1", "champion")
    run = done(store, store.apply("shapes@champion", data))
    assert run.spec["estimator"] == "model:shapes@1"  # also when another version is the champion
    made = {}
    exec(as_script(run), made)  # noqa: S102
    assert made["report"].tables.keys() == run.report().tables.keys()

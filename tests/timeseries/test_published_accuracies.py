"""Accuracies that the papers, or others, report, on the archive's sets: ``pytest -m proof --data DIR``.

Each is given 0.03. T-Loss: an SVM on the features as they are, as published; TS2Vec and TS-TCC: a frozen
encoder, which was reported of 5 seeds.
"""

import numpy as np
import pytest
from aeon.datasets import load_from_ts_file
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from tests.timeseries.conftest import padded
from workbench.timeseries import CSL, TNC, TST, TSTCC, TLoss, TS2Vec
from workbench.timeseries.evaluation import fit_probe

pytestmark = pytest.mark.proof


@pytest.fixture
def archive(request):
    folder = request.config.getoption("--data")

    def read(name):
        parts = [load_from_ts_file(str(folder / "uea" / name / f"{name}_{p}.ts")) for p in ("TRAIN", "TEST")]
        (X, y), (X_test, y_test) = parts
        return padded(X), y, padded(X_test), y_test

    return read


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("BasicMotions", 1.0),
        ("Epilepsy", 0.957),
        ("NATOPS", 0.944),
        ("RacketSports", 0.862),
        ("UWaveGestureLibrary", 0.884),
    ],
)
def test_tloss(archive, name, published):
    X, y, X_test, y_test = archive(name)
    # 1500 steps of batches of 10, as in the authors' own runs.
    epochs = round(1500 / (len(X) / 10))
    model = TLoss(n_epochs=epochs, random_state=0).fit(X)
    Z = model.transform(X)
    svm = SVC(C=1e9, gamma="scale")
    if len(X) >= 50 and np.unique(y, return_counts=True)[1].min() >= 5:
        svm = GridSearchCV(svm, {"C": [10.0**k for k in range(-4, 5)] + [1e9]}, cv=5)
    accuracy = svm.fit(Z, y).score(model.transform(X_test), y_test)
    print(f"TLoss on {name}: {accuracy:.3f} (published {published})")
    assert accuracy >= published - 0.03


@pytest.mark.parametrize(
    ("encoder", "reported"),
    # Batches of 8 make the 600 steps that its authors take for a set of this size.
    [(TS2Vec(n_epochs=40, batch_size=8), 0.934), (TSTCC(n_epochs=40), 0.8317)],
)
def test_frozen_encoder_on_uwave(archive, encoder, reported):
    """The mean over seeds, under the kind of head that the method's own paper has."""
    X, y, X_test, y_test = archive("UWaveGestureLibrary")
    accuracies, name = [], type(encoder).__name__
    for seed in range(3):
        model = clone(encoder).set_params(random_state=seed).fit(X)
        Z, Z_test = model.transform(X), model.transform(X_test)
        if isinstance(encoder, TSTCC):
            linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
            head = GridSearchCV(linear, {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}, cv=5).fit(Z, y)
        else:
            head = fit_probe(Z, y).model
        accuracies.append(head.score(Z_test, y_test))
    print(f"{name} on UWaveGestureLibrary: {np.mean(accuracies):.3f} of {accuracies} (reported {reported})")
    assert np.mean(accuracies) >= reported - 0.03


@pytest.mark.parametrize("encoder", [CSL, TNC, TST])
def test_training_is_worth_more_than_the_random_network(archive, encoder):
    """Of which nobody reported figures by this protocol: the mean over some sets, trained and not.

    TST under a linear head on the features of all steps, as in its paper. Means over the steps are not better
    for its training: on NATOPS they are worse.
    """
    found = []
    for name in ("BasicMotions", "RacketSports", "NATOPS", "Epilepsy"):
        X, y, X_test, y_test = archive(name)
        accuracies = []
        for options in ({"n_epochs": 0}, {}):
            model = encoder(random_state=0, **options).fit(X)
            if encoder is TST:
                Z, Z_test = (model.encode(part).reshape(len(part), -1) for part in (X, X_test))
                head = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(0, 5, 11))).fit(Z, y)
            else:
                Z, Z_test = model.transform(X), model.transform(X_test)
                head = fit_probe(Z, y).model
            accuracies.append(head.score(Z_test, y_test))
        print("{} on {}: untrained {:.3f}, trained {:.3f}".format(encoder.__name__, name, *accuracies))
        found.append(accuracies)
    untrained, trained = np.mean(found, axis=0)
    assert trained >= untrained

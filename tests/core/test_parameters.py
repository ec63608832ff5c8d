"""Parameters are described by the estimator itself."""

import pytest
from sklearn.cluster import KMeans
from sklearn.svm import SVC

from workbench.errors import UsageError
from workbench.parameters import describe, parse_value


def described(cls):
    return {parameter.name: parameter for parameter in describe(cls)}


def test_kinds_bounds_and_words_come_from_the_constraints():
    svc = described(SVC)
    assert (svc["C"].kind, svc["C"].low, svc["C"].low_open) == ("float", 0.0, True)
    assert (svc["gamma"].kind, svc["gamma"].choices) == ("float", ("auto", "scale"))
    assert svc["kernel"].kind == "choice"
    assert "rbf" in svc["kernel"].choices
    assert svc["shrinking"].kind == "bool"
    assert svc["random_state"].optional
    assert svc["kernel"].default == "rbf"


def test_documentation_comes_from_numpydoc(third_party):
    from acme_workbench import BandPower

    bands = described(BandPower)
    assert bands["n_bands"].doc == "Number of bands. They divide the frequencies evenly."
    assert bands["n_bands"].summary == "Number of bands."
    assert (bands["n_bands"].low, bands["n_bands"].high) == (1, 64)
    assert bands["scale"].choices == ("linear", "log")


@pytest.mark.parametrize(
    ("cls", "name", "text", "value"),
    [
        (SVC, "C", "0.5", 0.5),
        (SVC, "gamma", "scale", "scale"),
        (SVC, "gamma", "1e-3", 1e-3),
        (SVC, "random_state", "None", None),
        (SVC, "random_state", "3", 3),
        (SVC, "shrinking", "false", False),
        (SVC, "kernel", "rbf", "rbf"),
        (KMeans, "n_clusters", "5", 5),
    ],
)
def test_values_are_read_as_their_kind(cls, name, text, value):
    read = parse_value(described(cls)[name], text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("cls", "name", "text", "sentence"),
    [
        (KMeans, "n_clusters", "5.5", "n_clusters must be a whole number, not '5.5'"),
        (SVC, "kernel", "rbff", "Did you mean 'rbf'"),
        (SVC, "gamma", "skale", "a number or 'auto' or 'scale'"),
        (SVC, "shrinking", "maybe", "true or false"),
    ],
)
def test_a_wrong_value_is_one_sentence(cls, name, text, sentence):
    with pytest.raises(UsageError, match=sentence):
        parse_value(described(cls)[name], text)

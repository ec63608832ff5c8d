"""The champion and other aliases of models."""

import pytest
from sklearn.linear_model import LogisticRegression

from workbench.errors import ModelError, UsageError
from workbench.models import save


@pytest.fixture
def three(store, tmp_path):
    """A model with three versions."""
    save(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "model")
    for _ in range(3):
        store.models.add(tmp_path / "model", "churn", run="r")
    return store.models


def test_an_alias_moves_from_version_to_version(three):
    assert three.aliased("churn") is None
    assert three.set_alias("churn@1", "champion")
    assert three.set_alias("churn@2", "challenger")
    assert three.set_alias("churn@3", "champion")
    assert three.aliased("churn").ref == "churn@3"
    assert three.aliases("churn") == {"challenger": 2, "champion": 3}


def test_what_was_compared_with_one_champion_does_not_replace_another(three):
    assert three.set_alias("churn@1", "champion", instead_of=None)
    assert not three.set_alias("churn@2", "champion", instead_of=None)
    assert three.set_alias("churn@2", "champion", instead_of=1)
    assert three.set_alias("churn@2", "champion", instead_of=1)  # done again after a crash
    assert not three.set_alias("churn@3", "champion", instead_of=1)
    assert three.aliased("churn").version == 2


def test_a_version_with_an_alias_is_not_deleted(three):
    three.set_alias("churn@1", "champion")
    with pytest.raises(ModelError, match="churn@1 is the champion"):
        three.delete("churn@1")
    three.set_alias("churn@2", "champion")
    three.delete("churn@1")
    assert [model.version for model in three.list()] == [3, 2]


def test_of_run_finds_the_first_version_that_a_run_made(three):
    assert three.of_run("r", "churn").version == 1
    assert three.of_run("other", "churn") is None


@pytest.mark.parametrize(("ref", "alias"), [("churn@9", "champion"), ("churn@1", "a/b"), ("churn@1", "")])
def test_a_wrong_name_is_one_sentence(three, ref, alias):
    with pytest.raises(UsageError):
        three.set_alias(ref, alias)

"""The champion and other aliases of models."""

import json

import pytest
from sklearn.linear_model import LogisticRegression
from streamlit.testing.v1 import AppTest

from workbench.cli import main
from workbench.errors import ModelError, UsageError
from workbench.gui.config import PAGES
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


def test_a_version_is_found_by_its_alias_and_lists_say_it(three):
    three.set_alias("churn@2", "champion")
    three.set_alias("churn@2", "challenger")
    assert three.get("churn@champion").ref == "churn@2"
    assert three.get("churn@champion").aliases == ("challenger", "champion")
    assert [model.aliases for model in three.list()] == [(), ("challenger", "champion"), ()]
    three.remove_alias("churn", "champion")
    with pytest.raises(UsageError, match=r"called 'champion'; its aliases are: challenger \(version 2\)"):
        three.get("churn@champion")
    with pytest.raises(UsageError, match="no model 'none'"):
        three.get("none@champion")
    with pytest.raises(UsageError, match="read as a version"):
        three.set_alias("churn@1", "7")
    three.remove_alias("churn", "challenger")
    three.delete("churn@2")


def test_the_commands_name_and_unname(three, store, capsys):
    at = ["--store", str(store.root), "models"]
    assert main([*at, "alias", "churn", "champion"]) == 0
    assert main([*at, "alias", "churn@1", "challenger"]) == 0
    assert main([*at, "list"]) == 0
    assert ["churn@3", "champion"] in [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert main([*at, "show", "churn@challenger", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ref"] == "churn@1"
    assert main([*at, "delete", "churn@1"]) == 1
    assert "remove that alias first" in capsys.readouterr().err
    assert main([*at, "unalias", "churn", "challenger"]) == 0
    assert main([*at, "delete", "churn@1"]) == 0
    assert main([*at, "unalias", "churn", "challenger"]) == 2
    assert three.aliases("churn") == {"champion": 3}


def test_the_page_names_and_unnames(three, store, monkeypatch):
    monkeypatch.setenv("WORKBENCH_STORE", str(store.root))
    three.set_alias("churn@1", "champion")
    app = AppTest.from_file(PAGES / "models.py", default_timeout=60)
    app.query_params["model"] = "churn@2"
    app.run()
    assert app.dataframe[0].value["aliases"].tolist() == ["", "", "champion"]
    app.multiselect[0].set_value(["champion", "nightly"]).run()
    assert not app.exception, app.exception
    assert three.aliases("churn") == {"champion": 2, "nightly": 2}
    assert app.dataframe[0].value["aliases"].tolist() == ["", "champion, nightly", ""]
    app.multiselect[0].set_value(["nightly"]).run()
    assert three.aliases("churn") == {"nightly": 2}

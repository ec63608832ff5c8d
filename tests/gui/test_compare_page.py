"""The page that puts runs side by side."""

import pytest

from workbench.runs import queue


@pytest.fixture
def pair(filled):
    """Two finished runs of one method with different seeds, and one of another."""
    made = []
    for seed, params in ((0, {}), (1, {}), (0, {"n_epochs": 7}), (1, {"n_epochs": 7})):
        run = filled.submit("timeseries.CSL", "Italy", seed=seed, params=params, name="same name")
        queue.claim(filled.dir, "test", "cpu", ("cpu", "auto"), lease=60)
        scores = {"test_accuracy": 0.5 + seed / 10 + 0.2 * bool(params)}
        points = [("encode/loss", step, 1 / step, 0.0) for step in (1, 2, 3)]
        queue.ingest(filled.dir, run.id, "test", start=0, end=1, metrics=points, state={})
        queue.finish(filled.dir, run.id, "test", "failed" if params else "done", scores=scores)
        made.append(run.id)
    return made


def test_without_runs_the_page_says_how_to_choose_them(store, open_page):
    app = open_page("compare")
    assert any("select their rows" in info.value for info in app.info)


def test_a_link_restores_the_runs_and_the_choices(filled, pair, open_page):
    app = open_page("compare", runs=",".join(pair), score="test_accuracy", lines="Groups")
    assert app.dataframe[0].value["id"].tolist() == pair
    changed = app.dataframe[1].value.set_index("parameter")
    assert set(changed.index) == {"n_epochs", "random_state", "seed"}
    assert changed.loc["n_epochs"].tolist() == ["200", "200", "7", "7"]
    assert app.selectbox(key="score").value == "test_accuracy"
    assert any(f"runs={','.join(pair)}" in code.value for code in app.code)


def test_a_run_that_is_gone_is_said_and_the_others_are_shown(filled, pair, open_page):
    app = open_page("compare", runs=f"nothing,{pair[0]}")
    assert "nothing" in app.error[0].value
    assert app.dataframe[0].value["id"].tolist() == [pair[0]]

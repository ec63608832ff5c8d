"""Runs side by side: what differs, groups over seeds, curves, and the score matrix."""

import json
import math

import numpy as np
import pytest

from workbench.cli import main
from workbench.comparison import Comparison, less_is_better
from workbench.errors import RunNotFound, UsageError
from workbench.plots import compare as plots
from workbench.significance import average_ranks

FOREST = "sklearn.ensemble:RandomForestClassifier"
LOGISTIC = "sklearn.linear_model:LogisticRegression"


@pytest.fixture
def grid(record, tables):
    """Two methods by three data sets by three seeds; the second is better by 0.1 everywhere."""
    found = []
    for j, ref in enumerate(tables):
        for seed in range(3):
            base = 0.5 + 0.1 * j + 0.01 * seed
            for trees, gain in ((10, 0.0), (50, 0.1)):
                accuracy = base + gain
                curve = [1 - base, 0.5 - gain, 0.6 - gain]
                found.append(
                    record(
                        FOREST, ref, {"test_accuracy": accuracy}, curve=curve, seed=seed, n_estimators=trees
                    )
                )
    return found


def test_only_what_differs_is_shown_defaults_counted(record, tables):
    given = record(LOGISTIC, tables[0], {"a": 1.0}, C=1.0, fit_intercept=False)
    default = record(LOGISTIC, tables[0], {"a": 2.0}, seed=4)
    table = Comparison([given, default]).parameters().set_index("parameter")
    assert set(table.index) == {"fit_intercept", "random_state", "seed"}  # C was given as it is by default
    assert table.loc["fit_intercept", given.id] is False
    assert table.loc["fit_intercept", default.id] is True
    assert table.loc["seed", default.id] == 4
    assert table.loc["seed", "kind"] == "setting"


def test_versions_and_commits_that_differ_are_the_environment(store, record, tables):
    first, second = (record(LOGISTIC, tables[0], {}) for _ in range(2))
    spec = {**second.spec, "versions": {**second.spec["versions"], "numpy": "0.1"}, "git_commit": "beef"}
    with store.dir.write() as db:
        db.execute("UPDATE runs SET spec = ? WHERE id = ?", (json.dumps(spec), second.id))
    table = store.compare([first.id, second.id]).parameters()
    assert set(table["parameter"]) == {"git commit", "version of numpy"}
    assert set(table["kind"]) == {"environment"}


def test_groups_differ_by_their_seed_only(grid):
    compared = Comparison(grid)
    assert set(compared.methods.values()) == {
        "n_estimators=10",
        "n_estimators=50",
    }
    groups = compared.groups()
    assert groups["group"].value_counts().tolist() == [3] * 6
    assert groups["group"][0] == "n_estimators=10 on north@1"


def test_a_method_is_called_by_its_estimator_where_there_are_several(record, tables):
    forest = record(FOREST, tables[0], {"a": 1.0}, n_estimators=5)
    other = record(FOREST, tables[0], {"a": 1.0}, n_estimators=6)
    line = record(LOGISTIC, tables[0], {"a": 1.0})
    assert list(Comparison([forest, other, line]).methods.values()) == [
        "RandomForestClassifier n_estimators=5",
        "RandomForestClassifier n_estimators=6",
        "LogisticRegression",
    ]


def test_mean_and_sample_sd_over_seeds(grid):
    table = Comparison(grid).summary("test_accuracy")
    assert len(table) == 6
    north = table[table["dataset"] == "north@1"]
    assert north["method"].str.endswith("=50").tolist() == [True, False]  # the better first
    np.testing.assert_allclose(north["mean"], [0.61, 0.51])
    np.testing.assert_allclose(north["sd"], [0.01, 0.01])  # of 0, 0.01, 0.02 with n - 1
    np.testing.assert_allclose(north["best"], [0.62, 0.52])


def test_a_single_run_has_no_sd_and_a_loss_is_best_when_small(record, tables):
    low = record(LOGISTIC, tables[0], {"log_loss": 0.2})
    high = record(LOGISTIC, tables[0], {"log_loss": 0.4}, C=2.0)
    table = Comparison([high, low]).summary("log_loss")
    assert table["mean"].tolist() == [0.2, 0.4]
    assert table["sd"].isna().all()


def test_the_matrix_pairs_by_data_set_or_by_seed(grid):
    compared = Comparison(grid)
    by_dataset = compared.matrix("test_accuracy")
    assert by_dataset.shape == (3, 2)
    np.testing.assert_allclose(by_dataset.iloc[:, 0], [0.51, 0.61, 0.71])
    assert compared.matrix("test_accuracy", "seed").shape == (9, 2)
    one = Comparison([run for run in grid if run.dataset == "north@1"])
    assert one.matrix("test_accuracy").index.names == ["dataset", "seed"]
    ranks = average_ranks(by_dataset)
    assert ranks.average.index[0].endswith("=50")


def test_runs_that_are_not_done_are_not_tested(store, grid, tables):
    queued = store.submit(FOREST, tables[0], params={"n_estimators": 3}, seed=9)
    compared = Comparison([*grid, queued])
    assert compared.matrix("test_accuracy").shape == (3, 2)
    assert math.isnan(compared.scores().loc[0, queued.id])


def test_best_and_last_of_a_curve_and_its_band(grid):
    compared = Comparison(grid)
    ending = compared.endings().set_index("run").loc[grid[0].id]
    assert (ending["best"], ending["best_step"], ending["last"], ending["last_step"]) == (0.5, 1, 0.6, 3)
    band = compared.bands("fit/loss")
    first = band[band["group"] == "n_estimators=10 on north@1"].reset_index()
    assert first["n"].tolist() == [3, 3, 3]
    np.testing.assert_allclose(first["mean"], [0.49, 0.5, 0.6])
    np.testing.assert_allclose(first["sd"], [0.01, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "less"),
    [
        ("fit/loss", True),
        ("test_log_loss", True),
        ("test_mae", True),
        ("test_accuracy", False),
        ("nmi", False),
    ],
)
def test_the_direction_is_by_the_name(name, less):
    assert less_is_better(name) is less


def test_wrong_names_are_one_sentence(store, grid):
    with pytest.raises(UsageError, match="No run has a score 'nope'"):
        Comparison(grid).summary("nope")
    with pytest.raises(UsageError, match="Name the runs"):
        Comparison([])
    with pytest.raises(RunNotFound):
        store.compare(["nothing"])


def test_figures_hold_the_numbers(grid):
    compared = Comparison(grid)
    points = compared.curves
    fig = plots.overlay(points, {run.id: run.name for run in grid}, y_title="Loss")
    assert len(fig.data) == 18
    assert list(fig.data[0].y) == [0.5, 0.5, 0.6]
    assert len({(trace.line.color, trace.line.dash) for trace in fig.data}) == 18
    banded = plots.bands(compared.bands("fit/loss"), y_title="Loss")
    assert sum(trace.mode is not None for trace in banded.data) == 6
    summary = compared.summary("test_accuracy")
    dots = plots.spread(summary, compared.values("test_accuracy"), score="test_accuracy")
    assert len(dots.data[0].x) == 18
    np.testing.assert_allclose(dots.data[1].error_x.array, summary["sd"])
    ranks = average_ranks(compared.matrix("test_accuracy"))
    drawn = plots.average_ranks(ranks)
    assert list(drawn.data[0].x) == [1, 2]
    bar = drawn.data[-1].x
    assert bar[1] - bar[0] == pytest.approx(ranks.critical_difference)


def test_the_command_prints_the_same_tables(store, grid, capsys):
    ids = [run.id for run in grid]
    assert main(["--store", str(store.root), "runs", "compare", *ids, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["score"] == "test_accuracy"
    assert len(told["groups"]) == 6
    assert told["pairs"][0]["n"] == 3
    assert told["pairs"][0]["p_holm"] == told["pairs"][0]["least_p"] == 0.25
    assert {row["parameter"] for row in told["parameters"]} >= {"n_estimators", "data set", "seed"}
    assert told["ranks"]["n_blocks"] == 3
    assert main(["--store", str(store.root), "runs", "compare", *ids]) == 0
    assert "average ranks over 3" in capsys.readouterr().out
    assert main(["--store", str(store.root), "runs", "compare", "nothing"]) == 1

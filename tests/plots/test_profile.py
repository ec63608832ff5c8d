from workbench.plots import profile
from workbench.plots.template import class_colours

PROFILE = {
    "n_rows": 200,
    "sampled": False,
    "columns": [
        {
            "name": "x",
            "type": "DOUBLE",
            "kind": "number",
            "missing": 50,
            "distinct": 120,
            "min": -1.23456,
            "max": 2.0,
            "mean": 0.5,
            "std": 1.0,
            "quantiles": {"0.5": 0.25},
            "histogram": {"edges": [0.0, 1.0, 2.0], "counts": [100, 50], "epoch": False},
        },
        {
            "name": "<i>c</i>",
            "type": "VARCHAR",
            "kind": "text",
            "missing": 0,
            "distinct": 2,
            "top": [["<b>", 150], ["q", 50]],
        },
        {
            "name": "when",
            "type": "TIMESTAMP",
            "kind": "time",
            "missing": 0,
            "distinct": 3,
            "min": "2020-01-01T00:00:00",
            "max": "2020-01-03T00:00:00",
            "histogram": {"edges": [0.0, 86400.0, 172800.0], "counts": [1, 2], "epoch": True},
        },
        {"name": "empty", "type": "DOUBLE", "kind": "number", "missing": 200, "distinct": 0},
    ],
    "series": {"n_series": 20, "label": [["b", 12], ["a", 8], [None, 1]]},
}


def test_the_overview_has_a_row_a_column_with_short_numbers():
    table = profile.overview(PROFILE).set_index("column")
    assert table.loc["x", ["missing", "min", "median"]].tolist() == [0.25, "-1.235", "0.25"]
    assert table.loc["empty", "min"] == ""


def test_missing_values_are_shares_with_the_worst_on_top():
    fig = profile.missing(PROFILE)
    assert list(fig.data[0].y) == ["x", "empty"]
    assert list(fig.data[0].x) == [0.25, 1.0]
    assert profile.missing({"n_rows": 1, "columns": [{"name": "a", "missing": 0}]}) is None


def test_numbers_have_a_histogram_with_bars_between_the_edges():
    fig = profile.distribution(PROFILE, "x")
    assert list(fig.data[0].x) == [0.5, 1.5]
    assert list(fig.data[0].y) == [100, 50]
    assert (fig.layout.xaxis.title.text, fig.layout.yaxis.title.text) == ("x", "Rows")


def test_words_have_their_most_frequent_values_as_text():
    fig = profile.distribution(PROFILE, "<i>c</i>")
    assert list(fig.data[0].y) == ["q", "&lt;b>"]
    assert list(fig.data[0].x) == [50, 150]


def test_times_have_a_histogram_over_dates():
    assert str(profile.distribution(PROFILE, "when").data[0].x[0]).startswith("1970-01-01")


def test_an_empty_column_has_nothing_to_draw():
    assert profile.distribution(PROFILE, "empty") is None


def test_a_sample_says_that_it_is_one():
    assert (
        profile.distribution({**PROFILE, "sampled": True}, "x").layout.yaxis.title.text
        == "Rows in the sample"
    )


def test_classes_have_their_colours():
    fig = profile.classes(PROFILE)
    assert list(fig.data[0].x) == ["a", "b"]
    assert list(fig.data[0].y) == [8, 12]
    assert list(fig.data[0].marker.color) == list(class_colours(["a", "b"]).values())
    assert profile.classes({"n_rows": 1, "columns": []}) is None

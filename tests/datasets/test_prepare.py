"""Preparation against pandas and by hand; nothing leaks from test to train; recipes replay."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.datasets.conftest import leftovers
from workbench.datasets.prepare import (
    AggregateDuplicates,
    FillGaps,
    LabelWindow,
    NegativeSampling,
    Preparation,
    Resample,
    Sessions,
    SplitRows,
    Unpack,
    Vectorise,
    Windows,
)
from workbench.datasets.prepare.step import parse_span
from workbench.errors import DatasetError, UsageError


@pytest.fixture(scope="module")
def datasets(shared):
    return shared


@pytest.fixture(scope="module")
def messy(datasets):
    """Two machines, read irregularly, with duplicates, gaps and NaN."""
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.choice(3600, 400))
    frame = pd.DataFrame(
        {
            "series_id": rng.choice(["m1", "it's"], 400),
            "time": pd.Timestamp("2024-03-01") + pd.to_timedelta(seconds, "s"),
            "x": np.where(rng.random(400) < 0.1, np.nan, rng.normal(size=400)),
            "y": rng.normal(size=400),
            "label": 0,
        }
    )
    frame.loc[(seconds > 1000) & (seconds < 1500), "label"] = 1
    frame = frame[(seconds < 2000) | (seconds > 2400)]
    return datasets.publish_frame(
        frame,
        "messy",
        roles={"series_id": "series_id", "time": "time", "value": ["x", "y"], "label": "label"},
    )


def _recording(datasets, name, n=100, **columns):
    frame = pd.DataFrame({"time": np.arange(n), "x": np.arange(n, dtype=float)} | columns)
    roles = {"time": "time", "value": ["x"]} | {role: role for role in columns if role == "label"}
    return datasets.publish_frame(frame, name, roles=roles)


def test_resample_agrees_with_pandas(messy):
    made = Preparation([Resample(every="5 min", how="mean")]).apply(messy, "resampled").frame()
    expected = (
        messy.frame()
        .groupby(["series_id", pd.Grouper(key="time", freq="5min")])[["x", "y"]]
        .mean()
        .dropna(how="all")
    )
    np.testing.assert_allclose(made.set_index(["series_id", "time"])[["x", "y"]], expected)


@pytest.mark.parametrize("how", ["mean", "median", "min", "max", "sum", "first", "last"])
def test_duplicates_agree_with_pandas(datasets, how):
    frame = pd.DataFrame({"time": [2, 1, 1, 1, 2], "x": [5.0, 1, 2, 6, np.nan]})
    made = (
        Preparation([AggregateDuplicates(how=how)])
        .apply(datasets.publish_frame(frame, "again"), "once")
        .frame()
    )
    assert made["time"].tolist() == [1, 2]
    if how in ("first", "last"):  # of the same time: any of them
        assert made["x"][0] in (1, 2, 6)
    else:
        assert made["x"][0] == getattr(frame["x"][frame["time"] == 1], how)()
    assert made["x"][1] == 5


@pytest.mark.parametrize(
    ("method", "limit"), [("linear", None), ("previous", None), ("linear", 2), ("value", None)]
)
def test_filling_agrees_with_pandas(messy, method, limit):
    steps = [Resample(every="1 min"), FillGaps(every="1 min", method=method, limit=limit, value=-1.0)]
    made = Preparation(steps).apply(messy, "filled").frame()
    for sid, ours in made.groupby("series_id"):
        source = messy.frame().loc[messy.frame()["series_id"] == sid].set_index("time")[["x", "y"]]
        grid = source.resample("1min").mean()
        assert ours["time"].tolist() == grid.index.tolist()
        if method == "value":
            theirs = grid.fillna(-1.0)
        elif method == "previous":
            theirs = grid.ffill()
        else:
            theirs = grid.interpolate(limit_area="inside")
        if limit is not None:  # whole gaps that are too long stay
            for name in grid:
                missing = grid[name].isna()
                run = missing.groupby((~missing).cumsum()).transform("sum")
                theirs.loc[missing & (run > limit), name] = np.nan
        np.testing.assert_allclose(ours[["x", "y"]], theirs)
        assert not ours["label"].isna().any()


def test_keeping_gaps_adds_rows_only(datasets):
    frame = pd.DataFrame({"time": [0.0, 0.5, 2.0], "x": [1.0, 2.0, 3.0]})
    dataset = datasets.publish_frame(frame, "gappy")
    made = Preparation([FillGaps(every=0.5, method="keep")]).apply(dataset, "kept").frame()
    assert made["time"].tolist() == [0, 0.5, 1, 1.5, 2]
    np.testing.assert_array_equal(made["x"], [1, 2, np.nan, np.nan, 3])
    with pytest.raises(DatasetError, match="several rows of a series lie within one step: resample first"):
        Preparation([FillGaps(every=2.0)]).apply(dataset, "kept")


@pytest.mark.parametrize(("length", "stride"), [(10, None), (10, 3), (4, 7), (100, 1)])
def test_windows_agree_with_numpy(datasets, length, stride):
    made = Preparation([Windows(length=length, stride=stride)]).apply(_recording(datasets, "long"), "cut")
    expected = np.lib.stride_tricks.sliding_window_view(np.arange(100.0), length)[:: stride or length]
    np.testing.assert_array_equal(made.to_series().X[:, :, 0], expected[np.argsort(expected[:, 0])])
    assert made.roles["series_id"] == ["window"]


def test_windows_at_events_and_their_labels(datasets):
    label = np.zeros(100, int)
    label[[21, 22, 60]] = 1
    dataset = _recording(datasets, "events", alarm=np.isin(np.arange(100), [2, 20, 95]), label=label)

    def cut(how):
        step = Windows(length=10, event="alarm", value=True, before=3, label=how)
        return Preparation([step]).apply(dataset, "cut")

    data = cut("max").to_series()
    assert data.X[:, 0, 0].tolist() == [17]  # those at 2 and 95 are not whole
    assert data.y.tolist() == [1]
    assert cut("last").to_series().y.tolist() == [0]
    assert cut("majority").to_series().y.tolist() == [0]
    assert cut("none").to_series().y is None


@pytest.mark.parametrize("seed", range(6))
def test_no_row_is_ever_on_both_sides(datasets, seed):
    """Whatever the lengths, strides, gaps in time and ways to split: train and test share no row."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 60, 5)
    frame = pd.DataFrame(
        {
            "series_id": np.repeat(list("abcde"), sizes),
            "time": np.concatenate([np.sort(rng.choice(200, size, replace=False)) for size in sizes]),
        }
    )
    frame["x"] = np.arange(float(len(frame)))  # the row's number: it tells a row again wherever it goes
    dataset = datasets.publish_frame(frame, f"leaky{seed}")
    length, stride = int(rng.integers(2, 9)), int(rng.integers(1, 9))
    windows = Windows(length=length, stride=stride)
    for steps in (
        [windows, SplitRows(by="time", test_size=0.3)],
        [SplitRows(by="time", unit="row"), windows],
        [windows, SplitRows(by="group", seed=seed)],
        [SplitRows(by="group", group="series_id", seed=seed), windows],
        *([] if windows.overlaps else [[windows, SplitRows(by="random", seed=seed)]]),
    ):
        made = Preparation(steps).apply(dataset, "sides").frame()
        train, test = (set(made.loc[made["split"] == side, "x"]) for side in ("train", "test"))
        assert train.isdisjoint(test), steps
        assert train, steps
        assert test, steps
        # Brute force: every window is `length` rows of one recording that follow one another.
        for _, window in made.groupby("window"):
            assert np.array_equal(np.sort(window["x"]), window["x"].min() + np.arange(length))
        if steps[-1] != windows and steps[-1].by == "time":
            last = made.loc[made["split"] == "train", "time"].max()
            assert last < made.loc[made["split"] == "test", "time"].min()


@pytest.mark.parametrize("seed", range(3))
def test_negatives_are_never_positives_however_dense(datasets, seed):
    """Users that had nearly every item get fewer negatives, not wrong ones."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"user": rng.integers(0, 6, 80), "item": rng.integers(0, 12, 80), "time": np.arange(80)}
    )
    made = Preparation([NegativeSampling(ratio=5, seed=seed)]).apply(
        datasets.publish_frame(frame, f"dense{seed}"), "n"
    )
    found = made.frame()
    had = set(zip(frame["user"], frame["item"], strict=True))
    negative = found[found["label"] == 0]
    assert len(negative) > 0
    assert not any(pair in had for pair in zip(negative["user"], negative["item"], strict=True))
    assert (found["label"] == 1).sum() == 80


@pytest.mark.parametrize("seed", range(3))
def test_label_windows_do_not_look_at_the_present_or_the_past(datasets, seed):
    """Events at the same time and before never count; one unit later does."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user": rng.integers(0, 3, 60),
            "time": rng.integers(0, 40, 60),
            "action": rng.choice(["view", "buy"], 60, p=[0.8, 0.2]),
            "item": 1,
        }
    )
    step = LabelWindow(event="action", value="buy", horizon=5)
    made = Preparation([step]).apply(datasets.publish_frame(frame, f"future{seed}"), "l").frame()
    end = frame["time"].max()
    for row in made.itertuples():
        later = frame[
            (frame["user"] == row.user) & (frame["time"] > row.time) & (frame["time"] <= row.time + 5)
        ]
        bought = (later["action"] == "buy").any()
        expected = 1 if bought else 0 if row.time + 5 <= end else None
        assert (None if pd.isna(row.label) else row.label) == expected


def test_a_random_split_of_overlapping_windows_is_refused():
    with pytest.raises(DatasetError, match="overlap, so a random split"):
        Preparation([Windows(length=10, stride=5), SplitRows(by="random")])
    with pytest.raises(DatasetError, match="parts of one window"):
        Preparation([Windows(length=10), SplitRows(by="random", unit="row")])
    Preparation([Windows(length=10), SplitRows(by="random")])


@pytest.mark.parametrize("order", ["windows first", "split first"])
def test_a_split_by_time_shares_no_row(datasets, order):
    windows, split = Windows(length=10, stride=3), SplitRows(by="time", test_size=0.3)
    steps = [windows, split] if order == "windows first" else [SplitRows(by="time", unit="row"), windows]
    frame = Preparation(steps).apply(_recording(datasets, "long"), "cut").frame()
    train, test = (frame.loc[frame["split"] == side, "time"] for side in ("train", "test"))
    assert set(train) & set(test) == set()
    assert train.max() < test.min()
    assert test.nunique() >= 25
    assert len(frame[["window", "split"]].drop_duplicates()) == frame["window"].nunique()


def test_a_gap_keeps_train_away_from_test(datasets):
    steps = [Windows(length=5), SplitRows(by="time", gap=20)]
    frame = Preparation(steps).apply(_recording(datasets, "long"), "cut").frame()
    test = frame.loc[frame["split"] == "test", "time"].min()
    assert frame.loc[frame["split"] == "train", "time"].max() < test - 15


def test_a_split_by_group_keeps_groups_whole(messy):
    steps = [Windows(length=10, stride=5), SplitRows(by="group", test_size=0.5)]
    frame = Preparation(steps).apply(messy, "cut").frame()
    assert len(frame[["source", "split"]].drop_duplicates()) == 2
    assert set(frame["split"]) == {"train", "test"}


def test_random_splits_are_exact_and_repeat(datasets):
    rows = datasets.publish_frame(pd.DataFrame({"a": np.arange(1000), "b": 1.0}), "rows")
    sides = [
        Preparation([SplitRows(by="random", test_size=0.25, seed=seed)]).apply(rows, "s").frame()["split"]
        for seed in (0, 0, 1)
    ]
    assert [(side == "test").sum() for side in sides] == [250] * 3
    assert sides[0].tolist() == sides[1].tolist() != sides[2].tolist()


@pytest.fixture(scope="module")
def log(datasets):
    rng = np.random.default_rng(1)
    minutes = np.sort(rng.choice(20_000, 500, replace=False))
    frame = pd.DataFrame(
        {
            "user": rng.choice(list("abcd"), 500),
            "item": rng.integers(0, 300, 500),
            "time": pd.Timestamp("2024-01-01") + pd.to_timedelta(minutes, "min"),
            "action": rng.choice(["view", "buy"], 500, p=[0.9, 0.1]),
        }
    )
    return datasets.publish_frame(frame, "log")


def test_sessions_agree_with_pandas(log):
    frame = Preparation([Sessions(gap="2 h")]).apply(log, "sessions").frame().sort_values(["user", "time"])
    pause = frame.groupby("user")["time"].diff()
    number = (pause.isna() | (pause > pd.Timedelta("2h"))).groupby(frame["user"]).cumsum().astype(int)
    assert frame["session"].tolist() == [f"{u}#{n}" for u, n in zip(frame["user"], number, strict=True)]


def test_label_windows_agree_with_a_loop(log):
    frame = (
        Preparation([LabelWindow(event="action", value="buy", horizon="1 day")])
        .apply(log, "labelled")
        .frame()
    )
    end, day = frame["time"].max(), pd.Timedelta("1D")
    for row in frame.itertuples():
        later = frame[
            (frame["user"] == row.user) & (frame["time"] > row.time) & (frame["time"] <= row.time + day)
        ]
        if (later["action"] == "buy").any():
            assert row.label == 1
        elif row.time + day <= end:
            assert row.label == 0
        else:
            assert pd.isna(row.label)


def test_negatives_are_items_the_user_never_had(log):
    made = Preparation([NegativeSampling(ratio=2, seed=3)]).apply(log, "negatives")
    frame = made.frame()
    had = set(zip(log.frame()["user"], log.frame()["item"], strict=True))
    positive, negative = frame[frame["label"] == 1], frame[frame["label"] == 0]
    assert len(positive) == 500
    assert len(negative) == 1000
    assert not any(pair in had for pair in zip(negative["user"], negative["item"], strict=True))
    assert negative.duplicated(["user", "time", "item"]).sum() == 0
    assert negative["item"].nunique() > 150
    again = Preparation([NegativeSampling(ratio=2, seed=3)]).apply(log, "negatives").frame()
    pd.testing.assert_frame_equal(frame, again)


def test_text_as_tfidf_learns_from_train_and_replays(datasets):
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = ["red fox", "blue whale", "red whale", None, "unseen words only here"]
    frame = pd.DataFrame({"text": words, "split": ["train"] * 4 + ["test"]})
    dataset = datasets.publish_frame(frame, "texts")
    made = Preparation([Vectorise(column="text", n_features=10)]).apply(dataset, "vectors")
    names = made.roles["modality:text"]
    expected = TfidfVectorizer().fit(["red fox", "blue whale", "red whale", ""])
    X = expected.transform([word or "" for word in words]).toarray()
    np.testing.assert_allclose(made.frame(names), X, rtol=1e-6)
    assert not X[4].any()
    new = datasets.publish_frame(pd.DataFrame({"text": ["blue fox fox"]}), "new")
    replayed = Preparation.from_json(made.recipe).apply(new, "replayed")
    np.testing.assert_allclose(
        replayed.frame(names), expected.transform(["blue fox fox"]).toarray(), rtol=1e-6
    )
    hashed = Preparation([Vectorise(method="hashing", n_features=8, keep_text=False)]).apply(
        dataset, "hashed"
    )
    assert len(hashed.columns) == 9


def test_lists_as_a_modality_or_a_series(datasets):
    frame = pd.DataFrame({"id": [1, 2], "embedding": [[1.0, 2, 3], [4, 5, 6]], "label": ["u", "v"]})
    dataset = datasets.publish_frame(frame, "embedded")
    made = Preparation([Unpack(length=3)]).apply(dataset, "unpacked")
    assert made.roles["modality:embedding"] == ["embedding_0", "embedding_1", "embedding_2"]
    series = Preparation([Unpack(length=3, to="series")]).apply(dataset, "unpacked").to_series()
    assert series.X[:, :, 0].tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(DatasetError, match="a list of embedding is not 2 long, but 3"):
        Preparation([Unpack(length=2)]).apply(dataset, "unpacked")
    with pytest.raises(DatasetError, match="not a list of numbers"):
        Preparation([Unpack(column="label", length=2)]).apply(dataset, "unpacked")


def test_a_recipe_is_kept_shown_and_replayed(datasets, messy):
    steps = [Resample(every="1 min"), FillGaps(every="1 min"), Windows(length=10), SplitRows(by="time")]
    preparation = Preparation(steps)
    made = preparation.apply(messy, "whole")
    assert (made.parent, made.importer) == (messy.ref, "prepare")
    assert Preparation.from_json(made.recipe) == preparation
    # The SQL is the preparation: the box runs it and gets the same rows.
    pd.testing.assert_frame_equal(
        datasets.sql(made.sql).sort_values(["window", "time"], ignore_index=True),
        made.frame().sort_values(["window", "time"], ignore_index=True),
    )
    namespace = {}
    source = preparation.to_python(messy.ref, "whole")
    exec(source[: source.index("prepared = ")], namespace)  # noqa: S102
    assert namespace["preparation"] == preparation
    assert made.to_series().X.shape[1:] == (10, 2)
    assert leftovers(datasets) == []


def test_a_preview_shows_few_series_and_changes_nothing(datasets, messy):
    before = [dataset.ref for dataset in datasets.list()]
    preview = Preparation([Resample(every="10 min")]).preview(messy, n=1)
    assert preview.before["series_id"].nunique() == preview.after["series_id"].nunique() == 1
    assert len(preview.after) < len(preview.before)
    assert [dataset.ref for dataset in datasets.list()] == before


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("[", "not JSON"),
        ("{}", "must be"),
        ('{"steps": []}', "at least one step"),
        ('{"steps": [{"step": "nothing"}]}', "Step 1 of the recipe: there is no step 'nothing'"),
        ('{"steps": [{"step": "resample", "evry": "1 s"}]}', "resample has no 'evry'"),
        ('{"format": 9, "steps": [{"step": "resample"}]}', "has the format 9"),
        ('{"steps": [{"step": "resample", "how": "x\'; DROP"}]}', "how must be one of"),
        ('{"steps": [{"step": "windows", "length": 0}]}', "length must be"),
        ('{"steps": [{"step": "windows", "length": "5); DROP"}]}', "length must be"),
        ('{"steps": [{"step": "windows", "stride": 1.5}]}', "stride must be"),
        ('{"steps": [{"step": "windows", "before": "1"}]}', "before must be"),
        ('{"steps": [{"step": "fill_gaps", "limit": "1 OR true"}]}', "limit must be"),
        ('{"steps": [{"step": "split", "test_size": "0.5"}]}', "test_size must"),
        ('{"steps": [{"step": "unpack", "length": "3"}]}', "length must"),
        ('{"steps": [{"step": "negative_sampling", "ratio": "1"}]}', "ratio must be"),
        ('{"steps": [{"step": "vectorise", "vocabulary": ["a"]}]}', "belong together"),
    ],
)
def test_recipes_that_are_refused(recipe, says):
    with pytest.raises(UsageError, match=says):
        Preparation.from_json(recipe)


def test_steps_that_do_not_fit_the_data(datasets, messy, log):
    for step, dataset, says in (
        (Resample(every=5), messy, "give the duration with its unit"),
        (Resample(every="5 lightyears"), messy, "not a duration"),
        (Sessions(), messy, "needs a column with the role 'user'"),
        (LabelWindow(event="nope"), log, "there is no column 'nope'"),
        (Windows(event="nope"), messy, "there is no column 'nope'"),
        (SplitRows(by="group", group="nope"), log, "there is no column 'nope'"),
        (Windows(length=10_000), messy, "leaves no rows"),
    ):
        with pytest.raises((DatasetError, UsageError), match=says) as caught:
            Preparation([step]).apply(dataset, "never")
        assert "\n" not in str(caught.value)
    assert "never" not in datasets
    assert leftovers(datasets) == []


def test_spans():
    assert parse_span("5 min") == 300_000_000
    assert parse_span("1.5 hours") == 5_400_000_000
    assert [parse_span(text) for text in ("2 days", "10ms", "1 w")] == [
        172_800_000_000,
        10_000,
        604_800_000_000,
    ]


def test_json_holds_no_fitted_secret_beyond_the_vocabulary(datasets):
    recipe = json.loads(Preparation([Vectorise()]).to_json())
    assert set(recipe["steps"][0]) == {
        "step",
        "column",
        "method",
        "n_features",
        "analyzer",
        "ngrams",
        "keep_text",
    }


def test_the_command_line_prepares(datasets, log, tmp_path, capsys):
    from workbench.cli import main

    (tmp_path / "steps.json").write_text('{"steps": [{"step": "sessions", "gap": "1 h"}]}')
    store = ["--store", str(datasets.store.root)]
    command = ["data", "prepare", "log", "--steps", str(tmp_path / "steps.json"), "--name", "from_cli"]
    assert main([*store, *command]) in (0, None)
    assert "from_cli@1: 500 rows, 5 columns" in capsys.readouterr().out
    assert main([*store, *command, "--show", "sql"]) in (0, None)
    assert len(datasets.sql(capsys.readouterr().out)) == 500

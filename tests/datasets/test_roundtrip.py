"""What goes in comes out: bit for bit, in order, with its labels and its split."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from aeon.datasets import load_basic_motions, load_japanese_vowels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workbench.datasets import Datasets, open_file
from workbench.errors import DatasetError
from workbench.store import StoreDir


def _unpadded(X):
    """`X` without the steps at the end that no series has: what an importer may drop."""
    present = ~np.isnan(X).all(axis=2)
    steps = np.flatnonzero(present.any(axis=0))
    return X[:, : max(1, steps[-1] + 1 if len(steps) else 1)]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    X=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.floats(width=32) | st.just(float("nan")),
    ),
    data=st.data(),
)
def test_arrays_come_back_bit_equal(datasets, X, data):
    y = np.array(data.draw(st.lists(st.text("abcé '\"", min_size=1), min_size=len(X), max_size=len(X))))
    back = datasets.publish_arrays(X, y, name="x").to_series()
    assert back.X.dtype == X.dtype
    np.testing.assert_array_equal(back.X, _unpadded(X))
    np.testing.assert_array_equal(back.y, y)
    assert back.ids.tolist() == list(range(len(X)))
    assert back.split is None


def test_npz_with_four_arrays(datasets, tmp_path):
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(5, 7, 2)), rng.normal(size=(3, 9, 2))
    np.savez(tmp_path / "a.npz", X_train=train, X_test=test, y_train=[1, 2, 1, 2, 1], y_test=[2, 2, 1])
    back = datasets.import_files(tmp_path / "a.npz").to_series()
    np.testing.assert_array_equal(back.X[:5, :7], train)
    assert np.isnan(back.X[:5, 7:]).all()
    np.testing.assert_array_equal(back.X[5:], test)
    assert back.y.tolist() == [1, 2, 1, 2, 1, 2, 2, 1]
    assert back.split.tolist() == ["train"] * 5 + ["test"] * 3


def test_recordings_keep_step_labels_as_a_column(datasets, tmp_path):
    train, test = np.ones((6, 2), np.float32), np.zeros((4, 2), np.float32)
    np.savez(tmp_path / "m.npz", train=train, test=test, test_label=np.array([0, 1, 1, 0], np.int8))
    dataset = datasets.import_files(tmp_path / "m.npz")
    assert "label" not in dataset.roles
    assert dataset.to_series().X.shape == (2, 6, 2)
    assert dataset.frame(["label"])["label"].isna().sum() == 6
    dataset = dataset.set_roles(dataset.roles | {"label": "label"})
    with pytest.raises(DatasetError, match=r"label .* varies within the series 1"):
        dataset.to_series()


TS = """# comment
@problemName toy
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down
@data
1,2.5,-3e-7:4,5,6:up
0.1,?:NaN,0.3:down
"""


def test_ts_and_its_export_agree(datasets, tmp_path):
    (tmp_path / "toy_TRAIN.ts").write_text(TS)
    (tmp_path / "toy_TEST.ts").write_text(TS.replace("0.1,", "0.7,"))
    dataset = datasets.import_files([tmp_path / "toy_TEST.ts", tmp_path / "toy_TRAIN.ts"])
    assert dataset.name == "toy"
    data = dataset.to_series()
    nan = np.nan
    expected = np.array([[[1, 4], [2.5, 5], [-3e-7, 6]], [[0.1, nan], [nan, 0.3], [nan, nan]]])
    np.testing.assert_array_equal(data.X[:2], expected)
    assert data.split.tolist() == ["train", "train", "test", "test"]
    assert data.y.tolist() == ["up", "down", "up", "down"]
    again = datasets.import_files(dataset.export(tmp_path / "again.ts")).to_series()
    np.testing.assert_array_equal(again.X, data.X)
    assert again.y.tolist() == data.y.tolist()
    assert again.split.tolist() == data.split.tolist()


def test_ts_agrees_with_aeon(datasets):
    from workbench.datasets import samples

    by_name = {dataset.name: dataset for dataset in samples.register(datasets)}
    X, y = load_basic_motions()
    data = by_name["BasicMotions"].to_series()
    np.testing.assert_array_equal(data.X, X.transpose(0, 2, 1))
    assert [label.lower() for label in data.y] == [str(label).lower() for label in y]  # aeon lowers them
    X, y = load_japanese_vowels(split="test")
    data = by_name["JapaneseVowels"].to_series()
    test = data.split == "test"
    assert [series.shape[1] for series in X] == (~np.isnan(data.X[test, :, 0])).sum(axis=1).tolist()
    for ours, theirs in zip(data.X[test], X, strict=True):
        np.testing.assert_array_equal(ours[: theirs.shape[1]], theirs.T)
    assert data.y[test].tolist() == y.tolist()
    names = sorted(by_name)
    assert [dataset.ref for dataset in samples.register(datasets)] == [d.ref for d in by_name.values()]
    assert names == sorted(dataset.name for dataset in datasets.list())


def test_long_fully_long_and_wide_are_one(datasets):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(4, 5, 2))
    sid, time = np.repeat(list("dbca"), 5), np.tile(pd.date_range("2024-01-01", periods=5), 4)
    long = pd.DataFrame({"series_id": sid, "time": time, "a": X[..., 0].ravel(), "b": X[..., 1].ravel()})
    shuffled = long.sample(frac=1, random_state=0)
    first = shuffled["series_id"].drop_duplicates().tolist()
    back = datasets.publish_frame(shuffled, "long").to_series()
    assert back.ids.tolist() == first
    order = [list("dbca").index(item) for item in first]
    np.testing.assert_array_equal(back.X, X[order])
    melted = long.melt(["series_id", "time"], var_name="channel", value_name="value")
    fully = datasets.publish_frame(melted, "fully")
    assert fully.roles["channel"] == ["channel"]
    np.testing.assert_array_equal(fully.to_series().X, X)
    wide = pd.DataFrame(X[..., 0], columns=[f"t{i}" for i in range(5)]).assign(series_id=list("dbca"))
    wide = datasets.publish_frame(wide, "wide")
    wide = wide.set_roles({"series_id": "series_id", "value": [f"t{i}" for i in range(5)]})
    np.testing.assert_array_equal(wide.to_series().X, X[..., :1])
    np.testing.assert_array_equal(wide.series(["a", "d"]).X, X[[3, 0], :, :1])


def test_some_series_in_the_order_asked(datasets):
    X = np.arange(60.0).reshape(5, 6, 2)
    dataset = datasets.publish_arrays(X, list("vwxyz"), name="x")
    data = dataset.series([3, 0])
    np.testing.assert_array_equal(data.X, X[[3, 0]])
    assert data.y.tolist() == ["y", "v"]
    with pytest.raises(DatasetError, match="no series 9"):
        dataset.series([0, 9])
    means = dataset.class_means()
    assert means.query("label == 'x' and channel == 'dim_1' and step == 2")["mean"].item() == X[2, 2, 1]


def test_csv_types_and_values(datasets, tmp_path):
    frame = pd.DataFrame(
        {
            "n": [1, 2, 2**60 + 1],
            "x": [0.1, float("nan"), -1e300],
            "text": ["a,b", 'say "hi"', "é\nline"],
            "when": pd.to_datetime(["2020-01-01 10:00", "2021-01-01 11:00", "2022-01-01 12:30"]),
        }
    )
    frame.to_csv(tmp_path / "t.csv.gz", index=False)
    dataset = datasets.import_files(tmp_path / "t.csv.gz")
    assert [column.type for column in dataset.columns] == ["BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMP"]
    back = dataset.frame()
    assert back["n"].tolist() == frame["n"].tolist()
    assert back["text"].tolist() == frame["text"].tolist()
    np.testing.assert_array_equal(back["x"], frame["x"])


@pytest.mark.parametrize(("late", "type_"), [("1.5", "DOUBLE"), (str(2**60 + 1), "BIGINT"), ("7", "BIGINT")])
def test_a_late_value_is_never_rounded(datasets, tmp_path, late, type_):
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 25_000 + f"{late},2\n")
    dataset = datasets.import_files(tmp_path / "t.csv")
    assert dataset.columns[0].type == type_
    assert str(dataset.frame(["a"], limit=1, offset=25_000)["a"].item()) == late


def test_train_and_test_tables_get_a_split(datasets, tmp_path):
    (tmp_path / "a_train.csv").write_text("x,label\n1,u\n2,v\n")
    (tmp_path / "a_test.csv").write_text("x,label\n0.5,u\n")
    table = datasets.import_files([tmp_path / "a_test.csv", tmp_path / "a_train.csv"]).to_table()
    assert table.X["x"].tolist() == [1, 2, 0.5]
    assert table.y.tolist() == ["u", "v", "u"]
    assert table.split.tolist() == ["train", "train", "test"]
    assert table.roles == {"field": ["x"]}


def test_files_of_one_kind_become_series(datasets, tmp_path):
    for name in ("pump", "valve"):
        (tmp_path / f"{name}.csv").write_text("timestamp,value\n2024-01-01,1\n2024-01-02,2\n")
    data = datasets.import_files([tmp_path / "pump.csv", tmp_path / "valve.csv"], "plant").to_series()
    assert data.ids.tolist() == ["pump", "valve"]
    assert data.X.shape == (2, 2, 1)


def test_parquet_folder_arrow_json_and_polars(datasets, tmp_path):
    frame = pd.DataFrame({"x": [1.0, 2.0], "s": ["a", "b"]})
    (tmp_path / "f").mkdir()
    frame.to_parquet(tmp_path / "f" / "p[1].parquet")
    frame.to_parquet(tmp_path / "f" / "q'2.parquet")
    assert datasets.import_files(tmp_path / "f").n_rows == 4
    frame.to_feather(tmp_path / "x.feather")
    frame.to_json(tmp_path / "x.jsonl", orient="records", lines=True)
    for path in (tmp_path / "x.feather", tmp_path / "x.jsonl"):
        pd.testing.assert_frame_equal(datasets.import_files(path, "x").frame(), frame, check_dtype=False)


@pytest.mark.parametrize("relational", [True, False])
def test_arff(datasets, tmp_path, relational):
    if relational:
        text = (
            "@relation r\n@attribute a relational\n@attribute t0 numeric\n@attribute t1 numeric\n@end a\n"
            "@attribute c {u,v}\n@data\n'1,2\\n3,?',u\n'5,6\\n7,8',v\n"
        )
        (tmp_path / "r.arff").write_text(text)
        data = datasets.import_files(tmp_path / "r.arff").to_series()
    else:
        head = "@relation r\n@attribute t0 numeric\n@attribute t1 numeric\n@attribute c {u,v}\n@data\n"
        (tmp_path / "rDimension1.arff").write_text(head + "1,2,u\n5,6,v\n")
        (tmp_path / "rDimension2.arff").write_text(head + "3,?,u\n7,8,v\n")
        paths = [tmp_path / "rDimension2.arff", tmp_path / "rDimension1.arff"]
        dataset = datasets.import_files(paths)
        assert dataset.name == "r"
        data = dataset.to_series()
    np.testing.assert_array_equal(data.X, [[[1, 3], [2, np.nan]], [[5, 7], [6, 8]]])
    assert data.y.tolist() == ["u", "v"]


def test_a_version_file_opens_without_a_store(datasets, tmp_path):
    X = np.ones((2, 3, 1))
    dataset = datasets.publish_arrays(X, [0, 1], name="x")
    alone = open_file(dataset.path, dataset.roles)
    assert alone.ref == "x@1"
    np.testing.assert_array_equal(alone.to_series().X, X)


def test_csv_export_disarms_formulas(datasets, tmp_path):
    frame = pd.DataFrame({"t": ["=cmd()", "+1", "-2.5", "@x", "plain"], "=h": ["a"] * 5})
    [path] = datasets.publish_frame(frame, "f").export(tmp_path / "out.csv")
    lines = path.read_text().splitlines()
    assert lines == ["t,'=h", "'=cmd(),a", "+1,a", "-2.5,a", "'@x,a", "plain,a"]


def test_profile_counts(datasets):
    frame = pd.DataFrame({"x": [1.0, 2.0, np.nan, np.inf], "s": ["a", "a", None, "b"]})
    x, s = datasets.publish_frame(frame, "f").profile["columns"]
    assert (x["missing"], x["min"], x["max"], x["mean"]) == (2, 1, 2, 1.5)
    assert sum(x["histogram"]["counts"]) == 2
    assert (s["missing"], s["distinct"], s["top"][0]) == (1, 2, ["a", 2])


def test_importing_the_room_is_light():
    import subprocess
    import sys

    code = (
        "import workbench.datasets, sys; "
        "print([m for m in ('torch', 'streamlit', 'sklearn', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_store_reopens(datasets):
    datasets.publish_arrays(np.ones((2, 3, 1)), name="x")
    again = Datasets(StoreDir(datasets.store.root))
    again.sweep()
    assert [dataset.ref for dataset in again.list()] == ["x@1"]
    again.get("x").verify()

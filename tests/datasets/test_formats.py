"""Formats beyond CSV and plain arrays, and their faults."""

from __future__ import annotations

import datetime as dt
import zipfile

import numpy as np
import openpyxl
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import dump_svmlight_file

from tests.datasets.conftest import leftovers
from workbench.datasets.importers import sparse
from workbench.errors import ImportFailed, UsageError


@pytest.fixture(scope="module")
def datasets(shared):
    return shared


def _fails(datasets, path, content, says, line=None, column=None):
    path.write_text(content)
    with pytest.raises(ImportFailed, match=says) as caught:
        datasets.import_files(path, path.stem)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert leftovers(datasets) == []


def test_libsvm_agrees_with_sklearn(datasets, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 12)) * (rng.random((50, 12)) < 0.3)
    X[0, 11] = 1.5  # the last feature occurs
    y = rng.integers(0, 3, 50)
    dump_svmlight_file(X, y, str(tmp_path / "a.libsvm"), zero_based=False)
    monkeypatch.setattr(sparse, "_BATCH_CELLS", 100)  # several batches
    dataset = datasets.import_files(tmp_path / "a.libsvm", "svm")
    table = dataset.to_table()
    np.testing.assert_allclose(table.X.to_numpy(), X)
    np.testing.assert_array_equal(table.y, y)
    monkeypatch.setattr(sparse, "DENSE", 11)
    wide = datasets.import_files(tmp_path / "a.libsvm", "svm").frame()
    for row, indices, values in zip(X, wide["index"], wide["value"], strict=True):
        assert (np.flatnonzero(row) + 1).tolist() == list(indices)
        np.testing.assert_allclose(row[np.flatnonzero(row)], values)


def test_libsvm_with_queries_and_two_sides(datasets, tmp_path):
    (tmp_path / "r_train.svm").write_text("1 qid:7 1:0.5\n# remark\n0 qid:7 2:1 # more\n")
    (tmp_path / "r_test.svm").write_text("1 qid:8 1:2\n")
    dataset = datasets.import_files([tmp_path / "r_train.svm", tmp_path / "r_test.svm"], "r")
    assert dataset.roles["request"] == ["request"]
    frame = dataset.frame()
    assert frame["split"].tolist() == ["train", "train", "test"]
    assert frame[["request", "f1", "f2"]].to_numpy().tolist() == [[7, 0.5, 0], [7, 0, 1], [8, 2, 0]]


def test_libffm(datasets, tmp_path):
    (tmp_path / "a.ffm").write_text("1 0:3:1 1:5:0.25 2:8:1 2:9:1\n0 0:4:1 2:7:1\n")
    frame = datasets.import_files(tmp_path / "a.ffm", "ffm").frame()
    assert list(frame) == ["label", "field_0", "field_1", "field_1_value", "field_2"]
    assert frame["field_0"].tolist() == [3, 4]
    assert frame["field_1_value"][0] == 0.25
    assert [list(cell) for cell in frame["field_2"]] == [[8, 9], [7]]


@pytest.mark.parametrize(
    ("name", "content", "says", "line", "column"),
    [
        ("a.libsvm", "1 1:2\nx 1:2\n", "label 'x' is not a number", 2, 1),
        ("a.libsvm", "1 1:2\nnan 1:2\n", "the label is nan", 2, 1),
        ("a.libsvm", "1 1:2 2:y\n", "'2:y' is not index:value", 1, 3),
        ("a.libsvm", "1 2:2 2:1\n", "the index 2 does not come after 2", 1, 3),
        ("a.libsvm", "1 0:2\n", "the index 0 does not come after 0", 1, 2),
        ("a.libsvm", "\n", "is empty", None, None),
        ("a.libsvm", "1\n", "has no features", None, None),
        ("a.ffm", "1 1:2\n", "'1:2' is not field:index:value", 1, 2),
    ],
)
def test_sparse_faults(datasets, tmp_path, name, content, says, line, column):
    _fails(datasets, tmp_path / name, content, says, line, column)


def test_a_folder_of_parquet(datasets, tmp_path):
    for part in ("x", "y"):
        (tmp_path / "plant" / f"site={part}").mkdir(parents=True)
        pq.write_table(pa.table({"v": [1.0, 2.0]}), tmp_path / "plant" / f"site={part}" / "0.parquet")
    frame = datasets.import_files(tmp_path / "plant").frame()
    assert sorted(map(tuple, frame[["site", "v"]].to_numpy().tolist())) == [
        ("x", 1.0), ("x", 2.0), ("y", 1.0), ("y", 2.0),
    ]  # fmt: skip
    (tmp_path / "none").mkdir()
    with pytest.raises(ImportFailed, match="holds no"):
        datasets.import_files(tmp_path / "none")


WEKA = """% a comment
@relation plants
@attribute 'leaf length' numeric
@attribute n integer
@attribute kind {'a b', c}
@attribute seen date "yyyy-MM-dd"
@attribute note string
@attribute class {yes,no}
@data
1.5, 2, 'a b', '2024-01-31', 'it\\'s, so', yes
?,?,c,?,?,no
"""


def test_arff_table(datasets, tmp_path):
    (tmp_path / "w.arff").write_text(WEKA)
    dataset = datasets.import_files(tmp_path / "w.arff")
    assert dataset.roles["label"] == ["class"]
    first, second = dataset.frame().astype(object).to_dict("records")
    assert (first["leaf length"], first["n"], first["kind"], first["note"]) == (1.5, 2, "a b", "it's, so")
    assert first["seen"] == dt.datetime(2024, 1, 31)
    assert (second["kind"], second["class"]) == ("c", "no")
    assert [column.type for column in dataset.columns] == [
        "DOUBLE", "BIGINT", "VARCHAR", "TIMESTAMP", "VARCHAR", "VARCHAR",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "says", "column"),
    [
        ("x,1,c,?,?,no", "'x' in 'leaf length' is not a number", 1),
        ("1,1.5,c,?,?,no", "'1.5' in 'n' is not a number", 2),
        ("1,1,d,?,?,no", "'d' is none of the classes of 'kind'", 3),
        ("1,1,c,31.1.24,?,no", "not an ISO date", 4),
        ("1,1,c,?,'open,no", "a quoted text is not closed", None),
        ("{0 1}", "sparse rows", None),
        ("1,2", "has 2 values where the header names 6", None),
    ],
)
def test_arff_table_faults(datasets, tmp_path, row, says, column):
    _fails(datasets, tmp_path / "bad.arff", WEKA + row + "\n", says, 12, column)


def test_ts_with_time_stamps(datasets, tmp_path):
    (tmp_path / "s.ts").write_text(
        "@timeStamps true\n@univariate false\n@classLabel true a b\n@data\n"
        "(2024-01-01 00:00:00,1),(2024-01-01 00:05:00,2):(2024-01-01 00:00:00,?),(2024-01-01 01:00:00,4):a\n"
        "(2024-02-01,5):(2024-02-01,6):b\n"
    )
    data = datasets.import_files(tmp_path / "s.ts", "stamped")
    nan = np.nan
    expected = [[[1, nan], [2, nan], [nan, 4]], [[5, 6], [nan, nan], [nan, nan]]]
    np.testing.assert_array_equal(data.to_series().X, expected)
    assert data.to_series().y.tolist() == ["a", "b"]
    assert data.frame(["time"])["time"][1] == dt.datetime(2024, 1, 1, 0, 5)
    (tmp_path / "n.ts").write_text("@timeStamps true\n@classLabel false\n@data\n(0.5,1),(0.75,2)\n")
    assert datasets.import_files(tmp_path / "n.ts").frame()["time"].tolist() == [0.5, 0.75]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("(0,1),(0,2)", "a time occurs twice in channel 1"),
        ("(0,1),(x,2)", "neither a number nor a date"),
        ("(0,1),(noon,2)", "neither a number nor a date"),
        ("(0,1):(2024-01-01,2)", "some times are numbers, others dates"),
        ("(0,1),2", "not of the form"),
        ("(0,1", "not of the form"),
    ],
)
def test_ts_time_stamp_faults(datasets, tmp_path, row, says):
    _fails(datasets, tmp_path / "bad.ts", f"@timeStamps true\n@classLabel false\n@data\n{row}\n", says, 4)


def test_a_very_wide_csv(datasets, tmp_path):
    names = [f"c{j}" for j in range(1500)]
    (tmp_path / "wide.csv").write_text(";".join(names) + "\n" + ";".join(["1.5"] * 1500) + "\n")
    dataset = datasets.import_files(tmp_path / "wide.csv")
    assert len(dataset.columns) == 1500
    assert dataset.profile["columns"][-1]["mean"] == 1.5
    header = ",".join(f"c{j}" for j in range(25_001))
    _fails(datasets, tmp_path / "too.csv", header + "\n1\n", "has 25,001 columns, and 25,000 are the most", 1)


def test_values_of_several_kinds_become_json_and_that_is_said(datasets, tmp_path):
    (tmp_path / "mixed.jsonl").write_text('{"a": 1}\n{"a": "x"}\n{"a": [1]}\n')
    dataset = datasets.import_files(tmp_path / "mixed.jsonl")
    assert dataset.frame()["a"].tolist() == ["1", '"x"', "[1]"]
    assert dataset.notes == ['"a" holds values of several kinds, and became text that is JSON.']


def test_an_arrow_stream(datasets, tmp_path):
    import pyarrow as pa

    table = pa.table({"a": [1, 2, None], "w": ["x", None, "z"]})
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), table.schema) as stream:
        stream.write_table(table)
    frame = datasets.import_files(tmp_path / "s.arrow").frame()
    assert frame["a"].sum() == 3
    assert frame["w"].isna().tolist() == [False, True, False]


def test_one_row_of_json_is_a_table(datasets, tmp_path):
    (tmp_path / "one.jsonl").write_text('{"a": 1, "b": "x"}\n')
    assert datasets.import_files(tmp_path / "one.jsonl").frame().to_dict("list") == {"a": [1], "b": ["x"]}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_with_a_byte_order_mark(datasets, tmp_path, encoding):
    (tmp_path / "marked.jsonl").write_text('{"a": 1, "b": "ä"}\n{"a": 2, "b": "x"}\n', encoding=encoding)
    frame = datasets.import_files(tmp_path / "marked.jsonl").frame()
    assert frame.to_dict("list") == {"a": [1, 2], "b": ["ä", "x"]}


def test_arrow_numbers_of_sixteen_bits(datasets, tmp_path):
    import pyarrow as pa
    from pyarrow import feather

    table = pa.table({"h": pa.array(np.array([0.5, -2, 65504], np.float16)), "i": [1, 2, 3]})
    feather.write_feather(table, str(tmp_path / "half.feather"))
    dataset = datasets.import_files(tmp_path / "half.feather")
    assert [column.type for column in dataset.columns] == ["FLOAT", "BIGINT"]
    assert dataset.frame()["h"].tolist() == [0.5, -2, 65504]


def test_fractions_far_down_in_many_columns(datasets, tmp_path):
    """Types that rest on the first rows are settled for all columns together, and nothing is rounded."""
    rows = ["1,2,3,7"] * 30_000 + ["1.5,2,2.25,9007199254740993"]
    (tmp_path / "late.csv").write_text("a,b,c,d\n" + "\n".join(rows) + "\n")
    dataset = datasets.import_files(tmp_path / "late.csv")
    assert [column.type for column in dataset.columns] == ["DOUBLE", "BIGINT", "DOUBLE", "BIGINT"]
    last = dataset.frame().iloc[-1:]
    assert [last[name].item() for name in "abcd"] == [1.5, 2, 2.25, 9007199254740993]


def test_excel(datasets, tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["id", "x", "day", "word", "mixed", "flag", None])
    book.active.append([1, 1.5, dt.datetime(2024, 1, 1), "a", 1, True])
    book.active.append([None] * 6)
    book.active.append([2, 2, dt.datetime(2024, 1, 2), None, "b", False])
    book.create_sheet("other").append(["only"])
    book.save(tmp_path / "b.xlsx")
    dataset = datasets.import_files(tmp_path / "b.xlsx")
    assert [column.type for column in dataset.columns] == [
        "BIGINT", "DOUBLE", "TIMESTAMP", "VARCHAR", "VARCHAR", "BOOLEAN",
    ]  # fmt: skip
    assert dataset.frame()["mixed"].tolist() == ["1", "b"]
    with pytest.raises(ImportFailed, match="header but no rows"):
        datasets.import_files(tmp_path / "b.xlsx", options={"sheet": "other"})
    with pytest.raises(ImportFailed, match="has no sheet 'third': it has Sheet, other"):
        datasets.import_files(tmp_path / "b.xlsx", options={"sheet": "third"})
    with pytest.raises(UsageError, match="no option 'table'"):
        datasets.import_files(tmp_path / "b.xlsx", options={"table": "x"})


@pytest.mark.parametrize(
    ("rows", "says", "line", "column"),
    [
        ([["a"], ["=1+1"]], "the formula has no stored result", 2, 1),
        ([["a", "b"], [1, "#DIV/0!"]], "holds the error #DIV/0!", 2, 2),
        ([["a", None, "c"], [1, 2, 3]], "the header has an empty cell", 1, 2),
        ([["a", "A"], [1, 2]], "used 2 times", 1, None),
        ([["a"], [1, 2]], "has more cells than the 1 columns", 2, None),
        ([], "the sheet is empty", None, None),
    ],
)
def test_excel_faults(datasets, tmp_path, rows, says, line, column):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "bad.xlsx")
    with pytest.raises(ImportFailed, match=says) as caught:
        datasets.import_files(tmp_path / "bad.xlsx")
    assert (caught.value.line, caught.value.column) == (line, column)


def test_excel_bomb_and_rubbish(datasets, tmp_path, monkeypatch):
    from workbench.datasets.importers import unpacking

    (tmp_path / "no.xlsx").write_text("PK no")
    with pytest.raises(ImportFailed, match=r"not an \.xlsx file"):
        datasets.import_files(tmp_path / "no.xlsx")
    monkeypatch.setattr(unpacking, "BOMB_BYTES", 1 << 10)
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", " " * (1 << 20))
    with pytest.raises(ImportFailed, match="more than 100 times its size"):
        datasets.import_files(tmp_path / "bomb.xlsx")


def test_points_in_time_become_utc(datasets):
    import pandas as pd

    times = pd.to_datetime(["2024-01-01 00:00", None, "2024-07-01 00:00"]).tz_localize("Europe/Berlin")
    dataset = datasets.publish_frame(pd.DataFrame({"time": times, "x": [1.0, 2.0, 3.0]}), "zoned")
    assert dataset.columns[0].type == "TIMESTAMP"
    assert dataset.notes == ["The times in 'time' are in UTC."]
    found = [str(time) for time in dataset.frame()["time"]]
    assert found == ["2023-12-31 23:00:00", "NaT", "2024-06-30 22:00:00"]


def test_polars_arrow_and_vectors(datasets, tmp_path):
    frame = polars.DataFrame({"x": [1.5, 2.5], "v": [[1.0, 2.0], [3.0, 4.0]], "label": ["a", "b"]})
    dataset = datasets.publish_frame(frame, "polars")
    assert dataset.frame()["x"].tolist() == [1.5, 2.5]
    from workbench.datasets.prepare import Preparation, Unpack

    series = Preparation([Unpack(column="v", length=2, to="series")]).apply(
        datasets.publish_frame(frame.drop("x").to_arrow(), "arrow"), "unpacked"
    )
    np.testing.assert_array_equal(series.to_series().X[:, :, 0], [[1, 2], [3, 4]])
    assert series.to_series().y.tolist() == ["a", "b"]

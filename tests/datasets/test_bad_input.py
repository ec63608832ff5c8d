"""Every fault of a file is one sentence with its place, and leaves nothing behind."""

from __future__ import annotations

import gzip
import os
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from tests.datasets.conftest import leftovers
from workbench.datasets.files import DISK_FULL
from workbench.datasets.importers import unpacking
from workbench.datasets.names import suggest_name
from workbench.errors import DatasetError, ImportFailed, UsageError
from workbench.naming import check_name

DOCS = Path(__file__).parents[2] / "docs" / "importing.md"
TS = "@univariate false\n@dimensions 2\n@equalLength false\n@classLabel true a b\n@data\n1,2:3,4:a\n"

ARFF = "@relation r\n@attribute n numeric\n@attribute class {u,v}\n@data\n"


def _cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def _parquet(path):
    pd.DataFrame({"x": np.arange(1000.0)}).to_parquet(path)
    _cut(path, -20)


def _parquet_damaged(path):
    pd.DataFrame({"x": np.random.default_rng(0).normal(size=5000)}).to_parquet(path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[400:20_000] = bytes(19_600)
    path.write_bytes(content)


def _arrow(path):
    pd.DataFrame({"x": np.arange(1000.0)}).to_feather(path)
    _cut(path, -20)


def _arrow_count(path):
    """Whose count of missing values is not how many there are."""
    pd.DataFrame({"x": [1.0, None, 3.0, 4.0]}).to_feather(path, compression="uncompressed")
    content = path.read_bytes()
    assert content.count(struct.pack("<qq", 4, 1)) == 1
    path.write_bytes(content.replace(struct.pack("<qq", 4, 1), struct.pack("<qq", 4, 3)))


def _arrow_name(path):
    """Whose column has a name that is no UTF-8."""
    pd.DataFrame({"a column": [1.0, 2.0]}).to_feather(path, compression="uncompressed")
    path.write_bytes(path.read_bytes().replace(b"a column", b"a \xf0olumn"))


def _npz(path):
    np.savez(path, X=np.zeros((50, 4)))
    _cut(path, -40)


def _npz_objects(path):
    np.savez(path, X=np.array([{}, None], dtype=object))


def _npz_label(path):
    np.savez(path, X=np.zeros((3, 4)), y=np.array([0, 1, np.inf]))


def _xlsx(path, *rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


def _xlsx_cut(path):
    _xlsx(path, ["a"], [1])
    _cut(path, -100)


def _xlsx_no_sheet(path):
    _xlsx(path, ["a"], [1])
    with zipfile.ZipFile(path) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()}
    parts["xl/workbook.xml"] = re.sub(rb"<sheets>.*</sheets>", b"<sheets/>", parts["xl/workbook.xml"])
    with zipfile.ZipFile(path, "w") as written:
        for name, content in parts.items():
            written.writestr(name, content)


def _xlsx_formula(path):
    _xlsx(path, ["a"], ["=1+1"])


def _xlsx_error(path):
    _xlsx(path, ["a"], ["#DIV/0!"])


def _write(path, content):
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture(autouse=True)
def small_bombs(monkeypatch):
    monkeypatch.setattr(unpacking, "BOMB_BYTES", 1 << 20)


#: File name, content, line, column, and what the sentence says.
FAULTS = {
    "empty": ("a.csv", "", None, None, "is empty"),
    "only a header": ("a.csv", "a,b,c\n", None, None, "header but no rows"),
    "short row": ("a.csv", "a,b,c\n1,2,3\n1,2\n", 3, None, "has 2 columns where line 1 has 3"),
    "short row late": ("a.csv", "a,b\n" + "1,2\n" * 30_000 + "1\n", 30_002, None, "has 1 columns where 2"),
    "long row": ("a.csv", "a,b,c\n1,2,3\n4,5,6,7\n8,9,10\n", 3, None, "has 4 columns where line 1 has 3"),
    "long rows to the end": ("a.csv", "a,b\n1,2\n1,2,3\n", 3, None, "has 3 columns where line 2 has 2"),
    "header too short": ("a.csv", "a,b\n1,2,3\n4,5,6\n", 2, None, "has 3 columns where line 1 has 2"),
    "other delimiter": ("a.csv", "a^b\n1^2\n", 1, None, "'^' stands in line 1"),
    "latin-1": ("a.csv", "a,b\nx,1\ncafé,2\n".encode("latin-1"), 3, 4, "is not UTF-8"),
    "latin-1 late": (
        "a.csv",
        ("a\n" + "word\n" * 300_000 + "é\n").encode("latin-1"),
        300_002,
        1,
        "not UTF-8",
    ),
    "utf-16 without its mark": ("a.csv", "a,b\n1,2\n".encode("utf-16-le"), None, None, "name the encoding"),
    "another encoding than named": ("a.csv", b"\xff\xfea", None, None, "not text in the encoding 'utf-16'"),
    "zero byte late": ("a.csv", b"a\n" + b"word\n" * 300_000 + b"x\0\n", 300_002, None, "a zero byte"),
    "web page": ("a.csv", "<!DOCTYPE html>\n<html>Not found</html>\n", None, None, "is a web page"),
    "JSON in a CSV": ("a.csv", '{"a": 1}\n{"a": 2}\n', None, None, "rename it to .jsonl"),
    "long line": ("a.csv", "a,b\n" + "x" * 3_000_000 + ",1\n", None, None, "longer than 2 MB"),
    "too many columns": ("a.csv", ",".join(f"c{j}" for j in range(25_001)) + "\n1\n", 1, None, "25,000 are"),
    "date late": ("a.csv", "a,b\n" + "2024-01-31,1\n" * 30_000 + "2024-13-01,1\n", 30_002, 1, "not a date"),
    "two kinds of dates": ("a.csv", "a,b\n25/04/2024,1\n06/25/2024,1\n", 2, 1, "not a date"),
    "cut short in a row": ("a.csv", "a,b,c\n1,2,3\n4,5", 3, None, "has 2 columns where line 1 has 3"),
    "same name twice": ("a.csv", "a,b,A\n1,2,3\n", 1, 3, "'a' is used 2 times"),
    "open quote": ("a.csv", 'a,b\n"x,1\n2,3\n', 2, None, "quoted text is not closed"),
    "word among numbers": (
        "a.csv",
        "a,b\n" + "1,2\n" * 30_000 + "1,x\n",
        30_002,
        2,
        "'x' in column 'b' is not",
    ),
    "infinite label": ("a.csv", "x,label\n1,1\n2,inf\n", None, None, "infinite in row 2"),
    "zip bomb": (
        "a.csv.gz",
        gzip.compress(b"a,b\n" + b"1,2\n" * (1 << 20)),
        None,
        None,
        "100 times its size",
    ),
    "gzip cut short": ("a.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 999)[:-20], None, None, "cut short"),
    "not a gzip": ("a.csv.gz", "hello", None, None, "damaged"),
    "not Parquet": ("a.parquet", "PAR1 no", None, None, "not a Parquet file"),
    "Parquet cut short": ("a.parquet", _parquet, None, None, "not a Parquet file"),
    "Parquet damaged inside": ("a.parquet", _parquet_damaged, None, None, "damaged"),
    "Arrow cut short": ("a.feather", _arrow, None, None, "not an Arrow file"),
    "Arrow that contradicts itself": ("a.feather", _arrow_count, None, None, "damaged"),
    "Arrow with a name that is no text": ("a.feather", _arrow_name, None, None, "damaged"),
    "not Arrow": ("a.feather", "ARROW1", None, None, "not an Arrow file"),
    "JSON cut short": ("a.jsonl", '{"a": 1}\n{"a": 2}\n{"a"', 3, None, "not one JSON object a line"),
    "JSON list cut short": ("a.json", '[{"a": 1}, {"a": 2', None, None, "JSON"),
    "broken JSON": ("a.jsonl", '{"a": 1}\n{"a": \n', 2, None, "not one JSON object a line"),
    "one JSON object": ("a.json", '{"a": {"b": 1}}', None, None, "one JSON object"),
    "one JSON object over many lines": ("a.json", '{\n  "a": {"b": 1}\n}\n', None, None, "one JSON object"),
    "unknown suffix": ("a.docx", "x", None, None, "its suffix is none of"),
    "ts channels": ("a.ts", TS + "1,2:3:b\n", 7, None, "channel 2 has 1 values where channel 1 has 2"),
    "ts dimensions": ("a.ts", TS + "1:2:3:b\n", 7, None, "3 channels where @dimensions says 2"),
    "ts word": ("a.ts", TS + "1,x:3,4:b\n", 7, None, "value 2 of channel 1, 'x', is not a number"),
    "ts gap": ("a.ts", TS + "1,:3,4:b\n", 7, None, "is empty (a missing value is written ?)"),
    "ts label": ("a.ts", TS + "1,2:3,4:c\n", 7, None, "'c' is none of the classes"),
    "ts cut short": ("a.ts", TS + "1,2:3", 7, None, "'3' is none of the classes"),
    "ts of many digits": (
        "a.ts",
        "@dimensions " + 5000 * "9" + "\n@data\n1:a\n",
        1,
        None,
        "@dimensions must be followed by a whole number",
    ),
    "ts without data": ("a.ts", "@dimensions 2\n", None, None, "no @data line"),
    "ts without series": ("a.ts", TS[: TS.index("1,2:")], None, None, "no series"),
    "arff cut short": ("a.arff", "@relation r\n@attribute t real\n", None, None, "no @data line"),
    "arff values": ("a.arff", "@attribute t real\n@attribute c {u}\n@data\n1,2,u\n", 4, None, "has 3 values"),
    "arff class": ("a.arff", ARFF + "1,w\n", 5, 2, "none of the classes"),
    "arff number": ("a.arff", ARFF + "x,u\n", 5, 1, "is not a number"),
    "arff latin-1": ("a.arff", (ARFF + "1,u\n% café\n").encode("latin-1"), 6, 6, "is not UTF-8 text"),
    "arff latin-1 series": (
        "a.arff",
        b"@attribute t1 real\n@attribute t2 real\n@data\n1,2\n% caf\xe9\n",
        5,
        6,
        "is not UTF-8 text",
    ),
    "ts latin-1": ("a.ts", (TS + "1,2:3,4:é\n").encode("latin-1"), 7, 9, "is not UTF-8 text"),
    "libsvm latin-1": ("a.libsvm", "1 1:2\n1 é\n".encode("latin-1"), 2, 3, "is not UTF-8 text"),
    "arff without rows": ("a.arff", ARFF, None, None, "has a header but no"),
    "libsvm label": ("a.libsvm", "1 1:2\nnan 1:2\n", 2, 1, "the label is nan"),
    "libsvm entry": ("a.libsvm", "1 1:2 2:y\n", 1, 3, "is not index:value"),
    "libsvm order": ("a.libsvm", "1 2:2 2:1\n", 1, 3, "does not come after 2"),
    "libffm entry": ("a.ffm", "1 1:2\n", 1, 2, "is not field:index:value"),
    "npz cut short": ("a.npz", _npz, None, None, "damaged"),
    "npz of objects": ("a.npz", _npz_objects, None, None, "never loaded"),
    "npz label": ("a.npz", _npz_label, None, None, "y is infinite in row 2"),
    "xlsx cut short": ("a.xlsx", _xlsx_cut, None, None, "not an .xlsx file"),
    "xlsx without a sheet": ("a.xlsx", _xlsx_no_sheet, None, None, "has no sheet"),
    "xlsx formula": ("a.xlsx", _xlsx_formula, 2, 1, "no stored result"),
    "xlsx error": ("a.xlsx", _xlsx_error, 2, 1, "#DIV/0!"),
    "not npz": ("a.npz", "PK hello", None, None, "damaged"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=list(FAULTS))
def test_fault(datasets, tmp_path, fault):
    name, content, line, column, says = FAULTS[fault]
    path = tmp_path / name
    _write(path, content)
    with pytest.raises(ImportFailed, match=re.escape(says)) as caught:
        datasets.import_files(path)
    error = caught.value
    assert (error.line, error.column) == (line, column)
    if fault != "infinite label":
        assert str(error.file) == str(path)
    assert "\n" not in str(error)
    assert str(error).endswith((".", ")."))
    assert leftovers(datasets) == []
    assert datasets.list() == []


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"X": np.array([{}, None], dtype=object)}, "never loaded"),
        ({"a": np.zeros(3), "b": np.zeros((2, 2))}, "understood are X and y"),
        ({"X": np.zeros((3, 4)), "y": np.array([0, 1, np.inf])}, "y is infinite in row 2"),
        ({"X": np.zeros((3, 4)), "y": np.zeros(2)}, "y has 2 values where X has 3"),
        ({"X": np.array(["a", "b"])}, "numbers of shape"),
        ({"train": np.zeros((3, 2)), "test": np.zeros((3, 4))}, "but test has 4"),
    ],
)
def test_npz_faults(datasets, tmp_path, arrays, says):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ImportFailed, match=says):
        datasets.import_files(tmp_path / "a.npz")
    assert leftovers(datasets) == []


def test_npy_shorter_than_its_header(datasets, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((50, 4)))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-8])
    with pytest.raises(ImportFailed, match="shorter than its header says"):
        datasets.import_files(tmp_path / "a.npy")


def test_a_named_delimiter_that_parts_nothing(datasets, tmp_path):
    (tmp_path / "a.csv").write_text("a;b\n1;2\n")
    with pytest.raises(ImportFailed, match="',', does not stand in line 1, but ';' does") as caught:
        datasets.import_files(tmp_path / "a.csv", options={"delimiter": ","})
    assert caught.value.line == 1
    with pytest.raises(UsageError, match="lines to skip are a number"):
        datasets.import_files(tmp_path / "a.csv", options={"skip": "two"})
    assert datasets.list() == []


def test_bombs(datasets, tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * (1 << 20)))
    np.savez_compressed(tmp_path / "a.npz", X=np.zeros((1 << 20, 3, 1)))
    for name in ("a.csv.gz", "a.npz"):
        with pytest.raises(ImportFailed, match="more than 100 times its size"):
            datasets.import_files(tmp_path / name)
    assert leftovers(datasets) == []


def test_files_that_do_not_belong_together(datasets, tmp_path):
    (tmp_path / "a_train.csv").write_text("x,y\n1,2\n")
    (tmp_path / "a_test.csv").write_text("x,z\n1,2\n")
    (tmp_path / "a.ts").write_text(TS)
    with pytest.raises(ImportFailed, match=r"has a column 'z' where a_train\.csv has 'y'") as caught:
        datasets.import_files([tmp_path / "a_train.csv", tmp_path / "a_test.csv"])
    assert caught.value.column == 2
    with pytest.raises(ImportFailed, match="files of one format, not of csv and ts"):
        datasets.import_files([tmp_path / "a_train.csv", tmp_path / "a.ts"])
    with pytest.raises(ImportFailed, match="no such file"):
        datasets.import_files(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a'b", 'a"b', "", " a", "a.", ".a", "é", "a" * 101, "a\n", "a@1"]
)
def test_names_that_are_refused(datasets, name):
    with pytest.raises(UsageError, match="cannot be a name"):
        datasets.publish_arrays(np.ones((2, 2)), name=name)


def test_names(datasets):
    assert check_name("a b-c_d.e 9") == "a b-c_d.e 9"
    assert suggest_name(["/x/Gun_TRAIN.ts", "/x/Gun_TEST.ts"]) == "Gun"
    assert suggest_name(["/x/we'ird [1].csv.gz"]) == "we_ird_1"
    assert suggest_name(["/plant/a.csv", "/plant/b.csv"]) == "plant"
    datasets.publish_arrays(np.ones((2, 2)), name="Upper")
    with pytest.raises(DatasetError, match="cannot tell from 'upper'"):
        datasets.publish_arrays(np.ones((2, 2)), name="upper")


def test_frames_that_are_refused(datasets):
    for frame, says in (
        (pd.DataFrame({"a": [1, "x"]}), "'a' holds values of more than one type"),
        (pd.DataFrame([[1, 2]], columns=["a", "A"]), "used 2 times"),
        (pd.DataFrame(), "no columns"),
        (pd.DataFrame({"a": []}), "no rows"),
    ):
        with pytest.raises(ImportFailed, match=says):
            datasets.publish_frame(frame, "f")
    with pytest.raises(DatasetError, match="not a frame"):
        datasets.publish_frame([1], "f")
    assert datasets.list() == []


def test_roles_are_checked_in_one_sentence(datasets):
    frame = pd.DataFrame({"s": ["a", "b"], "t": [1, 2], "v": [0.5, 1.0]})
    dataset = datasets.publish_frame(frame, "f")
    for roles, says in (
        ({"lable": "s"}, "no role 'lable'. Did you mean 'label'"),
        ({"label": "S"}, "no column 'S'"),
        ({"label": ["s", "t"]}, "takes one column, not 2"),
        ({"label": "s", "split": "s"}, "cannot be both label and split"),
        ({"value": "s"}, "cannot be a value: it is VARCHAR"),
        ({"time": "s"}, "cannot be the time"),
        ({"channel": "s", "value": ["v"]}, "there must be a 'time' column"),
        ({"modality:": "v"}, "no role"),
    ):
        with pytest.raises(DatasetError, match=re.escape(says)):
            dataset.set_roles(roles)
    changed = dataset.set_roles({"series_id": "s", "time": "t", "value": "v"})
    assert (dataset.role_revision, changed.role_revision) == (1, 2)
    assert datasets.get("f").roles == changed.roles
    assert changed.with_roles(1).roles == dataset.roles


def test_unknown_option_and_format(datasets, tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no option 'sep'"):
        datasets.import_files(tmp_path / "a.csv", options={"sep": ","})
    with pytest.raises(UsageError, match="no format 'xls'"):
        datasets.import_files(tmp_path / "a.csv", format="xls")


def test_faults_are_documented(shared, tmp_path):
    """The table in the manual holds each fault with its exact sentence."""
    rows = ["| fault | what is said |", "|---|---|"]
    for fault, (name, content, *_) in FAULTS.items():
        path = tmp_path / name
        _write(path, content)
        with pytest.raises(ImportFailed) as caught:
            shared.import_files(path)
        sentence = str(caught.value).replace(f"{tmp_path}/", "").replace("|", "\\|")
        rows.append(f"| {fault} | {sentence} |")
        path.unlink()
    frame = pd.DataFrame({"a": [1]})
    for name in ("../x", 'a"b'):
        with pytest.raises(UsageError) as refused:
            shared.publish_frame(frame, name)
        rows.append(f"| the name {name} | {refused.value} |")
    rows.append(f"| full disk | {DISK_FULL} |")
    text = DOCS.read_text(encoding="utf-8")
    head, _, rest = text.partition("<!-- faults -->\n")
    written, end, tail = rest.partition("<!-- end -->")
    table = "\n".join(rows) + "\n"
    if os.environ.get("WORKBENCH_WRITE_DOCS"):
        DOCS.write_text(f"{head}<!-- faults -->\n{table}{end}{tail}", encoding="utf-8")
    else:
        assert written == table

"""No cell of a CSV changes without a word: what spreadsheets, loggers and other countries write."""

from __future__ import annotations

import datetime as dt

import duckdb
import pytest

from workbench.errors import ImportFailed

LATE = 25_000  # rows above, more than the sniffer looks at


@pytest.fixture(scope="module")
def datasets(shared):
    return shared


def _import(datasets, tmp_path, content, **options):
    path = tmp_path / "cells.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return datasets.import_files(path, "cells", options=options)


def _column(dataset, name="a"):
    return dataset.frame([name])[name].astype(object).tolist()


@pytest.mark.parametrize("above", [0, LATE], ids=["early", "late"])
@pytest.mark.parametrize(
    ("first", "cell", "type_", "value", "note"),
    [
        ("17", "007", "VARCHAR", "007", "leading zeros"),
        ("17", "-1", "BIGINT", -1, None),
        ("17", "1.5", "DOUBLE", 1.5, None),
        ("17", "NA", "BIGINT", None, "'NA' stands for a missing value"),
        ("1.5", "?", "DOUBLE", None, "'?' stands for a missing value"),
        ("17", "9223372036854775808", "VARCHAR", "9223372036854775808", "too large"),
        ("17", "9007199254740993", "BIGINT", 9007199254740993, None),
        ("2024-01-01", "NA", "DATE", None, "'NA' stands"),
        (
            "2024-01-01 00:00:00",
            "2024-01-01 01:00:00+02:00",
            "TIMESTAMP",
            dt.datetime(2023, 12, 31, 23),
            None,
        ),
        ("2024-01-01 00:00:00", "2024-01-01 01:00:00Z", "TIMESTAMP", dt.datetime(2024, 1, 1, 1), None),
    ],
)
def test_a_cell_unlike_those_above(datasets, tmp_path, above, first, cell, type_, value, note):
    rows = f"{first},0\n" * max(above, 1)
    dataset = _import(datasets, tmp_path, f"a,b\n{rows}{cell},1\n")
    assert dataset.columns[0].type == type_
    assert dataset.columns[1].type == "BIGINT"
    last = dataset.query("SELECT a FROM data WHERE b = 1")["a"].astype(object)[0]
    if value is None:
        assert dataset.query("SELECT a IS NULL AS missing FROM data WHERE b = 1")["missing"][0]
    else:
        assert last == value
    assert dataset.n_rows == max(above, 1) + 1
    assert (note is None and dataset.notes == []) or any(note in each for each in dataset.notes)


@pytest.mark.parametrize("cell", ["x", "1,234", "1 000", "12%", "0x1F", "2024-13-01"])
def test_a_late_cell_that_is_no_number_is_refused_with_its_place(datasets, tmp_path, cell):
    with pytest.raises(ImportFailed, match="like the rows above: correct it") as caught:
        _import(datasets, tmp_path, "a,b\n" + "1,2\n" * LATE + f'"{cell}",3\n')
    assert (caught.value.line, caught.value.column) == (LATE + 2, 1)
    assert repr(cell) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "options", "values"),
    [
        ("a;b\n1,5;2\n2,5;3\n", {}, [1.5, 2.5]),
        ("a\tb\n1,5\t2\n2,5\t3\n", {}, [1.5, 2.5]),
        ("a;b\n1.234,5;2\n2.500,5;3\n", {"decimal": ",", "thousands": "."}, [1234.5, 2500.5]),
        ('a,b\n"1,234",2\n"5,678,901",3\n', {"thousands": ","}, [1234, 5678901]),
        ("a,b\n1,2\nmissing,3\n", {"null": "missing"}, [1, None]),
        (
            "a,b\n03/04/2024,1\n05/06/2024,2\n",
            {"dates": "%m/%d/%Y"},
            [dt.date(2024, 3, 4), dt.date(2024, 5, 6)],
        ),
        ("a,b\n007,1\n008,2\n", {"types": {"a": "INTEGER"}}, [7, 8]),
        ("a,b\n\u00e9,1\nx,2\n".encode("cp1252"), {"encoding": "cp1252"}, ["é", "x"]),
        ("a,b\n1,2\n3,4\n".encode("utf-16"), {}, [1, 3]),
        ("a,b\n1,2\n3,4\n".encode("utf-16-le"), {"encoding": "utf-16-le"}, [1, 3]),
        (b"\xef\xbb\xbfa,b\n1,2\n3,4\n", {}, [1, 3]),
        ("a,b\r1,2\r3,4\r", {}, [1, 3]),
        ("a,b\r\n1,2\n3,4\r\n", {}, [1, 3]),
        ('a,b\n"x\ny",2\n"z",3\n', {}, ["x\ny", "z"]),
        ("a,b\n1,2,\n3,4,\n", {}, [1, 3]),
        ("a, b\n1, 2\n3, 4\n", {}, [1, 3]),
        ("a,b\nNA,x\nNamibia,NA\n", {}, ["NA", "Namibia"]),
        ("a,b\n+49123,1\n+49124,2\n", {}, ["+49123", "+49124"]),
        ("a,b\n1_000,1\n2_000,2\n", {}, ["1_000", "2_000"]),
        ("a,b\n1E5,1\nAB7,2\n", {}, ["1E5", "AB7"]),
        ("a;b\nA;hello, world\nB;foo, bar, baz\n", {}, ["A", "B"]),
        ("sep=;\na;b\n1;2\n3;4\n", {}, [1, 3]),
        ("Pump,7,Nord\nmade,2024,x\na,b\n1,2\n", {"skip": "2"}, [1]),
    ],
)
def test_ways_of_writing(datasets, tmp_path, content, options, values):
    dataset = _import(datasets, tmp_path, content, **options)
    found = [value.date() if hasattr(value, "date") else value for value in _column(dataset)]
    assert [None if value is None or value != value else value for value in map(_plain, found)] == values
    assert [column.name for column in dataset.columns] == ["a", "b"]


def _plain(value):
    import pandas as pd

    return None if pd.isna(value) else value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n03/04/2024,1\n05/06/2024,2\n", "none of them tells day from month"),
        ("a,b,\n1,2,\n3,4,\n", "The last column, which has no name and no cell, was left out"),
        ("1,2\n3,4\n", "has no header line"),
        ("Report of March\n\na,b\n1,2\n3,4\n5,6\n", "2 lines were skipped"),
        ("# made by x\na,b\n1,2\n", "line was skipped"),
        ("Pump,7\n\na,b,c\n1,2,3\n4,5,6\n", "2 lines were skipped"),
        ("a,b\n1,2\n3,4\nTotal,6\n", "'a' is text, because 1 cell is not numbers ('Total')"),
        ('a,b\n"1,234",2\n"5,678,901",3\n', "look like numbers ('1,234')"),
        ("a,b\n10%,1\n20%,2\n", "look like numbers ('10%')"),
        ("a,b\n\u22125,2\n6,3\n", "look like numbers"),
        ("a;b\n1,5;2\n2,5;3\n", "The decimal sign is a comma"),
        ("a,b\n1,2\n".encode("utf-16"), "was read as UTF-16"),
    ],
)
def test_what_was_guessed_is_said(datasets, tmp_path, content, says):
    notes = _import(datasets, tmp_path, content).notes
    assert any(says in note for note in notes), notes


def test_fractions_are_never_rounded_to_the_type_asked_for(datasets, tmp_path):
    with pytest.raises(ImportFailed, match=r"'1\.5' in column 'a' is not INTEGER") as caught:
        _import(datasets, tmp_path, "a,b\n1,1\n1.5,2\n", types={"a": "INTEGER"})
    assert (caught.value.line, caught.value.column) == (3, 1)


@pytest.mark.parametrize(
    ("format_", "remarked"),
    [
        ("%d.%m.%Y %H:%M", False),
        ("%d/%m/%Y %H:%M", False),
        ("%m/%d/%Y %H:%M", False),
        ("%m/%d/%Y %I:%M %p", False),
        ("%d-%b-%Y %H:%M:%S", False),
        ("%Y%m%dT%H%M%S", False),
        ("%d.%m.%y", True),
        ("%d.%m.%y %H:%M", True),
        ("%b %d, %Y", False),
    ],
)
def test_times_as_people_write_them(datasets, tmp_path, format_, remarked):
    times = [dt.datetime(2024, 1, 25, 13, 5) + i * dt.timedelta(hours=17) for i in range(300)]
    rows = "".join(f"{time.strftime(format_)};{i}\n" for i, time in enumerate(times))
    dataset = _import(datasets, tmp_path, f"a;b\n{rows}")
    dated = "H" not in format_ and "I" not in format_
    assert dataset.columns[0].type == ("DATE" if dated else "TIMESTAMP")
    found = [value.to_pydatetime() for value in dataset.frame(["a"])["a"]]
    assert found == [dt.datetime.combine(time, dt.time()) if dated else time for time in times]
    assert any("another order" in note for note in dataset.notes) == remarked


def test_dates_that_tell_are_not_remarked_on(datasets, tmp_path):
    dataset = _import(datasets, tmp_path, "a,b\n03/04/2024,1\n25/06/2024,2\n")
    assert dataset.notes == []
    assert _column(dataset)[0].month == 4


def test_the_time_zone_of_the_machine_changes_nothing(datasets, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    dataset = _import(datasets, tmp_path, "a,b\n2024-01-01T12:00:00Z,1\n2024-01-01T12:00:00+02:00,2\n")
    assert [str(value) for value in _column(dataset)] == ["2024-01-01 12:00:00", "2024-01-01 10:00:00"]


def test_many_rows_of_whole_numbers_only(datasets, tmp_path):
    dataset = _import(datasets, tmp_path, "a,b\n" + "1,2\n3,4\n" * 60_000)
    first = dataset.profile["columns"][0]
    assert (first["min"], first["max"], first["mean"], first["distinct"]) == (1, 3, 2, 2)


def test_a_large_file_is_written_in_less_time_and_says_the_same(datasets, tmp_path, monkeypatch):
    lines = "".join(f"{i},word {i % 7},{i / 8}\n" for i in range(LATE))
    small = _import(datasets, tmp_path, "a,b,c\n" + lines)
    monkeypatch.setattr("workbench.datasets.importers.delimited._LARGE", 0)
    large = _import(datasets, tmp_path, "a,b,c\n" + lines)

    def compressions(dataset):
        with duckdb.connect(str(dataset.path), read_only=True) as connection:
            return {
                row[0]
                for row in connection.execute(
                    "SELECT compression FROM pragma_storage_info('data')"
                ).fetchall()
            }

    slow = {"ALP", "ALPRD", "FSST", "DICT_FSST", "ZSTD"}
    assert compressions(small) & slow
    assert not compressions(large) & slow
    assert large.frame().equals(small.frame())

"""Databases and object stores: real servers on loopback, and no credential anywhere afterwards."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.datasets.conftest import leftovers
from tests.servers import postgres_server, s3_server
from workbench.datasets.sources import _quoted, bare, has_password, import_database, import_objects, refresh
from workbench.errors import DatasetError, ImportFailed, UsageError

PASSWORD = "s3cret-word"  # noqa: S105


def _nowhere(datasets, *secrets):
    """No secret in any file of the store."""
    for path in datasets.store.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in content, path


def test_addresses_are_bared():
    assert bare("postgresql+psycopg://u:p@h:5432/db?sslkey=x#y") == "postgresql+psycopg://h:5432/db"
    assert bare("s3://key:secret@bucket/a/b.csv?endpoint_override=x") == "s3://bucket/a/b.csv"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs"]), min_size=4), st.booleans())
@example("se/cr@et", False)
@example("12/34#", False)
@example("se?cret", False)
@example("[secret", False)
def test_no_sign_of_a_password_is_left_in_what_is_shown(password, quoted):
    """Quoted it is taken out whole; as it is, it is taken out or refused."""
    url = f"postgresql://ann:{quote(password, safe='') if quoted else password}@host.example/db"
    with nullcontext() if quoted else suppress(UsageError):
        shown = bare(url)
        assert shown == "postgresql://host.example/db"
        assert not has_password(shown)


def test_what_is_refused_of_an_address_does_not_say_its_password(datasets):
    with pytest.raises(UsageError, match="write / as %2F") as database:
        import_database(datasets, "postgresql://ann:se/cr@et@host/db", "SELECT 1", "never")
    with pytest.raises(UsageError, match="write / as %2F") as objects:
        import_objects(datasets, "s3://key:se/cret@bucket/a.csv")
    assert "se/cr" not in str(database.value) + str(objects.value)
    _nowhere(datasets, "se/cr")


@pytest.mark.parametrize(
    ("key", "path"),
    [("a b/ü.csv", "a%20b/%C3%BC.csv"), ("a%20b.csv", "a%20b.csv"), ("100%.csv", "100%25.csv")],
)
def test_keys_are_quoted_once(key, path):
    assert _quoted(f"s3://k:s%2F@plant/{key}?region=x") == f"s3://k:s%2F@plant/{path}?region=x"


def test_sqlite_as_a_database(datasets, tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE t (x REAL, w TEXT, n INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(1.5, "a:b", 1), (2.5, None, 2)])
    connection.close()
    url = f"sqlite:///{tmp_path / 'a.db'}"
    made = import_database(
        datasets, url, "SELECT x, w, n FROM t WHERE w = 'a:b' OR w IS NULL ORDER BY n", "t"
    )
    assert made.frame()["x"].tolist() == [1.5, 2.5]
    assert refresh(datasets, "t").ref == "t@2"
    for query, says in (
        ("SELECT * FROM nope", "no such table: nope"),
        ("SELECT x, x AS X FROM t", "used 2 times"),
        ("SELECT x FROM t WHERE x > 9", "no rows"),
        ("DELETE FROM t", "returns no rows"),
    ):
        with pytest.raises(ImportFailed, match=says):
            import_database(datasets, url, query, "never")
    assert made.n_rows == 2
    assert import_database(datasets, url, "SELECT * FROM t", "t").n_rows == 2  # the DELETE was rolled back
    with pytest.raises(UsageError, match="not of the form"):
        import_database(datasets, "what is this", "SELECT 1", "never")
    with pytest.raises(UsageError, match="came from"):
        refresh(datasets, "t", url="sqlite:////other.db")
    assert "never" not in datasets
    assert leftovers(datasets) == []


def test_refresh_needs_a_source(datasets):
    import pandas as pd

    datasets.publish_frame(pd.DataFrame({"a": [1]}), "frame")
    with pytest.raises(DatasetError, match="did not come from a database"):
        refresh(datasets, "frame")


@pytest.fixture
def postgres():
    with postgres_server(PASSWORD) as port:
        yield f"postgresql+psycopg://ann:{PASSWORD}@127.0.0.1:{port}/postgres"


@pytest.mark.slow
def test_postgres(datasets, postgres, monkeypatch):
    import sqlalchemy as sa

    engine = sa.create_engine(postgres)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE e AS SELECT i AS id, i * 0.5 AS half, (i * 1.25)::numeric(10, 2) AS n, "
                "'w' || i AS word, timestamptz '2024-01-01 00:00+02' + i * interval '1 hour' AS time, "
                "jsonb_build_object('i', i) AS j, CASE WHEN i > 60000 THEN 'late' END AS late, "
                "gen_random_uuid() AS u FROM generate_series(1, 120000) i"
            )
        )
    made = import_database(datasets, postgres, "SELECT * FROM e ORDER BY id", "e")
    assert made.n_rows == 120_000
    types = {column.name: column.type for column in made.columns}
    assert (types["n"], types["late"], types["j"]) == ("DOUBLE", "VARCHAR", "VARCHAR")
    frame = made.frame(["id", "n", "late", "time"])
    assert frame["n"].sum() == pytest.approx(1.25 * 120_000 * 120_001 / 2)
    assert frame["late"].notna().sum() == 60_000
    assert str(frame["time"].iloc[0]).startswith("2023-12-31 23:00")
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM e WHERE id > 10"))
    engine.dispose()
    assert refresh(datasets, "e", url=postgres).n_rows == 10
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setenv("PGUSER", "ann")
    assert refresh(datasets, "e").ref == "e@3"
    wrong = postgres.replace(PASSWORD, "wrong-word")
    with pytest.raises(ImportFailed, match="password authentication failed") as caught:
        import_database(datasets, wrong, "SELECT 1", "never")
    assert "wrong-word" not in str(caught.value)
    _nowhere(datasets, PASSWORD, "wrong-word")
    assert leftovers(datasets) == []


@pytest.fixture
def s3(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with s3_server() as port:
        yield f"127.0.0.1:{port}"


@pytest.mark.slow
def test_s3(datasets, s3, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import fs

    where = f"?scheme=http&endpoint_override={s3}&region=us-east-1"
    system = fs.S3FileSystem(
        endpoint_override=s3, scheme="http", region="us-east-1", allow_bucket_creation=True
    )
    system.create_dir("plant")
    with system.open_output_stream("plant/a.csv") as out:
        out.write(b"x,y\n1,2\n3,4\n")
    for part in (0, 1):
        pq.write_table(pa.table({"v": [part, part]}), f"plant/parts/{part}.parquet", filesystem=system)
    made = import_objects(datasets, f"s3://plant/a.csv{where}")
    assert (made.name, made.source, made.n_rows) == ("a", "s3://plant/a.csv", 2)
    assert import_objects(datasets, f"s3://plant/parts{where}").n_rows == 4
    with system.open_output_stream("plant/a.csv") as out:
        out.write(b"x,y\n1,2\n")
    again = refresh(datasets, "a", url=f"s3://AKIDTESTTEST:{PASSWORD}@plant/a.csv{where}")
    assert (again.ref, again.n_rows) == ("a@2", 1)
    with system.open_output_stream("plant/bad.csv") as out:
        out.write(b"a,b,c\n1,2,3\n1,2\n")
    with pytest.raises(ImportFailed, match="has 2 columns where line 1 has 3") as caught:
        import_objects(datasets, f"s3://plant/bad.csv{where}")
    assert (caught.value.file, caught.value.line) == ("s3://plant/bad.csv", 3)
    with pytest.raises(ImportFailed, match="no such object"):
        import_objects(datasets, f"s3://plant/none.csv{where}")
    _nowhere(datasets, PASSWORD, "AKIDTESTTEST")
    assert leftovers(datasets) == []


def test_other_addresses_are_refused(datasets):
    for url in ("file:///etc/passwd", "/etc/passwd", "http://127.0.0.1/a.csv"):
        with pytest.raises(UsageError, match="not the address of an object store"):
            import_objects(datasets, url)

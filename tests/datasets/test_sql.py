"""The SQL box reads, and does nothing else; run as root too, whom file modes do not stop."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading

import duckdb
import pandas as pd
import pytest

from tests.datasets.conftest import leftovers
from workbench.datasets import files, sql
from workbench.errors import QueryRefused


@pytest.fixture(scope="module")
def datasets(shared):
    """One store for all: queries change nothing, or the test has failed."""
    return shared


@pytest.fixture(scope="module")
def wine(datasets):
    datasets.publish_frame(pd.DataFrame({"a": [1, 2, 3], "k": ["x", "y", "x"]}), "wine")
    return datasets.publish_frame(pd.DataFrame({"a": [4, 5], "k": ["x", "y"]}), "wine")


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT sum(a) FROM wine", [(9,)]),
        ("from WINE select a order by a desc", [(5,), (4,)]),
        ('SELECT sum(a) FROM "wine@1"', [(6,)]),
        ('SELECT count(*) FROM wine JOIN "wine@1" USING (k)', [(3,)]),
        ("WITH w AS (FROM wine) SELECT max(a) FROM w -- comment", [(5,)]),
        (
            "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) FROM t",
            [(1,), (2,), (3,)],
        ),
        ("SELECT a FROM wine UNION ALL SELECT 7 ORDER BY 1;", [(4,), (5,), (7,)]),
        ("FROM (VALUES (1), (2)) v(n) SELECT sum(n)", [(3,)]),
        ("SELECT sum(range) FROM range(4)", [(6,)]),
        ("SELECT count(*) FROM (DESCRIBE wine)", [(2,)]),
        ("SELECT (SELECT max(a) FROM wine)", [(5,)]),
    ],
)
def test_reads(datasets, wine, query, rows):
    assert [tuple(row) for row in datasets.sql(query).itertuples(index=False)] == rows


def test_describe_and_summarize(datasets, wine):
    assert datasets.sql("DESCRIBE wine")["column_name"].tolist() == ["a", "k"]
    assert len(datasets.sql("SUMMARIZE wine")) == 2
    assert wine.query("SELECT count(*) AS n FROM data")["n"].item() == 2


TRICKS = [
    "",
    "SELECT 1; SELECT 2",
    "WITH t AS (COPY (SELECT 1) TO '{out}') SELECT * FROM t",
    "WITH t AS (INSERT INTO wine VALUES (1, 'z') RETURNING *) SELECT * FROM t",
    "WITH t AS (DELETE FROM d0.data RETURNING *) SELECT * FROM t",
    "WITH t AS (UPDATE d0.data SET a = 0 RETURNING *) SELECT * FROM t",
    "SELECT * FROM (WITH t AS (COPY (SELECT 1) TO '{out}') SELECT * FROM t)",
    "SELECT (WITH t AS (COPY (SELECT 1) TO '{out}') SELECT count(*) FROM t)",
    "COPY wine TO '{out}'",
    "EXPORT DATABASE '{out}'",
    "ATTACH '{file}' AS w (READ_WRITE)",
    "DETACH d0",
    "DETACH d0; ATTACH '{file}' AS d0",
    "USE d0",
    "CREATE TABLE t AS SELECT 1",
    "DROP VIEW wine",
    "UPDATE wine SET a = 1",
    "PRAGMA database_list",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL pragma_version()",
    "CHECKPOINT",
    "VACUUM",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "PIVOT wine ON k USING sum(a)",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "BEGIN",
    "FROM '/etc/passwd'",
    "FROM '{file}'",
    "FROM 'https://example.com/x.parquet'",
    "FROM read_csv('/etc/passwd')",
    "FROM read_csv_auto('/etc/passwd')",
    "FROM read_text('/etc/passwd')",
    "FROM read_blob('/etc/passwd')",
    "FROM read_json('/etc/passwd')",
    "FROM read_parquet('https://example.com/x.parquet')",
    "FROM read_duckdb('{file}')",
    "FROM sniff_csv('/etc/passwd')",
    "FROM parquet_metadata('/etc/passwd')",
    "FROM glob('/*')",
    "FROM query('SELECT 1')",
    "FROM query_table('wine')",
    "FROM json_execute_serialized_sql('{{}}')",
    "FROM duckdb_secrets()",
    "FROM duckdb_settings()",
    "FROM which_secret('x', 's3')",
    "FROM pragma_database_size()",
    "FROM sqlite_master",
    "FROM information_schema.tables",
    "FROM pg_catalog.pg_tables",
    "FROM d0.data",
    "FROM memory.main.wine",
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT pg_sleep(100)",
    "SELECT write_log('x')",
    "FROM python_map_function()",
    # the same, hidden
    "/* SELECT */ COPY wine TO '{out}' -- SELECT",
    "SELECT 1 /* ; */; COPY wine TO '{out}'",
    "WITH a AS (SELECT 1), b AS (COPY (SELECT 1) TO '{out}') SELECT * FROM a",
    "WITH RECURSIVE t AS (SELECT 1 UNION ALL (WITH u AS (COPY (SELECT 1) TO '{out}') FROM u)) FROM t",
    "SELECT * FROM wine WHERE a IN (SELECT size FROM read_blob('/etc/passwd'))",
    "SELECT (SELECT content FROM read_text('/etc/hostname'))",
    "SELECT a FROM wine UNION ALL SELECT 1 FROM glob('/etc/*')",
    "SELECT * FROM wine JOIN '/etc/passwd' ON true",
    "SELECT * FROM wine, LATERAL (FROM read_csv_auto('/etc/passwd'))",
    "SELECT * FROM (VALUES ((SELECT count(*) FROM parquet_scan('{file}'))))",
    "FROM \"read_csv\"('/etc/passwd')",
    "FROM READ_CSV('/etc/passwd')",
    "FROM main.read_csv('/etc/passwd')",
    "FROM system.main.read_csv('/etc/passwd')",
    "FROM parquet_scan('/etc/passwd')",
    "FROM parquet_schema('/etc/passwd')",
    "FROM parquet_kv_metadata('/etc/passwd')",
    "FROM read_json_auto('/etc/passwd')",
    "FROM read_ndjson('/etc/passwd')",
    "FROM read_xlsx('/etc/passwd')",
    "FROM sqlite_scan('/etc/passwd', 't')",
    "FROM postgres_scan('host=127.0.0.1', 'public', 't')",
    "FROM 's3://bucket/x.parquet'",
    'FROM "/etc/passwd"',
    "FROM wine.data",
    'FROM "d0"."main"."data"',
    # what would tell of the host or of other users
    "FROM duckdb_databases()",
    "FROM duckdb_databases",
    "FROM duckdb_tables()",
    "FROM duckdb_views()",
    "FROM duckdb_extensions()",
    "FROM duckdb_logs()",
    "FROM duckdb_temporary_files()",
    "FROM duckdb_memory()",
    "FROM duckdb_variables()",
    "FROM duckdb_prepared_statements()",
    "FROM duckdb_external_file_cache()",
    "FROM information_schema.schemata",
    "FROM pg_settings",
    "FROM pragma_table_info('wine')",
    "FROM pragma_storage_info('wine')",
    "FROM pragma_user_agent()",
    "FROM pragma_platform()",
    "FROM checkpoint()",
    "FROM force_checkpoint()",
    "FROM enable_logging()",
    "FROM arrow_scan(1, 2, 3)",
    "FROM pandas_scan(1)",
    "FROM seq_scan('wine')",
    "FROM test_all_types()",
    "SELECT getenv('PATH') FROM wine",
    "SELECT * FROM wine ORDER BY getenv('HOME')",
    "SELECT * FROM wine WHERE current_setting('home_directory') = ''",
    "SELECT nextval('s')",
    "SELECT getvariable('x')",
    "SHOW DATABASES",
    "DESCRIBE '/etc/passwd'",
    "SUMMARIZE '/etc/passwd'",
    "DESCRIBE (FROM read_csv('/etc/passwd'))",
    # other statements
    "PRAGMA enable_external_access = true",
    "SET VARIABLE x = 1",
    "SET GLOBAL memory_limit = '1TB'",
    "RESET ALL",
    "IMPORT DATABASE '{out}'",
    "COPY FROM DATABASE memory TO d0",
    "COPY wine FROM '/etc/passwd'",
    "CALL checkpoint()",
    "DEALLOCATE p",
    "ALTER TABLE wine ADD COLUMN z INT",
    "TRUNCATE wine",
    "INSERT INTO wine SELECT * FROM wine",
    "MERGE INTO wine USING wine w ON false WHEN NOT MATCHED THEN INSERT",
    "CREATE SECRET s (TYPE s3)",
    "CREATE MACRO m() AS TABLE FROM read_csv('/etc/passwd')",
    "CREATE VIEW v AS FROM '/etc/passwd'",
    "COMMENT ON TABLE wine IS 'x'",
    "ANALYZE",
    "COMMIT",
    "FORCE INSTALL httpfs FROM 'http://127.0.0.1/'",
    "UPDATE EXTENSIONS",
    "FROM frame",
    "FROM nosuch",
    "SELECT nosuch FROM wine",
    "SELEC",
    "SELECT 'a' + 1 FROM wine",
]


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_are_refused(datasets, wine, tmp_path, trick):
    frame = pd.DataFrame({"secret": [1]})  # a variable in reach of a replacement scan
    before = (
        files.checksum(wine.path),
        sorted(os.listdir(tmp_path)),
        sorted(datasets.store.root.rglob("*.duckdb")),
    )
    with pytest.raises(QueryRefused) as caught:
        datasets.sql(trick.format(out=tmp_path / "out", file=wine.path))
    assert "\n" not in str(caught.value)
    assert len(frame) == 1
    after = (
        files.checksum(wine.path),
        sorted(os.listdir(tmp_path)),
        sorted(datasets.store.root.rglob("*.duckdb")),
    )
    assert after == before


# Not stopped by the lock: a COPY in a WITH, and a version of the query's own attached again for writing.
# The walk over the tree is the wall for those; here are the tricks that meet both.
@pytest.mark.parametrize(
    "trick", [t for t in TRICKS if ("COPY" in t or "read_" in t) and "WITH" not in t and "{file}" not in t]
)
def test_the_locked_connection_alone_refuses_files(datasets, wine, tmp_path, trick):
    box = sql.QueryBox("SELECT * FROM wine", datasets._paths)
    with box, pytest.raises(duckdb.Error):
        box._connection.execute(trick.format(out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_prepared_statement_has_no_values(datasets, wine):
    with pytest.raises(QueryRefused):
        datasets.sql("SELECT ?::INTEGER")
    with pytest.raises(QueryRefused):
        datasets.sql("SELECT $x")


def test_what_a_query_may_spill_is_limited(datasets, wine):
    box = sql.QueryBox("SELECT 1", datasets._paths, memory="100MB")
    with box:
        told = dict(box._connection.execute("SELECT name, value FROM duckdb_settings()").fetchall())
    assert told["memory_limit"].startswith("95.3")
    assert told["max_temp_directory_size"].startswith("7.4")
    assert (told["enable_external_access"], told["lock_configuration"]) == ("false", "true")


def test_limits(datasets, wine):
    frame = datasets.sql("FROM range(1000)", limit=10)
    assert len(frame) == 10
    assert frame.attrs["truncated"]
    assert not datasets.sql("FROM range(10)", limit=10).attrs["truncated"]
    with pytest.raises(QueryRefused, match=r"stopped after 0\.3 seconds"):
        datasets.sql("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b", timeout=0.3)
    with pytest.raises(QueryRefused, match="memory"):
        datasets.sql("SELECT list(range) FROM range(100000000)", memory="50MB")


def test_cancel(datasets, wine):
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with pytest.raises(QueryRefused, match="cancelled"):
        datasets.sql("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b", cancel=cancel)


@pytest.mark.parametrize(
    ("query", "limits", "says"),
    [
        ("SELECT w::INTEGER AS v FROM late", {}, "Could not convert string 'x' to INT32"),
        ("SELECT range, md5(range::VARCHAR) FROM range(1000000000)", {"timeout": 0.5}, "stopped after 0.5"),
    ],
)
def test_a_result_that_fails_on_the_way_is_one_sentence(datasets, tmp_path, query, limits, says):
    """The fault comes when the first rows are read already, through another reader's hands."""
    if "late" not in datasets:
        words = ["1"] * 250_000 + ["x"]
        datasets.publish_frame(pd.DataFrame({"w": words}), "late")
    for take in (
        lambda: datasets.export_query(query, tmp_path / "a.csv", **limits),
        lambda: datasets.export_query(query, tmp_path / "a.parquet", **limits),
        lambda: datasets.publish_query(query, "never", **limits),
    ):
        with pytest.raises(QueryRefused, match=says) as caught:
            take()
        assert "Traceback" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert "never" not in datasets
    assert leftovers(datasets) == []


def test_a_result_becomes_a_version_with_its_lineage(datasets, wine):
    query = "SELECT k AS label, sum(a) AS total FROM wine GROUP BY k ORDER BY k"
    made = datasets.publish_query(query, "totals")
    assert made.frame().to_dict("list") == {"label": ["x", "y"], "total": [4, 5]}
    assert (made.parent, made.sql, made.importer) == ("wine@2", query, "sql")
    with pytest.raises(QueryRefused):
        datasets.publish_query("COPY wine TO 'x'", "more")
    assert leftovers(datasets) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests ran as an unprivileged user already")
def test_an_unprivileged_user_cannot_write_a_version(wine):
    with tempfile.TemporaryDirectory() as folder:  # below tmp_path no other user may look
        os.chmod(folder, 0o755)  # noqa: S103
        copy = shutil.copy2(wine.path, folder)
        os.chown(copy, 65534, 65534)
        os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                open(copy, "r+b").close()
        finally:
            os.seteuid(0)

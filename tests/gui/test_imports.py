"""What the import form tells the importers, and how addresses are put together."""

import pytest

from workbench.errors import UsageError
from workbench.gui.imports import import_options
from workbench.gui.sources import database_url, object_url, origin


def test_what_is_as_found_is_not_told():
    assert import_options() == {}


def test_what_is_chosen_is_told():
    told = import_options(
        "semicolon", "latin-1", "there is none", "NA", 'id: varchar, a:b : date , "x y":double'
    )
    assert told == {
        "delimiter": ";",
        "encoding": "latin-1",
        "header": False,
        "null": "NA",
        "types": {"id": "VARCHAR", "a:b": "DATE", '"x y"': "DOUBLE"},
    }
    assert import_options(delimiter="~") == {"delimiter": "~"}
    assert import_options(header="the first row has names") == {"header": True}


@pytest.mark.parametrize("types", ["id", ": DATE", "id:"])
def test_types_that_cannot_be_read(types):
    with pytest.raises(UsageError, match="column: TYPE"):
        import_options(types=types)


def test_credentials_are_quoted_into_the_address():
    url = database_url(" postgresql+psycopg://db.example:5433/sales?sslmode=require ", "a@b", "p:/w d")
    assert url == "postgresql+psycopg://a%40b:p%3A%2Fw%20d@db.example:5433/sales?sslmode=require"
    assert database_url("postgresql://old:one@h/db", "new", "two") == "postgresql://new:two@h/db"
    assert database_url("postgresql://old:one@h/db") == "postgresql://old:one@h/db"


@pytest.mark.parametrize(
    "address", ["", "h/db", "sqlite:////etc/secret.db", "sqlite://", "duckdb:///x", "postgresql://[::1/db"]
)
def test_a_database_must_have_a_host(address):
    with pytest.raises(UsageError, match="dialect://host/database"):
        database_url(address)


def test_an_object_store_by_its_address():
    from pyarrow import fs

    url = object_url(
        "s3://bucket/a b.csv",
        key="K/",
        secret="s+/",  # noqa: S106
        region="eu",
        endpoint="http://127.0.0.1:9000/",
    )
    assert url.startswith("s3://K%2F:s%2B%2F@bucket/a b.csv?")
    system, path = fs.FileSystem.from_uri(url.replace(" ", "%20"))
    assert path == "bucket/a b.csv"
    assert system.region == "eu"
    with pytest.raises(UsageError, match="s3://bucket/path"):
        object_url("bucket/a.csv")


def test_where_a_version_came_from():
    assert origin('{"refresh": {"kind": "database", "url": "u", "query": "q"}}')["kind"] == "database"
    for recipe in (None, "", '{"steps": []}', "[1]", "not json"):
        assert origin(recipe) is None

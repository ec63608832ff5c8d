"""Data fetched from a database and from an object store, in a browser, from real servers on loopback."""

from __future__ import annotations

import re

import pytest
from conftest import SCREENSHOTS, SLOW, Server, expect, go, settle

import workbench as wb
from tests.servers import postgres_server, s3_server

pytestmark = pytest.mark.browser

PASSWORD, WRONG = "p@ss/wörd:1", "wrong word"  # with signs that an address has to quote
KEY, SECRET = "AKIDEXAMPLE", "s3cr3t/with+signs"


def _open_form(page, kind: str) -> None:
    go(page, "/datasets")
    panel = page.locator("details").filter(has_text="Import data").first
    panel.wait_for()
    page.wait_for_timeout(500)  # it opens by itself where there is no data set yet
    if not panel.evaluate("panel => panel.open"):
        page.get_by_text("Import data", exact=True).click()
    page.get_by_role("radio", name=kind).click()
    settle(page)


def _fill(page, **fields: str) -> None:
    for label, text in fields.items():
        field = page.get_by_label(re.compile(f"^{label.replace('_', ' ')}")).first
        field.fill(text)
        field.press("Tab")


def _secret_is_nowhere(server: Server, *secrets: str) -> None:
    """Neither in the store, nor in what the servers logged."""
    for path in [*server.store.rglob("*"), *server.store.parent.glob("*.txt")]:
        if path.is_file():
            content = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in content, path


def test_a_database_is_asked_refreshed_and_its_password_forgotten(page, server: Server):
    import sqlalchemy as sa

    store = wb.open(server.store)
    with postgres_server(PASSWORD) as port:
        url = sa.URL.create("postgresql+psycopg", "ann", PASSWORD, "127.0.0.1", port, "postgres")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    'CREATE TABLE "Messung" AS SELECT i AS "lfd Nr", sin(i / 9.0) AS "Wert %", '
                    "timestamptz '2024-03-31 00:00+01' + i * interval '1 hour' AS zeit "
                    "FROM generate_series(1, 500) i"
                )
            )
        _open_form(page, "Database")
        address = f"postgresql+psycopg://127.0.0.1:{port}/postgres"
        _fill(page, Address=address, User="ann", Password=WRONG, Query='SELECT * FROM "Messung"')
        _fill(page, Name_of_the_data_set="messung")
        page.get_by_role("button", name="Import", exact=True).click()
        alert = page.get_by_test_id("stAlert").first
        expect(alert).to_contain_text("password authentication failed", timeout=SLOW)
        assert "messung" not in store.datasets
        _fill(page, Password=PASSWORD, Query='SELECT nope FROM "Messung"')
        page.get_by_role("button", name="Import", exact=True).click()
        expect(alert).to_contain_text('column "nope" does not exist', timeout=SLOW)
        page.screenshot(path=SCREENSHOTS / "datasets-database-1280.png")
        _fill(page, Query='SELECT * FROM "Messung" ORDER BY 1')
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.get_by_text("Imported messung@1")).to_be_visible(timeout=SLOW)
        made = store.dataset("messung")
        assert (made.n_rows, made.roles["time"]) == (500, ["zeit"])
        assert made.source == address

        with engine.begin() as connection:
            connection.execute(sa.text('DELETE FROM "Messung" WHERE "lfd Nr" > 300'))
        engine.dispose()
        page.get_by_role("radio", name="Versions").click()
        page.get_by_role("button", name="Refresh").click()
        form = page.get_by_test_id("stPopoverBody")
        expect(form.get_by_text('SELECT * FROM "Messung"')).to_be_visible(timeout=SLOW)
        form.get_by_label("User").fill("ann")
        form.get_by_label("Password", exact=True).fill(PASSWORD)
        form.get_by_role("button", name="Refresh").click()
        expect(page.get_by_text("Imported messung@2")).to_be_visible(timeout=SLOW)
        assert store.dataset("messung").n_rows == 300
    _secret_is_nowhere(server, PASSWORD, "p%40ss")


def test_an_object_is_fetched_refreshed_and_its_key_forgotten(page, server: Server):
    from pyarrow import fs

    store = wb.open(server.store)
    with s3_server() as port:
        system = fs.S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            endpoint_override=f"127.0.0.1:{port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        system.create_dir("plant")
        with system.open_output_stream("plant/a ü.csv") as out:
            out.write("x,wört\n1,ä\n2,ö\n".encode())
        with system.open_output_stream("plant/bad.csv") as out:
            out.write(b"a,b,c\n1,2,3\n1,2\n")
        _open_form(page, "Object store")
        where = {"Region": "us-east-1", "Endpoint": f"http://127.0.0.1:{port}"}
        _fill(page, Address="s3://plant/bad.csv", Access_key=KEY, Secret_key=SECRET, **where)
        page.get_by_role("button", name="Import", exact=True).click()
        alert = page.get_by_test_id("stAlert").first
        expect(alert).to_contain_text("line 3: has 2 columns where line 1 has 3", timeout=SLOW)
        _fill(page, Address="s3://plant/none.csv")
        page.get_by_role("button", name="Import", exact=True).click()
        expect(alert).to_contain_text("There is no such object", timeout=SLOW)
        page.screenshot(path=SCREENSHOTS / "datasets-objects-1280.png")
        _fill(page, Address="s3://plant/a ü.csv", Name_of_the_data_set="from the store")
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.get_by_text("Imported from the store@1")).to_be_visible(timeout=SLOW)
        assert store.dataset("from the store").frame()["wört"].tolist() == ["ä", "ö"]

        with system.open_output_stream("plant/a ü.csv") as out:
            out.write("x,wört\n1,ä\n2,ö\n3,ü\n".encode())
        page.get_by_role("radio", name="Versions").click()
        page.get_by_role("button", name="Refresh").click()
        form = page.get_by_test_id("stPopoverBody")
        form.get_by_label(re.compile("^Access key")).fill(KEY)
        form.get_by_label("Secret key", exact=True).fill(SECRET)
        form.get_by_role("button", name="Refresh").click()
        expect(page.get_by_text("Imported from the store@2")).to_be_visible(timeout=SLOW)
        assert store.dataset("from the store").n_rows == 3
    _secret_is_nowhere(server, SECRET, KEY)

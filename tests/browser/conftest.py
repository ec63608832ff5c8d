"""A real server and worker over a fresh store, and a real browser in front of them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from looks import misplaced, unreadable

import workbench as wb
from tests.servers import free_port

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AEON = Path(importlib.util.find_spec("aeon").submodule_search_locations[0]) / "datasets" / "data"
#: What the page that prepares is photographed with.
RECIPE = '[{"step": "windows", "length": 50}]'
SLOW = 60_000  # milliseconds that a step may take on a busy machine
SCREENSHOTS = Path(__file__).resolve().parents[2] / "docs" / "screenshots"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@dataclass
class Server:
    """A running workbench: its address and its store."""

    address: str
    store: Path


@contextmanager
def serving(folder: Path, *, worker: bool = True, **environment: str) -> Iterator[Server]:
    """A web server over a store in `folder`, and a worker beside it."""
    store = folder / "store"
    port = free_port()
    commands = {"web": ["web", "--port", str(port)]} | ({"worker": ["worker"]} if worker else {})
    with ExitStack() as stack:
        started = []
        for name, arguments in commands.items():
            log = stack.enter_context(open(folder / f"{name}.txt", "w"))
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "workbench", *arguments],
                    cwd=folder,
                    env={
                        **os.environ,
                        "PYTHONPATH": str(ROOT),
                        "WORKBENCH_STORE": str(store),
                        **environment,
                    },
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
            stack.callback(process.terminate)
            started.append(process)
        _wait_until_up(f"http://127.0.0.1:{port}/healthz", started[0], folder / "web.txt")
        yield Server(f"http://127.0.0.1:{port}", store)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("workbench")) as started:
        yield started


def _wait_until_up(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
    pytest.fail(f"The server did not answer: {log.read_text()}")


@pytest.fixture(scope="session")
def browser() -> Iterator[playwright_api.Browser]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, headless=True)
        yield browser
        browser.close()


#: Opened at a page's own address, Streamlit asks below it whether the app is mounted there; it is not.
_PROBE = re.compile(r"/[a-z-]+/_stcore/(health|host-config)$")


class Watch:
    """What a browser context must not do: log errors, or talk to another host."""

    def __init__(self, context: playwright_api.BrowserContext, address: str) -> None:
        self.faults: list[str] = []
        self._address = address
        context.on("request", self._request)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))

    def _request(self, request: playwright_api.Request) -> None:
        url = request.url
        if not url.startswith((self._address, self._address.replace("http", "ws"), "data:", "blob:")):
            self.faults.append(f"foreign request: {url}")

    def _console(self, message: playwright_api.ConsoleMessage) -> None:
        if message.type == "error" and not _PROBE.search(message.location.get("url", "")):
            self.faults.append(f"console: {message.text} ({message.location.get('url', '')})")


@pytest.fixture
def page(browser: playwright_api.Browser, server: Server) -> Iterator[playwright_api.Page]:
    """A page of a fresh context, 1280 px wide; a foreign request or a console error fails the test."""
    context = browser.new_context(
        base_url=server.address, viewport={"width": 1280, "height": 900}, accept_downloads=True
    )
    context.set_default_timeout(SLOW)
    watch = Watch(context, server.address)
    page = context.new_page()
    yield page
    context.close()
    assert not watch.faults, "\n".join(dict.fromkeys(watch.faults))


def settle(page: playwright_api.Page) -> None:
    """Wait until Streamlit has run the page to its end."""
    page.get_by_test_id("stApp").wait_for()
    page.wait_for_function(
        "() => { const app = document.querySelector('[data-testid=stApp]');"
        " return app && app.dataset.testScriptState !== 'initial'"
        " && app.dataset.testScriptState !== 'running'; }"
    )


def go(page: playwright_api.Page, path: str) -> None:
    """Open a path of the workbench and wait for it."""
    page.goto(path)
    settle(page)


def photograph(page: playwright_api.Page, path: str, name: str, width: int) -> None:
    """Open `path`, see that it fits `width` pixels and can be read; keep a picture for the docs."""
    page.set_viewport_size({"width": width, "height": 900})
    go(page, path)
    drawn(page)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("e => e.scrollWidth - e.clientWidth") <= 0, f"{name} is wider than {width} px"
    height = main.evaluate("e => e.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(max(height, 900), 5000)})
    drawn(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", timeout=2 * SLOW)
    found = misplaced(page)
    for scheme in ("light", "dark") if width == 1280 else ():
        page.emulate_media(color_scheme=scheme)
        drawn(page)
        found += [f"{scheme}: {fault}" for fault in unreadable(page)]
    page.emulate_media(color_scheme="light")
    assert not found, f"{name} at {width} px: " + "\n".join(found)


def drawn(page: playwright_api.Page) -> None:
    """Wait until every plot on the page has its lines."""
    settle(page)
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stSkeleton]')"
        " && [...document.querySelectorAll('[data-testid=stPlotlyChart]')]"
        ".every(chart => chart.querySelector('.main-svg'))",
        timeout=4 * SLOW,
    )
    page.wait_for_timeout(500)


def run_id(page: playwright_api.Page) -> str:
    """The id in the address of a run's page."""
    page.wait_for_url(re.compile(r"/run\?run="))
    return page.url.partition("run=")[2]


def upload(page: playwright_api.Page, *paths: Path) -> None:
    """Give files to the import form; does not press Import."""
    panel = page.locator("details").filter(has_text="Import data").first
    panel.wait_for()
    page.wait_for_timeout(500)  # it opens by itself where there is no data set yet
    if not panel.evaluate("panel => panel.open"):
        page.get_by_text("Import data", exact=True).click()
    expect(page.get_by_text("several make one data set")).to_be_visible(timeout=SLOW)
    page.locator("input[type=file]").first.set_input_files(paths)
    expect(page.get_by_text(paths[0].name).first).to_be_visible(timeout=SLOW)


def choose(page: playwright_api.Page, label: str | re.Pattern[str], option: str) -> None:
    """Choose, or type, an option of a select box."""
    box = page.get_by_role("combobox", name=label).first
    for _ in range(4):  # a redraw closes the list, as it would a person's
        box.click()
        box.fill(option)
        try:
            page.get_by_role("option", name=option).first.click(timeout=15_000)
        except playwright_api.TimeoutError:
            page.keyboard.press("Escape")
            continue
        settle(page)
        return
    raise AssertionError(f"{option!r} could not be chosen")


def views(server: Server) -> dict[str, str]:
    """Every page, with something to see on it, by the name of its picture."""
    store = wb.open(server.store)
    done = _worth_showing(store)
    if not store.models.list():
        done.save_model("gun-point")
    return {
        "home": "/",
        "datasets": "/datasets",
        "datasets-series": "/datasets?view=Series",
        "datasets-profile": "/datasets?view=Profile",
        "datasets-roles": "/datasets?view=Roles",
        "datasets-changes": "/datasets?view=Changes",
        "datasets-lineage": "/datasets?view=Lineage",
        "sql": "/sql?sql=SELECT+*+FROM+BasicMotions+LIMIT+5",
        "prepare": f"/prepare?data={quote(done.dataset)}&recipe={quote(RECIPE)}",
        "labels": f"/labels?data={quote(done.dataset)}",
        "storage": "/storage",
        "time-series": "/time-series",
        "runs": "/runs",
        "run": f"/run?run={done.id}",
        "compare": f"/compare?runs={','.join(run.id for run in store.runs(state='done', limit=3))}",
        "models": "/models",
        "pipelines": "/pipelines?pipeline=nightly",
        "notebooks": "/notebooks?notebook=bidding_market",
    }


def _worth_showing(store):
    """A run long enough to learn something, on six-channel series that all pages can draw."""
    if "BasicMotions" not in store.datasets:
        files = [AEON / "BasicMotions" / f"BasicMotions_{part}.ts" for part in ("TRAIN", "TEST")]
        store.datasets.import_files(files, "BasicMotions")
    kind = ("timeseries.CSL", "BasicMotions@1")
    found = [run for run in store.runs(state="done") if (run.estimator_name, run.dataset) == kind]
    if not found:
        found = [store.submit("timeseries.CSL", "BasicMotions", params={"n_epochs": 30}).wait(timeout=900)]
    assert found[0].state == "done", found[0].error
    return found[0]

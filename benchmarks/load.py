"""How the pages behave over a large store: an idle browser, then twenty at once with four workers.

::

    python benchmarks/load.py build --store DIR    # 500 data sets, 5,000 runs, 10 M metric rows, 50 M rows
    python benchmarks/load.py pages --store DIR    # one browser: first paint, re-run, SQL preview
    python benchmarks/load.py crowd --store DIR    # 20 browser sessions and 4 workers for 10 minutes

Times of pages are taken inside the browser. *Cold* is the first opening of a page in a fresh browser context
(nothing cached, a new session on the server); *warm* is a reload in the same context; both end when the
page's title is painted. *Whole* is when the script of the page has ended. *Re-run* is from the key that runs
a page again, two seconds after it was drawn, to its end. Medians over `--repeat`. Chromium (``$CHROMIUM``)
and Playwright are needed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import command, commit, machine, table
from benchmarks._load_crowd import crowd
from benchmarks._load_server import CHROMIUM, FLAGS, RUNNING, TITLE, pages, serving
from benchmarks._load_store import BIG, Size, build

RESULTS = Path(__file__).resolve().parent / "results" / "load.json"
IDLE = 2000  # milliseconds in which a page is left alone before it is run again, its plots drawn
TARGETS = {"cold": 3000, "warm": 1000, "rerun": 300, "preview": 300}  # milliseconds


def measure_pages(store: Path, repeat: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of every page."""
    from playwright.sync_api import sync_playwright

    found: dict[str, dict[str, list[float]]] = {}
    with serving(store) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for _ in range(repeat):
            for name, path in pages(store).items():
                times = found.setdefault(name, {"cold": [], "warm": [], "whole": [], "rerun": []})
                context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
                context.set_default_timeout(120_000)
                page = context.new_page()
                for kind in ("cold", "warm"):
                    page.goto(path, wait_until="commit")
                    times[kind].append(page.wait_for_function(TITLE).json_value())
                    page.wait_for_function(f"() => !({RUNNING})()")
                    times["whole"].append(page.evaluate("performance.now()"))
                for _ in range(3):
                    page.wait_for_timeout(IDLE)
                    times["rerun"].append(_rerun(page))
                context.close()
        browser.close()
    return {
        name: {kind: statistics.median(values) for kind, values in times.items()}
        for name, times in found.items()
    }


def _rerun(page: Any) -> float:
    """Milliseconds from the key that runs the page again to the end of its script."""
    page.evaluate(
        """() => {
            const app = document.querySelector('[data-testid=stApp]');
            window.rerun = new Promise(done => {
                let began = null;
                new MutationObserver(() => {
                    const state = app.dataset.testScriptState;
                    if (state !== 'notRunning') began = true;
                    else if (began) done(performance.now() - window.pressed);
                }).observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
            });
            const pressed = () => { window.pressed = performance.now(); };
            document.addEventListener('keydown', pressed, {capture: true});
            document.activeElement.blur();
        }"""
    )
    page.keyboard.press("r")
    return float(page.evaluate("window.rerun"))


def measure_preview(store: Path, repeat: int) -> dict[str, float]:
    """Median milliseconds of a query with LIMIT over the large table, as the SQL page runs it."""
    import workbench as wb

    opened = wb.open(store)
    found: dict[str, list[float]] = {}
    queries = {
        "first rows": "SELECT * FROM Impressions LIMIT 100",
        "some rows": "SELECT * FROM Impressions WHERE item = 17 LIMIT 100",
        "preview of the page": "",
    }
    for _ in range(repeat):
        for name, query in queries.items():
            started = time.perf_counter()
            opened.datasets.sql(query) if query else opened.dataset(BIG).head(100)
            found.setdefault(name, []).append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(values) for name, values in found.items()}


def keep(name: str, cell: dict[str, Any]) -> None:
    """Add a result to the file."""
    cells = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    cell |= {"machine": machine(2), "commit": commit(), "command": command()}
    cells[name] = cell
    RESULTS.write_text(json.dumps(cells, indent=1, sort_keys=True) + "\n")


def report() -> str:
    """What has been measured, as Markdown."""
    cells = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    parts = []
    if "pages" in cells:
        rows = [
            [name, *(f"{times[kind]:.0f}" for kind in ("cold", "warm", "whole", "rerun"))]
            for name, times in cells["pages"]["pages"].items()
        ]
        rows.append(
            [
                "target",
                *(
                    str(TARGETS[kind]) if kind in TARGETS else ""
                    for kind in ("cold", "warm", "whole", "rerun")
                ),
            ]
        )
        parts.append(table(["page (ms)", "cold", "warm", "whole", "re-run"], rows))
        parts.append(
            table(
                ["query over 50,000,000 rows", "ms", "target"],
                [
                    [name, f"{ms:.0f}", str(TARGETS["preview"])]
                    for name, ms in cells["pages"]["preview"].items()
                ],
            )
        )
    if "crowd" in cells:
        cell = cells["crowd"]
        parts.append(
            table(
                ["crowd", "figure"],
                [
                    [name.replace("_", " "), str(value)]
                    for name, value in cell.items()
                    if name not in ("machine", "commit", "command")
                ],
            )
        )
    parts += [
        f"{name}: {cell['machine']}; commit {cell['commit']}; {cell['command']}"
        for name, cell in cells.items()
    ]
    return "\n\n".join(parts) or "not run"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["build", "pages", "crowd"])
    parser.add_argument("--store", type=Path, help="folder of the large store")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size (default 1)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    if arguments.what is None:
        print(report())
        return
    if arguments.store is None:
        parser.error("name the folder of the large store with --store")
    if arguments.what == "build":
        full = Size()
        size = Size(*(max(1, int(value * arguments.share)) for value in vars(full).values()))
        started = time.perf_counter()
        build(arguments.store, size)
        print(f"{size} in {time.perf_counter() - started:.0f} s")
        return
    if arguments.what == "pages":
        keep(
            "pages",
            {
                "pages": measure_pages(arguments.store, arguments.repeat),
                "preview": measure_preview(arguments.store, arguments.repeat),
            },
        )
    else:
        keep("crowd", crowd(arguments.store, arguments.minutes, arguments.sessions, arguments.workers))
    print(report())


if __name__ == "__main__":
    main()

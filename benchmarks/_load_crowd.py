"""Twenty browser sessions and four workers over one store at once."""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks._load_server import CHROMIUM, FLAGS, RUNNING, TITLE, pages, serving

_PROBE = re.compile(r"/[a-z-]+/_stcore/(health|host-config)$")  # Streamlit's own question for a mounted app
_THINK = (2.0, 8.0)  # seconds that a person looks at a page


def crowd(store: Path, minutes: float, sessions: int, workers: int) -> dict[str, Any]:
    """Visits and runs for so many minutes: errors, times, and the memory of the page server."""
    with serving(store, workers) as (address, processes):
        until = time.monotonic() + minutes * 60
        found = asyncio.run(_all(store, address, processes[0].pid, until, sessions))
        found["processes_that_ended"] = sum(process.poll() is not None for process in processes)
    log = (store.parent / "load-server.txt").read_text(errors="replace")
    found["tracebacks_in_logs"] = log.count("Traceback")
    found["locked_in_logs"] = log.count("database is locked")
    return found | {"minutes": minutes, "sessions": sessions, "workers": workers}


async def _all(store: Path, address: str, pid: int, until: float, sessions: int) -> dict[str, Any]:
    from playwright.async_api import async_playwright

    visits: list[float] = []
    faults: list[str] = []
    memory: list[int] = []
    chosen = list(pages(store).values())
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        ran, *_ = await asyncio.gather(
            _submit(store, until),
            _watch(pid, memory, until),
            *(
                _session(browser, address, chosen, random.Random(i), until, visits, faults)
                for i in range(sessions)
            ),
        )
        await browser.close()
    fifth = max(1, len(memory) // 5)
    return {
        "visits": len(visits),
        "title_median_ms": round(statistics.median(visits)),
        "title_p95_ms": round(sorted(visits)[int(0.95 * (len(visits) - 1))]),
        "faults": len(faults),
        "first_faults": list(dict.fromkeys(faults))[:5],
        **ran,
        # The second fifth, when all pages have been loaded once, against the last.
        "web_memory_mb_early": round(statistics.median(memory[fifth : 2 * fifth] or memory)),
        "web_memory_mb_late": round(statistics.median(memory[-fifth:])),
    }


async def _session(
    browser: Any,
    address: str,
    paths: list[str],
    rng: random.Random,
    until: float,
    visits: list[float],
    faults: list[str],
) -> None:
    """One person, who opens one page after the other."""
    context = await browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    page = await context.new_page()

    def console(message: Any) -> None:
        if message.type == "error" and not _PROBE.search(message.location.get("url", "")):
            faults.append(message.text)

    page.on("console", console)
    page.on("pageerror", lambda error: faults.append(str(error)))
    await asyncio.sleep(rng.uniform(*_THINK))
    while time.monotonic() < until:
        path = rng.choice(paths)
        try:
            await page.goto(path, wait_until="commit")
            visits.append(await (await page.wait_for_function(TITLE)).json_value())
            await page.wait_for_function(f"() => !({RUNNING})()")
            for box in await page.locator("[data-testid=stException]").all_inner_texts():
                faults.append(f"{path}: {box}")
        except Exception as error:
            faults.append(f"{path}: {str(error).splitlines()[0]}")
        await asyncio.sleep(rng.uniform(*_THINK))
    await context.close()


async def _submit(store: Path, until: float) -> dict[str, int]:
    """Keep a few short runs in the queue, and count how they ended."""
    import workbench as wb
    from workbench.timeseries import CSL

    opened = wb.open(store)
    mine: list[str] = []
    seed = 0
    while time.monotonic() < until - 30:
        waiting = [run for run in opened.runs(limit=20) if run.id in mine and not run.is_finished]
        if len(waiting) < 4:
            mine.append(opened.submit(CSL(n_epochs=1), "BasicMotions", seed=seed).id)
            seed += 1
        await asyncio.sleep(1)
    for run in mine:
        while not opened.run(run).is_finished:
            await asyncio.sleep(1)
    ended = [opened.run(run).state for run in mine]
    return {"runs_submitted": len(mine), "runs_done": ended.count("done")}


async def _watch(pid: int, memory: list[int], until: float) -> None:
    """Resident megabytes of the page server, every five seconds."""
    while time.monotonic() < until:
        status = Path(f"/proc/{pid}/status").read_text()
        memory.append(int(next(x.split()[1] for x in status.splitlines() if x.startswith("VmRSS"))) >> 10)
        await asyncio.sleep(5)

"""How long the threshold of an anomaly page takes to answer, over a track of 100,000 steps.

::

    python benchmarks/slider.py            # a store of its own, a real server, worker and browser: minutes
    python benchmarks/slider.py --show     # what was measured last

Measured inside the browser: from the release of the key that moves the slider until the shares above the plot
and the plot itself show the new threshold. Median over `--repeat` moves. The recording is drawn at random,
since nothing of it matters here but its length. Chromium (``$CHROMIUM``) and Playwright are needed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._common import command, commit, machine, table
from benchmarks._load_server import CHROMIUM, FLAGS, RUNNING, serving

RESULTS = Path(__file__).resolve().parent / "results" / "slider.json"
TARGET, MOST_POINTS = 200, 4000  # milliseconds; points of the track that are drawn

#: What the page says now: the shares, and where the plot has its dashed line.
STATE = """() => {
    const plot = document.querySelector('.js-plotly-plot');
    const shares = [...document.querySelectorAll('[data-testid=stMetricValue]')].map(one => one.innerText);
    const line = plot && plot.layout && plot.layout.shapes ? plot.layout.shapes[0].y0 : null;
    return {shares: shares.join(' '), line};
}"""
#: Resolves with milliseconds from the next release of a key until both parts of the state differ.
ANSWER = """() => {
    const state = STATE, before = state();
    window.answer = new Promise(done => document.addEventListener('keyup', () => {
        const released = performance.now();
        const look = () => {
            const now = state();
            if (now.shares !== before.shares && now.line !== null && now.line !== before.line)
                done(performance.now() - released);
            else if (performance.now() - released > 10000) done(null);
            else requestAnimationFrame(look);
        };
        look();
    }, {capture: true, once: true}));
}""".replace("STATE", STATE)
POINTS = """() => document.querySelector('.js-plotly-plot').calcdata
    .filter(drawn => ['score', 'above the threshold'].includes(drawn[0].trace.name))
    .reduce((sum, drawn) => sum + drawn.length, 0)"""


def recording(store: Path, steps: int) -> tuple[Any, Any]:
    """A data set whose test part has so many steps, and an estimator that scores it in little time."""
    import workbench as wb
    from workbench.timeseries import UniTSAnomalyDetector

    rng = np.random.default_rng(0)
    n = round(steps / 0.3)  # the last 0.3 of a recording is its test part
    load, anomaly = np.sin(np.arange(n) / 20) + rng.normal(0, 0.1, n), np.zeros(n, dtype=int)
    for begin in rng.integers(n - steps, n - 50, 60):
        anomaly[begin : begin + 30] = 1
        load[begin : begin + 30] += rng.normal(0, 1.5, 30)
    frame = pd.DataFrame({"time": np.arange(n), "load": load, "anomaly": anomaly})
    data = wb.open(store).datasets.publish_frame(frame, "Recording")
    detector = UniTSAnomalyDetector(
        window=50, encoders="CSL", pretrain_epochs=0, max_windows=100, stride=25, random_state=0
    )
    return data, detector


def measure(store: Path, steps: int, repeat: int) -> dict[str, Any]:
    """Milliseconds of every move, and the points drawn."""
    from playwright.sync_api import sync_playwright

    import workbench as wb

    data, detector = recording(store, steps)
    with serving(store, workers=1) as (address, _), sync_playwright() as playwright:
        run = wb.open(store).submit(detector, data).wait(timeout=3000)
        if run.state != "done":
            raise SystemExit(f"the run ended as {run.state}: {run.error}")
        track = len(run.report().tables["track"])
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(base_url=address, viewport={"width": 1280, "height": 1600})
        page.set_default_timeout(120_000)
        page.goto(f"/run?run={run.id}")
        slider = page.get_by_role("slider").first
        slider.wait_for()
        page.wait_for_function(f"() => !({RUNNING})()")
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        times, points = [], 0
        for i in range(repeat + 1):
            page.wait_for_timeout(1500)
            page.evaluate(ANSWER)
            # Down first: every step changes what is flagged.
            slider.press("PageDown" if i % 2 == 0 else "PageUp")
            milliseconds = page.evaluate("window.answer")
            points = max(points, int(page.evaluate(POINTS)))
            if i and milliseconds is not None:  # the first warms up
                times.append(float(milliseconds))
        browser.close()
    if not times:
        raise SystemExit("no move changed the page")
    return {"steps": track, "points": points, "milliseconds": times, "median": statistics.median(times)}


def report() -> str:
    if not RESULTS.exists():
        return "not run"
    cell = json.loads(RESULTS.read_text())
    rows = [
        ["points drawn", str(cell["points"]), f"at most {MOST_POINTS}"],
        ["release to answer, median (ms)", f"{cell['median']:.0f}", f"at most {TARGET}"],
        ["release to answer, longest (ms)", f"{max(cell['milliseconds']):.0f}", ""],
    ]
    header = [f"a track of {cell['steps']:,} steps", "figure", "target"]
    return f"{table(header, rows)}\n\n{cell['machine']}; commit {cell['commit']}; {cell['command']}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=11)
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    if not arguments.show:
        with tempfile.TemporaryDirectory() as folder:
            cell = measure(Path(folder) / "store", arguments.steps, arguments.repeat)
        cell |= {"machine": machine(1), "commit": commit(), "command": command()}
        RESULTS.write_text(json.dumps(cell, indent=1, sort_keys=True) + "\n")
    print(report())


if __name__ == "__main__":
    main()

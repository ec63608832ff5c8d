"""Any script's work as a run: recorded while it happens, ended as it ended, and never lost."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import workbench as wb
from workbench import notebook
from workbench.errors import RunError, UsageError
from workbench.runs import queue, tracking
from workbench.runs.tracking import RunCancelled
from workbench.runs.worker import Worker


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(tracking, "BEAT", 0.05)


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_metrics_parameters_and_artifacts_are_a_run(store, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with store.start_run("sweep", params={"depth": 3, "rate": np.float32(0.5)}, seed=4, owner="ann") as run:
        for loss in (0.5, 0.25, 0.125):
            run.log(loss=loss)
        run.log({"test/accuracy": 0.75}, step=10)
        run.log_params(width=8)
        run.log_table("errors", pd.DataFrame({"row": [1, 2]}))
        run.log_figure("shape", go.Figure(go.Bar(y=[1, 2])))
        run.log_artifact(tmp_path / "notes.txt")
    kept = store.run(run.id)
    assert (kept.state, kept.name, kept.owner, kept.progress) == ("done", "sweep", "ann", 1)
    assert kept.scores == {"loss": 0.125, "test/accuracy": 0.75}
    assert kept.headline == "loss 0.125, test/accuracy 0.75"
    assert kept.spec["params"] == {"depth": 3, "rate": 0.5, "width": 8}
    points = kept.metrics()
    assert points[points["name"] == "loss"][["step", "value"]].to_numpy().tolist() == [
        [1, 0.5],
        [2, 0.25],
        [3, 0.125],
    ]
    assert points[points["name"] == "test/accuracy"]["step"].tolist() == [10]
    assert kept.report().tables["errors"]["row"].tolist() == [1, 2]
    assert kept.artifacts["files/notes.txt"].read_text() == "hello"
    assert json.loads(kept.artifacts["figures/shape.json"].read_text())["data"][0]["y"] == [1, 2]
    assert kept.usage["memory_bytes"] > 10_000_000


def test_it_is_seen_while_it_runs(store):
    with store.start_run("live") as run:
        run.log(loss=1.0)
        until(lambda: len(store.run(run.id).metrics()) == 1)
        assert store.run(run.id).state == "running"


def test_an_exception_is_a_failed_run_and_goes_on(store):
    def script():
        with store.start_run("bad") as run:
            run.log(loss=1.0)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        script()
    (run,) = store.runs()
    kept = store.run(run.id)
    assert (kept.state, kept.error) == ("failed", "ZeroDivisionError: division by zero")
    assert kept.metrics()["value"].tolist() == [1.0]


def test_cancel_reaches_the_script(store):
    def script():
        with store.start_run("long") as run:
            store.queue.cancel(run.id)
            for _ in range(1000):
                run.log(loss=1.0)
                time.sleep(0.01)

    with pytest.raises(RunCancelled):
        script()
    (run,) = store.runs()
    assert run.state == "cancelled"


def test_a_killed_script_is_found_out_by_the_next_worker(store, monkeypatch):
    script = f"""
    import os, signal, time
    import workbench as wb
    from workbench.runs import tracking
    tracking.LEASE = 0.5
    run = wb.open({str(store.root)!r}).start_run("killed")
    run.log(loss=0.5)
    print(run.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    (run,) = store.runs()
    assert run.state == "running"
    time.sleep(0.6)
    worker = Worker(store.dir, ["cpu"])
    until(lambda: worker._step() or store.run(run.id).is_finished)
    kept = store.run(run.id)
    assert (kept.state, kept.error) == ("failed", tracking.ABANDONED)
    assert kept.metrics()["value"].tolist() == [0.5]  # what it had logged is not lost


def test_a_script_that_was_thought_dead_ends_as_it_ends(store, monkeypatch):
    monkeypatch.setattr(tracking, "BEAT", 60)  # as if the machine slept
    monkeypatch.setattr(tracking, "LEASE", -1.0)
    with store.start_run("slept") as run:
        worker = Worker(store.dir, ["cpu"])
        until(lambda: worker._step() or store.run(run.id).is_finished)
        assert store.run(run.id).state == "failed"
        run._ended.set()
        run.log(loss=0.1)
    kept = store.run(run.id)
    assert (kept.state, kept.error, kept.scores) == ("done", "", {"loss": 0.1})
    assert kept.metrics()["value"].tolist() == [0.1]


def test_no_worker_starts_or_retries_a_recorded_run(store):
    with store.start_run("mine") as run:
        assert queue.claim(store.dir, "w", "cpu", ("cpu", "auto"), lease=60) is None
    with pytest.raises(RunError, match="run the script again"):
        store.queue.retry(run.id, fresh=True)
    with pytest.raises(RunError, match="run the script again"):
        notebook.as_script(store.run(run.id))


def test_recorded_runs_are_compared_like_others(store):
    for rate, seed in ((0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)):
        with store.start_run(f"rate {rate}", params={"rate": rate}, seed=seed) as run:
            run.log(test_accuracy=rate + seed / 100)
    compared = store.compare([run.id for run in store.runs()])
    assert set(compared.parameters()["parameter"]) == {"rate", "seed"}
    table = compared.summary("test_accuracy")
    assert table["n"].tolist() == [2, 2]
    np.testing.assert_allclose(table["mean"], [0.205, 0.105])


def test_the_data_set_it_names_is_kept_while_the_run_is(store):
    store.datasets.publish_frame(pd.DataFrame({"a": [1.0, 2.0]}), "points")
    with store.start_run("uses", data="points") as run:
        pass
    assert store.run(run.id).dataset == "points@1"
    with pytest.raises(wb.WorkbenchError, match="1 run uses it"):
        store.datasets.delete("points@1")


def test_mistakes_are_one_sentence(store, tmp_path):
    with pytest.raises(UsageError, match="needs a name"):
        store.start_run(" ")
    with pytest.raises(UsageError, match="'model' is a object"):
        store.start_run("x", params={"model": object()})
    with pytest.raises(wb.WorkbenchError):
        store.start_run("x", data="nothing")
    assert store.runs() == []
    assert list(store.dir.tmp.iterdir()) == []
    with store.start_run("x") as run:
        with pytest.raises(UsageError, match="not a number"):
            run.log(loss="low")
        with pytest.raises(UsageError, match="no file"):
            run.log_artifact(tmp_path / "none")
        with pytest.raises(UsageError, match="cannot be a name"):
            run.log_table("../up", pd.DataFrame({"a": [1]}))
    with pytest.raises(RunError, match="has ended"):
        run.log(loss=1.0)


def test_values_that_are_not_finite_are_missing_points(store):
    with store.start_run("odd") as run:
        run.log(loss=float("nan"))
        run.log(loss=float("inf"))
    assert store.run(run.id).metrics()["value"].isna().tolist() == [True, True]
    assert store.run(run.id).state == "done"


def test_a_script_on_its_own_keeps_its_text(tmp_path):
    script = tmp_path / "study.py"
    script.write_text(
        "import workbench as wb\n\nwith wb.start_run('study') as run:\n    run.log(answer=42)\n"
        "print(run.id)\n"
    )
    environment = os.environ | {"WORKBENCH_STORE": str(tmp_path / "store")}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    run = wb.open(tmp_path / "store").run(done.stdout.strip())
    assert run.artifacts["script.py"].read_text() == script.read_text()
    assert run.spec["git_commit"] is None or len(run.spec["git_commit"]) == 40


def test_the_pages_show_it(store, monkeypatch):
    from streamlit.testing.v1 import AppTest

    from workbench.gui.config import PAGES

    monkeypatch.setenv("WORKBENCH_STORE", str(store.root))
    with store.start_run("shown", params={"a": 1}) as run:
        for loss in (3.0, 2.0, 1.0):
            run.log(loss=loss)
        run.log_figure("shape", go.Figure(go.Bar(y=[1, 2])))
    for page, query in (("run", {"run": run.id}), ("compare", {"runs": run.id}), ("runs", {})):
        app = AppTest.from_file(PAGES / f"{page}.py", default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception
        assert not app.error, app.error
        if page == "run":
            assert [header.value for header in app.subheader] == ["Curves", "Shape"]
            assert any("peak memory" in caption.value for caption in app.caption)

"""Runs on a real cluster: ``ray start`` on this machine, in a mount namespace without the store."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest
from rig import is_alive, until

from tests.servers import free_port
from workbench import search
from workbench.errors import UsageError
from workbench.runs import launchers
from workbench.runs.launchers.ray import RayLauncher
from workbench.runs.worker import Worker

pytestmark = pytest.mark.cluster
pytest.importorskip("ray", reason="needs the extra ray")

TOKEN = "a-token-of-this-test-only-0123456789"  # noqa: S105
ALONE = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
# An empty file system in the place of the store, for the command that follows and all it starts.
WITHOUT = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
SEEDS = Path(__file__).parents[2] / "benchmarks" / "seeds.py"
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


class Cluster:
    """``ray start`` processes that cannot see the folder `hidden`."""

    def __init__(self, folder, hidden):
        self.folder, self.hidden = folder, hidden
        self.port, self.dashboard = free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.dashboard}"
        self.nodes = []
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("WORKBENCH_", "RAY_"))},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            # A node that is gone is noticed within seconds; one that a busy machine makes slow is not gone.
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "30000",
            "RAY_health_check_failure_threshold": "5",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
            "WORKBENCH_NODE_DIR": str(folder / "node"),
            "WORKBENCH_NODE_SEND": "0",
            "WORKBENCH_CHECKPOINT_SECONDS": "0",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, *arguments):
        alone = [*ALONE, "sh", "-c", WITHOUT, str(self.hidden)]
        command = [*alone, *RAY, "start", "--block", "--disable-usage-stats", *arguments]
        log = open(self.folder / f"start-{len(self.nodes)}.log", "wb")  # noqa: SIM115
        with log:
            process = subprocess.Popen(
                command,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        self.nodes.append(process)
        return process

    def start_head(self, **resources):
        self.start(
            "--head",
            "--node-ip-address=127.0.0.1",
            f"--port={self.port}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={self.dashboard}",
            f"--ray-client-server-port={free_port()}",
            f"--temp-dir={self.folder}/r",
            *(f"--{name.replace('_', '-')}={value}" for name, value in resources.items()),
        )
        until(self.answers, 180)

    def start_worker(self, **resources):
        return self.start(
            f"--address=127.0.0.1:{self.port}",
            *(f"--{name.replace('_', '-')}={value}" for name, value in resources.items()),
        )

    def ask(self, path, token=TOKEN):
        request = urllib.request.Request(
            f"{self.address}{path}", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def answers(self):
        assert self.nodes[0].poll() is None, (self.folder / "start-0.log").read_text()
        try:
            return self.ask("/api/version") and self.ask("/api/jobs/") == []
        except OSError:
            time.sleep(0.5)
            return False

    @staticmethod
    def kill(node):
        """Kill a node with all that it started, as when its machine is switched off."""
        processes = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()

    def stop(self):
        for node in reversed(self.nodes):
            if node.poll() is None:
                self.kill(node)
        for process in psutil.process_iter():  # what left its parents
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == str(self.folder):
                    process.kill()


@pytest.fixture
def cluster(store):
    if subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    # Short, for the sockets below it have at most 107 characters.
    made = Cluster(Path(tempfile.mkdtemp(prefix="wbr", dir="/tmp")), store.root)
    yield made
    made.stop()
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture
def launcher(store, url, cluster, monkeypatch):
    """What the environment of a worker says."""
    monkeypatch.setenv("WORKBENCH_RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("WORKBENCH_RAY_PYTHON", sys.executable)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("WORKBENCH_URL", url)


def work_until(worker, condition, timeout=300):
    return until(lambda: worker.tick() or condition(), timeout)


def pids(run):
    """Processes of the run on the node, wherever they are: they carry its id in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if f"/{run.id}-" in process.environ().get("WORKBENCH_RUN_DIR", ""):
                found.append(process.pid)
    return found


def test_one_gpu_is_waited_for_and_cancel_leaves_nothing_behind(store, table, cluster, launcher):
    cluster.start_head(num_cpus=2, num_gpus=1)
    logistic = "sklearn.linear_model:LogisticRegression"
    first, second = (
        store.submit("probes:Sleeper", table, params={"seconds": 4}, device="cuda", launcher="ray")
        for _ in "ab"
    )
    third = store.submit(logistic, table, device="cpu", launcher="ray")
    looker = store.submit("probes:Looker", table, params={"folder": str(store.root)}, launcher="ray")
    worker = Worker(store.dir, [])
    work_until(
        worker,
        lambda: looker.refresh().is_finished and second.refresh().is_finished and third.refresh().is_finished,
    )
    first, second, third = first.refresh(), second.refresh(), third.refresh()
    assert [run.state for run in (first, second, third)] == ["done"] * 3
    # One after the other, though both were handed over at once.
    spans = sorted([(e[0]["time"], e[-1]["time"]) for e in (fits(first), fits(second))])
    assert spans[0][1] <= spans[1][0]
    assert json.loads(first.headline.removeprefix("Fitted. "))["CUDA_VISIBLE_DEVICES"] == "0"
    # Report, model and log came back from where the store is not.
    assert third.scores["test_accuracy"] == third.report().scores["test_accuracy"] > 0.8
    assert third.estimator().score(table.to_table().X, table.to_table().y) > 0.8
    assert "stage fit" in third.log()
    assert third.usage["memory_bytes"] > 1 << 20
    assert json.loads(looker.refresh().headline.removeprefix("Fitted. ")) == []

    sleeper = store.submit("probes:Sleeper", table, params={"seconds": 600, "children": 2}, launcher="ray")
    work_until(worker, lambda: "stage fit" in sleeper.log() and len(pids(sleeper)) == 3)
    alive = pids(sleeper)
    sleeper.cancel()
    work_until(worker, lambda: sleeper.refresh().state == "cancelled")
    until(lambda: not any(is_alive(pid) for pid in alive))

    # A worker that goes away leaves the run where it is, and the next one follows it to its end.
    lasting = store.submit("probes:Sleeper", table, params={"seconds": 8}, launcher="ray")
    work_until(worker, lambda: "stage fit" in lasting.log())
    worker.stopping = True
    worker.tick()
    assert lasting.refresh().state == "running"
    with store.dir.write() as db:
        db.execute("UPDATE runs SET lease_until = 0")
    heir = Worker(store.dir, [])
    work_until(heir, lambda: lasting.refresh().is_finished)
    assert (lasting.refresh().state, lasting.refresh().attempt) == ("done", 1)


def fits(run):
    """Events of the run's own process, not of the launcher that said it waits."""
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines() if line]
    return [event for event in events if event.get("stage") == "fit"]


def test_the_run_of_a_killed_node_goes_on_from_its_checkpoint_on_another(store, cluster, launcher):
    X = np.random.default_rng(0).normal(size=(24, 60, 2)).cumsum(axis=1)
    walks = store.datasets.publish_arrays(X, np.arange(24) % 2, name="walks")
    options = {"params": {"n_epochs": 60, "device": "cpu"}, "recipe": "probes:train_only", "device": "cuda"}
    plain = store.submit("timeseries.CSL", walks, **options | {"device": "cpu"})
    Worker(store.dir, ["cpu"]).run_until_done(plain.id)

    cluster.start_head(num_cpus=1, num_gpus=0)
    node = cluster.start_worker(num_cpus=1, num_gpus=1)
    run = store.submit("timeseries.CSL", walks, launcher="ray", **options)
    worker = Worker(store.dir, [])
    work_until(
        worker, lambda: len(run.refresh().metrics()) > 20 and any(run.folder.glob("checkpoint/**/state.json"))
    )
    cluster.kill(node)
    cluster.start_worker(num_cpus=1, num_gpus=1)
    work_until(worker, lambda: run.refresh().is_finished)
    done = run.refresh()
    assert (done.state, done.attempt) == ("done", 2), done.error
    # It went on where it was: no epoch is told twice, and the end is that of a run which nothing befell.
    curves = [
        each.metrics().pivot_table(index="step", columns="name", values="value")
        for each in (plain.refresh(), done)
    ]
    assert np.array_equal(curves[0].to_numpy(), curves[1].to_numpy())
    states = [each.estimator().state_ for each in (plain.refresh(), done)]
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_trials_seeds_and_processes_that_train_together(store, cluster, launcher):
    """What fans out, and what is more than one process on a node."""
    X = np.random.default_rng(0).normal(size=(24, 60, 2)).cumsum(axis=1)
    walks = store.datasets.publish_arrays(X, np.array(["a", "b"] * 12), name="walks")
    small = {"n_epochs": 2, "n_scales": 1, "n_shapelets": 3, "device": "cpu"}
    longer = {
        "params": {"n_epochs": 10, "n_scales": 2, "device": "cpu"}, "recipe": "probes:train_only",
    }  # fmt: skip
    alone = store.submit("timeseries.CSL", walks, **longer)
    Worker(store.dir, ["cpu"]).run_until_done(alone.id)

    cluster.start_head(num_cpus=4)
    both = store.submit("timeseries.CSL", walks, processes=2, launcher="ray", **longer)
    main = search.start(
        store, "timeseries.CSL", walks, n_trials=2, vary=["learning_rate"], params=small, launcher="ray"
    )
    command = [sys.executable, SEEDS, "--store", store.root, "--data", "walks", "--params", json.dumps(small)]
    command += ["--estimator", "timeseries.CSL", "--launcher", "ray", "--seeds", "3-4"]
    table = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    worker, most = Worker(store.dir, []), 0

    def ended():
        nonlocal most
        most = max(most, sum(run.state == "running" and run.launcher == "ray" for run in store.runs()))
        return table.poll() is not None and all(run.is_finished for run in store.runs())

    work_until(worker, ended)
    printed = table.communicate()[0]
    assert most > 1  # beside each other
    assert {run.state for run in store.runs()} == {"done"}, [(run.name, run.error) for run in store.runs()]
    tried = [*search.trials(store, main.id), search.tested(store, main.id)]
    seeds = [run for run in store.runs() if run.spec.get("seed") in (3, 4)]
    assert [run.launcher for run in (*tried, *seeds)] == ["ray"] * 5
    # The table is that of the runs' scores; printed again, it is theirs still, and nothing runs.
    name = next(iter(seeds[0].scores))
    values = [run.scores[name] for run in seeds]
    assert f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" in printed, printed
    again = subprocess.run(command, capture_output=True, text=True)
    assert "± " in again.stdout, again.stderr
    assert len(store.runs()) == 8
    # Two processes within one job have the loss curve of one process with the same batches.
    curves = [run.refresh().metrics().drop(columns="time") for run in (alone, both)]
    np.testing.assert_allclose(curves[1]["value"], curves[0]["value"], rtol=1e-3, atol=1e-5)


def test_a_cluster_is_not_used_without_its_token(store, table, cluster, launcher, monkeypatch):
    cluster.start_head(num_cpus=1)
    for wrong in ("", "another"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            cluster.ask("/api/jobs/", token=wrong)
        with refused.value as answer:  # an answer that is not read holds its socket
            assert answer.code in (401, 403)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    run = store.submit("probes:Sleeper", table, launcher="ray")
    worker = Worker(store.dir, [])
    work_until(worker, lambda: run.refresh().is_finished)
    assert "refused the token" in run.refresh().error
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    with pytest.raises(UsageError, match="Ray needs a token"):
        launchers.configured(store.dir)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert isinstance(launchers.configured(store.dir)["ray"], RayLauncher)

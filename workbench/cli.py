"""The command line: ``python -m workbench`` (also installed as ``workbench``).

Results go to standard output, errors to standard error in one sentence. Exit codes: 0 done, 1 failed,
2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import workbench
from workbench import commands, data_arguments, model_commands, pipeline_arguments, store_commands
from workbench.errors import UsageError, WorkbenchError, of_system

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.command(arguments) or 0
    except UsageError as error:
        return _fail(error, 2)
    except WorkbenchError as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a listing (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if (said := of_system(error)) is None:
            raise
        return _fail(said, 1)


def _fail(error: Exception, code: int) -> int:
    print(f"workbench: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """The whole command line as a parser."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--store",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="directory of the store (default: $WORKBENCH_STORE, else data/store)",
    )
    parser = argparse.ArgumentParser(
        prog="workbench", description="Serve the workbench, or use it by command."
    )
    parser.add_argument("--version", action="version", version=f"workbench {workbench.__version__}")
    _serve_options(parser)
    parser.add_argument("--store", metavar="DIR", default=None, help=shared._actions[0].help)
    parser.set_defaults(command=commands.serve)
    groups = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(
        group: Any, name: str, command: Callable[[argparse.Namespace], int | None], help: str
    ) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = group.add_parser(name, help=help, description=help, parents=[shared])
        sub.set_defaults(command=command)
        return sub

    web = add(groups, "web", commands.web, "serve the pages only")
    _serve_options(web)
    worker = add(groups, "worker", commands.worker, "start a worker: runs what is queued")
    worker.add_argument("--slots", type=_positive, help="runs at once on the CPU (default: one)")
    worker.add_argument("--samples", action="store_true", help="on a new store, register the samples first")

    data = groups.add_parser("data", help="data sets").add_subparsers(metavar="ACTION", required=True)
    data_arguments.add_to(data, add)

    sub = add(groups, "submit", commands.submit, "queue a run")
    sub.add_argument(
        "--estimator", required=True, metavar="NAME", help="e.g. timeseries.CSL, or module:Class"
    )
    sub.add_argument("--data", required=True, metavar="NAME[@VERSION]")
    sub.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")
    sub.add_argument("--recipe", help="what the run does (default: the estimator's own)")
    sub.add_argument("--split", default="auto", choices=["auto", "column", "random"])
    sub.add_argument("--test-size", type=float, default=0.3, help="share of a random test part (default 0.3)")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--name", help="name of the run")
    sub.add_argument("--priority", type=int, default=0, help="higher goes first")
    sub.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    sub.add_argument(
        "--launcher",
        default="local",
        choices=["local", "ray", "slurm"],
        help="where it runs (default: local)",
    )
    sub.add_argument("--processes", type=_positive, default=1, help="that train together (default: 1)")
    sub.add_argument("--wait", action="store_true", help="wait for the end and print the scores")
    sub.add_argument("--json", action="store_true", help="print JSON")

    runs = groups.add_parser("runs", help="runs").add_subparsers(metavar="ACTION", required=True)
    sub = add(runs, "list", commands.runs_list, "list the runs, newest first")
    sub.add_argument("--state", choices=["queued", "running", "done", "failed", "cancelled"])
    sub.add_argument("--limit", type=_positive, default=100)
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = add(runs, "show", commands.runs_show, "show a run: its specification, state and scores")
    sub.add_argument("run", metavar="RUN")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = add(runs, "log", commands.runs_log, "print a run's log")
    sub.add_argument("run", metavar="RUN")
    sub.add_argument("--tail", type=_positive, metavar="N", help="the last N lines only")
    sub = add(
        runs, "compare", commands.runs_compare, "put runs side by side: what differs, and what came of it"
    )
    sub.add_argument("run", nargs="+", metavar="RUN")
    sub.add_argument("--score", help="the score to compare by (default: the first that most runs have)")
    sub.add_argument("--pairs", choices=["dataset", "seed"], help="what pairs two methods' scores")
    sub.add_argument("--json", action="store_true", help="print JSON")
    for name, help in (
        ("cancel", "cancel runs that are queued or running"),
        ("retry", "queue finished runs again; they continue from their checkpoint"),
        ("delete", "delete finished runs with their folders"),
    ):
        sub = add(runs, name, commands.runs_change, help)
        sub.set_defaults(action=name)
        sub.add_argument("run", nargs="+", metavar="RUN")
        if name == "retry":
            sub.add_argument("--fresh", action="store_true", help="from the start, without the checkpoint")

    pipelines = groups.add_parser("pipelines", help="pipelines, whose steps are runs")
    pipeline_arguments.add_pipelines(pipelines.add_subparsers(metavar="ACTION", required=True), add)
    schedules = groups.add_parser("schedule", help="what starts pipelines by itself")
    pipeline_arguments.add_schedules(schedules.add_subparsers(metavar="ACTION", required=True), add)

    notebooks = groups.add_parser("notebook", help="notebooks as runs")
    sub = add(notebooks.add_subparsers(metavar="ACTION", required=True), "run", commands.notebook_run,
              "execute a notebook in the background, with parameters")  # fmt: skip
    sub.add_argument("file", metavar="FILE.ipynb")
    sub.add_argument("--param", action="append", default=[], metavar="NAME=VALUE",
                     help="a value for a name of its cell tagged 'parameters'; repeat for more")  # fmt: skip
    sub.add_argument("--wait", action="store_true", help="wait for the end")
    sub.add_argument("--json", action="store_true", help="print JSON")

    models = groups.add_parser("models", help="saved models").add_subparsers(metavar="ACTION", required=True)
    model_commands.add_models(models, add)
    exchange = groups.add_parser("mlflow", help="runs from and to MLflow (extra mlflow)").add_subparsers(
        metavar="ACTION", required=True
    )
    model_commands.add_mlflow(exchange, add)

    tokens = groups.add_parser("token", help="tokens for the API").add_subparsers(
        metavar="ACTION", required=True
    )
    sub = add(tokens, "create", store_commands.token_create, "make a token and print it, once")
    sub.add_argument("name", metavar="NAME", help="owner of the runs that are submitted with it")
    sub.add_argument("--write", action="store_true", help="may submit and cancel runs, not only read")
    sub.add_argument(
        "--days", type=float, metavar="N", help="days for which it is valid (default: until revoked)"
    )
    sub = add(tokens, "list", store_commands.token_list, "list the tokens, without their secrets")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub = add(tokens, "revoke", store_commands.token_revoke, "make a token invalid at once")
    sub.add_argument("token", metavar="NAME_OR_ID")

    sub = add(groups, "backup", store_commands.backup, "copy the whole store, while it may be in use")
    sub.add_argument("target", metavar="FILE_OR_DIR", help="a new folder, or a file .tar, .tar.gz or .tgz")
    sub = add(groups, "restore", store_commands.restore, "make a new store from a backup")
    sub.add_argument("source", metavar="FILE_OR_DIR")
    sub = add(groups, "check", store_commands.check, "see whether the store is whole")
    sub.add_argument("--repair", action="store_true", help="put right what can be, and say what was done")
    sub.add_argument("--json", action="store_true", help="print JSON")

    sub = groups.add_parser("run", help="the process of one run (started by a worker)")
    sub.add_argument("folder", metavar="RUN_DIR")
    sub.set_defaults(command=commands.run)
    sub = groups.add_parser("node", help="a run on a machine of a cluster (started by a launcher)")
    sub.set_defaults(command=commands.node)
    sub = groups.add_parser("step", help="the process of one Python step (started by a pipeline)")
    sub.add_argument("folder", metavar="RUN_DIR")
    sub.add_argument("name", metavar="STEP")
    sub.set_defaults(command=commands.step)
    sub = add(groups, "export", commands.export, "write the notebook and script that reproduce a run")
    sub.add_argument("run", metavar="RUN")
    sub.add_argument("-o", "--output", metavar="DIR", default=".", help="folder (default: here)")
    return parser


def _serve_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=commands.parse_port,
        default=argparse.SUPPRESS,
        help=f"(default: $WORKBENCH_PORT, else {commands.DEFAULT_PORT})",
    )
    parser.add_argument("--host", default=argparse.SUPPRESS, help="(default: 127.0.0.1)")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value

"""The arguments of ``workbench pipelines …`` and ``workbench schedule …``; see `pipeline_commands`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from workbench import pipeline_commands as do

__all__ = ["add_pipelines", "add_schedules"]

Add = Callable[..., argparse.ArgumentParser]


def add_pipelines(group: Any, add: Add) -> None:
    """Add the actions on pipelines to the subparsers `group`; `add` makes one, with what commands share."""
    _json(add(group, "list", do.list_all, "list the pipelines that are declared"))
    sub = add(group, "show", do.show, "show a pipeline with its parameters, or a run of one with its steps")
    sub.add_argument("pipeline", metavar="PIPELINE|RUN")
    _json(sub)
    sub = add(group, "run", do.run, "queue a run of a pipeline")
    _what(sub)
    sub.add_argument("--date", metavar="YYYY-MM-DD", help="logical date (default: today, UTC)")
    sub.add_argument("--no-reuse", action="store_true", help="do every step, also those done before")
    sub.add_argument("--wait", action="store_true", help="wait for the end and print the result")
    _json(sub)
    sub = add(group, "backfill", do.backfill, "queue a run for every date of a range")
    _what(sub)
    sub.add_argument("--from", dest="start", required=True, metavar="YYYY-MM-DD")
    sub.add_argument("--to", dest="end", required=True, metavar="YYYY-MM-DD", help="included")
    sub.add_argument("--again", action="store_true", help="also dates that are done or queued")
    _json(sub)


def add_schedules(group: Any, add: Add) -> None:
    """Add the actions on schedules to the subparsers `group`."""
    sub = add(group, "add", do.schedule_add, "start a pipeline at times, for new data or for new files")
    sub.add_argument("name", metavar="NAME")
    _what(sub)
    trigger = sub.add_mutually_exclusive_group(required=True)
    trigger.add_argument("--cron", metavar="TIME", help="five fields, e.g. '30 2 * * *', or @daily")
    trigger.add_argument("--on-dataset", metavar="NAME", help="for every new version of a data set")
    trigger.add_argument("--on-folder", metavar="DIR", help="for every new file in a folder")
    sub.add_argument("--zone", default="UTC", metavar="ZONE", help="time zone, e.g. Europe/Berlin")
    sub.add_argument(
        "--fill", default="", metavar="PARAM", help="parameter that is given the new version or file"
    )
    sub.add_argument(
        "--overlap",
        default="skip",
        choices=["skip", "queue", "allow"],
        help="if the run before has not ended: leave this one out, let it wait, or run both",
    )
    sub.add_argument(
        "--catch-up",
        choices=["none", "last", "all"],
        help="what of the missed is made up (default: last; all for data and files)",
    )
    _json(sub)
    _json(add(group, "list", do.schedule_list, "list the schedules"))
    for name, command, help in (
        ("show", do.schedule_show, "show a schedule with its next times and its history"),
        ("next", do.schedule_next, "print the next times"),
        ("pause", do.schedule_change, "start nothing until it is resumed"),
        ("resume", do.schedule_change, "go on; what came during the pause is not made up"),
        ("delete", do.schedule_change, "delete a schedule; its runs stay"),
    ):
        sub = add(group, name, command, help)
        sub.set_defaults(action=name)
        sub.add_argument("name", metavar="NAME")
        if name == "next":
            sub.add_argument("-n", type=_count, default=5, help="how many (default 5)")
        _json(sub)


def _what(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("pipeline", metavar="PIPELINE")
    sub.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="may be repeated")


def _json(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--json", action="store_true", help="print JSON")


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError("must lie between 1 and 1000")
    return value

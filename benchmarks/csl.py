"""Benchmarks of contrastive shapelet learning.

    python benchmarks/csl.py speed --data DIR
    python benchmarks/csl.py accuracy --data DIR [--only NAME] [--seed S]

``speed`` prints the time of a training step, the growth of memory and the time of ``transform`` against a
plain transcription of the published method, in one run. ``accuracy`` fills, cell by cell, the table of
classification and clustering in ``benchmarks/results/csl.json`` and prints it beside the published figures;
what has not been run is printed as ``not run``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _common import command, commit, machine


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    speed = commands.add_parser("speed", help="time and memory against the plain transcription")
    accuracy = commands.add_parser("accuracy", help="classification and clustering beside published figures")
    peak = commands.add_parser("peak", help="(used by speed) memory of one training in a process of its own")
    peak.add_argument("which", choices=["ours", "plain"])
    peak.add_argument("file", type=Path)
    for sub in (speed, accuracy):
        sub.add_argument("--data", type=Path, help="folder that holds uea/<Name>/")
        sub.add_argument(
            "--only", metavar="NAME", action="append", help="this data set only (may be repeated)"
        )
    accuracy.add_argument("--show", action="store_true", help="print the table and run nothing")
    accuracy.add_argument(
        "--minutes", type=float, default=float("inf"), help="start no further cell after this time"
    )
    for sub in (speed, accuracy, peak):
        sub.add_argument("--threads", type=int, default=2)
        sub.add_argument("--seed", type=int, default=None, help="default: 0; of accuracy: 0, 1 and 2")
    options = parser.parse_args()

    if options.what == "peak":
        import _csl_speed

        _csl_speed.peak(options.which, options.file, options.threads, options.seed or 0)
        return
    print(f"{machine(options.threads)}\ncommit {commit()}, command: {command()}")
    if options.what == "speed":
        import _csl_speed

        seed = options.seed or 0
        print(f"seed {seed}\n")
        names = options.only or (["BasicMotions"] if options.data is None else list(_csl_speed.PLANS))
        _csl_speed.report(names, options.data, options.threads, seed)
    else:
        import _csl_accuracy

        seeds = _csl_accuracy.SEEDS if options.seed is None else (options.seed,)
        if not options.show:
            _csl_accuracy.run(options.only, seeds, options.data, options.threads, options.minutes)
        _csl_accuracy.show(options.only)


if __name__ == "__main__":
    main()

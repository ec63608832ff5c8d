"""Every parser takes damaged content or refuses it in a sentence: no crash, no hang, no growing memory.

A few cases of each run in the fast suite, 10,000 in the slow one but for whole pages; ``benchmarks/fuzz.py``
takes as many as it is told, a million by default in ``make fuzz``.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from tests.fuzz.damage import case
from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import take, watch

FEW, MANY = 12, 10_000
#: Of what takes long by its nature so many instead: a page is drawn, a tenth of a second or two.
FEWER = {"page: address": 150}
HEAVY = {"run: checkpoint", "page: address"}  # they import torch or open pages: not in the fast suite


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in TARGETS if name not in HEAVY])
def test_whole_and_a_few_damaged(name: str, tmp_path: Path) -> None:
    seeds, target = TARGETS[name](tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert any(take(target, seed) for seed in seeds), "not even what is whole is taken"
        for number in range(FEW):
            take(target, case(name, number, seeds))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_many_damaged(name: str) -> None:
    core = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    outcome = watch(name, 0, FEWER.get(name, MANY), core)
    assert not outcome.failures, outcome.failures
    assert outcome.taken > 0, "everything was refused: the target looks at nothing"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "words"), [("crash", "ended with -11"), ("failure", "KeyError")])
def test_what_watches_sees_what_no_parser_may_do(name: str, words: str) -> None:
    outcome = watch(name, 0, 3)
    assert [failure["case"] for failure in outcome.failures] == [0, 1, 2]
    assert all(words in failure["error"] for failure in outcome.failures)

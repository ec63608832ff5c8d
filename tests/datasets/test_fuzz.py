"""Damaged files of every format: imported, or refused in one sentence, and nothing is left behind.

Whole files are changed at random places by seeded draws: bytes go, come twice, or become something that
parsers stumble over. ``WORKBENCH_FUZZ=10000 pytest -m "slow or not slow" tests/datasets/test_fuzz.py`` looks
at so many of each format.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.fuzz.damage import damaged
from tests.fuzz.files import WHOLE
from workbench.errors import WorkbenchError

FEW, MANY = 8, int(os.environ.get("WORKBENCH_FUZZ", "100"))


def _hold(store, tmp_path, name: str, cases: range) -> None:
    path = tmp_path / name
    for case in cases:
        path.write_bytes(damaged(random.Random(f"{name} {case}"), WHOLE[name]))
        before = {dataset.ref for dataset in store.datasets.versions("x")} if "x" in store.datasets else set()
        try:
            store.datasets.import_files([path], "x")
        except WorkbenchError as error:
            sentence = str(error)
            assert "\n" not in sentence, (case, sentence)
            assert len(sentence) < 600, (case, sentence)
            assert "object at 0x" not in sentence, (case, sentence)
            after = {d.ref for d in store.datasets.versions("x")} if "x" in store.datasets else set()
            assert after == before, case
        except Exception as error:
            raise AssertionError(f"case {case} of {name}: {type(error).__name__}") from error
        assert not list(store.dir.tmp.iterdir()), case


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_imported(store, tmp_path, name):
    (tmp_path / name).write_bytes(WHOLE[name])
    assert store.datasets.import_files([tmp_path / name], "x").n_rows > 0


@pytest.mark.parametrize("name", WHOLE)
def test_a_damaged_file_is_imported_or_refused_in_a_sentence(store, tmp_path, name):
    _hold(store, tmp_path, name, range(FEW))


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_many_damaged_files(store, tmp_path, name):
    _hold(store, tmp_path, name, range(FEW, MANY))


@pytest.mark.parametrize("name", ["a.ts", "a.arff", "a.libsvm", "a.libffm"])
def test_a_number_with_an_underscore_is_none(store, tmp_path, name):
    content = {
        "a.ts": b"@problemName p\n@univariate true\n@classLabel false\n@data\n1_0,2\n",
        "a.arff": b"@relation r\n@attribute a numeric\n@data\n1_0\n",
        "a.libsvm": b"1 1:1_0\n",
        "a.libffm": b"1 0:1_0:1\n",
    }[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WorkbenchError, match="1_0"):
        store.datasets.import_files([tmp_path / name], "x")

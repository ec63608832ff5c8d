"""Damaged files of every format: imported, or refused in one sentence, and nothing is left behind.

Whole files are changed at random places by seeded draws: bytes go, come twice, or become something that
parsers stumble over. ``WORKBENCH_FUZZ=10000 pytest -m "slow or not slow" tests/datasets/test_fuzz.py`` looks
at so many of each format.
"""

from __future__ import annotations

import gzip
import io
import os
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from workbench.errors import WorkbenchError

FEW, MANY = 8, int(os.environ.get("WORKBENCH_FUZZ", "100"))

FRAME = pd.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "time": pd.date_range("2024-01-01", periods=4),
        "x": [1.5, None, 3, 4],
        "text": ["a", 'b"', "c,d", "é"],
    }
)


def _written(write) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _arrow(buffer) -> None:
    table = pa.Table.from_pandas(FRAME)
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write(table)


#: File name → a whole file of that format.
WHOLE = {
    "a.csv": FRAME.to_csv(index=False).encode(),
    "a.tsv": FRAME.to_csv(index=False, sep="\t").encode(),
    "a.csv.gz": gzip.compress(FRAME.to_csv(index=False).encode(), mtime=0),
    "a.ts": b"@problemName p\n@timeStamps false\n@missing true\n@univariate false\n@dimension 2\n"
    b"@equalLength false\n@classLabel true a b\n@data\n1,2,3:4,5,?:a\n1,2:3,4:b\n",
    "stamped.ts": b"@problemName p\n@timeStamps true\n@univariate true\n@classLabel false\n@data\n"
    b"(0,1.5),(1,2.5)\n(0,1),(3,?)\n",
    "a.arff": b"@relation r\n@attribute a numeric\n@attribute 'b c' {x,'y z'}\n@attribute d string\n"
    b"@attribute e date 'yyyy-MM-dd'\n@data\n1,x,'s',2024-01-01\n?,'y z',\"q\",?\n",
    "relational.arff": b"@relation r\n@attribute rel relational\n@attribute a1 numeric\n"
    b"@attribute a2 numeric\n"
    b"@end rel\n@attribute cls {u,v}\n@data\n'1,2\\n3,4',u\n'5,6\\n7,8',v\n",
    "a.jsonl": b'{"a": 1, "b": [1, 2], "c": {"d": "x"}}\n{"a": 2.5, "b": null, "c": null}\n',
    "a.libsvm": b"1 1:0.5 3:2\n-1 2:1 4:1e3\n",
    "a.libffm": b"1 0:1:1 1:5:0.5\n0 0:2:1 1:6:1\n",
    "a.npy": _written(lambda buffer: np.save(buffer, np.arange(12.0).reshape(3, 4))),
    "a.npz": _written(
        lambda buffer: np.savez(buffer, X=np.arange(24.0).reshape(2, 4, 3), y=np.array(["a", "b"]))
    ),
    "a.parquet": _written(FRAME.to_parquet),
    "a.arrow": _written(_arrow),
    "a.xlsx": _written(lambda buffer: FRAME.to_excel(buffer, index=False)),
}
ODD = [
    b"\0", b"\xff", b'"', b"'", b",", b"\n", b"\r", b"@data\n", b"@", b"?", b":", b"nan", b"inf", b"1e999",
    b"-", b"{", b"}", b"(", b")", b"\\", b"%", b" ", b"\t", b"_", b"9" * 30, b"@dimension 99999999\n",
    b"@attribute x relational\n", b"\xef\xbb\xbf",
]  # fmt: skip


def _damaged(rng: random.Random, whole: bytes) -> bytes:
    content = bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        start = rng.randrange(len(content) + 1)
        stop = min(len(content), start + rng.choice([1, 1, 2, 5, 20]))
        match rng.randrange(6):
            case 0:
                del content[start:stop]
            case 1:
                content[start:start] = rng.choice(ODD)
            case 2:
                content[start:stop] = rng.choice(ODD)
            case 3:
                content[start:start] = content[start:stop] * rng.choice([1, 2, 10])
            case 4 if stop > start:
                content[start] = rng.randrange(256)
            case _ if rng.random() < 0.3:
                del content[start:]
    return bytes(content)


def _hold(store, tmp_path, name: str, cases: range) -> None:
    path = tmp_path / name
    for case in cases:
        path.write_bytes(_damaged(random.Random(f"{name} {case}"), WHOLE[name]))
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

"""A whole file of every format that is imported."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pandas as pd
import pyarrow as pa

__all__ = ["WHOLE"]

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

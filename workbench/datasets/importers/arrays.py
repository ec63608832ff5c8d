"""NumPy files and arrays; objects, and so pickles, are never loaded.

Keys that are understood in an ``.npz`` (others are named in the refusal):

- ``X`` and, where there are labels, ``y``; or ``X_train, y_train, X_test, y_test``;
- ``train, test, test_label``: long recordings of shape (T, d), each one series;
- several 2-D arrays of as many rows, and ``y``: one modality each.

An array (n, T, d) is n series with d channels, NaN-padded at the end where lengths differ; (n, p) is a
table; (n,) a single column.
"""

from __future__ import annotations

import ast
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported, Source
from workbench.datasets.importers.unpacking import DAMAGED, check_zip
from workbench.datasets.importers.writer import SeriesWriter
from workbench.errors import ImportFailed, UsageError

__all__ = ["read_npz", "write_arrays"]

_FOUR = ("X_train", "y_train", "X_test", "y_test")


def read_npz(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` from ``.npz`` or ``.npy`` files."""
    if options:
        raise UsageError(f"Files of this format have no option {next(iter(options))!r}.")
    loaded = [(source, _load(source.path)) for source in sources]
    if len(loaded) == 1:
        return _write(build, loaded[0][1], loaded[0][0].path)
    keys = set(loaded[0][1])
    if any(set(arrays) != keys for _, arrays in loaded) or not keys <= {"X", "y"} or "X" not in keys:
        raise ImportFailed("Several NumPy files make one data set only if each holds X (and y).")
    X = _stacked([(source.path, arrays["X"]) for source, arrays in loaded])
    y = np.concatenate([arrays["y"] for _, arrays in loaded]) if "y" in keys else None
    split = None
    if loaded[0][0].part is not None:
        split = np.repeat([source.part for source, _ in loaded], [len(arrays["X"]) for _, arrays in loaded])
    return write_arrays(build, X, y, split=split)


def write_arrays(
    build: Build, X: Any, y: Any = None, *, split: Any = None, channels: Sequence[str] | None = None
) -> Imported:
    """Fill ``data`` from arrays; (n, T, d) becomes series, (n, p) a table with a column a feature."""
    X = np.asarray(X)
    y = None if y is None else np.asarray(y).reshape(len(y), -1)[:, 0] if np.ndim(y) <= 2 else np.asarray(y)
    if X.dtype.kind not in "fiub" or X.ndim not in (1, 2, 3) or 0 in X.shape:
        raise ImportFailed(
            f"X has the shape {X.shape} and holds {X.dtype}: numbers of shape (n, T, d), (n, p) or (n,) "
            "are read."
        )
    for name, extra in (("y", y), ("split", split)):
        if extra is not None and len(extra) != len(X):
            raise ImportFailed(f"{name} has {len(extra)} values where X has {len(X)} rows.")
    if y is not None and y.dtype.kind == "f" and np.isinf(y).any():
        raise ImportFailed(f"y is infinite in row {int(np.argmax(np.isinf(y)))}.")
    if X.ndim == 3:
        return _write_series(build, X, y, split, channels)
    X = X.reshape(len(X), -1)
    width = len(str(X.shape[1] - 1))
    names = list(channels) if channels is not None else [f"x{j:0{width}}" for j in range(X.shape[1])]
    if len(names) != X.shape[1]:
        raise ImportFailed(f"{len(names)} column names are given for {X.shape[1]} columns.")
    return _write_table(build, {"value" if channels is None else "field": (names, X)}, y, split)


def _write(build: Build, arrays: Mapping[str, NDArray[Any]], path: Path) -> Imported:
    keys = set(arrays)
    try:
        if keys in ({"X"}, {"X", "y"}):
            return write_arrays(build, arrays["X"], arrays.get("y"))
        if {"X_train", "X_test"} <= keys <= set(_FOUR):
            X = _stacked([(path, arrays["X_train"]), (path, arrays["X_test"])])
            y = None
            if keys == set(_FOUR):
                y = np.concatenate([arrays["y_train"], arrays["y_test"]])
            sizes = [len(arrays["X_train"]), len(arrays["X_test"])]
            return write_arrays(build, X, y, split=np.repeat(["train", "test"], sizes))
        if {"train", "test"} <= keys <= {"train", "test", "train_label", "test_label"}:
            return _write_recordings(build, arrays)
        tables = {key: array for key, array in arrays.items() if array.ndim == 2}
        if tables and keys - set(tables) <= {"y"} and len({len(array) for array in arrays.values()}) == 1:
            groups = {
                f"modality:{key}" if len(tables) > 1 else "field": (
                    [f"{key}_{j}" for j in range(X.shape[1])],
                    X,
                )
                for key, X in tables.items()
            }
            return _write_table(build, groups, arrays.get("y"), None)
        if len(keys) == 1:
            return write_arrays(build, next(iter(arrays.values())))
    except ImportFailed as error:
        raise ImportFailed(error.problem, file=path) from error
    shapes = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
    raise ImportFailed(
        f"holds {shapes}; understood are X and y, X_train, y_train, X_test and y_test, or train, test and "
        "test_label: rename them.",
        file=path,
    )


def _write_series(
    build: Build, X: NDArray[Any], y: Any, split: Any, channels: Sequence[str] | None
) -> Imported:
    d = X.shape[2]
    if channels is None:
        channels = ["value"] if d == 1 else [f"dim_{j}" for j in range(d)]
    elif len(channels) != d:
        raise ImportFailed(f"{len(channels)} channel names are given for {d} channels.")
    writer = SeriesWriter(build, channels, dtype=X.dtype, label=y is not None, split=split is not None)
    lengths = _lengths(X)
    for i, length in enumerate(lengths):
        label = None if y is None else y[i].item() if isinstance(y[i], np.generic) else y[i]
        writer.add(X[i, :length], label, None if split is None else str(split[i]))
        if i % 1000 == 0:
            build.say(i / len(X), "writing")
    return writer.finish()


def _lengths(X: NDArray[Any]) -> NDArray[np.intp]:
    """Steps of each series before its padding; a series of nothing but NaN keeps one."""
    n, T = X.shape[:2]
    if X.dtype.kind != "f":
        return np.full(n, T)
    present = ~np.isnan(X).all(axis=2)
    return np.maximum(T - np.argmax(present[:, ::-1], axis=1), 1) * present.any(axis=1) + ~present.any(axis=1)


def _write_recordings(build: Build, arrays: Mapping[str, NDArray[Any]]) -> Imported:
    """``train`` and ``test`` of shape (T, d) as two series; labels belong to steps, not to series."""
    import pyarrow as pa

    parts = {
        key: arrays[key] if arrays[key].ndim == 2 else arrays[key].reshape(-1, 1) for key in ("train", "test")
    }
    if parts["train"].shape[1] != parts["test"].shape[1]:
        raise ImportFailed(
            f"train has {parts['train'].shape[1]} channels, but test has {parts['test'].shape[1]}."
        )
    labelled = "test_label" in arrays
    channels = [f"dim_{j}" for j in range(parts["train"].shape[1])]
    for number, (part, X) in enumerate(parts.items()):
        columns: dict[str, Any] = {
            "series_id": np.full(len(X), number, np.int32),
            "time": np.arange(len(X), dtype=np.int32),
        }
        columns |= {channel: np.ascontiguousarray(X[:, j]) for j, channel in enumerate(channels)}
        if labelled:
            label = arrays.get(f"{part}_label")
            if label is not None and label.shape != (len(X),):
                raise ImportFailed(
                    f"{part}_label has the shape {label.shape} where {part} has {len(X)} steps."
                )
            kind = pa.from_numpy_dtype(arrays["test_label"].dtype)
            columns["label"] = pa.nulls(len(X), kind) if label is None else pa.array(label, kind)
        columns["split"] = pa.array([part] * len(X))
        build.append(pa.table(columns))
    return Imported({"series_id": ["series_id"], "time": ["time"], "value": channels, "split": ["split"]})


def _write_table(
    build: Build, groups: Mapping[str, tuple[list[str], NDArray[Any]]], y: Any, split: Any
) -> Imported:
    import pyarrow as pa

    columns: dict[str, Any] = {}
    roles: dict[str, list[str]] = {}
    for role, (names, X) in groups.items():
        columns |= {name: np.ascontiguousarray(X[:, j]) for j, name in enumerate(names)}
        roles[role] = list(names)
    for name, role, extra in (("label", "label", y), ("split", "split", split)):
        if extra is not None:
            columns[name] = pa.array(np.asarray(extra))
            roles[role] = [name]
    build.append(pa.table(columns))
    return Imported(roles)


def _stacked(parts: Sequence[tuple[Path, NDArray[Any]]]) -> NDArray[Any]:
    """One array from several of the same number of channels; shorter ones are padded."""
    arrays = [array for _, array in parts]
    first = arrays[0]
    for path, array in parts[1:]:
        if (
            array.ndim != first.ndim
            or array.shape[2:] != first.shape[2:]
            or (array.ndim == 2 and array.shape[1] != first.shape[1])
        ):
            raise ImportFailed(f"has the shape {array.shape} beside {first.shape}.", file=path)
    T = max(array.shape[1] for array in arrays) if first.ndim == 3 else 0
    if first.ndim == 3 and any(array.shape[1] != T for array in arrays):
        arrays = [
            np.pad(
                a.astype(np.result_type(a, np.float32)),
                ((0, 0), (0, T - a.shape[1]), (0, 0)),
                constant_values=np.nan,
            )
            for a in arrays
        ]
    return np.concatenate(arrays)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file, after a look at whether they can be what they say."""
    try:
        if zipfile.is_zipfile(path):
            _check_zip(path)
        elif path.suffix.lower() == ".npz":
            raise ImportFailed("is damaged, cut short or not an .npz file.", file=path)
        else:
            with path.open("rb") as file:
                _check_header(file, path.stat().st_size, path, path.name)
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"X": found}
        with found:
            return {key: found[key] for key in found.files}
    except ImportFailed:
        raise
    except (*DAMAGED, TypeError) as error:
        if "allow_pickle" in str(error):
            raise _objects(path) from error
        raise ImportFailed("is damaged, cut short or not a NumPy file.", file=path) from error


def _check_zip(path: Path) -> None:
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        if not archive.infolist():
            raise ImportFailed("holds no array.", file=path)
        for info in archive.infolist():
            with archive.open(info) as member:
                _check_header(member, info.file_size, path, info.filename)


def _check_header(file: Any, size: int, path: Path, name: str) -> None:
    """Refuse objects, and an array whose header promises more than there is."""
    version = np.lib.format.read_magic(file)
    length = int.from_bytes(file.read(2 if version[0] == 1 else 4), "little")
    header = ast.literal_eval(file.read(min(length, 1 << 16)).decode("latin-1"))
    if "O" in str(header["descr"]):
        raise _objects(path)
    dtype = np.lib.format.descr_to_dtype(header["descr"])
    start = 6 + 2 + (2 if version[0] == 1 else 4) + length
    if math.prod(header["shape"]) * dtype.itemsize > size - start:
        raise ImportFailed(f"the array {name} is shorter than its header says: copy it again.", file=path)


def _objects(path: Path) -> ImportFailed:
    return ImportFailed(
        "holds Python objects (a pickle), which are never loaded: save plain arrays of numbers or text.",
        file=path,
    )

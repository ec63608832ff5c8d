"""Readers of the text formats that iPinYou benchmarks and BAT keep their logs in."""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.bidding._checks import column
from workbench.bidding.log import ReplayLog
from workbench.errors import DatasetError, ImportFailed

__all__ = ["read_campaign_info", "read_replay", "read_traffic_share"]


def read_replay(path: str | PathLike[str]) -> ReplayLog:
    """Read ``click price pctr`` lines, divided by blanks or tabs; further columns are ignored.

    Both the ``.theta.txt`` files of rlb-dp and the ``.txt`` files of optimal-rtb have this shape. In a
    ``.yzx`` file (``click price feature:1 …``) there is no prediction: fit one first.

    Raises
    ------
    ImportFailed
        With file and line of the first fault.
    """
    path = Path(path)
    rows = _lines(path, _replay_line)
    click, price, pctr = np.array(rows, dtype=np.float64).T
    for name, values, high in (("click", click, None), ("price", price, None), ("pctr", pctr, 1.0)):
        _located(path, values, name, high)
    try:
        return ReplayLog(price=price, pctr=pctr, click=click, source=path.name)
    except DatasetError as error:
        raise ImportFailed(str(error), file=path) from error


def read_campaign_info(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a campaign's ``info.json``: totals and the histogram of market prices of train and test.

    Returns
    -------
    dict
        As in the file, with ``price_counter_train`` (and ``_test`` where there is one) as int64 arrays.

    Raises
    ------
    ImportFailed
        If the file is not such JSON.
    """
    path = Path(path)
    try:
        info = json.loads(path.read_text())
    except FileNotFoundError:
        raise ImportFailed("there is no such file.", file=path) from None
    except (ValueError, RecursionError) as error:
        raise ImportFailed(f"not JSON: {error}.", file=path, line=getattr(error, "lineno", None)) from error
    if not isinstance(info, dict):
        raise ImportFailed("a campaign's totals must be one JSON object.", file=path)
    for key in ("imp_train", "cost_train", "clk_train", "price_counter_train"):
        if key not in info:
            raise ImportFailed(f"the key {key!r} is missing; is this a campaign's info.json?", file=path)
    for key in [k for k in info if k.startswith("price_counter")]:
        counts = np.asarray(info[key])
        if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 0).any():
            raise ImportFailed(f"{key} must be a list of counts that are at least 0.", file=path)
        info[key] = counts.astype(np.int64)
    return info


def read_traffic_share(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a traffic profile: region_id, dow (1–7), hour (0–23), traffic_share.

    Raises
    ------
    ImportFailed
        With file and line of the first fault.
    """
    path = Path(path)
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise ImportFailed("there is no such file.", file=path) from None
    except (ValueError, RecursionError) as error:
        raise ImportFailed(f"not a table of comma-separated values: {error}.", file=path) from error
    for name in ("region_id", "dow", "hour", "traffic_share"):
        if name not in frame.columns:
            raise ImportFailed(f"the column {name!r} is missing.", file=path, line=1)
    for name, high in (("dow", 7.0), ("hour", 23.0), ("traffic_share", 1.0)):
        _located(path, frame[name], name, high, first=2)
    return frame


def _lines(path: Path, parse: Callable[[list[str]], tuple[float, ...]]) -> list[tuple[float, ...]]:
    rows = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    rows.append(parse(line.split()))
                except ValueError as error:
                    raise ImportFailed(str(error), file=path, line=number) from None
    except FileNotFoundError:
        raise ImportFailed("there is no such file.", file=path) from None
    except UnicodeDecodeError as error:
        raise ImportFailed("the file is not text.", file=path) from error
    if not rows:
        raise ImportFailed("the file is empty.", file=path)
    return rows


def _replay_line(parts: list[str]) -> tuple[float, ...]:
    if len(parts) < 3:
        raise ValueError(f"a line has click, price and pctr, not {len(parts)} values.")
    if ":" in parts[2]:
        raise ValueError(
            "the third value is a feature, not a prediction; fit a click model and add its pctr."
        )
    try:
        return float(parts[0]), float(parts[1]), float(parts[2])
    except ValueError:
        raise ValueError(f"{' '.join(parts[:3])!r} are not three numbers.") from None


def _located(path: Path, values: Any, name: str, high: float | None, first: int = 1) -> None:
    try:
        column(values, name, high=high, first_row=first)
    except DatasetError as error:
        row, _, problem = str(error).partition(": ")
        line = int(row.removeprefix("Row ")) if row.startswith("Row ") else None
        raise ImportFailed(problem or row, file=path, line=line) from error

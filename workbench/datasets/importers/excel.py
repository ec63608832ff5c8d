"""Excel workbooks (``.xlsx``): one sheet, its first row the header. Needs the extra ``excel``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from workbench.datasets.files import Build
from workbench.datasets.importers import Imported, Source
from workbench.datasets.importers.frames import check_columns
from workbench.datasets.importers.unpacking import DAMAGED, check_zip
from workbench.errors import ImportFailed, UsageError

__all__ = ["read_excel"]


def read_excel(sources: Sequence[Source], build: Build, options: Mapping[str, Any]) -> Imported:
    """Fill ``data`` from workbooks with the same columns; the option ``sheet`` names a sheet."""
    import pyarrow as pa

    unknown = set(options) - {"sheet"}
    if unknown:
        raise UsageError(f"Excel files have no option {unknown.pop()!r}: there is sheet.")
    tables: list[Any] = []
    for source in sources:
        build.say(len(tables) / len(sources), f"reading {source.path.name}")
        table = _table(source.path, options.get("sheet"))
        if source.part is not None and "split" not in table.column_names:
            table = table.append_column("split", pa.array([source.part] * len(table), pa.string()))
        if tables and table.column_names != tables[0].column_names:
            raise ImportFailed(f"does not have the columns of {sources[0].path.name}.", file=source.path)
        tables.append(table)
    build.append(pa.concat_tables(tables, promote_options="permissive"))
    return Imported()


def _table(path: Path, sheet: str | None) -> Any:
    import pyarrow as pa

    rows = _rows(path, sheet)
    header = next(rows, None)
    if header is None or all(cell is None for cell in header):
        raise ImportFailed("the sheet is empty.", file=path)
    while header and header[-1] is None:
        header = header[:-1]
    for place, cell in enumerate(header, 1):
        if cell is None:
            raise ImportFailed(
                "the header has an empty cell: name the column.", file=path, line=1, column=place
            )
    names = [str(cell).strip() for cell in header]
    check_columns(names, file=path, line=1)
    columns: list[list[Any]] = [[] for _ in names]
    for number, row in enumerate(rows, 2):
        if any(cell is not None for cell in row[len(names) :]):
            raise ImportFailed(
                f"has more cells than the {len(names)} columns of the header.", file=path, line=number
            )
        padded = [*row[: len(names)], *[None] * (len(names) - len(row))]
        if any(cell is not None for cell in padded):
            for column, cell in zip(columns, padded, strict=True):
                column.append(cell)
    if not columns[0]:
        raise ImportFailed("has a header but no rows.", file=path)
    return pa.table({name: _typed(column) for name, column in zip(names, columns, strict=True)})


def _rows(path: Path, sheet: str | None) -> Iterator[tuple[Any, ...]]:
    """The cells as values; refuses error cells and formulas without a stored result."""
    try:
        import openpyxl
    except ImportError:
        raise ImportFailed(
            "Excel files need the package openpyxl: install workbench[excel].", file=path
        ) from None
    try:
        check_zip(path)
        # Two readings in step: stored results, and the formulas that they come from.
        values, formulas = (
            openpyxl.load_workbook(path, read_only=True, data_only=data_only) for data_only in (True, False)
        )
        with closing(values), closing(formulas):
            yield from _checked(values, formulas, path, sheet)
    except (*DAMAGED, TypeError, AttributeError) as error:  # the last two are what openpyxl stumbles over
        raise ImportFailed("is damaged, cut short or not an .xlsx file.", file=path) from error


def _checked(values: Any, formulas: Any, path: Path, sheet: str | None) -> Iterator[tuple[Any, ...]]:
    if not values.sheetnames:
        raise ImportFailed("has no sheet.", file=path)
    if sheet is not None and sheet not in values.sheetnames:
        raise ImportFailed(f"has no sheet {sheet!r}: it has {', '.join(values.sheetnames)}.", file=path)
    name = sheet if sheet is not None else values.sheetnames[0]
    for number, (row, written) in enumerate(
        zip(values[name].iter_rows(), formulas[name].iter_rows(values_only=True), strict=True), 1
    ):
        for place, (cell, text) in enumerate(zip(row, written, strict=True), 1):
            if cell.data_type == "e":
                raise ImportFailed(
                    f"the cell holds the error {cell.value}: correct it.",
                    file=path,
                    line=number,
                    column=place,
                )
            if cell.value is None and isinstance(text, str) and text.startswith("="):
                raise ImportFailed(
                    "the formula has no stored result: open the file in a spreadsheet and save it.",
                    file=path,
                    line=number,
                    column=place,
                )
        yield tuple(cell.value for cell in row)


def _typed(column: list[Any]) -> Any:
    """Cells as one Arrow array; cells of several kinds become text."""
    import pyarrow as pa

    kinds = {type(cell) for cell in column if cell is not None}
    if kinds <= {int, float}:
        return pa.array(column, pa.int64() if kinds == {int} else pa.float64())
    if kinds in ({bool}, {dt.datetime}, {dt.time}, {dt.timedelta}):
        return pa.array(column)
    if kinds <= {dt.datetime, dt.date}:
        return pa.array(column, pa.timestamp("us"))
    return pa.array([None if cell is None else str(cell) for cell in column], pa.string())

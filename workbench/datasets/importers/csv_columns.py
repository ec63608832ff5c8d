"""How the columns of a delimited file are read, so that no cell changes without a word.

DuckDB rounds ``1.5`` where a column is read as BIGINT, drops the zeros of ``007`` and the offset of
``12:00+02:00``. Types rest on the first rows of a file; the SQL made here therefore checks every cell, at
the price of a few comparisons, and where one does not fit, :func:`look` goes over all rows and settles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.datasets.names import identifier, literal

__all__ = ["EXACT", "MISSING", "WHOLE", "Look", "Reading", "look_sql", "looked", "readings_of", "settled"]

#: What stands for a missing value in a column of numbers or dates; in a column of text it is text.
MISSING = ("NA", "N/A", "n/a", "#N/A", "NULL", "null", "(null)", "None", "none", "\\N", "?", "-", "--", ".")
#: 2**53: whole numbers below it are doubles, and no other rounds to them.
EXACT = 1 << 53
_WORDS = ", ".join(literal(word) for word in MISSING)
#: Types of whole numbers.
WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT", "HUGEINT", "UINTEGER", "UBIGINT")
# 1,234.5 1.234,5 1 234 10% $5 −3: numbers to people, text to a computer.
_SHOWN = r"[+\-−]?[$€£]?\s?[+\-−]?\d{1,3}(\d*|([,.''\s\x{a0}\x{202f}]\d{3})*)([.,]\d+)?\s?[%$€£]?"
_TIMES = ("DATE", "TIMESTAMP")
_MOSTLY = 0.5
_COUNTS = ("present", "words", "whole", "padded", "large", "real", "times", "dates", "shown")


@dataclass(frozen=True)
class Reading:
    """How one column is read.

    Attributes
    ----------
    type : str
        Its type in the data set.
    how : str
        ``"plain"``: as DuckDB does. ``"number"``: whole numbers by way of DOUBLE, checked for
        fractions; the table has to be checked for numbers of :data:`EXACT` and more. ``"instant"``:
        time stamps with an offset where there is one, as UTC. ``"text"``: by way of text, checked, with the
        words of :data:`MISSING` as missing values.
    format : str, optional
        Of dates, where they are not ISO.
    signs : tuple of str
        The decimal and the thousands sign.
    """

    type: str
    how: str = "plain"
    format: str = ""
    signs: tuple[str, str] = (".", "")

    @property
    def read_as(self) -> str:
        """The type that the file is read with."""
        return {"number": "DOUBLE", "text": "VARCHAR", "instant": "TIMESTAMP WITH TIME ZONE"}.get(
            self.how, self.type
        )

    def select(self, name: str) -> str | None:
        """SQL for the column's value; None where it is the cell as read."""
        column = identifier(name)
        odd = literal(f"odd cell in {name}")
        if self.how == "number":
            # No more than one comparison: this is done for every cell of most columns.
            fraction = f"{column} <> trunc({column})"
            return f"CASE WHEN {fraction} THEN error({odd}) ELSE {column}::BIGINT END AS {column}"
        if self.how == "instant":
            return f"make_timestamp(epoch_us({column})) AS {column}"
        if self.how != "text":
            return None
        missing, fits, value = self._checks(name)
        return (
            f"CASE WHEN {missing} THEN NULL WHEN {fits} AND {value} IS NOT NULL THEN {value} "
            f"ELSE error({odd}) END AS {column}"
        )

    def refuses(self, name: str) -> str:
        """SQL that is true where :meth:`select` refuses the text cell `name`."""
        missing, fits, value = self._checks(name)
        return f"NOT ({missing}) AND NOT coalesce({fits} AND {value} IS NOT NULL, false)"

    def _checks(self, name: str) -> tuple[str, str, str]:
        """SQL for whether a text cell is missing, whether it looks right, and its value."""
        column, number = identifier(name), self.type in (*WHOLE, "DOUBLE")
        cell = _cell(name, self.signs if number else (".", ""))
        missing = f"{column} IS NULL OR trim({column}) IN ('', {_WORDS})"
        fits = f"regexp_full_match({cell}, '[+-]?\\d+')" if self.type in WHOLE else "true"
        value = f"TRY_CAST({cell} AS {self.type})"
        if self.format:
            value = f"try_strptime({cell}, {literal(self.format)})::{self.type}"
        elif self.type == "TIMESTAMP":
            value = f"make_timestamp(epoch_us(TRY_CAST({cell} AS TIMESTAMP WITH TIME ZONE)))"
        return missing, fits, value


@dataclass(frozen=True)
class Look:
    """What the cells of one column are: how many are there, and how many of each kind."""

    present: int
    words: int
    whole: int
    padded: int
    large: int
    real: int
    times: int
    dates: int
    shown: int
    example: str | None
    kinds: list[str] | None

    @property
    def values(self) -> int:
        """Cells that are neither missing nor words."""
        return self.present - self.words

    def __add__(self, other: Look) -> Look:
        summed: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        summed["example"] = other.example if self.example is None else self.example
        return Look(**summed, kinds=[*(self.kinds or ()), *(other.kinds or ())])


def _cell(name: str, signs: tuple[str, str]) -> str:
    """A text cell as SQL, numbers written as SQL has them."""
    decimal, thousands = signs
    cell = f"trim({identifier(name)})"
    if thousands:
        cell = f"replace({cell}, {literal(thousands)}, '')"
    return f"replace({cell}, {literal(decimal)}, '.')" if decimal != "." else cell


def readings_of(
    types: Mapping[str, str], formats: Mapping[str, str], signs: tuple[str, str], *, whole_file: bool
) -> dict[str, Reading]:
    """How to read columns of the types that were found in the first rows, or in the whole file."""
    found = {}
    for name, type_ in types.items():
        reading = Reading(type_, format=formats.get(type_, ""), signs=signs)
        if type_ == "HUGEINT":
            reading = Reading("VARCHAR")
        elif type_ == "TIMESTAMP WITH TIME ZONE":
            reading = Reading("TIMESTAMP", "instant")
        elif not whole_file and type_ == "BIGINT":
            reading = replace(reading, how="number")
        found[name] = reading
    return found


def look_sql(names: Sequence[str], formats: Mapping[str, str], signs: tuple[str, str]) -> str:
    """The columns of a SELECT that looks at text cells; :func:`looked` reads its row."""
    parts = []
    for name in names:
        cell, raw = _cell(name, signs), f"trim({identifier(name)})"
        known = f"{raw} IN ({_WORDS})"
        time = f"TRY_CAST({raw} AS TIMESTAMP) IS NOT NULL"
        for format_ in set(formats.values()):
            time += f" OR try_strptime({raw}, {literal(format_)}) IS NOT NULL"
        whole = f"regexp_full_match({cell}, '[+-]?\\d+')"
        # DuckDB takes 1_000 for a number; here it may be a name.
        real = f"TRY_CAST({cell} AS DOUBLE) IS NOT NULL AND NOT contains({cell}, '_')"
        odd = f"NOT ({known}) AND NOT ({real})"
        parts += [
            f"count(*) FILTER ({cell} <> '')",
            f"count(*) FILTER ({known})",
            f"count(*) FILTER ({whole})",
            f"count(*) FILTER (regexp_full_match({cell}, '[+-]?0\\d+|\\+\\d+'))",
            f"count(*) FILTER ({whole} AND TRY_CAST({cell} AS BIGINT) IS NULL)",
            f"count(*) FILTER ({real})",
            f"count(*) FILTER ({time})",
            f"count(*) FILTER (regexp_full_match({raw}, '\\d{{4}}-\\d\\d-\\d\\d'))",
            f"count(*) FILTER (regexp_full_match({raw}, '{_SHOWN}'))",
            f"min({raw}) FILTER ({odd})",
            f"list(DISTINCT {raw}) FILTER ({known})",
        ]
    return ", ".join(parts)


def looked(row: Sequence[Any], names: Sequence[str]) -> dict[str, Look]:
    """What a query of :func:`look_sql` found, by column."""
    width = len(row) // max(len(names), 1)
    return {name: Look(*row[width * j : width * (j + 1)]) for j, name in enumerate(names)}


def settled(name: str, look: Look, reading: Reading) -> tuple[Reading, str | None]:
    """How to read a column whose cells have been looked at, and what its owner should know."""
    if look.values == 0:
        return Reading("VARCHAR"), None
    known = ", ".join(repr(word) for word in sorted(set(look.kinds or ())))
    missing = f"In {name!r}, {known} stands for a missing value." if look.words else None
    if look.padded and look.whole == look.values:
        return Reading("VARCHAR"), f"{name!r} is text, because of numbers with leading zeros or plus signs."
    if look.large and look.whole == look.values:
        return Reading("VARCHAR"), f"{name!r} is text, because its numbers are too large for whole numbers."
    if look.whole == look.values:
        return replace(reading, type="BIGINT", how="text", format=""), missing
    if look.real == look.values:
        return replace(reading, type="DOUBLE", how="text", format=""), missing
    if look.times == look.values and reading.type in _TIMES:
        return replace(reading, how="text"), missing
    if look.times == look.values and look.words:  # without the words the sniffer would have known
        type_ = "DATE" if look.dates == look.values else "TIMESTAMP"
        return replace(reading, type=type_, how="text"), missing
    if look.shown == look.values and look.real < look.values:
        return Reading("VARCHAR"), (
            f"{name!r} is text, though its cells look like numbers ({look.example!r}): name the decimal "
            "or the thousands sign, or take other signs away."
        )
    if look.real >= _MOSTLY * look.values:
        odd = look.values - look.real
        cells = "1 cell is" if odd == 1 else f"{odd} cells are"
        return Reading("VARCHAR"), f"{name!r} is text, because {cells} not numbers ({look.example!r})."
    return Reading("VARCHAR"), None

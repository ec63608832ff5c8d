"""Text and list columns as vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from workbench.datasets.names import identifier
from workbench.datasets.prepare.step import CodeStep, SQLStep, Step, Table, one_of, whole
from workbench.datasets.roles import Roles, is_number
from workbench.errors import DatasetError, UsageError

if TYPE_CHECKING:
    import duckdb

__all__ = ["Unpack", "Vectorise"]

_BATCH_ROWS = 20_000


@dataclass(frozen=True)
class Unpack(SQLStep):
    """A column of lists of numbers, all equally long (an embedding), as one modality or one series a row.

    Parameters
    ----------
    column : str
    length : int, optional
        Of the lists; that of an array type if not given, else it must be.
    to : {"modality", "series"}
        ``"modality"``: columns ``<column>_0, …`` with the role ``modality:<column>``; ``"series"``: the same
        columns with the role ``value``, steps of a wide series.
    """

    kind: ClassVar[str] = "unpack"
    column: str = "embedding"
    length: int | None = None
    to: Literal["modality", "series"] = "modality"

    def check(self, before: Sequence[Step]) -> None:
        one_of(self, "to", self.to, ["modality", "series"])
        if self.length is not None:
            whole(self, "length", 1, 10_000)

    def sql(self, table: Table) -> tuple[str, Roles]:
        column = identifier(table.column(self.column, self))
        base, bracket, rest = table.type_of(self.column).partition("[")
        fixed = int(rest[:-1]) if rest[:-1].isdigit() else None
        if not bracket or not is_number(base) or rest.count("]") != 1:
            raise DatasetError(
                f"{self.kind}: {self.column!r} is {table.type_of(self.column)}, not a list of numbers."
            )
        length = self.length or fixed
        if length is None:
            raise DatasetError(f"{self.kind}: say how long the lists of {self.column!r} are (length).")
        names = [f"{self.column}_{j}" for j in range(length)]
        taken = set(names) & set(table.names)
        if taken:
            raise DatasetError(f"{self.kind}: there is a column {min(taken)!r} already; rename it first.")
        keep = [identifier(name) for name in table.names if name != self.column]
        says = f"{self.kind}: a list of {self.column} is not {length} long, but ".replace("'", "''")
        checked = (
            f"CASE WHEN {column} IS NULL OR len({column}) = {length} THEN {column} "
            f"ELSE error('{says}' || len({column}) || '.') END"
        )
        cells = [f"cells[{j + 1}] AS {identifier(name)}" for j, name in enumerate(names)]
        roles = {role: [n for n in own if n != self.column] for role, own in table.roles.items()}
        roles = {role: own for role, own in roles.items() if own}
        roles["value" if self.to == "series" else f"modality:{self.column}"] = names
        return (
            f"SELECT {', '.join([*keep, *cells])} FROM (SELECT *, {checked} AS cells FROM {table.name})",
            roles,
        )


@dataclass(frozen=True)
class Vectorise(CodeStep):
    """A text column as numbers, by scikit-learn: columns ``<column>_0, …``, the role ``modality:<column>``.

    TF-IDF learns its words and weights from the train part where there is a split, and keeps them, so that a
    replay on new data gives the same columns the same meaning.

    Parameters
    ----------
    column : str
    method : {"tfidf", "hashing"}
    n_features : int
        The most frequent words, or the number of hash buckets.
    analyzer : {"word", "char_wb"}
    ngrams : int
        Up to so many words (characters) in a row count as one.
    keep_text : bool
    vocabulary, idf : optional
        Learned; written by the preparation.
    """

    kind: ClassVar[str] = "vectorise"
    column: str = "text"
    method: Literal["tfidf", "hashing"] = "tfidf"
    n_features: int = 100
    analyzer: Literal["word", "char_wb"] = "word"
    ngrams: int = 1
    keep_text: bool = True
    vocabulary: tuple[str, ...] | None = None
    idf: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("vocabulary", "idf"):  # JSON has lists
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))

    def check(self, before: Sequence[Step]) -> None:
        one_of(self, "method", self.method, ["tfidf", "hashing"])
        one_of(self, "analyzer", self.analyzer, ["word", "char_wb"])
        whole(self, "n_features", 2, 10_000)
        whole(self, "ngrams", 1, 5)
        if (self.vocabulary is None) != (self.idf is None) or len(self.vocabulary or ()) != len(
            self.idf or ()
        ):
            raise UsageError(f"{self.kind}: vocabulary and idf belong together.")
        if self.idf is not None and not all(math.isfinite(weight) for weight in self.idf):
            raise UsageError(f"{self.kind}: the weights idf must be finite.")

    def run(
        self, connection: duckdb.DuckDBPyConnection, table: Table, target: str
    ) -> tuple[Vectorise, Roles]:
        """Make the table `target`; returns the step with what it learned, and the roles."""
        import pyarrow as pa

        if table.type_of(table.column(self.column, self)) != "VARCHAR":
            raise DatasetError(f"{self.kind}: {self.column!r} is {table.type_of(self.column)}, not text.")
        fitted, transform = self._fitted(connection, table)
        kept = [name for name in table.names if self.keep_text or name != self.column]
        names = [f"{self.column}_{j}" for j in range(len(fitted.vocabulary or ()) or self.n_features)]
        taken = set(names) & set(table.names)
        if taken:
            raise DatasetError(f"{self.kind}: there is a column {min(taken)!r} already; rename it first.")
        place = kept.index(self.column) if self.keep_text else None
        listed = ", ".join(identifier(name) for name in [*kept, *([] if self.keep_text else [self.column])])
        made = False
        with connection.cursor() as cursor:
            for batch in cursor.sql(f"SELECT {listed} FROM {table.name}").to_arrow_reader(_BATCH_ROWS):
                words = batch.column(place if place is not None else batch.num_columns - 1).to_pylist()
                X = transform([word or "" for word in words]).toarray().astype("float32")
                columns = [*batch.columns[: len(kept)], *(pa.array(X[:, j]) for j in range(X.shape[1]))]
                connection.register("vectors", pa.table(columns, names=[*kept, *names]))
                verb = f"INSERT INTO {target}" if made else f"CREATE TABLE {target} AS"
                connection.execute(f"{verb} FROM vectors").fetchall()
                connection.unregister("vectors")
                made = True
        roles = {role: [n for n in own if n in kept] for role, own in table.roles.items()}
        roles = {role: [n for n in own if n != self.column] for role, own in roles.items()}
        return fitted, {role: own for role, own in roles.items() if own} | {f"modality:{self.column}": names}

    def _fitted(self, connection: duckdb.DuckDBPyConnection, table: Table) -> tuple[Vectorise, Any]:
        import numpy as np
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

        options: dict[str, Any] = {"analyzer": self.analyzer, "ngram_range": (1, self.ngrams)}
        if self.method == "hashing":
            return self, HashingVectorizer(n_features=self.n_features, **options).transform
        if self.vocabulary is not None and self.idf is not None:
            known = TfidfVectorizer(vocabulary=list(self.vocabulary), **options)
            known.idf_ = np.array(self.idf)
            return self, known.transform
        split = table.optional("split")
        where = f"WHERE lower({identifier(split)}::VARCHAR) = 'train'" if split else ""
        words = connection.execute(
            f"SELECT coalesce({identifier(self.column)}, '') FROM {table.name} {where}"
        ).fetchall()
        learned = TfidfVectorizer(max_features=self.n_features, **options)
        try:
            learned.fit([row[0] for row in words])
        except ValueError as error:
            raise DatasetError(f"{self.kind}: {self.column!r} has no words to learn from.") from error
        vocabulary = tuple(str(word) for word in learned.get_feature_names_out())
        idf = tuple(float(weight) for weight in learned.idf_)
        return replace(self, vocabulary=vocabulary, idf=idf), learned.transform

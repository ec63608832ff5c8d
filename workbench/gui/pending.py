"""Labels that were given on the page and are not saved yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from workbench.datasets.roles import is_number
from workbench.errors import UsageError
from workbench.gui.text import as_number

if TYPE_CHECKING:
    from workbench.datasets import Dataset

__all__ = ["Edit", "Pending", "typed_label"]

Kind = Literal["series", "rows", "intervals"]


@dataclass(frozen=True)
class Edit:
    """One assignment: the same label (None clears it) to several things of a kind.

    Attributes
    ----------
    kind : {"series", "rows", "intervals"}
    keys : tuple
        Series, row numbers, or (series or None, start, end).
    label : object
    """

    kind: Kind
    keys: tuple[Any, ...]
    label: Any


@dataclass
class Pending:
    """Edits in their order; the last one that concerns a thing stands."""

    edits: list[Edit] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.edits)

    def assign(self, kind: Kind, keys: Sequence[Any], label: Any) -> None:
        """Add an edit.

        Raises
        ------
        UsageError
            If nothing is chosen, or edits of another kind wait to be saved.
        """
        if not len(keys):
            raise UsageError("Choose something first: brush points, or select rows.")
        if self.edits and self.edits[0].kind != kind:
            raise UsageError(
                f"Save the labels of {self.edits[0].kind} first: they are saved one kind at a time."
            )
        self.edits.append(Edit(kind, tuple(keys), label))

    def undo(self) -> None:
        """Take the last edit back."""
        if self.edits:
            self.edits.pop()

    def clear(self) -> None:
        """Forget all of them."""
        self.edits.clear()

    def labels(self) -> dict[Any, Any]:
        """What the edits make of each series or row."""
        return {key: edit.label for edit in self.edits if edit.kind != "intervals" for key in edit.keys}

    def intervals(self, series: Any = None) -> list[tuple[Any, Any, Any]]:
        """The edited stretches of one series: (start, end, label)."""
        return [
            (key[1], key[2], edit.label)
            for edit in self.edits
            if edit.kind == "intervals"
            for key in edit.keys
            if key[0] == series
        ]

    def frame(self) -> pd.DataFrame:
        """The edits as a table for people."""
        return pd.DataFrame(
            [
                {
                    "label": "(cleared)" if edit.label is None else str(edit.label),
                    "of": f"{len(edit.keys)} {edit.kind if len(edit.keys) != 1 else _one(edit.kind)}",
                    "which": ", ".join(_words(key) for key in edit.keys[:5])
                    + (" …" if len(edit.keys) > 5 else ""),
                }
                for edit in self.edits
            ],
            columns=["label", "of", "which"],
        )

    def save(self, dataset: Dataset, column: str | None = None) -> Dataset:
        """Publish the next version of `dataset` with the edits, and forget them.

        Raises
        ------
        DatasetError, UsageError
            In one sentence; the edits are kept then.
        """
        if not self.edits:
            raise UsageError("No label has been changed yet.")
        kind = self.edits[0].kind
        if kind == "intervals":
            given = [(*key, edit.label) for edit in self.edits for key in edit.keys]
            made = dataset.set_labels(intervals=given, column=column)
        elif kind == "rows":
            made = dataset.set_labels(rows=self.labels(), column=column)
        else:
            made = dataset.set_labels(self.labels(), column=column)
        self.clear()
        return made


def typed_label(dataset: Dataset, text: str | None, column: str | None = None) -> Any:
    """A label as typed: a number where the labels are numbers.

    Raises
    ------
    UsageError
        If nothing is typed.
    """
    text = (text or "").strip()
    if not text:
        raise UsageError("Type a label, or choose one.")
    name = column or next(iter(dataset.roles.get("label", [])), "")
    type_ = next((known.type for known in dataset.columns if known.name == name), "VARCHAR")
    if not is_number(type_) or type_ == "BOOLEAN":
        return text
    return as_number(text)


def _one(kind: str) -> str:
    return {"series": "series", "rows": "row", "intervals": "interval"}[kind]


def _words(key: Any) -> str:
    if not isinstance(key, tuple):
        return str(key)
    series, start, end = key
    return f"{'' if series is None else f'{series}: '}{start} to {end}"

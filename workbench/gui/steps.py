"""A form a step of a preparation, drawn from the step's own fields and documentation."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import streamlit as st
from docstring_parser.numpydoc import parse as parse_numpydoc

from workbench.datasets.prepare import STEPS
from workbench.gui.text import as_number, md

__all__ = ["TITLES", "Field", "draw", "fields", "parsed", "shown", "summary"]

Kind = Literal["choice", "bool", "int", "float", "column", "typed"]

#: What people call the steps.
TITLES = {
    "aggregate_duplicates": "Aggregate duplicates",
    "resample": "Resample",
    "fill_gaps": "Fill gaps",
    "windows": "Cut windows",
    "split": "Split into train and test",
    "sessions": "Number sessions",
    "negative_sampling": "Add negatives",
    "label_window": "Label by what follows",
    "unpack": "Unpack lists",
    "vectorise": "Turn text into numbers",
}
_COLUMNS = {("windows", "event"), ("split", "group"), ("label_window", "event")}
_COLUMNS |= {("unpack", "column"), ("vectorise", "column")}
_LEARNED = ("vocabulary", "idf")
_WIDTH = 3


@dataclass(frozen=True)
class Field:
    """One parameter of a step, as a form shows it."""

    name: str
    kind: Kind
    default: Any
    choices: tuple[Any, ...] = ()
    optional: bool = False
    doc: str = ""


@cache
def fields(kind: str) -> tuple[Field, ...]:
    """The parameters of a step that people set."""
    step = STEPS[kind]
    hints = get_type_hints(step)
    docs = {
        name.strip(): param.description or ""
        for param in parse_numpydoc(inspect.getdoc(step) or "").params
        for name in param.arg_name.split(",")
    }
    found = []
    for field in dataclasses.fields(step):
        if field.name in _LEARNED:
            continue
        hint, doc = hints[field.name], docs.get(field.name, "")
        parts = set(get_args(hint)) - {type(None)} if get_origin(hint) is not Literal else {hint}
        optional = type(None) in get_args(hint)
        kind_, options = _kind(kind, field.name, hint, parts)
        found.append(Field(field.name, kind_, field.default, options, optional, doc))
    return tuple(found)


def _kind(step: str, name: str, hint: Any, parts: set[Any]) -> tuple[Kind, tuple[Any, ...]]:
    """What a form shows for a field of such a type, and what there is to choose."""
    if get_origin(hint) is Literal:
        return "choice", get_args(hint)
    if (step, name) in _COLUMNS:
        return "column", ()
    if hint is bool:
        return "bool", ()
    for type_, word in ((int, "int"), (float, "float")):
        if hint is type_ or parts == {type_}:
            return word, ()  # type: ignore[return-value]
    return "typed", ()


def summary(kind: str) -> str:
    """What a step does, in its first sentence."""
    return " ".join((inspect.getdoc(STEPS[kind]) or "").partition("\n\n")[0].replace("`", "").split())


def parsed(text: str) -> str | float | bool | None:
    """What is typed for a duration or a value: a number, true, false, or text; in quotes it is text."""
    text = text.strip()
    if not text:
        return None
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return as_number(text)


def shown(value: Any) -> str:
    """The inverse of :func:`parsed`."""
    if value is None:
        return ""
    if isinstance(value, str) and parsed(value) != value:
        return f'"{value}"'
    return str(value)


def draw(values: dict[str, Any], *, key: str, columns: Sequence[str]) -> dict[str, Any]:
    """Draw the form of one step.

    Parameters
    ----------
    values : dict
        The step as its recipe has it: ``step`` and what differs from the defaults.
    key : str
        Begins the keys of the fields.
    columns : sequence of str
        Offered where a column is named.

    Returns
    -------
    dict
        As `values`, with what stands in the form.
    """
    kind = values["step"]
    changed = {"step": kind}
    listed = fields(kind)
    places: list[Any] = []
    for start in range(0, len(listed), _WIDTH):
        places += st.columns(_WIDTH)[: len(listed) - start]
    for place, field in zip(places, listed, strict=True):
        value = _input(place, field, values.get(field.name, field.default), f"{key}.{field.name}", columns)
        if value != field.default or type(value) is not type(field.default):
            changed[field.name] = value
    learned = {name: values[name] for name in _LEARNED if name in values}
    same = {name: value for name, value in values.items() if name not in _LEARNED} == changed
    return changed | learned if same else changed  # what was learned belongs to what it was learned with


def _input(place: Any, field: Field, value: Any, key: str, columns: Sequence[str]) -> Any:
    label, hint = field.name.replace("_", " "), md(field.doc.replace("`", "")) if field.doc else None
    if field.kind == "choice":
        at = field.choices.index(value) if value in field.choices else 0
        return place.selectbox(label, field.choices, index=at, key=key, help=hint)
    if field.kind == "bool":
        return place.checkbox(label, value=bool(value), key=key, help=hint)
    if field.kind == "column":
        offered = list(dict.fromkeys([*columns, *([value] if value else [])]))
        chosen = place.selectbox(
            label,
            offered,
            index=offered.index(value) if value in offered else None,
            key=key,
            help=hint,
            placeholder="none",
            accept_new_options=True,
        )
        return chosen if chosen is not None or field.optional else field.default
    if field.kind in ("int", "float"):
        number = int if field.kind == "int" else float
        options: dict[str, Any] = {"step": 1} if number is int else {"format": "%.6g", "step": 0.05}
        start = None if value is None else number(value)
        return place.number_input(label, value=start, key=key, help=hint, placeholder="none", **options)
    typed = parsed(place.text_input(label, value=shown(value), key=key, help=hint))
    return typed if typed is not None or field.optional else field.default

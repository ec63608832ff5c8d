"""A form drawn from an estimator's own description of its hyper-parameters."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st
from sklearn.utils._param_validation import InvalidParameterError

from workbench.arrays import Split
from workbench.errors import UsageError
from workbench.gui.text import md
from workbench.parameters import Parameter, describe, parse_value

__all__ = ["EMPTY", "check", "launcher", "parameters", "split", "typed"]

#: What a field holds that must be filled in and is not.
EMPTY = inspect.Parameter.empty

#: Parameters that the page sets by itself: a run's seed is the estimator's random state.
SET_ELSEWHERE = frozenset({"random_state", "device", "verbose", "n_jobs"})

_SHOWN = 6  #: parameters before the rest are folded away
_COLUMNS = 3


def parameters(
    cls: type, *, prefix: str, skip: Collection[str] = (), suggested: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Draw a field a hyper-parameter and return what differs from the defaults.

    Parameters
    ----------
    cls : type
        The estimator.
    prefix : str
        Begins the query parameters in which the fields are kept.
    skip : collection of str
        Parameters that the page asks for in its own way.
    suggested : mapping of str to object, optional
        Values to begin with in place of the defaults, where the data set speaks for others.

    Returns
    -------
    dict of str to object
        What differs from the defaults.

    Raises
    ------
    UsageError
        If a value typed as text does not read as what the parameter takes.
    """
    described = [p for p in describe(cls) if p.name not in SET_ELSEWHERE and p.name not in skip]
    begun = [replace(p, default=(suggested or {}).get(p.name, p.default)) for p in described]
    values = _grid(begun[:_SHOWN], prefix)
    if begun[_SHOWN:]:
        with st.expander("More parameters"):
            values |= _grid(begun[_SHOWN:], prefix)
    return {p.name: values[p.name] for p in described if values[p.name] != p.default}


def typed(described: Sequence[Parameter], *, prefix: str, datasets: Sequence[str]) -> dict[str, Any]:
    """Draw a field for each parameter of a pipeline and return all their values.

    Raises
    ------
    UsageError
        If a value typed as text does not read as what the parameter takes.
    """
    values: dict[str, Any] = {}
    for start in range(0, len(described), _COLUMNS):
        for column, p in zip(st.columns(_COLUMNS), described[start : start + _COLUMNS], strict=False):
            with column:
                key = f"{prefix}.{p.name}"
                if p.kind == "dataset":
                    chosen = st.selectbox(
                        p.name, datasets, index=None, key=key, help=md(p.doc) or None, bind="query-params"
                    )
                    values[p.name] = p.default if chosen is None else chosen
                else:
                    values[p.name] = _field(p, key)
    return values


def _grid(described: list[Parameter], prefix: str) -> dict[str, Any]:
    values = {}
    for start in range(0, len(described), _COLUMNS):
        for column, parameter in zip(st.columns(_COLUMNS), described[start : start + _COLUMNS], strict=False):
            with column:
                values[parameter.name] = _field(parameter, f"{prefix}.{parameter.name}")
    return values


def _field(p: Parameter, key: str) -> Any:
    label, hint = p.name, md(p.doc) if p.doc else None
    if p.kind == "bool" and not p.optional:
        return st.checkbox(label, value=bool(p.default), key=key, help=hint, bind="query-params")
    if p.kind == "choice":
        options = [None, *p.choices] if p.optional else list(p.choices)
        index = options.index(p.default) if p.default in options else 0
        return st.selectbox(
            label, options, index=index, key=key, help=hint, format_func=_shown, bind="query-params"
        )
    if p.kind == "choices":
        words = str(p.default).split(p.joined_by)
        chosen = st.multiselect(label, p.choices, default=words, key=key, help=hint, bind="query-params")
        return p.joined_by.join(chosen or words)
    # A number field can be emptied only where its default is empty; numbers that may be words are typed.
    if p.kind in ("int", "float") and not p.choices and (p.default is None or not p.optional):
        return _number(p, key, label, hint)
    text = st.text_input(label, value=_typed(p.default), key=key, help=hint, bind="query-params")
    return p.default if text == _typed(p.default) else parse_value(p, text)


def _number(p: Parameter, key: str, label: str, hint: str | None) -> Any:
    kind = int if p.kind == "int" else float
    options: dict[str, Any] = {"step": 1} if kind is int else {"format": "%.6g", "step": _step(p.default)}
    for name, bound in (("min_value", p.low), ("max_value", p.high)):
        if bound is not None and abs(bound) != float("inf"):
            options[name] = kind(bound)
    default = None if p.default in (None, inspect.Parameter.empty) else kind(p.default)
    return st.number_input(
        label, value=default, key=key, help=hint, placeholder="None", bind="query-params", **options
    )


def _step(default: Any) -> float:
    """A tenth of the default's size, so that 0.001 does not step by 0.01."""
    if not isinstance(default, (int, float)) or default == 0:
        return 0.1
    return float(f"1e{int(f'{abs(default):e}'.split('e')[1])}")


def _shown(value: Any) -> str:
    return "None" if value is None else str(value)


def _typed(value: Any) -> str:
    if value is None or value is inspect.Parameter.empty:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def split(*, has_column: bool) -> tuple[Split, int]:
    """Fields for the split into train and test, and for the seed."""
    words = {"auto": "as the data set says" if has_column else "at random", "random": "at random"}
    left, middle, right = st.columns(_COLUMNS)
    kind = left.selectbox(
        "Split into train and test",
        ["auto", "random"] if has_column else ["auto"],
        format_func=words.__getitem__,
        key="split",
        help=None if has_column else "No column of the data set has the role 'split'.",
        bind="query-params",
    )
    size = middle.number_input(
        "Test share when at random", 0.05, 0.95, 0.3, 0.05, key="test_size", bind="query-params"
    )
    seed = right.number_input("Seed", 0, 2**31 - 1, 0, 1, key="seed", bind="query-params")
    return Split("random" if kind == "random" else "auto", float(size)), int(seed)


def launcher(offered: Sequence[str]) -> str:
    """A field for where the run is done; none where there is no choice."""
    if len(offered) < 2:
        return "local"
    words = {"local": "beside the worker", "ray": "on the Ray cluster", "slurm": "by Slurm"}
    chosen = st.selectbox(
        "Where it runs", offered, format_func=words.__getitem__, key="launcher", bind="query-params"
    )
    return str(chosen)


def check(cls: type, values: dict[str, Any]) -> None:
    """Let the estimator judge `values` before a run is queued for them.

    Raises
    ------
    UsageError
    """
    try:
        estimator = cls(**values)
        validate = getattr(estimator, "_validate_params", None)
        if validate is not None:
            validate()
    except (InvalidParameterError, TypeError, ValueError) as error:
        raise UsageError(str(error)) from error

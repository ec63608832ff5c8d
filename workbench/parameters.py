"""An estimator's hyper-parameters described from the estimator itself.

Forms, the command line and the notebook export all read this one description, which is drawn from the
class's ``_parameter_constraints``, the defaults of its ``__init__`` and its numpydoc: a parameter is
never described a second time anywhere.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from numbers import Integral
from typing import Any, Literal

from docstring_parser.numpydoc import parse as parse_numpydoc

from workbench.errors import UsageError

__all__ = ["Parameter", "describe", "parse_value"]

Kind = Literal["int", "float", "bool", "choice", "choices", "text", "json", "date", "dataset", "folder"]


@dataclass(frozen=True)
class Parameter:
    """One hyper-parameter.

    Attributes
    ----------
    name : str
    kind : {"int", "float", "bool", "choice", "choices", "text", "json", "date", "dataset", "folder"}
        What a form should draw. ``"choices"`` is text made of some of the words, joined by `joined_by`;
        ``"json"`` is anything without a simpler form; the last three are of pipelines only, and their values
        are text.
    default : object
        As in ``__init__``; ``inspect.Parameter.empty`` where there is none.
    choices : tuple
        Allowed words; beside a number, the words that may stand in its place.
    low, high : float or None
        Bounds of a number.
    low_open, high_open : bool
        Whether the bound itself is excluded.
    optional : bool
        Whether None is allowed.
    joined_by : str
        What stands between the words of ``"choices"``.
    doc : str
        The whole description; `summary` is its first sentence.
    """

    name: str
    kind: Kind
    default: Any
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    optional: bool = False
    doc: str = ""
    joined_by: str = ""

    @property
    def summary(self) -> str:
        """First sentence of the documentation."""
        text = " ".join(self.doc.split())
        end = text.find(". ")
        return text if end < 0 else text[: end + 1]


def describe(cls: type) -> list[Parameter]:
    """Describe every hyper-parameter of an estimator class, in the order of its ``__init__``."""
    constraints = getattr(cls, "_parameter_constraints", {})
    docs = {
        name.strip(): param.description or ""
        for param in parse_numpydoc(inspect.getdoc(cls) or "").params
        for name in param.arg_name.split(",")
    }
    found = []
    for name, argument in inspect.signature(cls).parameters.items():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        allowed = constraints.get(name, [])
        rules = list(allowed) if isinstance(allowed, (list, tuple)) else []
        found.append(_parameter(name, argument.default, rules, docs.get(name, "")))
    return found


def _parameter(name: str, default: Any, rules: list[Any], doc: str) -> Parameter:
    optional = default is None or any(rule is None for rule in rules)
    interval = next((rule for rule in rules if hasattr(rule, "closed")), None)
    words = tuple(
        sorted(
            (word for rule in rules if hasattr(rule, "options") for word in rule.options),
            key=str,
        )
    )
    common = {"name": name, "default": default, "choices": words, "optional": optional, "doc": doc}
    if interval is not None:
        return Parameter(
            **common,
            kind="int" if issubclass(interval.type, Integral) else "float",
            low=interval.left,
            high=interval.right,
            low_open=interval.closed in ("right", "neither"),
            high_open=interval.closed in ("left", "neither"),
        )
    joined_by = next((rule.joined_by for rule in rules if hasattr(rule, "joined_by")), "")
    if joined_by:
        return Parameter(**common, kind="choices", joined_by=joined_by)
    if "random_state" in rules:
        return Parameter(**common, kind="int", low=0)
    if words:
        return Parameter(**common, kind="choice")
    if "boolean" in rules or isinstance(default, bool):
        return Parameter(**common, kind="bool")
    if "verbose" in rules or (isinstance(default, int) and not rules):
        return Parameter(**common, kind="int", low=0 if "verbose" in rules else None)
    if isinstance(default, float):
        return Parameter(**common, kind="float")
    if str in rules or isinstance(default, str):
        return Parameter(**common, kind="text")
    return Parameter(**common, kind="json")


def parse_value(parameter: Parameter, text: str) -> Any:
    """Read one value typed as text, e.g. by ``--param n_epochs=20``.

    Raises
    ------
    UsageError
        If the text does not read as the parameter's kind. Ranges are left to the estimator's own ``fit``.
    """
    lowered = text.strip().lower()
    if parameter.optional and lowered in ("none", "null", ""):
        return None
    if text in parameter.choices:
        return text
    if parameter.kind == "choices":
        words = [word.strip() for word in text.split(parameter.joined_by)]
        strange = [word for word in words if word not in parameter.choices]
        if not strange:
            return parameter.joined_by.join(words)
        near = get_close_matches(strange[0], parameter.choices, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"{parameter.name} must be some of {', '.join(parameter.choices)}, joined by "
            f"{parameter.joined_by!r}, not {text!r}.{hint}"
        )
    readers: dict[str, Any] = {
        "int": int, "float": float, "bool": _boolean, "text": str, "json": _json,
        "date": _date, "dataset": str, "folder": str,
    }  # fmt: skip
    try:
        if parameter.kind == "choice":
            raise ValueError(text)
        return readers[parameter.kind](text)
    except ValueError:
        wanted = {
            "int": "a whole number", "float": "a number", "bool": "true or false", "json": "JSON",
            "date": "a date such as 2026-03-29",
        }  # fmt: skip
        options = [repr(word) for word in parameter.choices]
        if parameter.kind in wanted:
            options.insert(0, wanted[parameter.kind])
        near = get_close_matches(text, [str(word) for word in parameter.choices], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{parameter.name} must be {' or '.join(options)}, not {text!r}.{hint}") from None


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError(text)


def _date(text: str) -> str:
    return date.fromisoformat(text.strip()).isoformat()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(text) from None

"""Roles: what the columns of a table mean. Guessed once, edited by people, checked in one place.

Three layouts of time series follow from them:

- *long*: one row a time step, ``series_id, time, value`` (one column a channel);
- *fully long*: one row a reading, ``series_id, time, channel`` and a single ``value`` column;
- *wide*: one row a series, the ``value`` columns in the order of time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

from workbench.datasets.files import Column
from workbench.errors import DatasetError

__all__ = ["MANY", "SINGLE", "check", "complete", "guess", "is_number", "is_time", "layout"]

Roles = dict[str, list[str]]

#: Roles that one column has, with what it is.
SINGLE: dict[str, str] = {
    "series_id": "which series a row belongs to",
    "time": "time, or step, of a row",
    "channel": "name of the channel a value belongs to (fully long layout)",
    "label": "class or target",
    "split": "'train' or 'test'",
    "domain": "'source' or 'target', where series come from two populations",
    "anomaly": "whether a step of a series is anomalous: not 0, not empty",
    "weight": "weight of a row",
    "user": "user of an event",
    "item": "item of an event",
    "request": "request, or auction, that candidates compete in",
    "candidate": "candidate within a request",
    "bid": "bid",
    "pctr": "predicted click-through rate",
    "pcvr": "predicted conversion rate",
    "price": "price paid, or market price",
    "budget": "budget",
}
#: Roles that several columns share.
MANY: dict[str, str] = {
    "value": "measured channels, or the steps of a wide series",
    "exogenous": "columns of a series that are known ahead, such as a calendar",
    "field": "feature of a table",
    "labels": "labels of which a row can have several (0 or 1), or several numbers to predict",
    "history": "what the user did before",
    "modality:<name>": "features of one modality",
}

_GUESS: dict[str, tuple[str, ...]] = {
    "series_id": ("series_id", "series", "seriesid", "unique_id", "ts_id", "file"),
    "time": ("time", "timestamp", "datetime", "date", "ds", "step", "t"),
    "channel": ("channel", "variable", "sensor", "dimension", "dim"),
    "label": ("label", "class", "target", "y", "click", "clicked", "decision"),
    "split": ("split",),
    "domain": ("domain",),
    "anomaly": ("anomaly", "is_anomaly", "anomalous"),
    "weight": ("weight", "sample_weight"),
    "user": ("user", "user_id", "userid", "uid"),
    "item": ("item", "item_id", "itemid", "iid"),
}
_AUCTION: dict[str, tuple[str, ...]] = {
    "request": ("request", "request_id", "auction", "auction_id"),
    "candidate": ("candidate", "candidate_id"),
    "bid": ("bid", "bid_price", "bidprice"),
    "pctr": ("pctr",),
    "pcvr": ("pcvr",),
    "price": ("price", "market_price", "winning_price", "payprice"),
    "budget": ("budget",),
}
_STEP = re.compile(r"(?:t|time|step|timestep|att|x_t)?_?(\d+)", re.IGNORECASE)
_MODALITY = re.compile(
    r"(v\d+|view\d+|modality\d*|image|img|text|audio|video|voice|face|sensor)_.+", re.IGNORECASE
)
_NUMBER = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN)")
_TIME = re.compile(r"(TIMESTAMP.*|DATE|TIME)")


def is_number(type_: str) -> bool:
    """Whether a DuckDB type can be a channel of a series."""
    return _NUMBER.fullmatch(type_) is not None


def is_time(type_: str) -> bool:
    """Whether a DuckDB type is a date or a time of day or a point in time."""
    return _TIME.fullmatch(type_) is not None


def layout(roles: Mapping[str, Sequence[str]]) -> Literal["long", "fully long", "wide"]:
    """How the series lie in the table.

    Raises
    ------
    DatasetError
        If the roles describe no series at all.
    """
    if not roles.get("value"):
        raise DatasetError("The data set holds no time series: give its measured columns the role 'value'.")
    if roles.get("channel"):
        return "fully long"
    return "long" if roles.get("time") else "wide"


def complete(
    given: Mapping[str, str | Sequence[str]] | None,
    columns: Sequence[Column],
    known: Mapping[str, str | Sequence[str]] | None = None,
) -> Roles:
    """The roles as `check` returns them, with those of the columns that `given` leaves open.

    Who names the label, the user or the time of a table has not said what the other columns are: they have
    the roles that are `known` from the file, else guessed ones. Who names features has said it all.
    """
    if not given:
        return check(guess(columns) if known is None else known, columns)
    checked = check(given, columns)
    if any(role not in SINGLE for role in given):
        return checked
    settled = {role: checked.get(role, []) for role in given}
    others = check(guess(columns, settled) if known is None else known, columns)
    named = {name for names in checked.values() for name in names}
    kept = {
        role: [name for name in names if name not in named]
        for role, names in others.items()
        if role not in given
    }
    return check({**kept, **checked}, columns)


def guess(columns: Sequence[Column], given: Mapping[str, list[str]] | None = None) -> Roles:
    """Roles from the columns' names and types; everything not recognised is a ``field``.

    Roles in `given` are settled: no column is guessed to have them.
    """
    types = {column.name: column.type for column in columns}
    by_name = {column.name.strip().lower(): column.name for column in reversed(columns)}
    roles: Roles = dict(given or {})

    def take(table: Mapping[str, Iterable[str]]) -> None:
        for role, candidates in table.items():
            if role in roles:
                continue
            for candidate in candidates:
                name = by_name.get(candidate)
                if name is not None and [name] not in roles.values():
                    roles[role] = [name]
                    break

    take(_GUESS)
    if "bid" in by_name or "pctr" in by_name:
        take(_AUCTION)
    temporal = [name for name, type_ in types.items() if is_time(type_)]
    if "time" in roles and not (is_time(types[roles["time"][0]]) or is_number(types[roles["time"][0]])):
        del roles["time"]
    if "time" not in roles and len(temporal) == 1:
        roles["time"] = temporal
    if "user" in roles or "request" in roles or "pctr" in roles:
        roles.pop("series_id", None)  # a log, not measured series
        roles.pop("channel", None)

    rest = [name for name in types if [name] not in roles.values()]
    numbers = [name for name in rest if is_number(types[name])]
    log = {"user", "item", "request", "pctr"} & set(roles)
    if "anomaly" in roles and (log or "time" not in roles):
        del roles["anomaly"]  # of a table it is a column like any other
    if "domain" in roles and log:
        del roles["domain"]
    rest = [name for name in types if [name] not in roles.values()]
    numbers = [name for name in rest if is_number(types[name])]
    if "time" in roles and numbers and not log:
        if "channel" in roles and "value" in by_name:
            roles["value"] = [by_name["value"]]
        else:
            if "channel" in roles:
                del roles["channel"]
            roles["value"] = numbers
        return roles
    for role in ("series_id", "channel"):
        roles.pop(role, None)
    if "time" in roles and not log:
        del roles["time"]
    rest = [name for name in types if [name] not in roles.values()]
    numbers = [name for name in rest if is_number(types[name])]
    if _are_steps(numbers) and len(numbers) == len(rest):
        roles["value"] = numbers
        return roles
    groups: dict[str, list[str]] = defaultdict(list)
    for name in rest:
        found = _MODALITY.fullmatch(name)
        if found:
            groups[found[1].lower()].append(name)
    if len(groups) >= 2:
        roles |= {f"modality:{group}": names for group, names in groups.items()}
        rest = [name for name in rest if not _MODALITY.fullmatch(name)]
    if rest:
        roles["field"] = rest
    return roles


def check(roles: Mapping[str, str | Sequence[str]], columns: Sequence[Column]) -> Roles:
    """Return `roles` in their stored form.

    Raises
    ------
    DatasetError
        In one sentence: an unknown role or column, a column with two roles, a role with too many
        columns, or a column whose type cannot have its role.
    """
    types = {column.name: column.type for column in columns}
    checked: Roles = {}
    owner: dict[str, str] = {}
    for role, named in roles.items():
        names = [named] if isinstance(named, str) else list(named)
        if role not in SINGLE and role not in MANY and not _is_modality(role):
            near = get_close_matches(role, [*SINGLE, *MANY], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Roles are {', '.join([*SINGLE, *MANY])}."
            raise DatasetError(f"There is no role {role!r}.{hint}")
        if role in SINGLE and len(names) > 1:
            raise DatasetError(f"The role {role!r} takes one column, not {len(names)}: {', '.join(names)}.")
        for name in names:
            if name not in types:
                near = get_close_matches(name, types, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise DatasetError(f"There is no column {name!r} to be the {role}.{hint}")
            if name in owner:
                raise DatasetError(f"The column {name!r} cannot be both {owner[name]} and {role}.")
            owner[name] = role
            _check_type(role, name, types[name])
        if names:
            checked[role] = names
    if "label" in checked and "labels" in checked:
        raise DatasetError("A table has one 'label', or several 'labels', not both.")
    if "channel" in checked and (len(checked.get("value", [])) != 1 or "time" not in checked):
        raise DatasetError("With a 'channel' column there must be a 'time' column and exactly one 'value'.")
    for role in ("anomaly", "exogenous"):
        if role in checked and ("value" not in checked or "time" not in checked or "channel" in checked):
            raise DatasetError(
                f"The role {role!r} needs a table with one row a step: columns with the roles 'time' and "
                "'value', and none with 'channel'."
            )
    return checked


def _check_type(role: str, name: str, type_: str) -> None:
    if role == "time" and not (is_time(type_) or is_number(type_)):
        raise DatasetError(
            f"The column {name!r} cannot be the time: it is {type_}, not a number, a date or a timestamp."
        )
    if role == "labels" and not is_number(type_):
        raise DatasetError(f"The column {name!r} cannot be one of several labels: it is {type_}, not 0 or 1.")
    if role in ("value", "exogenous", "bid", "pctr", "pcvr", "price", "budget", "weight") and not is_number(
        type_
    ):
        raise DatasetError(f"The column {name!r} cannot be a {role}: it is {type_}, not a number.")


def _is_modality(role: str) -> bool:
    kind, _, name = role.partition(":")
    return kind == "modality" and bool(name.strip()) and name != "<name>"


def _are_steps(names: Sequence[str]) -> bool:
    """Whether names are those of consecutive time steps: t0, t1, … or 0, 1, …"""
    numbers = [int(found[1]) for found in map(_STEP.fullmatch, names) if found]
    return (
        len(names) >= 4
        and len(numbers) == len(names)
        and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    )

"""Declaring pipelines: the decorator, their typed parameters, and the files in which they are found."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NewType

from docstring_parser.numpydoc import parse as parse_numpydoc

from workbench.errors import PipelineError, UsageError
from workbench.parameters import Kind, Parameter, parse_value

__all__ = ["DataSet", "FolderPath", "Pipeline", "find", "find_all", "folders", "load_file", "pipeline"]

#: The name of a data set, or ``name@version``; forms offer those that there are.
DataSet = NewType("DataSet", str)
#: A folder or file on the server; from a page only below ``WORKBENCH_IMPORT_DIRS``.
FolderPath = NewType("FolderPath", str)

#: Beside ``pages/``: the pipelines that come with the workbench.
SHIPPED = Path(__file__).resolve().parents[2] / "pipelines"

_KINDS: dict[Any, Kind] = {
    bool: "bool", int: "int", float: "float", str: "text", date: "date",
    DataSet: "dataset", FolderPath: "folder", list: "json", dict: "json",
}  # fmt: skip


@dataclass(frozen=True)
class Pipeline:
    """A declared pipeline.

    Attributes
    ----------
    name : str
        The function's name.
    function : callable
        ``function(flow, **parameters)``.
    one_at_a_time : bool
        Whether a run of it waits until an earlier one has ended.
    file : Path
    """

    function: Callable[..., Any]
    one_at_a_time: bool = False
    file: Path = field(default_factory=Path)

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def doc(self) -> str:
        """What it does: the docstring without its sections."""
        parsed = parse_numpydoc(inspect.getdoc(self.function) or "")
        return "\n\n".join(part for part in (parsed.short_description, parsed.long_description) if part)

    @property
    def summary(self) -> str:
        """Its first sentence."""
        return parse_numpydoc(inspect.getdoc(self.function) or "").short_description or ""

    @cached_property
    def parameters(self) -> list[Parameter]:
        """What it takes besides the flow, as forms and the command line read it."""
        docs = {p.arg_name: p.description or "" for p in parse_numpydoc(self.function.__doc__ or "").params}
        hints = typing.get_type_hints(self.function)
        arguments = list(inspect.signature(self.function).parameters.values())[1:]
        return [_parameter(self.name, a, hints.get(a.name, str), docs.get(a.name, "")) for a in arguments]

    def check(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters as JSON values, the defaults among them.

        Raises
        ------
        UsageError
            If one is unknown, missing or of another type.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in params:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}."
                raise UsageError(f"The pipeline {self.name} has no parameter {name!r}: {hint}")
        checked = {}
        for name, parameter in known.items():
            value = params.get(name, parameter.default)
            if value is inspect.Parameter.empty or (
                value == ""
                and parameter.kind in ("dataset", "folder")
                and parameter.default is inspect.Parameter.empty
            ):
                raise UsageError(f"The pipeline {self.name} needs a value for {name!r}.")
            checked[name] = _checked(parameter, value)
        return checked

    def parse(self, pairs: Mapping[str, str]) -> dict[str, Any]:
        """Values typed as text, e.g. by ``--param trees=20``; :meth:`check` looks at the rest."""
        known = {parameter.name: parameter for parameter in self.parameters}
        return {n: parse_value(known[n], text) if n in known else text for n, text in pairs.items()}


def pipeline(function: Callable[..., Any] | None = None, *, one_at_a_time: bool = False) -> Any:
    """Declare a function ``f(flow, **typed parameters)`` in a file of ``pipelines/`` as a pipeline.

    Parameters
    ----------
    function : callable, optional
        Given where the decorator stands without brackets.
    one_at_a_time : bool
        Let a run of it wait until an earlier one has ended: where they change the same thing.

    Returns
    -------
    callable
        The function, known as a pipeline.
    """
    if function is None:
        return lambda f: pipeline(f, one_at_a_time=one_at_a_time)
    return Pipeline(function, one_at_a_time)


def folders() -> list[Path]:
    """Where pipelines are looked for: the shipped ones', then ``WORKBENCH_PIPELINES`` (like ``PATH``)."""
    named = os.environ.get("WORKBENCH_PIPELINES", "")
    return [SHIPPED, *(Path(part).expanduser().resolve() for part in named.split(os.pathsep) if part)]


def find_all() -> tuple[dict[str, Pipeline], dict[Path, str]]:
    """Every pipeline by its name, and what is wrong with files that cannot be read.

    Of two with one name the one in the later folder counts, so that a shipped one can be replaced.
    """
    found: dict[str, Pipeline] = {}
    broken: dict[Path, str] = {}
    for folder in folders():
        for file in sorted(folder.glob("*.py")):
            if not file.name.startswith("_"):
                try:
                    found |= load_file(file)
                except PipelineError as error:
                    broken[file] = str(error)
    return found, broken


def find(name: str) -> Pipeline:
    """The pipeline called `name`.

    Raises
    ------
    PipelineError
    """
    found, broken = find_all()
    if name in found:
        return found[name]
    for file, problem in broken.items():
        if file.stem == name:
            raise PipelineError(problem)
    near = get_close_matches(name, found, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(sorted(found)) or 'none'}."
    raise PipelineError(f"There is no pipeline {name!r}. {hint}")


_loaded: dict[Path, tuple[tuple[int, int], dict[str, Pipeline]]] = {}


def load_file(file: Path) -> dict[str, Pipeline]:
    """The pipelines that a file declares; read again when it has changed.

    Raises
    ------
    PipelineError
        Naming the file, and the line where known.
    """
    try:
        stat = file.stat()
        stamp = stat.st_mtime_ns, stat.st_size
        if file in _loaded and _loaded[file][0] == stamp:
            return _loaded[file][1]
        module = _import(file)
    except OSError as error:
        raise PipelineError(f"{file} cannot be read: {error.strerror}.") from error
    found = {}
    for value in vars(module).values():
        if isinstance(value, Pipeline) and value.function.__module__ == module.__name__:
            found[value.name] = Pipeline(value.function, value.one_at_a_time, file)
    try:
        for each in found.values():
            _ = each.parameters
    except (NameError, TypeError, AttributeError) as error:  # an annotation that cannot be read
        raise PipelineError(f"{file.name}: the parameters cannot be read: {error}.") from error
    _loaded[file] = stamp, found
    return found


def _import(file: Path) -> types.ModuleType:
    name = f"workbench_pipeline_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PipelineError(f"{file} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up there
    try:
        # Compiled here: two changes of one size within a second would else be taken for one, from the cache.
        exec(compile(file.read_bytes(), str(file), "exec"), vars(module))  # noqa: S102
    except Exception as error:
        del sys.modules[name]
        raise PipelineError(f"{file.name} cannot be read: {_where(error, file)}") from error
    return module


def _where(error: BaseException, file: Path) -> str:
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    at = f"line {line}: " if line else ""
    return f"{at}{type(error).__name__}: {' '.join(str(error).split())}."


def _parameter(owner: str, argument: inspect.Parameter, hint: Any, doc: str) -> Parameter:
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    optional = type(None) in options or argument.default is None
    plain = [option for option in options if option is not type(None)]
    common = {"name": argument.name, "default": argument.default, "optional": optional, "doc": doc}
    if len(plain) == 1 and typing.get_origin(plain[0]) is Literal:
        return Parameter(**common, kind="choice", choices=typing.get_args(plain[0]))
    kind = _KINDS.get(typing.get_origin(plain[0]) or plain[0]) if len(plain) == 1 else "json"
    if kind is None or argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL):
        raise TypeError(
            f"{argument.name!r} of {owner} must be an int, float, bool, str, date, DataSet, FolderPath, "
            "list, dict or Literal"
        )
    return Parameter(**common, kind=kind)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "bool": ("true or false", (bool,)),
    "text": ("text", (str,)),
    "dataset": ("the name of a data set", (str,)),
    "folder": ("a path", (str,)),
}


def _checked(parameter: Parameter, value: Any) -> Any:
    if value is None and parameter.optional:
        return None
    if isinstance(value, date):
        value = value.isoformat()
    if parameter.kind == "choice":
        if value not in parameter.choices:
            parse_value(parameter, str(value))  # says what there is
        return value
    if parameter.kind == "date":
        return parse_value(parameter, str(value))
    if parameter.kind in _TYPES:
        words, types_ = _TYPES[parameter.kind]
        wrong = not isinstance(value, types_) or (isinstance(value, bool) and bool not in types_)
        if wrong:
            raise UsageError(f"{parameter.name} must be {words}, not {value!r}.")
    return value

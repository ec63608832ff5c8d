"""Estimators that are defined in a notebook or a script travel with their run as source text.

:func:`collect` takes the class from ``__main__`` with everything it refers to there: imports, functions,
other classes, and constants that can be written down. :func:`load` makes a module of the result.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import math
import re
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from workbench.errors import RunError

__all__ = ["collect", "import_root", "is_importable"]

_HEADER = "from __future__ import annotations\n"


def is_importable(cls: type) -> bool:
    """Whether another process finds `cls` by its module and name."""
    if cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
        return False
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls and getattr(sys.modules[cls.__module__], "__file__", None) is not None


def import_root(cls: type) -> str | None:
    """The folder from which `cls` is imported, unless it belongs to an installed package."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if cls.__module__ == "__main__" or file is None:
        return None
    path = Path(file).resolve()
    if any(path.is_relative_to(folder) for folder in _installed()):
        return None
    depth = cls.__module__.count(".") + (1 if path.name == "__init__.py" else 0)
    return str(path.parents[depth])


def collect(cls: type) -> str:
    """The source text of a module that defines `cls` and all it needs of ``__main__``.

    Raises
    ------
    RunError
        Names the one thing that cannot be carried.
    """
    if "<locals>" in cls.__qualname__ or cls.__module__ != "__main__":
        raise RunError(
            f"{cls.__name__} is defined inside a function or a generated module: "
            "define it at the top level of a script, a notebook or a module."
        )
    return _Collector(sys.modules["__main__"].__dict__, cls.__name__).text(cls)


class _Collector:
    """Walks from a class through the names it uses; definitions come out before their users."""

    def __init__(self, namespace: dict[str, Any], root: str) -> None:
        self.namespace, self.root = namespace, root
        self.imports: dict[str, None] = {}
        self.definitions: list[str] = []
        self.seen: set[str] = set()

    def text(self, cls: type) -> str:
        self._define(cls.__name__, cls)
        return "\n\n\n".join([_HEADER + "\n" + "\n".join(self.imports), *self.definitions]) + "\n"

    def _define(self, name: str, value: Any) -> None:
        self.seen.add(name)
        text, node = _definition(name, value)
        strict, lenient = _names(node)
        for used in sorted(strict | lenient):
            self._need(used, name, node, optional=used not in strict)
        self.definitions.append(text)

    def _need(self, used: str, user: str, node: ast.AST, *, optional: bool) -> None:
        if used in self.seen or used.startswith("__"):
            return
        if used not in self.namespace:
            if hasattr(builtins, used) or optional:
                return
            raise RunError(f"{user} uses {used!r}, which is not defined.")
        value = self.namespace[used]
        imported = _import_of(used, value)
        if imported is not None:
            self.imports[imported] = None
            if isinstance(value, ModuleType):
                self.imports.update(dict.fromkeys(_submodules(used, value, node)))
        elif isinstance(value, FunctionType | type) and value.__module__ == "__main__":
            self._define(used, value)
        elif (constant := _written(value)) is not None:
            self.seen.add(used)
            self.definitions.append(f"{used} = {constant}")
        elif not optional:
            raise RunError(
                f"{user} uses {used!r} (a {type(value).__name__}), which a run cannot carry: make it a "
                f"parameter of {self.root}, compute it inside the class, or move both into a module."
            )


def _definition(name: str, value: Any) -> tuple[str, ast.stmt]:
    """Source text and syntax tree of a function or class of ``__main__``."""
    for lines in _sources(value):
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            continue
        found = [
            node
            for node in ast.walk(tree)
            if isinstance(
                node, ast.ClassDef if isinstance(value, type) else ast.FunctionDef | ast.AsyncFunctionDef
            )
            and node.name == value.__name__
            and node.col_offset == 0
        ]
        if found:
            node = found[-1]  # the last definition is the one that holds
            start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            text = "".join(lines[start - 1 : node.end_lineno]).rstrip()
            return (text if value.__name__ == name else f"{text}\n\n\n{name} = {value.__name__}"), node
    raise RunError(
        f"The source of {name!r} cannot be found: define it with class or def in a notebook cell or a script."
    )


def _sources(value: Any) -> list[list[str]]:
    """The texts in which `value` may be defined, likeliest first, as lines."""
    functions = [value] if isinstance(value, FunctionType) else _methods(value)
    files = [inspect.unwrap(function).__code__.co_filename for function in functions]
    main = getattr(sys.modules["__main__"], "__file__", None)
    if main is not None:
        files.append(main)
    # A class without methods names no file: look through the notebook's cells, newest first.
    files += [
        name for name in reversed(list(linecache.cache)) if "ipykernel" in name or name.startswith("<ipython")
    ]
    return [lines for name in dict.fromkeys(files) if (lines := linecache.getlines(name))]


def _methods(cls: type) -> list[FunctionType]:
    members = [getattr(member, "__func__", getattr(member, "fget", member)) for member in vars(cls).values()]
    return [m for m in members if isinstance(m, FunctionType) and m.__module__ == "__main__"]


def _names(node: ast.AST) -> tuple[set[str], set[str]]:
    """Global names that `node` reads: those it needs to work, and those only in annotations."""
    annotations: set[int] = set()
    for child in ast.walk(node):
        for field in ("annotation", "returns"):
            annotation = getattr(child, field, None)
            if isinstance(annotation, ast.AST):
                annotations.update(id(part) for part in ast.walk(annotation))
    strict: set[str] = set()
    lenient: set[str] = set()
    bound = _bound(node)
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load) and child.id not in bound:
            (lenient if id(child) in annotations else strict).add(child.id)
    return strict, lenient - strict


def _bound(node: ast.AST) -> set[str]:
    """Names that `node` binds itself: arguments, assignments, imports, handlers, inner definitions.

    A name that is local in one method and global in another counts as local only where it is bound,
    which Python's own symbol table decides.
    """
    import symtable

    table = symtable.symtable(ast.unparse(node), "<estimator>", "exec")
    read_globally: set[str] = set()
    everything: set[str] = set()

    def walk(scope: symtable.SymbolTable) -> None:
        for symbol in scope.get_symbols():
            everything.add(symbol.get_name())
            is_top = scope.get_type() == "module"
            if symbol.is_referenced() and (symbol.is_global() or (is_top and not symbol.is_assigned())):
                read_globally.add(symbol.get_name())
        for child in scope.get_children():
            walk(child)

    walk(table)
    return (everything - read_globally) | {getattr(node, "name", "")}


def _import_of(name: str, value: Any) -> str | None:
    """The statement that imports `value` as `name`, if it comes from a module."""
    if isinstance(value, ModuleType):
        if value.__name__ == "__main__":
            return None
        return f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}")
    module, attribute = getattr(value, "__module__", None), getattr(value, "__name__", None)
    candidates = [] if module in (None, "__main__", "builtins") else [(module, attribute), (module, name)]
    if module is None or not isinstance(value, type | FunctionType):
        candidates += _imported_by_main(name)
    for home, attr in candidates:
        # Builtin scalars and containers come from anywhere; they are written down instead.
        if attr and home in sys.modules and getattr(sys.modules[home], attr, _MISSING) is value:
            return f"from {home} import {attr}" + ("" if attr == name else f" as {name}")
    return None


_MISSING = object()


def _imported_by_main(name: str) -> list[tuple[str, str]]:
    """``from module import attribute as name`` statements in the script or the notebook's cells."""
    found = []
    for lines in _sources(type("_", (), {})):
        try:
            tree = ast.parse("".join(lines))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found += [(node.module, a.name) for a in node.names if (a.asname or a.name) == name]
    return found


def _submodules(name: str, module: ModuleType, node: ast.AST) -> list[str]:
    """Imports of the submodules that are used as ``name.sub.sub``."""
    uses = set(re.findall(rf"\b{re.escape(name)}((?:\.\w+)+)", ast.unparse(node)))
    found = []
    for use in uses:
        path = module.__name__
        for part in use.strip(".").split("."):
            path += f".{part}"
            if path not in sys.modules:
                break
            if isinstance(getattr(sys.modules[path.rpartition(".")[0]], part, None), ModuleType):
                found.append(f"import {path}")
    return sorted(found)


def _written(value: Any) -> str | None:
    """A literal that makes `value` again, or None."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return repr(value)
    if type(value) in (list, tuple, set, frozenset, dict):
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        if len(parts) > 10_000 or any(_written(part) is None for part in parts):
            return None
        if isinstance(value, dict):
            return "{" + ", ".join(f"{_written(k)}: {_written(v)}" for k, v in value.items()) + "}"
        items = ", ".join(str(_written(part)) for part in parts)
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if isinstance(value, tuple) and parts else f"{type(value).__name__}([{items}])"
    return None


@cache
def _installed() -> tuple[Path, ...]:
    """Where Python keeps what is installed; a module from elsewhere is the user's own."""
    return tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")})

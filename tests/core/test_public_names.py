"""Every public name says what it is, and every estimator where it comes from."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "workbench").rglob("*.py"))
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
ESTIMATORS = sorted(ENTRY_POINTS["workbench.estimators"].values())

Function = ast.FunctionDef | ast.AsyncFunctionDef

#: Estimators without a source, and why.
OURS = {
    "ManualBidder": "what the log itself has",
    "UniformScaleBidder": "an argument of its own, which its documentation gives",
    "MarketComparison": "several bidders, each with its own source",
    "ReplayComparison": "several bidders, each with its own source",
    "RemedyRace": "several remedies, each with its own source",
}


def is_public(path: Path) -> bool:
    return not any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(ROOT).parts)


def public(tree: ast.Module) -> list[ast.ClassDef | Function]:
    """What a module names in ``__all__`` and defines."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = {item.value for item in ast.walk(node.value) if isinstance(item, ast.Constant)}
            return [n for n in tree.body if isinstance(n, ast.ClassDef | Function) and n.name in names]
    return []


def methods(cls: ast.ClassDef) -> Iterator[Function]:
    for node in cls.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node


TREES = {path: ast.parse(path.read_text()) for path in MODULES}
CLASSES = {
    node.name: node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
}
#: Methods that some class documents: another of that name does what is said there.
SAID = {m.name for cls in CLASSES.values() for m in methods(cls) if ast.get_docstring(m)}
#: What frameworks call and document: gymnasium, PettingZoo, torch.
THEIRS = {"observation_space", "action_space", "forward", "state_dict", "load_state_dict"}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if is_public(path)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_public_name_has_its_sentence(path: Path) -> None:
    tree = TREES[path]
    assert ast.get_docstring(tree) or not tree.body, "the module says nothing"
    for node in public(tree):
        said = ast.get_docstring(node)
        assert said, node.name
        assert re.search(r"[.:?]$", said.split("\n\n")[0].strip()), f"{node.name}: no sentence"
        if isinstance(node, ast.ClassDef):
            for method in methods(node):
                known = ast.get_docstring(method) or method.name in SAID | THEIRS
                assert known, f"{node.name}.{method.name}"


def sections(said: str) -> dict[str, list[str]]:
    """The sections of a numpydoc docstring: title -> the names at the beginning of its entries."""
    found: dict[str, list[str]] = {}
    lines = said.split("\n")
    titles = [i for i, line in enumerate(lines[1:]) if re.fullmatch("-{3,}", line)]
    for at, end in pairwise([*titles, len(lines)]):
        entries = [line for line in lines[at + 2 : end] if line and not line[0].isspace()]
        found[lines[at]] = [name.strip() for line in entries for name in line.split(" : ")[0].split(",")]
    return found


def parameters(function: Function, *, bound: bool) -> list[str]:
    """The names of a signature as numpydoc writes them."""
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    if bound and not any(ast.unparse(each) == "staticmethod" for each in function.decorator_list):
        names = names[1:]
    names += [f"*{given.vararg.arg}"] if given.vararg else []
    names += [argument.arg for argument in given.kwonlyargs]
    return names + ([f"**{given.kwarg.arg}"] if given.kwarg else [])


def documented(path: Path) -> Iterator[tuple[str, str, list[str], bool]]:
    """Public functions, methods and classes of a module: name, docstring, parameters, whether it returns."""
    for node in public(TREES[path]):
        if isinstance(node, ast.ClassDef):
            own = [each for each in node.body if isinstance(each, Function)]
            for method in (each for each in own if each.name == "__init__"):
                yield node.name, ast.get_docstring(node) or "", parameters(method, bound=True), False
            functions = [(f"{node.name}.{method.name}", method, True) for method in methods(node)]
        else:
            functions = [(node.name, node, False)]
        for name, function, bound in functions:
            if any("property" in ast.unparse(each) for each in function.decorator_list):
                continue
            returns = function.returns is not None and ast.unparse(function.returns) != "None"
            yield name, ast.get_docstring(function) or "", parameters(function, bound=bound), returns


@pytest.mark.parametrize(
    "path", [path for path in MODULES if is_public(path)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_section_of_parameters_names_all_of_them_and_is_followed_by_what_is_returned(path: Path) -> None:
    for name, said, expected, returns in documented(path):
        found = sections(said)
        if "Parameters" in found and not any(entry.startswith("<") for entry in found["Parameters"]):
            # Several parameters of one kind may stand together, out of the signature's order.
            assert sorted(found["Parameters"]) == sorted(expected), name
            assert not returns or {"Returns", "Yields"} & set(found), f"{name} returns something"


def test_what_a_notebook_calls_first_has_every_section() -> None:
    for module, least in (("__init__.py", 6), ("facade.py", 8)):
        checked = 0
        for name, said, expected, returns in documented(ROOT / "workbench" / module):
            if expected and name != "Store":
                found = sections(said)
                assert found["Parameters"] == expected, name
                assert not returns or "Returns" in found, name
                checked += 1
        assert checked >= least


@pytest.mark.parametrize("target", ESTIMATORS)
def test_every_hyper_parameter_of_an_estimator_is_documented(target: str) -> None:
    module, _, name = target.partition(":")
    cls = getattr(import_module(module), name)
    found = sections(inspect.getdoc(cls) or "").get("Parameters", [])
    assert sorted(found) == sorted(inspect.signature(cls).parameters)


@pytest.mark.parametrize("target", ESTIMATORS)
def test_every_estimator_names_its_source(target: str) -> None:
    name = target.rpartition(":")[2]
    said = ast.get_docstring(CLASSES[name]) or ""
    assert ("References\n-----" in said) == (name not in OURS)


def test_no_file_is_long() -> None:
    long = {str(p.relative_to(ROOT)): n for p in MODULES if (n := p.read_text().count("\n")) > 405}
    assert not long

"""A notebook as a document: reading it, finding its parameters, putting values in."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import UsageError

__all__ = ["MOST_BYTES", "TAG", "Document", "Value"]

#: What a parameter may be.
Value = bool | int | float | str | list[Any] | dict[str, Any] | None

TAG = "parameters"  # of the cell whose assignments are defaults, as papermill and Jupyter have it
MOST_BYTES = 50 << 20
_INJECTED = "injected-parameters"


@dataclass(frozen=True)
class Document:
    """A notebook that can be run.

    Attributes
    ----------
    name : str
        Its file's name without ``.ipynb``.
    cells : dict
        The notebook (nbformat 4) without outputs.
    parameters : dict of str to value
        Defaults of the first cell tagged ``parameters``: its assignments of literals, in their order.
    """

    name: str
    cells: dict[str, Any]
    parameters: dict[str, Value]

    @classmethod
    def read(cls, path: str | Path) -> Document:
        """Read a file.

        Raises
        ------
        UsageError
            If it is no notebook in Python, with the reason.
        """
        path = Path(path)
        try:
            if path.stat().st_size > MOST_BYTES:
                raise UsageError(f"{path.name} is larger than {MOST_BYTES >> 20} MB: clear its outputs.")
            return cls.parse(path.read_bytes(), path.name)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error

    @classmethod
    def parse(cls, content: bytes, file_name: str) -> Document:
        """The same for the content of a file."""
        import nbformat

        name = Path(file_name).name
        try:
            found = nbformat.reads(content.decode(), as_version=4)
            nbformat.validate(found)
        except UnicodeDecodeError:
            raise UsageError(f"{name} is no notebook: it is not UTF-8 text.") from None
        except (
            ValueError, KeyError, TypeError, AttributeError, RecursionError, nbformat.ValidationError
        ) as error:  # fmt: skip
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UsageError(f"{name} is no notebook that can be read: {reason}") from None
        language = str(found.metadata.get("kernelspec", {}).get("language") or "python")
        if language.lower() != "python":
            raise UsageError(f"{name} is written in {language}: only notebooks in Python are run.")
        for cell in found.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        if not any(cell.cell_type == "code" and cell.source.strip() for cell in found.cells):
            raise UsageError(f"{name} has no code to run.")
        return cls(name.removesuffix(".ipynb"), found, _defaults(found.cells))

    def check(self, values: Mapping[str, Value]) -> None:
        """Refuse a parameter that the notebook does not have, or whose kind differs from its default's."""
        for name, value in values.items():
            if not name.isidentifier() or keyword.iskeyword(name):
                raise UsageError(f"{name!r} cannot be a parameter: it is no name in Python.")
            if name not in self.parameters:
                known = ", ".join(self.parameters) or f"none; tag the cell that assigns them {TAG!r}"
                raise UsageError(f"{self.name} has no parameter {name!r}: it has {known}.")
            default = self.parameters[name]
            number = isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool)
            if default is not None and value is not None and type(value) is not type(default) and not number:
                kind = type(default).__name__
                raise UsageError(f"The parameter {name} of {self.name} is of type {kind}, not {value!r}.")

    def with_values(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """The notebook with a cell behind its parameters that assigns `values`."""
        import nbformat

        self.check(values)
        filled = deepcopy(self.cells)
        if values:
            source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
            cell = nbformat.v4.new_code_cell(source, metadata={"tags": [_INJECTED]})
            place = next(i for i, cell in enumerate(filled["cells"]) if _tagged(cell)) + 1
            filled["cells"].insert(place, cell)
            if (filled["nbformat"], filled["nbformat_minor"]) < (4, 5):  # cells have no ids there
                del cell["id"]
        return filled


def _tagged(cell: Mapping[str, Any]) -> bool:
    return cell["cell_type"] == "code" and TAG in cell["metadata"].get("tags", ())


def _defaults(cells: list[Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    source = next((cell["source"] for cell in cells if _tagged(cell)), "")
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return found  # says so itself when it is run
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        try:
            literal = ast.literal_eval(value)
        except (ValueError, TypeError, MemoryError, RecursionError):
            continue
        if literal is None or isinstance(literal, bool | int | float | str | list | dict):
            found[name] = literal
    return found

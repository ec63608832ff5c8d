"""docs/security.md names a test for each threat: they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())


def test_every_line_of_the_table_names_one():
    page = (ROOT / "docs" / "security.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(lines) >= 15
    for line in lines:
        assert "::test_" in line, line


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_it_is_there(file, test):
    tree = ast.parse((ROOT / file).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert test in names

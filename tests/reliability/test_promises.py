"""The page of promises names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| promise"))
]


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_each_promise_has_its_test_a_figure_and_a_date(row):
    """A row names one test, by file and function, or a target of make; what was reached, and when."""
    promise, test, figure, date = row
    assert promise
    assert figure
    assert re.fullmatch(r"\d{4}-\d\d-\d\d|each change", date), date
    assert test.startswith("`"), test
    assert test.endswith("`"), test
    if test.startswith("`make "):
        target = test.strip("`").split()[1]
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return
    file, _, name = test.strip("`").partition("::")
    path = ROOT / "tests" / file
    assert path.is_file(), file
    assert not name or name in functions(path), test


def test_there_are_promises_and_limits():
    """Enough of both, and no test twice."""
    assert len(ROWS) >= 30
    named = [row[1] for row in ROWS]
    assert len(set(named)) == len(named)
    assert PAGE.partition("## What cannot be promised")[2].count("\n- **") >= 8


def test_every_file_of_reliability_is_named():
    """A promise that is tested and not told is a pity."""
    untold = [
        path.name
        for path in (ROOT / "tests" / "reliability").glob("test_*.py")
        if f"`reliability/{path.name}" not in PAGE and path.name != "test_promises.py"
    ]
    assert untold == []

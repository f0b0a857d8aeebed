"""``await`` in the code of a magic: the cell itself waits for it, in the notebook's own event loop.

A magic is a plain call inside a cell, which cannot wait for anything. So a cell in which one of memlab's
magics is given code that awaits is rewritten before it runs: ``get_ipython().run_cell_magic(...)`` becomes
``await ...awaited(...)``, and the shell runs the cell as it runs every cell with an ``await``.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Awaiting", "awaits"]

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_WAITS = (ast.Await, ast.AsyncFor, ast.AsyncWith)
_CALLS = {"run_line_magic": 2, "run_cell_magic": 3}
_MOST_WORDS = 40


class Awaiting:
    """An input transformer of the shell's.

    Args:
        shell: the interactive shell.
        magics: the object with the method ``awaited(name, line, cell=None)``.
        names: magics that can wait, as typed -> the name of memlab's own.
    """

    def __init__(self, shell: Any, magics: Any, names: Mapping[str, str]) -> None:
        self._shell = shell
        self._magics = magics
        self._names = names

    def __call__(self, lines: list[str]) -> list[str]:
        """Return a cell's lines, with calls that must wait rewritten."""
        text = "".join(lines)
        if "get_ipython().run_" not in text or ("await" not in text and "async" not in text):
            return lines
        if not self._shell.autoawait:
            return lines
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            return lines
        rows = [line.encode() for line in text.splitlines(keepends=True)]
        for node in sorted(self._calls(tree), key=lambda n: (-n.lineno, -n.col_offset)):
            function = node.func
            row, end = rows[node.lineno - 1], function.end_col_offset
            if function.end_lineno == node.lineno and end is not None:
                into = b"await get_ipython().find_line_magic('memlab_memit').__self__.awaited"
                rows[node.lineno - 1] = row[: node.col_offset] + into + row[end:]
        return b"".join(rows).decode().splitlines(keepends=True)

    def _calls(self, tree: ast.AST) -> Iterator[ast.Call]:
        """Give the calls of our magics, outside of functions, whose code awaits."""
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, _SCOPES):
                continue
            if isinstance(node, ast.Call) and self._must_wait(node):
                yield node
            else:
                yield from self._calls(node)

    def _must_wait(self, node: ast.Call) -> bool:
        function = node.func
        if not isinstance(function, ast.Attribute) or function.attr not in _CALLS:
            return False
        values = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) != _CALLS[function.attr]:
            return False
        name, line, *cell = texts
        if name not in self._names or not self._is_ours(name, bool(cell)):
            return False
        return self._has_await(line) or any(self._code_awaits(text) for text in cell)

    def _is_ours(self, name: str, in_cell: bool) -> bool:
        find = self._shell.find_cell_magic if in_cell else self._shell.find_line_magic
        return getattr(find(name), "__self__", None) is self._magics

    def _has_await(self, line: str) -> bool:
        """Tell whether the statement awaits that stands somewhere behind the options."""
        if "await" not in line and "async" not in line:
            return False
        words = line.split(" ")
        return any(self._code_awaits(" ".join(words[at:])) for at in range(min(len(words), _MOST_WORDS)))

    def _code_awaits(self, code: str) -> bool:
        if "await" not in code and "async" not in code:
            return False
        try:
            return awaits(ast.parse(self._shell.transform_cell(code)))
        except (SyntaxError, ValueError):
            return False


def awaits(tree: ast.AST) -> bool:
    """Tell whether code awaits outside every function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _SCOPES):
            continue
        if isinstance(node, _WAITS) or (isinstance(node, ast.comprehension) and node.is_async):
            return True
        if awaits(node):
            return True
    return False

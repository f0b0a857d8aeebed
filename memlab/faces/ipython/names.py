"""What a magic's line names: an expression, or something to call."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING, Any

from memlab.errors import UsageError
from memlab.lab.steps import check_step

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

__all__ = ["evaluate", "named_callable"]


def evaluate(shell: Any, magic: str, text: str) -> CodeType:
    """Return the code of an expression.

    Raises:
        UsageError: when there is none, the text is something else, or it starts with an unknown name.
    """
    if not text.strip():
        raise UsageError(f"{magic}: name an object; for an example: {magic}?")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        said = getattr(error, "msg", None) or error
        raise UsageError(f"{magic}: {text.strip()!r} is no expression ({said})") from None
    start: ast.AST = tree.body
    while isinstance(start, (ast.Attribute, ast.Subscript)):
        start = start.value
    if isinstance(start, ast.Name) and not _is_known(shell, start.id):
        raise UsageError(f"{magic}: there is no {start.id!r} here")
    return compile(tree, f"<{magic}>", "eval")


def named_callable(shell: Any, magic: str, text: str) -> Callable[[], object] | None:
    """Return what a plain or dotted name refers to; None when the text is a statement.

    Raises:
        UsageError: when there is nothing of that name.
        StepError: when it cannot be called without arguments.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    names = tree
    while isinstance(names, ast.Attribute):
        names = names.value
    if not isinstance(names, ast.Name):
        return None
    code = evaluate(shell, magic, text)
    try:
        found = eval(code, shell.user_global_ns, shell.user_ns)  # noqa: S307 - the user's own name
    except AttributeError as error:
        raise UsageError(f"{magic}: {error}") from None
    return check_step(found, text.strip())


def _is_known(shell: Any, name: str) -> bool:
    return name in shell.user_ns or name in shell.user_global_ns or hasattr(builtins, name)

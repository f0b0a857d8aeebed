"""What a magic's line names: an expression, or something to call."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from memlab.errors import UsageError
from memlab.faces.steps import check_step

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

__all__ = ["evaluate", "named_callable"]


def evaluate(magic: str, text: str) -> CodeType:
    """Return the code of an expression.

    Raises:
        UsageError: when there is none, or the text is something else.
    """
    if not text.strip():
        raise UsageError(f"{magic}: name an object; for an example: {magic.lstrip('%')}?")
    try:
        return compile(text.strip(), f"<{magic}>", "eval")
    except SyntaxError as error:
        raise UsageError(f"{magic}: {text.strip()!r} is no expression ({error.msg})") from None


def named_callable(shell: Any, magic: str, text: str) -> Callable[[], object] | None:
    """Return what a plain or dotted name refers to; None when the text is a statement.

    Raises:
        UsageError: when there is nothing of that name.
        StepError: when it cannot be called without arguments.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return None
    names = tree
    while isinstance(names, ast.Attribute):
        names = names.value
    if not isinstance(names, ast.Name):
        return None
    if names.id not in shell.user_ns and not hasattr(__import__("builtins"), names.id):
        raise UsageError(f"{magic}: there is no {names.id!r} here")
    code = evaluate(magic, text)
    try:
        found = eval(code, shell.user_global_ns, shell.user_ns)  # noqa: S307 - the user's own name
    except AttributeError as error:
        raise UsageError(f"{magic}: {error}") from None
    return check_step(found, text.strip())

"""Code from a magic's line or cell: compiled once as the shell would, run again and again in its namespace.

The code is registered with the shell's own compiler, so that tracebacks show its lines and ``linecache``
knows them. The body of a cell magic starts on line 2 there, as it does in the cell.
"""

from __future__ import annotations

import ast
import itertools
import linecache
import re
import sys
from typing import TYPE_CHECKING, Any

from memlab.errors import UsageError
from memlab.faces.ipython.awaiting import awaits

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

__all__ = ["IN_A_CALL", "Code", "cell_names"]

_IN_A_THREAD = (
    "an await outside a function cannot be run again and again beside the notebook's event loop; put it in "
    "'async def work()' and, in a cell of its own, 'await asyncio.to_thread(memlab.find_leaks, work)'"
)
IN_A_CALL = (
    "an await outside a function works where the magic stands in the cell itself, not inside a function or "
    "another magic"
)


class Code:
    """Code of the user's, ready to run.

    Args:
        shell: the interactive shell.
        magic: the magic that was given the code, with its percent signs.
        source: the code as typed; magics and ``!`` in it work.
        can_wait: it may await; run it by ``awaitable`` then.
        instead: what to say of code that awaits where it may not.

    Attributes:
        awaits: whether it awaits outside every function.
        code: the compiled code.

    Raises:
        SyntaxError: the user's own, with the cell's line.
        UsageError: when the code is empty, or awaits outside a function.
    """

    def __init__(
        self, shell: Any, magic: str, source: str, *, can_wait: bool = False, instead: str = _IN_A_THREAD
    ) -> None:
        if not source.strip():
            raise UsageError(
                f"{magic}: there is no code to run; for an example: %{magic.strip('%').split()[0]}?"
            )
        is_cell = magic.startswith("%%")
        # The shell drops blank lines at the start; a cell's own first line is the magic's.
        above = 1 + sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), source.splitlines()))
        text = "\n" * (above if is_cell else 0) + shell.transform_cell(source)
        number = _running_cell(shell)
        self.filename: str = shell.compile.cache(text, number, raw_code=text)
        self.label = f"Cell In[{number}]" if is_cell else f"{magic} in In[{number}]"
        tree = shell.transform_ast(shell.compile.ast_parse(text, filename=self.filename))
        self.awaits = awaits(tree)
        if self.awaits and not can_wait:
            raise UsageError(f"{magic}: {instead}")
        self.code: CodeType = (
            compile(tree, self.filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | shell.compile.flags)
            if self.awaits
            else shell.compile(tree, self.filename, "exec")
        )
        self._shell = shell

    def function(self) -> Callable[[], None]:
        """Return a function that runs the code once in the user's namespace."""
        code, scope, names = self.code, self._shell.user_global_ns, self._shell.user_ns

        def run() -> None:
            exec(code, scope, names)  # noqa: S102 - running the user's cell is what a magic is for

        return run

    def awaitable(self) -> Callable[[], Any]:
        """Return a coroutine function that runs the code once in the user's namespace."""
        code, scope, names = self.code, self._shell.user_global_ns, self._shell.user_ns
        if not self.awaits:
            run_once = self.function()

            async def run() -> None:
                run_once()

            return run

        async def run_awaiting() -> None:
            await eval(code, scope, names)  # noqa: S307 - the user's cell; one that awaits gives a coroutine

        return run_awaiting


def _running_cell(shell: Any) -> int:
    """Return the number of the cell that calls the magic: the shell's count may already be the next one's."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack reads every frame's source
    while frame is not None:
        said = shell.compile.format_code_name(frame.f_code.co_filename)
        number = re.fullmatch(r"In\[(\d+)\]", said[1]) if said is not None else None
        if number is not None:
            return int(number[1])
        frame = frame.f_back
    return int(shell.execution_count)


def cell_names(shell: Any) -> dict[str, str]:
    """Return the file names under which cells were compiled, each with what the notebook calls the cell."""
    names = {}
    for filename in list(linecache.cache):
        said = shell.compile.format_code_name(filename)
        if said is not None:
            names[filename] = " ".join(said)
    return names

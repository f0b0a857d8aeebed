"""Run a program inside this process as ``python script.py`` or ``python -m module`` would.

The program gets a ``__main__`` of its own, which stays in ``sys.modules`` until the process ends (so that
what it holds is there at exit), its own ``sys.argv`` and ``sys.path[0]``. It ends as it would have ended
under ``python``: an exception goes to ``sys.excepthook`` without memlab's frames, an exit code is the exit
code, and Ctrl-C ends the process by that signal. (``runpy`` would put ``__main__`` back, and the program's
own variables would be gone before anybody could look at them.)
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import signal
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from memlab.errors import UsageError
from memlab.faces.user_errors import drop_memlab_frames, error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType

__all__ = ["Program", "module_program", "report_error", "run_program", "script_program"]

_RAISED = 1
_INTERRUPTED = 130
_BINARY = importlib.machinery.ExtensionFileLoader


class Program:
    """A program, found and not yet started.

    Args:
        main: its empty ``__main__``.
        code: gives the compiled code; what it raises is the program's own.
        argv: its ``sys.argv``.
        folder: first entry of its ``sys.path``.
    """

    def __init__(
        self, main: ModuleType, code: Callable[[], CodeType], argv: Sequence[str], folder: str
    ) -> None:
        self.main = main
        self.code = code
        self.argv = list(argv)
        self.folder = folder
        self.interrupted = False
        # What is registered first runs last: after a dump at exit, and after all that the program registers.
        atexit.register(self._end)

    def _end(self) -> None:
        """End by the signal of Ctrl-C where that ended the program."""
        if not self.interrupted or os.name != "posix":
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


def script_program(path: str, arguments: Sequence[str]) -> Program:
    """Find a script.

    Raises:
        UsageError: when it is not there, or is no file.
    """
    place = Path(path)
    if place.is_dir():
        raise UsageError(f"{path} is a folder; name a script, or -m and a module")
    if not place.is_file():
        raise UsageError(f"there is no script {path}")
    full = os.path.abspath(path)  # noqa: PTH100 - as python does, links are not followed here
    main = _main(
        __file__=full,
        __loader__=importlib.machinery.SourceFileLoader("__main__", full),
        __cached__=None,
    )

    def code() -> CodeType:
        with io.open_code(full) as file:
            source = file.read()
        return compile(source, full, "exec", dont_inherit=True)

    return Program(main, code, [path, *arguments], os.path.dirname(os.path.realpath(path)))  # noqa: PTH120


def module_program(name: str, arguments: Sequence[str]) -> Program:
    """Find a module, or the ``__main__`` of a package. Imports the packages above it, as ``python -m`` does.

    Raises:
        UsageError: when there is none, or it has no code to run.
    """
    here = os.getcwd()  # noqa: PTH109 - text, as sys.path has it
    _set_first_folder(here)
    sys.argv[0] = "-m"
    is_package = False
    try:
        spec = _spec_of(name)
        if spec is not None and spec.submodule_search_locations is not None:
            is_package = True
            spec = _spec_of(f"{name}.__main__")
    except UsageError:
        raise
    except BaseException as error:  # noqa: BLE001 - a package above it raised while it was imported
        return Program(ModuleType("__main__"), _raising(error), ["-m", *arguments], here)
    if spec is None and is_package:
        raise UsageError(f"{name} is a package and cannot be run: it has no __main__")
    if spec is None:
        raise UsageError(f"there is no module {name}; looked in the current folder and in what is installed")
    loader: Any = spec.loader
    if not hasattr(loader, "get_code") or spec.origin == "built-in" or isinstance(loader, _BINARY):
        raise UsageError(f"module {name} has no Python code to run")
    full = spec.name
    main = _main(
        __file__=spec.origin,
        __loader__=loader,
        __package__=spec.parent,
        __spec__=spec,
        __cached__=spec.cached,
    )

    def code() -> CodeType:
        found: CodeType | None = loader.get_code(full)
        if found is None:
            raise ImportError(f"No code object available for {full}")
        return found

    return Program(main, code, [spec.origin or name, *arguments], here)


def run_program(program: Program, report: Callable[[BaseException], int] | None = None) -> int:
    """Run it to its end and return the exit code.

    Args:
        program: the program.
        report: takes the exception that ended it and returns the exit code; default ``report_error``.
    """
    _set_first_folder(program.folder)
    sys.argv[:] = program.argv
    sys.modules["__main__"] = program.main
    try:
        exec(program.code(), vars(program.main))  # noqa: S102 - running the program is what was asked for
    except SystemExit as leaving:
        return _exit_code(leaving)
    except BaseException as error:  # noqa: BLE001 - whatever ends a program
        ended_by = error
    else:
        return 0
    # Outside the handler: what the hook raises would be shown as raised in it.
    ended_by.__traceback__ = drop_memlab_frames(ended_by.__traceback__)
    code = (report or report_error)(ended_by)
    program.interrupted = isinstance(ended_by, KeyboardInterrupt)
    return _INTERRUPTED if program.interrupted else code


def _main(**names: Any) -> ModuleType:
    main = ModuleType("__main__")
    vars(main).update(names, __builtins__=sys.modules["builtins"])
    if sys.version_info < (3, 14):
        vars(main)["__annotations__"] = {}
    return main


def _set_first_folder(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path[:1] = [folder]


def _spec_of(name: str) -> importlib.machinery.ModuleSpec | None:
    if name.startswith("."):
        raise UsageError(f"{name!r} is no module that can be run: write its full name")
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        raise
    except ValueError as error:  # no name at all, or a module without a spec
        raise UsageError(f"{name!r} is no module that can be run: {error_text(error)}") from None


def _raising(error: BaseException) -> Callable[[], CodeType]:
    def code() -> CodeType:
        raise error

    return code


def _exit_code(leaving: SystemExit) -> int:
    """Return the exit code as the interpreter reads it; what is no number is printed and counts as 1."""
    code = leaving.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    with contextlib.suppress(Exception):
        print(code, file=sys.stderr, flush=True)
    return _RAISED


def report_error(error: BaseException) -> int:
    """Give an exception to the program's own hook, as the interpreter does, and return the exit code."""
    kind, trace = type(error), error.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        sys.excepthook(kind, error, trace)
    except SystemExit as leaving:
        return _exit_code(leaving)
    except BaseException as broken:  # noqa: BLE001 - the interpreter shows both, and so does this
        broken.__traceback__ = drop_memlab_frames(broken.__traceback__)
        print("Error in sys.excepthook:", file=sys.stderr)
        traceback.print_exception(broken)
        print("\nOriginal exception was:", file=sys.stderr)
        traceback.print_exception(error)
    return _RAISED

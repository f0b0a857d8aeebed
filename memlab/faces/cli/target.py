"""``package.module:function`` and ``path/to/file.py:function`` to a function.

The folder that ``python -m`` would search first is on ``sys.path`` while the command runs: the current
one for a module, the file's own for a file. A file inside a package is imported as part of it, so that its
relative imports work. What the module's own code raises while it is imported is reported as its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlab.errors import UsageError
from memlab.faces.user_errors import error_line, error_text, error_type

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["Target", "import_target", "importable", "module_path", "parse_target"]


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A place that was named on the command line.

    Attributes:
        text: as it was given.
        place: the module's name, or the file's path.
        function: dotted path inside the module.
    """

    text: str
    place: str
    function: str

    @property
    def is_file(self) -> bool:
        """Whether the place is a path."""
        return self.place.endswith(".py") or "/" in self.place or os.sep in self.place


def parse_target(text: str, *, beside: Target | None = None) -> Target:
    """Take a target apart.

    Args:
        text: ``module:function`` or ``file.py:function``.
        beside: where a name without a place is looked for.

    Raises:
        UsageError: when a part is missing.
    """
    place, colon, function = text.rpartition(":")
    if not colon and beside is not None:
        place, function = beside.place, text
    if not place or not function:
        raise UsageError(
            f"{text!r} names no function: write package.module:function or path/to/file.py:function"
        )
    return Target(text, place, function)


@contextlib.contextmanager
def importable(target: Target) -> Iterator[None]:
    """Have the target's folder first on ``sys.path``, and put the path back as it was."""
    folder = str(_package_root(Path(target.place).absolute())[0]) if target.is_file else os.getcwd()  # noqa: PTH109
    before = list(sys.path)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path[:] = before


def module_path(target: Target) -> str:
    """Return a target as ``module:function``, to be imported where ``importable`` holds.

    Raises:
        UsageError: when its file is not there, or its module has no such name as could be imported.
    """
    if target.is_file and not Path(target.place).is_file():
        raise UsageError(f"no file {target.place}")
    name = _package_root(Path(target.place).absolute())[1] if target.is_file else target.place
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{target.place!r} is no module's name: write package.module:function")
    if target.is_file and name in sys.stdlib_module_names:
        raise UsageError(f"{target.place} has the name of a module of the standard library: rename the file")
    return f"{name}:{target.function}"


def import_target(target: Target) -> tuple[ModuleType, Any]:
    """Import the target's module and return it with what the target names in it.

    Raises:
        UsageError: when the module is not there, raises while it is imported, or lacks the name.
    """
    module = _import_file(target) if target.is_file else _import_module(target.place)
    found: Any = module
    for part in target.function.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UsageError(_not_there(target, module)) from None
    return module, found


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{name!r} is no module's name: write package.module:function")
    importlib.invalidate_caches()
    with _own_errors(name):
        return importlib.import_module(name)


def _import_file(target: Target) -> ModuleType:
    path = Path(target.place).absolute()
    if not path.is_file():
        raise UsageError(f"no file {target.place}")
    _, name = _package_root(path)
    if "." in name:
        return _import_module(name)
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if loaded is not None or name in sys.stdlib_module_names:
        name = f"{name}_target"  # the other module of this name stays what it is
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{target.place} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up by name
    try:
        with _own_errors(target.place):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _package_root(path: Path) -> tuple[Path, str]:
    """Return the folder above all packages that a file lies in, and the file's dotted name from there."""
    folder, name = path.parent, path.stem
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        folder, name = folder.parent, f"{folder.name}.{name}"
    return folder, name.removesuffix(".__init__")


@contextlib.contextmanager
def _own_errors(name: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"no module {error.name!r}: looked in the current folder and in what is installed"
            ) from None
        raise _own(name, error) from None
    except BaseException as error:  # noqa: BLE001 - SystemExit too: a module may leave when imported
        raise _own(name, error) from None


def _own(name: str, error: BaseException) -> UsageError:
    text = error_text(error)
    return UsageError(
        f"importing {name} raised {error_type(error)} at {error_line(error)}"
        f"{': ' + text if text else ''} (the module's own exception)"
    )


def _not_there(target: Target, module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if callable(value)]
    near = difflib.get_close_matches(target.function, names, n=1)
    return f"{target.place} has no {target.function!r}" + (f"; did you mean {near[0]!r}?" if near else "")

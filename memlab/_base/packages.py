"""Which package a file belongs to: a distribution, the standard library, the notebook, or the user's own.

The distribution of an installed file is found by name where the two agree (``numpy``), else in the lists of
installed files that the distributions carry (``PIL`` is of ``pillow``). Those are read once.
"""

from __future__ import annotations

import functools
import io
import os
import re
import sysconfig

from memlab._base.safety import clean

__all__ = ["package_of"]

STANDARD = "standard library"
_SUFFIX = ".dist-info"


def package_of(filename: str, label: str, *, is_cell: bool, is_own: bool) -> str:
    """Return the name of a file's package.

    Args:
        filename: as the code object has it.
        label: its label, see ``PathLabels``.
        is_cell: it is a notebook cell, or has a name of the user's choice.
        is_own: it is the user's own.
    """
    if is_cell:
        return "notebook"
    if filename.startswith("<frozen "):
        return STANDARD
    if filename == "<unknown>":
        return "unknown"
    if filename.startswith("<native> "):
        return "native code"
    if filename.startswith("<"):
        return "generated code"
    installed = _installed_in(filename)
    if installed is not None:
        return clean(_distribution(installed, label))
    if not is_own and filename.startswith(_standard_folders()):
        return STANDARD
    top, slash, _ = label.partition("/")
    return top if slash else "own code"


@functools.lru_cache(maxsize=1)
def _standard_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({os.path.abspath(paths[key]) + os.sep for key in ("stdlib", "platstdlib")})  # noqa: PTH100


def _installed_in(filename: str) -> str | None:
    """Return the folder of installed packages that a file lies in."""
    for name in ("site-packages", "dist-packages"):
        before, found, _ = filename.rpartition(f"{os.sep}{name}{os.sep}")
        if found:
            return f"{before}{os.sep}{name}"
    return None


def _distribution(folder: str, label: str) -> str:
    top = label.partition("/")[0].removesuffix(".py")
    shared = _is_shared(folder, top)
    exact = _distributions(folder).get(_normal(top))
    if exact is not None and not shared:
        return exact
    # Every file of a package that one distribution fills has the same answer.
    return _listed_by(folder, label if shared else f"{top}/" if "/" in label else label) or exact or top


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_shared(folder: str, top: str) -> bool:
    """Tell whether several distributions put files in one package: it has no ``__init__`` of its own then."""
    path = os.path.join(folder, top)  # noqa: PTH118
    return os.path.isdir(path) and not os.path.exists(os.path.join(path, "__init__.py"))  # noqa: PTH110, PTH112, PTH118


@functools.lru_cache(maxsize=16)
def _distributions(folder: str) -> dict[str, str]:
    """Return the installed distributions by normal name, named as their folders are."""
    try:
        found = [name for name in os.listdir(folder) if name.endswith(_SUFFIX)]  # noqa: PTH208
    except OSError:
        return {}
    names = [name[: -len(_SUFFIX)].partition("-")[0] for name in sorted(found)]
    return {_normal(name): _normal(name) for name in names}


@functools.lru_cache(maxsize=4096)
def _listed_by(folder: str, start: str) -> str | None:
    """Return the distribution whose list of installed files has one that starts like this."""
    try:
        entries = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:  # the paths of a snapshot may be another machine's
        return None
    for entry in entries:
        if not entry.endswith(_SUFFIX):
            continue
        try:
            with io.FileIO(os.path.join(folder, entry, "RECORD")) as file:  # noqa: PTH118
                listed = b"\n" + file.read()
        except OSError:
            continue
        if b"\n" + start.encode() in listed:
            return _normal(entry[: -len(_SUFFIX)].partition("-")[0])
    return None

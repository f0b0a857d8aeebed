"""File names as labels: short, the same on every machine, and without a user's name in them.

A file of the standard library, of site-packages or under the working directory is named relative to it; a
notebook cell by its number; any other file from the folder of its package on, or by its last part alone when
it is in none. This happens when a record is made, so
a saved capture is as safe to share as a report.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from memlab._base.safety import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["PathLabels"]

OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
_MOST = 4096
_Answer = TypeVar("_Answer", str, bool)


class PathLabels:
    """Labels for file names, for one working directory.

    Args:
        aliases: names that are shown as given, e.g. a cell's temporary file -> ``Cell In[3]``.
        root: the project; its files count as the user's own. Default: the working directory.
    """

    def __init__(self, aliases: Mapping[str, str] | None = None, root: str | None = None) -> None:
        self.aliases = dict(aliases or {})
        self.root = os.path.abspath(root or os.getcwd())  # noqa: PTH100, PTH109
        self._libraries = _library_folders()
        # Plain dictionaries: a cached method would refer to its own instance, and this to be garbage that
        # only the collector frees, in the sight of the next capture of the heap.
        self._labels: dict[str, str] = {}
        self._own: dict[str, bool] = {}
        self._memlab: dict[str, bool] = {}

    def label(self, filename: str) -> str:
        """Return the label of a file name as code objects have it."""
        return _remember(self._labels, filename, self._label)

    def candidates(self, label: str) -> tuple[str, ...]:
        """Return the files of this machine that a label may mean: in each folder that labels start from."""
        return tuple(os.path.join(folder, label) for folder in (*self._libraries, self.root))  # noqa: PTH118

    def is_own(self, filename: str) -> bool:
        """Tell whether a file is the user's own: no library's, and none of memlab's."""
        return _remember(self._own, filename, self._is_own)

    def is_memlab(self, filename: str) -> bool:
        """Tell whether a file is memlab's own."""
        return _remember(self._memlab, filename, _is_memlab)

    def _label(self, filename: str) -> str:
        if filename in self.aliases:
            return clean(self.aliases[filename])
        if filename.startswith("<"):
            return clean(filename)
        path = os.path.abspath(filename)  # noqa: PTH100
        for folder in (*self._libraries, self.root):
            if path.startswith(folder + os.sep):
                return clean(path[len(folder) + 1 :].replace(os.sep, "/"))
        return clean(_from_package(path))

    def _is_own(self, filename: str) -> bool:
        if filename in self.aliases:
            return True
        if filename.startswith("<"):
            return False
        path = os.path.abspath(filename)  # noqa: PTH100
        return not path.startswith((OWN_FOLDER + os.sep, *(f + os.sep for f in self._libraries)))


def _from_package(path: str) -> str:
    """Return a file's path from the folder of its outermost package on: names of modules, not of users."""
    folder, name = os.path.split(path)
    while os.path.isfile(os.path.join(folder, "__init__.py")):  # noqa: PTH113, PTH118
        folder, package = os.path.split(folder)
        name = f"{package}/{name}"
    return name


def _remember(known: dict[str, _Answer], filename: str, find: Callable[[str], _Answer]) -> _Answer:
    if filename in known:
        return known[filename]
    if len(known) >= _MOST:
        known.clear()
    answer = known[filename] = find(filename)
    return answer


def _is_memlab(filename: str) -> bool:
    return os.path.abspath(filename).startswith(OWN_FOLDER + os.sep)  # noqa: PTH100


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    """Folders of installed code, longest first: site-packages lies inside the standard library's."""
    paths = sysconfig.get_paths()
    found = {os.path.abspath(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")}  # noqa: PTH100
    found |= {
        os.path.abspath(p)  # noqa: PTH100
        for p in sys.path
        if p.rstrip("/\\").endswith(("site-packages", "dist-packages"))
    }
    return tuple(sorted(found, key=len, reverse=True))

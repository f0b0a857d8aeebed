"""Which file names are a notebook's cells, as IPython tells. Imports no record and no numpy."""

from __future__ import annotations

import linecache
import sys
from typing import TYPE_CHECKING

from memlab._base.paths import PathLabels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["CellLabels", "cell_aliases"]


def cell_aliases() -> dict[str, str]:
    """Return the file names under which a notebook's cells were compiled, each with its cell: ``Cell In[3]``.

    Nothing outside of IPython, which is asked where it is loaded and never imported.
    """
    tell = _teller()
    if tell is None:
        return {}
    said = {name: tell(name) for name in list(linecache.cache)}
    return {name: " ".join(words) for name, words in said.items() if words is not None}


def _teller() -> Callable[[str], Sequence[str] | None] | None:
    """Return what says ``("Cell", "In[3]")`` of a cell's file name, and None of any other."""
    ipython = sys.modules.get("IPython")
    shell = getattr(ipython, "get_ipython", lambda: None)()
    return getattr(getattr(shell, "compile", None), "format_code_name", None)


class CellLabels(PathLabels):
    """Labels that know cells also when they are run after these were made, as in a long recording.

    Each file is asked about once, when it is met first.

    Example:
        >>> CellLabels({"/tmp/4711.py": "Cell In[3]"}).label("/tmp/4711.py")
        'Cell In[3]'
    """

    def _label(self, filename: str) -> str:
        self._learn(filename)
        return super()._label(filename)

    def _is_own(self, filename: str) -> bool:
        self._learn(filename)
        return super()._is_own(filename)

    def _learn(self, filename: str) -> None:
        tell = _teller() if filename not in self.aliases else None
        words = tell(filename) if tell is not None else None
        if words is not None:
            self.aliases[filename] = " ".join(words)

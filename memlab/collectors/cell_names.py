"""Which file names are a notebook's cells, as IPython tells. Imports none of memlab: a recording needs it."""

from __future__ import annotations

import linecache
import sys

__all__ = ["cell_aliases"]


def cell_aliases() -> dict[str, str]:
    """Return the file names under which a notebook's cells were compiled, each with its cell: ``Cell In[3]``.

    Nothing outside of IPython, which is asked where it is loaded and never imported.
    """
    ipython = sys.modules.get("IPython")
    shell = getattr(ipython, "get_ipython", lambda: None)()
    tell = getattr(getattr(shell, "compile", None), "format_code_name", None)
    if tell is None:
        return {}
    said = {name: tell(name) for name in list(linecache.cache)}
    return {name: " ".join(words) for name, words in said.items() if words is not None}

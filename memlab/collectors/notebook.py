"""What a notebook itself keeps: recognised by the names that IPython binds, without importing IPython.

A displayed object is held by ``Out[n]``, ``_n``, ``_``, ``__``, ``___``, the display hook and, until the next
cell has run, by the shell's last result. These are the first answer to "why is it still alive" in a notebook
and no fault of the user's program, so chains that start there are told apart (kind NOTEBOOK), as are those
that start at the last exception (kind LAST_EXCEPTION).
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from memlab.collectors.roots import module_namespace
from memlab.records.chain import RootKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.records.chain import ReferenceChain

__all__ = ["Bookkeeping", "listed", "notebook_remedy"]

_NAMES = re.compile(r"_{1,3}|_\d+|_i{1,3}|_i\d+|In|Out|_ih|_oh|_dh|get_ipython")
_OUTPUTS = ("Out", "_oh")
_LAST = ("last_value", "last_exc", "last_traceback", "last_type")
_CELL = re.compile(r"(?:Out\[|_)(\d+)\]?")


class Bookkeeping:
    """Which names of which namespaces are kept by the notebook, the prompt or the interpreter."""

    def __init__(self) -> None:
        modules = sys.modules
        self.main = module_namespace(modules.get("__main__"))
        self.sys = module_namespace(sys)
        self.builtins = module_namespace(modules.get("builtins"))
        self.notebook = "IPython" in modules and self.main is not None and "get_ipython" in self.main
        outputs = self.main.get("_oh") if self.notebook else None
        self.outputs = outputs if type(outputs) is dict else None

    def kind_of(self, namespace: Any, name: str) -> RootKind | None:
        """Return the kind of root that a name in a namespace is, if it is not the program's own."""
        if namespace is self.sys:
            if name in _LAST:
                return RootKind.LAST_EXCEPTION
            return RootKind.NOTEBOOK if self.notebook and name == "displayhook" else None
        if namespace is self.main and self.notebook and _NAMES.fullmatch(name):
            return RootKind.NOTEBOOK
        # The plain prompt keeps the last value in builtins.
        prompt = namespace is self.builtins and name == "_" and "ps1" in self.sys
        return RootKind.NOTEBOOK if prompt else None

    def label(self, namespace: Any, name: str) -> str:
        """Return the words for such a root."""
        if namespace is self.sys:
            return "display hook" if name == "displayhook" else f"sys.{name}"
        return {"get_ipython": "IPython shell", "_oh": "Out", "_ih": "In"}.get(name, name)

    def output_label(self, namespace: Any, name: str, held: Any, value: Any) -> str | None:
        """Return ``Out[3]`` where the name is the outputs' dictionary and a cell's number leads on."""
        if (
            namespace is not self.main
            or name not in _OUTPUTS
            or self.outputs is None
            or held is not self.outputs
        ):
            return None
        numbers = [key for key, item in list(self.outputs.items()) if item is value and type(key) is int]
        return f"Out[{numbers[0]}]" if numbers else None


def notebook_remedy(chains: Sequence[ReferenceChain], variables: Sequence[str] = ()) -> str | None:
    """Say which cell displayed an object and what frees it.

    ``del Out[3], _3`` would not do, and ``%reset -f out`` not always: IPython keeps the names in a second,
    hidden namespace as well. ``%xdel`` looks the object up in all of them.

    Args:
        chains: those that start in the notebook's bookkeeping.
        variables: the user's variables that hold the object.

    >>> from memlab.records.chain import Link, ReferenceChain
    >>> ours = [ReferenceChain(RootKind.NOTEBOOK, (Link("", name, ""),)) for name in ("Out[3]", "_3")]
    >>> notebook_remedy(ours, ["x"])
    'Cell 3 displayed it: Out[3] and _3 hold it; `%xdel x` frees it.'
    """
    names = list(dict.fromkeys(chain.links[0].label for chain in chains))
    if not names:
        return None
    cells = list(dict.fromkeys(m.group(1) for name in names if (m := _CELL.fullmatch(name))))
    who = f"Cell{'s' if len(cells) > 1 else ''} {listed(cells)} displayed it: " if cells else ""
    hidden = any(link.label.startswith("user_ns_hidden") for chain in chains for link in chain.links)
    if variables:
        remedy = f"`%xdel {variables[0]}` frees it"
    elif cells:
        remedy = f"`x = Out[{cells[0]}]`, then `%xdel x` in a cell of its own, frees it"
    elif hidden:
        remedy = "`get_ipython().user_ns_hidden.pop('_', None)` frees it"
    elif names == ["IPython shell"]:
        remedy = "running one more cell may free it"
    else:
        remedy = "the next value that is displayed takes its place"
    return f"{who}{listed(names)} hold{'s' if len(names) == 1 else ''} it; {remedy}."


def listed(words: Sequence[str]) -> str:
    """Return words as prose has them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))

"""From a root and a path of objects to a chain of words, cut in the middle when it is long.

Only what is shown is named: of a path of a hundred thousand links the first and last few. What the notebook
or the interpreter keeps for itself becomes a root of its own kind here: ``module __main__ -> .Out -> [3]``
reads ``Out[3]``.
"""

from __future__ import annotations

from itertools import pairwise
from types import CellType, MethodType
from typing import TYPE_CHECKING, Any

from memlab._base.safety import instance_type_name
from memlab.collectors import labels
from memlab.collectors.edges import EdgeNamer, has_namespace, link, names_in
from memlab.records.chain import Link, ReferenceChain, RootKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from memlab._base.paths import PathLabels
    from memlab.collectors.notebook import Bookkeeping
    from memlab.collectors.roots import Root

__all__ = ["SHOWN_LINKS", "ChainWriter"]

SHOWN_LINKS = 16
_WINDOW = 24  # objects read at either end of a long path: enough for the links shown, however they fold


class ChainWriter:
    """Writes chains, for one search.

    Args:
        paths: labels of code files.
        book: what the notebook keeps for itself.
        reveal_keys: show mapping keys that are plain strings or integers.
    """

    def __init__(self, paths: PathLabels, book: Bookkeeping, *, reveal_keys: bool = False) -> None:
        self.paths = paths
        self.book = book
        self.namer = EdgeNamer(paths, reveal_keys=reveal_keys)

    def write(self, root: Root, path: list[Any], skip: Collection[str] = ()) -> list[ReferenceChain]:
        """Return the chains from a root along a path, which starts with the object that the root holds.

        There are several where the last holder is a namespace that has the object under several names;
        those in ``skip`` are left out.
        """
        if root.namespace and len(path) > 1:
            # A path's first step may be known by several names; the program's own explain more.
            names = names_in(path[0], path[1])
            names.sort(key=lambda name: self.book.kind_of(path[0], name) is not None)
            names = names if len(path) == 2 else names[:1]  # noqa: PLR2004 - the root and the object
            if names:
                names = [name for name in names if name not in skip]
                return [chain for name in names for chain in self._from_name(root, name, path)]
        head = Link("", labels.root_label(root, self.paths), labels.root_type_name(root))
        if root.slot:
            return self._along(root.kind, [head, link("", path[0], self.paths)], path)
        if len(path) == 1:
            via = ".__dict__" if root.namespace else ""
            return [ReferenceChain(root.kind, (head, link(via, path[0], self.paths)))]
        return self._along(root.kind, [head], path)

    def extend(self, chain: ReferenceChain, path: list[Any]) -> ReferenceChain:
        """Return a chain to the path's first object, continued to its last."""
        more = [link(vias[0], obj, self.paths) for vias, obj in self.namer.steps(path)]
        return ReferenceChain(chain.root, (*chain.links, *more), chain.cut)

    def write_unrooted(self, kind: RootKind, path: list[Any]) -> ReferenceChain:
        """Return the chain along objects that no root reaches: garbage, or held from outside Python."""
        words = RootKind.OUTSIDE.value + " (C code, or another thread's stack)"
        lead = [Link("", words, "")] if kind is RootKind.OUTSIDE else []
        return self._along(kind, [*lead, link("", path[0], self.paths)], path)[0]

    def _from_name(self, root: Root, name: str, path: list[Any]) -> list[ReferenceChain]:
        space, held = path[0], path[1]
        kind = self.book.kind_of(space, name)
        if kind is None:
            head = Link("", labels.root_label(root, self.paths), labels.root_type_name(root))
            return self._along(root.kind, [head, link(f".{name}", held, self.paths)], path[1:])
        if len(path) > 2:  # noqa: PLR2004 - the name's object holds something in turn
            output = self.book.output_label(space, name, held, path[2])
            if output is not None:
                head = Link("", output, instance_type_name(held))
                return self._along(kind, [head, link("", path[2], self.paths)], path[2:])
        head = Link("", self.book.label(space, name), instance_type_name(held))
        if type(held) is MethodType and len(path) > 3:  # noqa: PLR2004 - get_ipython, a method of the shell
            return self._along(kind, [head], path[2:])
        start = [head] if len(path) > 2 else [head, link("", held, self.paths)]  # noqa: PLR2004
        return self._along(kind, start, path[1:])

    def _along(self, kind: RootKind, start: list[Link], path: list[Any]) -> list[ReferenceChain]:
        """Continue the links ``start``, the last of which is ``path[0]``, to the end of the path."""
        if len(path) > 2 * _WINDOW:
            return [self._cut(kind, start, path)]
        steps = self.namer.steps(path)
        links = [*start, *(link(vias[0], obj, self.paths) for vias, obj in steps[:-1])]
        if not steps:
            return [_shortened(kind, links, 0)]
        ends = [link(via, steps[-1][1], self.paths) for via in steps[-1][0]]
        return [_shortened(kind, [*links, end], 0) for end in ends]

    def _cut(self, kind: RootKind, start: list[Link], path: list[Any]) -> ReferenceChain:
        """Name both ends of a long path; count what lies between them."""
        before = _WINDOW
        while before > 1 and _is_folded(path[before - 2], path[before - 1]):
            before -= 1  # the head must not end inside a step
        after = len(path) - _WINDOW
        while after < len(path) - 2 and _is_folded(path[after - 1], path[after]):
            after += 1  # the tail must not begin inside a step
        head = [link(vias[0], obj, self.paths) for vias, obj in self.namer.steps(path[:before])]
        tail = [link(vias[0], obj, self.paths) for vias, obj in self.namer.steps(path[after:])]
        between = path[before - 1 : after + 1]
        missing = sum(not _is_folded(a, b) for a, b in pairwise(between))
        return _shortened(kind, [*start, *head, *tail], missing, keep_tail=len(tail))


def _shortened(
    kind: RootKind, links: list[Link], missing: int, keep_tail: int = SHOWN_LINKS // 2
) -> ReferenceChain:
    """Leave out the middle, so that as many links stand before the gap as after it."""
    if len(links) <= SHOWN_LINKS and not missing:
        return ReferenceChain(kind, tuple(links))
    half = min(SHOWN_LINKS // 2, keep_tail, len(links) - keep_tail)
    left_out = len(links) - 2 * half
    return ReferenceChain(kind, (*links[:half], *links[-half:]), left_out + missing)


def _is_folded(holder: Any, obj: Any) -> bool:
    """Tell whether an object is only the way from its holder to something else, as far as cheap to tell."""
    if type(obj) is CellType:
        return True
    return type(obj) is dict and not labels.is_plain_container(holder) and has_namespace(holder)

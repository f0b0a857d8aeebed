"""All objects of a process and the references between them at one moment, as columns.

Node ``n`` refers to the nodes ``edges[starts[n]:starts[n + 1]]``, once for each reference, in the order in
which its type visits them. Objects are numbered, never kept: a graph outlives what it shows, and is the same
value after it was saved and loaded. What can be said in names (roots, the labels of important objects, how
one holds another) was read at capture, in short tables beside the columns.

The methods are conveniences: each calls the analysis that does it, late.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from memlab.records._result import Result
from memlab.records.chain import Explanation, RootKind
from memlab.records.columns import Bytes, Ints, Nodes, Words, check_lengths, frozen, no_ints, no_nodes
from memlab.records.sites import Site

if TYPE_CHECKING:
    from pandas import DataFrame

    from memlab.records.heap_results import (
        Freed,
        HeapCensus,
        HeapCycles,
        HeapDiff,
        HeapDuplicates,
        HeapOwners,
        HeapSuspects,
        HeapTree,
    )

__all__ = [
    "BORN",
    "BORN_UNKNOWN",
    "EXTERNAL",
    "IMMORTAL",
    "NO_NODE",
    "TRACKED",
    "Dominators",
    "HeapGraph",
]

NO_NODE = 0xFFFF_FFFF
"""Stands for no node: the immediate dominator of what no root reaches."""

# The bits of ``HeapGraph.flags``.
TRACKED = 1
"""The collector had it on its lists."""
EXTERNAL = 2
"""It has more references than were seen: something that is no object of this graph holds it."""
IMMORTAL = 4
"""The interpreter never frees it."""
BORN = 8
"""It was made after the mark that this capture was taken against."""
BORN_UNKNOWN = 16
"""The mark can not tell whether it was."""


@dataclasses.dataclass(frozen=True, slots=True)
class Dominators:
    """The dominator tree of a heap graph.

    Attributes:
        parent: shape ``(nodes,)``: the immediate dominator; ``nodes`` (one past the last) for what hangs from
            the virtual root above all roots; ``NO_NODE`` for what no root reaches.
        retained_bytes: shape ``(nodes,)``: shallow sizes of all that a node dominates, its own included. For
            what no root reaches, the node's own size.
    """

    parent: Nodes
    retained_bytes: Ints


@dataclasses.dataclass(frozen=True, eq=False)
class HeapGraph(Result):
    """What ``memlab.heap()`` gives back.

    Sizes are shallow sizes as ``sys.getsizeof`` has them, read without running a Python-level
    ``__sizeof__``; buffers that an object says it owns (of numpy, ``bytearray``) are in them. A static type
    is charged no collector's header, which it lacks and ``sys.getsizeof`` adds before Python 3.13. Where an
    instance's attributes lie outside it, 8 bytes for each are added, a lower bound that ``sys.getsizeof``
    leaves out. Not included: memory that no Python object knows of, the allocator's own waste, another
    interpreter's objects.

    Attributes:
        address: where each object lay, shape ``(nodes,)``. Reused as soon as an object is freed: equal
            addresses in two captures do not make it the same object.
        type_of: index into ``types``, shape ``(nodes,)``.
        size: shallow size in bytes, shape ``(nodes,)``; sizes of 4 GiB and more stand in ``huge_size``.
        flags: ``TRACKED``, ``EXTERNAL`` ... of each node, shape ``(nodes,)``.
        starts: shape ``(nodes + 1,)``, offsets into ``edges``.
        edges: the nodes referred to, shape ``(references,)``.
        huge_node, huge_size: the nodes of 4 GiB and more, with their true sizes.
        types: ``module.qualname`` of each type, and ``type_modules`` the module alone.
        root_node, root_kind, root_label: the named roots, best first; a node may have several. Nodes with
            the flag ``EXTERNAL`` or ``IMMORTAL`` are roots too, and have no name.
        label_node, label: nodes that have a name of their own (``module app.registry``, ``_live (set)``),
            in ascending order of node.
        via_holder, via_held, via: references whose name was read: ``.cache``, ``[3]``, ``local x``.
        owner_node, owner_module: nodes that belong to a module (its namespace, classes and functions), as
            indexes into ``modules``.
        twin_node, twin_count: for each group of equal strings or bytes, one of them and how many there are.
        user_name, user_node: the notebook's names (``x``, ``Out[3]``, ``_``) and what each holds.
        site_node, site_of: new objects whose allocation tracemalloc had seen, as indexes into ``sites``.
        engine: ``native`` (the C extension) or ``python`` (its twin).
        capture_id: a random name of this capture; ``mark_id`` is that of the older capture whose births the
            flags ``BORN`` tell, empty when there was no mark.
        frozen: objects in the collector's permanent generation; those that nothing else led to are missing.
        complete: False when a limit ended the capture: sizes, roots and retained sizes are then bounds.
    """

    kind: ClassVar[str] = "heap graph"

    address: Words
    type_of: Nodes
    size: Nodes
    flags: Bytes
    starts: Nodes
    edges: Nodes
    types: tuple[str, ...]
    type_modules: tuple[str, ...]
    huge_node: Nodes = dataclasses.field(default_factory=no_nodes)
    huge_size: Ints = dataclasses.field(default_factory=no_ints)
    root_node: Nodes = dataclasses.field(default_factory=no_nodes)
    root_kind: tuple[RootKind, ...] = ()
    root_label: tuple[str, ...] = ()
    label_node: Nodes = dataclasses.field(default_factory=no_nodes)
    label: tuple[str, ...] = ()
    via_holder: Nodes = dataclasses.field(default_factory=no_nodes)
    via_held: Nodes = dataclasses.field(default_factory=no_nodes)
    via: tuple[str, ...] = ()
    owner_node: Nodes = dataclasses.field(default_factory=no_nodes)
    owner_module: Nodes = dataclasses.field(default_factory=no_nodes)
    modules: tuple[str, ...] = ()
    twin_node: Nodes = dataclasses.field(default_factory=no_nodes)
    twin_count: Ints = dataclasses.field(default_factory=no_ints)
    user_name: tuple[str, ...] = ()
    user_node: Nodes = dataclasses.field(default_factory=no_nodes)
    site_node: Nodes = dataclasses.field(default_factory=no_nodes)
    site_of: Nodes = dataclasses.field(default_factory=no_nodes)
    sites: tuple[Site, ...] = ()
    engine: str = "native"
    python: str = ""
    capture_id: str = ""
    mark_id: str = ""
    frozen: int = 0
    complete: bool = True
    seconds: float = 0.0
    title: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = check_lengths(
            "heap nodes", address=self.address, type_of=self.type_of, size=self.size, flags=self.flags
        )
        if count >= NO_NODE - 1 or len(self.edges) > NO_NODE:
            raise ValueError("heap graph: more nodes or references than 32 bits can number")
        starts = self.starts
        if len(starts) != count + 1 or starts[0] != 0 or int(starts[-1]) != len(self.edges):
            raise ValueError("heap graph: starts must run from 0 to the number of references")
        if bool((starts[1:] < starts[:-1]).any()):
            raise ValueError("heap graph: starts must not decrease")
        _check_below("edges", self.edges, count)
        _check_below("type_of", self.type_of, len(self.types))
        for name in _NODE_COLUMNS:
            _check_below(name, getattr(self, name), count)
        _check_below("site_of", self.site_of, len(self.sites))
        _check_below("owner_module", self.owner_module, len(self.modules))
        for names in _TABLES:
            if len({len(getattr(self, name)) for name in names}) != 1:
                raise ValueError(f"heap graph: {', '.join(names)} are columns of one table, of equal length")
        if bool((self.label_node[1:] <= self.label_node[:-1]).any()):
            raise ValueError("heap graph: label_node must ascend")
        if bool((self.huge_node[1:] <= self.huge_node[:-1]).any()):
            raise ValueError("heap graph: huge_node must ascend")
        if bool((self.huge_size < 0).any()) or bool((self.twin_count < 0).any()):
            raise ValueError("heap graph: sizes and counts are never negative")

    # -- the columns, and what follows from them

    def __len__(self) -> int:
        return len(self.type_of)

    def __bool__(self) -> bool:
        return True

    @property
    def sizes(self) -> Ints:
        """Shallow sizes in bytes of all nodes, shape ``(nodes,)``; made anew each time (8 bytes a node)."""
        sizes = self.size.astype(np.int64)
        sizes[self.huge_node] = self.huge_size
        return frozen(sizes)

    def sizes_of(self, nodes: Any) -> Ints:
        """Return shallow sizes in bytes of some nodes, given as an array of numbers or as a mask."""
        nodes = np.asarray(nodes)
        nodes = np.flatnonzero(nodes) if nodes.dtype == np.bool_ else nodes
        sizes: Ints = self.size[nodes].astype(np.int64)
        if len(self.huge_node):
            at = np.searchsorted(self.huge_node, nodes)
            at = np.minimum(at, len(self.huge_node) - 1)
            huge = self.huge_node[at] == nodes
            sizes = np.where(huge, self.huge_size[at], sizes)
        return sizes

    @property
    def total_bytes(self) -> int:
        """Shallow sizes of all objects."""
        return int(self.size.sum(dtype=np.int64)) + int(
            self.huge_size.sum() - self.size[self.huge_node].sum(dtype=np.int64)
        )

    @functools.cached_property
    def roots(self) -> Nodes:
        """Every node that something outside the graph holds, named or not, ascending, shape ``(roots,)``."""
        held = (self.flags & (EXTERNAL | IMMORTAL)) != 0
        held[self.root_node] = True
        return frozen(np.flatnonzero(held).astype(np.uint32))

    @functools.cached_property
    def dominators(self) -> Dominators:
        """Immediate dominators and retained sizes, computed once and kept (12 bytes a node)."""
        from memlab.analyses.dominators import dominators

        return dominators(self)

    def type_name(self, node: int) -> str:
        """Return the full name of a node's type."""
        return self.types[int(self.type_of[node])]

    def name(self, node: int) -> str:
        """Return the label read at capture, else the type's short name."""
        from memlab.analyses.heap_names import node_name

        return node_name(self, node)

    def node(self, obj: object) -> int:
        """Return the number of a live object in this graph.

        Found by address and type, so ask only for an object that was alive at the capture and in the same
        process: an address is reused at once when an object is freed.

        Raises:
            UsageError: when no node has the object's address and type.
        """
        from memlab.analyses.heap_names import node_of

        return node_of(self, obj)

    # -- questions

    def census(self) -> HeapCensus:
        """Count objects by type, with shallow and retained sizes."""
        from memlab.analyses.heap_census import census

        return census(self)

    def dominator_tree(self, under: object = None, *, rows: int = 3_000) -> HeapTree:
        """Return the dominator tree from the top, greatest first, small siblings put together by type.

        Args:
            under: only what this object dominates: a live object, or a node's number as ``np.uint32``. So the
                tree opens further where a larger one was cut. Default: the whole heap.
            rows: at most so many; the result says what was put together and where it was cut.

        Raises:
            UsageError: when the graph has no such object.
        """
        from memlab.analyses.heap_tree import dominator_tree

        return dominator_tree(self, rows, under)

    def retained_size(self, target: object) -> int:
        """Return in bytes what would be freed if an object went, or all objects of a type.

        Args:
            target: a live object, a type, a type's full name, or a node's number as ``np.uint32``.

        Raises:
            UsageError: when the graph has no such object or type.
        """
        from memlab.analyses.heap_census import retained_size

        return retained_size(self, target)

    def top_retained(self, n: int = 20) -> DataFrame:
        """Return the objects that retain most, one a row (needs pandas)."""
        return self.query().head(n)

    def query(
        self,
        *,
        type: str | None = None,  # noqa: A002 - what a person would call it
        module: str | None = None,
        min_retained: int | str = 0,
        limit: int = 10_000,
    ) -> DataFrame:
        """Return objects as a table, greatest retained size first (needs pandas).

        Args:
            type: only those of this type: a full name, a short one, or a pattern with ``*``.
            module: only those that this module or a module below it owns (see ``by_module``).
            min_retained: only those that retain at least so many bytes; ``"1 MiB"`` is read too.
            limit: at most so many rows.

        Raises:
            UsageError: when a value can not be read.
        """
        from memlab.views.heap_frames import objects_frame

        return objects_frame(self, kind=type, module=module, min_retained=min_retained, limit=limit)

    def why(self, obj: object, *, chains: int = 3) -> Explanation:
        """Return the shortest named chains of references from roots to an object, best root first.

        Args:
            obj: a live object, or a node's number as ``np.uint32``.
            chains: at most so many, through different holders.

        Raises:
            UsageError: when the graph has no such object.
        """
        from memlab.analyses.heap_paths import explain

        return explain(self, obj, chains)

    def cycles(self) -> HeapCycles:
        """Return what no root reaches: cycles that only the collector can free."""
        from memlab.analyses.heap_cycles import cycles

        return cycles(self)

    def duplicates(self) -> HeapDuplicates:
        """Return equal strings and bytes, greatest waste first. Their text is not in the graph."""
        from memlab.analyses.heap_census import duplicates

        return duplicates(self)

    def suspects(self, *, share: float = 0.1) -> HeapSuspects:
        """Return accumulation points: where the heap's weight lies, each with a sentence.

        Args:
            share: least part of the heap that one must retain.
        """
        from memlab.analyses.heap_suspects import suspects

        return suspects(self, share)

    def by_module(self) -> HeapOwners:
        """Return how much each module retains: what its namespace, classes and functions dominate."""
        from memlab.analyses.heap_census import owners

        return owners(self, "module")

    def by_package(self) -> HeapOwners:
        """Return how much each package retains: its modules together."""
        from memlab.analyses.heap_census import owners

        return owners(self, "package")

    def what_if(self, *cut: object, references: Sequence[tuple[object, object]] = ()) -> Freed:
        """Return what would be freed if objects or references went.

        Exact, not an estimate: every other way to an object is followed. Several cuts are made together, so
        an object that two places hold goes when both are cut.

        Args:
            cut: objects, live or as node numbers (``np.uint32``).
            references: pairs ``(holder, held)`` of these; all references of the one to the other are cut.

        Raises:
            UsageError: when nothing is cut, or the graph has no such object or no such reference.
        """
        from memlab.analyses.heap_cut import what_if

        return what_if(self, cut, references)

    def diff(self, older: HeapGraph) -> HeapDiff:
        """Return what grew since ``older``, and which container holds the growth.

        With birth marks (``memlab.heap_window``) new objects are told exactly. Without, types and named
        containers are compared, never objects: an address says nothing about identity.

        Raises:
            UsageError: when ``older`` is no heap graph.
        """
        from memlab.analyses.heap_diff import diff_heaps

        return diff_heaps(self, older)


_NODE_COLUMNS = (
    *("root_node", "label_node", "via_holder", "via_held", "owner_node"),
    *("twin_node", "site_node", "huge_node", "user_node"),
)
_TABLES = (
    ("types", "type_modules"),
    ("root_node", "root_kind", "root_label"),
    ("label_node", "label"),
    ("via_holder", "via_held", "via"),
    ("owner_node", "owner_module"),
    ("twin_node", "twin_count"),
    ("user_node", "user_name"),
    ("site_node", "site_of"),
    ("huge_node", "huge_size"),
)


def _check_below(name: str, column: Nodes, limit: int) -> None:
    if len(column) and int(column.max()) >= limit:
        raise ValueError(f"heap graph: {name} points outside its table")

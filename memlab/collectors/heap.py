"""Take the heap: tracked objects, what roots hold, and the names that only the live process knows.

The list of tracked objects comes first, before anything of memlab's own is made. It is held until the names
of the few nodes that will be shown were read (``Taken.name``); after that nothing refers to any object. What
frames, threads and modules hold becomes named roots. What else has more references than the graph shows is
held by something that is no object, and a root without a name.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import platform
import sys
import time
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from memlab._base.safety import class_dict, mro_of, type_name
from memlab.collectors import heap_engine
from memlab.collectors.edges import own_namespace
from memlab.collectors.frames import running_frames
from memlab.collectors.heap_births import BirthMarks
from memlab.collectors.heap_engine import Order, Raw
from memlab.collectors.heap_names import HeapNamer, owner_module
from memlab.collectors.labels import root_label
from memlab.collectors.notebook import Bookkeeping
from memlab.collectors.roots import Caller, durable_roots, running_roots
from memlab.collectors.tracing import object_site
from memlab.records.chain import RootKind
from memlab.records.columns import frozen
from memlab.records.heap_graph import BORN, NO_NODE, HeapGraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab._base.paths import PathLabels
    from memlab.collectors.tracing import Frames
    from memlab.records.columns import Ints, Nodes

__all__ = ["Taken", "take_heap"]

_FROZEN_AT_START = 1_000 if sys.version_info[:2] == (3, 12) else 0
_TRACES_READ = 20_000
_BUCKET_BITS = 21  # 16 MiB of counts
_POINTER = (sys.maxsize.bit_length() + 1) // 8
_MANAGED = 1 << 4  # Py_TPFLAGS_MANAGED_DICT
_HEAP_TYPE = 1 << 9
_type_flags = class_dict(type)["__flags__"].__get__
_basic_size = class_dict(type)["__basicsize__"].__get__
_SHELL_NAMES = ("In", "_ih", "_dh", "exit", "quit", "open")


@dataclasses.dataclass(slots=True)
class Taken:
    """A capture whose objects are still held, so that they can be named. Drop it as soon as that is done.

    Attributes:
        graph: the columns, roots and owners; no names yet.
        objects: the tracked objects: node ``n`` is ``objects[n]`` for every ``n`` below their number.
        namespaces: ids of dictionaries whose keys are names.
    """

    graph: HeapGraph
    objects: list[Any]
    namespaces: set[int]

    def name(
        self,
        nodes: Nodes,
        forest: Nodes,
        paths: PathLabels,
        *,
        reveal_keys: bool,
        seconds: float,
    ) -> HeapGraph:
        """Return the graph with labels for these nodes and names for the references that lead to them.

        Args:
            nodes: what will be shown.
            forest: for each node, its holder on the shortest way from a root; a root's is itself.
            paths: labels of code files.
            reveal_keys: show mapping keys that are plain strings or integers.
            seconds: stop naming after so long.
        """
        graph = self.graph
        namer = HeapNamer(paths, self.namespaces, reveal_keys=reveal_keys, seconds=seconds)
        address = graph.address
        found: dict[tuple[int, int], str] = {}
        ways = [pair for pair in _by_holder(nodes, forest).items() if pair[0] < len(self.objects)]
        # Dictionaries and tuples last: their owners tell which of them are namespaces and closures.
        ways.sort(key=lambda pair: issubclass(type(self.objects[pair[0]]), (dict, tuple)))
        for holder, held in ways:
            wanted = {int(address[node]): node for node in held}
            for place, via in namer.vias(self.objects[holder], set(wanted)).items():
                found[holder, wanted[place]] = via
        shown = {int(node) for node in nodes} | {node for pair in found for node in pair}
        named = {node: "" for node in sorted(shown) if node < len(self.objects)}
        to = {held_node: via for (_, held_node), via in found.items()}
        for (holder, held_node), via in found.items():
            if held_node in named:
                # What a closure holds is known by the variable's name, not by its cell's.
                closed = via == ".cell_contents" and to.get(holder, "").startswith("closure ")
                named[held_node] = f".{to[holder].removeprefix('closure ')}" if closed else via
        pairs = sorted(found)
        return dataclasses.replace(
            graph,
            label_node=_column(list(named)),
            label=tuple(namer.label(self.objects[node], via) for node, via in named.items()),
            via_holder=_column([holder for holder, _ in pairs]),
            via_held=_column([held_node for _, held_node in pairs]),
            via=tuple(found[pair] for pair in pairs),
        )

    def sites(self) -> dict[int, Frames]:
        """Return where new objects were allocated; empty when tracemalloc is not running."""
        born = np.flatnonzero(self.graph.flags[: len(self.objects)] & BORN)
        if len(born) > _TRACES_READ:
            born = born[np.linspace(0, len(born) - 1, _TRACES_READ).astype(np.int64)]
        found = {}
        for node in born.tolist():
            frames = object_site(self.objects[node])
            if frames is not None:
                found[node] = frames
        return found


def take_heap(
    *,
    limit: int,
    seconds: float = 0.0,
    title: str = "",
    paths: PathLabels,
    marks: BirthMarks | None = None,
    mark_id: str = "",
    skip: Sequence[Any] = (),
    budget_bytes: int = 0,
) -> Taken:
    """Capture all objects and references of this process.

    Args:
        limit: at most so many objects.
        seconds: stop after so long; 0 for never.
        title: the user's name for it.
        paths: labels of code files.
        marks: birth marks begun earlier; they serve this capture only.
        mark_id: the capture that the marks were begun with.
        skip: objects that shall not be in the graph.
        budget_bytes: see ``Order``.

    Raises:
        UnavailableError: on a free-threaded interpreter while other threads run.
    """
    heap_engine.check_threads()
    began = time.perf_counter()
    # No comprehension and no lambda in this function: a variable that one shares lies in a cell, which is on
    # the collector's list before this function's first line, and leads to all that comes after.
    objects = (marks.before_capture() if marks is not None else None) or gc.get_objects()
    ours = [*skip, paths, *_insides(paths)]
    if marks is not None:
        ours += [marks, *_insides(marks)]
    roots = _roots(paths)
    raw = heap_engine.capture(Order(objects, roots.seeds(), ours, limit, seconds, budget_bytes))
    graph = _graph(raw, objects, roots, marks)
    graph = dataclasses.replace(
        graph,
        mark_id=mark_id if marks is not None and marks.means else "",
        seconds=time.perf_counter() - began,
        title=title,
    )
    taken = min(len(objects), len(graph))
    return Taken(graph, objects[:taken] if taken < len(objects) else objects, roots.namespaces)


def _with_attributes(raw: Raw) -> Nodes:
    """Add 8 bytes for each attribute that lies outside its instance, which no type counts.

    Instances of plain classes keep their attributes in an array of values until something asks for their
    dictionary. Its length is taken from their references, less those to the type and to slots: a lower bound.
    """
    slots = np.array([_slots_of(kind) for kind in raw.types], np.int64)
    nodes = np.flatnonzero(slots[raw.type_of] >= 0) if len(slots) else np.zeros(0, np.int64)
    if not len(nodes):
        return raw.size
    held = raw.starts[nodes + 1].astype(np.int64) - raw.starts[nodes] - 1 - slots[raw.type_of[nodes]]
    size = raw.size.copy()
    # A single one may be the dictionary itself.
    size[nodes] += (_POINTER * np.where(held > 1, held, 0)).astype(np.uint32)
    return frozen(size)


def _slots_of(kind: type) -> int:
    """Return how many pointers a plain class keeps in its instances; -1 for any other type."""
    flags, size = _type_flags(kind), _basic_size(kind)
    if not flags & _MANAGED or any(not _type_flags(base) & _HEAP_TYPE for base in mro_of(kind)[:-1]):
        return -1  # a list's items are references too
    return int(size - _basic_size(object)) // _POINTER


def _insides(obj: Any) -> list[Any]:
    """Return an instance's dictionary and the values in it, for objects of our own."""
    space = vars(obj) if hasattr(obj, "__dict__") else {}
    return [space, *space.values()]


def _graph(raw: Raw, objects: list[Any], roots: _Roots, marks: BirthMarks | None) -> HeapGraph:
    """Put the columns, the roots and the tables together."""
    # Without marks of its own, a capture inside somebody else's window shows none.
    flags = (marks if marks is not None else BirthMarks()).flag(raw)
    owner_node, owner_at, modules = _owners(raw, objects, min(len(objects), len(raw.address)))
    root_node = raw.seed_node[: len(roots.labels)]
    user_node = raw.seed_node[len(roots.labels) :]
    for node, module in _module_dicts(roots, root_node):
        owner_at.append(modules.setdefault(module, len(modules)))
        owner_node.append(node)
    kept_roots = np.flatnonzero(root_node != NO_NODE)
    kept_user = np.flatnonzero(user_node != NO_NODE)
    twin_node, twin_count = _twins(raw)
    return HeapGraph(
        address=raw.address,
        type_of=raw.type_of,
        size=_with_attributes(raw),
        flags=frozen(flags),
        starts=raw.starts,
        edges=raw.edges,
        types=tuple(map(type_name, raw.types)),
        type_modules=tuple(owner_module(kind) or "" for kind in raw.types),
        huge_node=_column([node for node, _ in raw.huge]),
        huge_size=frozen(np.array([size for _, size in raw.huge], np.int64)),
        root_node=frozen(root_node[kept_roots].copy()),
        root_kind=tuple(roots.kinds[at] for at in kept_roots.tolist()),
        root_label=tuple(roots.labels[at] for at in kept_roots.tolist()),
        owner_node=_column(owner_node),
        owner_module=_column(owner_at),
        modules=tuple(modules),
        twin_node=twin_node,
        twin_count=twin_count,
        user_name=tuple(roots.names[at] for at in kept_user.tolist()),
        user_node=frozen(user_node[kept_user].copy()),
        engine="python" if heap_engine.native is None else "native",
        python=platform.python_version(),
        capture_id=os.urandom(8).hex(),
        frozen=_frozen_objects(),
        complete=raw.complete,
        notes=_notes(raw, marks),
    )


@dataclasses.dataclass(slots=True)
class _Roots:
    """What roots hold, with kinds and labels, and what the notebook's names hold."""

    held: list[Any]
    kinds: list[RootKind]
    labels: list[str]
    namespaces: set[int]
    names: list[str]

    def seeds(self) -> list[Any]:
        """Give away the only list of them: a reference of ours would count as one from outside."""
        seeds, self.held = self.held, []
        return seeds


def _roots(paths: PathLabels) -> _Roots:
    """Return every root that has a name: what lasts, what runs, and what the notebook keeps for itself."""
    found = durable_roots()
    found += running_roots(running_frames(), Caller(None), None, ())
    book = Bookkeeping()
    roots = _Roots([], [], [], set(), [])
    for root in found:
        roots.held.append(root.held)
        roots.kinds.append(root.kind)
        roots.labels.append(root_label(root, paths))
        if root.namespace:
            roots.namespaces.add(id(root.held))
    for label, namespace in _notebook_spaces(book):
        roots.held.append(namespace)
        roots.kinds.append(RootKind.NOTEBOOK)
        roots.labels.append(label)
        roots.namespaces.add(id(namespace))
    for name, value in _user_names(book):
        roots.held.append(value)
        roots.names.append(name)
    return roots


def _notebook_spaces(book: Bookkeeping) -> list[tuple[str, Any]]:
    """Return the dictionaries in which a notebook keeps values: its variables, Out, and the hidden ones."""
    if not book.notebook or book.main is None:
        return []
    spaces: list[tuple[str, Any]] = [("the notebook's variables", book.main)]
    if book.outputs is not None:
        spaces.append(("Out", book.outputs))
    getter = book.main.get("get_ipython")
    shell = getter.__self__ if type(getter) is MethodType else None
    space = own_namespace(shell) if shell is not None else None
    hidden = space.get("user_ns_hidden") if type(space) is dict else None
    if type(hidden) is dict:
        spaces.append(("the shell's hidden names", hidden))
    return spaces


def _user_names(book: Bookkeeping) -> list[tuple[str, Any]]:
    """Return the notebook's names and what they hold: variables, outputs, the last results and exception.

    Imported modules are left out: another name for one frees nothing.
    """
    if not book.notebook or book.main is None:
        return []
    found = [
        (name, value)
        for name, value in list(book.main.items())
        if type(name) is str
        and name not in _SHELL_NAMES
        and not name.startswith(("_i", "__"))
        and name not in ("Out", "_oh", "get_ipython")
        and not issubclass(type(value), ModuleType)
    ]
    found += [(name, book.main[name]) for name in ("__", "___") if name in book.main]
    for number, value in list((book.outputs or {}).items()):
        if type(number) is int:
            found.append((f"Out[{number}]", value))
    for name in ("last_value", "last_exc", "last_traceback"):
        if name in (book.sys or {}):
            found.append((f"sys.{name}", book.sys[name]))
    return [pair for pair in found if pair[1] is not None]


def _module_dicts(roots: _Roots, root_node: Any) -> list[tuple[int, str]]:
    """Return the namespaces of modules as nodes, with the module's name."""
    nodes = root_node.tolist()
    return [
        (node, label.removeprefix("module "))
        for node, label, kind in zip(nodes, roots.labels, roots.kinds, strict=True)
        if kind is RootKind.MODULE and node != NO_NODE
    ]


def _owners(raw: Raw, objects: list[Any], taken: int) -> tuple[list[int], list[int], dict[str, int]]:
    """Return which functions and classes belong to which module."""
    wanted = [at for at, kind in enumerate(raw.types) if kind is FunctionType or issubclass(kind, type)]
    nodes = np.flatnonzero(np.isin(raw.type_of[:taken], np.array(wanted, np.uint32)))
    owner_node: list[int] = []
    owner_at: list[int] = []
    modules: dict[str, int] = {}
    for node in nodes.tolist():
        name = owner_module(objects[node])
        if name:
            owner_node.append(node)
            owner_at.append(modules.setdefault(name, len(modules)))
    return owner_node, owner_at, modules


def _twins(raw: Raw) -> tuple[Nodes, Ints]:
    """Group equal strings and bytes, by type, size and a 64-bit hash of the content."""
    nodes, hashes = raw.text_node, raw.hashes
    if not len(nodes):
        return _column([]), frozen(np.zeros(0, np.int64))
    # One number for the three; hashes of equal content are equal, so a product of odd numbers keeps that.
    keys = hashes.view(np.uint64) ^ (raw.size[nodes].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    keys = keys + raw.type_of[nodes].astype(np.uint64)
    # What shares its upper bits with nothing is equal to nothing, and need not be sorted.
    bits = min(len(nodes).bit_length() + 2, _BUCKET_BITS)
    bucket = (keys >> np.uint64(64 - bits)).astype(np.int64)
    crowded = np.bincount(bucket, minlength=1 << bits)[bucket] > 1
    nodes, keys = nodes[crowded], keys[crowded]
    if not len(nodes):
        return _column([]), frozen(np.zeros(0, np.int64))
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    counts = np.diff(np.concatenate([begins, [len(ranked)]]))
    several = counts > 1
    return frozen(nodes[order[begins[several]]].copy()), frozen(counts[several].astype(np.int64))


def _by_holder(nodes: Nodes, forest: Nodes) -> dict[int, list[int]]:
    """Return the references on the ways from roots to the nodes: holder -> held nodes."""
    found: dict[int, list[int]] = {}
    met: set[int] = set()
    for start in nodes.tolist():
        node = start
        while node not in met:
            met.add(node)
            holder = int(forest[node])
            if holder in (node, NO_NODE):
                break
            found.setdefault(holder, []).append(node)
            node = holder
    return found


def _frozen_objects() -> int:
    frozen_now = gc.get_freeze_count()
    return frozen_now if frozen_now > _FROZEN_AT_START else 0


def _notes(raw: Raw, marks: BirthMarks | None) -> tuple[str, ...]:
    notes = heap_engine.doubts()
    if not raw.complete:
        notes.append(
            "A limit ended the capture: what was not reached is missing, and what it alone holds counts as "
            "held from outside."
        )
    if _frozen_objects():
        notes.append(
            f"{_frozen_objects():,} objects are frozen (gc.freeze): those that no other object leads to are "
            "missing."
        )
    if marks is not None and marks.absent:
        notes.append(f"No birth marks: {marks.absent}. Types and places are compared, not objects.")
    if marks is not None and marks.means == "freeze":
        notes.append(
            "Births were told by gc.freeze: of an object that the collector does not track it is known only "
            "where all its holders are new."
        )
    return tuple(notes)


def _column(values: list[int]) -> Nodes:
    return frozen(np.array(values, dtype=np.uint32))

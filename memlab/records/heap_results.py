"""What is said of a heap graph: small tables that can be shown, saved and compared on their own."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from memlab.records._result import Result
from memlab.records.chain import ReferenceChain
from memlab.records.columns import Ints, check_lengths
from memlab.records.sites import Site

__all__ = [
    "ContainerDiff",
    "Cycle",
    "DuplicateGroup",
    "Freed",
    "HeapCensus",
    "HeapCycles",
    "HeapDiff",
    "HeapDuplicates",
    "HeapHoldings",
    "HeapOwners",
    "HeapSuspect",
    "HeapSuspects",
    "HeapTree",
    "Holding",
    "TypeCount",
    "TypeDiff",
]


@dataclasses.dataclass(frozen=True, slots=True)
class TypeCount:
    """Objects of one type; sizes in bytes."""

    type_name: str
    objects: int
    shallow_bytes: int
    retained_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HeapCensus(Result):
    """Objects by type, greatest shallow size first.

    Attributes:
        types: name of each type.
        objects: how many, shape ``(types,)``.
        shallow_bytes: their own sizes together, shape ``(types,)``.
        retained_bytes: what those objects of the type retain that no other one dominates, shape ``(types,)``:
            at most what would be freed if all of them went, which ``retained_size(type)`` tells exactly.
            These overlap: they do not add up to the heap.
        total_objects, total_bytes: of the whole heap.
    """

    kind: ClassVar[str] = "heap census"

    types: tuple[str, ...]
    objects: Ints
    shallow_bytes: Ints
    retained_bytes: Ints
    total_objects: int = 0
    total_bytes: int = 0
    complete: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = check_lengths(
            "census", objects=self.objects, shallow=self.shallow_bytes, retained=self.retained_bytes
        )
        if count != len(self.types):
            raise ValueError("census: one row for each type")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HeapTree(Result):
    """The upper part of a dominator tree, one row an object or a group of siblings of one type.

    Row 0 is the whole heap, or the object that was asked about. Rows come parent first; children of one
    parent by retained size.

    Attributes:
        parent: row of the immediate dominator, shape ``(rows,)``; -1 for row 0.
        node: the object's number in the graph; -1 for a group and for the whole heap.
        objects: objects in the row itself: 1, or the size of the group.
        shallow_bytes: of the row's own objects.
        retained_bytes: shallow sizes of all that they dominate, their own included.
        children: how many objects the row's objects dominate directly; more than are listed where cut.
        label: what it is, in words; a group's is its type's short name.
        type_name: full type name.
        via: how the nearest holder holds it (``.cache``, ``[3]``), empty where that is not known.
        total_objects, total_bytes: of the whole heap.
        cut: in a sentence, what was put together or left out; empty for nothing.
    """

    kind: ClassVar[str] = "heap tree"

    parent: Ints
    node: Ints
    objects: Ints
    shallow_bytes: Ints
    retained_bytes: Ints
    children: Ints
    label: tuple[str, ...]
    type_name: tuple[str, ...]
    via: tuple[str, ...]
    total_objects: int = 0
    total_bytes: int = 0
    cut: str = ""
    complete: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = check_lengths(
            "heap tree",
            parent=self.parent,
            node=self.node,
            objects=self.objects,
            shallow=self.shallow_bytes,
            retained=self.retained_bytes,
            children=self.children,
        )
        if not count == len(self.label) == len(self.type_name) == len(self.via):
            raise ValueError("heap tree: one label, type and via for each row")
        if count and (int(self.parent[0]) != -1 or any(not 0 <= p < i for i, p in self._others())):
            raise ValueError("heap tree: a row's parent stands above it")

    def _others(self) -> list[tuple[int, int]]:
        return list(enumerate(self.parent.tolist()))[1:]


@dataclasses.dataclass(frozen=True, slots=True)
class HeapSuspect:
    """An accumulation point: one object, or many of one type under one holder, that keeps much of the heap.

    Attributes:
        label: what it is, in words; ``type_name`` its full type.
        node: the accumulation point's number in the graph; -1 when it is no single object.
        retained_bytes: what would be freed if it went; ``share`` is that of the whole heap (0 to 1).
        prose: the finding in one or two sentences.
        chain: the shortest named chain from a root to it; None when no root was found.
        contents: what it keeps, by type, greatest first.
        objects: how many objects it retains.
    """

    label: str
    type_name: str
    node: int
    retained_bytes: int
    share: float
    prose: str
    chain: ReferenceChain | None = None
    contents: tuple[TypeCount, ...] = ()
    objects: int = 0


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HeapSuspects(Result):
    """Accumulation points, greatest first; empty when no place keeps so much."""

    kind: ClassVar[str] = "heap suspects"

    suspects: tuple[HeapSuspect, ...]
    total_bytes: int = 0
    complete: bool = True
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Cycle:
    """Objects that refer to each other and that no root reaches, with what hangs from them alone.

    Attributes:
        objects, shallow_bytes: of the cycle itself and all that only it keeps.
        types: the types on the cycle, in the order of its references, at most a dozen.
        contents: all objects that would be freed with it, by type.
    """

    objects: int
    shallow_bytes: int
    types: tuple[str, ...]
    contents: tuple[TypeCount, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HeapCycles(Result):
    """What only the collector can free, greatest first; equal shapes put together.

    Attributes:
        cycles: one of each shape, greatest total first, and ``counts`` how many of that shape there are.
        objects, shallow_bytes: all that no root reaches.
    """

    kind: ClassVar[str] = "heap cycles"

    cycles: tuple[Cycle, ...]
    counts: tuple[int, ...]
    objects: int = 0
    shallow_bytes: int = 0
    complete: bool = True
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Equal strings or bytes: how many, the size of one, and what one would save by sharing it.

    Attributes:
        holder: what holds one of them, in words.
    """

    type_name: str
    objects: int
    size_bytes: int
    wasted_bytes: int
    holder: str = ""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HeapDuplicates(Result):
    """Groups of equal strings and bytes, greatest waste first, and the waste of all."""

    kind: ClassVar[str] = "heap duplicates"

    groups: tuple[DuplicateGroup, ...]
    wasted_bytes: int = 0
    complete: bool = True
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HeapOwners(Result):
    """What modules or packages retain.

    An object belongs to the module whose namespace, class or function dominates it nearest. What several
    share stands under ``(shared)``, what running functions hold under ``(running)``, what no root reaches
    under ``(garbage)``.

    Attributes:
        by: ``module`` or ``package``.
        owners: names, greatest first; ``objects`` and ``shallow_bytes`` have one entry for each.
    """

    kind: ClassVar[str] = "heap owners"

    by: str
    owners: tuple[str, ...]
    objects: Ints
    shallow_bytes: Ints
    complete: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = check_lengths("heap owners", objects=self.objects, shallow=self.shallow_bytes)
        if count != len(self.owners):
            raise ValueError("heap owners: one row for each owner")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Freed(Result):
    """What would be freed by a cut.

    Attributes:
        objects, freed_bytes: all that no root would reach any more.
        cut: what was cut, in words.
        contents: the freed objects by type, greatest first.
        still_held: chains that keep the cut object alive all the same; empty when it goes.
    """

    kind: ClassVar[str] = "freed"

    objects: int
    freed_bytes: int
    cut: tuple[str, ...]
    contents: tuple[TypeCount, ...] = ()
    still_held: tuple[ReferenceChain, ...] = ()
    complete: bool = True
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class TypeDiff:
    """One type in two captures; ``objects`` and ``shallow_bytes`` are those of the newer one.

    Attributes:
        born: objects made in between and alive at the end, told by birth marks; None without marks.
    """

    type_name: str
    objects: int
    objects_diff: int
    shallow_bytes: int
    bytes_diff: int
    born: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ContainerDiff:
    """A place that retains growth.

    Attributes:
        name: the container in words, ``type_name`` its type.
        entries: references out of it now, ``entries_diff`` more than before.
        retained_diff: growth in bytes of what it retains: new objects alone where there are birth marks.
        objects: how many new objects it retains (with marks), else the growth in objects retained.
        contents: what the growth is made of, by type.
        chain: from a root to the container.
        sites: the lines that allocated the growth, where tracemalloc was running; greatest first.
    """

    name: str
    type_name: str
    entries: int
    entries_diff: int
    retained_diff: int
    objects: int
    contents: tuple[TypeCount, ...] = ()
    chain: ReferenceChain | None = None
    sites: tuple[Site, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HeapDiff(Result):
    """What changed between two captures.

    Attributes:
        types: types whose count or size changed, greatest growth in bytes first.
        containers: who retains the growth, greatest first.
        exact: True when birth marks told the new objects.
        objects_diff, bytes_diff: of the whole heap.
        born_objects, born_bytes: made in between and alive at the end; None without marks.
    """

    kind: ClassVar[str] = "heap diff"

    types: tuple[TypeDiff, ...]
    containers: tuple[ContainerDiff, ...]
    exact: bool
    objects_diff: int
    bytes_diff: int
    born_objects: int | None = None
    born_bytes: int | None = None
    complete: bool = True
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Holding:
    """What a name of the notebook holds.

    Attributes:
        names: every name of the same object: ``x``, ``Out[3]``, ``_``.
        kind: ``variable``, ``output``, ``last result``, ``last exception`` or ``hidden``.
        retained_bytes: what would be freed if all these names went.
        release: what frees it, as a statement to run; empty where it is a plain variable's ``del``.
    """

    names: tuple[str, ...]
    kind: str
    type_name: str
    retained_bytes: int
    objects: int
    shallow_bytes: int = 0
    release: str = ""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class HeapHoldings(Result):
    """What the notebook holds by name, greatest first."""

    kind: ClassVar[str] = "holdings"

    holdings: tuple[Holding, ...]
    total_bytes: int = 0
    seconds: float = 0.0
    complete: bool = True
    notes: tuple[str, ...] = ()

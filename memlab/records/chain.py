"""Who holds an object: a chain of named references from a root to it."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from memlab.records._result import Result

__all__ = ["Explanation", "Link", "ReferenceChain", "RootKind"]


class RootKind(enum.StrEnum):
    """What a reference chain starts from."""

    MODULE = "module"
    FRAME = "frame"
    NOTEBOOK = "notebook"
    LAST_EXCEPTION = "last exception"
    THREAD = "thread"
    TYPE = "type"
    OUTSIDE = "held outside Python"
    GARBAGE = "waits for the collector"


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """One step of a chain.

    Attributes:
        via: how the link before holds this object: ``.name`` for an attribute or a global, ``[3]`` for an
            index, ``[value]`` and ``[key]`` for a mapping's entry whose key is not shown, ``local x``,
            ``cell x``; empty at the root.
        label: what the object is: ``module app.registry``, ``_live (set)``, ``Session``. Never a repr.
        type_name: the object's type with its module.
    """

    via: str
    label: str
    type_name: str

    def __str__(self) -> str:
        name = self.via.removeprefix(".").removeprefix("closure ")
        if name and self.label.startswith(f"{name} ("):
            return self.via + self.label[len(name) :]
        return f"{self.via} {self.label}".strip()


@dataclasses.dataclass(frozen=True, slots=True)
class ReferenceChain:
    """Named references from a root (first) to the object (last)."""

    root: RootKind
    links: tuple[Link, ...]
    cut: int = 0
    """How many links in the middle were left out for length (0: none)."""

    def __str__(self) -> str:
        parts = [str(link) for link in self.links]
        if self.cut:
            middle = len(parts) // 2
            parts.insert(middle, f"… {self.cut:,} more …")
        return " -> ".join(parts)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Explanation(Result):
    """What ``memlab.why(obj)`` gives back.

    Attributes:
        type_name: the object's type with its module.
        chains: at most as many as were asked for, shortest first. Empty when only the caller holds it.
        refcount: references to the object, those of the search left out; None where the interpreter keeps
            no count (immortal objects).
        holders: how many of those references were seen in some Python object.
        verdict: one sentence in prose.
        searched: objects looked at. ``complete`` is False when a limit ended the search.
    """

    kind: ClassVar[str] = "explanation"

    type_name: str
    chains: tuple[ReferenceChain, ...]
    verdict: str
    refcount: int | None = None
    holders: int = 0
    searched: int = 0
    complete: bool = True
    notes: tuple[str, ...] = ()

"""From what a search saw to the sentences that a person reads."""

from __future__ import annotations

import dataclasses
import gc
from typing import TYPE_CHECKING, Any

from memlab._base.safety import instance_type_name, short_name
from memlab._base.units import format_count
from memlab.collectors.islands import IMMORTAL
from memlab.collectors.notebook import listed, notebook_remedy
from memlab.records.chain import Explanation, ReferenceChain, RootKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memlab.collectors.islands import Finding

__all__ = ["Evidence", "immortal_verdict", "summarise"]

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
# Python 3.12 itself freezes a few hundred objects when it starts.
_FROZEN_AT_START = 1000
_SMALL_INTS = range(-5, 257)
_LAST_EXCEPTION = (
    "The last exception that was not caught keeps the frames it went through: the next one replaces it, "
    "and so does `del sys.last_value, sys.last_traceback` (and sys.last_exc since Python 3.12)."
)


@dataclasses.dataclass(slots=True, eq=False)
class Evidence:
    """What a search saw. Lives only as long as the search.

    Attributes:
        variables: the caller's own that hold the object.
        seen: references to the object that were seen, the caller's included.
    """

    type_name: str
    refcount: int
    variables: tuple[str, ...]
    seen: int
    searched: int
    complete: bool
    finding: Finding | None = None


def immortal_verdict(obj: Any, refcount: int) -> str | None:
    """Say of an object which the interpreter shares and never frees that it is one."""
    name = short_name(instance_type_name(obj))
    if issubclass(type(obj), type) and not type.__dict__["__flags__"].__get__(obj) & _HEAP_TYPE:
        return "It is a type written in C: it lives as long as the interpreter, whoever refers to it."
    if refcount >= IMMORTAL or _is_shared(obj):
        return (
            f"It is an object that the whole interpreter shares and never frees ({name}): "
            "references to it keep nothing alive, so there is nothing to explain."
        )
    return None


def summarise(evidence: Evidence, chains: Sequence[ReferenceChain], most: int) -> Explanation:
    """Choose the chains to be shown and put what was seen into words."""
    distinct = sorted(dict.fromkeys(chains), key=_length)
    alone = evidence.finding is not None and evidence.finding.of_itself and bool(evidence.variables)
    shown = () if alone else _chosen(distinct, most)
    verdict = _verdict(evidence, distinct)
    return Explanation(
        type_name=evidence.type_name,
        chains=tuple(shown),
        verdict=verdict,
        refcount=evidence.refcount,
        holders=min(evidence.seen, evidence.refcount),
        searched=evidence.searched,
        complete=evidence.complete,
        notes=tuple(note for note in _notes(evidence, distinct) if note not in verdict),
    )


def _length(chain: ReferenceChain) -> tuple[int, bool]:
    # Of a cell's several names, Out[3] is the one that people know.
    return len(chain.links) + chain.cut, not chain.links[0].label.startswith("Out[")


def _chosen(chains: Sequence[ReferenceChain], most: int) -> list[ReferenceChain]:
    """Keep the shortest, yet not only the notebook's where the program's own hold the object as well."""
    shown = list(chains[:most])
    own = next((c for c in chains if c.root is not RootKind.NOTEBOOK), None)
    if own is not None and own not in shown and most > 1:
        shown[-1] = own
    return shown


def _verdict(evidence: Evidence, chains: Sequence[ReferenceChain]) -> str:
    yours = _yours(evidence.variables)
    if evidence.finding is not None:
        return _unrooted(evidence, evidence.finding, yours)
    if not chains:
        also = f"No holder but {yours}" if yours else "No holder"
        return (
            f"{also} was found among the first {format_count(evidence.searched)} objects, where the search "
            "ended: raise max_objects to see further."
        )
    also = f" {yours[:1].upper()}{yours[1:]} {_verb(evidence.variables)} it too." if yours else ""
    own = [chain for chain in chains if chain.root is not RootKind.NOTEBOOK]
    if not own:
        remedy = notebook_remedy(chains, evidence.variables)
        return f"Only the notebook's own records hold it. {remedy}{also}"
    return f"{_held_by(own[0])}{also}"


def _held_by(chain: ReferenceChain) -> str:
    root, holder, last = chain.links[0].label, chain.links[-2], chain.links[-1]
    how = f" at {last.via}" if last.via.startswith("[") else f" ({last.via})" if last.via else ""
    how = {"[value]": "", "[member]": "", "[key]": " as a key"}.get(last.via, how)
    if len(chain.links) == 2:  # noqa: PLR2004 - the root and the object
        return f"It is held by {root}{how}."
    return f"It is held by {holder.label}{how}, reached from {root}."


def _unrooted(evidence: Evidence, finding: Finding, yours: str) -> str:
    if finding.kind is RootKind.OUTSIDE:
        unseen = evidence.refcount - evidence.seen
        what = (
            f"{format_count(unseen)} reference{'s' if unseen > 1 else ''} to it"
            if len(finding.path) == 1
            else f"The {short_name(instance_type_name(finding.path[0]))} that leads to it"
        )
        is_are = "are" if len(finding.path) == 1 and unseen > 1 else "is"
        also = f" {yours[:1].upper()}{yours[1:]} {_verb(evidence.variables)} it too." if yours else ""
        return (
            f"No root that Python can see reaches it. {what} {is_are} held outside Python: by C code "
            f"(atexit, a C extension, ctypes) or by a value in use on a thread's stack.{also}"
        )
    if finding.kind is None:
        if yours:
            return f"Only {yours} {_verb(evidence.variables)} it."
        return "Nothing holds it but this call: it is freed when the call returns."
    if not finding.of_itself:
        also = f" {yours[:1].upper()}{yours[1:]} {_verb(evidence.variables)} it too." if yours else ""
        return f"Garbage in a reference cycle holds it: `gc.collect()` frees that.{also}"
    if yours:
        return (
            f"Only {yours} {_verb(evidence.variables)} it. It is part of a reference cycle: "
            "without the variable it waits for the collector."
        )
    return (
        "Nothing holds it but its own reference cycle: it waits for the collector; `gc.collect()` frees it."
    )


def _notes(evidence: Evidence, chains: Sequence[ReferenceChain]) -> list[str]:
    notes = []
    kept = [chain for chain in chains if chain.root is RootKind.NOTEBOOK]
    remedy = notebook_remedy(kept, evidence.variables)
    if remedy is not None:
        notes.append(remedy)
    if any(chain.root is RootKind.LAST_EXCEPTION for chain in chains):
        notes.append(_LAST_EXCEPTION)
    unseen = evidence.refcount - evidence.seen
    if unseen > 0 and chains and evidence.complete and evidence.finding is None:
        notes.append(
            f"{format_count(unseen)} more {'references' if unseen > 1 else 'reference'} to it: from outside "
            "Python, or from objects that no root reaches."
        )
    if evidence.finding is not None and gc.get_freeze_count() > _FROZEN_AT_START:
        notes.append("The heap is frozen (gc.freeze): holders among frozen garbage can not be seen.")
    return notes


def _yours(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    return f"your variable{'s' if len(names) > 1 else ''} {listed(names)}"


def _verb(names: tuple[str, ...]) -> str:
    return "hold" if len(names) > 1 else "holds"


def _is_shared(obj: Any) -> bool:
    """Tell whether an object is one of those that even Python 3.11 makes once and keeps."""
    if obj is None or obj is True or obj is False or obj is Ellipsis or obj is NotImplemented:
        return True
    kind = type(obj)
    if kind is int:
        return obj in _SMALL_INTS
    if kind is str:
        return len(obj) == 0 or (len(obj) == 1 and ord(obj) < 256)  # noqa: PLR2004 - Latin-1
    return (kind is bytes and len(obj) <= 1) or (kind is tuple and not obj)

"""``memlab.where()``: where the resident memory lies, and how much of it can be given back."""

from __future__ import annotations

import gc

from memlab._base.environment import describe_environment
from memlab.collectors.resident import read_stage, trim
from memlab.records.where import MemoryWhere

__all__ = ["where"]


def where(*, collect: bool = True, trim_malloc: bool = True) -> MemoryWhere:
    """Take the resident memory of this process apart: now, after a collection, after malloc_trim.

    In it: every resident page once, so that the parts add up to RSS. Python's objects of more than 512 bytes
    lie in malloc's part, as numpy's arrays do. Both steps change the process for good, harmlessly: garbage
    is freed (finalizers run), and free memory goes back to the system.

    Args:
        collect: collect garbage, and look again.
        trim_malloc: ask the C library to give back what it keeps free, and look again.

    Example:
        >>> found = where()
        >>> found.stages[0].label
        'now'
        >>> found.stages[0].rss_bytes is None or found.stages[0].rss_bytes > 1_000_000
        True
    """
    stages = [read_stage("now")]
    notes = []
    collected = None
    if collect:
        collected = gc.collect()
        stages.append(read_stage("after gc.collect()"))
    if trim_malloc:
        if trim():
            stages.append(read_stage("after malloc_trim()"))
        else:
            notes.append("malloc_trim: this platform's C library cannot be asked to give memory back")
    if any(part.reason for part in stages[0].parts):
        notes.append("what this platform cannot tell is in no other part but unexplained, if that is known")
    return MemoryWhere(tuple(stages), collected, describe_environment(), tuple(notes))

"""Where a process's resident memory lies: parts that add up to RSS, before and after giving back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from memlab.records._result import Result

__all__ = ["MemoryPart", "MemoryWhere", "WhereStage"]


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryPart:
    """One part of the resident memory.

    Attributes:
        name: what it is.
        bytes: resident bytes; None where this platform cannot say.
        source: where the figure comes from.
        reason: why there is none.
    """

    name: str
    bytes: int | None
    source: str = ""
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class WhereStage:
    """The parts at one moment.

    Attributes:
        label: ``now``, ``after gc.collect()``, ``after malloc_trim()``.
        rss_bytes: resident memory; None where it cannot be read.
        parts: those that are known add up to ``rss_bytes``, where ``unexplained`` is one of them.
    """

    label: str
    rss_bytes: int | None
    parts: tuple[MemoryPart, ...]

    def part(self, name: str) -> MemoryPart | None:
        """Return a part by its name, None when there is no such part."""
        return next((part for part in self.parts if part.name == name), None)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class MemoryWhere(Result):
    """What ``memlab.where()`` gives back.

    Attributes:
        stages: one for each moment, oldest first.
        collected: objects that the collector found, None when it was not asked.
        notes: what a reader must know.
    """

    kind: ClassVar[str] = "where"

    stages: tuple[WhereStage, ...]
    collected: int | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def given_back_bytes(self) -> int | None:
        """How far RSS fell from the first moment to the last; negative when it rose; None when not read."""
        if not self.stages:
            return None
        first, last = self.stages[0].rss_bytes, self.stages[-1].rss_bytes
        return first - last if first is not None and last is not None else None

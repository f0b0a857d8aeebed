"""Samples of a live recording: those that are read together make a track, and each is told once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from memlab.collectors.sampler import Columns
from memlab.records.columns import floats, ints
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memlab.collectors.type_counts import TypeGain
    from memlab.records.capture import Peak

__all__ = ["MOST_SAMPLES", "Alert", "Track", "TrackNews", "Update"]

MOST_SAMPLES = 36_000


@dataclasses.dataclass(frozen=True, slots=True)
class Alert:
    """A time above the limit; ``ended_s`` is None while it lasts."""

    began_s: float
    ended_s: float | None
    greatest_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class TrackNews:
    """New samples of some metrics that are read together.

    Attributes:
        names: the metrics.
        first: how many samples there were before.
        time_s: moments of the new ones; ``values`` has a tuple of the metrics' values for each.
    """

    names: tuple[str, ...]
    first: int
    time_s: tuple[float, ...]
    values: tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """What has come since the last update.

    Attributes:
        tracks: the new samples: of RSS first, then of what was read inside.
        pauses: new collections: when, how long (both in seconds), generation.
        peak: greatest RSS so far; None where there is no exact one.
        types: the types that gained most; None when they were not looked at this time.
    """

    tracks: tuple[TrackNews, ...]
    pauses: tuple[tuple[float, float, int], ...]
    peak: Peak | None
    types: tuple[TypeGain, ...] | None


class Track:
    """Samples of some metrics that are read together: all of them, thinned, and those that are new."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.taken = 0
        self.last_s = -1.0
        self._columns = Columns(len(self.names), MOST_SAMPLES)
        self._fresh: list[tuple[float, tuple[int, ...]]] = []
        self._given = 0

    def add(self, at: float, values: tuple[int, ...]) -> bool:
        """Add a sample; one that comes too late to stand in order is passed over."""
        if at <= self.last_s:
            return False
        self._columns.append(at, values)
        self._fresh.append((at, values))
        if len(self._fresh) > 2 * MOST_SAMPLES:  # nobody asks for them
            del self._fresh[:-MOST_SAMPLES]
        self.taken += 1
        self.last_s = at
        return True

    def news(self) -> TrackNews:
        """Return what is new, once."""
        fresh, self._fresh = self._fresh, []
        first = self.taken - len(fresh)
        return TrackNews(self.names, first, tuple(at for at, _ in fresh), tuple(v for _, v in fresh))

    def timeline(
        self, sources: Mapping[str, str], absent: Mapping[str, str], started_at: str = ""
    ) -> Timeline:
        """Return all of it, copied: the columns grow on while the copy is kept."""
        times, columns = self._columns.finished()
        return Timeline(
            floats(times.copy()),
            {name: ints(column.copy()) for name, column in zip(self.names, columns, strict=True)},
            {name: sources[name] for name in self.names if name in sources},
            absent,
            started_at,
        )

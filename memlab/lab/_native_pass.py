"""The pass that finds the line behind a native leak: run the step on and charge lines with what malloc lost.

A few calls first, so that what the tracing itself changes has settled; then four equal stretches. A line
loses memory when blocks that it took in each of the first three stretches are still there at the end: what is
only replaced later (the last result, a buffer that grew) lives in the last one alone.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from memlab._base.units import format_bytes
from memlab.collectors.allocator import malloc_in_use
from memlab.collectors.malloc_lines import MallocLines, MeteredLines, can_note
from memlab.errors import UnavailableError
from memlab.lab._suspects import name_site
from memlab.records.leak_report import Suspect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memlab._base.paths import PathLabels
    from memlab.collectors.trace_table import Frames
    from memlab.lab.steps import Step
    from memlab.records.sites import Site

__all__ = ["LOST", "NativePass"]

LOST = "memory that native code took"
_STRETCHES = 4
_SETTLE = 3
_FEWEST = 24
_MOST = 20_000
_MOST_SUSPECTS = 5
_LEAST_SHARE = 0.05
_EXPLAINS = 0.1
"""Part of the loss that lines must account for, to be named at all."""


class NativePass:
    """Run the step so that each line's lost memory shows.

    Args:
        step: what to run.
        clock: monotonic seconds.
        labels: names files.
        read_rss: resident memory in bytes.

    Attributes:
        calls: iterations of the pass.
        notes: what a reader must know.
    """

    def __init__(
        self,
        step: Step,
        clock: Callable[[], float],
        labels: PathLabels,
        read_rss: Callable[[], int | None],
    ) -> None:
        self._step = step
        self._clock = clock
        self._labels = labels
        self._read_rss = read_rss
        self.calls = 0
        self.notes: list[str] = []

    def run(self, rate: float, seconds: float) -> tuple[Suspect, ...]:
        """Return the lines that lose memory, greatest loss first; empty when none could be found.

        Args:
            rate: bytes that an iteration loses, as the first pass found.
            seconds: time to spend.
        """
        try:
            found = self._noted(seconds * 0.6) if can_note() else {}
            if _enough(found, rate):
                return self._suspects(found, "malloc")
            for source, read in (("malloc", malloc_in_use), ("rss", self._read_rss)):
                if read() is not None:
                    found = self._metered(read, rate, seconds * 0.2)
                    if _enough(found, rate):
                        return self._suspects(found, source)
        except UnavailableError as error:
            self.notes.append(str(error))
        return ()

    def _noted(self, seconds: float) -> dict[Frames, tuple[float, float]]:
        """Return bytes and blocks that an iteration loses, by line with callers."""
        follow = self._follower(seconds)
        with MallocLines(follow) as noted:
            self._step.run(_SETTLE)
            stop = self._clock() + seconds
            calls = 0
            while calls < _MOST and (calls < _FEWEST or self._clock() < stop):
                calls += 1
                noted.epoch(calls)
                self._step.run(1)
                if calls >= _FEWEST and self._clock() > stop + seconds:
                    break
            noted.lines.stop()
            gc.collect()
            live = noted.live()
        self.calls += calls + _SETTLE
        if live.missed:
            self.notes.append(f"{live.missed:,} blocks were not noted: more were live than the table holds")
        stretch = np.minimum((live.epoch - 1) * _STRETCHES // max(calls, 1), _STRETCHES - 1)
        settled = live.epoch > 0
        found: dict[Frames, tuple[float, float]] = {}
        for site in np.unique(live.site[settled]).tolist():
            rows = settled & (live.site == site)
            sizes = np.bincount(stretch[rows], weights=live.size[rows], minlength=_STRETCHES)[:-1]
            counts = np.bincount(stretch[rows], minlength=_STRETCHES)[:-1]
            if counts.min() > 0 and counts.min() * 4 >= counts.max():
                per = calls * (_STRETCHES - 1) / _STRETCHES
                found[noted.lines.frames(site)] = (float(sizes.sum()) / per, float(counts.sum()) / per)
        return found

    def _metered(
        self, read: Callable[[], int | None], rate: float, seconds: float
    ) -> dict[Frames, tuple[float, float]]:
        """Return what an iteration loses by a meter, by line of the user's own."""
        follow = self._labels.is_own
        with MeteredLines(follow, lambda: read() or 0) as metered:
            self._step.run(_SETTLE)
            metered.rose.clear()
            stop = self._clock() + seconds
            calls = 0
            while calls < _MOST and (calls < _FEWEST or self._clock() < stop):
                calls += 1
                self._step.run(1)
        self.calls += calls + _SETTLE
        balance: dict[Frames, float] = defaultdict(float)
        for number, rose in metered.rose.items():
            frames = metered.lines.frames(number)
            if frames:
                balance[frames] += rose / calls
        near = {frames: value for frames, value in balance.items() if value >= rate / 2}
        if not near:
            return {}
        best = min(near, key=lambda frames: abs(near[frames] - rate))
        return {best: (near[best], 0.0)}

    def _follower(self, seconds: float) -> Callable[[str], bool]:
        """Follow every file, or the user's own alone where that would take too long."""
        own = self._labels.is_own
        memlab = self._labels.is_memlab
        before = self._clock()
        with MallocLines(lambda name: not memlab(name)):
            self._step.run(1)
        if (self._clock() - before) * _FEWEST > seconds:
            self.notes.append("only your own lines were followed: all of them would have taken too long")
            return own
        return lambda name: not memlab(name)

    def _suspects(self, found: Mapping[Frames, tuple[float, float]], source: str) -> tuple[Suspect, ...]:
        """Put lines together that are one line of the user's, and name them."""
        by_line: dict[tuple[str, int], list[tuple[Frames, float, float]]] = defaultdict(list)
        for frames, (size, blocks) in found.items():
            own = next((f for f in frames if self._labels.is_own(f[0])), frames[0])
            by_line[own].append((frames, size, blocks))
        total = sum(size for size, _ in found.values()) or 1.0
        drafts = []
        for parts in by_line.values():
            size, blocks = sum(p[1] for p in parts), sum(p[2] for p in parts)
            deepest = max(parts, key=lambda p: p[1])[0]
            if size >= _LEAST_SHARE * total:
                site = name_site(deepest, self._labels)
                drafts.append(
                    Suspect(
                        type_name=LOST,
                        objects_per_iteration=blocks,
                        bytes_per_iteration=size,
                        share=size / total,
                        site=site,
                        source=source,
                        prose=_prose(site, size, blocks, source),
                    )
                )
        drafts.sort(key=lambda suspect: -suspect.bytes_per_iteration)
        return tuple(drafts[:_MOST_SUSPECTS])


def _enough(found: Mapping[Frames, tuple[float, float]], rate: float) -> bool:
    return bool(found) and sum(size for size, _ in found.values()) >= _EXPLAINS * rate


def _prose(site: Site | None, size: float, blocks: float, source: str) -> str:
    at = (site.user or site.frame) if site is not None else None
    where = f"{at.file}:{at.line}" if at is not None else "an unknown line"
    code = f" ({at.source.strip()})" if at is not None and at.source else ""
    if blocks:
        lost = f"{format_bytes(size)} in {blocks:,.2g} blocks of malloc that nobody gives back"
    elif source == "rss":
        lost = f"{format_bytes(size)} of resident memory"
    else:
        lost = f"{format_bytes(size)} in use at malloc"
    return f"Each iteration, native code called at {where}{code} leaves {lost}."

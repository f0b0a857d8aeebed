"""A profiler by snapshots: start it, take some, ask which lines hold most and which grew.

A small, stateful face for scripts and lessons on top of ``memlab.tracing`` and ``memlab.snapshot``; what it
keeps are their values. Here MB means 1024 * 1024 bytes, as the names that it follows have it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from memlab._base.atomic import replacing
from memlab._base.source_lines import source_text
from memlab.collectors.tracing import Tracing
from memlab.errors import UnavailableError, UsageError
from memlab.records.columns import floats, ints
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.axes import Axes

    from memlab.records.snapshot import Snapshot

__all__ = ["MemoryProfiler"]

_MB = 1024 * 1024


class MemoryProfiler:
    """Take labelled snapshots of traced memory, list what holds most, and compare them.

    Memory is that of Python's allocators from the start of the profiling on: tracemalloc's books, so that a
    block is told to the line that allocated it, in functions, threads and asyncio tasks alike. Memory that
    native code takes past Python's allocators is not in it. When tracemalloc runs already it is joined, with
    the number of frames that it has, and goes on afterwards.

    Args:
        depth: frames kept for each block, 1 to 65,535; more cost more time.
        aliases: labels for code file names.
        clock: returns seconds that never run back.

    Attributes:
        depth, aliases, clock: as given.
        snapshots: label and ``Snapshot`` of each that was taken, in order.
        memory_timeline: number and traced memory in MB of each, in order.

    Example:
        >>> profiler = MemoryProfiler(depth=1)
        >>> with profiler:
        ...     first = profiler.take_snapshot("before")
        ...     kept = [bytes(102_400) for _ in range(100)]
        ...     second = profiler.take_snapshot("after")
        >>> grown = profiler.compare_snapshots()[0]
        >>> round(grown["size_diff"], 1), grown["count_diff"]
        (9.8, 101)
    """

    def __init__(
        self,
        depth: int = 10,
        aliases: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.depth = depth
        self.aliases = aliases
        self.clock = clock
        self.snapshots: list[tuple[str, Snapshot]] = []
        self._times: list[float] = []
        self._began = 0.0
        self._tracing = Tracing(depth, aliases)
        self._running = False

    @property
    def memory_timeline(self) -> list[tuple[int, float]]:
        """Number and traced memory in MB of each snapshot."""
        return [(number, taken.total_bytes / _MB) for number, (_, taken) in enumerate(self.snapshots)]

    def start_profiling(self) -> Self:
        """Begin to trace; does nothing when it has begun.

        Raises:
            UnavailableError: when tracing cannot be started in this process.
        """
        self._tracing.start()
        if not self._running:
            self._running = True
            self._began = self._began or self.clock()
        return self

    def stop_profiling(self) -> None:
        """End the tracing, unless somebody else needs it; snapshots stay. A second call does nothing."""
        self._running = False
        self._tracing.stop()

    def __enter__(self) -> Self:
        return self.start_profiling()

    def __exit__(self, *exc_info: object) -> None:
        self.stop_profiling()

    def take_snapshot(self, label: str | None = None) -> Snapshot:
        """Take a snapshot, keep it, and return it.

        Args:
            label: its name. Default: ``snapshot_N``, N counted from 0.

        Raises:
            UnavailableError: when nothing is traced; the message says how to begin.
        """
        if not self._running:
            raise UnavailableError(
                "taking a snapshot: the profiler does not run; call start_profiling() before the code that "
                "allocates, or use it as `with MemoryProfiler() as profiler:`"
            )
        name = f"snapshot_{len(self.snapshots)}" if label is None else str(label)
        taken = self._tracing.snapshot(name)
        self.snapshots.append((name, taken))
        self._times.append(self.clock() - self._began)
        return taken

    def get_top_allocations(self, snapshot_idx: int = -1, limit: int = 10) -> list[dict[str, Any]]:
        """Return the lines that hold most, greatest first.

        Args:
            snapshot_idx: which snapshot, as an index of ``snapshots``.
            limit: greatest number of lines.

        Returns:
            For each its ``file``, ``line``, ``code`` (the contents of strings left out; empty when the source
            cannot be read), ``size`` in MB and ``count`` of blocks. Nothing when no snapshot was taken.

        Raises:
            UsageError: for an index that no snapshot has, or a limit below 0.
        """
        if type(limit) is not int or limit < 0:
            raise UsageError(f"top allocations: limit must be a number of lines from 0, not {limit!r}")
        if not self.snapshots:
            return []
        taken = self._snapshot(snapshot_idx)
        full = dict(zip(taken.files, taken.raw_files, strict=True)) if taken.raw_files else {}
        return [
            {
                "file": total.site.frame.file,
                "line": total.site.frame.line,
                "code": source_text(full.get(total.site.frame.file, ""), total.site.frame.line),
                "size": total.size_bytes / _MB,
                "count": total.blocks,
            }
            for total in taken.statistics("line").sites[:limit]
        ]

    def compare_snapshots(self, idx1: int = 0, idx2: int = -1) -> list[dict[str, Any]]:
        """Return the lines that changed from one snapshot to another, greatest change first.

        Args:
            idx1: the older one, as an index of ``snapshots``.
            idx2: the newer one.

        Returns:
            For each line its ``file``, ``line``, ``size_diff`` in MB and ``count_diff`` of blocks. Nothing
            when no snapshot was taken.

        Raises:
            UsageError: for an index that no snapshot has.
        """
        if not self.snapshots:
            return []
        growth = self._snapshot(idx2).diff(self._snapshot(idx1))
        return [
            {
                "file": site.site.frame.file,
                "line": site.site.frame.line,
                "size_diff": site.size_diff_bytes / _MB,
                "count_diff": site.blocks_diff,
            }
            for site in growth.sites
        ]

    def timeline(self) -> Timeline:
        """Return traced memory over the seconds since the profiling began, one sample a snapshot."""
        return Timeline(
            floats(self._times),
            {"traced_bytes": ints([taken.total_bytes for _, taken in self.snapshots])},
            {"traced_bytes": "tracemalloc"},
        )

    def plot_memory_usage(self, output_file: str | os.PathLike[str] | None = None) -> Axes:
        """Draw traced memory over time (needs matplotlib: ``memlab[notebook]``).

        Args:
            output_file: where to write the picture, whose ending says its format. None: only draw.

        Returns:
            The axes.

        Raises:
            UnavailableError: when no snapshot was taken.
            UsageError: when the file cannot be written.
        """
        if not self.snapshots:
            raise UnavailableError("plotting memory: no snapshot was taken; call take_snapshot() first")
        axes = self.timeline().plot()
        if output_file is not None:
            figure: Any = axes.get_figure()
            form = os.path.splitext(os.fsdecode(output_file))[1].lstrip(".") or "png"  # noqa: PTH122
            try:
                with replacing(output_file) as temporary:
                    figure.savefig(temporary, format=form)
            except ValueError as error:
                raise UsageError(f"plotting memory: {error}") from None
            finally:
                # A picture that went to a file is not shown as well; whoever drew it has loaded pyplot.
                pyplot = sys.modules.get("matplotlib.pyplot")
                if pyplot is not None:
                    pyplot.close(figure)
        return axes

    def _snapshot(self, index: int) -> Snapshot:
        try:
            return self.snapshots[index][1]
        except (IndexError, TypeError):
            raise UsageError(
                f"snapshots: there is no number {index!r}; {len(self.snapshots)} were taken, counted from 0"
            ) from None

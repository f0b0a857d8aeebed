"""What ``%memit`` measured, in memory_profiler's words and with the source of the figure."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from memlab.records._result import Result

__all__ = ["MemitResult"]

_MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class MemitResult(Result):
    """Peak memory of a statement. Its text is the line that ``%memit`` has always printed.

    The attributes of memory_profiler's result are kept under their names and in its unit, MiB:
    ``mem_usage`` (list of peaks, one a repeat), ``baseline``, ``repeat``, ``timeout``, ``interval``,
    ``include_children``. memlab's own are in bytes.

    Attributes:
        peaks_bytes: greatest RSS of each repeat. Not in it: memory that the statement took again from the
            allocator's own cache, and pages that it never touched.
        baseline_bytes: RSS before the first repeat.
        cached_bytes: what the C library's allocator kept free before the first repeat: the statement may take
            that much again without a rise of RSS; None where it cannot be told.
        source: ``vmhwm`` (the kernel's own mark: no spike is missed) or ``sampled`` (a lower bound).
    """

    kind: ClassVar[str] = "memit"

    peaks_bytes: tuple[int, ...]
    baseline_bytes: int
    repeat: int = 1
    timeout: float | None = None
    interval: float = 0.1
    include_children: bool = False
    source: str = "vmhwm"
    notes: tuple[str, ...] = ()
    cached_bytes: int | None = None

    @property
    def peak_bytes(self) -> int:
        """Greatest RSS over all repeats."""
        return max(self.peaks_bytes, default=self.baseline_bytes)

    @property
    def increment_bytes(self) -> int:
        """The peak above the baseline."""
        return self.peak_bytes - self.baseline_bytes

    @property
    def mem_usage(self) -> list[float]:
        """Peaks in MiB, as memory_profiler has them."""
        return [peak / _MIB for peak in self.peaks_bytes]

    @property
    def baseline(self) -> float:
        """Baseline in MiB, as memory_profiler has it."""
        return self.baseline_bytes / _MIB

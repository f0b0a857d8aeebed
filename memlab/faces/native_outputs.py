"""The native side of a recording that a face makes: traced beside it, written beside its files.

``run.memlab`` gets ``run.peak.memlab``, ``run.leaked.memlab`` and ``run.temporary.memlab``; a report
``run.html`` gets ``run.native.html``, the flame page of what was alive at the peak.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from memlab._base.units import format_bytes
from memlab.collectors.memray_engine import depth_of
from memlab.collectors.memray_files import MEASURES
from memlab.faces.outputs import check_writable
from memlab.lab.native_trace import NativeTrace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memlab.records.snapshot import Snapshot

__all__ = ["NativeOutputs"]


class NativeOutputs:
    """A native trace and where its snapshots go.

    Args:
        capture: the recording's file, if any.
        page: the recording's page, if any.
        aliases: labels for code file names.
    """

    def __init__(
        self, capture: str | None, page: str | None, aliases: Mapping[str, str] | None = None
    ) -> None:
        self._files = {} if capture is None else {one: _beside(capture, one) for one in MEASURES}
        self._page = None if page is None else _beside(page, "native")
        for path in (*self._files.values(), *([self._page] if self._page is not None else ())):
            check_writable(path)
        self._trace = NativeTrace(aliases=aliases)

    def begin(self) -> None:
        """Begin; the program's own frames are those that the caller calls next.

        Raises:
            UnavailableError, MissingExtraError: where memray cannot run.
        """
        self._trace.start(depth_of(sys._getframe(1)))  # noqa: SLF001

    def end(self) -> None:
        """End. Safe to repeat."""
        self._trace.stop()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()

    @property
    def peak(self) -> Snapshot:
        """What was alive at the high-water mark."""
        return self._trace.peak

    def write(self) -> list[str]:
        """Write the snapshots and the page, and return a line about each."""
        peak = self.peak
        lines = []
        top = peak.statistics("line").sites[:1]
        most = f", most at {top[0].site.frame}" if top else ""
        left = format_bytes(self._trace.leaked.total_bytes)
        lines.append(f"native memory: peak {format_bytes(peak.total_bytes)}{most}; {left} left at the end")
        for measure, path in self._files.items():
            self._trace.snapshot(measure).save(path)
        if self._files:
            first, *others = (Path(path).name for path in self._files.values())
            lines.append(f"native snapshots written to {first}, {' and '.join(others)}")
        if self._page is not None:
            peak.flame().to_html(self._page)
            lines.append(f"flame page of the native peak written to {self._page}")
        return lines


def _beside(path: str, what: str) -> str:
    """Return ``run.what.memlab`` for ``run.memlab``."""
    place = Path(path)
    return str(place.with_name(f"{place.stem}.{what}{place.suffix}"))

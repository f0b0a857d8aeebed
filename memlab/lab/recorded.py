"""What a recording's capture gets when the recording ends well: source lines, and what a peak leaves out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from memlab._base.source import source_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memlab.records.capture import Capture, StackSample
    from memlab.records.sites import Frame

__all__ = ["completed", "inherited", "noted", "of_another"]

_OF_A_FORK = "recorded by the parent process; this is a fork of it and holds what came before"


def completed(
    capture: Capture, sources: Mapping[str, tuple[str, int]], sampled: str, untraced: str
) -> Capture:
    """Return a capture with source lines, and with the peak's source said.

    Args:
        capture: as it was read.
        sources: label of a file -> its name, and whether it is the user's own.
        sampled: why the peak is not exact; empty when it is.
        untraced: why nothing is traced; empty when something is.
    """
    from memlab.records.capture import Peak

    changes: dict[str, object] = {
        "hot": tuple(_with_lines(stack, sources) for stack in capture.hot),
        "peak_stack": _with_lines(capture.peak_stack, sources) if capture.peak_stack is not None else None,
    }
    timeline = capture.timeline
    if untraced and "traced_bytes" not in timeline.absent:
        timeline = dataclasses.replace(timeline, absent={**timeline.absent, "traced_bytes": untraced})
    if sampled:
        rss = timeline.metrics.get("rss_bytes")
        if rss is not None and len(rss):
            changes["peak"] = Peak(int(rss.max()), int(rss[0]), "sampled")
            note = f"the peak is sampled and may be too low: {sampled}"
            changes["notes"] = (note, *capture.notes)
            absent = {name: why for name, why in timeline.absent.items() if name != "peak"}
            timeline = dataclasses.replace(timeline, absent=absent)
        else:
            timeline = dataclasses.replace(timeline, absent={**timeline.absent, "peak": sampled})
    return dataclasses.replace(capture, timeline=timeline, **changes)  # type: ignore[arg-type]


def inherited(capture: Capture) -> Capture:
    """Return the capture of a forked child."""
    reason = "the recording was begun before a fork, by the parent process"
    timeline = dataclasses.replace(capture.timeline, absent={**capture.timeline.absent, "peak": reason})
    return dataclasses.replace(capture, timeline=timeline, peak=None, complete=False, notes=(_OF_A_FORK,))


def of_another(capture: Capture, before: int | None, mark: int | None) -> Capture:
    """Return the capture of a process watched from outside, with its peak.

    Args:
        capture: as it was read.
        before: the kernel's mark when the watching began; None when it could not be read.
        mark: the mark when it ended; None when it is not known.
    """
    from memlab.records.capture import Peak

    rss = capture.timeline.metrics.get("rss_bytes")
    if rss is None or not len(rss):
        return capture
    start, sampled = int(rss[0]), int(rss.max())
    if mark is not None and before is not None and mark > before:
        note: tuple[str, ...] = ()
        peak = Peak(max(mark, sampled), start, "vmhwm")
    else:
        peak = Peak(sampled, start, "sampled")
        note = ("the peak is sampled and may be too low: the process's own mark was higher before",)
    absent = {name: why for name, why in capture.timeline.absent.items() if name != "peak"}
    timeline = dataclasses.replace(capture.timeline, absent=absent)
    return dataclasses.replace(capture, timeline=timeline, peak=peak, notes=(*note, *capture.notes))


def noted(capture: Capture, sentence: str) -> Capture:
    """Return a capture with one more note."""
    return dataclasses.replace(capture, notes=(*capture.notes, sentence))


def _with_lines(stack: StackSample, sources: Mapping[str, tuple[str, int]]) -> StackSample:
    return dataclasses.replace(stack, frames=tuple(_with_line(frame, sources) for frame in stack.frames))


def _with_line(frame: Frame, sources: Mapping[str, tuple[str, int]]) -> Frame:
    file, own = sources.get(frame.file, ("", 0))
    return dataclasses.replace(frame, source=source_line(file, frame.line)) if own else frame

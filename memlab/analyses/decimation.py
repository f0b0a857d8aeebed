"""Thin a timeline for drawing without losing a peak.

The time is cut into equal stretches, and of each stretch the first, the least, the greatest and the last
reading are kept: a line through them covers exactly the pixels that a line through all readings would, as
long as a stretch is no wider than a pixel. Taking every n-th reading would lose what a memory timeline is
drawn for. A million readings take some milliseconds.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from memlab.errors import UsageError
from memlab.records.columns import ints

if TYPE_CHECKING:
    from memlab.records.columns import Floats, Ints
    from memlab.records.timeline import Timeline

__all__ = ["decimated", "extremes"]

_KEPT = 4


def extremes(time_s: Floats, values: Ints | Floats, stretches: int) -> Ints:
    """Return the indices of at most ``4 * stretches`` readings that keep the shape and every extreme.

    Args:
        time_s: shape ``(readings,)``, never decreasing.
        values: shape ``(readings,)``.
        stretches: into how many equal stretches of time to cut, at least 1; one for each pixel of a picture.

    Raises:
        UsageError: when there is no stretch.

    >>> time = np.arange(1000) * 0.01
    >>> spike = np.zeros(1000); spike[617] = 9.0
    >>> 617 in extremes(time, spike, 20), len(extremes(time, spike, 20)) <= 80
    (True, True)
    """
    if stretches < 1:
        raise UsageError(f"thinning a timeline: needs at least 1 stretch of time, not {stretches!r}")
    count = len(values)
    if count <= _KEPT * stretches:
        return ints(np.arange(count))
    edges = np.linspace(float(time_s[0]), float(time_s[-1]), stretches + 1)[1:-1]
    starts = np.unique(np.concatenate([[0], np.searchsorted(time_s, edges, "right")]))
    starts = starts[starts < count]
    lengths = np.diff(np.append(starts, count))
    kept = [starts, starts + lengths - 1]
    for least_of in (np.minimum, np.maximum):
        extreme = np.repeat(least_of.reduceat(values, starts), lengths)
        hits = np.flatnonzero(values == extreme)
        # The first hit at or after each start: each stretch has one.
        kept.append(hits[np.searchsorted(hits, starts)])
    return ints(np.unique(np.concatenate(kept)))


def decimated(timeline: Timeline, stretches: int, metric: str = "rss_bytes") -> Timeline:
    """Return a timeline with at most ``4 * stretches`` rows, which keep every extreme of one metric.

    The rows that stay are rows of the timeline, all metrics included; nothing is averaged.

    Raises:
        UsageError: when the timeline has no such metric, or there is no stretch.
    """
    if metric not in timeline.metrics:
        raise UsageError(f"thinning a timeline: it has no {metric}; there is {', '.join(timeline.metrics)}")
    at = extremes(timeline.time_s, timeline.metrics[metric], stretches)
    time_s = timeline.time_s[at]
    time_s.flags.writeable = False
    return dataclasses.replace(
        timeline,
        time_s=time_s,
        metrics={name: ints(column[at]) for name, column in timeline.metrics.items()},
        taken=max(timeline.taken, len(timeline)),
    )

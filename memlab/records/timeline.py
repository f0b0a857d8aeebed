"""Memory over time: one time column and one column per metric, and what could not be read and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from memlab.records._result import Result
from memlab.records.columns import Floats, Ints, check_lengths

__all__ = ["Timeline"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Timeline(Result):
    """Samples of one process.

    Attributes:
        time_s: seconds since ``started_at``, shape ``(samples,)``, never decreasing (a monotonic clock).
        metrics: one int64 column of shape ``(samples,)`` for each metric. A name that ends in ``_bytes``
            is in bytes, any other is a count.
        sources: where each metric was read (``statm``, ``sys.getallocatedblocks`` ...).
        absent: metrics that could not be read, each with the reason. An absent metric is never 0.
        started_at: wall-clock time of the first sample, ISO 8601 in UTC; only a label.
        taken: readings that the rows rest on. A reading equal to those before and after it need not have
            a row of its own: between two equal rows every reading was that. 0: each row is a reading.
    """

    kind: ClassVar[str] = "timeline"

    time_s: Floats
    metrics: Mapping[str, Ints]
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    started_at: str = ""
    taken: int = 0

    def __post_init__(self) -> None:
        check_lengths("timeline", time_s=self.time_s, **self.metrics)
        if len(self.time_s) and (
            not np.isfinite(self.time_s).all() or bool((self.time_s[1:] < self.time_s[:-1]).any())
        ):
            raise ValueError("timeline: time must be finite and never decrease")

    def __len__(self) -> int:
        return len(self.time_s)

    def high_water_mark(self, metric: str = "rss_bytes") -> int | None:
        """Return the greatest sampled value of ``metric``, or None where it was not read.

        A sampled mark: what rose and fell between two samples is not in it.
        """
        column = self.metrics.get(metric)
        return int(column.max()) if column is not None and len(column) else None

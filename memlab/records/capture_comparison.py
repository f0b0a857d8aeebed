"""Two recordings laid over each other, at their starts or at a mark that both have."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from memlab.records._result import Result
from memlab.records.capture import Capture

__all__ = ["CaptureComparison"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CaptureComparison(Result):
    """What ``memlab.compare_captures`` gives back.

    Attributes:
        first: the recording that the other is compared with, the older one as a rule.
        second: the other.
        first_label: what the views call them; ``second_label`` likewise.
        aligned_at: the mark at which they are laid over each other; empty for their starts.
        first_s: the moment of ``first`` that is 0 on the common axis, in seconds; ``second_s`` likewise.
        notes: what a reader must know to trust the comparison.
    """

    kind: ClassVar[str] = "capture comparison"

    first: Capture
    second: Capture
    first_label: str = "first"
    second_label: str = "second"
    aligned_at: str = ""
    first_s: float = 0.0
    second_s: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.first_s) and math.isfinite(self.second_s)):
            raise ValueError("capture comparison: the moments that are laid over each other must be finite")

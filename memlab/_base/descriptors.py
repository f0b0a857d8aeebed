"""Own descriptors so that an interrupt loses none: each is taken and closed within C, with no line between.

An interrupt is delivered between two lines of Python. ``descriptor, self.d = self.d, -1`` followed by
``os.close(descriptor)`` loses the descriptor to one that comes between them; the other order closes it twice,
and by then its number may be another file's.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["close_all"]


def close_all(owned: Iterator[int]) -> None:
    """Close all descriptors that an iterator still has. Does nothing the second time.

    Args:
        owned: ``iter`` of a tuple of descriptors, kept by their owner since they were opened.
    """
    with contextlib.suppress(OSError):
        deque(map(os.close, owned), maxlen=0)

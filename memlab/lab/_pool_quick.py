"""What the quick path of a pool reads and writes; where there is the extension, also that path.

``_native/quickpool.c`` does what ``ObjectPool.acquire`` and ``release`` do in Python, in the plain case.
Without it those two stand as they are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memlab._native.quickpool import QuickPool

__all__ = ["QuickPool", "is_native"]

try:
    from memlab._native import quickpool

    QuickPool = quickpool.QuickPool  # type: ignore[misc]
    is_native = True
except ImportError:
    is_native = False

    class QuickPool:  # type: ignore[no-redef]
        """The same fields, of a pool that is in Python."""

        _idle: Any
        _out: Any
        _alert: bool
        _resets: bool
        _taken_in_c = 0

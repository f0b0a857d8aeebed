"""What the notebook's names hold, measured when asked and at no other time.

One capture of the heap, bounded in time, in which the notebook's own references (its namespace, ``Out``, the
last results and exception) were noted by name; the analysis then asks what would be freed with them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memlab.analyses import heap_holdings
from memlab.collectors.notebook import Bookkeeping
from memlab.errors import UsageError
from memlab.lab.heap import heap

if TYPE_CHECKING:
    from memlab.records.heap_results import HeapHoldings

__all__ = ["holdings"]


def holdings(seconds: float = 2.0) -> HeapHoldings:
    """Return what each of the notebook's names holds, greatest first, and what would free it.

    Counted for a name is what nothing else keeps alive: what a module or another variable holds too is not
    in its retained size. Memory that no Python object knows of is in none. Imported modules are left out.

    Args:
        seconds: stop looking at the heap after so long; the result's ``complete`` is then False, and its
            sizes are lower bounds. What was found is then analysed, which takes about as long again.

    Raises:
        UsageError: outside a notebook or IPython, or when ``seconds`` is no positive number.

    >>> import memlab
    >>> memlab.holdings()  # doctest: +SKIP
    """
    if type(seconds) not in (int, float) or not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"holdings: seconds must be a number above 0, not {seconds!r}")
    if not Bookkeeping().notebook:
        raise UsageError(
            "holdings: there is no notebook here whose names to look at; memlab.heap() shows the process"
        )
    return heap_holdings.holdings(heap(seconds=float(seconds)))

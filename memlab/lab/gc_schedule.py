"""Collections by the clock instead of by the number of allocations.

The automatic collector rests, and a thread collects every so many seconds, sooner when the process has
grown by a budget. Pauses then come when nobody looks, at the price of garbage that waits for them. The
first threshold is set so high that it is never reached; the collector is not disabled, so whoever asks
finds it enabled.
"""

from __future__ import annotations

import gc
import math
import threading
import time
from typing import Self

from memlab.collectors.probe import Probe
from memlab.errors import UsageError

__all__ = ["GCSchedule"]

_MIB = 1024 * 1024
_NEVER = 2**31 - 1
_LOOKS_PER_INTERVAL = 20
_LEAST_LOOK_S = 0.005


class GCSchedule:
    """Collect by the clock. ``stop`` puts the thresholds back as they were.

    Args:
        every_s: seconds between two collections.
        growth_mb: MiB of growth (RSS) that bring the next collection at once. None: the clock alone.
        generation: which generation is collected.

    Raises:
        UsageError: when an argument makes no sense.

    Example:
        >>> with GCSchedule(every_s=0.02) as schedule:
        ...     import time; time.sleep(0.2)
        >>> schedule.collections > 0
        True
    """

    def __init__(self, every_s: float = 1.0, growth_mb: float | None = 64, generation: int = 2) -> None:
        for name, value in (("every_s", every_s), ("growth_mb", 1 if growth_mb is None else growth_mb)):
            if type(value) not in (int, float) or not value > 0 or not math.isfinite(value):
                raise UsageError(f"scheduling the collector: {name} must be a number above 0, not {value!r}")
        if generation not in (0, 1, 2):
            raise UsageError(f"scheduling the collector: generation must be 0, 1 or 2, not {generation!r}")
        self.every_s = every_s
        self.growth_mb = growth_mb
        self.generation = generation
        self.collections = 0
        self._before: tuple[int, ...] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Begin.

        Raises:
            UsageError: when it was started before.
        """
        if self._thread is not None:
            raise UsageError("scheduling the collector: this schedule was started before; make a new one")
        try:
            self._before = gc.get_threshold()
            gc.set_threshold(_NEVER, *self._before[1:])
            self._thread = threading.Thread(target=self._run, name="memlab-gc-schedule", daemon=True)
            self._thread.start()
            return self  # noqa: TRY300 - an interrupt at this line must be undone too
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End, and put the thresholds back."""
        try:
            self._end()
        except BaseException:  # an interrupt: what was left undone is done, then it passes
            self._end()
            raise

    def _end(self) -> None:
        self._stop.set()
        thread = self._thread
        if thread is not None and thread.ident is not None:
            thread.join()
        if self._before is not None:
            gc.set_threshold(*self._before)
            self._before = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.stop()
        except BaseException:  # an interrupt on the way there
            self.stop()
            raise

    def _run(self) -> None:
        with Probe() as probe:
            look = max(self.every_s / _LOOKS_PER_INTERVAL, _LEAST_LOOK_S)
            last, size = time.monotonic(), probe.value("rss_bytes")
            while not self._stop.wait(look):
                now = probe.value("rss_bytes")
                grown = (
                    self.growth_mb is not None
                    and size is not None
                    and now is not None
                    and now - size > self.growth_mb * _MIB
                )
                if grown or time.monotonic() - last >= self.every_s:
                    gc.collect(self.generation)
                    self.collections += 1
                    last, size = time.monotonic(), probe.value("rss_bytes")

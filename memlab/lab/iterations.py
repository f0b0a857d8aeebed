"""Iterations of a program that runs by itself: counted by its marks, or by the clock where it makes none.

A hunt calls its step; a service cannot be called, it serves whoever comes. So the hunt runs in a thread of
its own beside the program, and its step is to wait until the program has done so many more iterations. What
was done more than asked for meanwhile counts too, so that a rate is one of the program's own iterations.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from memlab.errors import StepError
from memlab.lab.steps import Step

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BEAT_S", "ProgramEnded", "RunningStep", "mark_iteration", "marked_iterations"]

BEAT_S = 0.02
"""What counts as an iteration of a program that marks none."""

_POLL_S = 0.001
_PATIENCE_S = 30.0
_lock = threading.Lock()
_marked = 0


def mark_iteration() -> None:
    """Count one iteration of a running program, for ``memlab leaks --run``: a request served, a job done.

    Costs a fraction of a microsecond, and does nothing else, whether someone counts or not. Any thread may
    call it.

    Example:
        >>> from memlab import mark_iteration
        >>> def handle(request):
        ...     try:
        ...         return request.upper()
        ...     finally:
        ...         mark_iteration()
        >>> handle("get")
        'GET'
    """
    global _marked  # noqa: PLW0603 - one count for the process
    with _lock:
        _marked += 1


def marked_iterations() -> int:
    """Return how many iterations this process has marked."""
    return _marked


class ProgramEnded(BaseException):
    """The program ended before the hunt did."""


class RunningStep(Step):
    """The step of a hunt beside a program: wait for its next iterations.

    Args:
        label: the program's name in the report.
        count: the program's iterations so far; it never falls.
        over: set when the program has ended.
        by_clock: whether what is counted is time.
        patience_s: how long to wait for one iteration.
    """

    elsewhere = True

    def __init__(
        self,
        label: str,
        count: Callable[[], int],
        over: threading.Event,
        *,
        by_clock: bool = False,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        super().__init__(self._wait, label)
        self.by_clock = by_clock
        self._count = count
        self._over = over
        self._patience_s = patience_s
        self._base = count()

    def run(self, times: int) -> None:
        """Wait until ``times`` more iterations are done.

        Raises:
            ProgramEnded: when the program ends first.
            StepError: when it does none for long.
        """
        goal = self.calls + times
        moved = time.monotonic()
        while True:
            done = self._count() - self._base
            if done > self.calls:
                self.calls, moved = done, time.monotonic()
            if self.calls >= goal:
                return
            if self._over.is_set():
                raise ProgramEnded
            if time.monotonic() - moved > self._patience_s:
                raise StepError(
                    f"the program marked no iteration for {self._patience_s:.0f} s: give it work to do "
                    "while it is watched"
                )
            self._over.wait(_POLL_S)

    def _wait(self) -> None:
        self.run(1)

"""Which engine traces, and what it costs: the one place where that is decided.

``memlab.trace()`` asks for a trace of allocations, and two engines can give one, both as a ``Snapshot``: what
Python's allocators give out is tracemalloc's, memory outside of them memray's (``lab/native_trace.py``).
``choose`` says which and why, as a value; ``Trace`` runs it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol, Self

from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memlab.records.snapshot import Snapshot

__all__ = ["EngineChoice", "RunningEngine", "Trace", "choose", "start_native", "trace"]

_FRAMES = {"tracemalloc": 1, "memray": 512}
_MOST_FRAMES = {"tracemalloc": 65_535, "memray": 65_535}


class RunningEngine(Protocol):
    """What an engine gives ``Trace`` to run. It begins when ``begin`` returns, and ends with ``end``."""

    engine: str
    measures: tuple[str, ...]
    """What ``snapshot`` can be asked for, the default first."""

    def begin(self) -> None:
        """Start recording allocations; undo everything when that fails."""

    def snapshot(self, label: str, measure: str, sources: str) -> Snapshot:
        """Return a snapshot, while it runs or after it ended.

        Raises:
            UnavailableError: for an engine that has nothing to show while it runs.
        """

    def end(self) -> None:
        """Stop, keep what ``snapshot`` needs afterwards. Safe to repeat."""


@dataclasses.dataclass(frozen=True, slots=True)
class EngineChoice:
    """The engine that a trace will use.

    Attributes:
        engine: ``tracemalloc`` or ``memray``.
        reason: why this one, a sentence's part.
        costs: what it costs, in a sentence's part.
        frames: frames kept of each block's stack.
    """

    engine: str
    reason: str
    costs: str
    frames: int


def trace(
    *,
    native: bool = False,
    frames: int | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Trace:
    """Trace allocations with the engine that fits, and give a ``Snapshot``.

    In it: blocks given out while it ran, by Python's allocators and NumPy, or with ``native`` by the whole
    process. Not in it: what was allocated before. ``trace(...).choice`` says which engine it is, why, and
    what it costs.

    Args:
        native: trace the whole process's allocations, C and C++ included, with memray (``memlab[native]``).
        frames: frames kept of each stack. Default: 1 by tracemalloc, where each costs time, else 512.
        aliases: labels for code file names. Default: those of notebook cells.

    Raises:
        UsageError: for a number of frames that makes no sense.
        UnavailableError: when the engine that was asked for cannot run here.
        MissingExtraError: when ``native`` was asked for and memray is not installed.

    Example:
        >>> with trace() as running:
        ...     kept = [bytearray(100_000) for _ in range(300)]
        >>> 20_000_000 < running.result.total_bytes < 40_000_000
        True
    """
    return Trace(choose(native=native, frames=frames), aliases)


def choose(*, native: bool = False, frames: int | None = None) -> EngineChoice:
    """Decide which engine traces. Starts nothing; see ``trace`` for the arguments.

    Raises:
        UsageError: for a number of frames that makes no sense.
    """
    if native:
        return _choice("memray", "native memory was asked for", frames)
    return _choice("tracemalloc", "Python's own memory was asked for", frames)


class Trace:
    """A trace of allocations, from ``start`` to ``stop``; best used in ``with``. Made by ``trace()``.

    Attributes:
        choice: the engine, why it is this one, and what it costs.
    """

    def __init__(self, choice: EngineChoice, aliases: Mapping[str, str] | None = None) -> None:
        self.choice = choice
        self._aliases = aliases
        self._engine: RunningEngine | None = None
        self._running = False
        self._result: Snapshot | None = None

    def start(self) -> Self:
        """Begin.

        Raises:
            UsageError: when it began before: make a new one.
            UnavailableError: when the engine cannot run now.
        """
        if self._engine is not None:
            raise UsageError("tracing: this trace was started before; make a new one")
        engine = _made(self.choice, self._aliases)
        try:
            self._running = True
            self._engine = engine
            engine.begin()
        except BaseException:
            self._running = False
            engine.end()
            raise
        return self

    def stop(self) -> Snapshot:
        """End, and return the snapshot of that moment. A second call returns the same.

        Raises:
            UsageError: when it has not begun.
        """
        self._end()
        return self.result

    def snapshot(self, label: str = "", measure: str | None = None, *, sources: str = "own") -> Snapshot:
        """Return what is recorded so far, or what was when it ended.

        Args:
            label: your name for it.
            measure: what is counted; each engine has its own, the default first: ``live`` by tracemalloc;
                ``leaked``, ``peak``, ``temporary`` by memray.
            sources: of which source files lines are recorded, see ``memlab.snapshot``.

        Raises:
            UsageError: for a measure that this engine has not, or when it has not begun.
            UnavailableError: for an engine that has nothing to show while it runs.
        """
        engine = self._begun("taking a snapshot of a trace")
        chosen = engine.measures[0] if measure is None else measure
        if chosen not in engine.measures:
            raise UsageError(
                f"taking a snapshot of a trace: {engine.engine} measures {' or '.join(engine.measures)}, "
                f"not {measure!r}"
            )
        return engine.snapshot(label, chosen, sources)

    @property
    def result(self) -> Snapshot:
        """The snapshot of the moment at which it ended.

        Raises:
            UsageError: while it runs, or before it began.
        """
        self._begun("reading a trace's result")
        if self._running:
            raise UsageError(
                "reading a trace's result: it still runs; stop() ends it, snapshot() looks at it"
            )
        if self._result is None:
            self._result = self.snapshot()
        return self._result

    @property
    def is_running(self) -> bool:
        """Tell whether allocations are recorded."""
        return self._running

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self._end()

    def __del__(self) -> None:
        if getattr(self, "_running", False):
            self._end()

    def _end(self) -> None:
        engine = self._begun("ending a trace")
        try:
            engine.end()
        finally:
            engine.end()  # finishes what an interrupt cut short
            self._running = False

    def _begun(self, step: str) -> RunningEngine:
        if self._engine is None:
            raise UsageError(f"{step}: it has not begun; use it in `with`, or call start()")
        return self._engine


def start_native(frames: int, aliases: Mapping[str, str] | None) -> RunningEngine:
    """Return the engine for native memory, ready to begin.

    Raises:
        MissingExtraError: when memray is not installed.
    """
    from memlab.lab.native_trace import native_engine

    return native_engine(frames=frames, aliases=aliases)


def _made(choice: EngineChoice, aliases: Mapping[str, str] | None) -> RunningEngine:
    if choice.engine == "memray":
        return start_native(choice.frames, aliases)
    return _TracemallocEngine(choice.frames, aliases)


class _TracemallocEngine:
    """tracemalloc, through its one owner, as an engine of ``Trace``."""

    engine = "tracemalloc"
    measures: tuple[str, ...] = ("live",)

    def __init__(self, frames: int, aliases: Mapping[str, str] | None) -> None:
        from memlab.collectors.tracing import Tracing

        self._tracing = Tracing(frames, aliases)
        self._begun = False
        self._last: Snapshot | None = None

    def begin(self) -> None:
        self._tracing.start()
        self._begun = True

    def snapshot(self, label: str, measure: str, sources: str) -> Snapshot:
        del measure
        if self._last is not None:
            return dataclasses.replace(self._last, label=label) if label else self._last
        return self._tracing.snapshot(label, sources=sources)

    def end(self) -> None:
        try:
            if self._begun and self._last is None:
                self._last = self._tracing.snapshot()
        finally:
            self._begun = False
            self._tracing.stop()


# -- arguments and words


def _choice(engine: str, reason: str, frames: int | None) -> EngineChoice:
    most = _MOST_FRAMES[engine]
    if frames is not None and (type(frames) is not int or not 1 <= frames <= most):
        raise UsageError(
            f"tracing: frames must be a number from 1 to {most:,} with the engine {engine}, not {frames!r}"
        )
    kept = _FRAMES[engine] if frames is None else frames
    return EngineChoice(engine, reason, _costs(engine, kept), kept)


def _costs(engine: str, frames: int) -> str:
    """Say what an engine costs, in round figures."""
    if engine == "tracemalloc":
        most = "8 to 10" if frames == 1 else "10 to 20"
        return f"every block, frames: {frames:,}; up to {most} times the time where much is allocated"
    return "every allocation of the process: 2 to 4 times the time, and a file that grows"

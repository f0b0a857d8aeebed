"""Which engine traces, and what it costs: the one place where that is decided.

``memlab.trace()`` asks for a trace of allocations; three engines can give one, all of them as a ``Snapshot``.
The sampled one (``collectors/sampled_engine.py``) looks at a block every so many bytes and can stay on. Where
its extension could not be built, or every block is wanted, it is tracemalloc. Memory outside of Python's
allocators is memray's (``lab/native_trace.py``). ``choose`` says which and why, as a value;
``Trace`` runs it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Protocol, Self

from memlab._base.units import format_bytes, parse_bytes
from memlab.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memlab.records.snapshot import Snapshot

__all__ = ["EngineChoice", "RunningEngine", "Trace", "choose", "start_native", "trace"]

SAMPLE_BYTES = 512 * 1024
"""Default mean number of bytes between two samples."""
_LEAST_SAMPLE = 64
_MOST_SAMPLE = 1 << 40
_FRAMES = {"sampled": 25, "tracemalloc": 1, "memray": 512}
_MOST_FRAMES = {"sampled": 128, "tracemalloc": 65_535, "memray": 65_535}


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
        engine: ``sampled``, ``tracemalloc`` or ``memray``.
        reason: why this one, a sentence's part.
        costs: what it costs, from docs/engines.md.
        sample_bytes: mean bytes between two samples; 0 where every block is recorded.
        frames: frames kept of each block's stack.
    """

    engine: str
    reason: str
    costs: str
    sample_bytes: int
    frames: int


def trace(
    sample: float | str | None = None,
    *,
    native: bool = False,
    frames: int | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Trace:
    """Trace allocations with the engine that fits, and give a ``Snapshot``.

    In it: blocks given out while it ran, by Python's allocators and NumPy, or with ``native`` by the whole
    process. Not in it: what was allocated before. ``trace(...).choice`` says which engine it is, why, and
    what it costs; docs/engines.md compares them.

    Args:
        sample: mean number of bytes between two sampled blocks, such as ``"512 KiB"``; sizes are estimates
            then, with an interval. None (default): ``"512 KiB"`` where the sampling extension was built, else
            every block. 0: every block, by tracemalloc.
        native: trace the whole process's allocations, C and C++ included, with memray (``memlab[native]``).
        frames: frames kept of each stack. Default: 25 sampled, 1 by tracemalloc, where each costs time.
        aliases: labels for code file names. Default: those of notebook cells.

    Raises:
        UsageError: for a sample or number of frames that makes no sense.
        UnavailableError: when the engine that was asked for cannot run here.
        MissingExtraError: when ``native`` was asked for and memray is not installed.

    Example:
        >>> with trace(sample="64 KiB") as running:
        ...     kept = [bytearray(100_000) for _ in range(300)]
        >>> 20_000_000 < running.result.total_bytes < 40_000_000
        True
    """
    return Trace(choose(sample, native=native, frames=frames), aliases)


def choose(
    sample: float | str | None = None, *, native: bool = False, frames: int | None = None
) -> EngineChoice:
    """Decide which engine traces. Starts nothing; see ``trace`` for the arguments.

    Raises:
        UsageError: for a sample or number of frames that makes no sense.
        UnavailableError: when sampling was asked for and its extension is not there.
    """
    if native:
        if sample is not None:
            raise UsageError("tracing: native=True records every allocation; leave sample out")
        return _choice("memray", "native memory was asked for", 0, frames)
    size = _sample_bytes(sample)
    if size == 0:
        return _choice("tracemalloc", "every block was asked for", 0, frames)
    missing = _why_not_sampled()
    if not missing:
        return _choice("sampled", "its cost lets it stay on", size, frames)
    if sample is not None:
        raise UnavailableError(
            f"tracing a sample: {missing}; memlab.trace(sample=0) traces every block with tracemalloc instead"
        )
    return _choice("tracemalloc", missing, 0, frames)


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
            measure: what is counted; each engine has its own. ``live`` (default) for blocks that are not
                freed and ``allocated`` for all since the start, freed ones included, by the sampled engine;
                ``live`` by tracemalloc; ``leaked`` (default), ``peak``, ``temporary`` by memray.
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
    if choice.engine == "sampled":
        from memlab.collectors.sampled_engine import SampledEngine

        return SampledEngine(choice.sample_bytes, choice.frames, aliases)
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


def _why_not_sampled() -> str:
    """Return why the sampled engine cannot run here; empty when it can."""
    from memlab.collectors.sampled_engine import why_unavailable

    return why_unavailable()


def _choice(engine: str, reason: str, sample_bytes: int, frames: int | None) -> EngineChoice:
    most = _MOST_FRAMES[engine]
    if frames is not None and (type(frames) is not int or not 1 <= frames <= most):
        raise UsageError(
            f"tracing: frames must be a number from 1 to {most:,} with the engine {engine}, not {frames!r}"
        )
    kept = _FRAMES[engine] if frames is None else frames
    return EngineChoice(engine, reason, _costs(engine, sample_bytes, kept), sample_bytes, kept)


def _costs(engine: str, sample_bytes: int, frames: int) -> str:
    """Say what an engine costs, in round figures of docs/engines.md."""
    if engine == "sampled":
        rate = format_bytes(sample_bytes)
        if sample_bytes >= SAMPLE_BYTES // 2:
            return f"a block each {rate}: within 1.15 times the time, memory hardly more"
        return f"a block each {rate}: more than the 1.15 times the time that 512 KiB costs"
    if engine == "tracemalloc":
        most = "8 to 10" if frames == 1 else "10 to 20"
        return f"every block, frames: {frames:,}; up to {most} times the time where much is allocated"
    return "every allocation of the process: 2 to 4 times the time, and a file that grows"


def _sample_bytes(sample: float | str | None) -> int:
    if sample is None:
        return SAMPLE_BYTES
    if isinstance(sample, bool) or not isinstance(sample, (int, float, str)):
        raise UsageError(f"tracing: sample must be a size such as '512 KiB', 0 or None, not {sample!r}")
    if isinstance(sample, float) and not math.isfinite(sample):
        raise UsageError(f"tracing: sample must be a size such as '512 KiB', not {sample!r}")
    size = parse_bytes(sample)
    if size and not _LEAST_SAMPLE <= size <= _MOST_SAMPLE:
        raise UsageError(
            f"tracing: sample must be 0, or {_LEAST_SAMPLE} B to 1 TiB between two samples, not {sample!r}"
        )
    return size

"""Memory pressure on purpose, in this process within a budget, or as a scenario in a cage of its own.

``allocate_memory`` holds touched pages in this process and asks before each step whether the budget and the
machine's reserve still allow it. ``run`` puts a whole scenario, and whatever shall be put under pressure,
into a child process with a wall around it (``_cage``, ``_caged``); the pressure never is the caller's own.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from memlab._base.environment import describe_environment
from memlab._base.units import format_bytes, parse_bytes
from memlab.errors import BudgetError, UnavailableError, UsageError
from memlab.lab._ballast import map_touched
from memlab.lab._cage import Cage, start_refusal
from memlab.lab._cgroup import CageGroup
from memlab.lab._pressure_result import finished_run, signal_name
from memlab.lab._subject_names import named_subject
from memlab.lab.memory_monitor import MemoryMonitor
from memlab.lab.scenarios import PressureScenario, PressureStage

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

    import numpy.typing as npt

    from memlab.lab._cage import Told
    from memlab.records.pressure import PressureRun

__all__ = ["MemoryPressureSimulator"]

_MIB = 1024 * 1024
_LEAST_RESERVE = 512 * _MIB
_RESERVE_SHARE = 0.1
_CAP_SHARE = 0.5
_LEAST_BUDGET = 32 * _MIB
_USUAL_BUDGET = 256 * _MIB
_STEPS = 64
_MOST_DEADLINE_S = 24 * 3600.0
_FLOAT = 8


class MemoryPressureSimulator:
    """Memory pressure with a budget. Use it in ``with``: all that it allocated is released at the end.

    Args:
        budget_bytes: most that may be allocated here at one time, and what a cage may take in all; a number
            or ``"256 MiB"``. None: half of what is available when it is asked, and 256 MiB for a cage.
        monitor: reads memory and its ceiling; by default one of its own.
        i_know: go on where the ceiling of this process cannot be found out. Otherwise that is refused.

    The machine's reserve, the greater of 512 MiB and a tenth of the real ceiling, is never touched: what
    would leave less is refused with a ``BudgetError`` (a ``MemoryError``) before a page is touched. Swap
    counts as no room.

    Example:
        >>> with MemoryPressureSimulator(budget_bytes="64 MiB") as simulator:
        ...     block = simulator.allocate_memory(8)
        ...     len(simulator.allocations), block.dtype.name, block.nbytes
        (1, 'float64', 8388608)
    """

    def __init__(
        self,
        budget_bytes: int | str | None = None,
        *,
        monitor: MemoryMonitor | None = None,
        i_know: bool = False,
    ) -> None:
        self.budget_bytes = None if budget_bytes is None else _budget(budget_bytes)
        self.i_know = i_know
        self.monitor = monitor or MemoryMonitor()
        self.last_run: PressureRun | None = None
        """The last run in a cage; also one that an interrupt ended."""
        self._owns_monitor = monitor is None
        self._held: list[tuple[mmap.mmap, npt.NDArray[np.float64]]] = []

    # -- in this process

    @property
    def allocations(self) -> list[npt.NDArray[np.float64]]:
        """The arrays that are held, oldest first; a list of its own."""
        return [array for _, array in self._held]

    @property
    def allocated_bytes(self) -> int:
        """What they hold together."""
        return sum(array.nbytes for _, array in self._held)

    def allocate_memory(self, size_mb: float) -> npt.NDArray[np.float64]:
        """Allocate and touch memory in this process, and hold it until it is released.

        The pages are touched in steps of at most a 64th of the budget; budget and reserve are asked between
        them, and what was touched is given back when the answer is no.

        Args:
            size_mb: in MB of 1024 * 1024 bytes, rounded down to whole floats.

        Returns:
            An array of shape ``(size_mb * 131072,)``. It is ballast, no storage: once released it reads as
            zeros.

        Raises:
            BudgetError: a MemoryError: it would pass the budget, or leave the machine under its reserve.
            UsageError: when ``size_mb`` is no number above 0.
            UnavailableError: when the ceiling cannot be found out, and ``i_know`` was not said.
        """
        if isinstance(size_mb, bool) or not isinstance(size_mb, (int, float)) or not 0 < size_mb < 2**40:
            raise UsageError(f"allocating memory: size_mb must be a number above 0, not {size_mb!r}")
        size = int(size_mb * _MIB) // _FLOAT * _FLOAT
        if not size:
            raise UsageError(f"allocating memory: {size_mb!r} MB is less than one float")
        budget = self._budget_here()
        held = self.allocated_bytes
        if held + size > budget:
            raise BudgetError(
                f"allocating {format_bytes(size)} would pass the budget: {format_bytes(held)} of "
                f"{format_bytes(budget)} are allocated; release some, or give a larger budget"
            )
        self._ask(size)
        block = map_touched(size, max(1, min(budget, 1 << 40) // _STEPS), self._ask)
        array = np.frombuffer(block, dtype=np.float64)
        self._held.append((block, array))
        return array

    def release_memory(self, count: int = 1) -> int:
        """Release the ``count`` newest allocations, or as many as there are; return the bytes given back.

        The pages go back to the system at once, also where an array is still referred to: it then reads as
        zeros.

        Raises:
            UsageError: when ``count`` is no whole number of at least 0.
        """
        if type(count) is not int or count < 0:
            raise UsageError(f"releasing memory: count must be a whole number of at least 0, not {count!r}")
        released = 0
        for _ in range(min(count, len(self._held))):
            block, array = self._held.pop()
            released += array.nbytes
            del array
            _give_back(block)
        return released

    def get_memory_usage(self) -> float:
        """Return the resident memory of this process in MB of 1024 * 1024 bytes.

        Raises:
            UnavailableError: when it cannot be read here.
        """
        rss = self.monitor.rss_bytes()
        if rss is None:
            reason = self.monitor.read(uss=False).absent.get("rss_bytes", "no source answers")
            raise UnavailableError(f"the memory of this process cannot be read: {reason}")
        return rss / _MIB

    def close(self) -> None:
        """Release everything."""
        self.release_memory(len(self._held))
        if self._owns_monitor:
            self.monitor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- in a cage

    def run(
        self,
        scenario: PressureScenario | str = "ramp",
        *,
        subject: Callable[[], Any] | str | None = None,
        cache: Callable[[], Any] | str | None = None,
        pool: Callable[[], Any] | str | None = None,
        keys: Callable[[], Any] | str | None = None,
        value_bytes: int = 10_240,
        key_count: int = 4_000,
        deadline_s: float | None = None,
        cgroup: bool = False,
        on_sample: Callable[[float, int, Told], object] | None = None,
    ) -> PressureRun:
        """Run a scenario in a cage, with or without something inside it.

        The cage is a child process whose whole memory, interpreter and subject included, is bounded by the
        budget: a small machine of that size. A subject is named as ``"module:function"`` or is a callable
        that can be pickled by its name; a function of the notebook itself is not known there.

        Args:
            scenario: a PressureScenario, or ``ramp``, ``spike``, ``sawtooth``, ``oom``.
            subject: a step: a function without arguments, called again and again for its latency.
            cache: makes a cache, which is asked for keys in turn; a miss puts a value.
            pool: makes a pool, from which an object is taken and given back.
            keys: returns the keys for the cache, an iterable that does not end; by default ``key_count``
                keys, the nth about 1/n as often as the first.
            value_bytes: size of each value put into the cache.
            key_count: number of keys of the default trace.
            deadline_s: end it so long after it was ready; by default three times the scenario's length and
                30 s. To come up and make the subject it has a minute.
            cgroup: put a cgroup around the cage as well, where this process may make one.
            on_sample: called ten times a second with seconds, resident bytes and what the cage last told; it
                ends the run by returning False.

        Raises:
            BudgetError: the budget is more than may be taken here; nothing was started.
            UsageError: an argument cannot be used as given.
            UnavailableError: no cage can be had here.

        Example:
            >>> simulator = MemoryPressureSimulator(budget_bytes="48 MiB")
            >>> run = simulator.run(PressureScenario.gradual_ramp().lasting(0.3), subject="math:factorial")
            Traceback (most recent call last):
                ...
            memlab.errors.UsageError: math:factorial: its first call raised TypeError
            >>> run = simulator.run(PressureScenario.gradual_ramp().lasting(0.3))
            >>> run.outcome.value, run.peak_rss_bytes < 64 * 2**20
            ('finished', True)
        """
        if isinstance(scenario, str):
            scenario = PressureScenario.named(scenario)
        if not isinstance(scenario, PressureScenario):
            raise UsageError(f"running a scenario: {type(scenario).__name__} is no PressureScenario")
        kind, chosen = _one_of(subject=subject, cache=cache, pool=pool)
        if keys is not None and kind != "cache":
            raise UsageError("running a scenario: keys are for a cache; name one with cache=")
        _whole("value_bytes", value_bytes, 1, 2**30)
        _whole("key_count", key_count, 1, 10**6)
        return self._caged(
            scenario,
            kind,
            chosen,
            {
                "keys": named_subject(keys)[0] if keys is not None else None,
                "value_bytes": value_bytes,
                "key_count": key_count,
                "failing": False,
                "fail_nth": None,
            },
            deadline_s=deadline_s if deadline_s is not None else scenario.seconds * 3 + 30,
            cgroup=cgroup,
            on_sample=on_sample,
        )

    def fail_allocations(
        self, subject: Callable[[], Any] | str, *, nth: int | None = None, deadline_s: float = 120.0
    ) -> PressureRun:
        """Call a step again and again, each time with another of its allocations made to fail.

        The first call loses its first allocation, the second its second, until a call has no such
        allocation. ``failure_points`` of the result says what became of each failure: whether the
        MemoryError came out, whether the step turned it into something else, or returned all the same.

        Args:
            subject: the step, named or picklable as for ``run``.
            nth: only this allocation.
            deadline_s: end it after so long.

        Raises:
            UnavailableError: this build of Python cannot make allocations fail.
            BudgetError, UsageError: as for ``run``.
        """
        if nth is not None:
            _whole("nth", nth, 1, 100_000)
        scenario = PressureScenario("allocation failures", (PressureStage("failures", 0.0, 0.0),))
        extra = {"keys": None, "value_bytes": 1, "key_count": 1, "failing": True, "fail_nth": nth}
        return self._caged(scenario, "step", subject, extra, deadline_s=deadline_s)

    def _caged(
        self,
        scenario: PressureScenario,
        kind: str,
        subject: Callable[[], Any] | str | None,
        extra: dict[str, Any],
        *,
        deadline_s: float,
        cgroup: bool = False,
        on_sample: Callable[[float, int, Told], object] | None = None,
    ) -> PressureRun:
        refusal = start_refusal()
        if refusal:
            raise UnavailableError(refusal)
        if isinstance(deadline_s, bool) or not isinstance(deadline_s, (int, float)):
            raise UsageError(f"running a scenario: deadline_s must be a number, not {deadline_s!r}")
        if not 0 < deadline_s <= _MOST_DEADLINE_S:
            raise UsageError(
                f"running a scenario: deadline_s must be above 0 and at most a day, not {deadline_s!r}"
            )
        named, label = named_subject(subject) if subject is not None else (None, "")
        budget = self._budget_of_cage()
        plan = {
            "budget": budget,
            "reserve": self._reserve(),
            "stages": [dataclasses.asdict(stage) for stage in scenario.stages],
            "stop_at": scenario.stop_at,
            "deadline": float(deadline_s),
            "kind": kind,
            "subject": named,
            **extra,
        }
        group = CageGroup(budget) if cgroup else None
        cage = Cage(plan, on_sample, self.monitor.machine, group)
        interrupted = False
        try:
            cage.run()
        except KeyboardInterrupt:
            interrupted = True
            raise
        finally:
            if cage.seen.code is not None and (interrupted or cage.seen.ready):
                self.last_run = finished_run(
                    cage.seen,
                    scenario=scenario,
                    kind=kind,
                    label=label,
                    plan=plan,
                    interrupted=interrupted or cage.seen.stopped,
                    environment=describe_environment(),
                    group=group,
                )
        if self.last_run is None or cage.seen.ready is None:
            raise _never_ready(cage, label)
        return self.last_run

    # -- how much there may be

    def _budget_here(self) -> int:
        if self.budget_bytes is not None:
            return self.budget_bytes
        available = self._machine_room()
        # What is held already is no longer available, and was part of it.
        return int((available + self.allocated_bytes) * _CAP_SHARE) if available is not None else 1 << 62

    def _budget_of_cage(self) -> int:
        """Return the budget of a cage.

        Raises:
            BudgetError: when it is more than may be taken, or too little for an interpreter.
        """
        room = self._machine_room()
        budget = self.budget_bytes if self.budget_bytes is not None else _USUAL_BUDGET
        if room is not None:
            most = min(int(room * _CAP_SHARE), room - self._reserve())
            if self.budget_bytes is None:
                budget = max(_LEAST_BUDGET, min(budget, most))
            if budget > most:
                raise BudgetError(
                    f"a cage of {format_bytes(budget)} is more than may be taken here: "
                    f"{format_bytes(room)} are available, of which at most half, and "
                    f"{format_bytes(self._reserve())} stay in reserve; the most is "
                    f"{format_bytes(max(0, most))}"
                )
        if budget < _LEAST_BUDGET:
            raise UsageError(
                f"a cage of {format_bytes(budget)} is too small for an interpreter: give "
                f"{_LEAST_BUDGET // _MIB} MiB or more"
            )
        return budget

    def _machine_room(self) -> int | None:
        """Return what is available; None only when that cannot be found out and the caller said to go on."""
        return self._looked()[0]

    def _reserve(self) -> int:
        return self._looked()[1]

    def _looked(self) -> tuple[int | None, int]:
        """Return what is available, and what of it stays in reserve.

        Raises:
            UnavailableError: when it cannot be found out, and the caller did not say to go on.
        """
        reading = self.monitor.read(uss=False)
        if reading.available_bytes is None and not self.i_know:
            raise UnavailableError(
                "the memory that this process may take cannot be found out "
                f"({reading.absent.get('available_bytes', 'no ceiling')}); say i_know=True to go on"
            )
        limit = reading.limit_bytes
        reserve = max(_LEAST_RESERVE, int(limit * _RESERVE_SHARE)) if limit is not None else _LEAST_RESERVE
        return reading.available_bytes, reserve

    def _ask(self, size: int) -> None:
        """Refuse what would leave the machine under its reserve."""
        room, reserve = self._looked()
        if room is not None and room - size < reserve:
            raise BudgetError(
                f"allocating {format_bytes(size)} would leave {format_bytes(max(0, room - size))} available, "
                f"and {format_bytes(reserve)} stay in reserve for the rest of the machine; nothing more was "
                "allocated"
            )


def _budget(value: int | str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise UsageError(f"a budget is a number of bytes or text such as '256 MiB', not {value!r}")
    size = parse_bytes(value)
    if size <= 0:
        raise UsageError(f"a budget must be above 0, not {value!r}")
    return size


def _one_of(**given: Any) -> tuple[str, Any]:
    chosen = [(name, value) for name, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise UsageError(
            f"running a scenario: give one of {', '.join(name for name, _ in chosen)}, not several at once"
        )
    if not chosen:
        return "none", None
    name, value = chosen[0]
    return {"subject": "step"}.get(name, name), value


def _whole(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise UsageError(
            f"running a scenario: {name} must be a whole number from {low} to {high}, not {value!r}"
        )


def _never_ready(cage: Cage, label: str) -> Exception:
    """Return the error of a cage whose run never began."""
    seen = cage.seen
    word = (seen.end or {}).get("reason", "")
    if word.startswith("this build of Python"):
        return UnavailableError(word)
    if word:
        return UsageError(f"{label or 'the cage'}: {word}")
    if seen.killed:
        return BudgetError(
            f"{label or 'the cage'}: ended before any pressure: {seen.killed}; give it a larger budget"
        )
    what = f"it left with exit code {seen.code}"
    if seen.deadline:
        what = "it was not ready at its deadline"
    elif seen.code is not None and seen.code < 0:
        what = f"it was ended by {signal_name(-seen.code)}"
    return UnavailableError(f"{label or 'the cage'}: the run did not begin: {what}")


def _give_back(block: mmap.mmap) -> None:
    """Return the pages to the system, also while an array still refers to them."""
    try:
        block.close()
    except BufferError:
        advice = getattr(type(block), "madvise", None)
        if advice is not None and os.name == "posix":
            import mmap as module

            block.madvise(module.MADV_DONTNEED)

"""Memory pressure as a value: a name and stages, each a straight line from the ballast before to its own.

The unit of height is the room of the cage: what its budget leaves when interpreter and subject are there. So
one scenario fits every budget. A stage of no length jumps, in steps of at most a 64th of the budget.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from typing import TYPE_CHECKING, Self

from memlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PressureScenario", "PressureStage"]

_LONGEST_S = 3600.0
_MOST_STAGES = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class PressureStage:
    """One stretch: in ``seconds`` the ballast goes to ``share`` of the room, 0 to 1.

    Raises:
        UsageError: when a number makes no sense.
    """

    name: str
    seconds: float
    share: float

    def __post_init__(self) -> None:
        if type(self.name) is not str or not self.name:
            raise UsageError(f"a stage of pressure needs a name, not {self.name!r}")
        _number(f"stage {self.name!r}: seconds", self.seconds, 0.0, _LONGEST_S)
        _number(f"stage {self.name!r}: share", self.share, 0.0, 1.0)


@dataclasses.dataclass(frozen=True, slots=True)
class PressureScenario:
    """A course of memory pressure. Four are ready-made; any tuple of stages makes another.

    Attributes:
        name: what results call it.
        stages: in order. The first is what recovery is measured against, so let it be calm.
        stop_at: share of the whole budget that resident memory must not pass: the ballast stops growing
            below it, and the run's outcome says so. None leaves it at the wall of the cage.

    Raises:
        UsageError: when there is no stage, or a number makes no sense.

    Example:
        >>> scenario = PressureScenario("two steps", (
        ...     PressureStage("calm", 0.2, 0.0),
        ...     PressureStage("half", 0.0, 0.5),
        ...     PressureStage("stay", 0.5, 0.5),
        ... ))
        >>> scenario.seconds
        0.7
        >>> PressureScenario.spike_and_recovery().lasting(2).seconds
        2.0
    """

    name: str
    stages: tuple[PressureStage, ...]
    stop_at: float | None = None

    def __post_init__(self) -> None:
        if type(self.name) is not str or not self.name:
            raise UsageError(f"a scenario needs a name, not {self.name!r}")
        stages = self.stages
        if type(stages) is not tuple or not 0 < len(stages) <= _MOST_STAGES:
            raise UsageError(f"scenario {self.name!r}: stages must be a tuple of 1 to {_MOST_STAGES} stages")
        if not all(isinstance(stage, PressureStage) for stage in stages):
            raise UsageError(f"scenario {self.name!r}: every stage must be a PressureStage")
        if self.stop_at is not None:
            _number(f"scenario {self.name!r}: stop_at", self.stop_at, 0.0, 1.0)

    @property
    def seconds(self) -> float:
        """How long its stages last together; jumps come on top."""
        return math.fsum(stage.seconds for stage in self.stages)

    def lasting(self, seconds: float) -> Self:
        """Return the same course in another time.

        Raises:
            UsageError: when ``seconds`` is no number above 0, or the scenario has no length to change.
        """
        _number("a scenario's length in seconds", seconds, 1e-3, _LONGEST_S)
        if not self.seconds:
            raise UsageError(f"scenario {self.name!r} has only jumps: it lasts no time that could be changed")
        factor = seconds / self.seconds
        stages = tuple(dataclasses.replace(s, seconds=s.seconds * factor) for s in self.stages)
        return dataclasses.replace(self, stages=stages)

    @classmethod
    def gradual_ramp(cls, to: float = 0.9, seconds: float = 3.0) -> Self:
        """Grow evenly to ``to`` of the room, stay there a while, and let go."""
        return cls(
            "gradual ramp",
            (
                PressureStage("calm", seconds * 0.15, 0.0),
                PressureStage("ramp", seconds * 0.5, to),
                PressureStage("hold", seconds * 0.15, to),
                PressureStage("recovery", seconds * 0.2, 0.0),
            ),
        )

    @classmethod
    def spike_and_recovery(cls, to: float = 0.9, seconds: float = 3.0) -> Self:
        """Take ``to`` of the room at once, hold it shortly, let all of it go at once, and look on."""
        return cls(
            "spike and recovery",
            (
                PressureStage("calm", seconds * 0.3, 0.0),
                PressureStage("spike", 0.0, to),
                PressureStage("hold", seconds * 0.2, to),
                PressureStage("release", 0.0, 0.0),
                PressureStage("recovery", seconds * 0.5, 0.0),
            ),
        )

    @classmethod
    def sawtooth(cls, low: float = 0.2, high: float = 0.85, teeth: int = 4, seconds: float = 4.0) -> Self:
        """Grow slowly and drop at once, ``teeth`` times: the picture of a batch job, or of a lazy collector.

        Raises:
            UsageError: when ``teeth`` is no number from 1 to 100.
        """
        if type(teeth) is not int or not 1 <= teeth <= 100:  # noqa: PLR2004 - more teeth show nothing more
            raise UsageError(f"sawtooth: teeth must be a whole number from 1 to 100, not {teeth!r}")
        tooth = seconds * 0.7 / teeth
        stages = [PressureStage("calm", seconds * 0.15, 0.0)]
        for number in range(1, teeth + 1):
            stages += [
                PressureStage(f"rise {number}", tooth, high),
                PressureStage(f"drop {number}", 0.0, low),
            ]
        return cls("sawtooth", (*stages, PressureStage("recovery", seconds * 0.15, 0.0)))

    @classmethod
    def approach_oom(cls, seconds: float = 3.0, stop_at: float = 0.95) -> Self:
        """Grow until the next step would pass ``stop_at`` of the whole budget, hold there, and let go."""
        return cls(
            "approach to out-of-memory",
            (
                PressureStage("calm", seconds * 0.2, 0.0),
                PressureStage("approach", seconds * 0.5, 1.0),
                PressureStage("hold", seconds * 0.1, 1.0),
                PressureStage("recovery", seconds * 0.2, 0.0),
            ),
            stop_at,
        )

    @classmethod
    def named(cls, name: str) -> Self:
        """Return a ready-made scenario by its short name: ``ramp``, ``spike``, ``sawtooth`` or ``oom``.

        Raises:
            UsageError: for any other name.

        >>> PressureScenario.named("oom").stop_at
        0.95
        """
        ready: dict[str, Callable[[], Self]] = {
            "ramp": cls.gradual_ramp,
            "spike": cls.spike_and_recovery,
            "sawtooth": cls.sawtooth,
            "oom": cls.approach_oom,
        }
        if type(name) is str and name in ready:
            return ready[name]()
        near = difflib.get_close_matches(name, ready, n=1, cutoff=0.3) if type(name) is str else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"no scenario {name!r}: there are {', '.join(ready)}, or a PressureScenario{hint}")


def _number(what: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UsageError(f"{what} must be a number from {low:g} to {high:g}, not {value!r}")

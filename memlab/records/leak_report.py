"""The verdict on a step, and the evidence for it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from memlab.records._result import Result
from memlab.records.chain import ReferenceChain
from memlab.records.heap_results import Freed
from memlab.records.sites import Site
from memlab.records.timeline import Timeline

if TYPE_CHECKING:
    from memlab.records.fix_check import FixCheck

__all__ = [
    "ContainerGrowth",
    "GrowthTest",
    "LeakReport",
    "Protocol",
    "SiteGrowth",
    "StepFailure",
    "Suspect",
    "TypeGrowth",
    "Verdict",
]


class Verdict(enum.StrEnum):
    """What a hunt concludes. Nothing here is a probability; the tests and their bounds are in the report."""

    LEAK = "leak"
    """Python objects are left behind by every so many iterations, and nothing seen bounds them."""
    NO_LEAK = "no leak"
    """No metric rose throughout the run. A slower leak than the stated least one would not be seen."""
    WARMING_UP = "warming up"
    """What grows has a bound that it has not reached (a cache), or growth is slowing down."""
    NATIVE_LEAK = "native leak"
    """The process grows without end while Python's own blocks do not."""
    FRAGMENTATION = "fragmentation"
    """The process keeps memory that its allocator holds free."""
    INCONCLUSIVE = "inconclusive"
    """Too few iterations, too much noise, or the step failed."""

    @property
    def is_leak(self) -> bool:
        """True for both kinds of leak."""
        return self in (Verdict.LEAK, Verdict.NATIVE_LEAK)


@dataclasses.dataclass(frozen=True, slots=True)
class GrowthTest:
    """The test of one metric over the readings after warm-up.

    Attributes:
        metric: name of a column of ``LeakReport.series``.
        grew: every block's minimum lies above the one before it.
        sustained: the second half grew at least a quarter as much as the first: not filling up.
        per_iteration: growth per iteration (bytes for a ``_bytes`` metric, else a count), from the minima.
        low, high: 95 % interval of ``per_iteration``, from the differences between blocks.
        minima: the minimum of each block, less the first.
        false_positive_bound: chance of ``grew`` when the readings merely come in random order: 1 / blocks!
        least: smallest growth per iteration that this run could have told from noise.
    """

    metric: str
    grew: bool
    sustained: bool
    per_iteration: float
    low: float
    high: float
    minima: tuple[int, ...]
    false_positive_bound: float
    least: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class TypeGrowth:
    """Objects of one type that were made after the start and are still alive.

    Attributes:
        type_name: module and qualified name.
        objects_per_iteration: growth between the censuses.
        bytes_per_iteration: their shallow sizes: not what they refer to, no buffers that they own.
        counts: objects at each census.
    """

    type_name: str
    objects_per_iteration: float
    bytes_per_iteration: float
    counts: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class SiteGrowth:
    """An allocation site whose live memory rose. Sizes are tracemalloc's: Python's allocators only."""

    site: Site
    bytes_per_iteration: float
    blocks_per_iteration: float


@dataclasses.dataclass(frozen=True, slots=True)
class ContainerGrowth:
    """A container that was there from the start and gains entries.

    Attributes:
        name: how it is reached, e.g. ``app.registry._live``; its type when no name is known.
        lengths: entries at each census.
        bound: greatest number of entries that it will hold, None when none is known.
        bound_source: where the bound was read (``lru_cache maxsize`` ...).
    """

    name: str
    type_name: str
    lengths: tuple[int, ...]
    entries_per_iteration: float
    bound: int | None = None
    bound_source: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Suspect:
    """One thing that leaks: what, made where, held by whom.

    Attributes:
        type_name: the type that best names what is left behind.
        objects_per_iteration: collector-tracked objects of all types that this holder gains.
        bytes_per_iteration: their shallow sizes with the untracked leaves that only they refer to.
        share: part of all growing objects that this holder accounts for, 0 to 1.
        types: what is left behind under this holder, most telling first.
        site: where an object of ``type_name`` is allocated; None where it was not traced.
        chain: from a root to one of the objects; None where only native code holds it.
        container: the container that gains entries, where there is one.
        prose: all this in one or two sentences.
        entry: where the object is allocated that the container directly holds, when that is another line.
        source: what it was seen by: ``objects``, ``entries`` of a container, ``traced blocks``, ``malloc``
            (blocks that native code took and did not give back) or ``rss`` (resident memory by line).
        retained_bytes: what would be freed if the holder let go: all entries of the container that gains,
            however old, without its own table; without such a container, what the holder has come to hold in
            the second pass. None where that is not known.
        freed: the same cut in full: objects and bytes by type, and what stays since others hold it too.
        freed_absent: why ``freed`` and ``retained_bytes`` are None.
    """

    type_name: str
    objects_per_iteration: float
    bytes_per_iteration: float
    share: float
    types: tuple[TypeGrowth, ...] = ()
    site: Site | None = None
    chain: ReferenceChain | None = None
    container: ContainerGrowth | None = None
    prose: str = ""
    entry: Site | None = None
    source: str = "objects"
    retained_bytes: int | None = None
    freed: Freed | None = None
    freed_absent: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class StepFailure:
    """Where the step stopped the hunt; the exception itself goes on to the caller, unchanged.

    Attributes:
        exception: the exception's type with its module; never its text, which may hold data.
        iteration: 1-based iteration that raised.
        stage: ``warm-up``, ``round 7``, ``tracing`` ...
        at: the line of the step's own code, when known.
    """

    exception: str
    iteration: int
    stage: str
    at: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """How the hunt was run.

    Attributes:
        iterations: calls of the step in all.
        warmup: calls before the first reading that counts.
        rounds: readings that were tested.
        per_round: calls between two of them.
        traced: calls made while allocations were traced.
        traceback_depth: frames kept for each traced block.
        budget_s, elapsed_s: time asked for and time used, in seconds.
        native: calls made while calls of malloc were noted.
        unit: what an iteration is: a call of the step, or for a program a ``mark``, or a ``second``.
    """

    iterations: int
    warmup: int
    rounds: int
    per_round: int
    traced: int = 0
    traceback_depth: int = 0
    budget_s: float = 0.0
    elapsed_s: float = 0.0
    native: int = 0
    unit: str = "iteration"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class LeakReport(Result):
    """What ``memlab.find_leaks`` gives back.

    Attributes:
        verdict, reason: the conclusion, and why in one sentence.
        step: what was run, as ``module:function`` or ``Cell In[3]``.
        series: a reading each round: ``iteration``, ``rss_bytes``, ``allocated_blocks`` ...
        tests: one for each tested metric.
        suspects: what leaks, greatest growth first; empty without a leak.
        types, sites, containers: everything that rose, greatest first.
        objects_per_iteration: objects left behind by an iteration: those that the collector tracks, and
            untracked entries of the containers that gain. What else hangs from these is not counted. None
            when not counted.
        bytes_per_iteration: memory left behind by an iteration: traced bytes, or RSS where that is
            ``bytes_source``; None when neither could be told.
        failure: set when the step raised; the report then shows what was seen until then.
        complete: False when the hunt ended early.
        notes: what a reader must know to trust the figures.
    """

    kind: ClassVar[str] = "leak report"

    verdict: Verdict
    reason: str
    step: str
    protocol: Protocol
    series: Timeline
    tests: tuple[GrowthTest, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    types: tuple[TypeGrowth, ...] = ()
    sites: tuple[SiteGrowth, ...] = ()
    containers: tuple[ContainerGrowth, ...] = ()
    objects_per_iteration: float | None = None
    bytes_per_iteration: float | None = None
    bytes_source: str = ""
    failure: StepFailure | None = None
    complete: bool = True
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def test(self, metric: str) -> GrowthTest | None:
        """Return the test of one metric, or None when it was not tested."""
        return next((t for t in self.tests if t.metric == metric), None)

    def what_if(self, suspect: int = 0) -> Freed:
        """Return what would be freed if what holds a suspect let go: objects and bytes by type.

        The hunt cut the references on the graph of the whole heap, exactly, at its end; nothing of the heap
        is kept but the answer, so a loaded report gives it too.

        Args:
            suspect: index into ``suspects``; the first leaks most.

        Raises:
            UsageError: when there is no such suspect, or the hunt could not tell; the sentence says why.

        Example:
            >>> import memlab
            >>> kept = []
            >>> report = memlab.find_leaks(lambda: kept.append(bytearray(1000)), iterations=300)
            >>> freed = report.what_if()
            >>> freed.contents[0].type_name, freed.objects == len(kept)
            ('builtins.bytearray', True)
            >>> kept.clear()
        """
        from memlab.errors import UsageError

        if type(suspect) is not int or not 0 <= suspect < len(self.suspects):
            many = f"suspects 0 to {len(self.suspects) - 1}" if self.suspects else "no suspects"
            raise UsageError(f"asking what a cut would free: this report has {many}, not {suspect!r}")
        found = self.suspects[suspect]
        if found.freed is None:
            why = found.freed_absent or "this hunt did not cut its references"
            raise UsageError(f"asking what a cut would free: not known for suspect {suspect}: {why}")
        return found.freed

    def verify(
        self, step: Callable[[], Any], setup: Callable[[], Any] | None = None, **options: Any
    ) -> FixCheck:
        """Hunt in the mended step, and say whether this leak is fixed, better, the same or worse.

        Args:
            step: the mended step, called without arguments again and again.
            setup: called once before.
            options: those of ``find_leaks``. Default: the time that this hunt was given.
        """
        from memlab.lab.verify_fix import verify_fix

        return verify_fix(self, step, setup, **options)

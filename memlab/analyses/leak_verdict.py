"""From tests and suspects to a verdict and the sentence that says why.

The order of the questions is the protocol: did any metric rise throughout; did the rise go on or slow down;
did it go on when the step ran again, traced; does what grows have a bound that it has not reached; and is
it made of Python's memory or of the process's alone. Pure functions of records: a saved report can be
judged again.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING

from memlab._base.units import format_bytes, format_things
from memlab.records.leak_report import GrowthTest, Suspect, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OF_PYTHON", "Findings", "Judgement", "begins_late", "doubtful", "judge", "rises", "slows"]

OF_PYTHON = 0.3
"""Part of the resident growth that Python's traced memory must account for, to call it Python's."""
_BOUNDED = 0.7
"""Part of the growth under containers with a bound from which the whole counts as filling."""
_ALIKE = 0.5
"""Least ratio of two rates, one to the other, that are taken for the same growth."""
_LATE_STEPS = 3
_LATE_LEAST = 4
"""Least growth from block to block, in objects, that counts as growth which began late."""
_EVEN = 0.5
"""Least ratio of the smallest to the greatest of these steps."""
_A_BLOCK = 0.9  # the least rate that may be one in each iteration
_EVEN_BLOCKS = 0.5
"""Part of the rate that must lie below its interval, where blocks alone rose and nothing was traced."""
_MUCH = 2**20
"""Least rise of malloc's blocks over a run, in bytes, that counts without resident growth."""
_PLAIN_RATE = 1024
"""Least such rise in an iteration, in bytes: tables of the interpreter gain some bytes a call for long."""
_STEADY = 0.75
"""Least ratio of the smallest to the greatest of its steps."""
_KEPT_FREE = 0.5
"""Part of the resident growth that malloc must hold free, to call it fragmentation."""
_OF_PROCESS = ("malloc_bytes", "rss_bytes")
_FEWEST_BLOCKS = 6.0
"""Blocks that the second pass must see left behind, where nothing but blocks at a line speaks for a leak."""
_PLAINLY_LOST = 20.0
_GOES_ON = 0.2
_GOES_ON_SLOWLY = 0.01  # by the clock: tracing slows the program down, and a service under it serves fewer
"""Least ratio of the growth in the second pass to that in the first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """What the passes found.

    Attributes:
        tests: of the bare pass, by metric.
        enough: whether there were readings enough to test.
        ended_early: whether the bare pass ended because the step had left so much behind.
        suspects: what grows, None when the second pass was not run.
        objects_rate: tracked objects per iteration in the second pass, None when it was not run.
        traced_rate: traced bytes per iteration in the second pass, None when nothing was traced.
        blocks_rate: traced blocks per iteration in the second pass, None when nothing was traced.
        sites_rate: those of them at lines that grew in every stretch of it.
        traced_calls: iterations of the second pass.
        native_calls: iterations of the pass that looks for lost native memory.
        lost: lines that lose native memory, None when they were not looked for.
        free_rate: bytes per iteration by which what malloc holds free rose, None where unknown.
        by_clock: whether an iteration is a time, of which a program that is traced makes less.
    """

    tests: Sequence[GrowthTest]
    enough: bool
    ended_early: bool = False
    suspects: tuple[Suspect, ...] | None = None
    objects_rate: float | None = None
    traced_rate: float | None = None
    blocks_rate: float | None = None
    sites_rate: float = 0.0
    traced_calls: int = 0
    native_calls: int = 0
    lost: tuple[Suspect, ...] | None = None
    free_rate: float | None = None
    by_clock: bool = False

    def test(self, metric: str) -> GrowthTest | None:
        """Return the test of one metric, or None."""
        return next((t for t in self.tests if t.metric == metric), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, why, and what one iteration leaves behind."""

    verdict: Verdict
    reason: str


def rises(tests: Sequence[GrowthTest]) -> bool:
    """Tell whether any metric rose throughout and went on rising."""
    return any(t.grew and t.sustained for t in tests)


def doubtful(tests: Sequence[GrowthTest]) -> bool:
    """Tell whether more rounds could change the answer: growth that slows down, or blocks alone, and few.

    Blocks rise for long in healthy programs, a few now and then, while tables of names and line numbers
    fill; objects that the collector tracks do not.
    """
    risen = {t.metric: t.per_iteration for t in tests if _sustained(t)}
    only_blocks = set(risen) == {"allocated_blocks"} and risen["allocated_blocks"] < 1.0
    return slows(tests) or only_blocks


def begins_late(tests: Sequence[GrowthTest]) -> bool:
    """Tell whether nothing rose throughout, but a count rose evenly in the second half of the run."""
    return not rises(tests) and any(_late(t) for t in tests if t.metric not in _OF_PROCESS and not t.grew)


def _late(test: GrowthTest) -> bool:
    last = [b - a for a, b in itertools.pairwise(test.minima)][-_LATE_STEPS:]
    return min(last) >= max(_LATE_LEAST, _EVEN * max(last))


def slows(tests: Sequence[GrowthTest]) -> bool:
    """Tell whether something rose throughout but is slowing down: worth running longer."""
    return any(_slows(t) for t in tests) and not rises(tests)


def _slows(test: GrowthTest) -> bool:
    """Tell whether it grew, does so less and less, and still at a rate that this run can tell from none."""
    if not test.grew or test.sustained or test.per_iteration <= 0:
        return False
    steps, half = len(test.minima) - 1, len(test.minima) // 2
    iterations = test.minima[-1] / test.per_iteration * (steps - half) / steps
    return test.minima[-1] - test.minima[half] >= test.least * iterations


def judge(found: Findings) -> Judgement:
    """Return the verdict on what was found."""
    if not found.enough:
        few = "too few rounds to tell growth from noise"
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{few}: the step leaves so much behind that it could not run more often; give a smaller step"
            if found.ended_early
            else f"{few}; give a larger budget or a faster step",
        )
    if slows(found.tests):
        what = " and ".join(_words(t.metric) for t in found.tests if _slows(t))
        return Judgement(Verdict.WARMING_UP, f"{what} rose in every block of rounds but ever more slowly")
    if begins_late(found.tests):
        what = " and ".join(_words(t.metric) for t in found.tests if t.metric not in _OF_PROCESS and _late(t))
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{what} rose in the second half of the run but not before: a leak that begins late, or a "
            "table that fills; more iterations can tell",
        )
    if not rises(found.tests) and found.ended_early:
        return Judgement(
            Verdict.INCONCLUSIVE,
            "the step left so much behind that it could not run on, but not in every block of rounds; "
            "give a smaller step, or more of them before: warmup=",
        )
    if not rises(found.tests):
        return Judgement(Verdict.NO_LEAK, _no_leak_reason(found))
    python = any(_sustained(found.test(m)) for m in ("allocated_blocks", "tracked_objects"))
    # A little of Python's may be lost beside much of native code's: the greater is the answer.
    lost = sum(s.bytes_per_iteration for s in found.lost or ())
    if python and lost <= (found.traced_rate or 0.0):
        return _judge_python(found)
    return _judge_process(found) if not python or _process_rises(found) else _judge_python(found)


def _process_rises(found: Findings) -> bool:
    return any(_sustained(found.test(metric)) for metric in _OF_PROCESS)


def _judge_python(found: Findings) -> Judgement:
    growth = _growth_sentence(found)
    if found.suspects is None:
        if _uneven_blocks(found):
            return Judgement(
                Verdict.INCONCLUSIVE,
                f"{growth}, but not evenly or not in each, and no object with them: tables fill like this. "
                "Only a traced pass or more iterations can tell",
            )
        return Judgement(Verdict.LEAK, growth)
    if _stopped(found):
        return Judgement(
            Verdict.WARMING_UP,
            f"{growth}; but growth all but stopped when the step ran on, so it was filling up",
        )
    if _unconfirmed(found):
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{growth}; but no object, container or line was seen to grow at that rate when the step ran on, "
            "traced: tables of names and line numbers fill like this. A larger budget may tell",
        )
    bounded = [s for s in found.suspects if s.container is not None and s.container.bound is not None]
    total = sum(s.share for s in found.suspects)
    if bounded and sum(s.share for s in bounded) >= _BOUNDED * total:
        fills = "; ".join(
            f"{c.name} holds {c.lengths[-1]:,} of at most {c.bound:,} ({c.bound_source})"
            for c in (s.container for s in bounded[:3])
            if c is not None and c.bound is not None
        )
        return Judgement(Verdict.WARMING_UP, f"what grows is a cache that is not yet full: {fills}")
    return Judgement(Verdict.LEAK, growth)


def _judge_process(found: Findings) -> Judgement:
    """Judge growth of the process in which Python's small blocks have no part."""
    malloc, rss = found.test("malloc_bytes"), found.test("rss_bytes")
    in_malloc = malloc is not None and _sustained(malloc)
    test = malloc if in_malloc else rss
    assert test is not None  # one of them rose
    rate = test.per_iteration
    sentence = f"{_words(test.metric)} rose in every block of rounds, by {format_bytes(rate)} an iteration"
    if found.traced_rate is None:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{sentence}, while Python's small blocks did not; only tracing can tell whose it is",
        )
    # Without resident growth, far more traced than malloc keeps is turnover of what was never traced.
    turnover = not _sustained(rss) and found.traced_rate > rate / _ALIKE
    if found.traced_rate >= OF_PYTHON * rate and not turnover:
        return Judgement(
            Verdict.LEAK,
            f"{sentence}; {format_bytes(found.traced_rate)} of it are Python's own, in large blocks",
        )
    held = [s for s in found.suspects or () if s.container is not None]
    if sum(s.bytes_per_iteration for s in held) >= OF_PYTHON * rate:
        # Its table grows in rare leaps, none of which needs to fall into the second pass.
        return Judgement(Verdict.LEAK, f"{sentence}; {_gaining(held[0])}")
    if found.lost and (_sustained(rss) or _plainly_lost(found, rate)):
        return Judgement(
            Verdict.NATIVE_LEAK,
            f"{sentence}, while Python's own allocations did not: {_lowered(found.lost[0].prose)}",
        )
    if not in_malloc and found.free_rate is not None and found.free_rate >= _KEPT_FREE * rate:
        return Judgement(
            Verdict.FRAGMENTATION,
            f"{sentence}, but nothing that is in use did: malloc holds {format_bytes(found.free_rate)} more "
            "of it free after each iteration, in pieces that it cannot give back",
        )
    if not _sustained(rss) and not (in_malloc and _steadily(test)):
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{sentence}, but resident memory did not, and no line was seen to lose that much: "
            "tables of a library fill like this. A larger budget may tell",
        )
    return Judgement(
        Verdict.NATIVE_LEAK,
        f"{sentence}, while Python's own allocations did not: native code loses it, or one large block "
        "grows in place",
    )


def _steadily(test: GrowthTest) -> bool:
    """Tell whether much was added, and as much in each block: no table fills like this.

    Resident memory need not follow for long: free pages that the process has already are used up first.
    """
    steps = [b - a for a, b in itertools.pairwise(test.minima)]
    plain = test.minima[-1] >= _MUCH and test.per_iteration >= _PLAIN_RATE
    return plain and min(steps) >= _STEADY * max(steps)


def _plainly_lost(found: Findings, rate: float) -> bool:
    """Tell whether one line's lost blocks alone prove the growth, which resident memory does not show."""
    first = (found.lost or ())[0]
    blocks = first.objects_per_iteration * found.native_calls
    return blocks >= _PLAINLY_LOST and first.bytes_per_iteration >= rate / 2


def _lowered(prose: str) -> str:
    return prose[:1].lower() + prose[1:].rstrip(".")


def _gaining(suspect: Suspect) -> str:
    c = suspect.container
    assert c is not None
    rate = format_things(c.entries_per_iteration, "entry", "entries")
    return f"{c.name} gains {rate} an iteration"


def _growth_sentence(found: Findings) -> str:
    parts = []
    for metric in ("tracked_objects", "allocated_blocks"):
        test = found.test(metric)
        if test is not None and _sustained(test):
            one = {"tracked_objects": "object", "allocated_blocks": "allocated block"}[metric]
            parts.append(format_things(test.per_iteration, one))
    test = found.tests[0]
    left = " and ".join(parts)
    return f"each iteration leaves {left} behind, in every one of {len(test.minima)} blocks of rounds"


def _no_leak_reason(found: Findings) -> str:
    """Say what leak would have been seen, so that 'no leak' is worth something."""
    parts = []
    for metric in ("tracked_objects", "rss_bytes"):
        test = found.test(metric)
        if test is not None:
            parts.append(
                f"{format_bytes(test.least)} an iteration" if metric == "rss_bytes" else _one_in(test.least)
            )
    stopped = " and ".join(_words(t.metric) for t in found.tests if t.grew)
    what = (
        f"{stopped} rose at first and all but stopped" if stopped else "nothing rose in every block of rounds"
    )
    return f"{what}; a leak of {' or of '.join(parts)} would have been seen"


def _one_in(rate: float) -> str:
    """Say a small rate of objects in words.

    >>> _one_in(0.004), _one_in(3.0)
    ('one object in 250 iterations', '3 objects an iteration')
    """
    return (
        f"one object in {1 / rate:,.0f} iterations"
        if rate < 1
        else f"{format_things(rate, 'object')} an iteration"
    )


def _stopped(found: Findings) -> bool:
    """Tell whether the second pass saw far less growth than the first."""
    test = found.test("tracked_objects")
    if test is None or not _sustained(test) or found.objects_rate is None:
        return False
    return found.objects_rate < (_GOES_ON_SLOWLY if found.by_clock else _GOES_ON) * test.per_iteration


def _uneven_blocks(found: Findings) -> bool:
    """Tell whether blocks alone rose, not in each iteration, not surely, or not alike.

    No second pass confirms it here, and tables that fill look like this: ever slower, while a step that
    leaves something behind leaves as much each time.
    """
    objects, blocks = found.test("tracked_objects"), found.test("allocated_blocks")
    if blocks is None or (objects is not None and _sustained(objects)):
        return False
    steps = [b - a for a, b in itertools.pairwise(blocks.minima)]
    alike = min(steps) >= _STEADY * max(steps)
    sure = blocks.low >= _EVEN_BLOCKS * blocks.per_iteration
    return not (alike and sure and blocks.per_iteration >= _A_BLOCK)


def _unconfirmed(found: Findings) -> bool:
    """Tell whether blocks alone rose, and the second pass saw nothing of that size.

    Where nothing holds what grows, its line must at least grow about as fast as the first pass said: far
    faster is turnover, new entries in place of old ones that were never traced.
    """
    objects, blocks = found.test("tracked_objects"), found.test("allocated_blocks")
    if objects is not None and _sustained(objects) and found.suspects:
        return False
    if any(s.container is not None for s in found.suspects or ()):
        return False
    if blocks is None or found.blocks_rate is None:
        return not found.suspects
    if found.sites_rate * found.traced_calls < _FEWEST_BLOCKS:
        return True
    rate = max(blocks.per_iteration, 1e-9)
    alike = _ALIKE <= found.blocks_rate / rate <= 1.0 / _ALIKE
    return not (alike and found.sites_rate >= _ALIKE * rate)


def _sustained(test: GrowthTest | None) -> bool:
    return test is not None and test.grew and test.sustained


def _words(metric: str) -> str:
    return {
        "rss_bytes": "resident memory",
        "malloc_bytes": "what malloc has handed out",
        "allocated_blocks": "allocated blocks",
        "tracked_objects": "objects",
    }.get(metric, metric.replace("_", " "))

"""One realistic value of every result kind, all fields filled; no clock, no randomness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memlab.analyses.fix_check import compare_reports
from memlab.records.benchmark import (
    BenchmarkResult,
    BenchmarkTable,
    ChangePoint,
    HistoryRun,
    MetricHistory,
    Regression,
    RegressionReport,
    RegressionVerdict,
    RunHistory,
)
from memlab.records.cache import CacheStats, HitCurve
from memlab.records.capture import Capture, Ceiling, Child, Mark, Outcome, Peak, Span, StackSample
from memlab.records.capture_comparison import CaptureComparison
from memlab.records.cell_ledger import BoundName, CellLedger, CellRow
from memlab.records.chain import Explanation, Link, ReferenceChain, RootKind
from memlab.records.columns import floats, frozen, ints
from memlab.records.flame import FlameSide, FlameTree
from memlab.records.gc_pauses import GcPauses
from memlab.records.gc_results import GcAdvice, GcDecision, GcDecisions, GcStats, GcTrial
from memlab.records.heap_graph import EXTERNAL, IMMORTAL, TRACKED, HeapGraph
from memlab.records.heap_results import (
    ContainerDiff,
    Cycle,
    DuplicateGroup,
    Freed,
    HeapCensus,
    HeapCycles,
    HeapDiff,
    HeapDuplicates,
    HeapHoldings,
    HeapOwners,
    HeapSuspect,
    HeapSuspects,
    HeapTree,
    Holding,
    TypeCount,
    TypeDiff,
)
from memlab.records.leak_report import (
    ContainerGrowth,
    GrowthTest,
    LeakReport,
    Protocol,
    SiteGrowth,
    StepFailure,
    Suspect,
    TypeGrowth,
    Verdict,
)
from memlab.records.line_profile import LineProfile, ProfiledFunction, Stretch
from memlab.records.memit import MemitResult
from memlab.records.pool import PoolStats, PoolWorth
from memlab.records.pressure import PostMortem, PressureOutcome, PressurePhase, PressureRun
from memlab.records.report import Report
from memlab.records.site_timeline import SiteTimeline
from memlab.records.sites import Frame, Site, Sites
from memlab.records.snapshot import Snapshot
from memlab.records.snapshot_tables import Change, SiteDiff, SnapshotDiff, SnapshotTable
from memlab.records.timeline import Timeline
from memlab.records.where import MemoryPart, MemoryWhere, WhereStage

if TYPE_CHECKING:
    from memlab.records.fix_check import FixCheck

ENVIRONMENT = {"memlab": "0.1.0", "python": "CPython 3.11.2", "platform": "linux x86_64"}

MIB = 1024 * 1024
ROUNDS = 24
BLOCKS = 6
PER_ROUND = 5
WARMUP = 20


def leak_report(**changes) -> LeakReport:
    """Return the report of a service that keeps every session: two suspects, every field filled."""
    series = leaking_series()
    fields = {
        "verdict": Verdict.LEAK,
        "reason": (
            "Each iteration of app:step leaves 3,399 objects and 451 KiB behind; the growth went on to the"
            " last round and nothing seen bounds it."
        ),
        "step": "app:step",
        "protocol": Protocol(
            iterations=WARMUP + ROUNDS * PER_ROUND + 6,
            warmup=WARMUP,
            rounds=ROUNDS,
            per_round=PER_ROUND,
            traced=6,
            traceback_depth=10,
            budget_s=30.0,
            elapsed_s=8.42,
        ),
        "series": series,
        "tests": tuple(growth_test(series, metric) for metric in series.metrics if metric != "iteration"),
        "suspects": (session_suspect(), waiter_suspect()),
        "types": (
            TypeGrowth("app.models.Session", 1000.0, 56_000.0, (1000, 2000, 3000, 4000)),
            TypeGrowth("builtins.dict", 1198.0, 222_336.0, (14_022, 15_220, 16_418, 17_616)),
            TypeGrowth("app.models.AuditEntry", 1000.0, 48_000.0, (1000, 2000, 3000, 4000)),
            TypeGrowth("asyncio.events.Handle", 198.0, 27_720.0, (198, 396, 594, 792)),
            TypeGrowth("builtins.list", 3.0, 1_176.0, (2210, 2213, 2216, 2219)),
        ),
        "sites": (
            SiteGrowth(session_site(), 326_400.0, 4000.0),
            SiteGrowth(waiter_site(), 97_812.5, 594.0),
            SiteGrowth(Site((Frame("json/decoder.py", 353),)), 24_104.0, 201.5),
        ),
        "containers": (session_container(), cache_container()),
        "objects_per_iteration": 3399.0,
        "bytes_per_iteration": 461_824.0,
        "bytes_source": "traced",
        "failure": None,
        "complete": True,
        "environment": ENVIRONMENT,
        "notes": (
            "Allocations were traced for 6 iterations in a pass of their own; RSS was read without tracing.",
            "2 iterations of warm-up ran while the collector was still settling.",
        ),
    }
    return LeakReport(**{**fields, **changes})


def no_leak_report() -> LeakReport:
    """Return the report of a step that leaves nothing behind."""
    series = flat_series()
    return leak_report(
        verdict=Verdict.NO_LEAK,
        reason="No metric rose throughout 120 iterations; a leak of 1.2 KiB each would have been seen.",
        series=series,
        tests=tuple(growth_test(series, metric) for metric in series.metrics if metric != "iteration"),
        suspects=(),
        types=(),
        sites=(),
        containers=(),
        objects_per_iteration=0.0,
        bytes_per_iteration=None,
        bytes_source="",
        notes=(),
    )


def failed_report() -> LeakReport:
    """Return the report of a step that raised in round 7."""
    report = leak_report()
    short = Timeline(
        report.series.time_s[:6],
        {name: column[:6] for name, column in report.series.metrics.items()},
        report.series.sources,
        {"allocated_blocks": "this interpreter keeps no such count"},
    )
    return leak_report(
        verdict=Verdict.INCONCLUSIVE,
        reason="The step raised ValueError in round 7; what was seen until then is too little to judge.",
        series=short,
        tests=(),
        suspects=(),
        types=(),
        sites=(),
        containers=(),
        objects_per_iteration=None,
        bytes_per_iteration=None,
        bytes_source="",
        failure=StepFailure("builtins.ValueError", 56, "round 7", "app/service.py:31"),
        complete=False,
    )


def leaking_series() -> Timeline:
    """Return readings of a leaking step: every metric rises, RSS in jumps of the allocator's arenas."""
    index = np.arange(ROUNDS)
    noise = (index * 7 % 5) - 2
    return Timeline(
        floats(index * 0.31),
        {
            "iteration": ints(WARMUP + PER_ROUND * (index + 1)),
            "rss_bytes": ints(
                61_702_144 + (index * PER_ROUND * 468_000) // 1_048_576 * 1_048_576 + noise * 20_480
            ),
            "allocated_blocks": ints(402_113 + index * PER_ROUND * 4795 + noise * 9),
            "tracked_objects": ints(81_204 + index * PER_ROUND * 3399),
        },
        {"rss_bytes": "statm", "allocated_blocks": "sys.getallocatedblocks", "tracked_objects": "gc"},
        {"uss_bytes": "not read: it costs a walk of every mapping"},
        "2031-05-06T07:08:09Z",
    )


def flat_series() -> Timeline:
    """Return readings of a clean step: noise around a level."""
    index = np.arange(ROUNDS)
    noise = (index * 11 % 7) - 3
    return Timeline(
        floats(index * 0.29),
        {
            "iteration": ints(WARMUP + PER_ROUND * (index + 1)),
            "rss_bytes": ints(61_702_144 + noise * 8192),
            "allocated_blocks": ints(402_113 + noise * 4),
            "tracked_objects": ints(81_204 + noise),
        },
        {"rss_bytes": "statm", "allocated_blocks": "sys.getallocatedblocks", "tracked_objects": "gc"},
    )


def growth_test(series: Timeline, metric: str) -> GrowthTest:
    """Return the block-minima test of one metric, computed from the series it stands for."""
    values, at = series.metrics[metric][ROUNDS // 4 :], series.metrics["iteration"][ROUNDS // 4 :]
    size = len(values) // BLOCKS
    lowest = [start + int(values[start : start + size].argmin()) for start in range(0, len(values), size)]
    minima, where = values[lowest], at[lowest]
    grew = bool((np.diff(minima) > 0).all())
    rates = np.diff(minima) / np.diff(where)
    rate = float(minima[-1] - minima[0]) / float(where[-1] - where[0])
    spread = 2.776 * float(rates.std(ddof=1)) / len(rates) ** 0.5
    least = 1456.4 if metric.endswith("_bytes") else 0.4
    steps = tuple(int(m - minima[0]) for m in minima)
    return GrowthTest(metric, grew, grew, rate, rate - spread, rate + spread, steps, 1 / 720, least)


def session_site() -> Site:
    """Return where sessions are made: a library's line, reached from the user's."""
    return Site(
        (
            Frame("app/models.py", 42, "Session.__init__", "self.audit = [AuditEntry(n) for n in steps]"),
            Frame("app/registry.py", 17, "open_session", "session = Session(user, steps)"),
            Frame("app/service.py", 31, "handle_request", 'session = open_session(request["…"])'),
            Frame("app/__init__.py", 9, "step", "handle_request(make_request())"),
        ),
        user_frame=2,
    )


def waiter_site() -> Site:
    """Return where timers are made: inside the standard library."""
    return Site(
        (
            Frame(
                "asyncio/base_events.py",
                760,
                "BaseEventLoop.call_at",
                "timer = events.TimerHandle(when, callback)",
            ),
            Frame("app/service.py", 44, "keep_alive", "loop.call_later(3600, session.ping)"),
        ),
        user_frame=1,
    )


def session_container() -> ContainerGrowth:
    """Return the set that gains a session a request and has no bound."""
    return ContainerGrowth("app.registry._live", "builtins.set", (1000, 2000, 3000, 4000), 1000.0)


def cache_container() -> ContainerGrowth:
    """Return a cache that is filling up towards its bound."""
    return ContainerGrowth(
        "app.text.render", "functools.lru_cache", (40, 76, 101, 118), 26.0, 128, "lru_cache maxsize"
    )


def session_chain() -> ReferenceChain:
    """Return the chain from a module global to a session."""
    return ReferenceChain(
        RootKind.MODULE,
        (
            Link("", "module app.registry", "builtins.module"),
            Link("._live", "_live (set)", "builtins.set"),
            Link("[value]", "Session", "app.models.Session"),
        ),
    )


def notebook_chain() -> ReferenceChain:
    """Return a chain that starts in the notebook's own output history, with its middle cut."""
    return ReferenceChain(
        RootKind.NOTEBOOK,
        (
            Link("", "Out[3]", "builtins.dict"),
            Link("[value]", "list", "builtins.list"),
            Link("[7]", "Session", "app.models.Session"),
        ),
        cut=4,
    )


def session_suspect() -> Suspect:
    """Return the first suspect: sessions in a registry."""
    return Suspect(
        type_name="app.models.Session",
        objects_per_iteration=3000.0,
        bytes_per_iteration=326_400.0,
        share=0.8826,
        types=(
            TypeGrowth("app.models.Session", 1000.0, 56_000.0),
            TypeGrowth("app.models.AuditEntry", 1000.0, 48_000.0),
            TypeGrowth("builtins.dict", 1000.0, 184_000.0),
        ),
        site=session_site(),
        chain=session_chain(),
        container=session_container(),
        entry=Site((Frame("app/registry.py", 18, "open_session", "_live.add(session)"),), user_frame=0),
        prose=(
            "Every iteration leaves 1,000 app.models.Session behind. Made at app/models.py:42, held by"
            " the set app.registry._live, which gains 1,000 entries an iteration and is never emptied."
        ),
        retained_bytes=1_305_600,
        freed=Freed(
            objects=12_000,
            freed_bytes=1_305_600,
            cut=("all entries of app.registry._live",),
            contents=(
                TypeCount("builtins.dict", 4000, 736_000),
                TypeCount("app.models.Session", 4000, 224_000),
                TypeCount("app.models.AuditEntry", 4000, 192_000),
            ),
            notes=("12 of 4,012 objects that would be let go are held from elsewhere too, and would stay.",),
        ),
    )


def waiter_suspect() -> Suspect:
    """Return the second suspect: timers that no visible chain holds."""
    return Suspect(
        type_name="asyncio.events.TimerHandle",
        objects_per_iteration=399.0,
        bytes_per_iteration=97_812.5,
        share=0.1174,
        types=(TypeGrowth("asyncio.events.TimerHandle", 198.0, 27_720.0),),
        site=waiter_site(),
        chain=None,
        container=None,
        prose="399 objects an iteration under asyncio.events.TimerHandle; no holder was seen in Python.",
        freed_absent="no Python object was seen to hold it, so there is no reference to cut",
    )


def explanation() -> Explanation:
    """Return who holds a session: the registry, and the notebook."""
    return Explanation(
        type_name="app.models.Session",
        chains=(session_chain(), notebook_chain()),
        verdict="Two references hold it: the registry's set, and the notebook's output history.",
        refcount=3,
        holders=2,
        searched=81_204,
        complete=True,
        notes=("One reference was not seen in any Python object: native code may hold it.",),
    )


def snapshot() -> Snapshot:
    """Return four rows of live memory: two tracebacks of two frames, one of one, one in a native domain."""
    return Snapshot(
        traceback=ints([0, 1, 2, 0]),
        domain=ints([0, 0, 0, 389047]),
        size_bytes=ints([8_388_608, 524_288, 1536, 96]),
        blocks=ints([1000, 128, 3, 1]),
        starts=ints([0, 2, 4, 5]),
        frame_of=ints([0, 1, 2, 1, 3]),
        frame_file=ints([0, 1, 0, 2]),
        frame_line=ints([42, 31, 57, 353]),
        files=("app/models.py", "app/service.py", "json/decoder.py"),
        engine="tracemalloc",
        depth=2,
        label="after the first thousand requests",
        notes=("Tracing began when the snapshot was asked for: what was allocated before is not in it.",),
    )


def snapshot_table() -> SnapshotTable:
    """Return the same by function, every caller counted."""
    return SnapshotTable(
        by="function",
        places=Sites.of(
            (
                Site((Frame("app/models.py", 0, "Session.__init__"),), 0),
                Site((Frame("app/service.py", 0, "handle"),), 0),
                Site((Frame("json/decoder.py", 0, "JSONDecoder.raw_decode"),)),
            )
        ),
        size_bytes=ints([8_912_896, 8_390_144, 96]),
        blocks=ints([1128, 1003, 1]),
        total_bytes=8_914_528,
        total_blocks=1132,
        cumulative="inclusive",
        label="after the first thousand requests",
        notes=("Functions of one library file were not looked up: its source has changed since.",),
    )


def site_timeline() -> SiteTimeline:
    """Return three looks: one line that grows, one that comes and goes, one block without a stack."""
    return SiteTimeline(
        time_s=floats([0.0, 60.0, 120.0]),
        tick=ints([0, 0, 1, 1, 2, 2]),
        row=ints([0, 2, 0, 1, 0, 1]),
        size=ints([4_096, 700_000, 4_096, 65_536, 4_096, 65_536]),
        count=ints([3, 1, 20, 2, 41, 0]),
        row_domain=ints([0, 389_047, 0]),
        row_thread=ints([1, 1, 0]),
        starts=ints([0, 2, 3, 4]),
        frame_of=ints([0, 1, 1, 2]),
        frame_file=ints([0, 1, 2]),
        frame_line=ints([41, 12, 0]),
        frame_function=ints([1, 2, 0]),
        files=("app/models.py", "app/service.py", "<unknown>"),
        functions=("", "Session.__init__", "handle"),
        threads=("without the interpreter's lock", "MainThread"),
        own_files=(0, 1),
        sample_bytes=524_288,
        depth=25,
        notes=("estimates from 68 samples, one each 512 KiB on average; a site without one is not listed",),
    )


def snapshot_diff() -> SnapshotDiff:
    """Return one site of every fate."""
    return SnapshotDiff.of(
        by="line",
        sites=(
            SiteDiff(session_site(), 8_388_608, 4_194_304, 1000, 500, Change.GREW),
            SiteDiff(waiter_site(), 97_812, 97_812, 594, 594, Change.APPEARED),
            SiteDiff(Site((Frame("json/decoder.py", 353),)), 0, -24_104, 0, -201, Change.VANISHED),
            SiteDiff(
                Site((Frame("app/text.py", 12, "render", "return cache[key]"),)),
                512,
                -512,
                4,
                -4,
                Change.SHRANK,
            ),
        ),
        total_diff_bytes=4_267_500,
        total_diff_blocks=889,
        older_label="before",
        newer_label="after",
        engine="tracemalloc",
        notes=("Sizes are tracemalloc's: memory that bypasses Python's allocators is not in them.",),
    )


def flame_tree(**changes) -> FlameTree:
    """Return a differential tree: a leak, a cache that shrank, recursion, and frames that had no place."""
    # Rows: the root; three calls of the service; what they called; the leak's own line.
    now = FlameSide(
        self_bytes=ints([0, 0, 0, 512, 8_388_608, 97_812, 0, 65_536]),
        total_bytes=ints([8_564_692, 8_486_932, 77_248, 512, 8_388_608, 98_324, 65_536, 65_536]),
        self_blocks=ints([0, 0, 0, 4, 1000, 594, 0, 12]),
        total_blocks=ints([1617, 1598, 15, 4, 1000, 598, 12, 12]),
        frame_bytes=ints([8_388_608, 97_812, 512, 0, 0, 65_536, 12_224]),
        frame_blocks=ints([1000, 594, 4, 0, 0, 12, 7]),
    )
    before = FlameSide(
        self_bytes=ints([0, 0, 0, 1024, 4_194_304, 0, 0, 98_304]),
        total_bytes=ints([4_317_736, 4_194_304, 122_408, 1024, 4_194_304, 0, 98_304, 98_304]),
        self_blocks=ints([0, 0, 0, 8, 500, 0, 0, 20]),
        total_blocks=ints([728, 500, 220, 8, 500, 0, 20, 20]),
        frame_bytes=ints([4_194_304, 0, 1024, 0, 0, 98_304, 24_104]),
        frame_blocks=ints([500, 0, 8, 0, 0, 20, 200]),
    )
    fields = {
        "parent": ints([-1, 0, 0, 0, 1, 1, 2, 6]),
        "frame": ints([-1, 3, 4, 2, 0, 1, 6, 5]),
        "folded": ints([0, 0, 3, 0, 0, 2, 0, 0]),
        "repeats": ints([1, 1, 1, 1, 1, 1, 4, 1]),
        "now": now,
        "before": before,
        "frame_file": ints([0, 2, 1, 3, 3, 4, 4]),
        "frame_line": ints([42, 17, 12, 88, 91, 353, 340]),
        "frame_function": ints([1, 0, 2, 3, 3, 4, 0]),
        "files": ("app/models.py", "app/text.py", "app/waiters.py", "app/service.py", "json/decoder.py"),
        "functions": ("", "Session.__init__", "render", "handle", "JSONDecoder.raw_decode"),
        "file_package": ints([0, 0, 0, 0, 1]),
        "packages": ("app", "json"),
        "own_files": (0, 1, 2, 3),
        "depth": 25,
        "now_label": "after",
        "before_label": "before",
        "notes": ("stacks were recorded to 25 frames: callers beyond that of 512 B are not known",),
        "source_frame": ints([0, 1]),
        "sources": ("self.items = [None] * size", "return asyncio.get_running_loop().call_later(delay, f)"),
    }
    return FlameTree(**{**fields, **changes})


def timeline(samples: int = 600) -> Timeline:
    """Return a process that climbs, spikes for one single sample, and falls back."""
    index = np.arange(samples)
    rss = 50_331_648 + index * 20_480 + (np.sin(index / 9) * 1_500_000).astype(np.int64)
    rss[samples * 2 // 3 :] -= 6_291_456
    rss[samples // 2] = 157_286_400  # the spike: one sample wide
    return Timeline(
        floats(index * 0.02),
        {"rss_bytes": ints(rss), "threads": ints(1 + (index > samples // 3))},
        {"rss_bytes": "statm", "threads": "psutil"},
        {"uss_bytes": "reading /proc/self/smaps_rollup was refused"},
        "2031-05-06T07:08:09Z",
    )


def capture() -> Capture:
    """Return a recording with two marks and the kernel's own peak above the sampled one."""
    return Capture(
        timeline=timeline(),
        marks=(Mark(2.0, "load"), Mark(8.0, "train")),
        peak=Peak(163_577_856, 50_331_648, "vmhwm"),
        environment=ENVIRONMENT,
        complete=True,
        notes=("The sampler was 12 ms late at most.",),
        spans=(
            Span("train", 2.0, 8.0, Peak(163_577_856, 52_428_800, "vmhwm")),
            Span(
                "epoch 1", 2.5, 5.5, Peak(150_994_944, 60_817_408, "sampled"), "exact=False was asked for", 1
            ),
            Span("evaluate", 8.5, 9.0, None, "the mark could not be read", 0, complete=False),
        ),
        pauses=gc_pauses(),
        peak_stack=StackSample(
            5.0125,
            163_000_000,
            "MainThread",
            (
                Frame("numpy/core/fromnumeric.py", 2313, "sum"),
                Frame("app/train.py", 41, "epoch", "total = weights.sum()"),
            ),
            1,
            44_000_000,
            3,
            0.0024,
        ),
        hot=(
            StackSample(
                5.0125,
                163_000_000,
                "MainThread",
                (Frame("app/train.py", 41, "epoch", "total = weights.sum()"),),
                0,
                88_000_000,
                7,
                0.0024,
            ),
            StackSample(
                3.25,
                90_000_000,
                "loader",
                (Frame("app/data.py", 12, "read", 'open("…").read()'),),
                0,
                21_000_000,
                1,
                0.011,
            ),
        ),
        inside=Timeline(
            floats([0.0, 5.0, 10.0]),
            {"allocated_blocks": ints([402_113, 700_000, 402_900]), "gc_count": ints([12, 699, 3])},
            {"allocated_blocks": "sys.getallocatedblocks", "gc_count": "gc.get_count"},
            {"traced_bytes": "nothing is traced; tracemalloc.start() begins it"},
        ),
        slow=Timeline(
            floats([0.01, 5.01]),
            {
                "uss_bytes": ints([40_000_000, 120_000_000]),
                "pss_bytes": ints([42_000_000, 122_000_000]),
                "family_pss_bytes": ints([42_000_000, 150_000_000]),
            },
            dict.fromkeys(("uss_bytes", "pss_bytes", "family_pss_bytes"), "smaps_rollup"),
            {"swap_bytes": "no Swap in smaps_rollup"},
        ),
        system=Timeline(
            floats([0.02, 5.02]),
            {"cgroup_bytes": ints([900_000_000, 1_000_000_000]), "stall_us": ints([0, 1_200])},
            {"cgroup_bytes": "cgroup v2", "stall_us": "/proc/pressure/memory"},
        ),
        children=(
            Child(
                4711,
                1,
                Timeline(floats([2.0, 3.0]), {"rss_bytes": ints([9_000_000, 30_000_000])}),
                ended=True,
            ),
            Child(4712, 2, Timeline(floats([2.5]), {"rss_bytes": ints([8_000_000])})),
        ),
        ceiling=Ceiling(4_294_967_296, "cgroup v2 memory.max"),
        outcome=Outcome(1, error="ValueError"),
    )


def gc_pauses() -> GcPauses:
    """Return four collections, the last a full one."""
    return GcPauses(
        start_s=floats([1.0, 2.5, 2.75, 6.0]),
        pause_s=floats([0.0001, 0.00015, 0.002, 0.031]),
        generation=ints([0, 0, 1, 2]),
        collected=ints([12, 0, 431, 9_000]),
        uncollectable=ints([0, 0, 0, 1]),
        lasted_s=10.0,
        dropped=2,
        notes=("The ring was full.",),
    )


def capture_comparison() -> CaptureComparison:
    """Return the sample capture beside a later and leaner one, laid over each other at the mark ``load``."""
    lean = Timeline(
        floats(np.arange(500) * 0.02),
        {"rss_bytes": ints(48_000_000 + np.arange(500) * 30_000)},
        {"rss_bytes": "statm"},
    )
    later = Capture(
        timeline=lean,
        marks=(Mark(1.5, "load"),),
        peak=Peak(70_000_000, 48_000_000, "sampled"),
        environment=ENVIRONMENT,
        spans=(Span("train", 1.5, 6.0, Peak(69_000_000, 50_000_000, "sampled"), "no mark here"),),
    )
    return CaptureComparison(
        capture(), later, "before", "after", "load", 2.0, 1.5, ("the peaks are of different kinds",)
    )


def memit_result() -> MemitResult:
    """Return the classic line's numbers: 143.77 MiB, 0.23 MiB above the baseline."""
    return MemitResult(
        peaks_bytes=(150_753_771, 150_700_032),
        baseline_bytes=150_512_599,
        repeat=2,
        timeout=None,
        interval=0.1,
        include_children=False,
        source="vmhwm",
        notes=("The second repeat took memory again that the first had given back to the allocator.",),
    )


def line_profile(**changes) -> LineProfile:
    """Return a loader whose second line's spike is gone, a method that gave back, and a named block."""
    rows = (
        # function, line, occurrences, increment, usage, rise, source
        (0, 11, 1, 0, 37_748_736, 0, "def load(path):"),
        (0, 12, 1, 62_914_560, 100_663_296, 125_829_120, "    rows = list(csv.reader(path.open()))"),
        (0, 13, 0, 0, 0, 0, "    # not run"),
        (0, 14, 200, 1_048_576, 101_711_872, 8_192, '    return [Row(r, "…") for r in rows]'),
        (1, 31, 2, 0, 101_711_872, 0, "    def drop(self):"),
        (1, 32, 2, -62_914_560, 38_797_312, 0, "        self.rows.clear()"),
    )
    columns = list(zip(*rows, strict=True))
    names = ("function", "line", "occurrences", "increment_bytes", "usage_bytes", "rise_bytes")
    fields = {
        "functions": (
            ProfiledFunction("load", "app/data.py", 11),
            ProfiledFunction("Store.drop", "app/data.py", 31),
        ),
        **dict(zip(names, map(ints, columns[:6]), strict=True)),
        "source": columns[6],
        "sources": {"value": "statm", "peak": "vmhwm"},
        "stretches": (
            Stretch("parse", 1.5, 37_748_736, 101_711_872, 226_492_416),
            Stretch("wait", 0.5, 1, 1),
        ),
        "notes": ("Another thread ran meanwhile.",),
    }
    return LineProfile(**{**fields, **changes})


def line_profile_without_rise() -> LineProfile:
    """Return the same where the kernel keeps no mark."""
    return line_profile(
        rise_bytes=ints([]),
        sources={"value": "psutil"},
        absent={"peak": "the kernel's high-water mark cannot be set back: Permission denied"},
        complete=False,
    )


def cell_ledger() -> CellLedger:
    """Return three cells: one that left an array, one within it, and one that raised and was not counted."""
    cells = (
        CellRow(
            0, "inner = 1", 1, "ok", 0.25, 50_000_000, 50_004_096, 50_004_096, "vmhwm", 0.0, 0, 3,
            (TypeCount("builtins.cell", 3, 0),), (), "",
        ),
        CellRow(
            3, 'frame = load("…")', 0, "ok", 2.5, 50_000_000, 130_000_000, 250_000_000, "vmhwm", 0.125, 17,
            41_002,
            (TypeCount("app.models.Row", 40_000, 0), TypeCount("builtins.tuple", 900, 0)),
            (BoundName("frame", "numpy.ndarray", 80_000_112), BoundName("rows", "builtins.list", 56)),
            "31 more types rose",
        ),
        CellRow(
            4, "%%time", 0, "app.errors.LoadError", 0.001, 130_000_000, 129_000_000, None, "", 0.0, 0, None,
            (), (), "objects are counted in one cell of 20",
        ),
    )  # fmt: skip
    return CellLedger(
        cells=cells,
        starts=ints([0, 1, 5, 5]),
        time_s=floats([0.1, 0.0, 0.5, 1.0, 2.0]),
        rss_bytes=ints([50_004_096, 50_000_000, 90_000_000, 240_000_000, 130_000_000]),
        overhead_s=0.0125,
        dropped=2,
        notes=("Two kernels share this machine.",),
    )


def heap_graph() -> HeapGraph:
    """Return nine objects of a service: a module's registry, two sessions that share a log, a lost pair.

    Nodes: 0 module, 1 its namespace, 2 the set, 3 and 4 sessions, 5 their log, 6 a huge buffer, 7 and 8 a
    cycle that no root reaches. Sizes: 72, 232, 728, 56, 56, 88, 5 GiB, 48, 64.
    """
    nodes = lambda values: frozen(np.array(values, dtype=np.uint32))
    edges = [[1], [2], [3, 4, 3], [5, 6], [5], [], [], [8], [7]]
    return HeapGraph(
        address=frozen(np.arange(9, dtype=np.uint64) * 4096 + 0x7F00_0000_0000),
        type_of=nodes([0, 1, 2, 3, 3, 4, 5, 6, 6]),
        size=nodes([72, 232, 728, 56, 56, 88, 0xFFFF_FFFF, 48, 64]),
        flags=frozen(
            np.array([TRACKED | EXTERNAL] + [TRACKED] * 4 + [0, IMMORTAL] + [TRACKED] * 2, np.uint8)
        ),
        starts=nodes(np.cumsum([0, *(len(row) for row in edges)])),
        edges=nodes([target for row in edges for target in row]),
        types=(
            "builtins.module",
            "builtins.dict",
            "builtins.set",
            "app.models.Session",
            "builtins.str",
            "builtins.bytearray",
            "app.tree.Node",
        ),
        type_modules=("builtins", "builtins", "builtins", "app.models", "builtins", "builtins", "app.tree"),
        huge_node=nodes([6]),
        huge_size=ints([5 * 2**30]),
        root_node=nodes([0]),
        root_kind=(RootKind.MODULE,),
        root_label=("module app.registry",),
        label_node=nodes([0, 2]),
        label=("module app.registry", "_live (set)"),
        via_holder=nodes([1, 2, 3, 3]),
        via_held=nodes([2, 3, 5, 6]),
        via=("._live", "[value]", ".log", ".buffer"),
        owner_node=nodes([0, 1]),
        owner_module=nodes([0, 0]),
        modules=("app.registry",),
        twin_node=nodes([5]),
        twin_count=ints([3]),
        site_node=nodes([3, 4]),
        site_of=nodes([0, 0]),
        sites=(session_site(),),
        user_name=("session", "Out[3]"),
        user_node=nodes([3, 3]),
        engine="python",
        python="CPython 3.11.2",
        capture_id="9d4e1c2f",
        mark_id="",
        frozen=12,
        complete=True,
        seconds=0.8125,
        title="the service after a thousand requests",
        notes=("12 objects of the permanent generation are missing.",),
    )


def heap_tree(**changes) -> HeapTree:
    """Return the upper part of a dominator tree: a registry of sessions, a cache, modules, and small fry."""
    rows = (
        # parent, node, objects, shallow, retained, children, label, type, via
        (-1, -1, 0, 0, 1_000_000_000, 1_240, "the whole heap", "", ""),
        (0, 11, 1, 72, 520_000_000, 3, "module app.registry", "builtins.module", ""),
        (0, 12, 1, 64, 210_000_000, 2, "module app.cache", "builtins.module", ""),
        (0, 13, 1, 120_000_000, 120_000_000, 0, "ndarray", "numpy.ndarray", ".weights"),
        (0, -1, 1_200, 90_000_000, 96_000_000, 2_400, "dict", "builtins.dict", ""),
        (1, 21, 1, 2_097_384, 500_000_000, 4_000, "_live (set)", "builtins.set", "._live"),
        (1, 22, 1, 4_096, 15_000_000, 120, "_names (dict)", "builtins.dict", "._names"),
        (2, 31, 1, 36_968, 205_000_000, 900, "pages (dict)", "builtins.dict", ".pages"),
        (5, -1, 3_900, 218_400, 480_000_000, 7_800, "Session", "app.models.Session", ""),
        (5, 41, 1, 56, 12_000_000, 2, "Session", "app.models.Session", "[value]"),
        (7, -1, 900, 204_000_000, 204_500_000, 0, "bytes", "builtins.bytes", ""),
        (8, -1, 3_900, 300_000_000, 300_000_000, 0, "list", "builtins.list", ".audit"),
        (8, -1, 3_900, 150_000_000, 170_000_000, 12_000, "dict", "builtins.dict", ".__dict__"),
        (9, 51, 1, 11_999_000, 11_999_000, 0, "bytearray", "builtins.bytearray", ".buffer"),
    )
    columns = list(zip(*rows, strict=True))
    fields = {
        **dict(
            zip(
                ("parent", "node", "objects", "shallow_bytes", "retained_bytes", "children"),
                map(ints, columns[:6]),
                strict=True,
            )
        ),
        **dict(zip(("label", "type_name", "via"), columns[6:], strict=True)),
        "total_objects": 412_345,
        "total_bytes": 1_000_000_000,
        "cut": "Siblings below 1 MB are put together by type; 33 are left out.",
        "notes": ("Sizes are shallow sizes as Python reports them.",),
    }
    return HeapTree(**{**fields, **changes})


def heap_census() -> HeapCensus:
    """Return five types, greatest shallow size first."""
    return HeapCensus(
        types=("builtins.dict", "builtins.list", "builtins.bytes", "numpy.ndarray", "app.models.Session"),
        objects=ints([20_120, 4_000, 900, 3, 3_901]),
        shallow_bytes=ints([360_000_000, 300_000_000, 204_000_000, 120_000_512, 218_456]),
        retained_bytes=ints([800_000_000, 301_000_000, 204_000_000, 120_000_512, 492_000_000]),
        total_objects=412_345,
        total_bytes=1_000_000_000,
        notes=("Two types were renamed at run time.",),
    )


def heap_suspects() -> HeapSuspects:
    """Return a set that keeps half the heap, and an array with no root seen."""
    return HeapSuspects(
        suspects=(
            HeapSuspect(
                label="_live (set)",
                type_name="builtins.set",
                node=21,
                retained_bytes=500_000_000,
                share=0.5,
                prose=(
                    "The set app.registry._live keeps 477 MiB, 50 % of the heap, in 3,901 objects of"
                    " app.models.Session and what hangs from them."
                ),
                chain=ReferenceChain(RootKind.MODULE, session_chain().links[:2]),
                contents=(
                    TypeCount("builtins.list", 3_900, 300_000_000),
                    TypeCount("app.models.Session", 3_901, 218_456, 492_000_000),
                ),
                objects=19_704,
            ),
            HeapSuspect("ndarray", "numpy.ndarray", 13, 120_000_000, 0.12, "One array keeps 114 MiB."),
        ),
        total_bytes=1_000_000_000,
        notes=("A place is named when it keeps a tenth of the heap.",),
    )


def heap_cycles() -> HeapCycles:
    """Return two shapes of cycles that wait for the collector."""
    return HeapCycles(
        cycles=(
            Cycle(
                3, 1_048_680, ("app.tree.Node", "builtins.list"), (TypeCount("builtins.bytes", 1, 1_048_576),)
            ),
            Cycle(2, 112, ("app.tree.Node",)),
        ),
        counts=(40, 7),
        objects=134,
        shallow_bytes=41_947_984,
        notes=("The collector was off.",),
    )


def heap_duplicates() -> HeapDuplicates:
    """Return two groups of equal texts."""
    return HeapDuplicates(
        groups=(
            DuplicateGroup("builtins.str", 8_000, 1_024, 8_190_976, "app.cache.pages [value]"),
            DuplicateGroup("builtins.bytes", 3, 40, 80),
        ),
        wasted_bytes=8_191_056,
        notes=("Equal texts were told by their hash and length.",),
    )


def heap_owners() -> HeapOwners:
    """Return packages, shared objects and garbage."""
    return HeapOwners(
        by="package",
        owners=("app", "numpy", "(shared)", "(garbage)"),
        objects=ints([31_000, 5, 380_000, 134]),
        shallow_bytes=ints([730_000_000, 120_000_512, 100_000_000, 41_947_984]),
        notes=("Shared by several: told apart.",),
    )


def freed() -> Freed:
    """Return what would go with the registry's set, which the notebook still holds."""
    return Freed(
        objects=19_704,
        freed_bytes=500_000_000,
        cut=("._live of module app.registry",),
        contents=(
            TypeCount("builtins.list", 3_900, 300_000_000),
            TypeCount("app.models.Session", 3_901, 218_456),
        ),
        still_held=(notebook_chain(),),
        notes=("Every other way was followed.",),
    )


def heap_diff() -> HeapDiff:
    """Return growth told by birth marks, in one container whose line is known."""
    return HeapDiff(
        types=(
            TypeDiff("builtins.list", 4_000, 1_000, 300_000_000, 75_000_000, 1_000),
            TypeDiff("builtins.tuple", 10, -2, 800, -160, 0),
        ),
        containers=(
            ContainerDiff(
                "app.registry._live",
                "builtins.set",
                4_000,
                1_000,
                123_000_000,
                5_000,
                (TypeCount("builtins.list", 1_000, 75_000_000),),
                session_chain(),
                (session_site(),),
            ),
        ),
        exact=True,
        objects_diff=4_998,
        bytes_diff=122_999_840,
        born_objects=5_000,
        born_bytes=123_000_000,
        notes=("The mark was set 60 s before.",),
    )


def heap_holdings() -> HeapHoldings:
    """Return a variable, an output and the last exception of a notebook."""
    return HeapHoldings(
        holdings=(
            Holding(
                ("frame", "Out[3]", "_3"), "output", "pandas.DataFrame", 800_000_000, 41, 56, "Out.pop(3)"
            ),
            Holding(("model",), "variable", "app.Model", 120_000_000, 12, 48),
            Holding((), "last exception", "builtins.ValueError", 4_096, 9, 72, "%memclean"),
        ),
        total_bytes=1_000_000_000,
        seconds=0.42,
        notes=("Values shared by two names stand in neither.",),
    )


def pool_stats() -> PoolStats:
    """Return the figures of a pool that was asked for more than it keeps."""
    return PoolStats(
        objects_created=9,
        acquired=1_204,
        released=1_202,
        hits=1_197,
        misses=7,
        idle=3,
        in_use=2,
        size=5,
        high_water_mark=8,
        expired=1,
        overflowed=3,
        closed=4,
        failed=1,
        min_size=2,
        max_size=5,
        time_s=floats([0.0, 0.1, 0.4, 0.9, 2.5]),
        sizes=ints([0, 2, 8, 6, 5]),
        absent={"waiting": "nobody waits in a pool that creates"},
        notes=("One object's reset() raised.",),
    )


def pool_worth() -> PoolWorth:
    """Return the verdict on an object that pooling does not pay for."""
    return PoolWorth(
        type_name="app.buffers.Buffer",
        new_s=floats([251e-9, 260e-9, 259e-9, 271e-9]),
        pooled_s=floats([332e-9, 331e-9, 340e-9, 352e-9]),
        reset_s=floats([210e-9, 212e-9, 215e-9, 220e-9]),
        calls=8_192,
        notes=("reset() does what the constructor does.",),
    )


def cache_stats() -> CacheStats:
    """Return the figures of an adaptive cache under pressure."""
    return CacheStats(
        cache="AdaptiveCache",
        hits=9_120,
        misses=880,
        evictions=210,
        expirations=35,
        size=640,
        max_size=1_000,
        failed_callbacks=2,
        refused=1,
        memory_bytes=3_355_443,
        limit_bytes=4_194_304,
        full_limit_bytes=8_388_608,
        estimated=3,
        shrinks=2,
        grows=1,
        notes=("Three values were too large to be looked at whole.",),
    )


def hit_curve() -> HitCurve:
    """Return the hit rates of a cache that is too small."""
    return HitCurve(
        sizes=ints([1, 10, 100, 250, 1_000, 10_000]),
        hit_rate=floats([0.02, 0.18, 0.51, 0.66, 0.83, 0.91]),
        accesses=120_000,
        distinct=10_800,
        sampled=0.83,
        current=250,
        notes=("83 % of the keys were followed, 99,600 look-ups; sizes below 12 entries are coarse.",),
    )


def gc_stats() -> GcStats:
    """Return the figures of a collector with a few long pauses."""
    return GcStats(
        pause_s=floats([0.0004, 0.0005, 0.004, 0.0004, 0.021]),
        generation=ints([0, 0, 1, 0, 2]),
        collected=12_400,
        uncollectable=2,
        lasted_s=1.25,
        dropped=3,
        notes=("Two objects could not be freed.",),
    )


def gc_decisions() -> GcDecisions:
    """Return what an optimizer decided in a run that grew."""
    low, high = (700, 10, 10), (2800, 20, 50)
    return GcDecisions(
        (
            GcDecision(0.1, "raise", low, high, "31 collections took 20 ms, 20% of 100 ms; aimed at are 5%"),
            GcDecision(
                0.9, "lower", high, low, "the process grew by 70.1 MiB since the thresholds were raised"
            ),
        ),
        notes=("The program set no thresholds of its own.",),
    )


def gc_advice() -> GcAdvice:
    """Return the advice to raise the thresholds."""
    own = GcTrial(
        "as it is", "", (2.0, 2.1, 1.9), (2.2, 2.4, 2.0), (0.9, 1.0, 0.8), (0.002, 0.003, 0.002),
        (0.11, 0.12, 0.12), (1136, 1136, 1136), (90_000_000, 90_100_000, 90_000_000),
    )  # fmt: skip
    higher = GcTrial(
        "threshold 10,000", "import gc; gc.set_threshold(10_000, 20, 50)", (1.2, 1.3, 1.1), (1.3, 1.5, 1.2),
        (0.2, 0.2, 0.2), (0.004, 0.004, 0.005), (0.02, 0.03, 0.02), (79, 79, 79),
        (91_000_000, 91_000_000, 91_000_000),
    )  # fmt: skip
    return GcAdvice(
        workload="job.py",
        collector="Python 3.11.7 has three generations.",
        trials=(own, higher),
        recommended="threshold 10,000",
        reason="processor time -40 %, longest pause -80 %",
        code="import gc; gc.set_threshold(10_000, 20, 50)",
        environment=ENVIRONMENT,
        notes=("The machine was busy.",),
    )


def pressure_run() -> PressureRun:
    """Return a cache under a spike: hits and latency over time, one phase that failed, every field filled."""
    seconds = [number / 100 for number in range(300)]
    ballast = [0 if n < 90 or n >= 150 else 60 * MIB for n in range(300)]
    calls = [n * 400 for n in range(300)]
    hits = [int(n * 300 - (n - 90) * 100 * (90 <= n < 150)) for n in range(300)]
    hits = [max(hits[: n + 1]) for n in range(300)]
    timeline = Timeline(
        time_s=floats(seconds),
        metrics={
            "rss_bytes": ints([20 * MIB + size for size in ballast]),
            "ballast_bytes": ints(ballast),
            "calls": ints(calls),
            "failures": ints([n // 100 for n in range(300)]),
            "busy_ns": ints([n * 400 * 2500 for n in range(300)]),
            "hits": ints(hits),
            "misses": ints([max(0, c - h) for c, h in zip(calls, hits, strict=True)]),
            "evictions": ints([n * 10 for n in range(300)]),
            "entries": ints([min(n * 20, 2000) for n in range(300)]),
        },
        sources={"rss_bytes": "/proc/PID/status, from outside", "ballast_bytes": "the cage, every 10 ms"},
        absent={"uss_bytes": "it was not asked for"},
        started_at="2026-11-28T00:00:00.000+00:00",
    )
    return PressureRun(
        scenario="spike and recovery",
        subject="shop.cache:make",
        subject_kind="cache",
        outcome=PressureOutcome.FAILED,
        reason="Every phase ran; calls of the subject raised: 2 ValueError.",
        budget_bytes=96 * MIB,
        timeline=timeline,
        phases=(
            PressurePhase(
                "calm", 0.0, 0.9, 0, 0, 20 * MIB, 36_000, 0, 2.4e-6, 9.0e-6, 1.1e-3, 27_000, 9_000, 900, 1800
            ),
            PressurePhase(
                "spike",
                0.9,
                1.5,
                60 * MIB,
                60 * MIB,
                80 * MIB,
                24_000,
                2,
                2.6e-6,
                5e-5,
                4e-3,
                12_000,
                12_000,
                600,
                900,
            ),
            PressurePhase("recovery", 1.5, 3.0, 0, 0, None, 60_000),
        ),
        base_rss_bytes=20 * MIB,
        peak_rss_bytes=81 * MIB,
        peak_source="vmhwm",
        end_rss_bytes=22 * MIB,
        recovery_s=0.31,
        failures={"ValueError": 2},
        failure_points={"MemoryError raised": 41, "returned all the same": 3},
        absent={"evictions": "the cache counts none"},
        environment=ENVIRONMENT,
        elapsed_s=3.4,
        notes=("The subject ran in one thread.",),
    )


def post_mortem() -> PostMortem:
    """Return what led to an interrupt at 6 GiB, and what the notebook held then."""
    return PostMortem(
        trigger="limit",
        reason="The process reached 6.00 GiB; the guard's limit is 6.00 GiB.",
        limit_bytes=6 * 1024 * MIB,
        rss_bytes=6 * 1024 * MIB + 4096,
        peak_rss_bytes=6 * 1024 * MIB + 4096,
        timeline=Timeline(
            time_s=floats([n / 50 for n in range(200)]),
            metrics={
                "rss_bytes": ints([(1024 + 26 * n) * MIB for n in range(200)]),
                "room_bytes": ints([(9000 - 26 * n) * MIB for n in range(200)]),
            },
            sources={"rss_bytes": "/proc/PID/statm, from outside"},
        ),
        acted_s=3.9,
        holdings=(
            Holding(("frames",), "variable", "builtins.list", 5 * 1024 * MIB, 120_000, 56),
            Holding((), "last exception", "builtins.KeyboardInterrupt", 4096, 12, 72, "%memclean"),
        ),
        growth=(
            TypeDiff("numpy.ndarray", 900, 880, 5 * 1024 * MIB, 5 * 1000 * MIB),
            TypeDiff("app.models.Session", 10, 4, 4_000, 1_600),
        ),
        absent={"why": "nobody asked"},
        environment=ENVIRONMENT,
        notes=("What it had made is still there.",),
    )


def fix_check() -> FixCheck:
    """Return a leak that was mended."""
    return compare_reports(leak_report(), no_leak_report())


def memory_where() -> MemoryWhere:
    """Return where the memory of a process lies at three moments, one part not known."""

    def stage(label, *sizes):
        names = ("live Python objects", "arenas, free", "malloc, in use", "malloc, free", "mapped files")
        parts = [MemoryPart(n, s, "smaps") for n, s in zip(names, sizes, strict=True)]
        parts.append(MemoryPart("shared memory", None, "", "this kernel does not tell"))
        return WhereStage(label, sum(sizes), tuple(parts))

    return MemoryWhere(
        (
            stage("now", 30 * MIB, 2 * MIB, 400 * MIB, 90 * MIB, 20 * MIB),
            stage("after gc.collect()", 22 * MIB, 10 * MIB, 250 * MIB, 240 * MIB, 20 * MIB),
            stage("after malloc_trim()", 22 * MIB, 10 * MIB, 250 * MIB, 3 * MIB, 20 * MIB),
        ),
        12_345,
        ENVIRONMENT,
        ("One part is not known.",),
    )


MACHINE = "CPython 3.11, linux x86_64, 2 cores"


def benchmark_table() -> BenchmarkTable:
    """Return two benchmarks of one's own and two that have limits, every field filled."""
    times = tuple((100 + n % 7) / 1e5 for n in range(50))
    return BenchmarkTable(
        results=(
            BenchmarkResult(
                "load[n=2000]:peak_bytes",
                568_320.0,
                "bytes",
                exact=True,
                samples=(568_320.0,) * 5,
                least=64.0,
                place="app/load.py:7",
            ),
            BenchmarkResult(
                "load[n=2000]:time_s",
                0.00103,
                "seconds",
                samples=times,
                reference=tuple(0.0003 for _ in times),
                process=tuple(n // 2 for n in range(50)),
                loop="containers/1",
                allowed=0.1,
                place="app/load.py:7",
            ),
            BenchmarkResult(
                "load[n=2000]:gc_share", None, "ratio", gated=False, note="the collector did not run"
            ),
            BenchmarkResult(
                "pool_allocation_rate", 1.9e6, "objects/second", 2e6, False, "higher", samples=(1.8e6, 1.9e6)
            ),
            BenchmarkResult("gc_pause_avg", 0.004, "seconds", 0.01, True, samples=(0.004, 0.0041)),
        ),
        snapshots={"load[n=2000]": snapshot()},
        machine=MACHINE,
        label="a1b2c3",
        environment=ENVIRONMENT,
        notes=("One process was interrupted.",),
    )


def regression_report() -> RegressionReport:
    """Return a report with each verdict and a cause."""
    return RegressionReport(
        changes=(
            Regression(
                "load[n=2000]:peak_bytes",
                568_320.0,
                866_304.0,
                0.5243,
                RegressionVerdict.REGRESSION,
                0.5243,
                0.5243,
                0.005,
                0.0,
                "bytes",
                exact=True,
                samples=5,
                baseline_samples=1,
                place="app/load.py:9",
            ),
            Regression(
                "load[n=2000]:time_s", 0.001, 0.0008, -0.2, RegressionVerdict.IMPROVED, -0.22, -0.18,
                chance=0.0001, unit="seconds", samples=50, baseline_samples=50,
            ),
            Regression(
                "parse:time_s", 0.001, 0.00104, 0.04, low=-0.02, high=0.12, chance=0.3, unit="seconds",
                samples=10, baseline_samples=10, power=0.47, enough=70, reason="from fewer than 5 processes",
            ),
            Regression("fresh:peak_bytes", None, 5.0, None, RegressionVerdict.NEW, unit="bytes"),
            Regression("gone:peak_bytes", 5.0, None, None, RegressionVerdict.MISSING, unit="bytes"),
            Regression(
                "zero:allocations", 0.0, 5.0, None, RegressionVerdict.NOT_COMPARED, unit="count", reason="no"
            ),
        ),
        causes={"load[n=2000]": snapshot_diff()},
        machine=MACHINE,
        baseline_machine=MACHINE,
        label="a1b2c3",
        baseline_label="0f0f0f",
        loops={"containers/1": 0.31},
        environment=ENVIRONMENT,
        notes=("the reference loop containers/1 took 31 % more time than for the baseline",),
    )  # fmt: skip


def run_history() -> RunHistory:
    """Return forty runs of three metrics, one of which became worse at run 25."""
    numbers = list(range(5, 45))
    peak = [1_000_000.0 if n < 25 else 1_100_000.0 for n in numbers]
    times = [(100 + n * 7 % 5) / 1e5 for n in numbers]
    nothing = [float("nan")] * len(numbers)
    return RunHistory(
        runs=tuple(
            HistoryRun(n, 1.7e9 + 86_400.0 * n, f"commit {n}", "regress", MACHINE, "0.1.0") for n in numbers
        ),
        metrics=(
            MetricHistory(
                "load:peak_bytes", "bytes", "lower", True, ints(numbers), floats(peak), floats(nothing),
                floats(nothing), floats(nothing),
            ),
            MetricHistory(
                "load:time_s", "seconds", "lower", False, ints(numbers), floats(times),
                floats([t * 0.9 for t in times]), floats([t * 1.1 for t in times]), floats([t * 1e3 for t in
                times]),
            ),
            MetricHistory(
                "speed", "objects/second", "higher", False, ints(numbers[:2]), floats([2.5e6, 2.4e6]),
                floats([2.4e6, 2.3e6]), floats([2.6e6, 2.5e6]), floats([1.0, 1.1]),
            ),
        ),
        changes=(ChangePoint("load:peak_bytes", 25, 1_000_000.0, 1_100_000.0, 0.1, 0.0),),
        dropped=4,
        notes=("Runs 1 to 4 made room.",),
    )  # fmt: skip


def report() -> Report:
    """Return a report with two results of one kind, one with stacks, one with a heap, prose and a table."""
    rows = [
        {"version": "2.41.0", "growth": 451.5, "calls": 300},
        {"version": "2.42.0", "growth": 0.0, "calls": 300},
    ]
    return Report(
        "Why the shop grew",
        [
            "The service grew by 40 MB a day.\n\nThis is what was found.",
            ("The leak", "Before the fix.", leak_report()),
            ("After the fix", no_leak_report()),
            ("By version", rows),
            ("A recording", capture(), timeline()),
            ("Who allocates", snapshot_diff(), snapshot()),
            ("The heap", heap_graph(), "Nothing else is retained."),
        ],
    )


def all_results() -> dict:
    """Return every kind by a name, for parametrised tests."""
    return {
        "leak": leak_report(),
        "no leak": no_leak_report(),
        "failed": failed_report(),
        "benchmarks": benchmark_table(),
        "regression report": regression_report(),
        "history": run_history(),
        "explanation": explanation(),
        "snapshot": snapshot(),
        "snapshot diff": snapshot_diff(),
        "site timeline": site_timeline(),
        "snapshot table": snapshot_table(),
        "flame tree": flame_tree(),
        "capture": capture(),
        "capture comparison": capture_comparison(),
        "gc pauses": gc_pauses(),
        "timeline": timeline(),
        "memit": memit_result(),
        "line profile": line_profile(),
        "line profile without rise": line_profile_without_rise(),
        "cell ledger": cell_ledger(),
        "heap graph": heap_graph(),
        "heap tree": heap_tree(),
        "heap census": heap_census(),
        "heap suspects": heap_suspects(),
        "heap cycles": heap_cycles(),
        "heap duplicates": heap_duplicates(),
        "heap owners": heap_owners(),
        "freed": freed(),
        "heap diff": heap_diff(),
        "holdings": heap_holdings(),
        "pool stats": pool_stats(),
        "pool worth": pool_worth(),
        "cache stats": cache_stats(),
        "hit curve": hit_curve(),
        "gc stats": gc_stats(),
        "gc decisions": gc_decisions(),
        "gc advice": gc_advice(),
        "pressure run": pressure_run(),
        "post-mortem": post_mortem(),
        "where": memory_where(),
        "fix check": fix_check(),
        "report": report(),
    }

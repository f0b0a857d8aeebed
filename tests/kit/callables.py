"""Every public callable of memlab, each with a call of it that can be made many times.

``public_callables`` says what there is: each function, class, method, class method and property that
``memlab`` and ``memlab.testing`` offer, and what the interpreter calls on a result (its text, its bundle).
``Calls`` says how each is called: records and their methods by themselves, on the sample values of
tests/unit/samples.py; the rest by hand, below. A name that is in the one and not in the other fails a test.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import functools
import gc
import inspect
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from functools import cached_property
from types import FunctionType, MethodDescriptorType

import memlab
import memlab.testing
from memlab.records._result import Result
from tests.unit import samples

SHOWN = ("__str__", "__repr__", "_repr_mimebundle_")


def public_callables():
    """Return the names of all of them, as ``find_leaks``, ``LRUCache``, ``LRUCache.put``."""
    names = {f"testing.{name}" for name in memlab.testing.__all__}
    for name in memlab.__all__:
        value = getattr(memlab, name)
        if inspect.isclass(value):
            names |= {name} | {f"{name}.{method}" for method in _methods(value)}
        elif callable(value):
            names.add(name)
    return names


def _methods(cls):
    shown = SHOWN if issubclass(cls, Result) else ()
    with_block = ["__enter__"] if hasattr(cls, "__enter__") else []
    for name in (*dir(cls), *shown, *with_block):
        if name.startswith("_") and name not in (*shown, *with_block):
            continue
        owner = next(c for c in cls.__mro__ if name in vars(c))
        value = inspect.getattr_static(cls, name)
        if owner.__module__.startswith("memlab") and isinstance(
            value,
            (property, cached_property, classmethod, staticmethod, FunctionType, MethodDescriptorType),
        ):
            yield name


def sample_values():
    """Return one value of each record class, found in the samples."""
    found = {}

    def walk(value):
        if isinstance(value, enum.Enum):
            found.setdefault(type(value).__name__, value)
        elif dataclasses.is_dataclass(value):
            found.setdefault(type(value).__name__, value)
            for field in dataclasses.fields(value):
                walk(getattr(value, field.name))
        elif isinstance(value, (tuple, list)):
            for item in value:
                walk(item)
        elif isinstance(value, Mapping):
            for item in value.values():
                walk(item)

    for result in samples.all_results().values():
        walk(result)
    return found


class Session:
    """What a pool or a search is tried with."""

    def reset(self):
        """Do nothing."""

    def close(self):
        """Do nothing."""


class Poolable(memlab.PoolableObject):
    """The protocol, made explicit."""


def step():
    """Allocate a little and keep nothing."""
    return [bytes(100) for _ in range(10)]


def closing_plot(call):
    """Close what a call drew."""
    import matplotlib.pyplot as plt

    def plot():
        with contextlib.suppress(memlab.UnavailableError):  # "has no numbers to plot" is an answer too
            plt.close(call().figure)

    return plot


def within(make, inside=lambda entered: None):
    """Enter, do, leave."""

    def call():
        with make() as entered:
            inside(entered)

    return call


def started(make, inside=lambda started: None):
    """Start, do, stop."""

    def call():
        thing = make()
        thing.start()
        try:
            inside(thing)
        finally:
            thing.stop()

    return call


class Calls:
    """For each name a call without arguments; what a call needs open is closed with ``stack``."""

    def __init__(self, folder, stack: contextlib.ExitStack):
        self.folder = folder
        self.stack = stack
        self.samples = sample_values()

    def open_shell(self):
        """Have an interactive shell until the stack ends."""
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        self.stack.callback(InteractiveShell.clear_instance)
        self.stack.callback(shell.history_manager.end_session)

    def someone(self):
        """Return the number of a process that does nothing until the stack ends."""
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
        )
        self.stack.callback(child.wait)
        self.stack.callback(child.stdin.close)
        return child.pid

    def __contains__(self, name):
        return name in HAND or self._of_record(name) is not None

    def __getitem__(self, name):
        if name in HAND:
            return HAND[name](self)
        call = self._of_record(name)
        if call is None:
            raise KeyError(name)
        return call

    def _of_record(self, name):
        owner, _, method = name.partition(".")
        cls = getattr(memlab, owner, None)
        if inspect.isclass(cls) and issubclass(cls, memlab.MemlabError) and not method:
            return lambda: cls("the step: what went wrong")
        value = self.samples.get(owner)
        if value is None:
            return None
        if not method:
            return (lambda: cls(value.value)) if isinstance(value, enum.Enum) else lambda: _anew(value)
        static = inspect.getattr_static(cls, method)
        if isinstance(static, (property, cached_property)):
            # Anew each time, for one that is kept.
            return lambda: getattr(_anew(value), method)
        if method == "save":
            return lambda: value.save(self.folder / "saved.memlab")
        bound = getattr(value, method)
        if not callable(bound) or _required(bound):
            return None
        return closing_plot(bound) if method.startswith("plot") else bound


def _anew(value):
    return dataclasses.replace(value)


def _required(bound):
    parameters = inspect.signature(bound).parameters.values()
    return [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _sample(name):
    return lambda calls: calls.samples[name]


def on(name, action):
    """Call something on the sample of a record."""
    return lambda calls: lambda: action(calls.samples[name])


def opened(make, action):
    """Call something on one thing that is made once and closed in the end."""

    def factory(calls):
        thing = make(calls)
        if hasattr(thing, "close"):
            calls.stack.callback(thing.close)
        return lambda: action(thing)

    return factory


def plain(action):
    """Call something that needs nothing."""
    return lambda calls: action


def asked_what_if(cache):
    cache.put("key", 1)
    cache.get("key")
    return cache.what_if((2, 4))


def the_cache(make):
    """The calls of a cache, by name."""
    made = lambda calls: make()
    return {
        "": plain(make),
        ".put": opened(made, lambda cache: cache.put("key", "value")),
        ".get": opened(made, lambda cache: cache.get("key")),
        ".delete": opened(made, lambda cache: (cache.put("key", 1), cache.delete("key"))),
        ".clear": opened(made, lambda cache: (cache.put("key", 1), cache.clear())),
        ".what_if": opened(made, asked_what_if),
        ".size": opened(made, lambda cache: cache.size),
        ".stats": opened(made, lambda cache: cache.stats),
    }


def caches():
    made = {
        "LRUCache": the_cache(lambda: memlab.LRUCache(10, trace=100)),
        "TTLCache": the_cache(lambda: memlab.TTLCache(60.0, 10, trace=100)),
        "AdaptiveCache": the_cache(lambda: memlab.AdaptiveCache(10, 1, trace=100)),
    }
    return {name + method: call for name, methods in made.items() for method, call in methods.items()}


def adaptive(action):
    return opened(lambda calls: memlab.AdaptiveCache(10, 1), action)


def pool(action):
    return opened(lambda calls: memlab.ObjectPool(Session, max_size=2), action)


def alerts():
    return memlab.MemoryAlertSystem(limit_bytes=2**40, reader=lambda: 1)


async def watched_for_a_moment(system):
    task = asyncio.ensure_future(system.start_monitoring())
    await asyncio.sleep(0.01)
    system.stop_monitoring()
    await task


def traced_result():
    with memlab.trace() as trace:
        kept = step()
    del kept
    return trace.result


def in_a_shell(action):
    """Within IPython's shell, which is there while it is tried."""

    def factory(calls):
        calls.open_shell()
        return action

    return factory


def released():
    from IPython import get_ipython

    get_ipython().user_ns["kept"] = step()
    return memlab.release("kept")


def handler(kind, details):
    """Do nothing."""


def graph(action):
    return lambda calls: lambda: action(calls.samples["HeapGraph"])


def heap_of_this(action):
    """Ask a heap graph of this process about an object that is in it."""
    return opened(lambda calls: memlab.heap(), action)


def small_heap():
    return memlab.heap(max_objects=3000)


@memlab.benchmark
def squares():
    """Be measured."""
    return [n * n for n in range(100)]


def suite(action):
    def factory(calls):
        table = calls.samples["BenchmarkTable"]
        one = memlab.MemoryRegressionSuite(calls.folder, measure=lambda: table, processes=1, samples=1)
        one.save_baseline(table)
        one.record_history(table)
        return lambda: action(one, table)

    return factory


def book(action):
    def factory(calls):
        table = calls.samples["BenchmarkTable"]
        one = memlab.LabBook(calls.folder / "book.db", max_runs=5)
        one.append(table)
        return lambda: action(one, table)

    return factory


def baseline(action):
    def factory(calls):
        table = calls.samples["BenchmarkTable"]
        one = memlab.Baseline(calls.folder / "base.json")
        one.update(table)
        return lambda: action(one, table)

    return factory


def simulator(action):
    return opened(lambda calls: memlab.MemoryPressureSimulator("64 MiB"), action)


def profiler(action):
    def call():
        one = memlab.MemoryProfiler()
        one.start_profiling()
        try:
            one.take_snapshot("a")
            one.take_snapshot("b")
            action(one)
        finally:
            one.stop_profiling()

    return plain(call)


def detector(action):
    return plain(lambda: action(memlab.MemoryLeakDetector()))


def watched(detector):
    detector.take_snapshot()
    session = Session()
    detector.track_object(session)
    return detector.check_tracked_objects()


def traced(action):
    """Within tracing, which is on while it is tried."""

    def call():
        with memlab.tracing(3):
            action()

    return call


def native(action):
    def call():
        with memlab.NativeTrace() as trace:
            kept = bytearray(100_000)
        del kept
        action(trace)

    return plain(call)


def live(action):
    """Call something on a live view that is not shown."""

    def call():
        view = memlab.Live(0.05, types=False)
        try:
            action(view)
        finally:
            view.close()

    return plain(call)


def dumper(action):
    def factory(calls):
        def call():
            one = memlab.HeapDumper(calls.folder / "d.memlab", at=("exit",), say=str, max_objects=100)
            one.install()
            try:
                action(one)
            finally:
                one.uninstall()

        return call

    return factory


def hit_keys():
    return [n % 7 for n in range(200)]


def pickled(calls):
    path = calls.folder / "foreign.pickle"
    with memlab.tracing(1):
        tracemalloc.take_snapshot().dump(str(path))
    return lambda: memlab.import_tracemalloc(path)


def memray_file(calls):
    import memray

    path = calls.folder / "foreign.bin"
    with memray.Tracker(path):
        kept = bytearray(100_000)
    del kept
    return lambda: memlab.import_memray(path)


def loaded(calls):
    path = calls.folder / "one.memlab"
    calls.samples["LeakReport"].save(path)
    return lambda: memlab.load(path)


def memory_guard(action):
    def call():
        one = memlab.MemoryGuard("1 TiB", save=None)
        with one:
            action(one)

    return plain(call)


def stopped_hunt():
    return memlab.LeakHunt(step, budget_s=0.5, iterations=30, trace=False).run()


def explored(result):
    widget = memlab.explore(result)
    widget.close()


def exported(calls, name, suffix):
    path = calls.folder / f"exported{suffix}"
    return lambda: calls.samples[name].export(path)


def line_profiler(action=lambda one: None):
    def call():
        one = memlab.LineProfiler(step)
        with one:
            step()
        action(one)

    return plain(call)


def gc_monitor(action=lambda one: None):
    def call():
        one = memlab.GCMonitor()
        with one:
            gc.collect(0)
        action(one)

    return plain(call)


def drawn(action):
    """Draw with what was collected."""

    def factory(calls):
        one = memlab.GCMonitor()
        with one:
            gc.collect(0)
        return closing_plot(lambda: action(one))

    return factory


def optimizer(action):
    return plain(within(memlab.GCOptimizer, action))


@memlab.gc_performance_monitor
def monitored():
    """Be watched."""
    return step()


@memlab.profile(stream=type("Nowhere", (), {"write": lambda self, text: len(text), "flush": len})())
def profiled():
    """Be measured line by line."""
    return step()


def window_diff():
    with memlab.heap_window(max_objects=2000) as window:
        kept = [Session() for _ in range(3)]
    del kept
    return window.diff


def compared(calls):
    capture = calls.samples["Capture"]
    return lambda: memlab.compare_captures(capture, capture)


def suite_plot(calls):
    make = suite(lambda one, table: one.plot_trend("load[n=2000]:peak_bytes"))(calls)
    return closing_plot(make)


HAND = {
    **caches(),
    # functions
    "attach": lambda calls: functools.partial(memlab.attach, calls.someone(), seconds=0.02),
    "benchmark": plain(lambda: memlab.benchmark(step)),
    "compare_captures": compared,
    "dump_heap": lambda calls: lambda: memlab.dump_heap(calls.folder / "heap.memlab", max_objects=3000),
    "explore": lambda calls: (
        lambda: (
            explored(calls.samples["HeapGraph"]),
            explored(calls.samples["FlameTree"]),
        )
    ),
    "find_leaks": plain(lambda: memlab.find_leaks(step, budget_s=0.5, iterations=30)),
    "mark_iteration": plain(memlab.mark_iteration),
    "gc_performance_monitor": plain(monitored),
    "guard": plain(within(lambda: memlab.guard("1 TiB", save=None))),
    "heap": plain(small_heap),
    "heap_window": plain(window_diff),
    "hit_curve": plain(lambda: memlab.hit_curve(hit_keys())),
    "holdings": in_a_shell(lambda: memlab.holdings(0.5)),
    "release": in_a_shell(released),
    "import_memray": memray_file,
    "import_tracemalloc": pickled,
    "load": loaded,
    "memit": plain(lambda: memlab.memit(step)),
    "memory_usage": plain(lambda: memlab.memory_usage((step, ()), max_usage=True)),
    "profile": plain(profiled),
    "recommend_gc": plain(lambda: memlab.recommend_gc(step, rounds=1, settings=("freeze",))),
    "record": plain(within(lambda: memlab.record(0.005), lambda recording: recording.mark("m"))),
    "region": plain(within(memlab.region)),
    "snapshot": plain(traced(memlab.snapshot)),
    "trace": plain(started(memlab.trace, lambda trace: trace.snapshot())),
    "tracing": plain(within(lambda: memlab.tracing(2))),
    "verify_fix": lambda calls: (
        lambda: memlab.verify_fix(calls.samples["LeakReport"], step, budget_s=0.5, iterations=30, trace=False)
    ),
    "where": plain(lambda: memlab.where(collect=False, trim_malloc=False)),
    "why": plain(lambda: memlab.why(HELD[0], max_objects=20_000)),
    # caches and pools
    "AdaptiveCache.check_pressure": adaptive(lambda cache: cache.check_pressure()),
    "AdaptiveCache.on_pressure": adaptive(lambda cache: cache.on_pressure("warning", {})),
    "AdaptiveCache.limit_bytes": adaptive(lambda cache: cache.limit_bytes),
    "AdaptiveCache.memory_usage": adaptive(lambda cache: cache.memory_usage),
    "ObjectPool": plain(lambda: memlab.ObjectPool(Session, max_size=2).close()),
    "ObjectPool.__enter__": plain(within(lambda: memlab.ObjectPool(Session, max_size=2))),
    "ObjectPool.acquire": pool(lambda one: one.release(one.acquire())),
    "ObjectPool.release": pool(lambda one: one.release(one.acquire())),
    "ObjectPool.borrow": pool(lambda one: within(one.borrow)()),
    "ObjectPool.close": plain(lambda: memlab.ObjectPool(Session, max_size=2).close()),
    "ObjectPool.stats": pool(lambda one: one.stats),
    "ObjectPool.worth": plain(lambda: memlab.ObjectPool.worth(Session, rounds=3)),
    "PoolableObject": plain(Poolable),
    "PoolableObject.reset": plain(lambda: memlab.PoolableObject.reset(Session())),
    "PoolableObject.close": plain(lambda: memlab.PoolableObject.close(Session())),
    # collector
    "GCMonitor": gc_monitor(),
    "GCMonitor.__enter__": gc_monitor(),
    "GCMonitor.start": plain(started(memlab.GCMonitor)),
    "GCMonitor.stop": plain(started(memlab.GCMonitor)),
    "GCMonitor.pauses": gc_monitor(lambda one: one.pauses),
    "GCMonitor.record": gc_monitor(lambda one: one.record),
    "GCMonitor.stats": gc_monitor(lambda one: one.stats),
    "GCMonitor.plot_histogram": drawn(lambda one: one.plot_histogram()),
    "GCMonitor.plot_timeline": drawn(lambda one: one.plot_timeline()),
    "GCOptimizer": plain(memlab.GCOptimizer),
    "GCOptimizer.__enter__": optimizer(lambda one: None),
    "GCOptimizer.start": plain(started(memlab.GCOptimizer)),
    "GCOptimizer.stop": plain(started(memlab.GCOptimizer)),
    "GCOptimizer.decisions": optimizer(lambda one: one.decisions),
    "GCOptimizer.monitor": optimizer(lambda one: one.monitor),
    "GCOptimizer.stats": optimizer(lambda one: one.stats),
    "GCOptimizer.recommend": plain(
        lambda: memlab.GCOptimizer.recommend(step, rounds=1, settings=("freeze",))
    ),
    "GCSchedule": plain(memlab.GCSchedule),
    "GCSchedule.__enter__": plain(within(memlab.GCSchedule)),
    "GCSchedule.start": plain(started(memlab.GCSchedule)),
    "GCSchedule.stop": plain(started(memlab.GCSchedule)),
    # heap
    "HeapDumper": lambda calls: lambda: memlab.HeapDumper(calls.folder / "d.memlab"),
    "HeapDumper.__enter__": lambda calls: within(
        lambda: memlab.HeapDumper(calls.folder / "d.memlab", at=("exit",), say=str, max_objects=100)
    ),
    "HeapDumper.install": dumper(lambda one: None),
    "HeapDumper.uninstall": dumper(lambda one: None),
    "HeapDumper.note_exception": dumper(lambda one: one.note_exception(ValueError())),
    "HeapWindow": graph(lambda g: memlab.HeapWindow(g, g)),
    "HeapWindow.diff": graph(lambda g: memlab.HeapWindow(g, g).diff),
    "HeapGraph.diff": graph(lambda g: g.diff(g)),
    "HeapGraph.name": graph(lambda g: g.name(0)),
    "HeapGraph.node": heap_of_this(lambda heap: heap.node(HELD)),
    "HeapGraph.retained_size": heap_of_this(lambda heap: heap.retained_size(HELD)),
    "HeapGraph.sizes_of": graph(lambda g: g.sizes_of([0, 1])),
    "HeapGraph.type_name": graph(lambda g: g.type_name(0)),
    "HeapGraph.why": heap_of_this(lambda heap: heap.why(HELD)),
    "HeapGraph.what_if": heap_of_this(lambda heap: heap.what_if(HELD)),
    # records that need an argument
    "CellLedger.samples": on("CellLedger", lambda r: r.samples(0)),
    "FlameTree.rest_blocks": on("FlameTree", lambda r: r.rest_blocks(r.now)),
    "FlameTree.rest_bytes": on("FlameTree", lambda r: r.rest_bytes(r.now)),
    "GcAdvice.trial": on("GcAdvice", lambda r: r.trial(r.trials[0].name)),
    "GcTrial.middle": on("GcTrial", lambda r: r.middle("cpu_s")),
    "GcTrial.spread": on("GcTrial", lambda r: r.spread("cpu_s")),
    "HitCurve.at": on("HitCurve", lambda r: r.at(3)),
    "LeakReport.test": on("LeakReport", lambda r: r.test("tracked_objects")),
    "LeakReport.verify": on("LeakReport", lambda r: r.verify(step, budget_s=0.5, iterations=30, trace=False)),
    "LineProfile.row": on("LineProfile", lambda r: r.row(int(r.line[0]))),
    "LineProfile.rows_of": on("LineProfile", lambda r: r.rows_of(0)),
    "RegressionReport.of": on("RegressionReport", lambda r: r.of(memlab.RegressionVerdict.NEW)),
    "RunHistory.compare": on("RunHistory", lambda r: r.compare(5, 44)),
    "RunHistory.metric": on("RunHistory", lambda r: r.metric("load:peak_bytes")),
    "RunHistory.plot_trend": lambda calls: closing_plot(
        lambda: calls.samples["RunHistory"].plot_trend("load:peak_bytes")
    ),
    "Snapshot.diff": on("Snapshot", lambda r: r.diff(r)),
    "Snapshot.export": lambda calls: exported(calls, "Snapshot", ".csv"),
    "Snapshot.filtered": on("Snapshot", lambda r: r.filtered(memlab.SnapshotFilter(exclude=("json/*",)))),
    "Snapshot.frame": on("Snapshot", lambda r: r.frame(0)),
    "Snapshot.frames": on("Snapshot", lambda r: r.frames(0)),
    "Snapshot.from_tracemalloc": lambda calls: traced(
        lambda: memlab.Snapshot.from_tracemalloc(tracemalloc.take_snapshot())
    ),
    "SnapshotDiff.export": lambda calls: exported(calls, "SnapshotDiff", ".csv"),
    "SnapshotDiff.flame": lambda calls: (
        lambda: calls.samples["Snapshot"].diff(calls.samples["Snapshot"]).flame()
    ),
    "SnapshotDiff.of": plain(samples.snapshot_diff),
    "SnapshotTable.export": lambda calls: exported(calls, "SnapshotTable", ".csv"),
    "SnapshotFilter": plain(lambda: memlab.SnapshotFilter(include=("app/*",))),
    "SnapshotFilter.matches": plain(lambda: memlab.SnapshotFilter(include=("app/*",)).matches("app/a.py", 1)),
    "EngineChoice": plain(lambda: memlab.EngineChoice("tracemalloc", "a", "b", 0, 3)),
    "MissingExtraError.needs": plain(
        lambda: memlab.MissingExtraError.needs("a plot", "matplotlib", "notebook")
    ),
    # hunts and profilers
    "LeakHunt": plain(lambda: memlab.LeakHunt(step)),
    "LeakHunt.run": plain(stopped_hunt),
    "LeakHunt.report": plain(stopped_hunt),
    "LeakHunt.blame": plain(lambda: memlab.LeakHunt(step).blame),
    "LineProfiler": line_profiler(),
    "LineProfiler.__enter__": line_profiler(),
    "LineProfiler.start": line_profiler(),
    "LineProfiler.stop": line_profiler(),
    "LineProfiler.add": plain(lambda: memlab.LineProfiler().add(step)),
    "LineProfiler.result": line_profiler(lambda one: one.result),
    "LineProfiler.failed": line_profiler(lambda one: one.failed(ValueError())),
    "LineProfiler.timestamp": line_profiler(lambda one: within(lambda: one.timestamp("x"))()),
    "MemoryLeakDetector": plain(memlab.MemoryLeakDetector),
    "MemoryLeakDetector.take_snapshot": detector(lambda one: one.take_snapshot()),
    "MemoryLeakDetector.check_leaks": detector(lambda one: (one.take_snapshot(), one.check_leaks())),
    "MemoryLeakDetector.track_object": detector(watched),
    "MemoryLeakDetector.check_tracked_objects": detector(watched),
    "MemoryProfiler": plain(memlab.MemoryProfiler),
    **{
        f"MemoryProfiler.{name}": profiler(action)
        for name, action in {
            "start_profiling": lambda one: None,
            "stop_profiling": lambda one: None,
            "take_snapshot": lambda one: None,
            "__enter__": lambda one: None,
            "compare_snapshots": lambda one: one.compare_snapshots(),
            "get_top_allocations": lambda one: one.get_top_allocations(),
            "memory_timeline": lambda one: one.memory_timeline,
            "timeline": lambda one: one.timeline(),
            "plot_memory_usage": lambda one: closing_plot(one.plot_memory_usage)(),
        }.items()
    },
    "NativeTrace": plain(memlab.NativeTrace),
    **{
        f"NativeTrace.{name}": native(action)
        for name, action in {
            "__enter__": lambda one: None,
            "start": lambda one: None,
            "stop": lambda one: None,
            "is_running": lambda one: one.is_running,
            "leaked": lambda one: one.leaked,
            "peak": lambda one: one.peak,
            "temporary": lambda one: one.temporary,
            "snapshot": lambda one: one.snapshot(),
        }.items()
    },
    "Trace": plain(started(memlab.trace)),
    "Trace.__enter__": plain(within(memlab.trace)),
    "Trace.start": plain(started(memlab.trace)),
    "Trace.stop": plain(started(memlab.trace)),
    "Trace.result": plain(traced_result),
    "Trace.is_running": plain(started(memlab.trace, lambda trace: trace.is_running)),
    "Trace.snapshot": plain(started(memlab.trace, lambda trace: trace.snapshot())),
    # pressure
    "MemoryAlertSystem": plain(lambda: alerts().close()),
    **{
        f"MemoryAlertSystem.{name}": opened(lambda calls: alerts(), action)
        for name, action in {
            "tick": lambda one: one.tick(),
            "status": lambda one: one.status(),
            "is_alive": lambda one: one.is_alive,
            "close": lambda one: alerts().close(),
            "__enter__": lambda one: within(alerts)(),
            "add_handler": lambda one: (one.add_handler(handler), one.remove_handler(handler)),
            "remove_handler": lambda one: (one.add_handler(handler), one.remove_handler(handler)),
            "start_monitoring": lambda one: asyncio.run(watched_for_a_moment(one)),
            "start_thread": lambda one: (one.start_thread(), one.stop_monitoring()),
            "stop_monitoring": lambda one: (one.start_thread(), one.stop_monitoring()),
        }.items()
    },
    "MemoryGuard": plain(lambda: memlab.MemoryGuard("1 TiB", save=None)),
    **{
        f"MemoryGuard.{name}": memory_guard(action)
        for name, action in {
            "__enter__": lambda one: None,
            "start": lambda one: None,
            "stop": lambda one: None,
            "dismiss": lambda one: one.dismiss(),
            "has_acted": lambda one: one.has_acted(),
            "is_on": lambda one: one.is_on,
            "status": lambda one: one.status(),
        }.items()
    },
    "MemoryGuard.post_mortem": opened(
        lambda calls: memlab.MemoryGuard("1 TiB", save=None, growth=False), lambda one: one.post_mortem()
    ),
    "MemoryMonitor": plain(lambda: memlab.MemoryMonitor().close()),
    "MemoryMonitor.__enter__": plain(within(memlab.MemoryMonitor)),
    "MemoryMonitor.close": plain(lambda: memlab.MemoryMonitor().close()),
    "MemoryMonitor.read": opened(lambda calls: memlab.MemoryMonitor(), lambda one: one.read()),
    "MemoryMonitor.rss_bytes": opened(lambda calls: memlab.MemoryMonitor(), lambda one: one.rss_bytes()),
    "MemoryReading": opened(lambda calls: memlab.MemoryMonitor(), lambda one: one.read()),
    "MemoryReading.fraction": opened(lambda calls: memlab.MemoryMonitor(), lambda one: one.read().fraction),
    "MemoryPressureSimulator": plain(lambda: memlab.MemoryPressureSimulator("64 MiB").close()),
    **{
        f"MemoryPressureSimulator.{name}": simulator(action)
        for name, action in {
            "__enter__": lambda one: within(lambda: memlab.MemoryPressureSimulator("64 MiB"))(),
            "close": lambda one: memlab.MemoryPressureSimulator("64 MiB").close(),
            "allocate_memory": lambda one: (one.allocate_memory(1), one.release_memory()),
            "release_memory": lambda one: (one.allocate_memory(1), one.release_memory()),
            "allocated_bytes": lambda one: one.allocated_bytes,
            "allocations": lambda one: one.allocations,
            "get_memory_usage": lambda one: one.get_memory_usage(),
            "fail_allocations": lambda one: one.fail_allocations(step, nth=1),
            "run": lambda one: one.run(memlab.PressureScenario.gradual_ramp(0.3, 0.1)),
        }.items()
    },
    "PressureStage": plain(lambda: memlab.PressureStage("a", 1.0, 0.5)),
    "PressureScenario": plain(lambda: memlab.PressureScenario("a", (memlab.PressureStage("a", 1.0, 0.5),))),
    "PressureScenario.approach_oom": plain(memlab.PressureScenario.approach_oom),
    "PressureScenario.gradual_ramp": plain(memlab.PressureScenario.gradual_ramp),
    "PressureScenario.sawtooth": plain(memlab.PressureScenario.sawtooth),
    "PressureScenario.spike_and_recovery": plain(memlab.PressureScenario.spike_and_recovery),
    "PressureScenario.named": plain(lambda: memlab.PressureScenario.named("ramp")),
    "PressureScenario.lasting": plain(lambda: memlab.PressureScenario.named("ramp").lasting(2.0)),
    "PressureScenario.seconds": plain(lambda: memlab.PressureScenario.named("ramp").seconds),
    # benchmarks and gates
    "Baseline": lambda calls: lambda: memlab.Baseline(calls.folder / "base.json"),
    "Baseline.folder": baseline(lambda one, table: one.folder),
    "Baseline.machines": baseline(lambda one, table: one.machines()),
    "Baseline.read": baseline(lambda one, table: one.read(table.machine)),
    "Baseline.snapshot": baseline(lambda one, table: one.snapshot(table.machine, "load[n=2000]")),
    "Baseline.update": baseline(lambda one, table: one.update(table)),
    "LabBook": lambda calls: lambda: memlab.LabBook(calls.folder / "book.db"),
    "LabBook.append": book(lambda one, table: one.append(table)),
    "LabBook.history": book(lambda one, table: one.history()),
    "MemoryRegressionSuite": lambda calls: lambda: memlab.MemoryRegressionSuite(calls.folder),
    "MemoryRegressionSuite.plot_trend": suite_plot,
    **{
        f"MemoryRegressionSuite.{name}": suite(action)
        for name, action in {
            "check": lambda one, table: one.check(table),
            "history": lambda one, table: one.history(),
            "judge": lambda one, table: one.judge(table, record=False),
            "load_baseline": lambda one, table: one.load_baseline(),
            "load_history": lambda one, table: one.load_history(),
            "measure": lambda one, table: one.measure(),
            "record_history": lambda one, table: one.record_history(table),
            "run_regression_tests": lambda one, table: one.run_regression_tests(),
            "save_baseline": lambda one, table: one.save_baseline(table),
            "settled": lambda one, table: one.settled(lambda: table, 1),
        }.items()
    },
    "MemoryBenchmarks": plain(memlab.MemoryBenchmarks),
    "MemoryBenchmarks.save": lambda calls: (
        lambda: memlab.MemoryBenchmarks.save(calls.samples["BenchmarkTable"].results, calls.folder / "b.json")
    ),
    "MemoryBenchmarks.table": on("BenchmarkTable", lambda r: memlab.MemoryBenchmarks.table(r.results)),
    **{
        f"MemoryBenchmarks.{name}": plain(
            lambda name=name: getattr(memlab.MemoryBenchmarks(repeats=3), name)()
        )
        for name in (
            "cache_access_latency",
            "cache_hit_rate",
            "gc_pause_avg",
            "gc_pause_p99",
            "memory_bandwidth",
            "memory_given_back",
            "object_allocation_rate",
            "pool_allocation_rate",
            "request_latency_avg",
            "request_latency_p99",
            "run",
            "run_all_benchmarks",
        )
    },
    # live
    "Live": live(lambda one: None),
    **{
        f"Live.{name}": live(action)
        for name, action in {
            "capture": lambda one: one.capture(),
            "close": lambda one: None,
            "stop": lambda one: one.stop(),
            "mark": lambda one: one.mark("m"),
            "snapshot": lambda one: one.snapshot("s"),
            "snapshots": lambda one: one.snapshots,
            "alerts": lambda one: one.alerts,
            "is_alive": lambda one: one.is_alive,
            "widget": lambda one: one.widget,
            "__enter__": lambda one: None,
        }.items()
    },
    # objects of known memory
    "testing.Leaked": plain(lambda: memlab.testing.Leaked(10)),
    "testing.Node": plain(memlab.testing.Node),
    "testing.chain": plain(lambda: memlab.testing.chain(5)),
    "testing.cycle": plain(lambda: memlab.testing.cycle(5)),
    "testing.diamond": plain(memlab.testing.diamond),
    "testing.known_leak": plain(within(lambda: memlab.testing.known_leak(3))),
    "testing.nosy_class": plain(memlab.testing.nosy_class),
}

HELD = [Session()]

"""Line by line: exact figures of known allocations, for every kind of function, and nothing else changed.

Memory is mapped, not allocated: malloc may give again what an earlier test gave back.
"""

import asyncio
import functools
import gc
import inspect
import io
import mmap
import os
import sys
import threading
import weakref

import pytest

from memlab.collectors import line_engine
from memlab.collectors.gauges import RssGauge, make_gauge
from memlab.collectors.high_water import HighWaterMark, Region, region
from memlab.errors import UnavailableError, UsageError
from memlab.lab.line_profile import LineProfiler, profile
from memlab.lab.profiled_code import find_code

MIB = 1024 * 1024
EXACT = Region().start().stop().source == "vmhwm"
NEAR = 0.6 * MIB


def mapped(mib):
    block = mmap.mmap(-1, mib * MIB)
    for at in range(0, mib * MIB, mmap.PAGESIZE):
        block[at] = 1
    return block


def spike(mib):
    mapped(mib).close()


def figures(result, function=0):
    """Line, counted from the function's first: (occurrences, increment and rise in MiB)."""
    first = result.functions[function].first_line
    found = {}
    for row in result.rows_of(function):
        rise = result.rise_bytes[row] / MIB if result.has_rise else None
        found[int(result.line[row]) - first] = (
            int(result.occurrences[row]),
            result.increment_bytes[row] / MIB,
            rise,
        )
    return found


def near(found, expected):
    """Compare to (occurrences, increment, rise)."""
    assert found[0] == expected[0]
    assert found[1] == pytest.approx(expected[1], abs=NEAR / MIB)
    if EXACT:
        assert found[2] == pytest.approx(expected[2], abs=NEAR / MIB)


def run_lines(function, *calls):
    with LineProfiler(function) as profiler:
        for call in calls or (function,):
            call()
    return figures(profiler.result)


def plain():
    spike(40)
    block = mapped(20)
    for _ in range(3):
        spike(10)
    block.close()


def test_a_line_shows_what_it_left_and_a_spike_that_was_gone_by_its_end():
    found = run_lines(plain)
    near(found[0], (1, 0, 0))
    near(found[1], (1, 0, 40))
    near(found[2], (1, 20, 20))
    near(found[3], (4, 0, 0))
    near(found[4], (3, 0, 10))
    near(found[5], (1, -20, 0))


def test_increments_add_up_to_what_the_function_left():
    """memory_profiler's do not: its first line counts the whole process, and a repeated line its maximum."""
    kept = []

    def work():
        for size in (30, 10):
            kept.append(mapped(size))
            kept.pop().close()
        kept.append(mapped(5))

    with LineProfiler(work) as profiler:
        work()
    assert profiler.result.increment_bytes.sum() / MIB == pytest.approx(5, abs=NEAR / MIB)
    kept.pop().close()


class Thing:
    def method(self):
        return mapped(8)

    @staticmethod
    def static():
        return mapped(8)

    @classmethod
    def of_class(cls):
        return mapped(8)

    @property
    def attribute(self):
        return mapped(8)

    @functools.lru_cache(maxsize=1)  # noqa: B019 - the test clears it
    def cached(self):
        return mapped(8)

    def __call__(self):
        return mapped(8)


@functools.wraps(plain)
def not_plain():
    plain()


CALLS = {
    "method": (Thing.method, lambda: Thing().method()),
    "bound method": (Thing().method, lambda: Thing().method()),
    "static method": (Thing.static, Thing.static),
    "class method": (Thing.of_class, Thing.of_class),
    "property": (Thing.attribute, lambda: Thing().attribute),
    "decorated": (Thing.cached, lambda: Thing().cached()),
    "partial": (functools.partial(Thing.method), lambda: Thing().method()),
    "callable object": (Thing(), lambda: Thing()()),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_kind_of_callable_is_followed_to_its_body(name):
    function, call = CALLS[name]
    with LineProfiler(function) as profiler:
        block = call()
    found = figures(profiler.result)
    near(found[max(found)], (1, 8, 8))
    block.close()
    Thing.cached.cache_clear()


def test_a_class_names_the_functions_of_its_own_body():
    names = {name for name, _ in find_code(Thing)}
    assert names == {f"Thing.{n}" for n in ("method", "static", "of_class", "attribute", "__call__")}


def test_a_generator_counts_each_line_once_and_only_while_it_runs():
    def generate():
        first = mapped(12)
        yield 1
        second = mapped(6)
        yield 2
        first.close()
        second.close()

    with LineProfiler(generate) as profiler:
        running = generate()
        next(running)
        elsewhere = mapped(50)
        next(running)
        elsewhere.close()
        assert list(running) == []
    found = figures(profiler.result)
    near(found[1], (1, 12, 12))
    near(found[2], (1, 0, 0))
    near(found[3], (1, 6, 6))
    assert found[4][0] == 1


def test_what_is_thrown_into_a_generator_is_met_on_its_line():
    def generate():
        try:
            yield 1
        except ValueError:
            yield mapped(9)

    with LineProfiler(generate) as profiler:
        running = generate()
        next(running)
        block = running.throw(ValueError())
        running.close()
    block.close()
    found = figures(profiler.result)
    near(found[4], (1, 9, 9))
    assert found[2][0] == found[3][0] == 1


def test_coroutines_and_asynchronous_generators():
    async def inner():
        block = mapped(7)
        await asyncio.sleep(0)
        return block

    async def produce():
        for _ in range(2):
            yield await inner()

    async def outer():
        async for block in produce():
            block.close()

    with LineProfiler(inner, produce, outer) as profiler:
        asyncio.run(outer())
    result = profiler.result
    near(figures(result, 0)[1], (2, 14, 7))
    assert figures(result, 0)[2][0] == 2
    assert figures(result, 1)[2][0] == 2
    assert figures(result, 2)[2][0] == 2


def test_a_recursion_counts_bytes_at_its_outermost_line():
    def recurse(depth):
        block = mapped(2)
        if depth:
            recurse(depth - 1)
        return block.close()

    found = run_lines(recurse, lambda: recurse(4))
    assert found[0][0] == found[1][0] == found[2][0] == 5
    near(found[3], (4, 0, 10 - 2))


def test_a_nested_function_has_its_lines_in_the_outer_ones_table():
    def outer():
        def inner():
            return mapped(5)

        return [inner() for _ in range(2)]

    with LineProfiler(outer) as profiler:
        blocks = outer()
    found = figures(profiler.result)
    near(found[2], (2, 0 if found[2][1] < 1 else 10, 5))
    near(found[4], (1, 10, 10))
    for block in blocks:
        block.close()


def test_a_generator_expression_is_one_with_its_line():
    def work():
        return sum(len(str(n)) for n in range(50))

    assert run_lines(work)[1][0] == 1


def test_threads_add_up():
    def work():
        block = mapped(3)
        block.close()

    with LineProfiler(work) as profiler:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = figures(profiler.result)
    assert [found[at][0] for at in (0, 1, 2)] == [4, 4, 4]


def test_a_line_that_raises_keeps_its_spike_and_the_rest_its_place():
    def fails():
        block = mapped(11)
        block.close()
        raise ValueError(spike(16))

    def catches():
        try:
            fails()
        except ValueError:
            spike(6)
        return mapped(4)

    with LineProfiler(fails, catches) as profiler:
        block = catches()
    block.close()
    near(figures(profiler.result, 0)[3], (1, 0, 16))
    near(figures(profiler.result, 1)[2], (1, 0, 16))
    near(figures(profiler.result, 1)[4], (1, 0, 6))
    near(figures(profiler.result, 1)[5], (1, 4, 4))


def test_a_region_inside_a_line_and_around_it_stay_exact():
    def work():
        spike(30)
        with region() as inside:
            spike(5)
        return inside

    with region() as around, LineProfiler(work) as profiler:
        inside = work()
    if EXACT:
        assert inside.peak.increment_bytes / MIB == pytest.approx(5, abs=1)
        assert around.peak.increment_bytes / MIB == pytest.approx(30, abs=1)
        near(figures(profiler.result)[1], (1, 0, 30))


def test_where_getrusage_is_floored_by_the_parent_the_mark_is_read_elsewhere():
    """A process started by a greater one inherits that one's peak in ru_maxrss, until it exceeds it."""
    gauge = RssGauge()
    gauge.start()
    gauge._rusage = lambda rusage=gauge._rusage: (2**40, rusage()[1])
    gauge._check_floor(gauge.read()[0])
    if EXACT:
        assert gauge._floored
        before, _ = gauge.read()
        spike(25)
        value, high = gauge.read()
        assert (high - before) / MIB == pytest.approx(25, abs=1)
        assert abs(gauge.read()[1] - value) < MIB
    gauge.stop()


class Refusing:
    """Files of a container that lets nobody set the mark back."""

    def read(self, name):
        return b"VmHWM: 4 kB\nVmRSS: 4 kB\n"

    def write(self, name, data):
        raise PermissionError(13, "Permission denied")


def test_without_the_mark_the_rise_is_absent_with_its_reason():
    gauge = RssGauge(bookkeeper=lambda: HighWaterMark(Refusing()))
    profiler = LineProfiler(plain)
    profiler._gauge = profiler._session.gauge = gauge
    with profiler:
        plain()
    result = profiler.result
    assert len(result.rise_bytes) == 0
    assert "Permission denied" in result.absent["peak"]
    assert "not known: the kernel's high-water mark cannot be set back" in " ".join(str(result).split())
    assert LineProfiler(plain, exact=False)._gauge.reason == "exact=False was asked for"


@pytest.mark.parametrize("backend", ["psutil", "psutil_uss", "psutil_pss", "posix", "tracemalloc", None])
def test_every_backend_of_memory_profiler(backend):
    def work():
        return bytearray(3 * MIB)

    with LineProfiler(work, backend=backend) as profiler:
        work()
    result = profiler.result
    assert result.metric == make_gauge(backend).metric
    if backend == "tracemalloc":
        assert result.rise_bytes[-1] == pytest.approx(3 * MIB, abs=20_000)


def test_children_are_added_when_asked_for():
    with LineProfiler(plain, include_children=True) as profiler:
        plain()
    assert profiler.result.metric == "family_rss_bytes"
    assert "with child processes" in profiler.result.absent["peak"]


def test_two_profilers_of_one_function_each_see_all_of_it():
    with LineProfiler(plain) as outer:
        plain()
        with LineProfiler(plain) as inner:
            plain()
    assert (outer.result.occurrences[0], inner.result.occurrences[0]) == (2, 1)


def test_a_hot_loop_counts_every_line():
    def loop():
        total = 0
        for number in range(2_000):
            total += number
        return total

    found = run_lines(loop)
    assert [found[at][0] for at in range(5)] == [1, 1, 2_001, 2_000, 1]


def test_it_holds_nothing_that_the_function_had():
    class Held:
        pass

    def work():
        held = Held()
        refs.append(weakref.ref(held))

    refs = []
    with LineProfiler(work) as profiler:
        work()
        assert refs[0]() is None
    assert "Held" not in repr(profiler.result.to_dict()["functions"])


# -- what stands in the way


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="there is room for everybody")
def test_a_trace_function_of_somebody_else_stays_and_the_function_runs():
    def theirs(frame, event, arg):
        return None

    out = io.StringIO()
    decorated = profile(stream=out)(plain)
    sys.settrace(theirs)
    try:
        with pytest.raises(UnavailableError, match="a debugger or a coverage tool traces"):
            LineProfiler(plain).start()
        decorated()
        decorated()
        assert sys.gettrace() is theirs
    finally:
        sys.settrace(None)
    assert out.getvalue().count("memlab: line by line: a debugger") == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no numbers of tools")
def test_with_all_numbers_of_tools_taken_it_says_so_and_takes_none_away():
    taken = [2, 3, 4]
    for tool in taken:
        sys.monitoring.use_tool_id(tool, "theirs")
    try:
        with pytest.raises(UnavailableError, match="other tools hold all numbers"):
            LineProfiler(plain).start()
    finally:
        for tool in taken:
            assert sys.monitoring.get_tool(tool) == "theirs"
            sys.monitoring.free_tool_id(tool)


def test_nothing_is_left_in_the_interpreter():
    run_lines(plain)
    assert line_engine._followed == {}
    assert line_engine._engine.sessions == ()
    assert sys.gettrace() is None
    if sys.version_info >= (3, 12):
        assert [sys.monitoring.get_tool(tool) for tool in range(6)].count("memlab") == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_runs_unprofiled():
    def child():
        return 5

    with LineProfiler(child):
        pid = os.fork()
        if not pid:
            clean = line_engine._followed == {} and child() == 5 and sys.gettrace() is None
            os._exit(0 if clean else 1)
        assert os.waitpid(pid, 0)[1] == 0


BAD = {
    "a builtin": (lambda: LineProfiler(len), "a builtin_function_or_method has no Python code"),
    "a number": (lambda: LineProfiler(3), "a int has no Python code"),
    "an empty class": (lambda: LineProfiler(type("Empty", (), {})), "the class Empty has no functions"),
    "memlab's own": (lambda: LineProfiler(LineProfiler.start), "cannot be measured by itself"),
    "a backend": (lambda: LineProfiler(backend="rss"), "there is no backend 'rss'"),
    "a decorator's backend": (lambda: profile(plain, backend="rss"), "there is no backend 'rss'"),
    "precision": (lambda: profile(plain, precision=-1), "precision must be a number of decimal places"),
    "children of tracemalloc": (
        lambda: LineProfiler(backend="tracemalloc", include_children=True),
        "knows this process alone",
    ),
    "a second start": (lambda: LineProfiler(plain).start().start(), "was started before"),
    "an early result": (lambda: LineProfiler(plain).result, "when the profiler has ended"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_use_is_one_sentence(name):
    call, sentence = BAD[name]
    try:
        with pytest.raises(UsageError, match=sentence):
            call()
    finally:
        for session in line_engine._engine.sessions:
            session.stop()


# -- the decorator


def printed(function, *arguments):
    out = io.StringIO()
    decorated = profile(stream=out)(function)
    return decorated, out, decorated(*arguments)


def test_the_decorator_prints_memory_profilers_table_when_a_call_has_ended():
    def work(size):
        block = bytearray(size)
        return len(block)

    _, out, value = printed(work, 30 * MIB)
    lines = out.getvalue().splitlines()
    assert value == 30 * MIB
    assert lines[0].startswith("Filename: ")
    titles = ["Line #", "Mem usage", "Increment", "Occurrences", "Rise", "Line Contents"]
    assert [lines[3].index(title) for title in titles] == sorted(lines[3].index(t) for t in titles)
    assert [line.split("MiB")[-1].strip() for line in lines[5:8]] == [
        "def work(size):",
        "block = bytearray(size)",
        "return len(block)",
    ]


def test_memory_profilers_log_file_takes_it():
    memory_profiler = pytest.importorskip("memory_profiler")
    import logging

    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("memlab-test-lines")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    profile(plain, stream=memory_profiler.LogFile("memlab-test-lines", reportIncrementFlag=True))()
    assert any("Filename" in line for line in said)
    assert [line.split("MiB")[-1].strip() for line in said if "MiB" in line] == ["block = mapped(20)"]


KINDS = {
    "generator": inspect.isgeneratorfunction,
    "coroutine": inspect.iscoroutinefunction,
    "asynchronous generator": inspect.isasyncgenfunction,
    "function": inspect.isfunction,
}


def test_a_decorated_function_stays_of_its_kind():
    def generator():
        got = yield 1
        return got

    async def coroutine():
        return 2

    async def asynchronous():
        got = yield 3
        yield got

    def function():
        return 4

    for one in (generator, coroutine, asynchronous, function):
        decorated = profile(one, stream=io.StringIO())
        assert [check(decorated) for check in KINDS.values()] == [check(one) for check in KINDS.values()]
        assert (decorated.__name__, decorated.__wrapped__) == (one.__name__, one)
    running = profile(generator, stream=io.StringIO())()
    next(running)
    with pytest.raises(StopIteration) as end:
        running.send(7)
    assert end.value.value == 7

    async def drive():
        produced = profile(asynchronous, stream=io.StringIO())()
        return [await produced.asend(None), await produced.asend(9)], await profile(
            coroutine, stream=io.StringIO()
        )()

    assert asyncio.run(drive()) == ([3, 9], 2)


def test_calls_that_overlap_share_one_table():
    out = io.StringIO()

    @profile(stream=out)
    def recurse(depth):
        if depth:
            recurse(depth - 1)

    recurse(3)
    assert out.getvalue().count("Filename:") == 1
    assert out.getvalue().splitlines()[5].split()[5] == "4"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_decorators_exception_is_the_functions_own_and_the_table_is_printed(kind):
    error = kind("mine")

    def fails():
        raise error

    out = io.StringIO()
    with pytest.raises(kind) as caught:
        profile(fails, stream=out)()
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert "raise error" in out.getvalue()
    own = [f for f in _files(error) if f.endswith("line_profile.py") and "test" not in f]
    assert len(own) <= 1


def _files(error):
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame.f_code.co_filename
        step = step.tb_next


def test_a_stream_that_breaks_does_not_break_the_function(capfd):
    class Broken:
        def write(self, text):
            raise OSError(28, "No space left on device")

    assert profile(lambda: 5, stream=Broken())() == 5
    assert "memlab: the profile could not be written (OSError)" in capfd.readouterr().err


def test_above_and_below_static_and_class_methods_and_properties():
    out = io.StringIO()
    mark = profile(stream=out)

    class Both:
        @mark
        @staticmethod
        def above():
            return 1

        @staticmethod
        @mark
        def below():
            return 2

        @mark
        @classmethod
        def of_class(cls):
            return cls

        @mark
        @property
        def attribute(self):
            return 4

    assert (Both.above(), Both.below(), Both.of_class(), Both().attribute) == (1, 2, Both, 4)
    assert out.getvalue().count("Filename:") == 4


def test_strings_and_comments_of_the_source_are_not_in_the_result():
    def work():
        token = "s3cret"  # and why
        return len(token)

    with LineProfiler(work) as profiler:
        work()
    assert "s3cret" not in repr(profiler.result.to_dict())
    assert "and why" not in repr(profiler.result.to_dict())
    assert profiler.result.source[1] == '        token = "…"'


def test_a_named_block_has_its_time_and_peak():
    profiler = LineProfiler()
    with profiler, profiler.timestamp("load"):
        spike(20)
    block = profiler.result.stretches[0]
    assert (block.label, block.seconds > 0) == ("load", True)
    if EXACT:
        assert (block.peak_bytes - block.start_bytes) / MIB == pytest.approx(20, abs=1)
    gc.collect()

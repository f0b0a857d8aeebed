"""The measured program comes first: same result, exception and output; nothing left by an interrupt."""

import atexit
import contextlib
import gc
import io
import os
import random
import sys
import threading
import tracemalloc
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.everyline import interrupt_everywhere

from memlab.collectors import high_water, line_engine, tracing
from memlab.collectors.high_water import Region, region
from memlab.collectors.probe import Probe
from memlab.collectors.sampler import Sampler
from memlab.errors import UnavailableError
from memlab.lab.cell_watch import CellWatch
from memlab.lab.line_profile import LineProfiler
from memlab.lab.memit import memit
from memlab.lab.memory_usage import memory_usage
from memlab.lab.recorder import record

# -- generated programs

PROGRAMS = 400 if os.environ.get("MEMLAB_LONG") == "1" else 40
NAMES = st.sampled_from("abc")
NUMBERS = st.integers(-3, 6)


@st.composite
def expressions(draw):
    kind = draw(st.sampled_from(["number", "name", "sum", "divide", "call", "random", "length", "lazy"]))
    left, right = draw(st.one_of(NUMBERS.map(str), NAMES)), draw(st.one_of(NUMBERS.map(str), NAMES))
    return {
        "number": left,
        "name": right,
        "sum": f"({left} + {right})",
        "divide": f"({left} // {right})",
        "call": f"twice({left})",
        "random": "random.random()",
        "length": f"len(bytearray(int(abs({left})) % 50 * 10_000))",
        "lazy": f"sum(x * {right} for x in counted({left}))",
    }[kind]


@st.composite
def blocks(draw, depth=0):
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        kinds = ["assign", "print", "raise", "await"] + (["if", "for", "try", "def"] if depth < 2 else [])
        kind = draw(st.sampled_from(kinds))
        value = draw(expressions())
        if kind == "assign":
            lines.append(f"{draw(NAMES)} = {value}")
        elif kind == "print":
            lines.append(f"print({value})")
        elif kind == "raise":
            lines.append(f"if {value} > 5: raise {draw(st.sampled_from(['ValueError', 'Stop']))}({value})")
        elif kind == "await":
            lines.append(f"{draw(NAMES)} = run(later({value}))")
        else:
            inner = ["    " + line for line in draw(blocks(depth + 1))]
            if kind == "if":
                lines += [f"if {value} > 2:", *inner]
            elif kind == "for":
                lines += [f"for {draw(NAMES)} in range(abs({draw(NUMBERS)})):", *inner]
            elif kind == "try":
                lines += ["try:", *inner, "except (ValueError, ZeroDivisionError) as e:"]
                lines += ["    print(type(e).__name__, e.args)", "finally:", "    print('finally')"]
            else:
                lines += ["def local(a, b, c):", *inner, "    return a", f"b = local({value}, 1, 2)"]
    return lines


PRELUDE = """
import random
class Stop(BaseException): pass
def twice(n): return n * 2
def counted(n):
    try:
        for i in range(int(abs(n)) % 20): yield i
    finally: print('closed')
async def later(n): return n + 1
def run(coroutine):
    try: coroutine.send(None)
    except StopIteration as end: return end.value
a, b, c = 1, 2, 3
"""


def outcome(source, measured):
    """Run a program under ``measured(call)``; return all that a user could see of it."""
    space = {}
    calls = []
    exec(compile(PRELUDE, "<prelude>", "exec"), space)
    code = compile(source, "<program>", "exec")
    random.seed(7)
    printed = io.StringIO()
    caught = None

    def program():
        calls.append(1)
        exec(code, space)

    with contextlib.redirect_stdout(printed):
        try:
            measured(program)
        except BaseException as error:
            caught = (
                type(error).__name__,
                error.args,
                repr(error.__context__),
                repr(error.__cause__),
                _where(error),
            )
    values = {name: space[name] for name in "abc" if not callable(space[name])}
    return printed.getvalue(), caught, values, random.getstate(), len(calls)


def _where(error):
    """The part of the traceback that lies in the program."""
    found, step = [], error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename in ("<program>", "<prelude>"):
            found.append((step.tb_frame.f_code.co_name, step.tb_lineno))
        step = step.tb_next
    return found


def under(make):
    def measured(program):
        with make():
            program()

    return measured


TOOLS = {
    "record": under(lambda: record(0.001)),
    "region": under(region),
    "sampled region": under(lambda: region(exact=False)),
    "sampler": under(lambda: Sampler(0.001)),
    "tracing": under(lambda: tracing.tracing(3)),
    "memit": memit,
}


@settings(max_examples=PROGRAMS, deadline=None, suppress_health_check=list(HealthCheck))
@given(blocks())
def test_a_program_is_the_same_with_and_without_each_tool(lines):
    source = "\n".join(lines)
    bare = outcome(source, lambda program: program())
    assert bare[-1] == 1
    for name, measured in TOOLS.items():
        assert outcome(source, measured) == bare, name


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_the_very_exception_object_comes_out_and_nothing_is_hung_on_it(name, kind):
    error = kind("mine")

    def program():
        raise error

    with pytest.raises(kind) as caught:
        TOOLS[name](program)
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert getattr(error, "__notes__", None) is None


# -- interrupts


def state():
    folder = Path("/proc/self/fd")
    return {
        "traced": (tracemalloc.is_tracing(), tracemalloc.get_traceback_limit()),
        "subscribers": tracing._owner.subscribers,
        "collector": (gc.isenabled(), gc.get_threshold(), len(gc.callbacks)),
        "threads": sorted(t.name for t in threading.enumerate()),
        "exit hooks": atexit._ncallbacks(),
        "open regions": high_water._bookkeeper.open_regions,
        "descriptors": len(list(folder.iterdir())) if folder.exists() else psutil.Process().num_fds(),
        "hooks": (sys.getprofile(),),
        "followed": (len(line_engine._followed), line_engine._engine.sessions),
        "tools": [_tool(number) for number in range(6)],
        "locks are free": [_is_free(lock) for lock in (tracing._owner._lock, high_water._bookkeeper._lock)],
    }


def _tool(number):
    return sys.monitoring.get_tool(number) if sys.version_info >= (3, 12) else None


def _is_free(lock):
    free = lock.acquire(timeout=1)
    if free:
        lock.release()
    return free


def enter_and_leave(make):
    def action():
        with make():
            pass

    return action


def start_and_stop(make):
    def action():
        tool = make()
        tool.start()
        tool.stop()

    return action


def snapshot_in_tracing():
    with tracing.tracing(2) as trace:
        trace.snapshot()


def probe_once():
    with Probe() as probe:
        probe.read("rss_bytes")


def lines_of_int():
    # The harness itself traces, and before Python 3.12 there is room for one.
    with contextlib.suppress(UnavailableError), LineProfiler(start_and_stop):
        start_and_stop(int)


def one_cell():
    watch = CellWatch(census=dict)
    gc.disable()  # an interrupt inside a callback of the collector is lost, whoever's it is
    try:
        watch.begin(1, 1, "x", {})
        watch.end(1, "ok", {})
    finally:
        try:
            watch.close()
        finally:
            gc.enable()


ACTIONS = {
    "probe": probe_once,
    "region": enter_and_leave(region),
    "region, started": start_and_stop(region),
    "sampled region": enter_and_leave(lambda: Region(exact=False, interval_s=0.001)),
    "sampler": enter_and_leave(lambda: Sampler(0.001)),
    "sampler, started": start_and_stop(lambda: Sampler(0.001)),
    "tracing": enter_and_leave(lambda: tracing.tracing(2)),
    "tracing, started": start_and_stop(lambda: tracing.tracing(2)),
    "snapshot": snapshot_in_tracing,
    "record": enter_and_leave(lambda: record(0.001)),
    "record, started": start_and_stop(lambda: record(0.001)),
    "memit": lambda: memit(int),
    "line profiler": lines_of_int,
    "memory_usage": lambda: memory_usage((int, ()), max_usage=True),
    "memory_usage, traced": lambda: memory_usage((int, ()), backend="tracemalloc"),
    "cell": one_cell,
}


# A recording starts a process: some hundred lines, each with one. test_recorder.py walks some of them.
SLOW = ("memory_usage", "cell", "record", "record, started")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n in SLOW else n for n in ACTIONS]
)
def test_an_interrupt_at_any_line_leaves_nothing_behind(name):
    gc.collect()
    points, residue = interrupt_everywhere(ACTIONS[name], state)
    assert residue == []
    assert points > 5, "the harness saw the lines"


def test_the_harness_finds_what_a_careless_context_manager_leaves():
    """The harness can fail: the naive form leaves the collector off when it is interrupted."""
    from kit import everyline

    class Careless:
        def __enter__(self):
            gc.disable()
            self.note = 1

        def __exit__(self, *exc_info):
            self.note = 2
            gc.enable()

    before = everyline.PACKAGE
    everyline.PACKAGE = __file__
    found = []

    def careful_state():
        now = {"collector": gc.isenabled()}
        gc.enable()
        return now

    try:
        _, found = interrupt_everywhere(enter_and_leave(Careless), careful_state, patience_s=0)
    finally:
        everyline.PACKAGE = before
        gc.enable()
    assert len(found) >= 2

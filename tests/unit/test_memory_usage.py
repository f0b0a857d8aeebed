"""memory_usage: memory_profiler's arguments and answers; the function runs once, and nobody is killed."""

import ast
import inspect
import io
import mmap
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import memlab
from memlab.collectors.high_water import Region
from memlab.errors import UnavailableError, UsageError
from memlab.lab.memory_usage import memory_usage

MIB = 1024 * 1024
EXACT = Region().start().stop().source == "vmhwm"


def spike(mib=40, seconds=0.0):
    with mmap.mmap(-1, mib * MIB) as block:
        for at in range(0, mib * MIB, mmap.PAGESIZE):
            block[at] = 1
        time.sleep(seconds)
    return mib


def sleeping(seconds=30):
    return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])


def test_its_arguments_are_those_of_memory_profiler_with_the_same_defaults():
    theirs = pytest.importorskip("memory_profiler").memory_usage
    ours = inspect.signature(memory_usage).parameters
    for name, parameter in inspect.signature(theirs).parameters.items():
        assert ours[name].default == parameter.default
    assert list(ours)[: len(inspect.signature(theirs).parameters)] == list(
        inspect.signature(theirs).parameters
    )


ANSWERS = {
    "a function": ((spike, (2,), {}), {}),
    "without keywords": ((spike, (2,)), {}),
    "without arguments": ((spike,), {}),
    "as a list": ([spike, (2,), {}], {}),
    "bare": (spike, {}),
    "times": (spike, {"timestamps": True}),
    "greatest": (spike, {"max_usage": True}),
    "greatest with time": (spike, {"max_usage": True, "timestamps": True}),
    "result": ((spike, (2,)), {"retval": True}),
    "greatest and result": ((spike, (2,)), {"retval": True, "max_usage": True}),
    "children": (spike, {"include_children": True}),
    "pss": (spike, {"backend": "psutil_pss"}),
    "uss": (spike, {"backend": "psutil_uss"}),
    "this process": (-1, {}),
    "for a while": (-1, {"timeout": 0.04, "interval": 0.01}),
    "for a while, times": (-1, {"timeout": 0.02, "interval": 0.01, "timestamps": True}),
    "greatest of a while": (-1, {"timeout": 0.02, "interval": 0.01, "max_usage": True}),
    "each process": (-1, {"multiprocess": True}),
}


def shape(value):
    """What kinds of things an answer is made of; a list's length is not part of it."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__, tuple(sorted({str(shape(one)) for one in value}))
    return type(value).__name__


@pytest.fixture(scope="module")
def theirs():
    """Shapes of memory_profiler's answers, asked in a process of its own: it leaves its helpers behind."""
    pytest.importorskip("memory_profiler")
    code = "import warnings; warnings.simplefilter('ignore'); from memory_profiler import memory_usage"
    code += "\nfrom tests.unit.test_memory_usage import ANSWERS, shape, spike"
    code += (
        "\nprint({name: shape(memory_usage(proc, **options)) for name, (proc, options) in ANSWERS.items()})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return ast.literal_eval(done.stdout)


@pytest.mark.parametrize("name", ANSWERS)
def test_its_answers_have_the_form_of_memory_profilers(theirs, name):
    proc, options = ANSWERS[name]
    ours = memory_usage(proc, **options)
    assert shape(ours) == theirs[name]
    if proc == -1 and "max_usage" not in options:
        assert len(ours) == round(options.get("timeout", 0.1) / options.get("interval", 0.1))


def test_it_runs_exactly_once_where_memory_profiler_runs_seven_times():
    calls = []
    for options in ({}, {"max_usage": True}, {"interval": 0.001}, {"max_iterations": 5}, {"timeout": 0.2}):
        calls.clear()
        memory_usage((calls.append, (1,)), **options)
        assert calls == [1]


def test_the_greatest_is_the_kernels_own_mark_however_long_the_interval():
    before = memory_usage()[0]
    most = memory_usage(spike, interval=10, max_usage=True)
    if EXACT:
        assert most - before == pytest.approx(40, abs=2)
    together = memory_usage(spike, interval=10, max_usage=True, include_children=True)
    if EXACT:
        assert together - before >= 38
    with_time = memory_usage(spike, interval=10, max_usage=True, timestamps=True)
    assert abs(with_time[1] - time.time()) < 60


def test_samples_show_the_course():
    used = memory_usage((spike, (30, 0.2)), interval=0.01)
    assert max(used) - used[0] == pytest.approx(30, abs=2)
    assert used[-1] - used[0] == pytest.approx(0, abs=2)
    times = [moment for _, moment in memory_usage((spike, (1, 0.05)), interval=0.01, timestamps=True)]
    assert times == sorted(times)
    assert abs(times[0] - time.time()) < 60


def test_after_the_timeout_the_function_goes_on_and_no_figure_is_kept():
    started = time.time()
    used, done = memory_usage((spike, (1, 0.3)), interval=0.01, timeout=0.05, timestamps=True, retval=True)
    assert done == 1
    assert used[-1][1] - used[0][1] <= 0.06
    assert time.time() - started >= 0.3


@pytest.mark.parametrize("kind", [ZeroDivisionError, KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize("options", [{}, {"max_usage": True}, {"backend": "tracemalloc"}], ids=str)
def test_the_exception_is_the_same_object_and_the_callers_children_live_on(kind, options):
    error, calls = kind("mine"), []

    def fails():
        calls.append(1)
        raise error

    child = sleeping()
    try:
        with pytest.raises(kind) as caught:
            memory_usage(fails, **options)
        assert caught.value is error
        assert (error.__context__, error.__cause__, calls) == (None, None, [1])
        assert psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE
    finally:
        child.kill()
        child.wait()


def test_what_python_allocated_with_its_exact_peak():
    assert memory_usage((bytearray, (20 * MIB,)), backend="tracemalloc", max_usage=True) >= 20


def test_another_process_by_number_as_text_and_for_a_while():
    child = sleeping()
    try:
        assert len(memory_usage(str(child.pid))) == 1
        assert len(memory_usage(child.pid, interval=0.01, timeout=0.03)) == 3
    finally:
        child.kill()
        child.wait()
    with pytest.raises(UnavailableError, match=f"there is no process {child.pid}"):
        memory_usage(child.pid)


def test_a_program_until_its_end_and_its_greatest_use():
    used = memory_usage(sleeping(0.1), interval=0.01)
    assert len(used) > 2
    assert min(used) > 0
    program = subprocess.Popen([sys.executable, "-c", "b = bytearray(60 << 20); del b; input()"], stdin=-1)
    program.stdin.close()
    most = memory_usage(program, interval=0.02, max_usage=True)
    if sys.platform == "linux":
        assert most > 60
    assert program.returncode == 1
    program = sleeping()
    assert len(memory_usage(program, interval=0.01, timeout=0.02)) == 2
    assert program.poll() is None
    program.kill()
    program.wait()


def test_a_stream_gets_mprofs_lines():
    out = io.StringIO()
    assert memory_usage(spike, stream=out) is None
    assert memory_usage(-1, stream=out) is None
    assert memory_usage((spike, (3,)), stream=out, retval=True) == (None, 3)
    lines = out.getvalue().splitlines()
    assert len(lines) >= 5
    for line in lines:
        word, value, moment = line.split(" ")
        assert (word, len(value.split(".")[1]), len(moment.split(".")[1])) == ("MEM", 6, 4)
    child = sleeping()
    try:
        out = io.StringIO()
        memory_usage(-1, multiprocess=True, stream=out)
        assert any(line.startswith(f"CHLD {child.pid} ") for line in out.getvalue().splitlines())
        assert len(memory_usage(-1, multiprocess=True)[0]) >= 2
    finally:
        child.kill()
        child.wait()


BAD = {
    "no process": ({"proc": "work"}, "give a function, a process number"),
    "a negative number": ({"proc": -7}, "not -7"),
    "nothing": ({"proc": None}, "not NoneType"),
    "an empty tuple": ({"proc": ()}, "as \\(f, args, kw\\)"),
    "no function in front": ({"proc": (1, 2)}, "as \\(f, args, kw\\)"),
    "four parts": ({"proc": (len, (), {}, 1)}, "as \\(f, args, kw\\)"),
    "interval": ({"interval": 0}, "interval must be"),
    "timeout": ({"timeout": float("nan")}, "timeout must be"),
    "backend": ({"backend": "rss"}, "no backend 'rss'; choose one of psutil"),
    "tracemalloc of a process": ({"backend": "tracemalloc"}, "measures a function"),
    "tracemalloc with children": (
        {"proc": len, "backend": "tracemalloc", "include_children": True},
        "this process alone",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_use_is_one_sentence(name):
    options, sentence = BAD[name]
    with pytest.raises(UsageError, match=sentence):
        memory_usage(**options)


def test_it_has_a_public_name():
    assert memlab.memory_usage is memory_usage

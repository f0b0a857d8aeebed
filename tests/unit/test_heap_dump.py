"""Dumps of the heap: on every occasion, and without a trace in what the program does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from memlab.errors import UsageError
from memlab.lab.heap_dump import HeapDumper, dump_heap, filled, signal_of
from memlab.records.heap_graph import HeapGraph
from memlab.store.capture_file import load

posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits are POSIX's")
linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is a promise on Linux only")

# What the outcomes of a program with a dumper are compared with: the program without.
INSTALL = "from memlab.lab.heap_dump import HeapDumper\nHeapDumper({path!r}, **{options!r}).install()\n"


def run(folder, code, *, options=None, name="out-{pid}.memlab", **keywords):
    """Run code in a process of its own, after a dumper was installed; return how it ended."""
    head = INSTALL.format(path=str(folder / name), options=options or {})
    return child(head + code, cwd=folder, **keywords)


def child(code, **keywords):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120, **keywords
    )


def dumps(folder):
    return sorted(folder.glob("*.memlab"))


def said(done):
    """Return the lines of memlab on stderr, and the others."""
    lines = done.stderr.splitlines()
    return [x for x in lines if x.startswith("memlab: ")], [x for x in lines if not x.startswith("memlab: ")]


# -- at the end


def test_a_program_that_ends_leaves_a_dump(tmp_path):
    """With what its module held at the end; output and exit code are its own."""
    done = run(tmp_path, "class Order: pass\nkept = [Order() for _ in range(1234)]\nprint('hello')")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    (file,) = dumps(tmp_path)
    graph = load(file)
    assert type(graph) is HeapGraph
    names = dict(zip(*_counts(graph), strict=True))
    assert names["__main__.Order"] == 1234
    ours, others = said(done)
    assert others == []
    assert len(ours) == 1
    assert ours[0] == f"memlab: heap of {len(graph):,} objects written to {file} (exit)"


def _counts(graph):
    import numpy as np

    counts = np.bincount(graph.type_of, minlength=len(graph.types))
    return graph.types, counts.tolist()


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError('boo')",
        "import sys; sys.exit(7)",
        "import sys; sys.exit('a sentence')",
        "import sys; print('out'); print('err', file=sys.stderr); sys.exit(0)",
        "import threading\nthreading.Thread(target=lambda: 1 / 0).start()",
        "import sys\nsys.excepthook = lambda *a: print('own hook', a[0].__name__)\nraise KeyError(1)",
        "import atexit\natexit.register(print, 'late')\nraise SystemExit(3)",
    ],
)
def test_the_program_is_what_it_would_have_been(tmp_path, code):
    """Exit code, output and traceback with a dump on every occasion equal those without."""
    options = {"at": ("exit", "memory-error")}
    # The same number of lines before the code, so that tracebacks name the same ones.
    plain, dumped = child("\n\n" + code), run(tmp_path, code, options=options)
    assert (dumped.returncode, dumped.stdout) == (plain.returncode, plain.stdout)
    assert _without_numbers(said(dumped)[1]) == _without_numbers(plain.stderr.splitlines())
    assert len(dumps(tmp_path)) == 1


def _without_numbers(lines):
    return ["".join(c for c in line if not c.isdigit()) for line in lines]


def test_a_dump_that_cannot_be_written_is_one_line(tmp_path):
    """The exit code stays the program's."""
    done = run(tmp_path, "import sys; sys.exit(5)", name="missing/out.memlab")
    assert done.returncode == 5
    (line,) = done.stderr.splitlines()
    assert line.startswith("memlab: heap not written (exit): cannot write ")


def test_a_capture_that_fails_is_one_line(tmp_path):
    """Even a bug of memlab's own never reaches the program."""
    code = (
        "import memlab.lab.heap\n"
        "def broken(**options): raise RuntimeError('secret text')\n"
        "memlab.lab.heap.heap = broken\n"
        "import sys; sys.exit(4)"
    )
    done = run(tmp_path, code)
    assert done.returncode == 4
    assert done.stderr.splitlines() == ["memlab: heap not written (exit): RuntimeError"]
    assert dumps(tmp_path) == []


def test_a_closed_stderr_is_borne(tmp_path):
    """Nowhere to say it: the dump is written all the same."""
    done = run(tmp_path, "import sys; sys.stderr = None; sys.exit(2)")
    assert done.returncode == 2
    assert len(dumps(tmp_path)) == 1


@posix
def test_a_forked_child_does_not_dump_at_its_exit(tmp_path):
    """One program, one dump at its end."""
    code = "import os, sys\npid = os.fork()\nif pid == 0: sys.exit(0)\nos.waitpid(pid, 0)"
    assert run(tmp_path, code).returncode == 0
    assert len(dumps(tmp_path)) == 1


def test_uninstalled_nothing_happens(tmp_path):
    """Neither at exit nor on an error."""
    code = (
        f"from memlab.lab.heap_dump import HeapDumper\n"
        f"with HeapDumper({str(tmp_path / 'x.memlab')!r}, at=('exit', 'memory-error')): pass\n"
        "raise MemoryError"
    )
    done = child(code)
    assert done.returncode == 1
    assert said(done)[0] == []
    assert dumps(tmp_path) == []


# -- on a MemoryError


@linux
def test_a_real_memory_error_is_dumped(tmp_path):
    """Raised by the limit on the address space; the dump has room, and shows what filled it."""
    code = (
        "import resource\n"
        "from pathlib import Path\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 50 * 2**20,) * 2)\n"
        "class Chunk:\n"
        "    def __init__(self): self.data = bytearray(2**20)\n"
        "kept = []\n"
        "def fill():\n"
        "    while True: kept.append(Chunk())\n"
        "fill()\n"
    )
    done = run(tmp_path, code, options={"at": "memory-error"})
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert "MemoryError" in done.stderr.splitlines()
    (file,) = dumps(tmp_path)
    graph = load(file)
    counts = dict(zip(*_counts(graph), strict=True))
    assert 30 <= counts["__main__.Chunk"] <= 60
    assert graph.total_bytes > counts["__main__.Chunk"] * 2**20
    assert said(done)[0][-1].endswith("(memory error)")


@pytest.mark.parametrize(
    "code",
    [
        "raise MemoryError",
        "class Mine(MemoryError): pass\nraise Mine('x')",
        "raise ExceptionGroup('several', [ValueError(), ExceptionGroup('inner', [MemoryError()])])",
        "import threading\ndef fail(): raise MemoryError\nthreading.Thread(target=fail).start()",
    ],
)
def test_every_way_a_memory_error_ends_something(tmp_path, code):
    """Subclasses, groups and threads; the traceback comes first, as ever."""
    plain, done = child("\n\n" + code), run(tmp_path, code, options={"at": "memory-error"})
    assert done.returncode == plain.returncode
    assert _without_numbers(said(done)[1]) == _without_numbers(plain.stderr.splitlines())
    assert len(dumps(tmp_path)) == 1


@pytest.mark.parametrize(
    "code", ["raise ValueError", "try:\n    raise MemoryError\nexcept MemoryError: pass"]
)
def test_other_errors_and_caught_ones_are_not_dumped(tmp_path, code):
    """What the program caught is out of reach, as the docs say."""
    run(tmp_path, code, options={"at": "memory-error"})
    assert dumps(tmp_path) == []


def test_hooks_are_chained_and_put_back():
    """What was there is called first; what came later stays."""
    calls = []

    def theirs(*args):
        calls.append("theirs")

    before, thread_before = sys.excepthook, threading.excepthook
    sys.excepthook = theirs
    try:
        dumper = HeapDumper("x.memlab", at="memory-error", reserve_bytes=0)
        dumper._dump = calls.append  # type: ignore[method-assign]
        with dumper:
            assert sys.excepthook is not theirs
            error = MemoryError()
            sys.excepthook(MemoryError, error, None)
            assert calls == ["theirs", "memory error"]
            kept = sys.excepthook
        assert sys.excepthook is theirs
        assert threading.excepthook is thread_before
        kept(MemoryError, error, None)  # somebody kept it: what was there before, and no more
        assert calls == ["theirs", "memory error", "theirs"]
        dumper.install()
        sys.excepthook = later = theirs
        dumper.uninstall()
        assert sys.excepthook is later
    finally:
        sys.excepthook, threading.excepthook = before, thread_before


# -- on a signal


@posix
def test_a_signal_asks_for_dumps(tmp_path):
    """Each into a file of its own, while the program goes on."""
    code = (
        "import sys, time\n"
        "print('ready', flush=True)\n"
        "end = time.monotonic() + 60\n"
        "while time.monotonic() < end:\n"
        "    time.sleep(0.01)\n"
        "    import pathlib\n"
        "    if pathlib.Path('stop').exists(): sys.exit(9)\n"
    )
    head = INSTALL.format(path="sig.memlab", options={"at": "signal", "signum": "USR1"})
    process = subprocess.Popen(
        [sys.executable, "-c", head + code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        process.stdout.readline()
        for name in ("sig.memlab", "sig-2.memlab"):
            process.send_signal(signal.SIGUSR1)
            wait_for(tmp_path / name)
    finally:
        (tmp_path / "stop").touch()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 9
    assert [p.name for p in dumps(tmp_path)] == ["sig-2.memlab", "sig.memlab"]
    assert type(load(tmp_path / "sig-2.memlab")) is HeapGraph
    assert errors.decode().count("(SIGUSR1)") == 2


def wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.02)


@posix
@pytest.mark.parametrize(
    ("before", "code", "output"),
    [
        ("", -signal.SIGTERM, ""),
        ("signal.signal(signal.SIGTERM, lambda *a: print('theirs'))\n", 0, "theirs\ngoes on\n"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n", 0, "goes on\n"),
    ],
    ids=["default", "handler", "ignored"],
)
def test_the_old_handler_is_called_after_the_dump(tmp_path, before, code, output):
    """A signal that ends a program still does; a handler of the program's still runs."""
    head = INSTALL.format(
        path=str(tmp_path / "x.memlab"), options={"at": "signal", "signum": int(signal.SIGTERM)}
    )
    act = "import os\nos.kill(os.getpid(), signal.SIGTERM)\nprint('goes on')"
    done = child("import signal\n" + before + head + act)
    assert (done.returncode, done.stdout) == (code, output)
    assert len(dumps(tmp_path)) == 1


@posix
def test_the_handler_is_put_back():
    """Unless somebody has put another in its place since."""
    before = signal.getsignal(signal.SIGUSR1)
    with HeapDumper("x.memlab", at="signal", signum="USR1"):
        assert signal.getsignal(signal.SIGUSR1) is not before
    assert signal.getsignal(signal.SIGUSR1) is before
    try:
        with HeapDumper("x.memlab", at="signal", signum="USR1"):
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


@posix
def test_a_signal_in_another_thread_is_bad_use():
    """And nothing stays installed of a dumper that could not be."""
    before, errors = sys.excepthook, []

    def try_it():
        try:
            HeapDumper("x.memlab", at=("memory-error", "signal"), signum="USR1").install()
        except UsageError as error:
            errors.append(str(error))

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    assert "main thread" in errors[0]
    assert sys.excepthook is before


@posix
@pytest.mark.parametrize("name", ["KILL", "SIGSEGV", "NOPE", "", 0, 9999, 1.5, None])
def test_signals_that_cannot_be_are_refused(name):
    """By name or number, in one sentence."""
    with pytest.raises(UsageError, match=r"signal|handled by Python"):
        signal_of(name)


# -- names and arguments


@pytest.mark.parametrize(
    ("path", "number", "fork", "name"),
    [
        ("a.memlab", 1, False, "a.memlab"),
        ("a.memlab", 3, False, "a-3.memlab"),
        ("a-{n}.memlab", 3, False, "a-3.memlab"),
        ("{pid}/a{x}.memlab", 1, False, "PID/a{x}.memlab"),
        ("a.memlab", 1, True, "a-PID.memlab"),
        ("a", 2, True, "a-PID-2"),
        ("a-{pid}.memlab", 2, True, "a-PID-2.memlab"),
    ],
)
def test_names_are_filled_in(path, number, fork, name):
    """Process, number, and another file for each dump and each fork."""
    own = -1 if fork else os.getpid()
    assert filled(path, number, own) == str(Path(name.replace("PID", str(os.getpid()))))


def test_dump_heap_writes_what_load_reads(tmp_path):
    """The path that was written comes back."""
    path = dump_heap(tmp_path / "now-{pid}.memlab", title="now")
    assert path == str(tmp_path / f"now-{os.getpid()}.memlab")
    assert load(path).title == "now"
    with pytest.raises(UsageError, match="cannot write"):
        dump_heap(tmp_path / "missing" / "x.memlab")


@pytest.mark.parametrize(
    "options",
    [
        {"at": ()},
        {"at": "never"},
        {"at": ("exit", "never")},
        {"at": "signal"},
        {"signum": "USR1"},
        {"reserve_bytes": -1},
        {"reserve_bytes": 1.5},
    ],
    ids=str,
)
def test_wrong_arguments_are_one_sentence(options):
    """Before anything is installed."""
    with pytest.raises(UsageError, match="dumping the heap"):
        HeapDumper("x.memlab", **options)


def test_installed_twice_is_bad_use():
    """It would put itself before itself."""
    with HeapDumper("x.memlab", at="memory-error") as dumper, pytest.raises(UsageError, match="already"):
        dumper.install()


def test_a_line_that_cannot_be_said_is_borne(tmp_path):
    """A signal may come while the program itself writes to stderr, which then takes no other line."""

    def refuse(line):
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    with HeapDumper(tmp_path / "a.memlab", at="memory-error", say=refuse, warn=refuse) as dumper:
        dumper.note_exception(MemoryError())
        assert dumper.paths == [str(tmp_path / "a.memlab")]
    with HeapDumper(tmp_path / "no" / "a.memlab", at="memory-error", say=refuse, warn=refuse) as dumper:
        dumper.note_exception(MemoryError())
        assert dumper.paths == []


def test_then_is_called_and_may_fail(tmp_path):
    """What it raises is one line."""
    seen, warned = [], []

    def then(graph, path):
        seen.append((type(graph), path))
        raise RuntimeError

    dumper = HeapDumper(
        tmp_path / "a.memlab", at="memory-error", say=seen.append, warn=warned.append, then=then
    )
    with dumper:
        dumper.note_exception(MemoryError())
        dumper.note_exception(ValueError())
        dumper.note_exception(None)
    path = str(tmp_path / "a.memlab")
    assert dumper.paths == [path]
    assert seen[1] == (HeapGraph, path)
    assert warned == ["failed after the heap was written (memory error): RuntimeError"]

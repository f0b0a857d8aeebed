"""A recording outlives its program, its disk and its sampler, and never changes what the program does."""

import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from memlab.errors import CaptureError
from memlab.store.capture_file import load
from memlab.store.stream import read_stream
from tests.unit.samples import capture

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"),  # noqa: PTH110
    reason="needs /proc",
)
LONG = bool(os.environ.get("MEMLAB_LONG"))
KILLS = 100 if LONG else 6
PROGRAMS = 300 if LONG else 8
MEMLAB = [sys.executable, "-m", "memlab"]

ENDLESS = """
import sys, time
import memlab
blocks = []
recording = memlab.record(0.005, path=sys.argv[1]).start()
print("began", flush=True)
n = 0
while True:
    n += 1
    recording.mark(str(n))
    print(time.monotonic(), n, flush=True)
    with recording.span("turn"):
        blocks.append(bytearray(200_000))
        time.sleep(0.02)
    if len(blocks) > 50:
        blocks.clear()
"""


def test_kill_9_at_any_moment_leaves_a_file_that_opens_and_holds_all_but_the_last_second(tmp_path):
    rng = random.Random(20)
    for number in range(KILLS):
        path = tmp_path / f"{number}.memlab"
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE, start_new_session=True
        ) as program:
            program.stdout.readline()
            began = time.monotonic()
            time.sleep(rng.uniform(0.0, 2.0))
            # The whole group, sampler included, half of the time: an out-of-memory kill of a container.
            if number % 2:
                os.killpg(program.pid, signal.SIGKILL)
            else:
                program.kill()
            killed = time.monotonic()
            lines = program.stdout.read().split(b"\n")
            program.wait()
        found = load(path)
        last = max((line.split() for line in lines if line.count(b" ") == 1), default=None)
        assert not found.complete
        assert "did not end by itself" in " ".join(found.notes)
        if last is not None:
            # Marks are written at once: at most the very last may be missing.
            assert len(found.marks) >= int(last[1]) - 1
        lasted = float(found.timeline.time_s[-1])
        # The recording began a moment before its line was read.
        assert lasted >= killed - began - 1.0, (number, lasted, killed - began)
        assert found.peak.value_bytes > 1_000_000


def test_after_kill_9_of_a_program_the_capture_says_so(tmp_path):
    script = tmp_path / "endless.py"
    script.write_text("import time\nprint('on', flush=True)\ntime.sleep(60)\n")
    path = tmp_path / "x.memlab"
    with subprocess.Popen([*MEMLAB, "run", "-o", path, script], stdout=subprocess.PIPE) as program:
        program.stdout.readline()
        time.sleep(0.7)
        program.kill()
    deadline = time.monotonic() + 20
    while load(path).outcome.reason.startswith("it was still running") and time.monotonic() < deadline:
        time.sleep(0.05)
    outcome = load(path).outcome
    # Who waits for a child takes its exit code: whether the sampler was quicker is luck.
    assert outcome.signal == "SIGKILL" or "took its exit code first" in outcome.reason
    assert subprocess.run([*MEMLAB, "show", path], check=True, capture_output=True).stdout.startswith(b"Peak")


def test_a_full_disk_costs_the_file_and_not_the_program():
    """On a real file system of 64 KiB, in a mount namespace of its own."""
    code = """
        import os, sys, warnings, memlab
        warnings.simplefilter("ignore")
        with memlab.record(0.001, path="/mnt/x.memlab") as recording:
            for n in range(3000):
                recording.mark("m" * 100)
        capture = recording.capture
        print(len(capture.marks), capture.peak is not None, capture.notes)
    """
    shell = f"mount -t tmpfs -o size=64k none /mnt && exec {sys.executable} -c '{textwrap.dedent(code)}'"
    run = subprocess.run(
        ["unshare", "-m", "sh", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )
    if "Operation not permitted" in run.stderr or "permission denied" in run.stderr.lower():
        pytest.skip("no mount namespace may be made here")
    assert run.returncode == 0, run.stderr
    marks, peak, notes = run.stdout.split(maxsplit=2)
    assert (marks, peak) == ("3000", "True")
    assert "took no more" in notes
    assert "could not be written" in notes


def test_any_bytes_give_a_capture_or_one_error(recorded):
    for seed in range(20_000 if LONG else 60):
        content = damaged(recorded, random.Random(seed))
        try:
            found = read_stream(content)
        except CaptureError:
            continue
        assert found.kind == "capture", seed


def damaged(recorded, rng):
    content = bytearray(recorded)
    for _ in range(rng.randrange(1, 8)):
        how = rng.randrange(4)
        at = rng.randrange(16, len(content)) if len(content) > 16 else 0
        if how == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del content[at : at + rng.randrange(1, 200)]
        elif how == 2:
            content[at:at] = rng.randbytes(rng.randrange(1, 60))
        else:
            del content[at:]
        content = content or bytearray(b"\0")
    return bytes(content)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A stream as a program that left by ``os._exit`` left it."""
    path = tmp_path_factory.mktemp("stream") / "x.memlab"
    code = """
        import gc, os, sys, time, memlab
        recording = memlab.record(0.002, path=sys.argv[1]).start()
        for n in range(8):
            with recording.span(f"turn {n}"):
                recording.mark("m")
                block = bytearray(5_000_000 * (n % 3))
                gc.collect()
                time.sleep(0.1)
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], check=True)
    content = path.read_bytes()
    whole = read_stream(content)
    assert (len(whole.marks), len(whole.spans), whole.complete) == (8, 8, False)
    assert len(whole.pauses) >= 1  # those of its last half second were never written
    return content


def test_each_prefix_of_a_stream_is_a_capture(recorded):
    marks = 0
    for end in range(16, len(recorded), 7 if LONG else 211):
        found = read_stream(recorded[:end])
        assert len(found.marks) >= marks
        marks = len(found.marks)
    assert marks == 8


def test_frames_with_right_checks_and_wrong_content_are_passed_over(recorded):
    from memlab.collectors.sampler_script import COLUMNS_FRAME, COLUMNS_HEAD, PACKED, frame, json_frame

    wrong = [
        json_frame({"mark": 3, "us": 1}),
        json_frame({"mark": "x", "us": 1 << 70}),
        json_frame({"mark": "\ud800", "us": 1}),
        json_frame({"span_end": 99, "us": 1}),
        json_frame({"hit": 0, "us": 1}),
        json_frame({"series": 7, "role": "timeline", "names": ["time_s"], "sources": {}}),
        json_frame({"stack": 1, "thread": "t", "frames": [[1, 2, 3]], "user": 0}),
        frame(b"J", b"[1, 2"),
        frame(b"J", b"[" * 100_000),
        frame(b"C", b""),
        frame(COLUMNS_FRAME, COLUMNS_HEAD.pack(0, 2 | PACKED, 1 << 30) + b"x"),
        frame(COLUMNS_FRAME, COLUMNS_HEAD.pack(0, 2, 1) + b"x" * 15),
        frame(b"?", b"what a newer memlab may write"),
    ]
    found = read_stream(recorded + b"".join(wrong))
    plain = read_stream(recorded)
    assert found.marks == plain.marks
    assert found.timeline == plain.timeline
    assert any("broken pieces were passed over" in note for note in found.notes)


def test_a_stream_that_unpacks_to_more_than_the_limit_is_refused(recorded):
    from memlab._base.limits import Limits

    with pytest.raises(CaptureError, match="more than the reader's limit"):
        read_stream(recorded, Limits(memory_bytes=64))
    with pytest.raises(CaptureError, match="does not begin like a recording"):
        read_stream(b"something else")


def test_a_capture_that_was_saved_before_recordings_had_spans_still_loads(tmp_path):
    from memlab.records import codec
    from memlab.records.capture import Capture

    encoded = codec.encode(capture())
    older = {
        name: encoded.tree[name] for name in ("timeline", "marks", "peak", "environment", "complete", "notes")
    }
    found = codec.decode(Capture, codec.Encoded(older, encoded.arrays))
    assert (found.spans, found.pauses, found.children, found.outcome) == ((), None, (), None)
    assert found.marks == capture().marks


# -- the program comes first


def program_of(seed):
    """Return a program that prints, raises, exits, forks, registers and signals as the seed says."""
    rng = random.Random(seed)
    lines = [
        "import atexit, os, signal, subprocess, sys, threading, gc, asyncio, warnings",
        "warnings.simplefilter('ignore')",
        f"print({seed}, sys.argv[1:], __name__, len(sys.path), sys.flags.optimize)",
        "print(sorted(k for k in globals() if not k.startswith('__')))",
        "keep = []",
    ]
    bits = [
        "keep.append(bytearray({n} * 10_000))",
        "print(sum(range({n})), file=sys.stderr)",
        "atexit.register(print, 'at exit', {n})",
        "code = 'print({n}); exit({n} % 3)'; print(subprocess.run([sys.executable, '-c', code], stdout=-1))",
        "pid = os.fork()\nif not pid: os._exit({n} % 5)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))",
        "t = threading.Thread(target=print, args=('thread', {n})); t.start(); t.join()",
        "print(gc.collect() >= 0, gc.isenabled(), gc.get_threshold())",
        "print(asyncio.run(asyncio.sleep(0.001, {n})))",
        "signal.signal(signal.SIGUSR1, lambda *a: print({n})); os.kill(os.getpid(), signal.SIGUSR1)",
        "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, threading.active_count() >= 1)",
        "sys.stdout.write('x' * {n} + '\\n')",
        "try:\n    int('no')\nexcept ValueError as error:\n    print(error.__context__, error.args)",
        "print(sys.stdin.read())",
        "x = {{i: [i] for i in range({n})}}; print(len(x), sum(map(len, x.values())))",
        "print(os.getcwd() == os.path.dirname(os.path.abspath(sys.argv[0])), __file__ == sys.argv[0])",
    ]
    ends = [
        "",
        "sys.exit({n} % 7)",
        "raise ValueError('mine', {n})",
        "sys.exit('a message')",
        "raise KeyError('k') from ZeroDivisionError('z')",
        "os._exit({n} % 9)",
        "class Mine(BaseException): pass\nraise Mine({n})",
        "sys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "raise KeyboardInterrupt",
        "sys.exit(True)",
        "def f(n):\n    return f(n + 1)\nf(0)",
        "raise MemoryError",
        "keep.append(9 / (len(keep) - len(keep)))",
    ]
    for _ in range(rng.randrange(1, 7)):
        lines.append(rng.choice(bits).format(n=rng.randrange(1, 2000)))
    lines.append(ends[seed % len(ends)].format(n=rng.randrange(1, 2000)))
    return "\n".join(lines) + "\n"


def outcome_of(command, script, folder, ours):
    run = subprocess.run(
        [*command, str(script), "one", "two words"],
        input="given",
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        check=False,
    )
    # The stack of a program under memlab begins some frames deeper: a recursion ends that much sooner.
    stderr = re.sub(r"Previous line repeated \d+ more", "Previous line repeated some more", run.stderr)
    errors = [line for line in stderr.splitlines() if not line.startswith(ours)]
    return run.returncode, run.stdout, errors


@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_a_program_runs_the_same_with_and_without(seed, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(program_of(seed))
    plain = outcome_of([sys.executable], script, tmp_path, "memlab run:")
    recorded = outcome_of([*MEMLAB, "run", "-o", "x.memlab"], script, tmp_path, "memlab run:")
    assert recorded == plain
    found = load(tmp_path / "x.memlab")
    if found.complete:
        assert found.outcome.exit_code == plain[0] or found.outcome.signal == "SIGINT"
    else:  # left by os._exit or a signal
        assert "os._exit" in program_of(seed).splitlines()[-1] or plain[0] < 0


@pytest.mark.parametrize("seed", range(1000, 1000 + PROGRAMS))
def test_a_program_that_records_itself_runs_the_same(seed, tmp_path):
    program = program_of(seed)
    inner = tmp_path / "program.py"
    inner.write_text(program)
    plain = outcome_of([sys.executable], inner, tmp_path, "memlab")
    lines = program.splitlines()
    body = textwrap.indent("\n".join(lines[5:]), "    ")
    head = "\n".join(lines[:5])
    inner.write_text(f"{head}\nimport memlab as _memlab\nwith _memlab.record(0.01):\n{body}\n")
    code, output, errors = outcome_of([sys.executable], inner, tmp_path, "memlab")
    assert (code, output) == plain[:2]
    # The lines have moved, nothing else: the same exceptions in the same order.
    assert [e for e in errors if not e.startswith(" ")] == [e for e in plain[2] if not e.startswith(" ")]


def test_the_recorded_function_runs_exactly_once(tmp_path):
    script = tmp_path / "once.py"
    script.write_text("with open('log', 'a') as f: f.write('ran\\n')\n")
    subprocess.run([*MEMLAB, "run", "--quiet", "-o", "x.memlab", script], cwd=tmp_path, check=True)
    assert (tmp_path / "log").read_text() == "ran\n"


def test_no_sampler_outlives_its_target(tmp_path):
    code = (
        "import memlab, os, sys\nr = memlab.record(0.01).start()\nprint(r._sampler.pid, flush=True)\n"
        "if os.fork() == 0:\n    import time; time.sleep(3); os._exit(0)\nos.kill(os.getpid(), 9)\n"
    )
    # The forked child holds the sampler's pipe open for a while: it must end all the same.
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True, check=False
    )
    pid = int(run.stdout)
    deadline = time.monotonic() + 2.5
    while Path(f"/proc/{pid}/stat").exists() and _state(pid) != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists() or _state(pid) == "Z"


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"

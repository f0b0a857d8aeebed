"""The out-of-memory guard: when it acts, in a script and in a real kernel, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid

import psutil
import pytest

from memlab.errors import UnavailableError, UsageError
from memlab.lab._guard_watcher import Line, Watcher, thinned
from memlab.lab._post_mortem import free_name
from memlab.lab.guard import MemoryGuard, guard
from memlab.store.capture_file import load

MIB = 2**20
MARK = "MEMLAB_TEST_OF_GUARD"
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


# -- when it acts


def test_it_acts_at_the_limit_and_then_a_sixteenth_further_on():
    """After an interrupt what was made is still there: tidying up must be possible."""
    line = Line(160 * MIB, None)
    assert line.crossed(159 * MIB, None) == ""
    assert line.crossed(160 * MIB, None) == "limit"
    line.acted(165 * MIB, None)
    assert line.crossed(170 * MIB, None) == ""
    assert line.crossed(175 * MIB, None) == "limit"
    line.acted(175 * MIB, None)
    assert line.crossed(180 * MIB, None) == ""
    assert line.crossed(100 * MIB, None) == ""  # let go of: the limit is the line again
    assert line.crossed(160 * MIB, None) == "limit"


def test_it_acts_when_the_machine_runs_short_but_not_for_a_small_process():
    """A process smaller than the reserve would be stopped for nothing."""
    line = Line(None, 256 * MIB)
    assert line.crossed(900 * MIB, 300 * MIB) == ""
    assert line.crossed(100 * MIB, 200 * MIB) == ""
    assert line.crossed(900 * MIB, 200 * MIB) == "machine"
    line.acted(900 * MIB, 200 * MIB)
    assert line.crossed(900 * MIB, 195 * MIB) == ""
    assert line.crossed(900 * MIB, 180 * MIB) == "machine"
    assert line.crossed(900 * MIB, 400 * MIB) == ""
    assert line.crossed(900 * MIB, 250 * MIB) == "machine"
    assert line.crossed(900 * MIB, None) == ""


class Stage:
    """A watched process that is a number, and what was done to it."""

    def __init__(self, limit=100 * MIB, reserve=None):
        self.rss, self.left = 10 * MIB, 10_000 * MIB
        self.interrupts, self.said = 0, []
        config = {"limit": limit, "reserve": reserve}
        self.watcher = Watcher(config, lambda: self.rss, lambda: self.left, self.interrupt, self.said.append)

    def interrupt(self):
        self.interrupts += 1


def test_it_insists_until_it_is_heard_and_gives_up_after_a_while():
    """Code may catch the interrupt and go on; after five it watches on from where memory stands."""
    stage = Stage()
    stage.watcher.tick(0.0)
    stage.rss = 120 * MIB
    for second in range(1, 30):
        assert stage.watcher.tick(float(second))
    assert stage.interrupts == 5
    assert [m["event"] for m in stage.said] == ["acting", "acted", "ignored"]
    stage.rss = 140 * MIB
    stage.watcher.tick(31.0)
    assert stage.interrupts == 6


def test_a_word_comes_before_the_interrupt():
    """What is interrupted asks at once who it was; the word must be there, if not yet all that led to it."""
    stage = Stage()
    known = []
    stage.interrupt = lambda: known.append([m["event"] for m in stage.said])
    stage.watcher._interrupt = stage.interrupt
    stage.rss = 120 * MIB
    stage.watcher.tick(0.0)
    assert known == [["acting"]]


@linux
def test_who_asks_between_the_word_and_the_rest_gets_the_rest(tmp_path):
    """A watcher that takes a quarter of a second for what led to its interrupt is waited for."""
    watching = guard("900 GiB", save=None, growth=False).start()
    watching.stop()
    late = (
        "import json, time\n"
        "print(json.dumps({'event': 'acting'}), flush=True)\n"
        "time.sleep(0.25)\n"
        "print(json.dumps({'event': 'acted', 'trigger': 'limit', 'time': 1.0, 'rss': 9, 'available': None,"
        " 'peak': 9, 'rows': [[1.0, 9, -1]]}), flush=True)\n"
        "input()\n"
    )
    watching._process = subprocess.Popen(
        [sys.executable, "-c", late], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert watching._listen(20.0)
        assert watching.has_acted()
    finally:
        watching.stop()


def test_it_is_still_while_the_post_mortem_is_made():
    """Heard means: what runs now is the look at what is left."""
    stage = Stage()
    stage.rss = 120 * MIB
    stage.watcher.tick(0.0)
    stage.watcher.heard()
    stage.rss = 400 * MIB
    for second in range(1, 20):
        stage.watcher.tick(float(second))
    assert stage.interrupts == 1
    stage.watcher.answered()
    stage.watcher.tick(21.0)
    assert stage.interrupts == 1
    stage.rss = 407 * MIB
    stage.watcher.tick(22.0)
    assert stage.interrupts == 2


def test_what_it_sends_holds_the_last_stretch_with_its_peak():
    """Thinned to what a pipe takes at once."""
    stage = Stage(limit=500 * MIB)
    for number in range(3000):
        stage.rss = (400 if number == 1234 else 50) * MIB
        stage.watcher.tick(number / 50)
    stage.rss = 501 * MIB
    stage.watcher.tick(60.0)
    _, message = stage.said
    rows = message["rows"]
    assert len(rows) <= 500
    assert max(row[1] for row in rows[:-1]) == 400 * MIB
    assert rows[-1][1] == 501 * MIB
    assert len(json.dumps(message)) < 60_000
    assert thinned(rows[:4], 3)[0] == rows[0]


def test_a_process_that_has_gone_is_told_from_one_that_is_short():
    """Memory was short at the last look, or it was not."""
    stage = Stage(reserve=50 * MIB)
    stage.watcher.tick(0.0)
    assert not stage.watcher.is_short()
    stage.rss, stage.left = 80 * MIB, 60 * MIB
    for number in range(6):
        stage.watcher.tick(1.0 + number)
    assert stage.watcher.is_short()
    stage.rss = -1
    assert stage.watcher.tick(8.0) is False


# -- in a script

MOST = 300
"""Megabytes that anything here may take, should the guard fail."""

EATER = """
import time, memlab
kept = []
try:
    with memlab.guard({limit!r}, growth={growth}, report="pm.html") as watching:
        for _ in range({most}):
            kept.append(bytearray(1_000_000))
            time.sleep(0.0005)
        time.sleep(20)
except KeyboardInterrupt as error:
    print(len(kept), watching.last.trigger, sorted(watching.written))
    print(error.__notes__)
print(watching.is_on, watching.last.growth[:1], watching.last.holdings[:1])
"""


HANDLER = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""As in a terminal's foreground, wherever these tests run."""


@pytest.fixture(autouse=True)
def foreground():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def script(code, folder, before=HANDLER, **options):
    return subprocess.run(
        [sys.executable, "-c", before + textwrap.dedent(code)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@linux
def test_a_script_is_interrupted_and_its_post_mortem_names_what_took_the_memory(tmp_path):
    """KeyboardInterrupt with notes; the program goes on after it, with all that it had made."""
    done = script(EATER.format(limit="160 MiB", growth=True, most=MOST), tmp_path)
    assert done.returncode == 0, done.stderr
    first, notes, rest = done.stdout.splitlines()
    made, trigger = first.split()[:2]
    assert 60 < int(made) < 160
    assert trigger == "limit"
    assert "the guard's limit is 160 MiB" in notes
    assert "builtins.bytearray" in rest
    assert rest.startswith("False")
    found = load(tmp_path / "post-mortem.memlab")
    assert found.trigger == "limit"
    assert found.growth[0].type_name == "builtins.bytearray"
    assert found.growth[0].objects_diff == pytest.approx(int(made), abs=2)
    assert any("kept" in name for row in found.holdings for name in row.names)
    assert found.timeline.metrics["rss_bytes"][-1] >= 160 * MIB
    assert found.rss_bytes < 250 * MIB
    assert (tmp_path / "pm.html").stat().st_size > 10_000
    assert str(tmp_path) not in str(found.to_dict())


@linux
def test_while_a_c_call_holds_the_lock_the_interrupt_waits_for_its_end(tmp_path):
    """A thread of the process could not even look; the watcher has, and the call's return is the end."""
    done = script(
        """
        import ctypes, mmap, memlab
        libc = ctypes.PyDLL(None)
        reached = False
        try:
            with memlab.guard("120 MiB", save=None, growth=False) as watching:
                block = mmap.mmap(-1, 100 * 2**20)
                start = ctypes.addressof(ctypes.c_char.from_buffer(block))
                libc.memset(ctypes.c_void_p(start), 1, 100 * 2**20)
                libc.usleep(400_000)
                for _ in range(10**9):
                    pass
                reached = True
        except KeyboardInterrupt:
            print(watching.last.trigger, reached, watching.last.absent["growth"])
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("limit False types were not counted")
    assert list(tmp_path.iterdir()) == []


@linux
def test_when_the_process_is_killed_while_memory_is_short_the_watcher_writes_the_last_words(tmp_path):
    """What the out-of-memory killer does: nobody else could tell."""
    done = script(
        """
        import os, signal, time, memlab
        watching = memlab.guard("120 MiB", growth=False).start()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        kept = [bytearray(10_000_000) for _ in range(12)]
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
    )
    assert done.returncode == -signal.SIGKILL
    path = tmp_path / "post-mortem.memlab"
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    found = load(path)
    assert found.trigger == "death"
    assert found.rss_bytes > 115 * MIB
    assert "out-of-memory killer" in found.reason
    assert found.absent["holdings"] == "the process had gone"
    assert "The process died" in found.to_html()
    assert no_watcher_is_left()


@linux
def test_a_process_that_ends_with_memory_to_spare_leaves_no_word(tmp_path):
    """Killed for another reason, or by a plain end with the guard still on: no file, and no watcher."""
    for ending in ("os.kill(os.getpid(), signal.SIGKILL)", "pass", "os._exit(3)"):
        script(f"import os, signal, memlab\nmemlab.guard('4 GiB', growth=False).start()\n{ending}", tmp_path)
        assert no_watcher_is_left()
    assert list(tmp_path.iterdir()) == []


def no_watcher_is_left(seconds=10.0):
    """Tell whether every watcher has ended, giving them a moment."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not watchers():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(autouse=True)
def marked(monkeypatch):
    """Mark what a test starts: these tests run for another Python at the same time, with watchers too."""
    monkeypatch.setenv(MARK, uuid.uuid4().hex)


def watchers():
    """Return the watchers that this test or a child of its started, and that live."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            if any("_guard_watcher" in word for word in process.info["cmdline"] or []) and (
                process.environ().get(MARK) == os.environ[MARK]
            ):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


# -- in this process, with a limit that is far away


@linux
def test_on_off_and_status():
    """Twice on is refused, twice off does nothing, and nothing of the process is changed."""
    handler = signal.getsignal(signal.SIGINT)
    watching = guard("900 GiB", save=None, growth=False)
    assert watching.status() == "the guard is off"
    with watching:
        assert watching.is_on
        assert len(watchers()) == 1
        assert "the limit is 900 GiB" in watching.status()
        assert "to stay free" in watching.status()
        with pytest.raises(UsageError, match="on already"):
            watching.start()
        assert not watching.has_acted()
        assert watching.post_mortem() is None
        assert signal.getsignal(signal.SIGINT) is handler
    watching.stop()
    assert not watching.is_on
    with watching:
        assert watching.is_on


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": "1 MiB"}, "already, and the limit is"),
        ({"limit": "lots"}, "cannot read the size"),
        ({"limit": 0}, "above 0"),
        ({"limit": 1.5}, "number of bytes"),
        ({"limit": True}, "number of bytes"),
        ({"limit": "900 GiB", "interval_s": 0}, "interval_s"),
        ({"limit": "900 GiB", "interval_s": "fast"}, "interval_s"),
    ],
)
def test_wrong_arguments_are_one_sentence(options, said):
    """Before anything is started."""
    with pytest.raises(UsageError, match=said):
        guard(**options)


def test_without_a_ceiling_and_without_a_limit_there_is_nothing_to_guard():
    """The reason is told; with a limit it works."""

    class Blind:
        def read(self, *, uss):
            from memlab.records.pressure import MemoryReading

            return MemoryReading(1, None, None, None, None, None, None, absent={"limit_bytes": "no /proc"})

    with pytest.raises(UnavailableError, match="no /proc"):
        MemoryGuard(monitor=Blind())
    assert MemoryGuard("1 GiB", monitor=Blind()).reserve_bytes is None


def test_it_is_switched_on_from_the_thread_that_it_interrupts():
    """From any other it would interrupt the wrong one."""
    import threading

    errors = []

    def run():
        try:
            guard("900 GiB", growth=False).start()
        except UsageError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in errors[0]


def test_a_file_name_that_is_taken_gets_a_number(tmp_path):
    """Nothing is overwritten."""
    path = tmp_path / "pm.memlab"
    assert free_name(str(path)) == str(path)
    path.write_text("")
    assert free_name(str(path)) == str(tmp_path / "pm-2.memlab")


@linux
@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (signal.SIG_IGN, "SIGINT is ignored in this process"),
        (signal.SIG_DFL, "SIGINT would end this process"),
    ],
)
def test_where_an_interrupt_would_be_lost_or_deadly_it_refuses(handler, said):
    """A shell ignores SIGINT for what it starts in the background: a guard there would guard nothing."""
    signal.signal(signal.SIGINT, handler)
    watching = guard("900 GiB", save=None, growth=False)
    with pytest.raises(UnavailableError, match=said):
        watching.start()
    assert not watching.is_on
    assert watchers() == []


@linux
def test_a_fork_leaves_the_guard_to_its_parent():
    """The child's stop does not end the parent's watcher."""
    with guard("900 GiB", save=None, growth=False) as watching:
        pid = os.fork() if sys.version_info < (3, 12) else None
        if pid == 0:
            watching.stop()
            os._exit(0 if not watching.is_on else 1)
        if pid is not None:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert watching.is_on


# -- in a real kernel

CELLS = (
    "%load_ext memlab",
    "import time\nanswer = 42\n%memguard on --limit {limit}MiB --report pm.html",
    """
data = []
for _ in range(400):
    data.append(bytearray(1_000_000))
    time.sleep(0.0005)
time.sleep(30)
""",
    "print('still', answer, len(data))",
    "%memguard status",
    """
caught = 0
try:
    for _ in range(100):
        data.append(bytearray(1_000_000))
        time.sleep(0.0005)
    time.sleep(30)
except KeyboardInterrupt:
    caught = 1
""",
    "print('caught', caught)",
    "del data\n%memguard off",
    "%memguard sideways",
)


@linux
@pytest.mark.notebook
def test_a_cell_that_eats_memory_is_interrupted_and_the_kernel_lives(tmp_path, monkeypatch):
    """In a real ipykernel: the variables are there, the post-mortem is shown and written, and cells go on."""
    nbclient = pytest.importorskip("nbclient", reason="needs memlab[notebook,dev]")
    nbformat = pytest.importorskip("nbformat")
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    folder = tmp_path / "work"
    folder.mkdir()
    cells = [nbformat.v4.new_code_cell(cell.format(limit=260)) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(
        notebook,
        timeout=90,
        allow_errors=True,
        config=Config({"KernelManager": {"transport": "ipc", "ip": str(tmp_path / "k")}}),
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    texts = ["\n".join(said(output) for output in cell.outputs) for cell in notebook.cells]
    assert "the limit is 260 MiB" in texts[1]
    assert "KeyboardInterrupt" in texts[2]
    assert "Post-mortem: The process reached" in texts[2]
    assert "post-mortem.memlab" in texts[2]
    assert "del data" in texts[2]
    assert texts[3].startswith("still 42")
    assert "the guard is on" in texts[4]
    assert "no cell was interrupted" in texts[5]
    assert "caught 1" in texts[6]
    assert "the guard is off" in texts[7]
    assert "say on, off or status" in texts[8]
    found = load(folder / "post-mortem.memlab")
    held = {name: row.retained_bytes for row in found.holdings for name in row.names}
    assert held["data"] > 50 * MIB
    assert found.growth[0].type_name == "builtins.bytearray"
    assert (folder / "pm.html").exists()
    assert no_watcher_is_left()


def said(output):
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    return output.get("text") or output.get("data", {}).get("text/plain", "")

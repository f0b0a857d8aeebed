"""``memlab heap``: the program is what it would have been under ``python``, and its heap is in a file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from heaps import graph_of

from memlab.faces.cli import main
from memlab.records.heap_graph import HeapGraph
from memlab.records.memit import MemitResult
from memlab.store.capture_file import load, save

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(*arguments, **keywords):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120, **keywords
    )


def heap(*arguments, **keywords):
    return python("-m", "memlab", "heap", *arguments, **keywords)


def others(text):
    """Lines of stderr that are not memlab's, numbers of processes and times left out."""
    return [line for line in text.splitlines() if not line.startswith("memlab heap: ")]


def saved(folder):
    return sorted(path.name for path in folder.glob("*.memlab"))


SHOWS = """
import sys
import helper
print(__name__, __file__, __package__, __spec__ and __spec__.name, type(__loader__).__name__, __builtins__)
print(sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals())
print(sorted(name for name in globals()))
"""

ENDINGS = {
    "ends": "print('done')",
    "code": "import sys; sys.exit(7)",
    "negative": "import sys; sys.exit(-1)",
    "true": "import sys; sys.exit(True)",
    "sentence": "import sys; sys.exit('a sentence')",
    "float": "raise SystemExit(1.5)",
    "none": "raise SystemExit",
    "raises": "def f():\n    {}['x']\nf()",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('x') from e",
    "syntax": "x = = 1",
    "hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__, a[2].tb_lineno)\n1 / 0",
    "hook exits": "import sys\nsys.excepthook = lambda *a: sys.exit(12)\n1 / 0",
    "hook fails": "import sys\ndef hook(*a): raise RuntimeError('hook')\nsys.excepthook = hook\n1 / 0",
    "last": "import sys, atexit\natexit.register(lambda: print(sys.last_type, sys.last_value))\n1 / 0",
    "thread": "import threading as t, time\nt.Thread(target=lambda: (time.sleep(.2), print('late'))).start()",
    "warns": "import warnings\nwarnings.warn('careful')",
    "pickles": "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))))",
    "future": "def f(x: Nope): pass",
    "reads": "import sys; print(sys.stdin.read())",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_program_ends_as_under_python(folder, name):
    """Exit code, stdout and stderr, with all its traceback."""
    (folder / "app.py").write_text(ENDINGS[name])
    plain = python("app.py", "one", input="typed")
    ours = heap("--dump", "x.memlab", "app.py", "one", input="typed")
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert others(ours.stderr) == plain.stderr.splitlines()
    assert saved(folder) == ["x.memlab"]


@pytest.mark.parametrize(
    "target", [["app.py"], ["sub/app.py"], ["-m", "app"], ["-m", "pack"], ["-m", "pack.mod"]]
)
def test_a_program_finds_itself_as_under_python(folder, target):
    """Its ``__main__``, arguments, path and neighbours."""
    for place in ("", "sub", "pack"):
        (folder / place).mkdir(exist_ok=True)
        for name in ("app", "__main__", "mod"):
            (folder / place / f"{name}.py").write_text(SHOWS)
        (folder / place / "helper.py").touch()
    (folder / "pack" / "__init__.py").touch()
    (folder / "__main__.py").unlink()
    arguments = [*target, "--dump", "y", "-m", "z"]
    plain, ours = python(*arguments), heap("--dump", "x.memlab", *arguments)
    assert plain.returncode == 0
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert others(ours.stderr) == plain.stderr.splitlines()


@pytest.mark.parametrize("broken", ["raise KeyError('x')", "import not_there", "raise SystemExit(5)"])
def test_a_package_that_cannot_be_imported_is_the_programs_own_fault(folder, broken):
    """Shown as its own exception, never as a bug of memlab."""
    (folder / "pack").mkdir()
    (folder / "pack" / "__init__.py").write_text(broken)
    (folder / "pack" / "mod.py").touch()
    done = heap("--dump", "x.memlab", "-m", "pack.mod")
    assert done.returncode == (5 if "SystemExit" in broken else 1)
    assert "bug" not in done.stderr


@posix
def test_ctrl_c_ends_the_program_by_its_signal(folder):
    """A shell that waits for it sees what it would have seen; the dump is written first."""
    (folder / "app.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-m", "memlab", "heap", "--dump", "x.memlab", "app.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert type(load("x.memlab")) is HeapGraph


def test_what_the_program_holds_is_in_its_dump(folder):
    """Its module is alive when the heap is taken at the end."""
    (folder / "app.py").write_text("class Order: pass\nkept = {i: Order() for i in range(321)}")
    done = heap("app.py")
    assert (done.returncode, done.stdout) == (0, "")
    (name,) = saved(folder)
    assert name.startswith("heap-")
    graph = load(name)
    orders = graph.types.index("__main__.Order")
    assert int((graph.type_of == orders).sum()) == 321
    assert graph.title == "app.py"
    assert done.stderr == f"memlab heap: heap of {len(graph):,} objects written to {name} (exit)\n"


@posix
def test_on_a_signal_and_with_a_report(folder):
    """While it runs; each dump and page has a name of its own."""
    (folder / "app.py").write_text(
        "import os, signal\nfor _ in range(2): os.kill(os.getpid(), signal.SIGUSR2)\nprint('still here')"
    )
    done = heap("--signal", "usr2", "--at", "exit", "--dump", "d{n}.memlab", "--report", "r.html", "app.py")
    assert (done.returncode, done.stdout) == (0, "still here\n")
    assert saved(folder) == ["d1.memlab", "d2.memlab", "d3.memlab"]
    assert sorted(p.name for p in folder.glob("*.html")) == ["r-2.html", "r-3.html", "r.html"]


def test_a_memory_error_is_dumped_whatever_hook_the_program_has(folder):
    """Once: through the hook where it is chained, else by who ran the program."""
    (folder / "app.py").write_text("import sys\nsys.excepthook = lambda *a: print('own')\nraise MemoryError")
    done = heap("--at", "memory-error", "--dump", "x.memlab", "app.py")
    assert (done.returncode, done.stdout) == (1, "own\n")
    (folder / "app.py").write_text("raise MemoryError")
    heap("--at", "memory-error", "--dump", "y.memlab", "app.py")
    (folder / "app.py").write_text("raise ValueError")
    heap("--at", "memory-error", "--dump", "z.memlab", "app.py")
    assert saved(folder) == ["x.memlab", "y.memlab"]


FULL = """
import resource, sys

class Order:
    def __init__(self, number):
        self.items = [number, str(number)]

def fill(orders):
    limit = 700 << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    while True:
        orders.append(Order(len(orders)))
        if len(orders) > 300_000 and len(orders) % 20_000 == 0:
            orders.append(bytearray(20 << 20))

def main():
    backlog = []
    fill(backlog)

main()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a real limit on address space")
def test_a_real_memory_error_is_dumped_as_far_as_memory_goes(folder):
    """Under RLIMIT_AS, with a million objects: a part, which says so and names the holder."""
    (folder / "app.py").write_text(FULL)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # its buffers would be most of the limit
    done = heap("--at", "memory-error", "--dump", "x.memlab", "app.py", env=environment)
    assert done.returncode == 1
    assert "MemoryError" in done.stderr
    assert "memlab heap: part of the heap of " in done.stderr, done.stderr[-600:]
    graph = load("x.memlab")
    assert isinstance(graph, HeapGraph)
    assert not graph.complete
    assert any("A limit ended the capture" in note for note in graph.notes)
    types = np.array(graph.types)[graph.type_of]
    assert int((types == "__main__.Order").sum()) > 10_000
    first = graph.suspects().suspects[0]
    assert "backlog" in first.label
    assert saved(folder) == ["x.memlab"]


def test_quiet_says_nothing_but_failures(folder):
    """A folder that goes away while the program runs is told, and the exit code stays."""
    (folder / "out").mkdir()
    (folder / "app.py").write_text("import os\nos.rename('out', 'gone')")
    assert heap("--quiet", "--dump", "x.memlab", "app.py").stderr == ""
    Path("gone").rename("out")
    done = heap("--quiet", "--dump", "out/x.memlab", "app.py")
    assert done.returncode == 0
    assert done.stderr.startswith("memlab heap: heap not written (exit): cannot write out")


def test_the_program_starts_quickly(folder):
    """Before it runs, memlab imports what a dump needs and no more: no pandas, no IPython."""
    (folder / "app.py").write_text(
        "import sys\nprint([m for m in ('pandas', 'matplotlib', 'IPython', 'jinja2') if m in sys.modules])"
    )
    began = time.monotonic()
    assert heap("app.py").stdout == "[]\n"
    assert time.monotonic() - began < 30


# -- wrong arguments: one line, exit code 2, nothing run and nothing written


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a script, -m and a module, or a saved file"),
        (["--"], "name a script"),
        (["--at", "exit"], "name a script"),
        (["missing.py"], "there is no script missing.py"),
        (["."], "is a folder"),
        (["-m"], "-m needs the name of a module"),
        (["-m", "no_such_module"], "there is no module no_such_module"),
        (["-m", "no_such.module"], "there is no module no_such.module"),
        (["-m", "xml"], "xml is a package and cannot be run"),
        (["-m", "sys"], "no Python code to run"),
        (["-m", "math"], "no Python code to run"),
        (["-m", ""], "no module"),
        (["-m", ".x"], "no module"),
        (["--at", "never", "app.py"], "invalid choice: 'never'"),
        (["--signal", "NOPE", "app.py"], "there is no signal 'NOPE'"),
        (["--signal", "KILL", "app.py"], "SIGKILL cannot be handled"),
        (["--seconds", "-1", "app.py"], "a number above 0, not '-1'"),
        (["--seconds", "soon", "app.py"], "a number above 0, not 'soon'"),
        (["--max-objects", "1.5", "app.py"], "a whole number above 0, not '1.5'"),
        (["--dump", "no/such/x.memlab", "app.py"], "cannot write no/such/x.memlab"),
        (["--dump", "x.memlab", "--report", "x.memlab", "app.py"], "the same file"),
        (["--report", "no/x.html", "app.py"], "cannot write no/x.html"),
        (["--census", "app.py"], "--census is for a saved heap, and app.py is run as a program"),
        (["--diff", "a.memlab", "app.py"], "--diff is for a saved heap"),
        (["--census", "-m", "app"], "--census is for a saved heap, and -m runs a program"),
        (["saved.memlab", "--dump", "y.memlab"], "--dump is for a program, and saved.memlab is a saved heap"),
        (["--at", "exit", "saved.memlab"], "--at is for a program"),
        (["saved.memlab", "--bogus"], "unrecognized arguments: --bogus"),
        (["saved.memlab", "more"], "unrecognized arguments: more"),
        (["missing.memlab"], "missing.memlab is not there"),
        (["memit.memlab"], "holds a memit, not a heap graph"),
        (["saved.memlab", "--diff", "memit.memlab"], "holds a memit, not a heap graph"),
        (["saved.memlab", "--diff", "missing.memlab"], "missing.memlab is not there"),
        (["saved.memlab", "--report", "saved.memlab"], "the report would overwrite the capture"),
        (["--bogus", "app.py"], "no option '--bogus'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_arguments_are_one_line(folder, capsys, arguments, words):
    """The program is never begun."""
    (folder / "app.py").write_text("open('ran', 'w').close()")
    save(graph_of({0: [1]}), "saved.memlab")
    save(MemitResult(peaks_bytes=(1,), baseline_bytes=1), "memit.memlab")
    files = {path.name for path in folder.iterdir()}
    path, argv, module = list(sys.path), list(sys.argv), sys.modules["__main__"]
    try:
        assert main(["heap", *arguments]) == 2
    finally:
        sys.path[:], sys.argv[:] = path, argv
    assert sys.modules["__main__"] is module
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert {path.name for path in folder.iterdir()} == files


def test_a_saved_heap_is_shown(folder, capsys):
    """As text; with a census, with what grew, and as a page; options before or behind the file."""
    graph = graph_of({0: [1, 2]}, sizes=[100, 200, 300], roots=[0], types={1: "app.Order", 2: "app.Order"})
    save(graph, "new.memlab")
    save(graph_of({0: [1]}, sizes=[100, 200], roots=[0], types={1: "app.Order"}), "old.memlab")
    Path("new.memlab").rename("renamed")  # told by its content
    assert main(["heap", "renamed"]) == 0
    assert capsys.readouterr().out == f"{str(graph).rstrip()}\n"
    assert main(["heap", "renamed", "--census"]) == 0
    assert capsys.readouterr().out == f"{str(graph.census()).rstrip()}\n"
    assert main(["heap", "--diff", "old.memlab", "renamed", "--report", "d.html", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{str(graph.diff(load('old.memlab'))).rstrip()}\n"
    assert said.err == ""
    assert (folder / "d.html").read_text().startswith("<!doctype html>")

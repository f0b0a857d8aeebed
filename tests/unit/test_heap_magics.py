"""``%heap`` and ``%%heapdiff`` in one interactive shell of this process."""

from __future__ import annotations

import inspect
import sys
import weakref

import pytest
import shells
from IPython.core.error import UsageError as ShellUsageError

from memlab.faces.ipython.heap_magics import HEAP_OPTIONS, HEAPDIFF_OPTIONS
from memlab.faces.ipython.magics import MemlabMagics
from memlab.records.heap_graph import HeapGraph
from memlab.records.heap_results import HeapDiff, HeapHoldings
from memlab.store.capture_file import load

one_shell, shell, run = shells.one_shell, shells.shell, shells.run
ORDERS = "class Order:\n    pass\nkept = []"


# -- %heap


def test_the_heap_is_shown_and_not_kept(run, shell):
    """As its own text; nothing of it enters Out."""
    before = dict(shell.user_ns["Out"])
    done = run("%heap")
    assert done.success
    assert done.result is None
    assert "objects" in done.out
    assert shell.user_ns["Out"] == before


def test_the_heap_is_returned_on_request(run, shell):
    """Quiet shows nothing; what comes back knows the notebook's objects and keeps none alive."""
    run(f"{ORDERS}\nkept.extend(Order() for _ in range(50))\nimport weakref\nlink = weakref.ref(kept[0])")
    done = run("graph = %heap -oq")
    assert done.success
    assert done.out == ""
    graph = shell.user_ns["graph"]
    assert type(graph) is HeapGraph
    assert int((graph.type_of == graph.types.index("__main__.Order")).sum()) == 50
    run("del kept[:]")
    link = shell.user_ns["link"]
    assert type(link) is weakref.ref
    assert link() is None


def test_the_heap_is_saved_and_reported(run, tmp_path):
    """Both files, and a line for each."""
    done = run(f"graph = %heap -oq --save {tmp_path}/a.memlab --report {tmp_path}/a.html")
    assert done.out.splitlines() == [
        f"capture written to {tmp_path}/a.memlab",
        f"report written to {tmp_path}/a.html",
    ]
    assert type(load(tmp_path / "a.memlab")) is HeapGraph
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")


def test_a_file_that_cannot_be_written_is_known_before_the_heap_is_taken(run, monkeypatch):
    """Nothing is captured."""
    monkeypatch.setattr("memlab.faces.ipython.heap_magics._heap", None)
    done = run("%heap --save /no/such/folder/a.memlab")
    assert isinstance(done.error_in_exec, ShellUsageError)
    assert "cannot write" in str(done.error_in_exec)


def test_names_show_what_the_notebook_holds(run, shell):
    """Variables and outputs by name, greatest first."""
    run("big = [object() for _ in range(20_000)]")
    number = shell.execution_count
    run("[object() for _ in range(10_000)]")
    done = run("held = %heap -n -oq")
    assert done.success
    held = shell.user_ns["held"]
    assert type(held) is HeapHoldings
    names = [row.names for row in held.holdings]
    assert names[0] == ("big",)
    assert f"Out[{number}]" in names[1]
    assert held.holdings[0].retained_bytes >= 20_000 * 16
    assert "big" in run("%heap --names").out


def test_a_capture_can_be_bounded_in_time(run, shell):
    """And says so."""
    run("graph = %heap -oq -t 0.000001")
    assert not shell.user_ns["graph"].complete


def test_the_widget_is_shown_in_place_of_the_page(run, shell, monkeypatch):
    """It is given the graph, and made only when there is somebody to see it."""
    shown = []
    monkeypatch.setattr("memlab.faces.ipython.heap_magics._show_widget", shown.append)
    assert run("%heap -w").success
    assert [type(one) for one in shown] == [HeapGraph]
    run("g = %heap -woq")
    assert len(shown) == 1


# -- %heapdiff, %%heapdiff


def test_a_cell_shows_what_it_left_behind(run, shell):
    """New objects by type and their place, once run."""
    run(ORDERS)
    done = run("%%heapdiff\nkept.extend(Order() for _ in range(500))\nruns = len(kept)")
    assert done.success, done.error_in_exec
    assert "Order" in done.out
    assert shell.user_ns["runs"] == 500


def test_the_diff_is_exact_and_returned_on_request(run, shell):
    """Births are told by marks: what was freed and made anew in its place counts."""
    run(f"{ORDERS}\nkept = [Order() for _ in range(300)]")
    run("diff = %heapdiff -oq kept[:100] = [Order() for _ in range(150)]")
    diff = shell.user_ns["diff"]
    assert type(diff) is HeapDiff
    assert diff.exact
    (orders,) = [row for row in diff.types if row.type_name == "__main__.Order"]
    assert (orders.objects_diff, orders.born) == (50, 150)


def test_a_function_is_called(run, shell):
    """By its name alone, as %leaks does."""
    run(f"{ORDERS}\ndef work():\n    kept.append(Order())")
    diff = run("%heapdiff -oq work").result
    assert len(shell.user_ns["kept"]) == 1
    assert [row.born for row in diff.types if row.type_name == "__main__.Order"] == [1]


def test_a_setup_runs_once_before_the_first_capture(run, shell):
    """What it makes is not new."""
    run(ORDERS)
    diff = run('%heapdiff -oq --setup "kept += [Order() for _ in range(100)]" kept.append(Order())').result
    assert [row.born for row in diff.types if row.type_name == "__main__.Order"] == [1]


def test_the_codes_own_exception_passes_without_memlabs_frames(run, capsys):
    """As if the cell had been run alone; the marks are taken away."""
    import gc

    done = run("%%heapdiff\nx = 1\n{}['gone']")
    assert type(done.error_in_exec) is KeyError
    frames = []
    at = done.error_in_exec.__traceback__
    while at is not None:
        frames.append(at.tb_frame.f_globals.get("__name__", ""))
        at = at.tb_next
    assert frames[-1] == "__main__"
    assert not [name for name in frames if name.startswith("memlab")]
    assert gc.get_freeze_count() < 10_000
    assert run("%heapdiff -q [1]").success


@pytest.mark.parametrize("statement", ["1 / 0", "raise SystemExit(3)"])
def test_a_setups_own_exception_passes_too(run, statement):
    """Before anything is captured."""
    done = run(f'%heapdiff --setup "{statement}" [1]')
    assert type(done.error_in_exec) in (ZeroDivisionError, SystemExit)


def test_a_users_memlab_error_is_the_users(run):
    """Raised in the cell, it is no wrong use of the magic."""
    import memlab

    done = run("%%heapdiff\nimport memlab\nmemlab.load('/nowhere/at/all')")
    assert type(done.error_in_exec) is memlab.CaptureError


def test_the_diff_is_saved_and_reported(run, tmp_path):
    """Both files."""
    done = run(f"%heapdiff -q --save {tmp_path}/d.memlab --report {tmp_path}/d.html x = [1]")
    assert done.out.count("written to") == 2
    assert type(load(tmp_path / "d.memlab")) is HeapDiff


# -- wrong use, names, help


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%heap --nope", "no option --nope"),
        ("%heap kept", "'kept' is no option"),
        ("%heap -t", "needs a value"),
        ("%heap -t soon", "needs a number"),
        ("%heap -t 0", "above 0, not 0"),
        ("%heap -t -1", "above 0, not -1"),
        ("%heap -t nan", "above 0, not nan"),
        ("%heap --names -t inf", "above 0, not inf"),
        ("%heap -nw", "leave out -w or -n"),
        ("%heap --save /no/such/x.memlab", "cannot write"),
        ("%heapdiff", "no code to run"),
        ("%heapdiff --nope", "no option --nope"),
        ("%heapdiff --setup", "needs a value"),
        ("%heapdiff no_such_name", "there is no 'no_such_name' here"),
        ("%%heapdiff more\npass", "'more' is no option"),
        ("%%heapdiff\n\n", "no code to run"),
        ("%heapdiff --save x --report x pass", "same file"),
    ],
)
def test_wrong_use_is_one_line(run, line, words):
    """In the shell's own form."""
    done = run(line)
    error = done.error_in_exec or done.error_before_exec
    assert isinstance(error, ShellUsageError), repr(error)
    assert words in str(error)
    assert "\n" not in str(error)


def test_both_names_are_there(run, shell):
    """The short one and memlab's own."""
    assert run("g = %memlab_heap -oq").success
    assert type(shell.user_ns["g"]) is HeapGraph
    assert run("%%memlab_heapdiff -q\nx = [1]").success


@pytest.mark.parametrize(
    ("name", "options"), [("heap", HEAP_OPTIONS), ("heapdiff", HEAPDIFF_OPTIONS)], ids=["heap", "heapdiff"]
)
def test_the_help_names_every_option(name, options):
    """The table and the text cannot drift apart."""
    text = inspect.getdoc(getattr(MemlabMagics, name))
    for option in options:
        named = f"-{option.short}" if option.name in ("return", "quiet") else f"--{option.name}"
        assert named in text, option.name


def test_the_magic_module_stays_light():
    """Loading the extension imports no capture code."""
    import subprocess

    code = (
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell\nimport memlab\n"
        "import memlab.faces.ipython.magics\n"
        "print([m for m in sys.modules if m in ('memlab.lab.heap', 'numpy', 'pandas', 'sqlite3')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    found = done.stdout.strip()
    assert "memlab.lab.heap" not in found, done.stderr
    assert "pandas" not in found

"""The magics, in one interactive shell of this process; what needs a clean process runs in a child."""

from __future__ import annotations

import asyncio
import gc
import linecache
import subprocess
import sys
import textwrap
import weakref

import pytest
from IPython.core.error import UsageError as ShellUsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_magic, magics_class

import memlab
from memlab.faces.hunt_options import HUNT_OPTIONS
from memlab.faces.ipython import showing
from memlab.faces.ipython.magics import PREFIX, SHORT_NAMES, MemlabMagics, register, unregister
from memlab.faces.ipython.options import parse
from memlab.records.leak_report import LeakReport, Verdict
from memlab.records.memit import MemitResult

FAST = "-n 120 -b 2 --no-trace"


@pytest.fixture(scope="module")
def one_shell():
    """A shell without history or terminal, and nothing of it left in the process afterwards."""
    builtins_before = set(vars(__import__("builtins")))
    hook, excepthook = sys.displayhook, sys.excepthook
    main = sys.modules["__main__"]
    from traitlets.config import Config

    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
    sys.displayhook, sys.excepthook = hook, excepthook
    sys.modules["__main__"] = main
    for name in set(vars(__import__("builtins"))) - builtins_before:
        delattr(__import__("builtins"), name)


@pytest.fixture
def shell(one_shell):
    register(one_shell)
    yield one_shell
    unregister(one_shell)
    one_shell.reset(new_session=True)


@pytest.fixture
def run(shell, capsys):
    """Run a cell; return its result, and what it wrote, with the error it raised passed on."""

    def run_cell(source):
        capsys.readouterr()
        done = shell.run_cell(textwrap.dedent(source), store_history=True)
        done.out, done.err = capsys.readouterr()
        return done

    return run_cell


# -- %%leaks


def test_the_body_of_a_cell_is_the_step(run, shell):
    """It runs in the notebook's namespace, and the verdict is shown."""
    done = run(f"kept = []\n%%leaks {FAST}".split("\n")[0])
    done = run(f"%%leaks {FAST}\nkept.append([])\nlast = len(kept)")
    assert done.success
    assert done.out.startswith("LEAK")
    assert shell.user_ns["last"] == len(shell.user_ns["kept"]) == 123


def test_a_traced_leak_names_the_cells_line_and_the_notebooks_name(run, shell):
    """Line 3 of the cell, as the notebook counts; the holder by the name the notebook gave it."""
    run("class Order:\n    pass\nkept = []")
    number = shell.execution_count
    done = run("%%leaks -n 120 -b 2\n\nkept.append(Order())")
    assert f"Cell In[{number}]:3" in done.out
    assert "__main__.kept" in done.out
    assert "__main__.Order" in done.out


def test_the_line_of_a_function_from_another_cell_is_named_by_that_cell(run, shell):
    """A function that a step calls is as often as not defined above."""
    number = shell.execution_count
    run("kept = []\ndef handle():\n    kept.append([])")
    done = run("r = %leaks -oq -n 120 -b 2 handle")
    assert done.success
    report = shell.user_ns["r"]
    assert report.verdict is Verdict.LEAK
    assert report.step == "__main__:handle"
    assert {s.site.frame.file for s in report.suspects if s.site} == {f"Cell In[{number}]"}


def test_nothing_of_a_shown_report_is_kept_in_out(run, shell):
    """Out would keep it for ever."""
    before = dict(shell.user_ns["Out"])
    done = run(f"%%leaks {FAST}\npass")
    assert done.result is None
    assert shell.user_ns["Out"] == before


def test_the_report_is_returned_on_request_and_quiet_shows_nothing(run):
    """-o and -q as in the other measuring magics."""
    done = run(f"%%leaks -o {FAST}\npass")
    assert isinstance(done.result, LeakReport)
    assert done.out.startswith("NO LEAK")
    done = run(f"x = %leaks -oq {FAST} sum([1])")
    assert (done.out, done.err) == ("", "")


def test_the_code_is_compiled_once(run, shell, monkeypatch):
    """Compiling in each iteration would be part of what is measured."""
    compiled = []
    ast_parse = shell.compile.ast_parse
    monkeypatch.setattr(shell.compile, "ast_parse", lambda *a, **k: compiled.append(a) or ast_parse(*a, **k))
    run("ran = []")
    compiled.clear()
    run(f"%%leaks -q {FAST}\nran.append(None)")
    assert len(compiled) == 2  # the cell, and the body
    assert len(shell.user_ns["ran"]) == 123


def test_magics_and_shell_commands_work_inside_the_cell(run, shell):
    """The body is transformed as any cell is."""
    done = run("%%leaks -q -n 20 --warmup 1 -b 1 --no-trace\n%pwd\nhere = %pwd")
    assert done.success
    assert shell.user_ns["here"]


def test_setup_runs_once_and_is_not_the_step(run, shell):
    """In the notebook's namespace too."""
    run("prepared = []\nseen = []")
    run(f'%%leaks -q {FAST} --setup "prepared.append(1); first = True"\nseen.append(first)')
    assert shell.user_ns["prepared"] == [1]
    assert set(shell.user_ns["seen"]) == {True}


def test_the_result_is_saved_and_reported(run, tmp_path):
    """The same files as the command line's."""
    done = run(f"%%leaks -o {FAST} --save '{tmp_path}/a b.memlab' --report \"{tmp_path}/x.html\"\npass")
    assert memlab.load(tmp_path / "a b.memlab") == done.result
    assert (tmp_path / "x.html").read_text(encoding="utf-8") == done.result.to_html()


RAISES_IN_40 = """

calls.append(None)
if len(calls) == 40:
    error = KeyError('x')
    raise error
"""


def test_a_step_that_raises_shows_what_was_seen_and_fails_the_cell_with_its_own_error(run, shell):
    """The exception is the user's, unchanged, and its traceback has no frame of memlab's after the cell."""
    run("calls = []")
    done = run(f"%%leaks {FAST}{RAISES_IN_40}")
    assert done.out.startswith("INCONCLUSIVE")
    assert "iteration 40" in done.out
    assert done.error_in_exec is shell.user_ns["error"]
    frames = []
    at = done.error_in_exec.__traceback__
    while at is not None:
        frames.append((at.tb_frame.f_globals["__name__"], at.tb_lineno, at.tb_frame.f_locals))
        at = at.tb_next
    assert frames[-1][:2] == ("__main__", 6)
    shown = [f for f in frames if f[0].startswith("memlab") and not f[2].get("__tracebackhide__")]
    assert shown == []


def test_an_interrupt_shows_what_was_seen_and_passes_on(run):
    """The cell ends as any interrupted cell."""
    run("calls = []")
    done = run(f"%%leaks {FAST}\ncalls.append(None)\nif len(calls) == 40:\n    raise KeyboardInterrupt")
    assert done.out.startswith("INCONCLUSIVE")
    assert isinstance(done.error_in_exec, KeyboardInterrupt)


def test_a_setup_that_raises_fails_the_cell_and_shows_no_report(run):
    """Nothing was seen."""
    done = run(f"%%leaks {FAST} --setup 1/0\npass")
    assert isinstance(done.error_in_exec, ZeroDivisionError)
    assert "INCONCLUSIVE" not in done.out


def test_a_teardown_runs_once_after_the_cell_whatever_happened(run, shell):
    """In the notebook's namespace; its own error leaves the report shown."""
    run("done = []")
    run(f'%%leaks -q {FAST} --teardown "done.append(1)"\npass')
    assert shell.user_ns["done"] == [1]
    failed = run(f'%%leaks -q {FAST} --teardown "done.append(2)"\n1/0')
    assert isinstance(failed.error_in_exec, ZeroDivisionError)
    assert shell.user_ns["done"] == [1, 2]
    failed = run(f"%%leaks {FAST} --teardown 1/0\npass")
    assert isinstance(failed.error_in_exec, ZeroDivisionError)
    assert "NO LEAK" in failed.out


def test_memlabs_own_error_raised_by_the_step_stays_what_it_is(run):
    """It is the user's exception there, not a wrong use of the magic."""
    done = run(f"%%leaks {FAST}\nimport memlab\nmemlab.load('/nowhere/at/all')")
    assert isinstance(done.error_in_exec, memlab.CaptureError)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%leaks --bugdet 3\npass", "%leaks: no option --bugdet; there are -b/--budget S"),
        ("%%leaks -b soon\npass", "-b/--budget S needs a number, not 'soon'"),
        ("%%leaks -n 2.5\npass", "-n/--iterations N needs a whole number, not '2.5'"),
        ("%%leaks -n\npass", "-n/--iterations N needs a value"),
        ("%%leaks -n 0\npass", "iterations must be"),
        ("%%leaks -b nan\npass", "budget_s must be"),
        ("%%leaks --no-trace=1\npass", "--no-trace takes no value"),
        ("%%leaks x = 1\npass", "'x = 1' is no option; code goes below, a setup after --setup"),
        ("%%leaks --save no/such/folder/x\npass", "cannot write no/such/folder/x"),
        ("%%leaks --setup ''\npass", "--setup STMT needs a value"),
        ("%%leaks\n\n", "there is no code to run; for an example: %leaks?"),
        ("%leaks", "there is no code to run; for an example: %leaks?"),
        ("%leaks -b 1", "there is no code to run"),
        ("%leaks not_there", "there is no 'not_there' here"),
        ("%leaks sys.nothing", "no attribute 'nothing'"),
        ("%leaks number", "number must be something to call without arguments, not an int"),
        ("%leaks generates", "is a generator function"),
        ("%leaks wants", "wants needs arguments (a)"),
        ("%leaks -x f()", "no option -x"),
        ("%memit -r x 1", "-r needs a whole number once, not 'x'"),
        ("%memit -r 1 -r 2 1", "-r needs a whole number once"),
        ("%memit -r 0 1", "-r must be 1 or more, not 0"),
        ("%memit -i x 1", "-i needs a number once"),
        ("%memit -z 1", "option -z not recognized"),
        ("%memit", "there is no code to run; for an example: %memit?"),
        ("%%memit\n\n", "there is no code to run"),
        ("%why", "%why: name an object; for an example: %why?"),
        ("%why not_there", "there is no 'not_there' here"),
        ("%why not_there[3].x", "there is no 'not_there' here"),
        ("%why 1 +", "'1 +' is no expression"),
        ("%why -n x sys", "-n/--chains N needs a whole number"),
        ("%%leaks -b 1\nawait asyncio.sleep(0)", "an await outside a function"),
        ("%%leaks -b 1\nasync with x:\n    pass", "an await outside a function"),
        ("%%leaks -b 1\n[x async for x in y]", "an await outside a function"),
    ],
)
def test_wrong_use_is_one_line_in_the_shells_own_words(run, cell, said):
    """UsageError: one sentence, no traceback, and the cell fails."""
    run("import sys, asyncio\nnumber = 3\ndef generates():\n    yield\ndef wants(a): pass")
    done = run(cell)
    assert isinstance(done.error_in_exec, ShellUsageError)
    assert said in str(done.error_in_exec)
    assert done.err.count("\n") == 1
    assert done.err.startswith("UsageError: ")
    assert "Traceback" not in done.out + done.err


def test_an_await_in_a_function_of_the_cell_is_no_await_of_the_cell(run):
    """Only a top-level await is refused."""
    assert run(f"%%leaks -q {FAST}\nasync def f():\n    await g()").success


def test_the_remedy_for_a_top_level_await_works(tmp_path):
    """What the sentence tells to do finds the leak, beside a loop that runs."""
    kept = []

    async def work():
        await asyncio.sleep(0)
        kept.append([])

    async def cell():
        return await asyncio.to_thread(memlab.find_leaks, work, iterations=60, budget_s=1, trace=False)

    with asyncio.Runner() as runner:
        assert runner.run(cell()).verdict is Verdict.LEAK


def test_a_syntax_error_in_the_cell_is_the_users_with_the_cells_line(run):
    """Line 3 as the notebook counts."""
    done = run("%%leaks\nx = 1\ndef f(:\n    pass")
    assert isinstance(done.error_in_exec, SyntaxError)
    assert done.error_in_exec.lineno == 3


def test_the_cells_code_is_known_to_linecache(run):
    """Line reports read it there."""
    run(f"%%leaks -q {FAST}\nan_unusual_name = 1")
    lines = [line for entry in linecache.cache.values() if len(entry) > 2 for line in entry[2]]
    assert "an_unusual_name = 1\n" in lines


# -- %leaks


def test_a_statement_is_run_as_typed(run, shell):
    """Spaces and quotes in it are left alone; a name that is called is a statement too."""
    run("kept = []")
    run(f"%leaks -q {FAST} kept.append(\"a  'b'\")")
    assert set(shell.user_ns["kept"]) == {"a  'b'"}
    assert len(shell.user_ns["kept"]) == 123


def test_the_name_of_a_callable_is_called(run, shell):
    """A plain or a dotted name; nothing else is."""
    run("class App:\n    kept = []\n    @classmethod\n    def step(cls):\n        cls.kept.append([])")
    done = run(f"%leaks -o {FAST} App.step")
    assert done.result.verdict is Verdict.LEAK
    assert len(shell.user_ns["App"].kept) == 123


def test_options_end_at_two_dashes(run, shell):
    """A statement may start with a dash."""
    run("x = 1")
    assert run(f"%leaks -q {FAST} -- -x").success


@pytest.mark.parametrize(
    ("line", "values", "rest"),
    [
        ("", {}, ""),
        ("f()", {}, "f()"),
        ("-b5 f(-1)", {"budget": 5.0}, "f(-1)"),
        ("--budget=5 f(5)", {"budget": 5.0}, "f(5)"),
        ("--budget 5 -n 3 f('--budget 5')", {"budget": 5.0, "iterations": 3}, "f('--budget 5')"),
        ("--no-trace   f('a   b')", {"no_trace": True}, "f('a   b')"),
        ("--save 'a b' f()", {"save": "a b"}, "f()"),
        ('--save="a b" f()', {"save": "a b"}, "f()"),
        ("-n 3", {"iterations": 3}, ""),
        ("-n 3 -n 4", {"iterations": 4}, ""),
        ("-- -b 5", {}, "-b 5"),
        ("-n -5 f()", {"iterations": -5}, "f()"),
    ],
)
def test_a_line_is_split_into_options_and_the_rest_as_typed(line, values, rest):
    """What follows the options is not touched."""
    assert parse("leaks", line, HUNT_OPTIONS) == (values, rest)


# -- %memit


def test_memit_prints_memory_profilers_line_and_does_not_miss_a_short_peak(run):
    """50,000,000 bytes that live for a moment are 47.7 MiB.

    They are mapped: the C library's malloc may give again what an earlier test gave back, and RSS stays.
    """
    run(
        "import mmap\ndef spike(size):\n    with mmap.mmap(-1, size) as block:\n"
        "        for at in range(0, size, mmap.PAGESIZE):\n            block[at] = 1"
    )
    done = run("%memit -o spike(50_000_000)")
    assert isinstance(done.result, MemitResult)
    line = done.out.splitlines()[0]
    import re

    match = re.fullmatch(r"peak memory: (\d+\.\d\d) MiB, increment: (\d+\.\d\d) MiB", line)
    assert match is not None, line
    assert 47 < float(match[2]) < 52


def test_memit_has_memory_profilers_options_and_attributes(run):
    """A notebook that was written for the other goes on."""
    done = run("m = %memit -r3 -t5 -i0.5 -c -o -q 1 + 1")
    assert done.success
    assert done.out == ""
    result = run("m").result
    assert (result.repeat, result.timeout, result.interval, result.include_children) == (3, 5, 0.5, True)
    assert len(result.mem_usage) == 3
    assert max(result.mem_usage) >= result.baseline > 0


def test_the_first_line_of_a_memit_cell_is_setup_and_not_measured(run, shell):
    """And names that the cell assigns stay, as in any cell."""
    done = run("%%memit -o big = bytearray(60_000_000)\nsize = len(big)")
    assert shell.user_ns["size"] == 60_000_000
    assert done.result.increment_bytes < 10_000_000
    run("del big")


def test_memit_without_o_returns_nothing(run):
    """Out keeps nothing."""
    assert run("%memit 1").result is None


def test_what_the_measured_code_raises_passes_on(run):
    """With the cell's own frame last, and none of memlab's shown."""
    done = run("%memit 1 / 0")
    assert isinstance(done.error_in_exec, ZeroDivisionError)
    assert "memlab" not in done.out.replace("memlab_memit", "")
    assert isinstance(run("%%memit 1 / 0\npass").error_in_exec, ZeroDivisionError)
    own = run("%memit __import__('memlab').load('/nowhere')").error_in_exec
    assert isinstance(own, memlab.CaptureError)


# -- %why


def test_why_names_the_notebooks_variable(run):
    """The holder is the user's name, and no frame of the magic's."""
    run("class Thing:\n    pass\nholder = {'key': [Thing()]}")
    done = run("%why -o holder['key'][0]")
    assert done.result.type_name == "__main__.Thing"
    texts = [str(chain) for chain in done.result.chains]
    assert any("holder" in text for text in texts)
    everything = done.out + " ".join(texts)
    assert "frame" not in everything
    assert "eval" not in everything
    assert "MemlabMagics" not in everything


def test_why_keeps_nothing_alive(run, shell):
    """The question does not change the answer: the object goes when its last name goes."""
    run("class Thing:\n    pass\nthing = Thing()")
    gone = weakref.ref(shell.user_ns["thing"])
    run("%why thing")
    run("del thing")
    gc.collect()
    assert gone() is None


def test_why_names_what_the_notebook_itself_keeps(run):
    """The commonest leak of a notebook: an output."""
    run("class Thing:\n    pass\nthing = Thing()")
    number = run("thing").execution_count
    done = run("%why thing")
    assert f"Out[{number}]" in done.out


def test_why_shows_keys_only_on_request_and_as_many_chains_as_asked_for(run):
    """A key may be data."""
    run("class Thing:\n    pass\nthing = Thing()\nholder = {'secret-key': thing}\nmore = [thing]\ndel thing")
    assert "secret-key" not in run("%why -n 5 more[0]").out
    assert "secret-key" in run("%why -n 5 --keys more[0]").out
    assert len(run("%why -oq -n 1 more[0]").result.chains) == 1


def test_the_expressions_own_error_passes_on(run):
    """It is the user's."""
    assert isinstance(run("%why [][0]").error_in_exec, IndexError)


# -- names


def names_in(shell):
    tables = shell.magics_manager.magics
    return {
        (kind, name): function
        for kind, table in tables.items()
        for name, function in table.items()
        if name.removeprefix(PREFIX) in SHORT_NAMES
    }


def test_each_magic_has_a_short_and_a_prefixed_name_and_both_go_on_unload(one_shell):
    """Loading twice changes nothing; unloading leaves nothing."""
    before = names_in(one_shell)
    memlab.load_ipython_extension(one_shell)
    memlab.load_ipython_extension(one_shell)
    found = set(names_in(one_shell))
    expected = {
        (k, p + n) for n, kinds in SHORT_NAMES.items() for k in kinds.split("_") for p in ("", PREFIX)
    }
    assert found == expected
    memlab.unload_ipython_extension(one_shell)
    assert names_in(one_shell) == before == {}


@magics_class
class Others(Magics):
    """Another extension's."""

    @line_magic
    def memit(self, line):
        """Not memlab's."""
        return "the other's"


@pytest.mark.parametrize("first", ["other", "memlab"])
def test_another_extensions_memit_stays_whichever_is_loaded_first(one_shell, capsys, first):
    """The outcome is the same, memlab's has its other name, and unloading gives back exactly the other's."""
    if first == "other":
        one_shell.register_magics(Others)
        capsys.readouterr()
        register(one_shell)
        assert capsys.readouterr().out == (
            "memlab: %memit is another extension's and stays so; memlab's is %memlab_memit\n"
        )
    else:
        register(one_shell)
        one_shell.register_magics(Others)
    try:
        assert one_shell.run_line_magic("memit", "1") == "the other's"
        assert one_shell.run_line_magic("memlab_memit", "-oq 1").repeat == 1
        unregister(one_shell)
        assert one_shell.run_line_magic("memit", "1") == "the other's"
        assert {name for _, name in names_in(one_shell)} == {"memit"}
    finally:
        del one_shell.magics_manager.magics["line"]["memit"]


@pytest.mark.parametrize("name", SHORT_NAMES)
def test_each_magic_has_help_with_an_example(name):
    """%leaks? shows what it does, its options and an example."""
    text = getattr(MemlabMagics, name).__doc__
    assert "Usage::" in text
    assert "Options:" in text
    assert "Example::\n" in text
    assert "In [1]:" in text


def test_the_help_of_leaks_names_every_option():
    """The table and the text cannot drift apart."""
    for option in HUNT_OPTIONS:
        assert f"--{option.name}" in MemlabMagics.leaks.__doc__


# -- progress


class Handle:
    def __init__(self, log):
        self.log = log

    def update(self, value, raw=False):
        self.log.append(("update", value))


@pytest.fixture
def displayed(monkeypatch):
    log = []

    def display(value, raw=False, display_id=False):
        log.append(("display", value))
        return Handle(log) if display_id else None

    monkeypatch.setattr(showing, "display", display)
    monkeypatch.setattr(showing, "LEAST_GAP_S", 0.0)
    return log


class Notebook:
    kernel = object()


def test_in_a_notebook_the_progress_is_one_display_that_becomes_the_result(displayed):
    """One place in the output, and no second line."""
    shown = showing.Showing(Notebook(), "%%leaks", quiet=False)
    shown.progress("measuring", 0.25)
    shown.progress("measuring", 0.5)
    shown.finish("the result")
    assert displayed == [
        ("display", {"text/plain": "%%leaks: measuring, 25 %"}),
        ("update", {"text/plain": "%%leaks: measuring, 50 %"}),
        ("update", "the result"),
    ]


def test_without_a_result_the_progress_is_cleared(displayed):
    """A failed cell does not go on saying 50 %."""
    shown = showing.Showing(Notebook(), "%%leaks", quiet=False)
    shown.progress("measuring", 0.25)
    shown.finish(None)
    assert displayed[-1] == ("update", {"text/plain": ""})


def test_updates_are_rare(displayed, monkeypatch):
    """Each is work in the process that is measured."""
    monkeypatch.setattr(showing, "LEAST_GAP_S", 60.0)
    shown = showing.Showing(Notebook(), "%%leaks", quiet=False)
    for percent in range(100):
        shown.progress("measuring", percent / 100)
    assert len(displayed) == 1


def test_quiet_displays_nothing(displayed):
    """Neither progress nor result."""
    shown = showing.Showing(Notebook(), "%%leaks", quiet=True)
    shown.progress("measuring", 0.25)
    shown.finish("the result")
    assert displayed == []


# -- in a process of their own


def child(code):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SHELL = """
import sys, warnings
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
ip = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
"""


def test_loading_imports_nothing_heavy():
    """%load_ext memlab adds nothing to the process that is to be measured."""
    out = child(
        SHELL
        + """
before = set(sys.modules)
ip.run_line_magic("load_ext", "memlab")
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(new & {"numpy", "pandas", "matplotlib", "psutil", "jinja2", "sqlite3", "ipywidgets"}))
"""
    )
    assert out == "[]\n"


OURS = "memlab.faces.ipython.measure_magics"


@pytest.mark.parametrize("order", ["memory_profiler memlab", "memlab memory_profiler"])
def test_memory_profilers_memit_stays_its_own_in_either_order(order):
    """The real one, where it can be loaded at all: on Python 3.12 and later it needs setuptools."""
    pytest.importorskip("memory_profiler")
    out = child(
        SHELL
        + f"""
for name in {order.split()!r}:
    try:
        ip.run_line_magic("load_ext", name)
    except ModuleNotFoundError as error:
        print("cannot load", name, error.name)
print(ip.find_line_magic("memit").__module__, ip.find_line_magic("memlab_memit").__module__)
ip.run_line_magic("unload_ext", "memlab")
found = ip.find_line_magic("memit")
print(found and found.__module__, ip.find_line_magic("memlab_memit"))
"""
    )
    lines = out.splitlines()
    if "cannot load memory_profiler distutils" in lines:
        assert lines[-2:] == [f"{OURS} {OURS}", "None None"]
    else:
        assert lines[-2:] == [f"memory_profiler {OURS}", "memory_profiler None"]


def test_reload_works():
    """%reload_ext is what a developer of memlab uses."""
    out = child(
        SHELL
        + """
ip.run_line_magic("load_ext", "memlab")
ip.run_line_magic("reload_ext", "memlab")
print(ip.find_cell_magic("leaks").__module__)
"""
    )
    assert out == "memlab.faces.ipython.magics\n"
